"""The shortcut for lines with bounding boxes: see ``_shortcut``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest._attributes import LineAttributes
from rekolabels.manifest._json import NotJson, load_object
from rekolabels.manifest._pair_rules import least_side
from rekolabels.manifest._pairs import SUFFIX, read_pair
from rekolabels.manifest._rules import check_line
from rekolabels.manifest._shortcut_parts import LONGEST, MOST_KNOWN, Clean, Misfit, start_of, uniform
from rekolabels.manifest.limits import BOXES_PER_IMAGE, IMAGE_SIDE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rekolabels.manifest._sources import Block

__all__ = ["Boxes"]

_CLASS: Final = re.compile(r'"([0-9]{1,9})":"([^"\\{}\x00-\x1f]{1,256})"')
_CLASS_MAP: Final = re.compile(
    r'"class-map":(\{CLASS(?:,CLASS)*\})'.replace("CLASS", _CLASS.pattern.replace("(", "(?:"))
)
_NOT_NUMBERS: Final = bytes(set(range(256)) - set(b"0123456789,"))
_PIXELS: Final = {str(number): number for number in range(10_000)}
"""The numbers of boxes as JSON writes them: to look them up is faster than ``int``, and 007 is not there."""

_Parts: TypeAlias = "list[tuple[str, str, str, str, str]]"
"""Lines, taken apart: the image, the key with its brace, the size, the boxes, and the rest."""


class Boxes:
    """Takes lines apart into the image, the size, the boxes, the class map and the rest.

    Attributes:
        looks: How often a line had to be checked in full.
    """

    def __init__(self) -> None:
        self.looks = 0
        self._shapes: dict[tuple[str, bool, str, int], ImageSize | None] = {}
        self._sizes: dict[str, ImageSize] = {}
        self._class_maps: dict[str, Mapping[str, str]] = {}

    def read(self, block: Block, bucket: str) -> Clean | None:
        """The lines of a block, if all of them are in order."""
        order = _order_of(block.text)
        if order is None:
            return None
        found: _Parts = _pattern(bucket, order).findall(block.text)
        if len(found) != block.count:
            return None
        try:
            images = self._read_lines(block, found, order)
        except (Misfit, KeyError):
            return None
        box_labels = [frozenset([box.label for box in image.boxes]) for image in images]
        return Clean(bucket, images, [image.source for image in images], box_labels=box_labels)

    def _read_lines(self, block: Block, found: _Parts, order: tuple[str, ...]) -> list[LabelledImage]:
        tails = "\n".join([tail for *_, tail in found])
        class_maps = _CLASS_MAP.findall(tails)
        rests = _CLASS_MAP.sub('"class-map":{}', uniform(tails)).split("\n")
        if len(class_maps) != len(rests):
            raise Misfit
        rows = _numbers(",".join([places for *_, places, _ in found]), order)
        images: list[LabelledImage] = []
        start = 0
        for (source, key, size_text, places, tail), rest, map_text in zip(
            found, rests, class_maps, strict=True
        ):
            end = start + places.count("{")
            shape = (key, bool(size_text), rest, end - start)
            if shape not in self._shapes:
                self._look(block, len(images), shape)
            size = self._shapes[shape] or self._sizes.get(size_text) or self._read_size(size_text)
            labels = self._class_maps.get(map_text) or self._read_class_map(map_text)
            right, bottom, least = size.width, size.height, least_side(size)
            boxes = tuple(
                [
                    BoundingBox(labels[number], left, top, width, height)
                    for number, left, top, width, height in rows[start:end]
                    if left + width <= right and top + height <= bottom and width > least and height > least
                ]
            )
            text = f'{key}{size_text}"annotations":[{places}{tail}'
            if len(boxes) != end - start or len(text) > LONGEST:
                raise Misfit
            images.append(LabelledImage(source, (), boxes, size, LineAttributes(text, (), boxes, size)))
            start = end
        return images

    def _look(self, block: Block, index: int, shape: tuple[str, bool, str, int]) -> None:
        """Check a line in full; what it has in common with others is then known to be good."""
        self.looks += 1
        key, has_size, rest, count = shape
        check = check_line(block.text.split("\n")[index])
        if check.findings or check.image is None or check.members is None or count > BOXES_PER_IMAGE:
            raise Misfit
        name, *others = [name for name in check.members if name not in ("source-ref", "cl-metadata")]
        if others != [name + SUFFIX] or len(check.image.boxes) != count:
            raise Misfit
        if rest.count('"class-map":') != 1 or "\\" in rest or "\\" in key:
            raise Misfit
        if len(self._shapes) > MOST_KNOWN:
            self._shapes.clear()
        self._shapes[shape] = None if has_size else check.image.size

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

    def _read_class_map(self, text: str) -> Mapping[str, str]:
        pairs: list[tuple[str, str]] = _CLASS.findall(text)
        class_map = dict(pairs)
        if len(class_map) != len(pairs) or any(map(str.isspace, class_map.values())):
            raise Misfit
        if len(self._class_maps) > MOST_KNOWN:
            self._class_maps.clear()
        self._class_maps[text] = class_map
        return class_map


def _loaded(text: str) -> dict[str, object]:
    try:
        members, repeated = load_object(text)
    except NotJson as error:
        raise Misfit from error
    if repeated:
        raise Misfit
    return members


def _numbers(annotations: str, order: tuple[str, ...]) -> list[tuple[str, int, int, int, int]]:
    """Class id, left, top, width and height of each box of some annotations."""
    texts = annotations.encode("ascii").translate(None, _NOT_NUMBERS).decode("ascii").split(",")
    numbers = [_PIXELS[text] for text in texts]
    left, top, width, height = (
        numbers[order.index(name) :: 5] for name in ("left", "top", "width", "height")
    )
    return list(zip(texts[order.index("class_id") :: 5], left, top, width, height, strict=True))


def _order_of(text: str) -> tuple[str, ...] | None:
    """In which order the first box of a block names its numbers."""
    first = re.search(r'"annotations":\[\{([^{}]{0,200})\}', text)
    names = () if first is None else tuple(re.findall(r'"([a-z_]+)":', first[1]))
    return names if sorted(names) == ["class_id", "height", "left", "top", "width"] else None


@lru_cache(maxsize=16)
def _pattern(bucket: str, order: tuple[str, ...]) -> re.Pattern[str]:
    box = r"\{" + ",".join(rf'"{name}":[0-9]{{1,4}}' for name in order) + r"\}"
    key = r'("[^"\\\n]{1,256}":\{)'
    size = r'((?:"image_size":\[\{[^][{}\n]{0,100}\}\],)?)'
    return re.compile(
        rf'{start_of(bucket)}{key}{size}"annotations":\[((?:{box},)*{box})(\].*)\}}$', re.MULTILINE
    )
