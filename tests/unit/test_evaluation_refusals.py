"""What evaluations refuse, word by word."""

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
FIRST = "the testing snapshot, line 1: "


def first_line() -> dict[str, Any]:
    """A detector's line: one cap found, one missed."""
    snapshot = detector().snapshot
    assert snapshot is not None
    content: dict[str, Any] = json.loads(str(next(iter(snapshot()))))
    return content


def boxes(change: Callable[[dict[str, Any]], object]) -> str:
    """A detector's line that was tampered with."""
    content = first_line()
    change(content)
    return json.dumps(content)


def labels(**metadata: Any) -> str:
    """A classifier's line with this verdict."""
    return json.dumps({"source-ref": "s3://b/a.jpg", f"{FOUND}-0": 1, f"{FOUND}-0-metadata": metadata})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{",
            (
                "this is no JSON (Expecting property name enclosed in double quotes: line 1 column 2 "
                "(char 1)); expected one object a line. A file that ends in the middle of a line was cut "
                "off: fetch it again."
            ),
        ),
        ("[1]", "expected an object, found list"),
        ("{}", "source-ref: expected a text, found nothing"),
        ('{"source-ref": 7}', "source-ref: expected a text, found int"),
        (labels(), f"{FOUND}-0-metadata: class-name: expected a text, found nothing"),
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
            f"{TRUTH}-metadata: class-name: expected a text, found nothing",
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
def test_damaged_lines_are_named(text: str, expected: str) -> None:
    """File, line, field, what was met and what was expected."""
    with pytest.raises(errors.InvalidEvaluation) as caught:
        EvaluationResult.from_snapshot([text])
    assert str(caught.value) == FIRST + expected


COUNTED = {"TruePositive": 1, "FalsePositive": 2, "FalseNegative": 3, "TrueNegative": 4}
ASKED = "ContentModeration.InputConfidenceThresholdEvalResults"
EVERY = "ContentModeration.AllConfidenceThresholdsEvalResults"


def adapter(**fields: Any) -> dict[str, Any]:
    """The summary of an adapter with these figures at the threshold that was asked for."""
    return {"ContentModeration": {"InputConfidenceThresholdEvalResults": fields}}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {},
            (
                "this is no evaluation summary: none of AggregatedEvaluationResults, LabelEvaluationResults "
                "and EvaluationDetails is in it; expected the content of an "
                "EvaluationResultSummary-<project>-<version>.json"
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
                "PredictedLabel as texts"
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
            "LabelEvaluationResults[0].Label: expected a text, found 7",
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
            "LabelEvaluationResults[1]: the label 'a' was there before",
        ),
        ({"EvaluationDetails": {"Labels": [1]}}, "EvaluationDetails.Labels: expected texts, found 1"),
        ({"EvaluationDetails": {"Labels": 1}}, "EvaluationDetails.Labels: expected a list, found int"),
        (
            {"EvaluationDetails": {"ProjectVersionArn": 1}},
            "EvaluationDetails.ProjectVersionArn: expected a text, found 1",
        ),
        (
            {"EvaluationDetails": {"NumberOfTestingImages": "x"}},
            "EvaluationDetails.NumberOfTestingImages: expected a number, found 'x'",
        ),
    ],
)
def test_damaged_summaries_are_named(content: dict[str, Any], expected: str) -> None:
    """The field, what was met and what was expected."""
    with pytest.raises(errors.InvalidEvaluation) as caught:
        EvaluationResult.from_summary(content)
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"ContentModeration": 1}, "ContentModeration: expected an object, found int"),
        (
            {"ContentModeration": {"AllConfidenceThresholdsEvalResults": 3}},
            f"{EVERY}: expected a list",
        ),
        (
            {"ContentModeration": {"AllConfidenceThresholdsEvalResults": [7]}},
            f"{EVERY}[0]: expected an object, found int",
        ),
        (
            adapter(LabelEvaluationResults=[7]),
            f"{ASKED}.LabelEvaluationResults[0]: expected an object, found int",
        ),
        (
            adapter(LabelEvaluationResults=[{"BaseModel": COUNTED, "Adapter": COUNTED}]),
            f"{ASKED}.LabelEvaluationResults[0]: Label: expected a text, found nothing",
        ),
        (
            adapter(LabelEvaluationResults=[{"Label": "a", "BaseModel": COUNTED}]),
            f"{ASKED}.LabelEvaluationResults[0]: Adapter: expected an object, found nothing",
        ),
        (
            adapter(LabelEvaluationResults=[{"Label": "a", "BaseModel": {"TruePositive": "x"}}]),
            f"{ASKED}.LabelEvaluationResults[0]: TruePositive: expected a number, found 'x'",
        ),
        (adapter(), f"{ASKED}: AggregatedEvaluationResults: expected an object, found nothing"),
        (
            adapter(AggregatedEvaluationResults={"BaseModel": COUNTED, "Adapter": COUNTED}),
            f"{ASKED}: ConfidenceThreshold: expected a number, found None",
        ),
    ],
)
def test_damaged_adapters_are_named(content: dict[str, Any], expected: str) -> None:
    """As in the rest of the summary."""
    result = {"AggregatedEvaluationResults": {}, **content}
    with pytest.raises(errors.InvalidEvaluation) as caught:
        _ = EvaluationResult.from_summary(result).adapter
    assert str(caught.value) == expected


def test_test_sets_that_differ_are_refused() -> None:
    """With the sizes of both, and the ways out."""
    whole, part = classifier(TRUTHS, SCORES), classifier(TRUTHS[:15], SCORES[:15])
    with pytest.raises(errors.InvalidInput) as caught:
        part.compare(whole)
    assert str(caught.value) == (
        "the test sets differ: 20 and 15 images, of which 15 are the same with the same labels. Figures of "
        "different images do not compare; only_shared=True compares on the shared ones."
    )
    assert part.compare(whole, only_shared=True).headline().startswith("15 shared test images, 5 left out. ")
    with pytest.raises(errors.InvalidInput) as caught:
        classifier(TRUTHS, SCORES, "s3://other").compare(whole, only_shared=True)
    assert str(caught.value) == "the models share no test images, so there is nothing to compare"


def test_a_policy_of_another_model_is_refused() -> None:
    """It names both models, and the way for a copy."""
    policy = ThresholdPolicy({}, goal="by hand", model_arn=ARN)
    policy.check_model(ARN)
    attrs.evolve(policy, model_arn=None).check_model(OTHER)
    with pytest.raises(errors.InvalidInput) as caught:
        policy.check_model(OTHER)
    assert str(caught.value) == (
        f"the policy was made for {ARN}, not for {OTHER}: confidences of two models do not compare. For a "
        "copy of the same model, use attrs.evolve(policy, model_arn=...)."
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[]",
            (
                "this is no threshold policy (TypeError: list indices must be integers or slices, not str); "
                "expected the JSON that ThresholdPolicy.save() writes"
            ),
        ),
        ('{"version": 9}', "a policy of version 9; this rekolabels reads 1"),
        (
            '{"version": 1, "goal": "x", "labels": {"a": {"threshold": true}}}',
            "the threshold of 'a' is True; expected 0 to 1, or null for never",
        ),
    ],
)
def test_files_that_are_no_policies(text: str, expected: str) -> None:
    """What is wrong, and what was expected."""
    with pytest.raises(errors.InvalidInput) as caught:
        ThresholdPolicy.from_json(text)
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("choose", "expected"),
    [
        (partial(ThresholdPolicy.precision_at_least, precision=95), "precision=95: expected 0 to 1"),
        (partial(ThresholdPolicy.recall_at_least, recall=-0.1), "recall=-0.1: expected 0 to 1"),
        (
            partial(ThresholdPolicy.least_cost, false_alarm=-1, miss=1),
            "false_alarm=-1: expected a cost of 0 or more",
        ),
        (
            partial(ThresholdPolicy.least_cost, false_alarm=0, miss=math.inf),
            "miss=inf: expected a cost of 0 or more",
        ),
    ],
)
def test_goals_that_are_none(choose: Callable[[EvaluationResult], object], expected: str) -> None:
    """The name, what was given, what was expected."""
    made = classifier(TRUTHS, SCORES)
    with pytest.raises(errors.InvalidInput) as caught:
        choose(made)
    assert str(caught.value) == expected


def test_other_refusals(tmp_path: Path) -> None:
    """Of what is not there, what is no kind of mistake, what cannot be saved."""
    for wrong, kind, expected in (
        (
            lambda: EvaluationResult().images,
            errors.InvalidInput,
            (
                "this result knows no test images: it was made from a summary alone. model.evaluation() "
                "knows them, and EvaluationResult.from_snapshot(lines) reads a TestingGroundTruth file."
            ),
        ),
        (
            lambda: EvaluationResult.from_snapshot("  {}"),
            errors.InvalidEvaluation,
            "a str is taken for a path: give the content of a file as bytes or lines",
        ),
        (
            lambda: EvaluationResult.from_snapshot(tmp_path / "gone"),
            errors.InvalidEvaluation,
            f"{tmp_path / 'gone'} cannot be read: No such file or directory",
        ),
        (
            lambda: detector().mistakes(kind="x"),  # type: ignore[arg-type]  # a caller's slip
            errors.InvalidInput,
            "kind='x': expected 'false positive', 'false negative' or None for both",
        ),
        (
            lambda: EvaluationResult().save(tmp_path / "a.docx"),
            errors.InvalidInput,
            f"{tmp_path / 'a.docx'}: cannot save a result as '.docx'; use .html, .png, .csv, .json or .md",
        ),
        (
            lambda: EvaluationResult().save(tmp_path / "a"),
            errors.InvalidInput,
            (
                f"{tmp_path / 'a'}: cannot save a result as 'a file without ending'; "
                "use .html, .png, .csv, .json or .md"
            ),
        ),
    ):
        with pytest.raises(kind) as caught:
            wrong()
        assert str(caught.value) == expected
    assert list(tmp_path.iterdir()) == []
