"""Content moderation: the base model, which knows no labels, and adapters trained on the user's own.

AWS's base model has a taxonomy of its own, of which nothing is here. The base model of the embedded service,
``BASE_MODEL``, finds nothing in any image. An adapter is a classifier, really trained on the labels of the
user's manifest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels.local._engine import check_image
from rekolabels.local._jobs._manifests import message_of
from rekolabels.manifest._json import is_list, is_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rekolabels.local._core._models import ModelCache
    from rekolabels.local._engine import Prediction

__all__ = [
    "BASE_MODEL",
    "DEFAULT_MIN_CONFIDENCE",
    "NO_LABEL",
    "AdapterLine",
    "detect_labels",
    "evaluate_adapter",
    "label_confidences",
    "predictions",
    "read_line",
]

BASE_MODEL = "local-without-moderation-labels"
"""``ModerationModelVersion`` of the base model."""
DEFAULT_MIN_CONFIDENCE = 50.0
"""Confidence, in percent, when the request gives none."""
NO_LABEL = ""
"""Class of images without labels in training; not a valid label name in a manifest."""

_GROUND_TRUTH = "content-moderation-groundtruth"
_S3_URI = re.compile(r"[sS]3://[^/]+/.+", re.DOTALL)
_THRESHOLDS = range(5, 101, 5)
_COUNTS: tuple[str, ...] = ("TruePositive", "TrueNegative", "FalsePositive", "FalseNegative")
_MIN_CONFIDENCE_IN_OUTPUT = 5.0
"""Confidence, in percent, below which an output manifest leaves out predictions."""


@attrs.frozen
class AdapterLine:
    """A line of an adapter's manifest."""

    members: Mapping[str, Any]
    source: str = ""
    """S3 URI of the image."""
    labels: frozenset[str] = frozenset()
    code: str | None = None
    """AWS's error code; None for a valid line."""
    detail: str = ""
    """Follows the message of the code."""

    def with_error(self, code: str, detail: str = "") -> AdapterLine:
        """Return the line with an error."""
        return attrs.evolve(self, code=code, detail=detail)

    @property
    def validation_line(self) -> str:
        """The line as the validation manifest contains it."""
        if self.code is None:
            return _to_json(self.members)
        message = f"{message_of(self.code)} {self.detail}".strip().replace("{}", _GROUND_TRUTH)
        return _to_json({**self.members, "errors": [{"code": self.code, "message": message}]})

    def output_line(self, predicted: Mapping[str, Any]) -> str:
        """Return the line as an output manifest contains it, with predictions added."""
        kept = {name: self.members[name] for name in ("source-ref", _GROUND_TRUTH)}
        return _to_json({**kept, **predicted})


def read_line(raw: bytes) -> AdapterLine:
    """Read and check one line.

    >>> line = b'{"source-ref":"s3://b/a.jpg","content-moderation-groundtruth":{"ModerationLabels":[]}}'
    >>> read_line(line).labels, read_line(b"{}").code
    (frozenset(), 'ERROR_MISSING_SOURCE_REF')
    """
    try:
        members: object = json.loads(raw.decode())
    except (ValueError, RecursionError):
        members = None
    if not is_object(members):
        return AdapterLine({}, code="ERROR_INVALID_JSON_LINE")
    members.pop("errors", None)
    line = AdapterLine(members)
    source = members.get("source-ref")
    if source is None:
        return line.with_error("ERROR_MISSING_SOURCE_REF")
    if not isinstance(source, str) or not _S3_URI.fullmatch(source):
        return line.with_error("ERROR_INVALID_SOURCE_REF_FORMAT")
    if _GROUND_TRUTH not in members:
        return line.with_error("ERROR_NO_LABEL_ATTRIBUTES")
    labels = _label_names(members[_GROUND_TRUTH])
    if labels is None:
        return line.with_error("ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT")
    return attrs.evolve(line, source=source, labels=labels)


def _label_names(ground_truth: object) -> frozenset[str] | None:
    """Return the names in ``ModerationLabels``; None if they do not have the right form."""
    labels: object = ground_truth.get("ModerationLabels") if is_object(ground_truth) else None
    if not is_list(labels):
        return None
    names: list[Any] = [label.get("Name") if is_object(label) else None for label in labels]
    return frozenset(names) if all(isinstance(name, str) and name for name in names) else None


def detect_labels(
    models: ModelCache, number: int | None, data: bytes, min_confidence: float
) -> list[dict[str, Any]]:
    """Return the moderation labels of an image, as DetectModerationLabels does.

    Args:
        models: The models in memory.
        number: Number of the adapter's version; None for the base model.
        data: The encoded image.
        min_confidence: In percent.

    Raises:
        UnusableImage: The image cannot be decoded, or breaks a limit.
    """
    if number is None:
        check_image(data)
        return []
    return _moderation_labels(label_confidences(models.load(number).model.predict(data)), min_confidence)


def label_confidences(found: Iterable[Prediction]) -> dict[str, float]:
    """Map each label that an adapter predicts to its confidence in percent, the most confident first."""
    return {one.label: min(one.confidence * 100, 100.0) for one in found if one.label != NO_LABEL}


def predictions(found: Mapping[str, float], version: str) -> dict[str, Any]:
    """Return what adapter and base model predict for a test image, as the output manifest contains it."""
    shared = {"ModerationModelVersion": BASE_MODEL}
    return {
        "detect-moderation-labels": {
            "ModerationLabels": _moderation_labels(found, _MIN_CONFIDENCE_IN_OUTPUT),
            **shared,
            "ProjectVersion": version,
        },
        "detect-moderation-labels-base-model": {"ModerationLabels": [], **shared},
    }


def evaluate_adapter(
    truths: Sequence[frozenset[str]], found: Sequence[Mapping[str, float]], threshold: float
) -> tuple[dict[str, Any], float]:
    """Evaluate an adapter against the base model.

    Args:
        truths: The labels of each test image.
        found: The adapter's confidences for each test image, in percent.
        threshold: The confidence that the user will apply, in percent.

    Returns:
        The members of the summary file that only adapters have, and the F1 score at the threshold over all
        labels.
    """
    labels = sorted({*(name for truth in truths for name in truth), *(name for one in found for name in one)})

    def evaluate_at(threshold: float) -> dict[str, Any]:
        predicted = [frozenset(name for name, value in one.items() if value >= threshold) for one in found]
        nothing = [frozenset[str]() for _ in truths]
        adapter = {label: _count(truths, predicted, label) for label in labels}
        base = {label: _count(truths, nothing, label) for label in labels}
        return {
            "ConfidenceThreshold": float(threshold),
            "AggregatedEvaluationResults": {"BaseModel": _sum(base), "Adapter": _sum(adapter)},
            "LabelEvaluationResults": [
                {"Label": label, "BaseModel": base[label], "Adapter": adapter[label]} for label in labels
            ],
        }

    at_threshold = evaluate_at(threshold)
    counts = at_threshold["AggregatedEvaluationResults"]["Adapter"]
    wrong = counts["FalsePositive"] + counts["FalseNegative"]
    twice_right = 2 * counts["TruePositive"]
    f1 = twice_right / (twice_right + wrong) if twice_right + wrong else 0.0
    evaluation = {
        "AggregatedEvaluationResults": {"F1Score": f1},
        "ContentModeration": {
            "InputConfidenceThresholdEvalResults": at_threshold,
            "AllConfidenceThresholdsEvalResults": [evaluate_at(percent) for percent in _THRESHOLDS],
        },
    }
    return evaluation, f1


def _moderation_labels(found: Mapping[str, float], min_confidence: float) -> list[dict[str, Any]]:
    """Return ``ModerationLabels``; the user's own labels have no parents."""
    return [
        {"Confidence": confidence, "Name": name, "ParentName": ""}
        for name, confidence in found.items()
        if confidence >= min_confidence
    ]


def _count(
    truths: Sequence[frozenset[str]], predicted: Sequence[frozenset[str]], label: str
) -> dict[str, int]:
    counts = dict.fromkeys(_COUNTS, 0)
    for truth, one in zip(truths, predicted, strict=True):
        right = (label in truth) == (label in one)
        kind = "Positive" if label in one else "Negative"
        counts[f"{'True' if right else 'False'}{kind}"] += 1
    return counts


def _sum(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {name: sum(one[name] for one in counts.values()) for name in _COUNTS}


def _to_json(members: Mapping[str, Any]) -> str:
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"))
