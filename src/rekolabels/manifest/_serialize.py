"""Serialize manifest lines: new label attributes, edited lines, and lines with errors written into them."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import attrs

from rekolabels._arguments import invalid
from rekolabels.errors import InvalidManifest
from rekolabels.images import BoundingBox
from rekolabels.manifest._json import is_list, is_object, short_repr
from rekolabels.manifest._label_attributes import (
    CLASSIFICATION,
    DETECTION,
    METADATA_SUFFIX,
    RESERVED_KEYS,
    LabelAttribute,
    label_attribute_keys,
    read_label_attribute,
)
from rekolabels.manifest.codes import CODES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from rekolabels.images import ImageSize, LabelledImage
    from rekolabels.manifest._line_rules import Finding, LineCheck

__all__ = [
    "BOX_ATTRIBUTE",
    "dataset_entry",
    "format_boxes",
    "format_date",
    "format_labels",
    "json_string",
    "merge_edits",
    "required_size",
    "unused_key",
    "validation_line",
]

UNKNOWN_DATE: Final = "1970-01-01T00:00:00"
"""The date of labels without one. The service requires a date but does not use it."""


def format_date(created: datetime | str | None) -> str:
    """Format a date for a manifest, in UTC; return a string unchanged.

    >>> format_date(datetime(2024, 3, 1, 9, 30, tzinfo=UTC))
    '2024-03-01T09:30:00.000Z'
    """
    if created is None:
        return UNKNOWN_DATE
    if isinstance(created, str):
        return created
    if not isinstance(created, datetime):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
        raise invalid("created", created, "a datetime or text, such as '2024-03-01T09:30:00'")
    utc = created if created.tzinfo is None else created.astimezone(UTC)
    return utc.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


BOX_ATTRIBUTE: Final = "bounding-box"
"""The key of the attribute for boxes, if a line does not have one yet."""

json_string: Final = json.encoder.encode_basestring_ascii
"""Encode a string as JSON in ASCII. The result is valid UTF-8 even if the string has lone surrogates."""


def label_metadata(label: str, name: str, created: str, job_name: str | None) -> dict[str, Any]:
    """Return the metadata of an image-level label, as the service's console writes it."""
    return {
        "class-name": label,
        "confidence": 1,
        "type": CLASSIFICATION,
        "human-annotated": "yes",
        "creation-date": created,
        "job-name": job_name or f"labeling-job/{name}",
    }


def box_metadata(
    count: int, class_map: dict[str, str], name: str, created: str, job_name: str | None
) -> dict[str, Any]:
    """Return the metadata of a bounding box attribute, as Ground Truth writes it."""
    return {
        "objects": [{"confidence": 1}] * count,
        "class-map": class_map,
        "type": DETECTION,
        "human-annotated": "yes",
        "creation-date": created,
        "job-name": job_name or f"labeling-job/{name}",
    }


def unused_key(wanted: str, taken: Collection[str]) -> str:
    """Return a key for an attribute such that neither it nor its metadata clashes with another key.

    The service names an attribute after its label. Labels that clash, such as ``errors`` or ``cl``, or
    ``rust-metadata`` next to ``rust``, get a numeric suffix.

    >>> unused_key("rust", {}), unused_key("rust", {"rust": 1}), unused_key("cl", {})
    ('rust', 'rust-2', 'cl-2')
    """
    name, count = wanted, 1
    while {name, name + METADATA_SUFFIX, name.removesuffix(METADATA_SUFFIX)} & (RESERVED_KEYS | set(taken)):
        count += 1
        name = f"{wanted}-{count}"
    return name


def format_labels(labels: tuple[str, ...], created: str, job_name: str | None) -> str:
    """Format the members of a line for image-level labels, as JSON without braces."""
    parts = [_format_label(label, created, job_name) for label in labels]
    if len(set(labels)) == len(labels) and "" not in parts:
        return ",".join(parts)
    return _format_clashing_labels(labels, created, job_name)


@lru_cache(maxsize=4096)
def _format_label(label: str, created: str, job_name: str | None) -> str:
    """Format the members for one label; return an empty string if its key could clash with another one."""
    if label.endswith(METADATA_SUFFIX) or unused_key(label, ()) != label:
        return ""
    metadata = json.dumps(label_metadata(label, label, created, job_name), separators=(",", ":"))
    return f"{json_string(label)}:1,{json_string(label + METADATA_SUFFIX)}:{metadata}"


def _format_clashing_labels(labels: tuple[str, ...], created: str, job_name: str | None) -> str:
    """Format the members for labels of which some need other keys."""
    members: dict[str, Any] = {}
    for label in labels:
        name = unused_key(label, members)
        members[name] = 1
        members[name + METADATA_SUFFIX] = label_metadata(label, name, created, job_name)
    return json.dumps(members, separators=(",", ":"))[1:-1]


def format_boxes(
    name: str, boxes: Sequence[BoundingBox], size: ImageSize, created: str, job_name: str | None
) -> str:
    """Format the members of a line for bounding boxes, as JSON without braces."""
    ids: dict[str, int] = {}
    parts: list[str] = []
    for box in boxes:
        left, top, width, height = box.left, box.top, box.width, box.height
        if not type(left) is type(top) is type(width) is type(height) is int:
            left, top = json_number(left), json_number(top)
            width, height = json_number(width), json_number(height)
        class_id = ids.setdefault(box.label, len(ids))
        parts.append(f'{{"class_id":{class_id},"left":{left},"top":{top},"width":{width},"height":{height}}}')
    image_width, image_height, depth = map(json_number, (size.width, size.height, size.depth))
    sides = f'"width":{image_width},"height":{image_height},"depth":{depth}'
    objects = ('{"confidence":1},' * len(parts))[:-1]
    class_map = ",".join([f'"{class_id}":{json_string(label)}' for label, class_id in ids.items()])
    key, metadata_key, rest = _box_template(name, created, job_name)
    return (
        f'{key}:{{"image_size":[{{{sides}}}],"annotations":[{",".join(parts)}]}},'
        f'{metadata_key}:{{"objects":[{objects}],"class-map":{{{class_map}}},{rest}'
    )


@lru_cache(maxsize=64)
def _box_template(name: str, created: str, job_name: str | None) -> tuple[str, str, str]:
    """Return what all lines share: the two keys, and the metadata after the class map."""
    metadata = json.dumps(box_metadata(0, {}, name, created, job_name), separators=(",", ":"))
    return (
        json_string(name),
        json_string(name + METADATA_SUFFIX),
        metadata.removeprefix('{"objects":[],"class-map":{},'),
    )


def json_number(value: float) -> int | float:
    """Return a number that ``json`` can write: an int if it is whole, otherwise a float.

    Accepts the number types of other libraries, such as NumPy.

    Raises:
        InvalidManifest: The value is not a finite number.
    """
    if type(value) is int:
        return value
    if type(value) is float and math.isfinite(value):
        return int(value) if value.is_integer() else value
    try:
        plain = float(value)
    except (TypeError, ValueError, OverflowError):
        plain = math.nan
    if not math.isfinite(plain):
        raise InvalidManifest(
            f"Boxes and image sizes must be finite numbers of pixels, not {short_repr(value)}.",
            code="ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT",
        )
    return int(plain) if plain.is_integer() else plain


def required_size(image: LabelledImage) -> ImageSize:
    """Return the size of an image with boxes.

    Raises:
        InvalidManifest: The image has no size.
    """
    if image.size is None:
        raise InvalidManifest(
            f"{short_repr(image.source)} has boxes but no size, which a manifest needs beside boxes. Pass "
            "size=ImageSize(width, height) to LabelledImage.",
            code="ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT",
        )
    return image.size


def merge_edits(image: LabelledImage, *, created: str, job_name: str | None) -> dict[str, Any]:
    """Return the members of the line for an edited image, without ``source-ref``.

    The labels, boxes and size of the image take precedence over those of the line that it was read from.
    Labels and boxes that are still there keep what the line says about them: attribute key, confidence, job,
    date and unknown keys.

    Raises:
        InvalidManifest: The image has boxes but no size.
    """
    members = {key: value for key, value in image.attributes.items() if key != "source-ref"}
    keys = label_attribute_keys(members)
    attributes = [read_label_attribute(key, members[key], members[key + METADATA_SUFFIX]) for key in keys]
    readable = [one for one in attributes if not any(problem.unreadable for problem in one.problems)]
    labelled = [attribute for attribute in readable if attribute.label is not None]
    boxed = [attribute for attribute in readable if attribute.kind == DETECTION]
    _edit_labels(members, image.labels, labelled, created, job_name)
    _edit_boxes(members, image, boxed, created, job_name)
    return members


def _edit_labels(
    members: dict[str, Any],
    labels: Sequence[str],
    attributes: Sequence[LabelAttribute],
    created: str,
    job_name: str | None,
) -> None:
    if [attribute.label for attribute in attributes] == list(labels):
        return
    kept: dict[str, list[tuple[str, Any, Any]]] = {}
    wanted = Counter(labels)
    for attribute in attributes:
        key = attribute.key
        value, metadata = members.pop(key), members.pop(key + METADATA_SUFFIX)
        if attribute.label is not None and wanted[attribute.label] > 0:
            wanted[attribute.label] -= 1
            kept.setdefault(attribute.label, []).append((key, value, metadata))
    reserved = {
        name for group in kept.values() for key, _, _ in group for name in (key, key + METADATA_SUFFIX)
    }
    for label in labels:
        if kept.get(label):
            key, value, metadata = kept[label].pop(0)
        else:
            key = unused_key(label, reserved | members.keys())
            value, metadata = 1, label_metadata(label, key, created, job_name)
        members[key], members[key + METADATA_SUFFIX] = value, metadata


@attrs.frozen
class _OldBox:
    """A box of the line that the image was read from."""

    key: str
    index: int
    box: BoundingBox


def _edit_boxes(
    members: dict[str, Any],
    image: LabelledImage,
    attributes: Sequence[LabelAttribute],
    created: str,
    job_name: str | None,
) -> None:
    _edit_size(members, image.size, attributes)
    old = [
        _OldBox(attribute.key, index, box)
        for attribute in attributes
        for index, box in enumerate(attribute.boxes)
    ]
    if [entry.box for entry in old] == list(image.boxes):
        return
    if attributes:
        key = attributes[0].key
    else:
        key = unused_key(BOX_ATTRIBUTE, members)
        members[key] = {"image_size": [_size_object(required_size(image))], "annotations": []}
        members[key + METADATA_SUFFIX] = box_metadata(0, {}, key, created, job_name)
    plan: dict[str, list[tuple[BoundingBox, int | None]]]
    plan = {attribute.key: [] for attribute in attributes} or {key: []}
    for box, match in zip(image.boxes, _match(image.boxes, old), strict=True):
        key = key if match is None else match.key
        plan[key].append((box, None if match is None else match.index))
    for key, boxes in plan.items():
        value, metadata = members[key], members[key + METADATA_SUFFIX]
        members[key], members[key + METADATA_SUFFIX] = _rewrite_boxes(value, metadata, boxes)


def _match(boxes: Sequence[BoundingBox], old: Sequence[_OldBox]) -> list[_OldBox | None]:
    """Match each box with one of the line: an equal one, else one at the same position, else of its label."""
    found: list[_OldBox | None] = [None] * len(boxes)
    left = list(old)
    for property_of in (_identity, _position, _label):
        candidates: dict[object, list[_OldBox]] = {}
        for entry in left:
            candidates.setdefault(property_of(entry.box), []).append(entry)
        for index, box in enumerate(boxes):
            if found[index] is None and candidates.get(property_of(box)):
                found[index] = candidates[property_of(box)].pop(0)
        left = [entry for group in candidates.values() for entry in group]
        left.sort(key=old.index)
    return found


def _identity(box: BoundingBox) -> object:
    return box


def _position(box: BoundingBox) -> object:
    return (box.left, box.top, box.width, box.height)


def _label(box: BoundingBox) -> object:
    return box.label


def _rewrite_boxes(
    value: Mapping[str, Any], metadata: Mapping[str, Any], boxes: Sequence[tuple[BoundingBox, int | None]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an attribute and its metadata with these boxes and the indices that they had, if any."""
    annotations: list[dict[str, Any]] = value.get("annotations", [])
    stated = metadata.get("objects")
    objects: list[Any] = stated if is_list(stated) else []
    class_map: dict[str, str] = dict(metadata["class-map"])
    before = {str(annotation["class_id"]) for annotation in annotations}
    new_annotations: list[dict[str, Any]] = []
    new_objects: list[dict[str, Any]] = []
    for box, index in boxes:
        annotation = {} if index is None else annotations[index]
        class_id = _class_id(class_map, box.label, str(annotation.get("class_id", "")))
        new_annotations.append({**annotation, "class_id": class_id, **_position_object(box)})
        new_objects.append(
            objects[index] if index is not None and index < len(objects) else {"confidence": 1}
        )
    for unused in before - {str(annotation["class_id"]) for annotation in new_annotations}:
        class_map.pop(unused, None)
    return (
        {**value, "annotations": new_annotations},
        {**metadata, "objects": new_objects, "class-map": class_map},
    )


def _class_id(class_map: dict[str, str], label: str, before: str) -> int:
    """Return the class id of a label: the previous one, another one of the map, or a new one."""
    for class_id in (before, *class_map):
        if class_map.get(class_id) == label and class_id.isdecimal():
            return int(class_id)
    new = 1 + max((int(key) for key in class_map if key.isdecimal()), default=-1)
    class_map[str(new)] = label
    return new


def _position_object(box: BoundingBox) -> dict[str, float]:
    return {name: json_number(getattr(box, name)) for name in ("left", "top", "width", "height")}


def _edit_size(members: dict[str, Any], size: ImageSize | None, attributes: Sequence[LabelAttribute]) -> None:
    for attribute in attributes:
        if size is not None and attribute.size != size:
            value = members[attribute.key]
            kept: dict[str, Any] = value["image_size"][0] if attribute.size is not None else {}
            members[attribute.key] = {**value, "image_size": [{**kept, **_size_object(size)}]}


def _size_object(size: ImageSize) -> dict[str, float]:
    return {name: json_number(getattr(size, name)) for name in ("width", "height", "depth")}


_ERROR_KEYS: Final = ("errors", "warnings", "cl-errors")
_SERVICE_CODES: Final = {"LINE_TOO_LONG": "ERROR_INVALID_JSON_LINE"}
"""The codes that replace ours where the service has none: it reports long lines as unreadable."""


def validation_line(check: LineCheck) -> str:
    """Return the line of a validation manifest: with ``errors`` and ``warnings`` in the objects concerned.

    A line that is not a JSON object is replaced by an object with the error alone. Errors of an earlier
    validation are removed, since validation manifests may be used as manifests.
    """
    members = {} if check.members is None else _without_errors(check.members)
    for finding in check.findings:
        level = CODES[finding.code].level
        if level != "ADVICE":
            name = "warnings" if level == "WARNING" else "errors"
            _object_at(members, finding.container).setdefault(name, []).append(_entry(finding))
    return _dump(members)


def dataset_entry(check: LineCheck) -> str | None:
    """Return the dataset entry for a line, as ListDatasetEntries returns it.

    The entry has ``cl-errors`` in the line and in the metadata, and ``cl-metadata``.

    Returns:
        The entry; None if the dataset leaves the line out.
    """
    if check.members is None or check.dropped:
        return None
    members = _without_errors(check.members)
    members["cl-metadata"] = {"is_labeled": check.labelled}
    for finding in check.findings:
        if CODES[finding.code].in_dataset:
            errors: list[dict[str, str]] = _metadata_at(members, finding.container).setdefault(
                "cl-errors", []
            )
            if _entry(finding) not in errors:
                errors.append(_entry(finding))
    return _dump(members)


def _entry(finding: Finding) -> dict[str, str]:
    code = _SERVICE_CODES.get(finding.code)
    if code is not None:
        return {"code": code, "message": CODES[code].message}
    return {"code": finding.code, "message": finding.message}


def _object_at(members: dict[str, Any], path: Sequence[str | int]) -> dict[str, Any]:
    """Return the object at a path; if there is none, the innermost object around it."""
    value: Any = members
    found: dict[str, Any] = members
    for step in path:
        try:
            value = value[step]  # pyright: ignore[reportArgumentType] - a wrong step is caught
        except (KeyError, IndexError, TypeError):
            break  # for example an attribute that is a number instead of an object
        if is_object(value):
            found = value
    return found


def _metadata_at(members: dict[str, Any], container: tuple[str | int, ...]) -> dict[str, Any]:
    """Return the metadata of an attribute, where entries list the errors of the attribute and its boxes."""
    if not container:
        return members
    key = str(container[0])
    is_metadata = key.endswith(METADATA_SUFFIX) and key not in label_attribute_keys(members)
    return _object_at(members, (key if is_metadata else key + METADATA_SUFFIX,))


def _without_errors(line: dict[str, Any]) -> dict[str, Any]:
    """Return a copy without the errors of an earlier check, deep enough to add errors to."""
    members = {key: value for key, value in line.items() if key not in _ERROR_KEYS and key != "cl-metadata"}
    for key in label_attribute_keys(members):
        for name in (key, key + METADATA_SUFFIX):
            members[name] = _drop_error_keys(members[name])
        value = members[key]
        if is_object(value) and isinstance(value.get("annotations"), list):
            value["annotations"] = [_drop_error_keys(annotation) for annotation in value["annotations"]]
    return members


def _drop_error_keys(value: Any) -> Any:
    if not is_object(value):
        return value
    return {key: inner for key, inner in value.items() if key not in _ERROR_KEYS}


def _dump(members: dict[str, Any]) -> str:
    return json.dumps(members, separators=(",", ":"))
