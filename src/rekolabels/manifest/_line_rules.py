"""What the service asks of one line, apart from all others.

The rules run in the service's order: first those that it calls early, any of which ends the look at the line,
then the others. ``check_line`` is the one door; the check of whole manifests and the embedded service both go
through it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import attrs

from rekolabels.images import LabelledImage
from rekolabels.manifest._json import InvalidJson, is_object, load_object, short_repr
from rekolabels.manifest._label_attributes import (
    CLASSIFICATION,
    DETECTION,
    METADATA_SUFFIX,
    RESERVED_KEYS,
    LabelAttribute,
    build_image,
    label_attribute_keys,
    read_label_attribute,
)
from rekolabels.manifest.codes import CODES
from rekolabels.manifest.limits import (
    BOXES_PER_IMAGE,
    IMAGE_SIDE,
    LABEL_LENGTH,
    LABELS_PER_IMAGE,
    LINE_LENGTH,
    SCALED_SIDE,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rekolabels.images import BoundingBox, ImageSize
    from rekolabels.manifest._label_attributes import FormatProblem

__all__ = ["SOURCE_REF", "Finding", "LineCheck", "check_line", "min_box_side"]


@attrs.frozen
class Finding:
    """Something that is wrong in a line."""

    code: str
    """One of ``CODES``."""
    place: tuple[str | int, ...] = ()
    """The object in which the service lists it: the line (empty), an attribute, an annotation, metadata."""
    path: tuple[str | int, ...] = ()
    """Where exactly, as the steps of a JSON pointer."""
    detail: str = ""
    """What is wrong here, in words; empty when the message says it all."""
    column: int | None = None
    """The character of the line, from 1, where it is no JSON."""

    @property
    def message(self) -> str:
        """The service's message, its placeholder filled."""
        return CODES[self.code].message.format(self.place[0] if self.place else "")


Use: TypeAlias = Literal["usable", "empty", "unusable", "fatal"]
"""What becomes of a pair: used, without annotations, of no use, or of no use together with the whole line."""


@attrs.frozen
class AttributeCheck:
    """What the service would make of one label attribute."""

    pair: LabelAttribute
    """The pair without the boxes and labels that cannot be used."""
    use: Use
    """What becomes of it."""
    findings: tuple[Finding, ...] = ()
    """What is wrong with it."""
    annotated: bool = True
    """Whether a person is said to have looked at it (``human-annotated``)."""


def check_label_attribute(pair: LabelAttribute, members: Mapping[str, Any]) -> AttributeCheck:
    """Hold a pair of the right form against the rules."""
    if pair.kind == CLASSIFICATION:
        return _check_label(pair, pair.label or "")
    if pair.kind == DETECTION and pair.size is not None:
        return _check_boxes(pair, pair.size, members)
    at = pair.key + METADATA_SUFFIX
    detail = f"It is {short_repr(pair.kind)}."
    return AttributeCheck(
        pair, "unusable", (Finding("ERROR_UNSUPPORTED_USE_CASE_TYPE", (at,), (at, "type"), detail),)
    )


def min_box_side(size: ImageSize) -> float:
    """What the sides of a box must be longer than: a pixel of the image as it is trained on.

    In pixels of the image itself; one with a side above 1280 pixels is scaled down so that the longest has
    1280.
    """
    return max(1.0, size.width / SCALED_SIDE, size.height / SCALED_SIDE)


def _check_label(pair: LabelAttribute, label: str) -> AttributeCheck:
    finding = _label_finding(label, (pair.key + METADATA_SUFFIX, "class-name"))
    if finding is None:
        return AttributeCheck(pair, "usable")
    if finding.code == "BLANK_LABEL":
        return AttributeCheck(pair, "usable", (finding,))
    return AttributeCheck(attrs.evolve(pair, label=None), "unusable", (finding,))


def _check_boxes(pair: LabelAttribute, size: ImageSize, members: Mapping[str, Any]) -> AttributeCheck:
    fatal = _image_findings(pair, size)
    if not pair.boxes:
        at = (pair.key, "annotations")
        annotated = members[pair.key + METADATA_SUFFIX]["human-annotated"] == "yes"
        finding = Finding("WARNING_NO_ATTRIBUTE_ANNOTATIONS", at[:1], at)
        return AttributeCheck(pair, "fatal" if fatal else "empty", (*fatal, finding), annotated)
    findings: list[Finding] = []
    unusable: set[str] = set()
    for label in dict.fromkeys(box.label for box in pair.boxes):
        wrong = _label_finding(label, (pair.key + METADATA_SUFFIX, "class-map"))
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
    return AttributeCheck(pair, use, (*fatal, *findings))


def _image_findings(pair: LabelAttribute, size: ImageSize) -> list[Finding]:
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
    place = f"{short_repr(box.label, limit=40)} at left {box.left}, top {box.top}, {box.width} x {box.height} pixels"
    off_frame = min(box.left, box.top, box.width, box.height) < 0
    if off_frame or box.left + box.width > size.width or box.top + box.height > size.height:
        detail = f"{place}, in an image of {size.width} x {size.height}."
        return Finding("ERROR_INVALID_BOUNDING_BOX", at, at, detail)
    least = min_box_side(size)
    if box.width <= least or box.height <= least:
        why = (
            ""
            if least == 1
            else f"; in an image of {size.width} x {size.height} more than {least:.2f} is asked for"
        )
        return Finding("ERROR_BOUNDING_BOX_TOO_SMALL", at, at, f"{place}{why}.")
    return None


LineState: TypeAlias = Literal["valid", "invalid", "ignored"]
"""How the manifest summary counts a line."""

SOURCE_REF: Final = re.compile(r"[sS]3://([0-9A-Za-z._-]{3,255})/(?=.*\S)(.+)", re.DOTALL)
"""A bucket as the service's model has it, and a key; its length is counted in bytes, which no pattern can."""
_KEY_BYTES: Final = 1024
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
"""What is no path of this machine."""


@attrs.frozen
class LineCheck:
    """What the service would make of one line."""

    line: int
    """Its number, from 1."""
    members: dict[str, Any] | None
    """The line; None when it is no JSON object."""
    image: LabelledImage | None
    """The image with those labels and boxes that a training can use; None when the line is not valid."""
    state: LineState
    """How the manifest summary counts it."""
    findings: tuple[Finding, ...] = ()
    """What is wrong, in the order in which it is found."""
    labelled: bool = False
    """Whether a dataset shows the entry as labelled: there is a label or a box, be it valid or not."""

    @property
    def source(self) -> str | None:
        """The image, where the line names it well."""
        if self.dropped:
            return None
        return None if self.members is None else str(self.members["source-ref"])

    @property
    def source_ref(self) -> str | None:
        """The image that the line names, well or not."""
        source_ref = None if self.members is None else self.members.get("source-ref")
        return source_ref if isinstance(source_ref, str) else None

    @property
    def dropped(self) -> bool:
        """Whether a dataset would leave the line out without a word."""
        return any(CODES[finding.code].dropped for finding in self.findings)

    @property
    def has_errors(self) -> bool:
        """Whether the line is in the index of lines with errors, as one with a bad box among good ones."""
        return any(CODES[finding.code].level == "LINE" for finding in self.findings)

    def failed(self, code: str, detail: str = "") -> LineCheck:
        """The same line found invalid by a rule that needs more than the line: its image, other lines."""
        finding = Finding(code, detail=detail)
        return attrs.evolve(self, image=None, state="invalid", findings=(*self.findings, finding))


def check_line(text: str, *, line: int = 1, local: bool = False) -> LineCheck:
    """Hold one line of a manifest against every rule that needs no other line and not the image itself.

    Args:
        text: The line.
        line: Its number, from 1.
        local: Whether the image may lie on this machine: for lines that are checked before the upload.

    Returns:
        What the service would make of it. It never raises: a line of nonsense is a line with a finding.

    >>> check = check_line('{"source-ref": "s3://puppies/1.jpg", "rust": 1}')
    >>> check.state, check.findings[0].code
    ('invalid', 'ERROR_NO_LABEL_ATTRIBUTES')
    """
    if len(text) > LINE_LENGTH:
        detail = f"It has {len(text):,} characters."
        return LineCheck(line, None, None, "invalid", (Finding("LINE_TOO_LONG", detail=detail),))
    try:
        members, repeated = load_object(text)
    except InvalidJson as error:
        detail = f"{error.detail[0].upper()}{error.detail[1:]}."
        finding = Finding("ERROR_INVALID_JSON_LINE", detail=detail, column=error.column)
        return LineCheck(line, None, None, "invalid", (finding,))
    notes = [_repeated_key(key) for key in repeated]
    problem = _source_problem(members, local=local)
    if problem is not None:
        return LineCheck(line, members, None, "invalid", (problem, *notes))
    keys = label_attribute_keys(members)
    if not keys:
        return _check_unlabelled(line, members, notes)
    pairs = [read_label_attribute(key, members[key], members[key + METADATA_SUFFIX]) for key in keys]
    labelled = any(_counts_as_labelled(pair, members) for pair in pairs)
    early = [_format_finding(pair, problem) for pair in pairs for problem in pair.problems]
    if early:
        return LineCheck(line, members, None, "invalid", (*early, *notes), labelled)
    parts = [check_label_attribute(pair, members) for pair in pairs]
    state = _state(parts)
    findings = [finding for part in parts for finding in part.findings] + _line_findings(parts, state)
    image = None
    if state == "valid":
        kept = [part.pair for part in parts]
        image = build_image(text, members, kept, keep_text=not repeated and kept == pairs)
        if len(image.labels) > LABELS_PER_IMAGE:
            notes.append(Finding("TOO_MANY_LABELS_FOR_IMAGE", detail=f"It has {len(image.labels)} labels."))
    return LineCheck(line, members, image, state, (*findings, *notes), labelled)


def _repeated_key(key: str) -> Finding:
    return Finding("DUPLICATE_JSON_KEY", detail=f"The key {short_repr(key)} occurs more than once.")


def _source_problem(members: dict[str, Any], *, local: bool) -> Finding | None:
    if "source-ref" not in members:
        return Finding("ERROR_MISSING_SOURCE_REF")
    source = members["source-ref"]
    if local and isinstance(source, str) and source.strip() and _SCHEME.match(source) is None:
        return None
    match = SOURCE_REF.fullmatch(source) if isinstance(source, str) else None
    if match is not None and len(match[2].encode("utf-8", "surrogatepass")) <= _KEY_BYTES:
        return None
    detail = f"It is {short_repr(source)}."
    if match is not None:
        detail = f"The key has more than {_KEY_BYTES:,} bytes."
    return Finding("ERROR_INVALID_SOURCE_REF_FORMAT", path=("source-ref",), detail=detail)


def _check_unlabelled(line: int, members: dict[str, Any], notes: list[Finding]) -> LineCheck:
    if members.keys() <= RESERVED_KEYS:
        return LineCheck(line, members, None, "ignored", (Finding("WARNING_UNANNOTATED_RECORD"), *notes))
    lone = next(key for key in members if key not in RESERVED_KEYS)
    missing = lone.removesuffix(METADATA_SUFFIX) if lone.endswith(METADATA_SUFFIX) else lone + METADATA_SUFFIX
    detail = f"There is {short_repr(lone)}, but no {short_repr(missing)}."
    return LineCheck(
        line, members, None, "invalid", (Finding("ERROR_NO_LABEL_ATTRIBUTES", detail=detail), *notes)
    )


def _counts_as_labelled(pair: LabelAttribute, members: dict[str, Any]) -> bool:
    value = members[pair.key]
    return pair.kind != DETECTION or not is_object(value) or bool(value.get("annotations"))


def _format_finding(pair: LabelAttribute, problem: FormatProblem) -> Finding:
    in_attribute = problem.code == "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT"
    place = (pair.key,) if in_attribute else (pair.key + METADATA_SUFFIX,)
    return Finding(problem.code, place, problem.path, f"{problem.detail[0].upper()}{problem.detail[1:]}.")


def _state(parts: list[AttributeCheck]) -> LineState:
    uses = {part.use for part in parts}
    if "fatal" in uses:
        return "invalid"
    if "usable" in uses:
        return "valid"
    return "invalid" if "unusable" in uses else "ignored"


def _line_findings(parts: list[AttributeCheck], state: LineState) -> list[Finding]:
    """What the service says of the line because of its parts."""
    if state == "ignored":
        annotated = any(part.annotated for part in parts)
        return [Finding("WARNING_NO_ANNOTATIONS" if annotated else "WARNING_UNANNOTATED_RECORD")]
    codes = {finding.code for part in parts for finding in part.findings}
    if state == "invalid" and codes & {"ERROR_UNSUPPORTED_USE_CASE_TYPE", "ERROR_INVALID_LABEL_NAME_LENGTH"}:
        return [Finding("ERROR_NO_VALID_LABEL_ATTRIBUTES")]
    return []
