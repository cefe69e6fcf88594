"""Evaluation summary of a content moderation adapter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import attrs

from rekolabels._display import counted
from rekolabels.evaluation._jsonl import as_list, as_object, number_in, object_in, text_in, unreadable
from rekolabels.evaluation._metrics import Counts

__all__ = ["AdapterCounts", "AdapterEvaluation", "AdapterThreshold", "read_adapter"]

_SUMMARY = "the evaluation summary"
_COUNTS = ("TruePositive", "FalsePositive", "FalseNegative", "TrueNegative")


@attrs.frozen
class AdapterCounts:
    """Confusion counts of the base model and of the adapter on the same images."""

    base_model: Counts
    """Counts of content moderation without the adapter."""
    adapter: Counts
    """Counts of content moderation with the adapter."""


@attrs.frozen
class AdapterThreshold:
    """Counts of an adapter at one confidence threshold."""

    confidence_threshold: float
    """Confidence threshold in percent, 0 to 100."""
    total: AdapterCounts = attrs.field(repr=False)
    """Counts over all labels."""
    labels: Mapping[str, AdapterCounts] = attrs.field(hash=False, repr=counted("labels"))
    """Counts by label."""


@attrs.frozen
class AdapterEvaluation:
    """Comparison of an adapter with the base model (``ContentModeration`` of the summary)."""

    requested: AdapterThreshold | None
    """Counts at the threshold that was requested for the training."""
    thresholds: tuple[AdapterThreshold, ...] = attrs.field(repr=counted("thresholds"))
    """Counts at the thresholds of the file: 5, 10 … 100 %."""


def read_adapter(content: object) -> AdapterEvaluation | None:
    """Read the adapter part of a summary; None if there is none."""
    if content is None:
        return None
    where = f"{_SUMMARY}: ContentModeration"
    if not isinstance(content, Mapping):
        raise unreadable(where, f"expected an object, found {type(content).__name__}")
    fields = cast("Mapping[str, Any]", content)
    requested = fields.get("InputConfidenceThresholdEvalResults")
    listed = as_list(fields.get("AllConfidenceThresholdsEvalResults") or [])
    if listed is None:
        raise unreadable(f"{where}.AllConfidenceThresholdsEvalResults", "expected a list")
    return AdapterEvaluation(
        None if requested is None else _threshold(requested, f"{where}.InputConfidenceThresholdEvalResults"),
        tuple(
            _threshold(item, f"{where}.AllConfidenceThresholdsEvalResults[{at}]")
            for at, item in enumerate(listed)
        ),
    )


def _threshold(value: object, where: str) -> AdapterThreshold:
    fields = as_object(value, where)
    labels: dict[str, AdapterCounts] = {}
    for at, entry in enumerate(as_list(fields.get("LabelEvaluationResults")) or ()):
        place = f"{where}.LabelEvaluationResults[{at}]"
        label = as_object(entry, place)
        labels[text_in(label, "Label", place)] = _counts_of_both(label, place)
    total = _counts_of_both(object_in(fields, "AggregatedEvaluationResults", where), where)
    return AdapterThreshold(number_in(fields, "ConfidenceThreshold", where), total, labels)


def _counts_of_both(fields: Mapping[str, Any], where: str) -> AdapterCounts:
    return AdapterCounts(
        *(_counts(object_in(fields, name, where), where) for name in ("BaseModel", "Adapter"))
    )


def _counts(fields: Mapping[str, Any], where: str) -> Counts:
    return Counts(*(int(number_in(fields, name, where)) for name in _COUNTS))
