"""Label attributes of a manifest line: find, read and validate them, and build the labelled image.

A line is a JSON object with ``source-ref`` and pairs of keys such as ``rust`` and ``rust-metadata``. Ground
Truth calls the first key of a pair a label attribute. This module alone knows the format of these pairs; both
the reader (``parse_line``) and the line rules (``check_line``) use it.
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
    "is_integer_text",
    "label_attribute_keys",
    "read_label_attribute",
]

METADATA_SUFFIX: Final = "-metadata"
CLASSIFICATION: Final = "groundtruth/image-classification"
"""The ``type`` of an image-level label."""
DETECTION: Final = "groundtruth/object-detection"
"""The ``type`` of bounding boxes."""
RESERVED_KEYS: Final = frozenset({"source-ref", "cl-metadata", "cl-errors", "errors", "warnings"})
"""Keys that are not label attributes: the image, and what the service adds to entries and results."""

_INTEGER_TEXT: Final = re.compile(r"-?[0-9]{1,20}")
_MAX_NUMBER: Final = 2**53
"""Larger numbers are not pixels. Up to this number, floats represent integers exactly."""


@attrs.frozen
class FormatProblem:
    """A violation of the format of label attributes."""

    code: str
    """The service's error code."""
    path: tuple[str | int, ...]
    """The location in the line, as the steps of a JSON pointer."""
    detail: str
    """The reason, as a sentence without capital letter and full stop."""
    unreadable: bool
    """Whether a label or box cannot be read because of it."""


@attrs.frozen
class LabelAttribute:
    """The content of a label attribute and its metadata."""

    key: str
    """The key of the attribute. The key of its metadata has the suffix ``-metadata``."""
    kind: str | None
    """The ``type`` in the metadata: ``CLASSIFICATION``, ``DETECTION``, an unsupported one, or None."""
    label: str | None = None
    """The image-level label."""
    boxes: tuple[BoundingBox, ...] = ()
    """The boxes, in the order of the annotations."""
    size: ImageSize | None = None
    """The stated image size, in pixels."""
    problems: tuple[FormatProblem, ...] = ()
    """Violations of the format."""


def label_attribute_keys(line: Mapping[str, Any]) -> list[str]:
    """Return the keys of the label attributes of a line that have metadata, in the order of the line."""
    metadata_keys: set[str] = set()
    found: list[str] = []
    for key in line:
        if key in RESERVED_KEYS or key in metadata_keys:
            continue
        metadata_key = key + METADATA_SUFFIX
        if metadata_key in line and metadata_key not in RESERVED_KEYS:
            found.append(key)
            metadata_keys.add(metadata_key)
    return found


def read_label_attribute(key: str, value: object, metadata: object) -> LabelAttribute:
    """Read the label or the boxes of a label attribute, and validate its format."""
    at = key + METADATA_SUFFIX
    if not is_object(metadata):
        problem = _metadata_problem(at, "the metadata must be an object", unreadable=True)
        return LabelAttribute(key, None, problems=(problem,))
    kind = metadata.get("type")
    if not isinstance(kind, str):
        detail = "'type' must be a string" if "type" in metadata else "'type' is missing"
        unreadable = "class-name" in metadata or "class-map" in metadata
        problem = _metadata_problem(at, detail, "type", unreadable=unreadable)
        return LabelAttribute(key, None, problems=(problem,))
    if kind == CLASSIFICATION:
        return _read_label(key, value, metadata)
    if kind == DETECTION:
        return _read_boxes(key, value, metadata)
    return LabelAttribute(key, kind)


def _read_label(key: str, value: object, metadata: Mapping[str, Any]) -> LabelAttribute:
    at = key + METADATA_SUFFIX
    problems: list[FormatProblem] = []
    if not _is_integer(value) and not is_integer_text(value):
        detail = "the value of an image-level label must be an integer, such as 1"
        problems.append(_attribute_problem(key, detail, unreadable=False))
    label = metadata.get("class-name")
    if not isinstance(label, str):
        detail = "'class-name' must be the label, a string"
        problems.append(_metadata_problem(at, detail, "class-name", unreadable=True))
        label = None
    confidence = metadata.get("confidence")
    if not _is_number(confidence) or not 0 <= confidence <= 1:
        detail = "'confidence' must be a number from 0 to 1"
        problems.append(_metadata_problem(at, detail, "confidence", unreadable=False))
    problems += _common_problems(at, metadata)
    return LabelAttribute(key, CLASSIFICATION, label=label, problems=tuple(problems))


def _read_boxes(key: str, value: object, metadata: Mapping[str, Any]) -> LabelAttribute:
    at = key + METADATA_SUFFIX
    problems = _common_problems(at, metadata)
    class_map = metadata.get("class-map")
    if not is_object(class_map) or not all(isinstance(label, str) for label in class_map.values()):
        detail = "'class-map' must be an object that maps class ids to labels"
        problems.append(_metadata_problem(at, detail, "class-map", unreadable=True))
        class_map = None
    objects = metadata.get("objects")
    if not is_list(objects):
        problems.append(_metadata_problem(at, "'objects' must be a list", "objects", unreadable=False))
    else:
        problems += _confidence_problems(at, objects)
    if not is_object(value):
        detail = "the value of a bounding box attribute must be an object with 'image_size' and 'annotations'"
        problems.append(_attribute_problem(key, detail, unreadable=True))
        return LabelAttribute(key, DETECTION, problems=tuple(problems))
    size, size_problems = _read_size(key, value.get("image_size"))
    problems += size_problems
    annotations = value.get("annotations", [])
    if not is_list(annotations):
        detail = "'annotations' must be a list"
        problems.append(_attribute_problem(key, detail, "annotations", unreadable=True))
        annotations = []
    if is_list(objects) and len(objects) < len(annotations):
        code = "ERROR_MISSING_BOUNDING_BOX_CONFIDENCE"
        detail = f"'objects' has fewer elements than 'annotations' ({len(objects)} and {len(annotations)})"
        problems.append(FormatProblem(code, (at, "objects"), detail, unreadable=False))
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
            detail = f"'{name}' must be an integer"
            return None, [_attribute_problem(key, detail, "image_size", 0, name, unreadable=False)]
        sides.append(side)
    return _stated_size(*sides), []


def _stated_size(width: int, height: int, depth: int) -> ImageSize:
    """Return the size that a line states, also one that is not possible: the rules of the check report it."""
    size = ImageSize.__new__(ImageSize)
    for name, side in (("width", width), ("height", height), ("depth", depth)):
        object.__setattr__(size, name, side)
    return size


def _read_box(
    key: str, index: int, annotation: object, class_map: Mapping[str, str]
) -> BoundingBox | str | FormatProblem:
    """Read one box; return its class id as a string if the class map lacks it."""
    path: tuple[str | int, ...] = ("annotations", index)
    if not is_object(annotation):
        return _attribute_problem(key, "an annotation must be an object", *path, unreadable=True)
    class_id = annotation.get("class_id")
    if not _is_integer(class_id):
        return _attribute_problem(key, "'class_id' must be an integer", *path, "class_id", unreadable=True)
    numbers: list[float] = []
    for name in ("left", "top", "width", "height"):
        pixels = annotation.get(name)
        if not _is_number(pixels) or not -_MAX_NUMBER <= pixels <= _MAX_NUMBER:
            detail = f"'{name}' must be a number of pixels"
            return _attribute_problem(key, detail, *path, name, unreadable=True)
        numbers.append(pixels)
    label = class_map.get(_decimal(class_id))
    return _decimal(class_id) if label is None else BoundingBox(label, *numbers)


def _confidence_problems(at: str, objects: list[Any]) -> list[FormatProblem]:
    for index, entry in enumerate(objects):
        if not is_object(entry):
            detail = "an element of 'objects' must be an object"
            return [_metadata_problem(at, detail, "objects", index, unreadable=False)]
        if "confidence" not in entry:
            code = "ERROR_MISSING_BOUNDING_BOX_CONFIDENCE"
            detail = f"object {index} has no 'confidence'"
            return [FormatProblem(code, (at, "objects", index), detail, unreadable=False)]
        confidence = entry["confidence"]
        if not _is_number(confidence) or not 0 <= confidence <= 1:
            detail = "'confidence' must be a number from 0 to 1"
            return [_metadata_problem(at, detail, "objects", index, "confidence", unreadable=False)]
    return []


def _common_problems(at: str, metadata: Mapping[str, Any]) -> list[FormatProblem]:
    problems: list[FormatProblem] = []
    if metadata.get("human-annotated") not in ("yes", "no"):
        detail = "'human-annotated' must be 'yes' or 'no'"
        problems.append(_metadata_problem(at, detail, "human-annotated", unreadable=False))
    if not isinstance(metadata.get("creation-date"), str):
        detail = "'creation-date' must be a date, as a string"
        problems.append(_metadata_problem(at, detail, "creation-date", unreadable=False))
    return problems


def _metadata_problem(at: str, detail: str, *path: str | int, unreadable: bool) -> FormatProblem:
    return FormatProblem("ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT", (at, *path), detail, unreadable)


def _attribute_problem(key: str, detail: str, *path: str | int, unreadable: bool) -> FormatProblem:
    return FormatProblem("ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT", (key, *path), detail, unreadable)


def is_integer_text(value: object) -> TypeGuard[str]:
    """Return whether a value is a string with an integer.

    AWS's own feedback solution for Custom Labels writes ``"label-0": "0"``.
    """
    return isinstance(value, str) and _INTEGER_TEXT.fullmatch(value) is not None


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[float]:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def _decimal(number: int) -> str:
    """Return a class id as a string; Python would refuse to convert thousands of digits."""
    return str(number) if -_MAX_NUMBER <= number <= _MAX_NUMBER else "(too large)"


class LineAttributes(Mapping[str, Any]):
    """The keys of a manifest line except ``source-ref``, as a read-only mapping.

    The mapping stores the text of the line and parses it on first access. Lines with the same text share an
    instance. If the labels of an image are unchanged, ``format_line`` writes this text again.

    Attributes:
        text: The members of the JSON object, without braces; empty if there are none.
        labels: The image-level labels in the text.
        boxes: The boxes in the text.
        size: The image size in the text.
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


_SOURCE_REF_FIRST: Final = re.compile(
    r'\s*\{\s*"source-ref"\s*:\s*"(?:[^"\\]|\\.)*"\s*(?:,(?=\s*")|(?=\}\s*$))'
)
"""The start of a line whose first key is ``source-ref``; the text after it is kept as it is."""


def build_image(
    text: str, members: dict[str, Any], attributes: list[LabelAttribute], *, keep_text: bool
) -> LabelledImage:
    """Build the labelled image of a line.

    Args:
        text: The line.
        members: The parsed line.
        attributes: The label attributes of the line.
        keep_text: Whether the image keeps the text of the line, for ``format_line``.
    """
    labels = tuple(attribute.label for attribute in attributes if attribute.label is not None)
    boxes = tuple(box for attribute in attributes for box in attribute.boxes)
    size = next((attribute.size for attribute in attributes if attribute.size is not None), None)
    rest = {key: value for key, value in members.items() if key != "source-ref"}
    start = _SOURCE_REF_FIRST.match(text) if keep_text else None
    if start is None:
        return LabelledImage(members["source-ref"], labels, boxes, size, rest)
    tail = text[start.end() : text.rindex("}")].strip()
    return LabelledImage(
        members["source-ref"], labels, boxes, size, LineAttributes(tail, labels, boxes, size, rest)
    )
