"""Label attributes made anew, as the service's own console writes them."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from rekolabels.errors import InvalidManifest
from rekolabels.manifest._label_attributes import CLASSIFICATION, DETECTION, RESERVED, SUFFIX
from rekolabels.manifest._shown import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rekolabels.images import BoundingBox, ImageSize, LabelledImage

__all__ = [
    "BOX_KEY",
    "boxes_text",
    "free_name",
    "label_metadata",
    "labels_text",
    "number",
    "quoted",
    "size_of",
]

BOX_KEY: Final = "bounding-box"
"""The name of the attribute that holds boxes, when a line has none yet."""

quoted: Final = json.encoder.encode_basestring_ascii
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


def free_name(wanted: str, taken: Collection[str]) -> str:
    """A name for an attribute that clashes with no other key of the line, nor does its metadata.

    The service names the attribute after the label; a label such as ``errors`` or ``cl``, or
    ``rust-metadata`` beside ``rust``, gets a number behind it.

    >>> free_name("rust", {}), free_name("rust", {"rust": 1}), free_name("cl", {})
    ('rust', 'rust-2', 'cl-2')
    """
    name, count = wanted, 1
    while {name, name + SUFFIX, name.removesuffix(SUFFIX)} & (RESERVED | set(taken)):
        count += 1
        name = f"{wanted}-{count}"
    return name


def labels_text(labels: tuple[str, ...], created: str, job_name: str | None) -> str:
    """The members of a line for image-level labels, as JSON without braces."""
    parts = [_label_text(label, created, job_name) for label in labels]
    return (
        ",".join(parts)
        if len(set(labels)) == len(labels) and "" not in parts
        else _numbered(labels, created, job_name)
    )


@lru_cache(maxsize=4096)
def _label_text(label: str, created: str, job_name: str | None) -> str:
    """The members for one label; empty when its name could clash with another key."""
    if label.endswith(SUFFIX) or free_name(label, ()) != label:
        return ""
    metadata = json.dumps(label_metadata(label, label, created, job_name), separators=(",", ":"))
    return f"{quoted(label)}:1,{quoted(label + SUFFIX)}:{metadata}"


def _numbered(labels: tuple[str, ...], created: str, job_name: str | None) -> str:
    """The members for labels of which some get other names."""
    members: dict[str, Any] = {}
    for label in labels:
        name = free_name(label, members)
        members[name] = 1
        members[name + SUFFIX] = label_metadata(label, name, created, job_name)
    return json.dumps(members, separators=(",", ":"))[1:-1]


def boxes_text(
    name: str, boxes: Sequence[BoundingBox], size: ImageSize, created: str, job_name: str | None
) -> str:
    """The members of a line for bounding boxes, as JSON without braces."""
    ids: dict[str, int] = {}
    parts: list[str] = []
    for box in boxes:
        left, top, width, height = box.left, box.top, box.width, box.height
        if not type(left) is type(top) is type(width) is type(height) is int:
            left, top, width, height = number(left), number(top), number(width), number(height)
        class_id = ids.setdefault(box.label, len(ids))
        parts.append(f'{{"class_id":{class_id},"left":{left},"top":{top},"width":{width},"height":{height}}}')
    sides = f'"width":{number(size.width)},"height":{number(size.height)},"depth":{number(size.depth)}'
    objects = ('{"confidence":1},' * len(parts))[:-1]
    class_map = ",".join([f'"{class_id}":{quoted(label)}' for label, class_id in ids.items()])
    key, metadata_key, rest = _box_frame(name, created, job_name)
    return (
        f'{key}:{{"image_size":[{{{sides}}}],"annotations":[{",".join(parts)}]}},'
        f'{metadata_key}:{{"objects":[{objects}],"class-map":{{{class_map}}},{rest}'
    )


@lru_cache(maxsize=64)
def _box_frame(name: str, created: str, job_name: str | None) -> tuple[str, str, str]:
    """What is the same in all lines: both keys, and the metadata behind the class map."""
    metadata = json.dumps(box_metadata(0, {}, name, created, job_name), separators=(",", ":"))
    return quoted(name), quoted(name + SUFFIX), metadata.removeprefix('{"objects":[],"class-map":{},')


def number(value: float) -> int | float:
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
            f"Boxes and image sizes are finite numbers of pixels, not {shown(value)}.",
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
            f"{shown(image.source)} has boxes but no size, and a manifest states the size beside them. Give "
            "LabelledImage a size=ImageSize(width, height).",
            code="ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT",
        )
    return image.size
