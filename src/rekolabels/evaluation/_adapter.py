"""The summary of a content moderation adapter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import attrs

from rekolabels.errors import InvalidEvaluation
from rekolabels.evaluation._jsonl import as_list, as_object, number_in, object_in, text_in
from rekolabels.evaluation._metrics import Counts

__all__ = ["AdapterCounts", "AdapterEvaluation", "AdapterThreshold", "read_adapter"]

_COUNTS = ("TruePositive", "FalsePositive", "FalseNegative", "TrueNegative")


@attrs.frozen
class AdapterCounts:
    """What the base model and the adapter made of the same images."""

    base_model: Counts
    """Content moderation without the adapter."""
    adapter: Counts
    """With it."""


@attrs.frozen
class AdapterThreshold:
    """An adapter at one confidence threshold."""

    confidence_threshold: float
    """0 to 100."""
    total: AdapterCounts
    """Over all labels."""
    labels: Mapping[str, AdapterCounts] = attrs.field(hash=False)
    """By label."""


@attrs.frozen
class AdapterEvaluation:
    """How an adapter compares with the base model (``ContentModeration`` of the summary)."""

    requested: AdapterThreshold | None
    """At the threshold that the training was asked for."""
    thresholds: tuple[AdapterThreshold, ...]
    """At 5, 10 … 100, as the file has them."""


def read_adapter(content: object) -> AdapterEvaluation | None:
    """Read what a summary says of an adapter; None when it says nothing of one."""
    if content is None:
        return None
    where = "ContentModeration"
    if not isinstance(content, Mapping):
        raise InvalidEvaluation(f"{where}: expected an object, found {type(content).__name__}")
    fields = cast("Mapping[str, Any]", content)
    requested = fields.get("InputConfidenceThresholdEvalResults")
    everything = as_list(fields.get("AllConfidenceThresholdsEvalResults") or [])
    if everything is None:
        raise InvalidEvaluation(f"{where}.AllConfidenceThresholdsEvalResults: expected a list")
    return AdapterEvaluation(
        None if requested is None else _threshold(requested, f"{where}.InputConfidenceThresholdEvalResults"),
        tuple(
            _threshold(one, f"{where}.AllConfidenceThresholdsEvalResults[{at}]")
            for at, one in enumerate(everything)
        ),
    )


def _threshold(value: object, where: str) -> AdapterThreshold:
    fields = as_object(value, where)
    labels: dict[str, AdapterCounts] = {}
    for at, entry in enumerate(as_list(fields.get("LabelEvaluationResults")) or ()):
        place = f"{where}.LabelEvaluationResults[{at}]"
        one = as_object(entry, place)
        labels[text_in(one, "Label", place)] = _pair(one, place)
    total = _pair(object_in(fields, "AggregatedEvaluationResults", where), where)
    return AdapterThreshold(number_in(fields, "ConfidenceThreshold", where), total, labels)


def _pair(fields: Mapping[str, Any], where: str) -> AdapterCounts:
    return AdapterCounts(
        *(_counts(object_in(fields, name, where), where) for name in ("BaseModel", "Adapter"))
    )


def _counts(fields: Mapping[str, Any], where: str) -> Counts:
    return Counts(*(int(number_in(fields, name, where)) for name in _COUNTS))
