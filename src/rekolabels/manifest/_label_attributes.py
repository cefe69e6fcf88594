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
    "METADATA_SUFFIX",
    "RESERVED_KEYS",
    "FormatProblem",
    "LabelAttribute",
    "LineAttributes",
    "build_image",
    "label_attribute_keys",
    "read_label_attribute",
]

METADATA_SUFFIX: Final = "-metadata"
CLASSIFICATION: Final = "groundtruth/image-classification"
DETECTION: Final = "groundtruth/object-detection"
RESERVED_KEYS: Final = frozenset({"source-ref", "cl-metadata", "cl-errors", "errors", "warnings"})
"""Keys that are no label attributes: the image itself, and what the service adds to entries and results."""

_MAX_NUMBER: Final = 2**53
"""Numbers beyond this are no pixels; up to it floats are exact."""


@attrs.frozen
class FormatProblem:
    """Something wrong with the form of a pair."""

    code: str
    """The service's code."""
    path: tuple[str | int, ...]
    """Where, as the steps of a JSON pointer from the line."""
    detail: str
    """What is wrong, in words."""
    unreadable: bool
    """Whether a label or box cannot be made out because of it."""


@attrs.frozen
class LabelAttribute:
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
    problems: tuple[FormatProblem, ...] = ()
    """What is wrong with the form."""


def label_attribute_keys(line: Mapping[str, Any]) -> list[str]:
    """The names of the label attributes of a line that have their metadata beside them, in their order."""
    taken: set[str] = set()
    found: list[str] = []
    for key in line:
        if key in RESERVED_KEYS or key in taken:
            continue
        partner = key + METADATA_SUFFIX
        if partner in line and partner not in RESERVED_KEYS:
            found.append(key)
            taken.add(partner)
    return found


def read_label_attribute(key: str, value: object, metadata: object) -> LabelAttribute:
    """Read one pair: the label or the boxes that it holds, and what is wrong with its form."""
    at = key + METADATA_SUFFIX
    if not is_object(metadata):
        return LabelAttribute(
            key, None, problems=(_metadata_problem(at, "it must be an object", unreadable=True),)
        )
    kind = metadata.get("type")
    if not isinstance(kind, str):
        detail = "'type' must be a text" if "type" in metadata else "it has no 'type'"
        unreadable = "class-name" in metadata or "class-map" in metadata
        return LabelAttribute(
            key, None, problems=(_metadata_problem(at, detail, "type", unreadable=unreadable),)
        )
    if kind == CLASSIFICATION:
        return _read_label(key, value, metadata)
    if kind == DETECTION:
        return _read_boxes(key, value, metadata)
    return LabelAttribute(key, kind)


def _read_label(key: str, value: object, metadata: Mapping[str, Any]) -> LabelAttribute:
    at = key + METADATA_SUFFIX
    problems: list[FormatProblem] = []
    if not _is_integer(value):
        problems.append(
            _attribute_problem(
                key, "the value of an image-level label must be an integer, such as 1", unreadable=False
            )
        )
    label = metadata.get("class-name")
    if not isinstance(label, str):
        problems.append(
            _metadata_problem(at, "'class-name' must be the label as a text", "class-name", unreadable=True)
        )
        label = None
    confidence = metadata.get("confidence")
    if not _is_number(confidence) or not 0 <= confidence <= 1:
        problems.append(
            _metadata_problem(at, "'confidence' must be a number from 0 to 1", "confidence", unreadable=False)
        )
    problems += _common_problems(at, metadata)
    return LabelAttribute(key, CLASSIFICATION, label=label, problems=tuple(problems))


def _read_boxes(key: str, value: object, metadata: Mapping[str, Any]) -> LabelAttribute:
    at = key + METADATA_SUFFIX
    problems = _common_problems(at, metadata)
    class_map = metadata.get("class-map")
    if not is_object(class_map) or not all(isinstance(label, str) for label in class_map.values()):
        problems.append(
            _metadata_problem(
                at, "'class-map' must be an object from class ids to labels", "class-map", unreadable=True
            )
        )
        class_map = None
    objects = metadata.get("objects")
    if not is_list(objects):
        problems.append(_metadata_problem(at, "'objects' must be a list", "objects", unreadable=False))
    else:
        problems += _confidence_problems(at, objects)
    if not is_object(value):
        detail = "the value of a bounding box attribute must be an object with 'image_size' and 'annotations'"
        return LabelAttribute(
            key, DETECTION, problems=(*problems, _attribute_problem(key, detail, unreadable=True))
        )
    size, wrong = _read_size(key, value.get("image_size"))
    problems += wrong
    annotations = value.get("annotations", [])
    if not is_list(annotations):
        problems.append(
            _attribute_problem(key, "'annotations' must be a list", "annotations", unreadable=True)
        )
        annotations = []
    if is_list(objects) and len(objects) < len(annotations):
        detail = f"there are {len(annotations)} annotations but only {len(objects)} objects with a confidence"
        problems.append(
            FormatProblem("ERROR_MISSING_BOUNDING_BOX_CONFIDENCE", (at, "objects"), detail, unreadable=False)
        )
    boxes: list[BoundingBox] = []
    unknown: dict[str, None] = {}
    for index, annotation in enumerate(annotations):
        box = _read_box(key, index, annotation, class_map or {})
        if isinstance(box, FormatProblem):
            problems.append(box)
        elif isinstance(box, str):
            unknown[box] = None
        else:
            boxes.append(box)
    if unknown and class_map is not None:
        detail = f"'class-map' lacks the class id {', '.join(unknown)}"
        problems.append(
            FormatProblem("ERROR_MISSING_CLASS_MAP_ID", (at, "class-map"), detail, unreadable=True)
        )
    return LabelAttribute(key, DETECTION, boxes=tuple(boxes), size=size, problems=tuple(problems))


def _read_size(key: str, stated: object) -> tuple[ImageSize | None, list[FormatProblem]]:
    if not is_list(stated) or len(stated) != 1 or not is_object(stated[0]):
        detail = "'image_size' must be a list with one object"
        return None, [_attribute_problem(key, detail, "image_size", unreadable=False)]
    sides: list[int] = []
    for name in ("width", "height", "depth"):
        side = stated[0].get(name)
        if not _is_integer(side) or not -_MAX_NUMBER <= side <= _MAX_NUMBER:
            return None, [
                _attribute_problem(
                    key, f"'{name}' must be an integer", "image_size", 0, name, unreadable=False
                )
            ]
        sides.append(side)
    return ImageSize(*sides), []


def _read_box(
    key: str, index: int, annotation: object, class_map: Mapping[str, str]
) -> BoundingBox | str | FormatProblem:
    """One box; a text is the class id that the map lacks."""
    if not is_object(annotation):
        return _attribute_problem(
            key, "an annotation must be an object", "annotations", index, unreadable=True
        )
    number = annotation.get("class_id")
    if not _is_integer(number):
        return _attribute_problem(
            key, "'class_id' must be an integer", "annotations", index, "class_id", unreadable=True
        )
    numbers: list[float] = []
    for name in ("left", "top", "width", "height"):
        pixels = annotation.get(name)
        if not _is_number(pixels) or not -_MAX_NUMBER <= pixels <= _MAX_NUMBER:
            return _attribute_problem(
                key, f"'{name}' must be a number of pixels", "annotations", index, name, unreadable=True
            )
        numbers.append(pixels)
    label = class_map.get(_decimal(number))
    return _decimal(number) if label is None else BoundingBox(label, *numbers)


def _confidence_problems(at: str, objects: list[Any]) -> list[FormatProblem]:
    for index, entry in enumerate(objects):
        if not is_object(entry):
            return [
                _metadata_problem(
                    at, "an element of 'objects' must be an object", "objects", index, unreadable=False
                )
            ]
        if "confidence" not in entry:
            detail = f"object {index} has no 'confidence'"
            return [
                FormatProblem(
                    "ERROR_MISSING_BOUNDING_BOX_CONFIDENCE", (at, "objects", index), detail, unreadable=False
                )
            ]
        confidence = entry["confidence"]
        if not _is_number(confidence) or not 0 <= confidence <= 1:
            detail = "'confidence' must be a number from 0 to 1"
            return [_metadata_problem(at, detail, "objects", index, "confidence", unreadable=False)]
    return []


def _common_problems(at: str, metadata: Mapping[str, Any]) -> list[FormatProblem]:
    problems: list[FormatProblem] = []
    if metadata.get("human-annotated") not in ("yes", "no"):
        problems.append(
            _metadata_problem(
                at, "'human-annotated' must be 'yes' or 'no'", "human-annotated", unreadable=False
            )
        )
    if not isinstance(metadata.get("creation-date"), str):
        problems.append(
            _metadata_problem(
                at, "'creation-date' must be a date as a text", "creation-date", unreadable=False
            )
        )
    return problems


def _metadata_problem(at: str, detail: str, *path: str | int, unreadable: bool) -> FormatProblem:
    return FormatProblem("ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT", (at, *path), detail, unreadable)


def _attribute_problem(key: str, detail: str, *path: str | int, unreadable: bool) -> FormatProblem:
    return FormatProblem("ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT", (key, *path), detail, unreadable)


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[float]:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def _decimal(number: int) -> str:
    """A class id as text; a number with thousands of digits would not convert."""
    return str(number) if -_MAX_NUMBER <= number <= _MAX_NUMBER else "(too large)"


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


def build_image(
    text: str, members: dict[str, Any], pairs: list[LabelAttribute], *, keep_text: bool
) -> LabelledImage:
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
