"""Evaluation summaries: both layouts, lossless round trips, undefined values and invalid content."""

from __future__ import annotations

import copy
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from rekolabels.errors import InvalidEvaluation
from rekolabels.evaluation import ConfusionMatrix, EvaluationResult, LabelMetrics

SUMMARY: dict[str, Any] = {
    "Version": 1,
    "AggregatedEvaluationResults": {
        "ConfusionMatrix": [
            {"GroundTruthLabel": "cap", "PredictedLabel": "cap", "Value": 0.99},
            {"GroundTruthLabel": "cap", "PredictedLabel": "watch", "Value": 0.01},
            {"GroundTruthLabel": "watch", "PredictedLabel": "cap", "Value": 0.2},
            {"GroundTruthLabel": "watch", "PredictedLabel": "watch", "Value": 0.8},
        ],
        "F1Score": 0.97,
        "Precision": 0.96,
        "Recall": 0.98,
    },
    "EvaluationDetails": {
        "EvaluationEndTimestamp": "2019-11-21T07:30:23.910943",
        "Labels": ["cap", "watch"],
        "NumberOfTestingImages": 624,
        "NumberOfTrainingImages": 5216,
        "ProjectVersionArn": "arn:aws:rekognition:us-east-1:123456789012:project/p/version/v/1574317227432",
    },
    "LabelEvaluationResults": [
        {
            "Label": "watch",
            "Metrics": {"F1Score": 0.95, "Precision": 0.94, "Recall": 0.96, "Threshold": 0.0145},
            "NumberOfTestingImages": 234,
        },
        {
            "Label": "cap",
            "Metrics": {"F1Score": 0.99, "Precision": 0.98, "Recall": 1, "Threshold": 0.988},
            "NumberOfTestingImages": 390,
        },
    ],
}


def summary(**aggregated: Any) -> dict[str, Any]:
    """Return a copy of the sample with other aggregated values."""
    content = copy.deepcopy(SUMMARY)
    content["AggregatedEvaluationResults"] |= aggregated
    return content


def test_every_field_of_the_flat_layout_is_read() -> None:
    """In the layout of real files, the aggregated results contain the metrics directly."""
    result = EvaluationResult.from_summary(SUMMARY)

    assert (result.f1, result.precision, result.recall) == (0.97, 0.96, 0.98)
    assert list(result.labels) == ["cap", "watch"]
    assert LabelMetrics(0.99, 0.98, 1.0, 0.988, 390) == result.labels["cap"]
    assert (result.training_images, result.test_images) == (5216, 624)
    assert datetime(2019, 11, 21, 7, 30, 23, 910943, tzinfo=UTC) == result.evaluated_at
    assert SUMMARY["EvaluationDetails"]["ProjectVersionArn"] == result.project_version_arn
    assert result.confusion_matrix is not None
    assert result.confusion_matrix.rows() == ((0.99, 0.01), (0.2, 0.8))
    assert result.kind == "classification"
    assert result.extra == {}


def test_the_nested_layout_reads_the_same() -> None:
    """The schema in the developer guide has one more level; the result is the same."""
    nested = summary()
    flat = nested["AggregatedEvaluationResults"]
    nested["AggregatedEvaluationResults"] = {
        "ConfusionMatrix": flat.pop("ConfusionMatrix"),
        "Metrics": flat,
    }

    assert EvaluationResult.from_summary(SUMMARY) == EvaluationResult.from_summary(nested)


def test_a_detector_has_map_and_mar() -> None:
    """A summary with an average precision belongs to a detector."""
    content = summary(AveragePrecision=0.609, AverageRecall=0.941)
    del content["AggregatedEvaluationResults"]["ConfusionMatrix"]

    result = EvaluationResult.from_summary(content)

    assert (result.kind, result.confusion_matrix) == ("detection", None)
    assert (result.mean_average_precision, result.mean_average_recall) == (0.609, 0.941)
    assert "mAP 0.609   mAR 0.941" in str(result)


def test_unknown_fields_are_kept_where_they_were() -> None:
    """Fields of a newer service are no error, and are written again."""
    content = summary(Kappa=0.9)
    content["Origin"] = {"a": [1]}
    content["EvaluationDetails"]["Duration"] = 3
    content["LabelEvaluationResults"][0]["Metrics"]["Support"] = 12
    content["LabelEvaluationResults"][0]["Colour"] = "red"

    result = EvaluationResult.from_summary(content)

    assert result.extra == {
        "Origin": {"a": [1]},
        "AggregatedEvaluationResults": {"Kappa": 0.9},
        "EvaluationDetails": {"Duration": 3},
    }
    assert result.labels["watch"].extra == {"Colour": "red", "Metrics": {"Support": 12}}
    assert result == EvaluationResult.from_summary(result.to_summary())
    assert result.to_summary()["LabelEvaluationResults"][1]["Metrics"]["Support"] == 12


def test_written_summary_is_read_back_without_loss() -> None:
    """Writing and reading a result gives the same result."""
    result = EvaluationResult.from_summary(SUMMARY)

    again = result.to_summary()

    assert result == EvaluationResult.from_summary(again)
    assert SUMMARY["AggregatedEvaluationResults"] == again["AggregatedEvaluationResults"]
    assert SUMMARY["EvaluationDetails"] == again["EvaluationDetails"]


@pytest.mark.parametrize("value", [None, math.nan, math.inf], ids=["null", "NaN", "infinite"])
def test_undefined_values_stay_undefined(value: float | None) -> None:
    """Null and NaN become None, neither an error nor 0."""
    content = summary(F1Score=value)
    content["LabelEvaluationResults"][1]["Metrics"] = {"F1Score": value, "Threshold": value}
    content["LabelEvaluationResults"][1]["NumberOfTestingImages"] = value

    result = EvaluationResult.from_summary(content)

    assert result.f1 is None
    assert LabelMetrics() == result.labels["cap"]
    assert list(result.labels) == ["watch", "cap"], "undefined labels come last"
    assert "n/a" in str(result)


def test_a_summary_with_nothing_but_details_is_read() -> None:
    """Fields of missing parts are None."""
    result = EvaluationResult.from_summary({"EvaluationDetails": None, "LabelEvaluationResults": []})

    assert EvaluationResult() == result
    assert "All labels" in str(result)


def test_summary_of_an_adapter_keeps_its_part() -> None:
    """The summary of a content moderation adapter has one aggregated value and a part of its own."""
    content = {
        "AggregatedEvaluationResults": {"F1Score": 0.5},
        "ContentModeration": {"AllConfidenceThresholdsEvalResults": []},
    }

    result = EvaluationResult.from_summary(content)

    assert result.f1 == 0.5
    assert result.extra == {"ContentModeration": {"AllConfidenceThresholdsEvalResults": []}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"Statistics": {}}, "it has none of AggregatedEvaluationResults"),
        ([1], r"summary is \[1\]; expected the content of the file"),
        (summary(F1Score="high"), r"AggregatedEvaluationResults\.F1Score: expected a number, found 'high'"),
        (summary(Recall=True), "expected a number, found True"),
        (summary(ConfusionMatrix={}), "ConfusionMatrix: expected a list"),
        (summary(ConfusionMatrix=[{"Value": 1}]), r"ConfusionMatrix\[0\]: expected GroundTruthLabel"),
        (
            {"LabelEvaluationResults": [{"Label": 7}]},
            r"LabelEvaluationResults\[0\]\.Label: expected a string",
        ),
        ({"LabelEvaluationResults": [{"Label": "a"}, {"Label": "a"}]}, "duplicate label 'a'"),
        ({"EvaluationDetails": {"Labels": [1]}}, r"EvaluationDetails\.Labels: expected strings"),
        ({"EvaluationDetails": {"ProjectVersionArn": 1}}, "ProjectVersionArn: expected a string"),
    ],
)
def test_invalid_summaries_raise(content: Any, message: str) -> None:
    """The error names the field and what was expected."""
    with pytest.raises(InvalidEvaluation, match=message):
        EvaluationResult.from_summary(content)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05+02:00", datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("soon", None),
    ],
)
def test_times_are_utc(text: str, expected: datetime | None) -> None:
    """Times in ISO format are read; a time that cannot be read is kept in ``extra``."""
    result = EvaluationResult.from_summary({"EvaluationDetails": {"EvaluationEndTimestamp": text}})

    assert expected == result.evaluated_at
    assert (expected is None) == (text in str(result.extra))


def test_time_of_another_zone_is_written_in_utc() -> None:
    """Times in the file are UTC without a zone."""
    time = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))

    details = EvaluationResult(evaluated_at=time).to_summary()["EvaluationDetails"]

    assert details["EvaluationEndTimestamp"] == "2026-01-02T01:04:05.000000"


def test_table_is_aligned() -> None:
    """Wide characters take two columns, and control characters are escaped."""
    labels = {
        "ok": LabelMetrics(0.5, 0.5, 0.5, 0.5, 10),
        "日本": LabelMetrics(1.0, 1.0, 1.0, 0.25, 5),
        "a\n\x1b[31m": LabelMetrics(),
    }

    text = str(EvaluationResult(f1=0.75, precision=0.75, recall=0.75, labels=labels, test_images=15))

    assert text == (
        "F1 score 0.750   Average precision 0.750   Overall recall 0.750\n"
        "\n"
        "Label        F1 score  Precision  Recall  Assumed threshold  Test images\n"
        "ok              0.500      0.500   0.500              0.500           10\n"
        "日本            1.000      1.000   1.000              0.250            5\n"
        "a\\n\\x1b[31m       n/a        n/a     n/a                n/a          n/a\n"
        "All labels      0.750      0.750   0.750                              15"
    )


def test_table_of_many_labels_shows_the_best_and_the_worst() -> None:
    """The labels in the middle are omitted."""
    labels = {f"label {n:03}": LabelMetrics(f1=1 - n / 250) for n in range(250)}

    lines = str(EvaluationResult(labels=labels)).splitlines()

    assert len(lines) == 55
    assert lines[28] == "... 200 more labels; see result.labels or result.save('evaluation.html')"
    assert lines[3].startswith("label 000")
    assert lines[-2].startswith("label 249")


def test_unknown_shares_of_a_matrix_are_none() -> None:
    """A pair that is not in the file has no share."""
    matrix = ConfusionMatrix(("a", "b"), {("a", "a"): 1.0})

    assert matrix.rows() == ((1.0, None), (None, None))
