"""Label attributes made anew, as the service's own console writes them."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import attrs

from rekolabels.errors import InvalidManifest
from rekolabels.images import BoundingBox
from rekolabels.manifest._json import is_object, short_repr
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
    "size_of",
    "unused_key",
    "validation_line",
]

UNKNOWN_DATE: Final = "1970-01-01T00:00:00"
"""Written where the caller gives no date: the service asks for one but does not look at it."""


def format_date(created: datetime | str | None) -> str:
    """The date as a manifest writes it, in UTC; a text is taken as it is.

    >>> date_text(datetime(2024, 3, 1, 9, 30, tzinfo=timezone.utc))
    '2024-03-01T09:30:00.000Z'
    """
    if created is None:
        return UNKNOWN_DATE
    if isinstance(created, str):
        return created
    moment = created if created.tzinfo is None else created.astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


BOX_ATTRIBUTE: Final = "bounding-box"
"""The name of the attribute that holds boxes, when a line has none yet."""

json_string: Final = json.encoder.encode_basestring_ascii
"""A text as JSON, in ASCII: whatever it holds comes out as valid JSON and valid UTF-8."""


def label_metadata(label: str, name: str, created: str, job_name: str | None) -> dict[str, Any]:
    """The metadata of an image-level label."""
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
    """The metadata of a bounding box attribute."""
    return {
        "objects": [{"confidence": 1}] * count,
        "class-map": class_map,
        "type": DETECTION,
        "human-annotated": "yes",
        "creation-date": created,
        "job-name": job_name or f"labeling-job/{name}",
    }


def unused_key(wanted: str, taken: Collection[str]) -> str:
    """A name for an attribute that clashes with no other key of the line, nor does its metadata.

    The service names the attribute after the label; a label such as ``errors`` or ``cl``, or
    ``rust-metadata`` beside ``rust``, gets a number behind it.

    >>> free_name("rust", {}), free_name("rust", {"rust": 1}), free_name("cl", {})
    ('rust', 'rust-2', 'cl-2')
    """
    name, count = wanted, 1
    while {name, name + METADATA_SUFFIX, name.removesuffix(METADATA_SUFFIX)} & (RESERVED_KEYS | set(taken)):
        count += 1
        name = f"{wanted}-{count}"
    return name


def format_labels(labels: tuple[str, ...], created: str, job_name: str | None) -> str:
    """The members of a line for image-level labels, as JSON without braces."""
    parts = [_label_text(label, created, job_name) for label in labels]
    return (
        ",".join(parts)
        if len(set(labels)) == len(labels) and "" not in parts
        else _format_clashing_labels(labels, created, job_name)
    )


@lru_cache(maxsize=4096)
def _label_text(label: str, created: str, job_name: str | None) -> str:
    """The members for one label; empty when its name could clash with another key."""
    if label.endswith(METADATA_SUFFIX) or unused_key(label, ()) != label:
        return ""
    metadata = json.dumps(label_metadata(label, label, created, job_name), separators=(",", ":"))
    return f"{json_string(label)}:1,{json_string(label + METADATA_SUFFIX)}:{metadata}"


def _format_clashing_labels(labels: tuple[str, ...], created: str, job_name: str | None) -> str:
    """The members for labels of which some get other names."""
    members: dict[str, Any] = {}
    for label in labels:
        name = unused_key(label, members)
        members[name] = 1
        members[name + METADATA_SUFFIX] = label_metadata(label, name, created, job_name)
    return json.dumps(members, separators=(",", ":"))[1:-1]


def format_boxes(
    name: str, boxes: Sequence[BoundingBox], size: ImageSize, created: str, job_name: str | None
) -> str:
    """The members of a line for bounding boxes, as JSON without braces."""
    ids: dict[str, int] = {}
    parts: list[str] = []
    for box in boxes:
        left, top, width, height = box.left, box.top, box.width, box.height
        if not type(left) is type(top) is type(width) is type(height) is int:
            left, top, width, height = (
                json_number(left),
                json_number(top),
                json_number(width),
                json_number(height),
            )
        class_id = ids.setdefault(box.label, len(ids))
        parts.append(f'{{"class_id":{class_id},"left":{left},"top":{top},"width":{width},"height":{height}}}')
    sides = f'"width":{json_number(size.width)},"height":{json_number(size.height)},"depth":{json_number(size.depth)}'
    objects = ('{"confidence":1},' * len(parts))[:-1]
    class_map = ",".join([f'"{class_id}":{json_string(label)}' for label, class_id in ids.items()])
    key, metadata_key, rest = _box_template(name, created, job_name)
    return (
        f'{key}:{{"image_size":[{{{sides}}}],"annotations":[{",".join(parts)}]}},'
        f'{metadata_key}:{{"objects":[{objects}],"class-map":{{{class_map}}},{rest}'
    )


@lru_cache(maxsize=64)
def _box_template(name: str, created: str, job_name: str | None) -> tuple[str, str, str]:
    """What is the same in all lines: both keys, and the metadata behind the class map."""
    metadata = json.dumps(box_metadata(0, {}, name, created, job_name), separators=(",", ":"))
    return (
        json_string(name),
        json_string(name + METADATA_SUFFIX),
        metadata.removeprefix('{"objects":[],"class-map":{},'),
    )


def json_number(value: float) -> int | float:
    """A number for JSON: an integer where it is one, whatever number type of whatever library it came as.

    Raises:
        InvalidManifest: It is not a finite number.
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
            f"Boxes and image sizes are finite numbers of pixels, not {short_repr(value)}.",
            code="ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT",
        )
    return int(plain) if plain.is_integer() else plain


def size_of(image: LabelledImage) -> ImageSize:
    """The size of an image that has boxes.

    Raises:
        InvalidManifest: It has none.
    """
    if image.size is None:
        raise InvalidManifest(
            f"{short_repr(image.source)} has boxes but no size, and a manifest states the size beside them. Give "
            "LabelledImage a size=ImageSize(width, height).",
            code="ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT",
        )
    return image.size


def merge_edits(image: LabelledImage, *, created: str, job_name: str | None) -> dict[str, Any]:
    """The keys of a line for an image, without ``source-ref``, made from those that it was read with.

    Raises:
        InvalidManifest: The image has boxes but no size.
    """
    members = {key: value for key, value in image.attributes.items() if key != "source-ref"}
    pairs = [
        read_label_attribute(key, members[key], members[key + METADATA_SUFFIX])
        for key in label_attribute_keys(members)
    ]
    readable = [pair for pair in pairs if not any(problem.unreadable for problem in pair.problems)]
    _edit_labels(
        members, image.labels, [pair for pair in readable if pair.label is not None], created, job_name
    )
    _edit_boxes(members, image, [pair for pair in readable if pair.kind == DETECTION], created, job_name)
    return members


def _edit_labels(
    members: dict[str, Any],
    labels: Sequence[str],
    pairs: Sequence[LabelAttribute],
    created: str,
    job_name: str | None,
) -> None:
    if [pair.label for pair in pairs] == list(labels):
        return
    kept: dict[str, list[tuple[str, Any, Any]]] = {}
    wanted = Counter(labels)
    for pair in pairs:
        value, metadata = members.pop(pair.key), members.pop(pair.key + METADATA_SUFFIX)
        if pair.label is not None and wanted[pair.label] > 0:
            wanted[pair.label] -= 1
            kept.setdefault(pair.label, []).append((pair.key, value, metadata))
    held = {key for group in kept.values() for name, _, _ in group for key in (name, name + METADATA_SUFFIX)}
    for label in labels:
        if kept.get(label):
            name, value, metadata = kept[label].pop(0)
        else:
            name = unused_key(label, held | members.keys())
            value, metadata = 1, label_metadata(label, name, created, job_name)
        members[name], members[name + METADATA_SUFFIX] = value, metadata


@attrs.frozen
class _OldBox:
    """A box of the line as it was read."""

    key: str
    index: int
    box: BoundingBox


def _edit_boxes(
    members: dict[str, Any],
    image: LabelledImage,
    pairs: Sequence[LabelAttribute],
    created: str,
    job_name: str | None,
) -> None:
    _edit_size(members, image.size, pairs)
    old = [_OldBox(pair.key, index, box) for pair in pairs for index, box in enumerate(pair.boxes)]
    if [entry.box for entry in old] == list(image.boxes):
        return
    if pairs:
        key = pairs[0].key
    else:
        key = unused_key(BOX_ATTRIBUTE, members)
        members[key] = {"image_size": [_size_object(size_of(image))], "annotations": []}
        members[key + METADATA_SUFFIX] = box_metadata(0, {}, key, created, job_name)
    plan: dict[str, list[tuple[BoundingBox, int | None]]] = {pair.key: [] for pair in pairs} or {key: []}
    for box, match in zip(image.boxes, _match(image.boxes, old), strict=True):
        key = key if match is None else match.key
        plan[key].append((box, None if match is None else match.index))
    for key, boxes in plan.items():
        members[key], members[key + METADATA_SUFFIX] = _rewrite_boxes(
            members[key], members[key + METADATA_SUFFIX], boxes
        )


def _match(boxes: Sequence[BoundingBox], old: Sequence[_OldBox]) -> list[_OldBox | None]:
    """The box of the line that each box was: the same, else one in its place, else one of its label."""
    found: list[_OldBox | None] = [None] * len(boxes)
    left = list(old)
    for same in (_identity, _place, _label):
        waiting: dict[object, list[_OldBox]] = {}
        for entry in left:
            waiting.setdefault(same(entry.box), []).append(entry)
        for index, box in enumerate(boxes):
            if found[index] is None and waiting.get(same(box)):
                found[index] = waiting[same(box)].pop(0)
        left = [entry for group in waiting.values() for entry in group]
        left.sort(key=old.index)
    return found


def _identity(box: BoundingBox) -> object:
    return box


def _place(box: BoundingBox) -> object:
    return (box.left, box.top, box.width, box.height)


def _label(box: BoundingBox) -> object:
    return box.label


def _rewrite_boxes(
    value: Mapping[str, Any], metadata: Mapping[str, Any], boxes: Sequence[tuple[BoundingBox, int | None]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """An attribute and its metadata with these boxes, each with the index that it had, if it had one."""
    annotations: list[dict[str, Any]] = value.get("annotations", [])
    objects: list[dict[str, Any]] = metadata.get("objects", [])
    class_map: dict[str, str] = dict(metadata["class-map"])
    before = {str(annotation["class_id"]) for annotation in annotations}
    new_annotations: list[dict[str, Any]] = []
    new_objects: list[dict[str, Any]] = []
    for box, index in boxes:
        annotation = {} if index is None else annotations[index]
        number_of_class = _class_id(class_map, box.label, str(annotation.get("class_id", "")))
        new_annotations.append({**annotation, "class_id": number_of_class, **_place_object(box)})
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
    """The class id of a label: the one it had, another one of the map, or a new one."""
    for number_of_class in (before, *class_map):
        if class_map.get(number_of_class) == label and number_of_class.isdecimal():
            return int(number_of_class)
    fresh = 1 + max((int(key) for key in class_map if key.isdecimal()), default=-1)
    class_map[str(fresh)] = label
    return fresh


def _place_object(box: BoundingBox) -> dict[str, float]:
    return {name: json_number(getattr(box, name)) for name in ("left", "top", "width", "height")}


def _edit_size(members: dict[str, Any], size: ImageSize | None, pairs: Sequence[LabelAttribute]) -> None:
    for pair in pairs:
        if size is not None and pair.size != size:
            stated = members[pair.key].get("image_size")
            kept: dict[str, Any] = stated[0] if pair.size is not None else {}
            members[pair.key] = {**members[pair.key], "image_size": [{**kept, **_size_object(size)}]}


def _size_object(size: ImageSize) -> dict[str, float]:
    return {
        "width": json_number(size.width),
        "height": json_number(size.height),
        "depth": json_number(size.depth),
    }


_ERROR_KEYS: Final = ("errors", "warnings", "cl-errors")
_SERVICE_CODES: Final = {"LINE_TOO_LONG": "ERROR_INVALID_JSON_LINE"}
"""What stands for a mistake that the service has no code for: the code of lines that it cannot read."""


def validation_line(check: LineCheck) -> str:
    """A line of a validation manifest: ``errors`` and ``warnings`` in the objects that they concern.

    A line that is no JSON object is replaced by one that holds the error alone. Marks of an earlier
    validation go: such files may be used as manifests.
    """
    members = {} if check.members is None else _without_errors(check.members)
    for finding in check.findings:
        level = CODES[finding.code].level
        if level != "ADVICE":
            name = "warnings" if level == "WARNING" else "errors"
            _object_at(members, finding.place).setdefault(name, []).append(_entry(finding))
    return _dump(members)


def dataset_entry(check: LineCheck) -> str | None:
    """An entry of a dataset: ``cl-errors`` on the line and in metadata, ``cl-metadata`` beside them.

    Returns:
        The entry as ListDatasetEntries gives it, None when the dataset leaves the line out.
    """
    if check.members is None or check.dropped:
        return None
    members = _without_errors(check.members)
    members["cl-metadata"] = {"is_labeled": check.labelled}
    for finding in check.findings:
        if CODES[finding.code].in_dataset:
            errors: list[dict[str, str]] = _metadata_at(members, finding.place).setdefault("cl-errors", [])
            if _entry(finding) not in errors:
                errors.append(_entry(finding))
    return _dump(members)


def _entry(finding: Finding) -> dict[str, str]:
    code = _SERVICE_CODES.get(finding.code)
    if code is not None:
        return {"code": code, "message": CODES[code].message}
    return {"code": finding.code, "message": finding.message}


def _object_at(members: dict[str, Any], place: Sequence[str | int]) -> dict[str, Any]:
    """The object in which a finding is listed; the next one outside it where the line has no object there."""
    value: Any = members  # one step deeper each time
    found: dict[str, Any] = members
    for step in place:
        try:
            value = value[step]  # pyright: ignore[reportArgumentType] - a wrong step is caught
        except (KeyError, IndexError, TypeError):
            break  # such as an attribute that should be an object and is a number
        if is_object(value):
            found = value
    return found


def _metadata_at(members: dict[str, Any], place: tuple[str | int, ...]) -> dict[str, Any]:
    """Entries of datasets show the errors of an attribute and of its boxes in its metadata."""
    if not place:
        return members
    key = str(place[0])
    return _object_at(
        members,
        (
            key
            if key.endswith(METADATA_SUFFIX) and key not in label_attribute_keys(members)
            else key + METADATA_SUFFIX,
        ),
    )


def _without_errors(line: dict[str, Any]) -> dict[str, Any]:
    """A copy without the marks of an earlier check, deep enough to be marked anew."""
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
