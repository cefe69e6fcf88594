"""Lines whose labels or boxes were changed after they were read.

What the image says now wins; whatever of the line belongs to a label or box that is still there stays with
it: the name of its attribute, its confidence, its job, its date, and keys that we do not know.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels.images import BoundingBox
from rekolabels.manifest._label_attributes import DETECTION, SUFFIX, Pair, pairs_of, read_pair
from rekolabels.manifest._serialize import BOX_KEY, box_metadata, free_name, label_metadata, number, size_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rekolabels.images import ImageSize, LabelledImage

__all__ = ["edited_members"]


def edited_members(image: LabelledImage, *, created: str, job_name: str | None) -> dict[str, Any]:
    """The keys of a line for an image, without ``source-ref``, made from those that it was read with.

    Raises:
        InvalidManifest: The image has boxes but no size.
    """
    members = {key: value for key, value in image.attributes.items() if key != "source-ref"}
    pairs = [read_pair(key, members[key], members[key + SUFFIX]) for key in pairs_of(members)]
    readable = [pair for pair in pairs if not any(fault.lost for fault in pair.faults)]
    _edit_labels(
        members, image.labels, [pair for pair in readable if pair.label is not None], created, job_name
    )
    _edit_boxes(members, image, [pair for pair in readable if pair.kind == DETECTION], created, job_name)
    return members


def _edit_labels(
    members: dict[str, Any], labels: Sequence[str], pairs: Sequence[Pair], created: str, job_name: str | None
) -> None:
    if [pair.label for pair in pairs] == list(labels):
        return
    kept: dict[str, list[tuple[str, Any, Any]]] = {}
    wanted = Counter(labels)
    for pair in pairs:
        value, metadata = members.pop(pair.key), members.pop(pair.key + SUFFIX)
        if pair.label is not None and wanted[pair.label] > 0:
            wanted[pair.label] -= 1
            kept.setdefault(pair.label, []).append((pair.key, value, metadata))
    held = {key for group in kept.values() for name, _, _ in group for key in (name, name + SUFFIX)}
    for label in labels:
        if kept.get(label):
            name, value, metadata = kept[label].pop(0)
        else:
            name = free_name(label, held | members.keys())
            value, metadata = 1, label_metadata(label, name, created, job_name)
        members[name], members[name + SUFFIX] = value, metadata


@attrs.frozen
class _Old:
    """A box of the line as it was read."""

    key: str
    index: int
    box: BoundingBox


def _edit_boxes(
    members: dict[str, Any], image: LabelledImage, pairs: Sequence[Pair], created: str, job_name: str | None
) -> None:
    _edit_size(members, image.size, pairs)
    old = [_Old(pair.key, index, box) for pair in pairs for index, box in enumerate(pair.boxes)]
    if [entry.box for entry in old] == list(image.boxes):
        return
    if pairs:
        key = pairs[0].key
    else:
        key = free_name(BOX_KEY, members)
        members[key] = {"image_size": [_size_object(size_of(image))], "annotations": []}
        members[key + SUFFIX] = box_metadata(0, {}, key, created, job_name)
    plan: dict[str, list[tuple[BoundingBox, int | None]]] = {pair.key: [] for pair in pairs} or {key: []}
    for box, match in zip(image.boxes, _match(image.boxes, old), strict=True):
        key = key if match is None else match.key
        plan[key].append((box, None if match is None else match.index))
    for key, boxes in plan.items():
        members[key], members[key + SUFFIX] = _rewritten(members[key], members[key + SUFFIX], boxes)


def _match(boxes: Sequence[BoundingBox], old: Sequence[_Old]) -> list[_Old | None]:
    """The box of the line that each box was: the same, else one in its place, else one of its label."""
    found: list[_Old | None] = [None] * len(boxes)
    left = list(old)
    for same in (_identity, _place, _label):
        waiting: dict[object, list[_Old]] = {}
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


def _rewritten(
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
    return {name: number(getattr(box, name)) for name in ("left", "top", "width", "height")}


def _edit_size(members: dict[str, Any], size: ImageSize | None, pairs: Sequence[Pair]) -> None:
    for pair in pairs:
        if size is not None and pair.size != size:
            stated = members[pair.key].get("image_size")
            kept: dict[str, Any] = stated[0] if pair.size is not None else {}
            members[pair.key] = {**members[pair.key], "image_size": [{**kept, **_size_object(size)}]}


def _size_object(size: ImageSize) -> dict[str, float]:
    return {"width": number(size.width), "height": number(size.height), "depth": number(size.depth)}
