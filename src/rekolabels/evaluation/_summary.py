"""Reader and writer for evaluation summary files."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from rekolabels._arguments import shown
from rekolabels.errors import InvalidEvaluation
from rekolabels.evaluation._jsonl import finite, unreadable
from rekolabels.evaluation._values import ConfusionMatrix, LabelMetrics, ResultFields, by_f1
from rekolabels.manifest._json import short_repr

__all__ = ["read_summary", "write_summary"]

_AGGREGATED = "AggregatedEvaluationResults"
_DETAILS = "EvaluationDetails"
_LABELS = "LabelEvaluationResults"
_ENDED = "EvaluationEndTimestamp"
_MAX_COUNT = 2**53
"""Up to this number, floats represent integers exactly."""
_MAX_DEPTH = 50
"""Levels of nesting; summaries have five, and unknown fields are written again."""
_SUMMARY = "the evaluation summary"


def read_summary(summary: Mapping[str, Any]) -> ResultFields:
    """Read the content of a summary file.

    Raises:
        InvalidEvaluation: The content is not an evaluation summary, or a field has the wrong type.
    """
    if isinstance(summary, (str, os.PathLike)):
        raise InvalidEvaluation(
            f"Cannot read the evaluation summary: summary is {shown(summary)}; expected the content of the "
            "file. Use `json.loads(Path(...).read_bytes())`."
        )
    if not isinstance(summary, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
        raise InvalidEvaluation(
            f"Cannot read the evaluation summary: summary is {shown(summary)}; expected the content of the "
            "file, as json.load() returns it."
        )
    root = _mapping(summary, "")
    if _depth(summary) > _MAX_DEPTH:
        raise _unreadable("", f"it is nested more than {_MAX_DEPTH} levels deep")
    if not {_AGGREGATED, _DETAILS, _LABELS} & set(root):
        raise InvalidEvaluation(
            f"Cannot read the evaluation summary: it has none of {_AGGREGATED}, {_LABELS} and {_DETAILS}. "
            "Pass the content of an EvaluationResultSummary-<project>-<version>.json file."
        )
    aggregated = _mapping(root.pop(_AGGREGATED, None), _AGGREGATED)
    nested = _mapping(aggregated.pop("Metrics", None), f"{_AGGREGATED}.Metrics")
    aggregated |= nested  # the nested layout differs from the flat one only in this
    details = _mapping(root.pop(_DETAILS, None), _DETAILS)
    labels: dict[str, LabelMetrics] = {}
    for number, entry in enumerate(_list(root.pop(_LABELS, None), _LABELS)):
        label, metrics = _read_label(entry, f"{_LABELS}[{number}]")
        if label in labels:
            raise _unreadable(f"{_LABELS}[{number}]", f"duplicate label {short_repr(label)}")
        labels[label] = metrics
    matrix = _read_matrix(
        aggregated.pop("ConfusionMatrix", None), _names(details.pop("Labels", None)), labels
    )
    evaluated_at = _timestamp(details.get(_ENDED))
    if evaluated_at is not None or details.get(_ENDED) is None:
        details.pop(_ENDED, None)
    if root.get("Version") == 1:
        del root["Version"]
    return ResultFields(
        f1=_number(aggregated, "F1Score", _AGGREGATED),
        precision=_number(aggregated, "Precision", _AGGREGATED),
        recall=_number(aggregated, "Recall", _AGGREGATED),
        labels=by_f1(labels.items()),
        confusion_matrix=matrix,
        mean_average_precision=_number(aggregated, "AveragePrecision", _AGGREGATED),
        mean_average_recall=_number(aggregated, "AverageRecall", _AGGREGATED),
        training_images=_count(details, "NumberOfTrainingImages", _DETAILS),
        test_images=_count(details, "NumberOfTestingImages", _DETAILS),
        evaluated_at=evaluated_at,
        project_version_arn=_text(details, "ProjectVersionArn", _DETAILS),
        extra=root | {key: rest for key, rest in ((_AGGREGATED, aggregated), (_DETAILS, details)) if rest},
    )


def write_summary(result: ResultFields) -> dict[str, Any]:
    """Return the content of a summary file, in the flat layout."""
    extra = dict(result.extra)
    aggregated: dict[str, Any] = {}
    matrix = result.confusion_matrix
    if matrix is not None:
        aggregated["ConfusionMatrix"] = [
            {"GroundTruthLabel": truth, "PredictedLabel": found, "Value": share}
            for (truth, found), share in matrix.shares.items()
        ]
    aggregated |= {"F1Score": result.f1, "Precision": result.precision, "Recall": result.recall}
    if result.kind == "detection":
        aggregated["AveragePrecision"] = result.mean_average_precision
        aggregated["AverageRecall"] = result.mean_average_recall
    ended = result.evaluated_at
    details = {
        _ENDED: None if ended is None else ended.replace(tzinfo=None).isoformat(timespec="microseconds"),
        "Labels": sorted(result.labels) if matrix is None else list(matrix.labels),
        "NumberOfTestingImages": result.test_images,
        "NumberOfTrainingImages": result.training_images,
        "ProjectVersionArn": result.project_version_arn,
    }
    return {
        "Version": extra.pop("Version", 1),
        _AGGREGATED: aggregated | extra.pop(_AGGREGATED, {}),
        _DETAILS: details | extra.pop(_DETAILS, {}),
        _LABELS: [_write_label(label, metrics) for label, metrics in result.labels.items()],
        **extra,
    }


def _read_label(entry: Any, where: str) -> tuple[str, LabelMetrics]:
    fields = _mapping(entry, where)
    label = fields.pop("Label", None)
    if not isinstance(label, str):
        raise _unreadable(f"{where}.Label", f"expected a string, found {short_repr(label)}")
    metrics = _mapping(fields.pop("Metrics", None), f"{where}.Metrics")
    label_metrics = LabelMetrics(
        f1=_number(metrics, "F1Score", where),
        precision=_number(metrics, "Precision", where),
        recall=_number(metrics, "Recall", where),
        threshold=_number(metrics, "Threshold", where),
        test_images=_count(fields, "NumberOfTestingImages", where),
        extra=fields | ({"Metrics": metrics} if metrics else {}),
    )
    return label, label_metrics


def _write_label(label: str, metrics: LabelMetrics) -> dict[str, Any]:
    extra = dict(metrics.extra)
    values = {
        "F1Score": metrics.f1,
        "Precision": metrics.precision,
        "Recall": metrics.recall,
        "Threshold": metrics.threshold,
    }
    return {
        "Label": label,
        "Metrics": values | extra.pop("Metrics", {}),
        "NumberOfTestingImages": metrics.test_images,
        **extra,
    }


def _read_matrix(value: Any, names: list[str], labels: Iterable[str]) -> ConfusionMatrix | None:
    """Read the matrix; its labels are those of the file, then any that only occur in the cells."""
    if value is None:
        return None
    shares: dict[tuple[str, str], float] = {}
    where = f"{_AGGREGATED}.ConfusionMatrix"
    for number, entry in enumerate(_list(value, where)):
        cell = _mapping(entry, f"{where}[{number}]")
        truth, found = cell.get("GroundTruthLabel"), cell.get("PredictedLabel")
        if not isinstance(truth, str) or not isinstance(found, str):
            raise _unreadable(
                f"{where}[{number}]", "expected GroundTruthLabel and PredictedLabel to be strings"
            )
        share = _number(cell, "Value", f"{where}[{number}]")
        if share is not None:
            shares[truth, found] = share
    known = dict.fromkeys([*names, *sorted(labels), *(label for pair in shares for label in pair)])
    return ConfusionMatrix(tuple(known), shares)


def _names(value: Any) -> list[str]:
    names = _list(value, f"{_DETAILS}.Labels")
    for name in names:
        if not isinstance(name, str):
            raise _unreadable(f"{_DETAILS}.Labels", f"expected strings, found {short_repr(name)}")
    return names


def _unreadable(where: str, problem: str) -> InvalidEvaluation:
    return unreadable(f"{_SUMMARY}: {where}" if where else _SUMMARY, problem)


def _depth(value: Any) -> int:
    """Return the levels of nesting, without recursion; stop counting beyond the limit."""
    depth, level = 0, [value]
    while level and depth <= _MAX_DEPTH:
        depth += 1
        inner: list[Any] = []
        for one in level:
            inner += one.values() if isinstance(one, Mapping) else one if isinstance(one, list) else ()
        level = inner
    return depth


def _mapping(value: Any, where: str) -> dict[str, Any]:
    """Copy an object; a missing object is empty."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _unreadable(where, f"expected an object, found {type(value).__name__}")
    return dict(cast("Mapping[str, Any]", value))


def _list(value: Any, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _unreadable(where, f"expected a list, found {type(value).__name__}")
    listed: list[Any] = value  # pyright: ignore[reportUnknownVariableType] - JSON
    return listed


def _number(fields: dict[str, Any], name: str, where: str) -> float | None:
    """Remove a number from the fields and return it; null and NaN are undefined."""
    value = fields.pop(name, None)
    if value is None:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    number = finite(value)
    if number is None:
        raise _unreadable(f"{where}.{name}", f"expected a number, found {short_repr(value)}")
    return number


def _count(fields: dict[str, Any], name: str, where: str) -> int | None:
    number = _number(fields, name, where)
    if number is not None and abs(number) > _MAX_COUNT:
        raise _unreadable(f"{where}.{name}", f"expected a number of images, found {number:g}")
    return None if number is None else int(number)


def _text(fields: dict[str, Any], name: str, where: str) -> str | None:
    value = fields.pop(name, None)
    if value is not None and not isinstance(value, str):
        raise _unreadable(f"{where}.{name}", f"expected a string, found {short_repr(value)}")
    return value


def _timestamp(value: Any) -> datetime | None:
    """Parse a time; None if it is not one."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
        return time if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: the year 0 or 10000 in UTC
        return None
