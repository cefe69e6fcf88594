"""Exact error messages of the evaluation."""

from __future__ import annotations

import json
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from evaluations import SCORES, TRUTHS, classifier, detector
from rekolabels import errors
from rekolabels.evaluation import (
    EvaluationResult,
    ThresholdPolicy,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ARN = "arn:aws:rekognition:us-east-1:111122223333:project/p/version/v1/1"
OTHER = ARN.replace("v1", "v2")
TRUTH, FOUND = "rekognition-custom-labels-training-0", "rekognition-custom-labels-evaluation"
VERDICT = "rekognition-custom-labels-evaluation-details"
FIRST = "Cannot read line 1 of the testing snapshot: "
SUMMARY = "Cannot read the evaluation summary: "


def first_line() -> dict[str, Any]:
    """Return a line of a detector with one cap found and one missed."""
    snapshot = detector().snapshot
    assert snapshot is not None
    content: dict[str, Any] = json.loads(str(next(iter(snapshot()))))
    return content


def boxes(change: Callable[[dict[str, Any]], object]) -> str:
    """Return a line of a detector with a change."""
    content = first_line()
    change(content)
    return json.dumps(content)


def labels(**metadata: Any) -> str:
    """Return a line of a classifier with this verdict."""
    return json.dumps({"source-ref": "s3://b/a.jpg", f"{FOUND}-0": 1, f"{FOUND}-0-metadata": metadata})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{",
            (
                "expected one JSON object per line (Expecting property name enclosed in double quotes: line "
                "1 column 2 (char 1)). If the file ends in the middle of a line, it is truncated: download "
                "it again"
            ),
        ),
        ("[1]", "expected an object, found list"),
        ("{}", "source-ref: expected a string, found nothing"),
        ('{"source-ref": 7}', "source-ref: expected a string, found int"),
        (labels(), f"{FOUND}-0-metadata: class-name: expected a string, found nothing"),
        (
            labels(**{"class-name": "a", "confidence": True}),
            f"{FOUND}-0-metadata: confidence: expected a number, found True",
        ),
        (
            labels(**{"class-name": "a", "confidence": 1.5}),
            f"{FOUND}-0-metadata: confidence: expected 0 to 1, found 1.5",
        ),
        (
            labels(**{"class-name": "a", "confidence": 1}),
            f"{FOUND}-0-metadata: {VERDICT}: expected an object, found nothing",
        ),
        (
            labels(**{"class-name": "a", "confidence": 0, VERDICT: {}}),
            (
                f"{FOUND}-0-metadata: {VERDICT}: expected one of is-true-positive, is-true-negative, "
                "is-false-positive, is-false-negative, found []"
            ),
        ),
        (
            boxes(lambda line: line.pop(f"{TRUTH}-metadata")),
            f"{TRUTH}-metadata: expected an object, found nothing",
        ),
        (
            boxes(lambda line: line.update({TRUTH: 1})),
            f"{TRUTH}-metadata: class-name: expected a string, found nothing",
        ),
        (
            boxes(lambda line: line[TRUTH].update(image_size=[])),
            f"{TRUTH}: image_size: expected one size, found none",
        ),
        (
            boxes(lambda line: line[TRUTH].update(image_size=3)),
            f"{TRUTH}: image_size: expected a list of objects",
        ),
        (
            boxes(lambda line: line[TRUTH]["image_size"][0].update(height="x")),
            f"{TRUTH}.image_size: height: expected a number, found 'x'",
        ),
        (
            boxes(lambda line: line[TRUTH].update(annotations=[1])),
            f"{TRUTH}: annotations: expected a list of objects",
        ),
        (
            boxes(lambda line: line[TRUTH]["annotations"][1].update(class_id=7)),
            f"{TRUTH}.annotations[1]: class_id 7 is not in the class-map",
        ),
        (
            boxes(lambda line: line[TRUTH]["annotations"][0].update(top=None)),
            f"{TRUTH}.annotations[0]: top: expected a number, found None",
        ),
        (
            boxes(lambda line: line[f"{TRUTH}-metadata"].pop("class-map")),
            f"{TRUTH}-metadata: class-map: expected an object, found nothing",
        ),
        (
            boxes(lambda line: line[f"{FOUND}-metadata"]["objects"].pop()),
            f"{FOUND}-metadata: 1 objects for 2 boxes",
        ),
        (
            boxes(lambda line: line[f"{FOUND}-metadata"].update(objects={})),
            f"{FOUND}-metadata: objects: expected a list of objects",
        ),
        (
            boxes(lambda line: line[f"{FOUND}-metadata"]["objects"][1].update(confidence=-1)),
            f"{FOUND}-metadata.objects[1]: confidence: expected 0 to 1, found -1.0",
        ),
        (
            boxes(lambda line: line[f"{FOUND}-metadata"]["objects"][0].pop(VERDICT)),
            f"{FOUND}-metadata.objects[0]: {VERDICT}: expected an object, found nothing",
        ),
    ],
)
def test_invalid_lines(text: str, expected: str) -> None:
    """The error names the file, the line, the field, what was expected and what was found."""
    with pytest.raises(errors.InvalidEvaluation) as caught:
        EvaluationResult.from_snapshot([text])
    assert str(caught.value) == f"{FIRST}{expected}."


COUNTED = {"TruePositive": 1, "FalsePositive": 2, "FalseNegative": 3, "TrueNegative": 4}
REQUESTED = "ContentModeration.InputConfidenceThresholdEvalResults"
ALL = "ContentModeration.AllConfidenceThresholdsEvalResults"


def adapter(**fields: Any) -> dict[str, Any]:
    """Return the summary of an adapter with these fields at the requested threshold."""
    return {"ContentModeration": {"InputConfidenceThresholdEvalResults": fields}}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {},
            (
                "it has none of AggregatedEvaluationResults, LabelEvaluationResults and EvaluationDetails. "
                "Pass the content of an EvaluationResultSummary-<project>-<version>.json file"
            ),
        ),
        (
            {"AggregatedEvaluationResults": {"Recall": "much"}},
            "AggregatedEvaluationResults.Recall: expected a number, found 'much'",
        ),
        (
            {"AggregatedEvaluationResults": {"AverageRecall": True}},
            "AggregatedEvaluationResults.AverageRecall: expected a number, found True",
        ),
        (
            {"AggregatedEvaluationResults": {"Metrics": 3}},
            "AggregatedEvaluationResults.Metrics: expected an object, found int",
        ),
        (
            {"AggregatedEvaluationResults": {"ConfusionMatrix": [{"GroundTruthLabel": "a"}]}},
            (
                "AggregatedEvaluationResults.ConfusionMatrix[0]: expected GroundTruthLabel and "
                "PredictedLabel to be strings"
            ),
        ),
        (
            {
                "AggregatedEvaluationResults": {
                    "ConfusionMatrix": [{"GroundTruthLabel": "a", "PredictedLabel": "a", "Value": "x"}]
                }
            },
            "AggregatedEvaluationResults.ConfusionMatrix[0].Value: expected a number, found 'x'",
        ),
        ({"LabelEvaluationResults": {}}, "LabelEvaluationResults: expected a list, found dict"),
        ({"LabelEvaluationResults": [1]}, "LabelEvaluationResults[0]: expected an object, found int"),
        (
            {"LabelEvaluationResults": [{"Label": 7}]},
            "LabelEvaluationResults[0].Label: expected a string, found 7",
        ),
        (
            {"LabelEvaluationResults": [{"Label": "a", "Metrics": []}]},
            "LabelEvaluationResults[0].Metrics: expected an object, found list",
        ),
        (
            {"LabelEvaluationResults": [{"Label": "a", "Metrics": {"Threshold": "x"}}]},
            "LabelEvaluationResults[0].Threshold: expected a number, found 'x'",
        ),
        (
            {"LabelEvaluationResults": [{"Label": "a"}, {"Label": "a"}]},
            "LabelEvaluationResults[1]: duplicate label 'a'",
        ),
        ({"EvaluationDetails": {"Labels": [1]}}, "EvaluationDetails.Labels: expected strings, found 1"),
        ({"EvaluationDetails": {"Labels": 1}}, "EvaluationDetails.Labels: expected a list, found int"),
        (
            {"EvaluationDetails": {"ProjectVersionArn": 1}},
            "EvaluationDetails.ProjectVersionArn: expected a string, found 1",
        ),
        (
            {"EvaluationDetails": {"NumberOfTestingImages": "x"}},
            "EvaluationDetails.NumberOfTestingImages: expected a number, found 'x'",
        ),
    ],
)
def test_invalid_summaries(content: dict[str, Any], expected: str) -> None:
    """The error names the field, what was expected and what was found."""
    with pytest.raises(errors.InvalidEvaluation) as caught:
        EvaluationResult.from_summary(content)
    assert str(caught.value) == f"{SUMMARY}{expected}."


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"ContentModeration": 1}, "ContentModeration: expected an object, found int"),
        (
            {"ContentModeration": {"AllConfidenceThresholdsEvalResults": 3}},
            f"{ALL}: expected a list",
        ),
        (
            {"ContentModeration": {"AllConfidenceThresholdsEvalResults": [7]}},
            f"{ALL}[0]: expected an object, found int",
        ),
        (
            adapter(LabelEvaluationResults=[7]),
            f"{REQUESTED}.LabelEvaluationResults[0]: expected an object, found int",
        ),
        (
            adapter(LabelEvaluationResults=[{"BaseModel": COUNTED, "Adapter": COUNTED}]),
            f"{REQUESTED}.LabelEvaluationResults[0]: Label: expected a string, found nothing",
        ),
        (
            adapter(LabelEvaluationResults=[{"Label": "a", "BaseModel": COUNTED}]),
            f"{REQUESTED}.LabelEvaluationResults[0]: Adapter: expected an object, found nothing",
        ),
        (
            adapter(LabelEvaluationResults=[{"Label": "a", "BaseModel": {"TruePositive": "x"}}]),
            f"{REQUESTED}.LabelEvaluationResults[0]: TruePositive: expected a number, found 'x'",
        ),
        (adapter(), f"{REQUESTED}: AggregatedEvaluationResults: expected an object, found nothing"),
        (
            adapter(AggregatedEvaluationResults={"BaseModel": COUNTED, "Adapter": COUNTED}),
            f"{REQUESTED}: ConfidenceThreshold: expected a number, found None",
        ),
    ],
)
def test_invalid_adapters(content: dict[str, Any], expected: str) -> None:
    """The error names the field, what was expected and what was found."""
    result = {"AggregatedEvaluationResults": {}, **content}
    with pytest.raises(errors.InvalidEvaluation) as caught:
        _ = EvaluationResult.from_summary(result).adapter
    assert str(caught.value) == f"{SUMMARY}{expected}."


def test_different_test_sets() -> None:
    """The error has the sizes of both test sets and what to do."""
    whole, part = classifier(TRUTHS, SCORES), classifier(TRUTHS[:15], SCORES[:15])
    with pytest.raises(errors.InvalidInput) as caught:
        part.compare(whole)
    assert str(caught.value) == (
        "Cannot compare the models: their test sets differ (20 and 15 images, 15 in common with the same "
        "labels). Use only_shared=True to compare on the images in common."
    )
    assert part.compare(whole, only_shared=True).headline().startswith("15 shared test images, 5 left out. ")
    with pytest.raises(errors.InvalidInput) as caught:
        classifier(TRUTHS, SCORES, "s3://other").compare(whole, only_shared=True)
    assert str(caught.value) == "Cannot compare the models: they have no test images in common."


def test_policy_of_another_model() -> None:
    """The error names both models and what to do for a copy."""
    policy = ThresholdPolicy({}, goal="by hand", model_arn=ARN)
    policy.check_model(ARN)
    attrs.evolve(policy, model_arn=None).check_model(OTHER)
    with pytest.raises(errors.InvalidInput) as caught:
        policy.check_model(OTHER)
    assert str(caught.value) == (
        f"The threshold policy was made for {ARN}, not for {OTHER}. Confidences of different models are not "
        "comparable. For a copy of the same model, use `attrs.evolve(policy, model_arn=...)`."
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[]",
            (
                "Cannot read the threshold policy: expected the JSON that ThresholdPolicy.save() writes "
                "(TypeError: list indices must be integers or slices, not str)."
            ),
        ),
        (
            '{"version": 9}',
            (
                "Cannot read the threshold policy: it has version 9, and this release of rekolabels reads "
                "version 1."
            ),
        ),
        (
            '{"version": 1, "goal": "x", "labels": {"a": {"threshold": true}}}',
            (
                "Cannot read the threshold policy: the threshold of 'a' is True. Expected 0 to 1, or null "
                "for a label that is never reported."
            ),
        ),
    ],
)
def test_invalid_policies(text: str, expected: str) -> None:
    """The error says what is wrong and what was expected."""
    with pytest.raises(errors.InvalidInput) as caught:
        ThresholdPolicy.from_json(text)
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("choose", "expected"),
    [
        (
            partial(ThresholdPolicy.precision_at_least, precision=95),
            "precision is 95; expected a fraction from 0 to 1. For 95 %, use precision=0.95.",
        ),
        (
            partial(ThresholdPolicy.recall_at_least, recall=-0.1),
            "recall is -0.1; expected a fraction from 0 to 1.",
        ),
        (
            partial(ThresholdPolicy.least_cost, false_alarm=-1, miss=1),
            "false_alarm is -1; expected a number, 0 or more.",
        ),
        (
            partial(ThresholdPolicy.least_cost, false_alarm=0, miss=math.inf),
            "miss is inf; expected a finite number, 0 or more.",
        ),
    ],
)
def test_invalid_goals(choose: Callable[[EvaluationResult], object], expected: str) -> None:
    """The error has the parameter, its value and what was expected."""
    made = classifier(TRUTHS, SCORES)
    with pytest.raises(errors.InvalidInput) as caught:
        choose(made)
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (
            lambda result: result.at(50),
            "thresholds is 50; expected a fraction from 0 to 1. For 50 %, use thresholds=0.5.",
        ),
        (
            lambda result: result.at({"cat": -0.5}),
            "thresholds['cat'] is -0.5; expected a fraction from 0 to 1.",
        ),
        (
            lambda result: result.at({"Cat ": 0.5}),
            (
                "A label in thresholds is 'Cat ', which is not a label of this evaluation. Did you mean "
                "'cat'? Its labels are 'cat', 'dog'."
            ),
        ),
        (
            lambda result: result.confusion({"eel": 0.5}),
            (
                "A label in thresholds is 'eel', which is not a label of this evaluation. Its labels are "
                "'cat', 'dog'."
            ),
        ),
        (
            lambda result: result.confusion(80),
            "thresholds is 80; expected a fraction from 0 to 1. For 80 %, use thresholds=0.8.",
        ),
        (
            lambda result: result.confusion(iou_threshold=50),
            "iou_threshold is 50; expected a fraction from 0 to 1. For 50 %, use iou_threshold=0.5.",
        ),
        (
            lambda result: result.mistakes(label="dogs"),
            (
                "label is 'dogs', which is not a label of this evaluation. Did you mean 'dog'? Its labels "
                "are 'cat', 'dog'."
            ),
        ),
        (
            lambda result: result.scores()["cat"].counts(90),
            "threshold is 90; expected a fraction from 0 to 1. For 90 %, use threshold=0.9.",
        ),
        (
            lambda result: ThresholdPolicy.best_f1(result, min_support=-1),
            "min_support is -1; expected a whole number, 0 or more.",
        ),
    ],
)
def test_invalid_thresholds_and_labels(wrong: Callable[[EvaluationResult], object], expected: str) -> None:
    """The error has the value, what was expected and the nearest label."""
    with pytest.raises(errors.InvalidInput) as caught:
        wrong(classifier(TRUTHS, SCORES))
    assert str(caught.value) == expected


def test_other_errors(tmp_path: Path) -> None:
    """Missing images and files, unknown kinds of mistakes, unsupported extensions."""
    for wrong, kind, expected in (
        (
            lambda: EvaluationResult().images,
            errors.InvalidInput,
            (
                "This result has no test images: it was made from a summary alone. Use model.evaluation() or "
                "pass the TestingGroundTruth file: EvaluationResult.from_summary(summary, snapshot=path)."
            ),
        ),
        (
            lambda: EvaluationResult.from_snapshot("  {}"),
            errors.InvalidEvaluation,
            (
                "A str is treated as a path, but this one contains JSON. Pass bytes or lines instead: "
                "`text.encode()` or `text.splitlines()`."
            ),
        ),
        (
            lambda: EvaluationResult.from_snapshot(tmp_path / "gone"),
            errors.InvalidEvaluation,
            (
                f"lines is {str(tmp_path / 'gone')!r}, which does not exist; expected the path of a JSON "
                "Lines file, its content as bytes, an open file, or its lines."
            ),
        ),
        (
            lambda: detector().mistakes(kind="x"),  # type: ignore[arg-type]  # wrong on purpose
            errors.InvalidInput,
            "kind is 'x'; expected 'false positive' or 'false negative'.",
        ),
        (
            lambda: EvaluationResult().save(tmp_path / "a.docx"),
            errors.InvalidInput,
            (
                f"Cannot save the evaluation to {tmp_path / 'a.docx'}: '.docx' is not a supported extension. "
                "Use .html, .png, .csv, .json or .md."
            ),
        ),
        (
            lambda: EvaluationResult().save(tmp_path / "a"),
            errors.InvalidInput,
            (
                f"Cannot save the evaluation to {tmp_path / 'a'}: it has no extension. "
                "Use .html, .png, .csv, .json or .md."
            ),
        ),
    ):
        with pytest.raises(kind) as caught:
            wrong()
        assert str(caught.value) == expected
    assert list(tmp_path.iterdir()) == []
