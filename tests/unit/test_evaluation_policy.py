"""Threshold policies: chosen on test images, saved to a file, applied to detections."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import attrs
import pytest

from evaluations import SCORES, TRUTHS, box, classifier, detector, detector_of, noisy_detector
from rekolabels.descriptions import Detection
from rekolabels.errors import GoalNotReached, InvalidInput
from rekolabels.evaluation import ChosenThreshold, EvaluationResult, ThresholdPolicy

if TYPE_CHECKING:
    from pathlib import Path

ARN = "arn:aws:rekognition:us-east-1:111122223333:project/p/version/v1/1"


@pytest.fixture
def result() -> EvaluationResult:
    """Result with ten cats and ten dogs; two cats are predicted as dogs, and one dog as a cat."""
    return attrs.evolve(classifier(TRUTHS, SCORES), project_version_arn=ARN)


def test_best_f1_gives_the_assumed_thresholds(result: EvaluationResult) -> None:
    """The service chooses by the same rule on the same images."""
    expected = {label: metrics.threshold for label, metrics in result.labels.items()}

    assert expected == pytest.approx(ThresholdPolicy.best_f1(result).thresholds)


@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.95, 1.0])
def test_precision_at_least_has_the_best_recall(result: EvaluationResult, wanted: float) -> None:
    """No lower threshold reaches that precision."""
    policy = ThresholdPolicy.precision_at_least(result, wanted)
    scores = result.scores()

    for label, chosen in policy.labels.items():
        assert chosen.threshold is not None
        assert (scores[label].counts(chosen.threshold).precision or 0) >= wanted
        better = [at for at, counts in scores[label].curve() if (counts.precision or 0) >= wanted]
        assert scores[label].counts(min(better)).recall == chosen.recall


@pytest.mark.parametrize("wanted", [0.3, 0.9, 1.0])
def test_recall_at_least_has_the_highest_threshold(result: EvaluationResult, wanted: float) -> None:
    """The next higher confidence does not reach the recall."""
    policy = ThresholdPolicy.recall_at_least(result, wanted)
    scores = result.scores()

    for label, chosen in policy.labels.items():
        assert chosen.recall is not None
        assert chosen.recall >= wanted
        assert chosen.threshold is not None
        higher = [at for at, _ in scores[label].curve() if (scores[label].counts(at).recall or 0) >= wanted]
        assert chosen.threshold <= max(higher)
        assert scores[label].counts(max(higher)).recall == chosen.recall


def test_least_cost_weighs_false_alarms_and_misses(result: EvaluationResult) -> None:
    """Expensive misses lower the threshold, expensive false alarms raise it, free misses disable it."""
    cautious = ThresholdPolicy.least_cost(result, false_alarm=1, miss=100)
    quiet = ThresholdPolicy.least_cost(result, false_alarm=100, miss=1)
    silent = ThresholdPolicy.least_cost(result, false_alarm=1, miss=0)

    assert all(cautious.thresholds[label] <= quiet.thresholds[label] for label in ("cat", "dog"))
    assert cautious.labels["cat"].recall == quiet.labels["cat"].precision == 1.0
    assert silent.thresholds == {}
    assert "never reported" in silent.labels["cat"].note


def test_few_test_images_are_noted(result: EvaluationResult, caplog: pytest.LogCaptureFixture) -> None:
    """The note has a confidence interval, and is logged."""
    with caplog.at_level(logging.WARNING, "rekolabels"):
        policy = ThresholdPolicy.best_f1(result)

    assert "only 10 test examples, precision" in policy.labels["cat"].note
    assert "only 10 test examples" in caplog.text
    low, high = policy.labels["cat"].recall_interval or (1, 0)
    assert low < (policy.labels["cat"].recall or 0) <= high
    assert ThresholdPolicy.best_f1(result, min_support=5).labels["cat"].note == ""


def test_a_label_without_test_images_keeps_its_assumed_threshold() -> None:
    """Its note says so."""
    made = classifier(TRUTHS, SCORES)
    labels = {**made.labels, "fox": attrs.evolve(made.labels["cat"], threshold=0.5)}

    policy = ThresholdPolicy.precision_at_least(attrs.evolve(made, labels=labels), 1.0)

    assert policy.thresholds["fox"] == 0.5
    assert "no test image has this label" in policy.labels["fox"].note


def test_precision_of_a_detector_is_unknown_below_its_assumed_threshold() -> None:
    """A recall goal notes it; a precision goal stays above, and says what is reachable."""
    found = noisy_detector()
    recall = ThresholdPolicy.recall_at_least(found, 1.0).labels["cap"]
    precision = ThresholdPolicy.precision_at_least(found, 0.9).labels["cap"]

    assert recall.threshold == pytest.approx(0.05)
    assert (recall.recall, recall.precision) == (1.0, None)
    assert "precision unknown" in recall.note
    assert precision.threshold == pytest.approx(0.55)
    assert precision.precision == 1.0
    assert precision.threshold == found.labels["cap"].threshold == found.scores()["cap"].complete_from


def test_a_lower_threshold_does_not_make_false_positives_known() -> None:
    """The result at another threshold remembers from which confidence its test images list everything."""
    found = noisy_detector()

    lowered = found.at(0.1)

    assert lowered.labels["cap"].precision is None
    assert lowered.assumed_thresholds == found.assumed_thresholds
    assert ThresholdPolicy.precision_at_least(lowered, 0.9) == ThresholdPolicy.precision_at_least(found, 0.9)
    assert lowered.discrepancies() == ()


def test_labels_that_cannot_reach_the_goal_raise() -> None:
    """The error names them and what they can reach, and how to choose thresholds for the others."""
    found = detector()
    with pytest.raises(GoalNotReached) as caught:
        ThresholdPolicy.recall_at_least(found, 0.9)
    assert str(caught.value) == (
        "Cannot reach a recall of at least 0.9 for 1 of 2 labels: 'cap' (at most 0.666). Use recall=0.666, "
        "or leave out these labels: `never_report=['cap']`."
    )
    assert caught.value.reachable == {"cap": pytest.approx(2 / 3)}
    assert ThresholdPolicy.recall_at_least(found, 0.666).thresholds.keys() == {"cap", "watch"}

    policy = ThresholdPolicy.recall_at_least(found, 0.9, never_report=caught.value.reachable)
    assert policy.thresholds.keys() == {"watch"}
    assert policy.labels["cap"].note == ""


def test_precision_that_a_detector_cannot_reach() -> None:
    """The error says that lower thresholds are unknown, and lists few of many labels."""
    watches = [(box(left, "watch"), 0.9) for left in (100, 200)]
    found = detector_of([[box(10)], [box(10, "watch")]], [watches, [(box(10), 0.8)]])
    with pytest.raises(GoalNotReached) as caught:
        ThresholdPolicy.precision_at_least(found, 0.5)
    assert str(caught.value) == (
        "Cannot reach a precision of at least 0.5 for 2 of 2 labels: 'cap' (unknown), 'watch' (unknown). The "
        "snapshot lists false positives only from the assumed thresholds; lower ones are unknown. Leave out "
        "these labels: `never_report=['cap', 'watch']`."
    )
    names = [f"label {number}" for number in range(7)]
    wrong = classifier([[name] for name in names], [{**dict.fromkeys(names, 0.5)}] * 7)
    with pytest.raises(
        GoalNotReached, match=r"and 2 more\. Use precision=0\.142.*never_report=error\.reachable"
    ):
        ThresholdPolicy.precision_at_least(wrong, 0.5)


def test_an_untested_label_with_false_positives_is_never_reported() -> None:
    """Its precision at the assumed threshold is 0; a recall goal keeps the threshold."""
    made = classifier(TRUTHS, [{**scores, "fox": 0.6} for scores in SCORES])
    labels = {**made.labels, "fox": attrs.evolve(made.labels["fox"], threshold=0.5)}
    result = attrs.evolve(made, labels=labels)

    quiet = ThresholdPolicy.precision_at_least(result, 0.5).labels["fox"]

    assert (quiet.threshold, quiet.note) == (None, "no test image has this label, so it is never reported")
    assert ThresholdPolicy.recall_at_least(result, 0.5).thresholds["fox"] == 0.5


def test_save_and_load(result: EvaluationResult, tmp_path: Path) -> None:
    """The file keeps everything, with the model and a hash of the test images."""
    policy = ThresholdPolicy.precision_at_least(result, 0.9)

    path = policy.save(tmp_path / "policy.json")

    assert policy == ThresholdPolicy.load(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["model_arn"], len(content["test_manifest_sha256"])) == (ARN, 64)
    assert policy.test_manifest_sha256 == ThresholdPolicy.best_f1(result).test_manifest_sha256


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the JSON that ThresholdPolicy.save"),
        ("[]", "expected the JSON that ThresholdPolicy.save"),
        ("{}", "expected the JSON that ThresholdPolicy.save"),
        ('{"version": 9}', "version 9"),
        ('{"version": 1, "goal": "x", "labels": {"a": {"threshold": 1.5}}}', r"threshold of 'a' is 1.5"),
        ('{"version": 1, "goal": "x", "labels": {"a": {"threshold": NaN}}}', r"threshold of 'a' is nan"),
        ('{"version": 1, "goal": "x", "labels": {"a": {}}}', "expected the JSON that ThresholdPolicy.save"),
    ],
)
def test_invalid_files_raise(text: str, message: str) -> None:
    """The error says what was expected."""
    with pytest.raises(InvalidInput, match=message):
        ThresholdPolicy.from_json(text)


def test_goals_out_of_range_raise() -> None:
    """Shares are 0 to 1; costs are not negative."""
    made = classifier(TRUTHS, SCORES)
    with pytest.raises(InvalidInput, match=r"precision is 95; .*use precision=0\.95"):
        ThresholdPolicy.precision_at_least(made, 95)
    with pytest.raises(InvalidInput, match=r"A label in never_report is 'cta'.*Did you mean 'cat'"):
        ThresholdPolicy.precision_at_least(made, 0.5, never_report=["cta"])
    with pytest.raises(InvalidInput, match="never_report is 'cat'; expected a list of labels"):
        ThresholdPolicy.recall_at_least(made, 0.5, never_report="cat")
    with pytest.raises(InvalidInput, match="false_alarm is -1; expected a number, 0 or more"):
        ThresholdPolicy.least_cost(made, false_alarm=-1, miss=1)


def test_apply_filters_by_the_threshold_of_each_label() -> None:
    """Unknown and never reported labels are dropped."""
    policy = ThresholdPolicy(
        {"cat": ChosenThreshold(0.8), "dog": ChosenThreshold(0.3), "fox": ChosenThreshold(None)},
        goal="by hand",
    )
    found = [
        Detection("cat", 80.0),
        Detection("cat", 79.0),
        Detection("dog", 31.0),
        Detection("fox", 99.0),
        Detection("eel", 99.0),
    ]

    assert [found[0], found[2]] == policy.apply(found)
    assert policy.min_confidence == 30.0
    assert ThresholdPolicy({}, goal="nothing").min_confidence == 100.0


def test_thresholds_by_hand_are_checked() -> None:
    """They are fractions, and values of a policy are ChosenThresholds."""
    with pytest.raises(InvalidInput, match="threshold is 80; expected a fraction from 0 to 1"):
        ChosenThreshold(80)
    with pytest.raises(InvalidInput, match=r"labels\['cat'\] is 0.8; .* Use ChosenThreshold\(0.8\)"):
        ThresholdPolicy({"cat": 0.8}, goal="by hand")  # type: ignore[dict-item]  # wrong on purpose
    with pytest.raises(InvalidInput, match="labels is None; expected a dict"):
        ThresholdPolicy(None, goal="by hand")  # type: ignore[arg-type]  # wrong on purpose
