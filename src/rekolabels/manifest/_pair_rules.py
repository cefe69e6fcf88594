"""What the service asks of a label attribute whose form is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

from rekolabels.manifest._findings import Finding
from rekolabels.manifest._label_attributes import CLASSIFICATION, DETECTION, SUFFIX, Pair
from rekolabels.manifest._shown import shown
from rekolabels.manifest.limits import BOXES_PER_IMAGE, IMAGE_SIDE, LABEL_LENGTH, SCALED_SIDE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rekolabels.images import BoundingBox, ImageSize

__all__ = ["PairCheck", "check_pair", "least_side"]

Use: TypeAlias = Literal["usable", "empty", "unusable", "fatal"]
"""What becomes of a pair: used, without annotations, of no use, or of no use together with the whole line."""


@attrs.frozen
class PairCheck:
    """What the service would make of one label attribute."""

    pair: Pair
    """The pair without the boxes and labels that cannot be used."""
    use: Use
    """What becomes of it."""
    findings: tuple[Finding, ...] = ()
    """What is wrong with it."""
    annotated: bool = True
    """Whether a person is said to have looked at it (``human-annotated``)."""


def check_pair(pair: Pair, members: Mapping[str, Any]) -> PairCheck:
    """Hold a pair of the right form against the rules."""
    if pair.kind == CLASSIFICATION:
        return _check_label(pair, pair.label or "")
    if pair.kind == DETECTION and pair.size is not None:
        return _check_boxes(pair, pair.size, members)
    at = pair.key + SUFFIX
    detail = f"It is {shown(pair.kind)}."
    return PairCheck(
        pair, "unusable", (Finding("ERROR_UNSUPPORTED_USE_CASE_TYPE", (at,), (at, "type"), detail),)
    )


def least_side(size: ImageSize) -> float:
    """What the sides of a box must be longer than: a pixel of the image as it is trained on.

    In pixels of the image itself; one with a side above 1280 pixels is scaled down so that the longest has
    1280.
    """
    return max(1.0, size.width / SCALED_SIDE, size.height / SCALED_SIDE)


def _check_label(pair: Pair, label: str) -> PairCheck:
    finding = _label_finding(label, (pair.key + SUFFIX, "class-name"))
    if finding is None:
        return PairCheck(pair, "usable")
    if finding.code == "BLANK_LABEL":
        return PairCheck(pair, "usable", (finding,))
    return PairCheck(attrs.evolve(pair, label=None), "unusable", (finding,))


def _check_boxes(pair: Pair, size: ImageSize, members: Mapping[str, Any]) -> PairCheck:
    fatal = _image_findings(pair, size)
    if not pair.boxes:
        at = (pair.key, "annotations")
        annotated = members[pair.key + SUFFIX]["human-annotated"] == "yes"
        finding = Finding("WARNING_NO_ATTRIBUTE_ANNOTATIONS", at[:1], at)
        return PairCheck(pair, "fatal" if fatal else "empty", (*fatal, finding), annotated)
    findings: list[Finding] = []
    unusable: set[str] = set()
    for label in dict.fromkeys(box.label for box in pair.boxes):
        wrong = _label_finding(label, (pair.key + SUFFIX, "class-map"))
        if wrong is not None:
            findings.append(wrong)
            if wrong.code != "BLANK_LABEL":
                unusable.add(label)
    kept: list[BoundingBox] = []
    for index, box in enumerate(pair.boxes):
        wrong = _box_finding(box, size, (pair.key, "annotations", index))
        if wrong is not None:
            findings.append(wrong)
        elif box.label not in unusable:
            kept.append(box)
    if not kept:
        findings.append(Finding("ERROR_NO_VALID_ANNOTATIONS", (pair.key,), (pair.key, "annotations")))
    if len(kept) < len(pair.boxes):
        pair = attrs.evolve(pair, boxes=tuple(kept))
    use: Use = "fatal" if fatal else "usable" if kept else "unusable"
    return PairCheck(pair, use, (*fatal, *findings))


def _image_findings(pair: Pair, size: ImageSize) -> list[Finding]:
    """What makes the whole line useless."""
    findings: list[Finding] = []
    low, high = IMAGE_SIDE
    if not (low <= size.width <= high and low <= size.height <= high):
        detail = f"It is {size.width} x {size.height} pixels; {low} to {high} are allowed."
        at = (pair.key, "image_size", 0)
        findings.append(Finding("ERROR_INVALID_IMAGE_DIMENSION", at[:1], at, detail))
    if len(pair.boxes) > BOXES_PER_IMAGE:
        detail = f"There are {len(pair.boxes)} boxes; {BOXES_PER_IMAGE} are allowed."
        findings.append(
            Finding("ERROR_TOO_MANY_BOUNDING_BOXES", (pair.key,), (pair.key, "annotations"), detail)
        )
    return findings


def _label_finding(label: str, at: tuple[str, str]) -> Finding | None:
    if not 1 <= len(label) <= LABEL_LENGTH:
        return Finding("ERROR_INVALID_LABEL_NAME_LENGTH", at[:1], at, f"A label has {len(label)} characters.")
    return Finding("BLANK_LABEL", at[:1], at) if label.isspace() else None


def _box_finding(box: BoundingBox, size: ImageSize, at: tuple[str | int, ...]) -> Finding | None:
    place = (
        f"{shown(box.label, limit=40)} at left {box.left}, top {box.top}, {box.width} x {box.height} pixels"
    )
    off_frame = min(box.left, box.top, box.width, box.height) < 0
    if off_frame or box.left + box.width > size.width or box.top + box.height > size.height:
        detail = f"{place}, in an image of {size.width} x {size.height}."
        return Finding("ERROR_INVALID_BOUNDING_BOX", at, at, detail)
    least = least_side(size)
    if box.width <= least or box.height <= least:
        why = (
            ""
            if least == 1
            else f"; in an image of {size.width} x {size.height} more than {least:.2f} is asked for"
        )
        return Finding("ERROR_BOUNDING_BOX_TOO_SMALL", at, at, f"{place}{why}.")
    return None
