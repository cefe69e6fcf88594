"""Rules for a single manifest line, and the labelled image of a valid line.

``check_line`` applies the rules in the service's order: format errors first, which end the check of the
line, then the others. The check of whole manifests and the embedded service both use it.
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
    is_integer_text,
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
    """A rule violation, warning or piece of advice for a line."""

    code: str
    """One of ``CODES``."""
    container: tuple[str | int, ...] = ()
    """The path of the object in which the service lists the error: the line (empty), an attribute, an
    annotation or metadata."""
    path: tuple[str | int, ...] = ()
    """The exact location, as the steps of a JSON pointer."""
    detail: str = ""
    """What is wrong at this location; empty if the message says enough."""
    column: int | None = None
    """The position in the line, from 1, if the line is not valid JSON."""

    @property
    def message(self) -> str:
        """The service's message, with its placeholder filled in."""
        return CODES[self.code].message.format(self.container[0] if self.container else "")


Outcome: TypeAlias = Literal["usable", "empty", "unusable", "fatal"]
"""The outcome for a label attribute: used, without annotations, unused, or unused with the whole line."""


@attrs.frozen
class AttributeCheck:
    """The result of checking one label attribute."""

    attribute: LabelAttribute
    """The attribute without unusable boxes and labels."""
    outcome: Outcome
    """Whether a training uses the attribute."""
    findings: tuple[Finding, ...] = ()
    """The rule violations in the attribute."""
    annotated: bool = True
    """Whether a person annotated the image, according to ``human-annotated``."""


def check_label_attribute(attribute: LabelAttribute, members: Mapping[str, Any]) -> AttributeCheck:
    """Check a well-formed label attribute against the rules.

    Args:
        attribute: The label attribute, without format problems.
        members: The parsed line.
    """
    if attribute.kind == CLASSIFICATION:
        return _check_label(attribute, attribute.label or "", members[attribute.key])
    if attribute.kind == DETECTION and attribute.size is not None:
        return _check_boxes(attribute, attribute.size, members)
    at = attribute.key + METADATA_SUFFIX
    detail = f"The type is {short_repr(attribute.kind)}."
    finding = Finding("ERROR_UNSUPPORTED_USE_CASE_TYPE", (at,), (at, "type"), detail)
    return AttributeCheck(attribute, "unusable", (finding,))


def min_box_side(size: ImageSize) -> float:
    """Return the length, in pixels of the image, that both sides of a box must exceed.

    It is one pixel of the image that the training sees: images with a side above 1280 pixels are scaled down
    to 1280.
    """
    return max(1.0, size.width / SCALED_SIDE, size.height / SCALED_SIDE)


def _check_label(attribute: LabelAttribute, label: str, value: object) -> AttributeCheck:
    key = attribute.key
    findings: list[Finding] = []
    if is_integer_text(value):
        findings.append(Finding("LABEL_VALUE_IS_TEXT", (key,), (key,), f"The value is {short_repr(value)}."))
    finding = _label_finding(label, (key + METADATA_SUFFIX, "class-name"))
    if finding is not None:
        findings.append(finding)
        if finding.code != "BLANK_LABEL":
            return AttributeCheck(attrs.evolve(attribute, label=None), "unusable", tuple(findings))
    return AttributeCheck(attribute, "usable", tuple(findings))


def _check_boxes(attribute: LabelAttribute, size: ImageSize, members: Mapping[str, Any]) -> AttributeCheck:
    key = attribute.key
    fatal = _image_findings(attribute, size)
    if not attribute.boxes:
        annotated = members[key + METADATA_SUFFIX]["human-annotated"] == "yes"
        finding = Finding("WARNING_NO_ATTRIBUTE_ANNOTATIONS", (key,), (key, "annotations"))
        return AttributeCheck(attribute, "fatal" if fatal else "empty", (*fatal, finding), annotated)
    findings: list[Finding] = []
    unusable: set[str] = set()
    for label in dict.fromkeys(box.label for box in attribute.boxes):
        label_finding = _label_finding(label, (key + METADATA_SUFFIX, "class-map"))
        if label_finding is not None:
            findings.append(label_finding)
            if label_finding.code != "BLANK_LABEL":
                unusable.add(label)
    kept: list[BoundingBox] = []
    for index, box in enumerate(attribute.boxes):
        box_finding = _box_finding(box, size, (key, "annotations", index))
        if box_finding is not None:
            findings.append(box_finding)
        elif box.label not in unusable:
            kept.append(box)
    if not kept:
        findings.append(Finding("ERROR_NO_VALID_ANNOTATIONS", (key,), (key, "annotations")))
    if len(kept) < len(attribute.boxes):
        attribute = attrs.evolve(attribute, boxes=tuple(kept))
    outcome: Outcome = "fatal" if fatal else "usable" if kept else "unusable"
    return AttributeCheck(attribute, outcome, (*fatal, *findings))


def _image_findings(attribute: LabelAttribute, size: ImageSize) -> list[Finding]:
    """Return the findings that make the whole line invalid."""
    findings: list[Finding] = []
    low, high = IMAGE_SIDE
    key = attribute.key
    if not (low <= size.width <= high and low <= size.height <= high):
        detail = (
            f"The stated size is {size.width} x {size.height} pixels; {low} to {high} a side are allowed."
        )
        findings.append(Finding("ERROR_INVALID_IMAGE_DIMENSION", (key,), (key, "image_size", 0), detail))
    if len(attribute.boxes) > BOXES_PER_IMAGE:
        detail = f"The image has {len(attribute.boxes)} boxes; at most {BOXES_PER_IMAGE} are allowed."
        findings.append(Finding("ERROR_TOO_MANY_BOUNDING_BOXES", (key,), (key, "annotations"), detail))
    return findings


def _label_finding(label: str, at: tuple[str, str]) -> Finding | None:
    if not 1 <= len(label) <= LABEL_LENGTH:
        detail = f"The label has {len(label)} characters; 1 to {LABEL_LENGTH} are allowed."
        return Finding("ERROR_INVALID_LABEL_NAME_LENGTH", at[:1], at, detail)
    return Finding("BLANK_LABEL", at[:1], at) if label.isspace() else None


def _box_finding(box: BoundingBox, size: ImageSize, at: tuple[str | int, ...]) -> Finding | None:
    label = short_repr(box.label, limit=40)
    subject = f"The box {label} (left {box.left}, top {box.top}, {box.width} x {box.height} pixels)"
    off_frame = min(box.left, box.top, box.width, box.height) < 0
    if off_frame or box.left + box.width > size.width or box.top + box.height > size.height:
        detail = f"{subject} is not inside the image of {size.width} x {size.height} pixels."
        return Finding("ERROR_INVALID_BOUNDING_BOX", at, at, detail)
    minimum = min_box_side(size)
    if box.width <= minimum or box.height <= minimum:
        required = "1 pixel"
        if minimum > 1:
            required = f"{minimum:.2f} pixels in an image of {size.width} x {size.height} pixels"
        detail = f"{subject} needs sides longer than {required}."
        return Finding("ERROR_BOUNDING_BOX_TOO_SMALL", at, at, detail)
    return None


LineState: TypeAlias = Literal["valid", "invalid", "ignored"]
"""How the manifest summary counts a line."""

SOURCE_REF: Final = re.compile(r"[sS]3://([0-9A-Za-z._-]{3,255})/(?=.*\S)(.+)", re.DOTALL)
"""An S3 URI: the bucket as the service's model defines it, and the key, whose length is checked elsewhere."""
_KEY_BYTES: Final = 1024
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
"""The start of a URI, as opposed to a local path."""


@attrs.frozen
class LineCheck:
    """The result of checking one line."""

    line: int
    """The line number, from 1."""
    members: dict[str, Any] | None
    """The parsed line; None if it is not a JSON object."""
    image: LabelledImage | None
    """The image with the labels and boxes that a training can use; None if the line is not valid."""
    state: LineState
    """How the manifest summary counts the line."""
    findings: tuple[Finding, ...] = ()
    """The findings, in the order in which the rules ran."""
    labelled: bool = False
    """Whether a dataset shows the entry as labelled: it has a label or a box, valid or not."""

    @property
    def source(self) -> str | None:
        """The image that the line names; None if a dataset would leave the line out."""
        if self.dropped:
            return None
        return None if self.members is None else str(self.members["source-ref"])

    @property
    def source_ref(self) -> str | None:
        """The value of ``source-ref``, valid or not; None if it is missing or not a string."""
        source_ref = None if self.members is None else self.members.get("source-ref")
        return source_ref if isinstance(source_ref, str) else None

    @property
    def dropped(self) -> bool:
        """Whether a dataset leaves the line out without reporting it."""
        return any(CODES[finding.code].dropped for finding in self.findings)

    @property
    def has_errors(self) -> bool:
        """Whether the line has an error. A valid line can have one, for example one bad box of several."""
        return any(CODES[finding.code].level == "LINE" for finding in self.findings)

    def with_error(self, code: str, detail: str = "") -> LineCheck:
        """Return the line as invalid because of a rule that needs more than the line, such as its image."""
        finding = Finding(code, detail=detail)
        return attrs.evolve(self, image=None, state="invalid", findings=(*self.findings, finding))


def check_line(text: str, *, line: int = 1, allow_local: bool = False) -> LineCheck:
    """Check one line of a manifest against every rule that needs neither other lines nor the image itself.

    It never raises an exception: an unreadable line gets a finding.

    Args:
        text: The line.
        line: The line number, from 1.
        allow_local: Whether ``source-ref`` may be a local path, for images that are checked before upload.

    >>> check = check_line('{"source-ref": "s3://puppies/1.jpg", "rust": 1}')
    >>> check.state, check.findings[0].code
    ('invalid', 'ERROR_NO_LABEL_ATTRIBUTES')
    """
    if len(text) > LINE_LENGTH:
        detail = f"The line has {len(text):,} characters."
        return LineCheck(line, None, None, "invalid", (Finding("LINE_TOO_LONG", detail=detail),))
    try:
        members, repeated = load_object(text)
    except InvalidJson as error:
        finding = Finding("ERROR_INVALID_JSON_LINE", detail=_sentence(error.detail), column=error.column)
        return LineCheck(line, None, None, "invalid", (finding,))
    notes = [_repeated_key(key) for key in repeated]
    source_finding = _source_finding(members, allow_local=allow_local)
    if source_finding is not None:
        return LineCheck(line, members, None, "invalid", (source_finding, *notes))
    keys = label_attribute_keys(members)
    if not keys:
        return _check_unlabelled(line, members, notes)
    attributes = [read_label_attribute(key, members[key], members[key + METADATA_SUFFIX]) for key in keys]
    labelled = any(_counts_as_labelled(attribute, members) for attribute in attributes)
    format_findings = [
        _format_finding(attribute, problem) for attribute in attributes for problem in attribute.problems
    ]
    if format_findings:
        return LineCheck(line, members, None, "invalid", (*format_findings, *notes), labelled)
    checks = [check_label_attribute(attribute, members) for attribute in attributes]
    state = _state(checks)
    findings = [finding for check in checks for finding in check.findings] + _line_findings(checks, state)
    image = None
    if state == "valid":
        kept = [check.attribute for check in checks]
        image = build_image(text, members, kept, keep_text=not repeated and kept == attributes)
        if len(image.labels) > LABELS_PER_IMAGE:
            detail = f"The image has {len(image.labels)} labels."
            notes.append(Finding("TOO_MANY_LABELS_FOR_IMAGE", detail=detail))
    return LineCheck(line, members, image, state, (*findings, *notes), labelled)


def _sentence(detail: str) -> str:
    return f"{detail[0].upper()}{detail[1:]}."


def _repeated_key(key: str) -> Finding:
    return Finding("DUPLICATE_JSON_KEY", detail=f"The key {short_repr(key)} occurs more than once.")


def _source_finding(members: dict[str, Any], *, allow_local: bool) -> Finding | None:
    if "source-ref" not in members:
        return Finding("ERROR_MISSING_SOURCE_REF")
    source = members["source-ref"]
    if allow_local and isinstance(source, str) and source.strip() and _SCHEME.match(source) is None:
        return None
    match = SOURCE_REF.fullmatch(source) if isinstance(source, str) else None
    if match is not None and len(match[2].encode("utf-8", "surrogatepass")) <= _KEY_BYTES:
        return None
    detail = f"The value is {short_repr(source)}."
    if match is not None:
        detail = f"The key has more than {_KEY_BYTES:,} bytes."
    return Finding("ERROR_INVALID_SOURCE_REF_FORMAT", path=("source-ref",), detail=detail)


def _check_unlabelled(line: int, members: dict[str, Any], notes: list[Finding]) -> LineCheck:
    if members.keys() <= RESERVED_KEYS:
        return LineCheck(line, members, None, "ignored", (Finding("WARNING_UNANNOTATED_RECORD"), *notes))
    key = next(key for key in members if key not in RESERVED_KEYS)
    missing = key.removesuffix(METADATA_SUFFIX) if key.endswith(METADATA_SUFFIX) else key + METADATA_SUFFIX
    detail = f"The line has {short_repr(key)}, but not {short_repr(missing)}."
    return LineCheck(
        line, members, None, "invalid", (Finding("ERROR_NO_LABEL_ATTRIBUTES", detail=detail), *notes)
    )


def _counts_as_labelled(attribute: LabelAttribute, members: dict[str, Any]) -> bool:
    value = members[attribute.key]
    return attribute.kind != DETECTION or not is_object(value) or bool(value.get("annotations"))


def _format_finding(attribute: LabelAttribute, problem: FormatProblem) -> Finding:
    in_attribute = problem.code == "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT"
    container = (attribute.key,) if in_attribute else (attribute.key + METADATA_SUFFIX,)
    return Finding(problem.code, container, problem.path, _sentence(problem.detail))


def _state(checks: list[AttributeCheck]) -> LineState:
    outcomes = {check.outcome for check in checks}
    if "fatal" in outcomes:
        return "invalid"
    if "usable" in outcomes:
        return "valid"
    return "invalid" if "unusable" in outcomes else "ignored"


def _line_findings(checks: list[AttributeCheck], state: LineState) -> list[Finding]:
    """Return the findings for the line that follow from its label attributes."""
    if state == "ignored":
        annotated = any(check.annotated for check in checks)
        return [Finding("WARNING_NO_ANNOTATIONS" if annotated else "WARNING_UNANNOTATED_RECORD")]
    codes = {finding.code for check in checks for finding in check.findings}
    if state == "invalid" and codes & {"ERROR_UNSUPPORTED_USE_CASE_TYPE", "ERROR_INVALID_LABEL_NAME_LENGTH"}:
        return [Finding("ERROR_NO_VALID_LABEL_ATTRIBUTES")]
    return []
