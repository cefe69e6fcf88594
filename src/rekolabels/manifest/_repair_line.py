"""The repairs of one line that cannot change what it means."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import attrs

from rekolabels.manifest._label_attributes import (
    CLASSIFICATION,
    DETECTION,
    SUFFIX,
    is_list,
    is_object,
    pairs_of,
    read_pair,
)
from rekolabels.manifest._shown import pointer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rekolabels.images import ImageSize

__all__ = ["Repair", "repair_line"]

_MOST_OUTSIDE: Final = 1.0
"""How far a box may leave the image to be clipped, in pixels: as far as rounding takes it."""


@attrs.frozen
class Repair:
    """Something that was repaired."""

    line: int
    """The number of the line in the manifest as it was, from 1."""
    pointer: str
    """Where in the line, as a JSON pointer; empty for the line as a whole."""
    done: str
    """What was done."""


def repair_line(
    members: dict[str, Any], line: int, *, created: str, size_of: Callable[[str], ImageSize | None]
) -> tuple[str, list[Repair]]:
    """Make the safe repairs in a line.

    Args:
        members: The line.
        line: Its number.
        created: The date to fill in.
        size_of: Gives the true size of an image, or None where nobody knows.

    Returns:
        The line, and what was done; nothing, when no repair was safe.
    """
    repaired: dict[str, Any] = json.loads(json.dumps(members))
    repairs: list[Repair] = []
    for key in pairs_of(repaired):
        metadata = repaired[key + SUFFIX]
        if is_object(metadata):
            done = [*_fill_metadata(key, repaired[key], metadata, created)]
            if metadata.get("type") == DETECTION and is_object(repaired[key]):
                done += _fill_size(key, repaired[key], lambda: size_of(str(members.get("source-ref"))))
                done += _repair_boxes(key, repaired[key], metadata)
            repairs += [Repair(line, pointer(path), what) for path, what in done]
    return json.dumps(repaired, separators=(",", ":")), repairs


_Done = tuple[tuple[str | int, ...], str]


def _fill_metadata(key: str, value: object, metadata: dict[str, Any], created: str) -> Iterator[_Done]:
    at = key + SUFFIX
    if "type" not in metadata:
        if isinstance(metadata.get("class-name"), str) and isinstance(value, int):
            metadata["type"] = CLASSIFICATION
            yield (at, "type"), f"type filled in: {CLASSIFICATION}"
        elif is_object(metadata.get("class-map")) and is_object(value):
            metadata["type"] = DETECTION
            yield (at, "type"), f"type filled in: {DETECTION}"
    if metadata.get("type") not in (CLASSIFICATION, DETECTION):
        return
    for name, default in (("human-annotated", "yes"), ("creation-date", created)):
        if name not in metadata:
            metadata[name] = default
            yield (at, name), f"{name} filled in"
    if metadata["type"] == CLASSIFICATION and "confidence" not in metadata:
        metadata["confidence"] = 1
        yield (at, "confidence"), "confidence filled in"


def _fill_size(key: str, value: dict[str, Any], true_size: Callable[[], ImageSize | None]) -> Iterator[_Done]:
    stated = value.get("image_size")
    if is_object(stated):
        stated = value["image_size"] = [stated]
        yield (key, "image_size"), "image_size put into a list"
    if "image_size" not in value:
        size = true_size()
        if size is not None:
            stated = value["image_size"] = [{"width": size.width, "height": size.height, "depth": size.depth}]
            yield (key, "image_size"), "image_size filled in from the image"
    if is_list(stated) and len(stated) == 1 and is_object(stated[0]) and "depth" not in stated[0]:
        stated[0]["depth"] = 3
        yield (key, "image_size", 0, "depth"), "depth filled in"


def _repair_boxes(key: str, value: dict[str, Any], metadata: dict[str, Any]) -> Iterator[_Done]:
    annotations, objects = value.get("annotations"), metadata.setdefault("objects", [])
    if not is_list(annotations) or not is_list(objects):
        return
    while len(objects) < len(annotations):
        objects.append({})
    for index, entry in enumerate(objects):
        if is_object(entry) and "confidence" not in entry:
            entry["confidence"] = 1
            yield (key + SUFFIX, "objects", index), "confidence filled in"
    size = read_pair(key, value, metadata).size
    if size is None:
        return
    for index in range(len(annotations) - 1, -1, -1):
        box = annotations[index]
        if not _is_box(box):
            continue
        if box["width"] == 0 or box["height"] == 0:
            del annotations[index], objects[index]
            yield (key, "annotations", index), "box without any area dropped"
        elif _clip(box, "left", "width", size.width) | _clip(box, "top", "height", size.height):
            yield (key, "annotations", index), "box clipped to the image"


def _is_box(box: object) -> bool:
    """Whether the numbers of a box can be reckoned with."""
    if not is_object(box):
        return False
    numbers = [box.get(name) for name in ("left", "top", "width", "height")]
    return all(isinstance(number, (int, float)) and -(2**53) < number < 2**53 for number in numbers)


def _clip(box: dict[str, Any], start: str, length: str, most: int) -> bool:
    """Clip a box in one direction, if it leaves the image by a pixel at most and is not outside."""
    first, last = box[start], box[start] + box[length]
    inside = (max(first, 0), min(last, most))
    if (
        inside == (first, last)
        or first < -_MOST_OUTSIDE
        or last > most + _MOST_OUTSIDE
        or inside[0] >= inside[1]
    ):
        return False
    box[start], box[length] = inside[0], inside[1] - inside[0]
    return True
