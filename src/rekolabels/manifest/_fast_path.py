"""Fast path through blocks of lines that are all valid.

Programs write most manifests: all lines have the same form, and a few distinct texts make up all labels. So a
regular expression splits a whole block, each distinct piece of text is checked once with ``check_line``, and
images are built from checked pieces. If any piece does not fit or is invalid, the whole block takes the slow
path: the fast path never reports errors. It switches itself off where it does not pay.

Why it is correct: a line is accepted only if its text equals a text that was checked in full, except for
parts that no rule looks at and parts that are checked here too. These are the key of the image, dates,
confidences from 0 to 1, the choice and order of image-level labels, the image size, the class map, and the
numbers of boxes. Each of these parts begins with a quoted key, and an unescaped quote cannot occur inside a
JSON string, so no other text can be mistaken for such a part.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain, pairwise, repeat
from operator import add, le, lt
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

import attrs

from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest._json import InvalidJson, load_object
from rekolabels.manifest._label_attributes import METADATA_SUFFIX, LineAttributes, read_label_attribute
from rekolabels.manifest._line_rules import check_line, min_box_side
from rekolabels.manifest.limits import BOXES_PER_IMAGE, IMAGE_SIDE, LABELS_PER_IMAGE

if TYPE_CHECKING:
    from rekolabels.manifest._sources import Block

__all__ = ["CleanBlock", "FastPath"]

_T = TypeVar("_T")

_MAX_CACHED: Final = 5_000
"""Distinct texts of a kind that a reader caches; then it clears the cache."""
_MAX_LENGTH: Final = 90_000
"""Longer lines take the slow path, which checks their length."""

_KEY: Final = r'[^"\\\x00-\x20][^"\\\x00-\x1f]{0,255}'
"""An S3 key without escapes that is within the length limit in any encoding."""
_DATE: Final = re.compile(r'"creation-date":"[0-9T:. Z+-]{1,40}"')
_CONFIDENCE: Final = re.compile(r'"confidence":0(?:\.[0-9]{1,20})?(?=[,}])')


@attrs.frozen
class CleanBlock:
    """A block of lines that are all valid and have no findings."""

    bucket: str
    """The bucket of all images."""
    images: list[LabelledImage]
    """One image per line."""
    sources: list[str]
    """The S3 URIs of the images."""
    labels: Sequence[Collection[str]] = ()
    """The distinct image-level labels of each line; empty if no line has any."""
    box_labels: Sequence[Collection[str]] = ()
    """The distinct labels of the boxes of each line; empty if no line has any."""


class _NotRegular(Exception):
    """The block does not have the regular form, so it takes the slow path."""


def _line_start(bucket: str) -> str:
    """Return the pattern with which every line of a block begins; its group is the image."""
    return rf'^\{{"source-ref":"(s3://{re.escape(bucket)}/{_KEY})",'


def _normalize_dates(text: str) -> str:
    """Replace all dates and confidences in a text with the same ones."""
    text = _DATE.sub('"creation-date":"2000-01-01T00:00:00"', text)
    return _CONFIDENCE.sub('"confidence":1', text) if '"confidence":0' in text else text


def _make_images(
    sources: Sequence[str],
    labels: Iterable[tuple[str, ...]],
    boxes: Iterable[tuple[BoundingBox, ...]],
    sizes: Iterable[ImageSize | None],
    attributes: Iterable[Mapping[str, Any]],
) -> list[LabelledImage]:
    """Make an image from each row of these columns."""
    return _make_frozen(LabelledImage, len(sources), (sources, labels, boxes, sizes, attributes))


def _make_boxes(
    labels: Sequence[str],
    left: Iterable[float],
    top: Iterable[float],
    width: Iterable[float],
    height: Iterable[float],
) -> list[BoundingBox]:
    """Make a box from each row of these columns."""
    return _make_frozen(BoundingBox, len(labels), (labels, left, top, width, height))


def _make_frozen(kind: type[_T], count: int, columns: Iterable[Iterable[object]]) -> list[_T]:
    """Make frozen values from columns of their fields, in a third of the time of their constructors.

    For each field, set the slot of all values, as the constructor of a frozen class does for one value.
    Converters do not run, so the columns must hold converted values.
    """
    made = list(map(kind.__new__, repeat(kind, count)))
    for field, column in zip(attrs.fields(kind), columns, strict=True):  # type: ignore[arg-type]  # both are attrs classes
        set_slot: Callable[[object, object], None] = getattr(kind, field.name).__set__
        deque(map(set_slot, made, column), maxlen=0)
    return made


_UNLABELLED: Final = ["WARNING_UNANNOTATED_RECORD"]
_MAX_PIECES: Final = 400
"""More pieces than the service allows labels: they differ in something else too."""
_MIN_LINES: Final = 20
"""Blocks with fewer lines do not represent the file."""


class _LabelReader:
    """Fast path for image-level labels: splits lines into the image and one piece per label.

    Attributes:
        full_checks: Number of pieces that were checked in full.
    """

    def __init__(self) -> None:
        self.full_checks = 0
        self._tails: dict[str, LineAttributes] = {}
        self._names: dict[str, str] = {"": ""}
        self._labels: dict[str, str | None] = {"": None}
        self._dates_differ = False  # lines with the same labels have different texts
        self._sets_differ = False  # few lines have the same labels
        self._names_differ = False  # attributes have other keys than their labels

    def read(self, block: Block, bucket: str) -> CleanBlock | None:
        """Read the lines of a block; return None if the block must take the slow path."""
        found: list[tuple[str, str]] = _label_pattern(bucket).findall(block.text)
        if len(found) != block.count:
            return None
        try:
            tails = self._read_tails([text for _, text in found])
        except _NotRegular:
            return None
        sources = [source for source, _ in found]
        labels = [tail.labels for tail in tails]
        images = _make_images(sources, labels, repeat(()), repeat(None), tails)
        return CleanBlock(bucket, images, sources, labels=labels)

    def _read_tails(self, texts: list[str]) -> list[LineAttributes]:
        if not self._tails and not self._sets_differ:  # the first block
            self._dates_differ = self._dates_differ or _differ_in_dates(texts)
        same = _normalize_dates("\n".join(texts)).split("\n") if self._dates_differ else texts
        if self._sets_differ:
            return [
                LineAttributes(text, self._read_labels(plain))
                for text, plain in zip(texts, same, strict=True)
            ]
        known = self._tails
        if len(known) > _MAX_CACHED:
            known.clear()
        unknown = set(same).difference(known)
        for text in unknown:
            known[text] = LineAttributes(text, self._read_labels(text))
        self._sets_differ = 2 * len(unknown) > len(texts) > _MIN_LINES
        if self._dates_differ:
            return [
                LineAttributes(text, known[plain].labels) for text, plain in zip(texts, same, strict=True)
            ]
        return [known[text] for text in texts]

    def _read_labels(self, text: str) -> tuple[str, ...]:
        pieces = f",{text}".split("}")
        try:
            found = list(map(self._labels.__getitem__, pieces))
        except KeyError:
            found = list(map(self._check_in_full, pieces))
        found.pop()  # the empty piece after the last brace
        if None in found or self._names_differ:
            names = set(map(self._names.__getitem__, pieces))
            if len(names) != len(pieces):
                raise _NotRegular
            found = [label for label in found if label is not None]
        labels = cast("tuple[str, ...]", tuple(found))
        if len(set(labels)) != len(labels) or len(text) > _MAX_LENGTH:
            raise _NotRegular
        if not 1 <= len(labels) <= LABELS_PER_IMAGE:
            raise _NotRegular
        return labels

    def _check_in_full(self, piece: str) -> str | None:
        """Return the label of a piece, or None for ``cl-metadata``, after checking the piece in full.

        A piece begins with a comma and lacks the brace after its value. If it makes a valid line on its own,
        its braces and quotes balance; so they do in several such pieces together, if their keys differ.
        """
        if piece in self._labels:
            return self._labels[piece]
        self.full_checks += 1
        check = check_line(f'{{"source-ref":"s3://bucket/key"{piece}}}}}')
        name, *others = [name for name in check.members or () if name != "source-ref"] or [""]
        label = None
        if name != "cl-metadata" or others or [finding.code for finding in check.findings] != _UNLABELLED:
            if check.findings or check.image is None or len(check.image.labels) != 1:
                raise _NotRegular
            if others != [name + METADATA_SUFFIX] or name.endswith(METADATA_SUFFIX):
                raise _NotRegular
            label = check.image.labels[0]
        if len(self._labels) > (_MAX_CACHED if self._dates_differ else _MAX_PIECES):
            self._forget()
        self._names[piece], self._labels[piece] = name, label
        self._names_differ = self._names_differ or label not in (None, name)
        return label

    def _forget(self) -> None:
        """Clear the caches: the pieces differ in more than their labels, for example in dates."""
        self._dates_differ, self._sets_differ = True, False
        self._tails.clear()
        self._names = {"": ""}
        self._labels = {"": None}
        raise _NotRegular


def _differ_in_dates(texts: list[str]) -> bool:
    """Return whether most pieces differ only in their dates and confidences."""
    pieces = set("\n".join(texts).split("}"))
    same = set(_normalize_dates("}".join(pieces)).split("}"))
    return 2 * len(same) < len(pieces)


@lru_cache(maxsize=16)
def _label_pattern(bucket: str) -> re.Pattern[str]:
    return re.compile(_line_start(bucket) + r'(".*\})\}$', re.MULTILINE)


_CLASS: Final = re.compile(r'"(0|[1-9][0-9]{0,8})":"([^"\\{}\x00-\x1f]{1,256})"')
_DIGITS: Final = "[0-9]{1,9}"
_NUMBER: Final = "[0-9.]{1,22}"
"""A superset of numbers: JSON parsing rejects 007 and 1.2.3 later."""
_NOT_NUMBERS: Final = bytes(set(range(256)) - set(b"0123456789.,"))
_MAX_SHAPES: Final = 150
"""With more shapes, the lines differ in something like the date."""

_FIELDS: Final = ("class_id", "left", "top", "width", "height")

_Parts: TypeAlias = "list[tuple[str, str, str, str, str]]"
"""Lines, split into the image, the key with its brace, the size, the boxes, and the rest."""
_Columns: TypeAlias = "tuple[list[int], list[float], list[float], list[float], list[float]]"
"""Columns of boxes: class id, left, top, width and height."""
_Shape: TypeAlias = "tuple[str, bool, str, str, int]"
"""What lines share: the key, whether the size is in the rest, the text before and after the class map,
and the number of boxes."""


class _BoxReader:
    """Fast path for boxes: splits lines into the image, the size, the boxes, the class map and the rest.

    Attributes:
        full_checks: Number of lines that were checked in full.
    """

    def __init__(self) -> None:
        self.full_checks = 0
        self._shapes: dict[_Shape, ImageSize | None] = {}
        self._sizes: dict[str, ImageSize] = {}
        self._classes: dict[str, tuple[int, str]] = {}
        self._class_maps: dict[str, dict[int, str]] = {}
        self._dates_differ = False  # lines of the same shape have different texts

    def read(self, block: Block, bucket: str) -> CleanBlock | None:
        """Read the lines of a block; return None if the block must take the slow path."""
        first = re.search(r'"annotations":\[\{([^{}]{0,200})\}', block.text)
        order = () if first is None else tuple(re.findall(r'"([a-z_]+)":', first[1]))
        if first is None or sorted(order) != sorted(_FIELDS):
            return None
        found: _Parts = _box_pattern(bucket, order).findall(block.text)
        if len(found) != block.count:
            return None
        tails = [parts[4] for parts in found]
        if self._dates_differ:
            tails = _normalize_dates("\n".join(tails)).split("\n")
        try:
            columns = _columns(",".join([parts[3] for parts in found]), order)
            return self._read_lines(bucket, block, found, tails, columns)
        except (_NotRegular, KeyError, ValueError):  # class ids missing in the map; numbers such as 007
            return None

    def _read_lines(
        self, bucket: str, block: Block, found: _Parts, tails: list[str], columns: _Columns
    ) -> CleanBlock:
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
                self._check_in_full(block, len(sizes), shape)
            size = self._shapes[shape] or self._sizes.get(size_text) or self._read_size(size_text)
            classes = self._class_maps.get(class_map) or self._read_class_map(class_map)
            labels += map(classes.__getitem__, ids[ends[-1] : ends[-1] + count])
            sizes.append(size)
            ends.append(ends[-1] + count)
        _check_positions(columns, sizes, ends)
        made = _make_boxes(labels, left, top, width, height)
        spans = [slice(start, end) for start, end in pairwise(ends)]
        boxes = [tuple(made[span]) for span in spans]
        attributes = [
            LineAttributes(f'{key}{size_text}"annotations":[{places}{tail}', (), line_boxes, size)
            for (_, key, size_text, places, tail), line_boxes, size in zip(found, boxes, sizes, strict=True)
        ]
        if max(len(line.text) for line in attributes) > _MAX_LENGTH:
            raise _NotRegular
        sources = [parts[0] for parts in found]
        images = _make_images(sources, repeat(()), boxes, sizes, attributes)
        return CleanBlock(bucket, images, sources, box_labels=[frozenset(labels[span]) for span in spans])

    def _check_in_full(self, block: Block, index: int, shape: _Shape) -> None:
        """Check a line in full, so that what it shares with other lines of its shape is known to be valid."""
        self.full_checks += 1
        key, _, before, after, count = shape
        check = check_line(block.text.split("\n")[index])
        if check.findings or check.image is None or check.members is None or count > BOXES_PER_IMAGE:
            raise _NotRegular
        name, *others = [name for name in check.members if name not in ("source-ref", "cl-metadata")]
        if others != [name + METADATA_SUFFIX] or len(check.image.boxes) != count:
            raise _NotRegular
        if '"class-map":' in before or '"class-map":' in after or "\\" in key + before + after:
            raise _NotRegular  # there may be another class map, and the last one wins
        if len(self._shapes) > (_MAX_CACHED if self._dates_differ else _MAX_SHAPES):
            self._dates_differ = True
            self._shapes.clear()
            raise _NotRegular
        self._shapes[shape] = check.image.size if shape[1] else None

    def _read_size(self, text: str) -> ImageSize:
        stated = _load(f"{{{text[:-1]}}}")
        size = read_label_attribute("a", stated, {"type": "groundtruth/object-detection"}).size
        low, high = IMAGE_SIDE
        if size is None or not (low <= size.width <= high and low <= size.height <= high):
            raise _NotRegular
        if len(self._sizes) > _MAX_CACHED:
            self._sizes.clear()
        self._sizes[text] = size
        return size

    def _read_class_map(self, text: str) -> dict[int, str]:
        classes = text.split(",")
        try:
            labels = dict(map(self._classes.__getitem__, classes))
        except KeyError:
            if len(self._classes) > _MAX_CACHED:
                self._classes.clear()
            for entry in classes:
                match = _CLASS.fullmatch(entry)
                if match is None or match[2].isspace():
                    raise _NotRegular from None
                self._classes[entry] = (int(match[1]), match[2])
            labels = dict(map(self._classes.__getitem__, classes))
        if len(labels) != len(classes):
            raise _NotRegular
        if len(self._class_maps) > _MAX_CACHED:
            self._class_maps.clear()
        self._class_maps[text] = labels
        return labels


def _load(text: str) -> dict[str, object]:
    try:
        members, repeated = load_object(text)
    except InvalidJson as error:
        raise _NotRegular from error
    if repeated:
        raise _NotRegular
    return members


def _columns(annotations: str, order: tuple[str, ...]) -> _Columns:
    """Parse the annotations of a block into columns."""
    numbers = annotations.encode("ascii").translate(None, _NOT_NUMBERS).decode("ascii")
    values: list[Any] = json.loads(f"[{numbers}]")
    ids, left, top, width, height = [values[order.index(name) :: 5] for name in _FIELDS]
    return ids, left, top, width, height


def _check_positions(columns: _Columns, sizes: list[ImageSize], ends: list[int]) -> None:
    """Check that the boxes are inside their images and large enough.

    ``sizes`` and ``ends`` (of the boxes of each line within the columns) are by line.
    """
    _, left, top, width, height = columns
    if sizes.count(sizes[0]) == len(sizes):  # the usual case: checking the extremes is enough
        first = sizes[0]
        inside = max(map(add, left, width)) <= first.width and max(map(add, top, height)) <= first.height
        shortest_width, shortest_height = min(width), min(height)
        if not inside or min(shortest_width, shortest_height) <= min_box_side(first):
            raise _NotRegular
        return
    counts = [end - start for start, end in pairwise(ends)]
    of_boxes = list(chain.from_iterable(map(repeat, sizes, counts)))
    right, bottom = [size.width for size in of_boxes], [size.height for size in of_boxes]
    minimum = list(map(min_box_side, of_boxes))
    inside = all(map(le, map(add, left, width), right)) and all(map(le, map(add, top, height), bottom))
    if not inside or not all(map(lt, minimum, width)) or not all(map(lt, minimum, height)):
        raise _NotRegular


@lru_cache(maxsize=16)
def _box_pattern(bucket: str, order: tuple[str, ...]) -> re.Pattern[str]:
    box = ",".join(f'"{name}":{_DIGITS if name == "class_id" else _NUMBER}' for name in order)
    key = r'("[^"\\\n]{1,256}":\{)'
    size = r'((?:"image_size":\[\{[^][{}\n]{0,100}\}\],)?)'
    return re.compile(
        rf'{_line_start(bucket)}{key}{size}"annotations":\[((?:\{{{box}\}},)*\{{{box}\}})(\].*)\}}$',
        re.MULTILINE,
    )


_BUCKET: Final = re.compile(r'\{"source-ref":"s3://([0-9A-Za-z._-]{3,255})/')
_MAX_FAILURES: Final = 6
"""After this number of blocks in a row without gain, a reader is not tried again."""


class FastPath:
    """Reader for blocks of valid lines. It caches the texts that it has checked, up to a limit."""

    def __init__(self) -> None:
        self._readers: dict[_LabelReader | _BoxReader, int]
        self._readers = {_LabelReader(): _MAX_FAILURES, _BoxReader(): _MAX_FAILURES}

    def read(self, block: Block) -> CleanBlock | None:
        """Read the lines of a block; return None if the block must take the slow path."""
        bucket = _BUCKET.match(block.text)
        if bucket is None:
            return None
        for reader, remaining in self._readers.items():
            if remaining:
                full_checks = reader.full_checks
                found = reader.read(block, bucket[1])
                paid = found is not None and 2 * (reader.full_checks - full_checks) <= block.count
                self._readers[reader] = _MAX_FAILURES if paid else remaining - 1
                if found is not None:
                    return found
        return None
