"""Reading and writing evaluation summary files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

from rekolabels.errors import InvalidEvaluation
from rekolabels.evaluation._values import ConfusionMatrix, LabelMetrics, ResultFields, by_f1

__all__ = ["read_summary", "write_summary"]

_AGGREGATED = "AggregatedEvaluationResults"
_DETAILS = "EvaluationDetails"
_LABELS = "LabelEvaluationResults"
_ENDED = "EvaluationEndTimestamp"


def read_summary(summary: Mapping[str, Any]) -> ResultFields:
    """Make a result of the content of a summary file."""
    root = _mapping(summary, "the summary")
    if not {_AGGREGATED, _DETAILS, _LABELS} & set(root):
        raise InvalidEvaluation(
            f"this is no evaluation summary: none of {_AGGREGATED}, {_LABELS} and {_DETAILS} is in it; "
            "expected the content of an EvaluationResultSummary-<project>-<version>.json"
        )
    aggregated = _mapping(root.pop(_AGGREGATED, None), _AGGREGATED)
    nested = _mapping(aggregated.pop("Metrics", None), f"{_AGGREGATED}.Metrics")
    aggregated |= nested  # the nested layout differs from the flat one only in this
    details = _mapping(root.pop(_DETAILS, None), _DETAILS)
    labels: dict[str, LabelMetrics] = {}
    for number, entry in enumerate(_list(root.pop(_LABELS, None), _LABELS)):
        label, metrics = _read_label(entry, f"{_LABELS}[{number}]")
        if label in labels:
            raise InvalidEvaluation(f"{_LABELS}[{number}]: the label {label!r} was there before")
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
    """Make the content of a summary file, in the flat layout."""
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
        raise InvalidEvaluation(f"{where}.Label: expected a text, found {label!r}")
    metrics = _mapping(fields.pop("Metrics", None), f"{where}.Metrics")
    read = LabelMetrics(
        f1=_number(metrics, "F1Score", where),
        precision=_number(metrics, "Precision", where),
        recall=_number(metrics, "Recall", where),
        threshold=_number(metrics, "Threshold", where),
        test_images=_count(fields, "NumberOfTestingImages", where),
        extra=fields | ({"Metrics": metrics} if metrics else {}),
    )
    return label, read


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
    """Read the matrix; its labels are those of the file, then any that only the cells know."""
    if value is None:
        return None
    shares: dict[tuple[str, str], float] = {}
    where = f"{_AGGREGATED}.ConfusionMatrix"
    for number, entry in enumerate(_list(value, where)):
        cell = _mapping(entry, f"{where}[{number}]")
        truth, found = cell.get("GroundTruthLabel"), cell.get("PredictedLabel")
        if not isinstance(truth, str) or not isinstance(found, str):
            raise InvalidEvaluation(
                f"{where}[{number}]: expected GroundTruthLabel and PredictedLabel as texts"
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
            raise InvalidEvaluation(f"{_DETAILS}.Labels: expected texts, found {name!r}")
    return names


def _mapping(value: Any, where: str) -> dict[str, Any]:
    """Copy an object; a missing one is empty."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidEvaluation(f"{where}: expected an object, found {type(value).__name__}")
    return dict(cast("Mapping[str, Any]", value))


def _list(value: Any, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidEvaluation(f"{where}: expected a list, found {type(value).__name__}")
    listed: list[Any] = value  # pyright: ignore[reportUnknownVariableType] - JSON
    return listed


def _number(fields: dict[str, Any], name: str, where: str) -> float | None:
    """Take a number out of the fields; null and NaN are undefined."""
    value = fields.pop(name, None)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidEvaluation(f"{where}.{name}: expected a number, found {value!r}")
    return float(value) if math.isfinite(value) else None


def _count(fields: dict[str, Any], name: str, where: str) -> int | None:
    number = _number(fields, name, where)
    return None if number is None else int(number)


def _text(fields: dict[str, Any], name: str, where: str) -> str | None:
    value = fields.pop(name, None)
    if value is not None and not isinstance(value, str):
        raise InvalidEvaluation(f"{where}.{name}: expected a text, found {value!r}")
    return value


def _timestamp(value: Any) -> datetime | None:
    """Read a time; None when it is none."""
    if not isinstance(value, str):
        return None
    try:
        # Python 3.10 does not know the Z.
        return datetime.fromisoformat(f"{value[:-1]}+00:00" if value.endswith("Z") else value)
    except ValueError:
        return None
