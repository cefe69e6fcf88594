"""The label attributes of a line: which keys belong together, what they say, and their form.

A line is an object with ``source-ref`` and pairs of keys: ``rust`` and ``rust-metadata``. This module is
where the form of a pair is known; the reader (``parse_line``) and the check stand on it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import attrs

from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest._json import is_list, is_object, load_object

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "CLASSIFICATION",
    "DETECTION",
    "RESERVED",
    "SUFFIX",
    "Fault",
    "LineAttributes",
    "Pair",
    "image_of",
    "pairs_of",
    "read_pair",
]

SUFFIX: Final = "-metadata"
CLASSIFICATION: Final = "groundtruth/image-classification"
DETECTION: Final = "groundtruth/object-detection"
RESERVED: Final = frozenset({"source-ref", "cl-metadata", "cl-errors", "errors", "warnings"})
"""Keys that are no label attributes: the image itself, and what the service adds to entries and results."""

_FARTHEST: Final = 2**53
"""Numbers beyond this are no pixels; up to it floats are exact."""


@attrs.frozen
class Fault:
    """Something wrong with the form of a pair."""

    code: str
    """The service's code."""
    path: tuple[str | int, ...]
    """Where, as the steps of a JSON pointer from the line."""
    detail: str
    """What is wrong, in words."""
    lost: bool
    """Whether a label or box cannot be made out because of it."""


@attrs.frozen
class Pair:
    """What a label attribute and its metadata say."""

    key: str
    """The name of the attribute; its metadata has the same with ``-metadata``."""
    kind: str | None
    """The ``type`` of the metadata: one of the two supported, another one, or None when it has none."""
    label: str | None = None
    """The image-level label."""
    boxes: tuple[BoundingBox, ...] = ()
    """The boxes, in the order of the annotations."""
    size: ImageSize | None = None
    """The stated size of the image."""
    faults: tuple[Fault, ...] = ()
    """What is wrong with the form."""


def pairs_of(line: Mapping[str, Any]) -> list[str]:
    """The names of the label attributes of a line that have their metadata beside them, in their order."""
    taken: set[str] = set()
    found: list[str] = []
    for key in line:
        if key in RESERVED or key in taken:
            continue
        partner = key + SUFFIX
        if partner in line and partner not in RESERVED:
            found.append(key)
            taken.add(partner)
    return found


def read_pair(key: str, value: object, metadata: object) -> Pair:
    """Read one pair: the label or the boxes that it holds, and what is wrong with its form."""
    at = key + SUFFIX
    if not is_object(metadata):
        return Pair(key, None, faults=(_metadata(at, "it must be an object", lost=True),))
    kind = metadata.get("type")
    if not isinstance(kind, str):
        detail = "'type' must be a text" if "type" in metadata else "it has no 'type'"
        lost = "class-name" in metadata or "class-map" in metadata
        return Pair(key, None, faults=(_metadata(at, detail, "type", lost=lost),))
    if kind == CLASSIFICATION:
        return _read_label(key, value, metadata)
    if kind == DETECTION:
        return _read_boxes(key, value, metadata)
    return Pair(key, kind)


def _read_label(key: str, value: object, metadata: Mapping[str, Any]) -> Pair:
    at = key + SUFFIX
    faults: list[Fault] = []
    if not _is_integer(value):
        faults.append(
            _attribute(key, "the value of an image-level label must be an integer, such as 1", lost=False)
        )
    label = metadata.get("class-name")
    if not isinstance(label, str):
        faults.append(_metadata(at, "'class-name' must be the label as a text", "class-name", lost=True))
        label = None
    confidence = metadata.get("confidence")
    if not _is_number(confidence) or not 0 <= confidence <= 1:
        faults.append(_metadata(at, "'confidence' must be a number from 0 to 1", "confidence", lost=False))
    faults += _common_faults(at, metadata)
    return Pair(key, CLASSIFICATION, label=label, faults=tuple(faults))


def _read_boxes(key: str, value: object, metadata: Mapping[str, Any]) -> Pair:
    at = key + SUFFIX
    faults = _common_faults(at, metadata)
    class_map = metadata.get("class-map")
    if not is_object(class_map) or not all(isinstance(label, str) for label in class_map.values()):
        faults.append(
            _metadata(at, "'class-map' must be an object from class ids to labels", "class-map", lost=True)
        )
        class_map = None
    objects = metadata.get("objects")
    if not is_list(objects):
        faults.append(_metadata(at, "'objects' must be a list", "objects", lost=False))
    else:
        faults += _confidence_faults(at, objects)
    if not is_object(value):
        detail = "the value of a bounding box attribute must be an object with 'image_size' and 'annotations'"
        return Pair(key, DETECTION, faults=(*faults, _attribute(key, detail, lost=True)))
    size, wrong = _read_size(key, value.get("image_size"))
    faults += wrong
    annotations = value.get("annotations", [])
    if not is_list(annotations):
        faults.append(_attribute(key, "'annotations' must be a list", "annotations", lost=True))
        annotations = []
    if is_list(objects) and len(objects) < len(annotations):
        detail = f"there are {len(annotations)} annotations but only {len(objects)} objects with a confidence"
        faults.append(Fault("ERROR_MISSING_BOUNDING_BOX_CONFIDENCE", (at, "objects"), detail, lost=False))
    boxes: list[BoundingBox] = []
    unknown: dict[str, None] = {}
    for index, annotation in enumerate(annotations):
        box = _read_box(key, index, annotation, class_map or {})
        if isinstance(box, Fault):
            faults.append(box)
        elif isinstance(box, str):
            unknown[box] = None
        else:
            boxes.append(box)
    if unknown and class_map is not None:
        detail = f"'class-map' lacks the class id {', '.join(unknown)}"
        faults.append(Fault("ERROR_MISSING_CLASS_MAP_ID", (at, "class-map"), detail, lost=True))
    return Pair(key, DETECTION, boxes=tuple(boxes), size=size, faults=tuple(faults))


def _read_size(key: str, stated: object) -> tuple[ImageSize | None, list[Fault]]:
    if not is_list(stated) or len(stated) != 1 or not is_object(stated[0]):
        detail = "'image_size' must be a list with one object"
        return None, [_attribute(key, detail, "image_size", lost=False)]
    sides: list[int] = []
    for name in ("width", "height", "depth"):
        side = stated[0].get(name)
        if not _is_integer(side) or not -_FARTHEST <= side <= _FARTHEST:
            return None, [_attribute(key, f"'{name}' must be an integer", "image_size", 0, name, lost=False)]
        sides.append(side)
    return ImageSize(*sides), []


def _read_box(
    key: str, index: int, annotation: object, class_map: Mapping[str, str]
) -> BoundingBox | str | Fault:
    """One box; a text is the class id that the map lacks."""
    if not is_object(annotation):
        return _attribute(key, "an annotation must be an object", "annotations", index, lost=True)
    number = annotation.get("class_id")
    if not _is_integer(number):
        return _attribute(key, "'class_id' must be an integer", "annotations", index, "class_id", lost=True)
    numbers: list[float] = []
    for name in ("left", "top", "width", "height"):
        pixels = annotation.get(name)
        if not _is_number(pixels) or not -_FARTHEST <= pixels <= _FARTHEST:
            return _attribute(
                key, f"'{name}' must be a number of pixels", "annotations", index, name, lost=True
            )
        numbers.append(pixels)
    label = class_map.get(_decimal(number))
    return _decimal(number) if label is None else BoundingBox(label, *numbers)


def _confidence_faults(at: str, objects: list[Any]) -> list[Fault]:
    for index, entry in enumerate(objects):
        if not is_object(entry):
            return [_metadata(at, "an element of 'objects' must be an object", "objects", index, lost=False)]
        if "confidence" not in entry:
            detail = f"object {index} has no 'confidence'"
            return [
                Fault("ERROR_MISSING_BOUNDING_BOX_CONFIDENCE", (at, "objects", index), detail, lost=False)
            ]
        confidence = entry["confidence"]
        if not _is_number(confidence) or not 0 <= confidence <= 1:
            detail = "'confidence' must be a number from 0 to 1"
            return [_metadata(at, detail, "objects", index, "confidence", lost=False)]
    return []


def _common_faults(at: str, metadata: Mapping[str, Any]) -> list[Fault]:
    faults: list[Fault] = []
    if metadata.get("human-annotated") not in ("yes", "no"):
        faults.append(_metadata(at, "'human-annotated' must be 'yes' or 'no'", "human-annotated", lost=False))
    if not isinstance(metadata.get("creation-date"), str):
        faults.append(_metadata(at, "'creation-date' must be a date as a text", "creation-date", lost=False))
    return faults


def _metadata(at: str, detail: str, *path: str | int, lost: bool) -> Fault:
    return Fault("ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT", (at, *path), detail, lost)


def _attribute(key: str, detail: str, *path: str | int, lost: bool) -> Fault:
    return Fault("ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT", (key, *path), detail, lost)


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[float]:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def _decimal(number: int) -> str:
    """A class id as text; a number with thousands of digits would not convert."""
    return str(number) if -_FARTHEST <= number <= _FARTHEST else "(too large)"


class LineAttributes(Mapping[str, Any]):
    """The keys of a manifest line except ``source-ref``, as a read-only mapping.

    It holds the text of the line and parses it when a key is asked for; lines with the same text share one of
    these. A line whose labels were not touched is written with this very text.

    Attributes:
        text: The members of the object, without the braces; empty when there are none.
        labels: The image-level labels in the text.
        boxes: The boxes in the text.
        size: The size of the image in the text.
    """

    __slots__ = ("_members", "boxes", "labels", "size", "text")

    def __init__(
        self,
        text: str,
        labels: tuple[str, ...] = (),
        boxes: tuple[BoundingBox, ...] = (),
        size: ImageSize | None = None,
        members: dict[str, Any] | None = None,
    ) -> None:
        self.text = text
        self.labels = labels
        self.boxes = boxes
        self.size = size
        self._members = members

    def _parsed(self) -> dict[str, Any]:
        if self._members is None:
            self._members = load_object(f"{{{self.text}}}")[0]
        return self._members

    def __getitem__(self, key: str) -> Any:
        return self._parsed()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed())

    def __len__(self) -> int:
        return len(self._parsed())

    def __repr__(self) -> str:
        return repr(self._parsed())


_HEAD: Final = re.compile(r'\s*\{\s*"source-ref"\s*:\s*"(?:[^"\\]|\\.)*"\s*(?:,(?=\s*")|(?=\}\s*$))')
"""The beginning of a line whose first key is the image; the text behind it is kept as it is."""


def image_of(text: str, members: dict[str, Any], pairs: list[Pair], *, keep_text: bool) -> LabelledImage:
    """Put an image together from a line and the pairs that were read from it."""
    labels = tuple(pair.label for pair in pairs if pair.label is not None)
    boxes = tuple(box for pair in pairs for box in pair.boxes)
    size = next((pair.size for pair in pairs if pair.size is not None), None)
    rest = {key: value for key, value in members.items() if key != "source-ref"}
    head = _HEAD.match(text) if keep_text else None
    if head is None:
        return LabelledImage(members["source-ref"], labels, boxes, size, rest)
    tail = text[head.end() : text.rindex("}")].strip()
    return LabelledImage(
        members["source-ref"], labels, boxes, size, LineAttributes(tail, labels, boxes, size, rest)
    )
