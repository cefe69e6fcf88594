"""The shortcut for lines with bounding boxes: see ``_shortcut``."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from itertools import chain, pairwise, repeat
from operator import add, le, lt
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from rekolabels.manifest._attributes import LineAttributes
from rekolabels.manifest._fast_path_parts import (
    LONGEST,
    MOST_KNOWN,
    Clean,
    Misfit,
    make_boxes,
    make_images,
    start_of,
    uniform,
)
from rekolabels.manifest._json import NotJson, load_object
from rekolabels.manifest._label_attributes import SUFFIX, read_pair
from rekolabels.manifest._pair_rules import least_side
from rekolabels.manifest._rules import check_line
from rekolabels.manifest.limits import BOXES_PER_IMAGE, IMAGE_SIDE

if TYPE_CHECKING:
    from rekolabels.images import ImageSize
    from rekolabels.manifest._sources import Block

__all__ = ["Boxes"]

_CLASS: Final = re.compile(r'"(0|[1-9][0-9]{0,8})":"([^"\\{}\x00-\x1f]{1,256})"')
_DIGITS: Final = "[0-9]{1,9}"
_NUMBER: Final = "[0-9.]{1,22}"
"""What it is exactly is found out when it is read: 007 and 1.2.3 are none."""
_NOT_NUMBERS: Final = bytes(set(range(256)) - set(b"0123456789.,"))
_MOST_SHAPES: Final = 150
"""More shapes than that, and it is something like the date that differs."""

_FIELDS: Final = ("class_id", "left", "top", "width", "height")

_Parts: TypeAlias = "list[tuple[str, str, str, str, str]]"
"""Lines, taken apart: the image, the key with its brace, the size, the boxes, and the rest."""
_Columns: TypeAlias = "tuple[list[int], list[float], list[float], list[float], list[float]]"
"""Boxes: their class ids, left, top, width and height."""
_Shape: TypeAlias = "tuple[str, bool, str, str, int]"
"""What lines have in common: the key, whether the size stands elsewhere, the text before and after the class
map, and the number of boxes."""


class Boxes:
    """Takes lines apart into the image, the size, the boxes, the class map and the rest.

    Attributes:
        looks: How often a line had to be checked in full.
    """

    def __init__(self) -> None:
        self.looks = 0
        self._shapes: dict[_Shape, ImageSize | None] = {}
        self._sizes: dict[str, ImageSize] = {}
        self._classes: dict[str, tuple[int, str]] = {}
        self._class_maps: dict[str, dict[int, str]] = {}
        self._dates_differ = False  # lines of the same shape are not the same text

    def read(self, block: Block, bucket: str) -> Clean | None:
        """The lines of a block, if all of them are in order."""
        first = re.search(r'"annotations":\[\{([^{}]{0,200})\}', block.text)
        order = () if first is None else tuple(re.findall(r'"([a-z_]+)":', first[1]))
        if first is None or sorted(order) != sorted(_FIELDS):
            return None
        found: _Parts = _pattern(bucket, order).findall(block.text)
        if len(found) != block.count:
            return None
        tails = [parts[4] for parts in found]
        if self._dates_differ:
            tails = uniform("\n".join(tails)).split("\n")
        try:
            columns = _columns(",".join([parts[3] for parts in found]), order)
            return self._read_lines(bucket, block, found, tails, columns)
        except (Misfit, KeyError, ValueError):  # class ids that are not in the map, numbers such as 007
            return None

    def _read_lines(
        self, bucket: str, block: Block, found: _Parts, tails: list[str], columns: _Columns
    ) -> Clean:
        ids, left, top, width, height = columns
        ends = [0]
        sizes: list[ImageSize] = []
        labels: list[str] = []
        for (_, key, size_text, places, _), tail in zip(found, tails, strict=True):
            count = places.count("{")
            before, _, rest = tail.partition('"class-map":{')
            class_map, _, after = rest.partition("}")
            shape = (key, not size_text, before, after, count)
            if shape not in self._shapes:
                self._look(block, len(sizes), shape)
            size = self._shapes[shape] or self._sizes.get(size_text) or self._read_size(size_text)
            classes = self._class_maps.get(class_map) or self._read_class_map(class_map)
            labels += map(classes.__getitem__, ids[ends[-1] : ends[-1] + count])
            sizes.append(size)
            ends.append(ends[-1] + count)
        _check_places(columns, sizes, ends)
        made = make_boxes(labels, left, top, width, height)
        spans = [slice(start, end) for start, end in pairwise(ends)]
        boxes = [tuple(made[span]) for span in spans]
        attributes = [
            LineAttributes(f'{key}{size_text}"annotations":[{places}{tail}', (), few, size)
            for (_, key, size_text, places, tail), few, size in zip(found, boxes, sizes, strict=True)
        ]
        if max(len(line.text) for line in attributes) > LONGEST:
            raise Misfit
        sources = [parts[0] for parts in found]
        images = make_images(sources, repeat(()), boxes, sizes, attributes)
        return Clean(bucket, images, sources, box_labels=[frozenset(labels[span]) for span in spans])

    def _look(self, block: Block, index: int, shape: _Shape) -> None:
        """Check a line in full; what it has in common with others of its shape is then known to be good."""
        self.looks += 1
        key, _, before, after, count = shape
        check = check_line(block.text.split("\n")[index])
        if check.findings or check.image is None or check.members is None or count > BOXES_PER_IMAGE:
            raise Misfit
        name, *others = [name for name in check.members if name not in ("source-ref", "cl-metadata")]
        if others != [name + SUFFIX] or len(check.image.boxes) != count:
            raise Misfit
        if '"class-map":' in before or '"class-map":' in after or "\\" in key + before + after:
            raise Misfit  # the one that was found might not be the one that counts
        if len(self._shapes) > (MOST_KNOWN if self._dates_differ else _MOST_SHAPES):
            self._dates_differ = True
            self._shapes.clear()
            raise Misfit
        self._shapes[shape] = check.image.size if shape[1] else None

    def _read_size(self, text: str) -> ImageSize:
        stated = _loaded(f"{{{text[:-1]}}}")
        size = read_pair("a", stated, {"type": "groundtruth/object-detection"}).size
        low, high = IMAGE_SIDE
        if size is None or not (low <= size.width <= high and low <= size.height <= high):
            raise Misfit
        if len(self._sizes) > MOST_KNOWN:
            self._sizes.clear()
        self._sizes[text] = size
        return size

    def _read_class_map(self, text: str) -> dict[int, str]:
        classes = text.split(",")
        try:
            labels = dict(map(self._classes.__getitem__, classes))
        except KeyError:
            if len(self._classes) > MOST_KNOWN:
                self._classes.clear()
            for entry in classes:
                match = _CLASS.fullmatch(entry)
                if match is None or match[2].isspace():
                    raise Misfit from None
                self._classes[entry] = (int(match[1]), match[2])
            labels = dict(map(self._classes.__getitem__, classes))
        if len(labels) != len(classes):
            raise Misfit
        if len(self._class_maps) > MOST_KNOWN:
            self._class_maps.clear()
        self._class_maps[text] = labels
        return labels


def _loaded(text: str) -> dict[str, object]:
    try:
        members, repeated = load_object(text)
    except NotJson as error:
        raise Misfit from error
    if repeated:
        raise Misfit
    return members


def _columns(annotations: str, order: tuple[str, ...]) -> _Columns:
    """Class id, left, top, width and height of each box of some annotations."""
    numbers = annotations.encode("ascii").translate(None, _NOT_NUMBERS).decode("ascii")
    values: list[Any] = json.loads(f"[{numbers}]")
    ids, left, top, width, height = [values[order.index(name) :: 5] for name in _FIELDS]
    return ids, left, top, width, height


def _check_places(columns: _Columns, sizes: list[ImageSize], ends: list[int]) -> None:
    """Hold the boxes against the images; sizes and the ends of their boxes are by line."""
    _, left, top, width, height = columns
    if sizes.count(sizes[0]) == len(sizes):  # the usual case: the extremes say it all
        first = sizes[0]
        inside = max(map(add, left, width)) <= first.width and max(map(add, top, height)) <= first.height
        least_width, least_height = min(width), min(height)
        if not inside or min(least_width, least_height) <= least_side(first):
            raise Misfit
        return
    counts = [end - start for start, end in pairwise(ends)]
    of_boxes = list(chain.from_iterable(map(repeat, sizes, counts)))
    right, bottom = [size.width for size in of_boxes], [size.height for size in of_boxes]
    least = list(map(least_side, of_boxes))
    inside = all(map(le, map(add, left, width), right)) and all(map(le, map(add, top, height), bottom))
    if not inside or not all(map(lt, least, width)) or not all(map(lt, least, height)):
        raise Misfit


@lru_cache(maxsize=16)
def _pattern(bucket: str, order: tuple[str, ...]) -> re.Pattern[str]:
    box = ",".join(f'"{name}":{_DIGITS if name == "class_id" else _NUMBER}' for name in order)
    key = r'("[^"\\\n]{1,256}":\{)'
    size = r'((?:"image_size":\[\{[^][{}\n]{0,100}\}\],)?)'
    return re.compile(
        rf'{start_of(bucket)}{key}{size}"annotations":\[((?:\{{{box}\}},)*\{{{box}\}})(\].*)\}}$',
        re.MULTILINE,
    )
