"""What evaluations say, word by word: tables, files and advice."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from evaluations import NOW, SCORES, TRUTHS, classifier, detector
from rekolabels import errors
from rekolabels.evaluation import (
    Counts,
    EvaluationResult,
    LabelMetrics,
    ScoredLabel,
    SnapshotImage,
    ThresholdPolicy,
    read_validation,
    write_testing_snapshot,
)
from rekolabels.evaluation._recompute import tally
from rekolabels.evaluation._report._advice import give_advice
from rekolabels.images import BoundingBox, ImageSize

if TYPE_CHECKING:
    from pathlib import Path

TRUTH, FOUND = "rekognition-custom-labels-training-0", "rekognition-custom-labels-evaluation"
VERDICT = "rekognition-custom-labels-evaluation-details"
WORSE = [SCORES[19], *SCORES[1:19], SCORES[0]]


def first_line() -> dict[str, Any]:
    """A detector's line: one cap found, one missed."""
    snapshot = detector().snapshot
    assert snapshot is not None
    content: dict[str, Any] = json.loads(str(next(iter(snapshot()))))
    return content


def test_an_adapter_has_its_counts_in_their_places() -> None:
    """True and false positives, then negatives: of the base model, of the adapter, in all and by label."""
    base = {"TruePositive": 1, "FalsePositive": 2, "FalseNegative": 3, "TrueNegative": 4}
    figures = {"BaseModel": base, "Adapter": {**base, "TruePositive": 9}}
    content = {
        "ConfidenceThreshold": 50,
        "AggregatedEvaluationResults": figures,
        "LabelEvaluationResults": [{"Label": "a", **figures}],
    }

    found = EvaluationResult.from_summary(
        {
            "AggregatedEvaluationResults": {},
            "ContentModeration": {"InputConfidenceThresholdEvalResults": content},
        }
    ).adapter

    assert found is not None
    assert found.requested is not None
    assert (found.requested.confidence_threshold, found.thresholds) == (50.0, ())
    for counts in (found.requested.total, found.requested.labels["a"]):
        assert counts.base_model == Counts(1, 2, 3, 4)
        assert counts.adapter == Counts(9, 2, 3, 4)


def test_validation_marks_without_text_are_empty() -> None:
    """A mark may lack its code or its message; the line's name is told when it cannot be read."""
    (line,) = read_validation(['{"source-ref": "s3://b/a", "errors": [{"message": "m"}, {"code": "C"}, 3]}'])
    assert [(one.code, one.message, one.level, one.json_path) for one in line.issues] == [
        ("", "m", "error", ""),
        ("C", "", "error", ""),
    ]
    with pytest.raises(errors.InvalidEvaluation) as caught:
        list(read_validation(["{}", "7"]))
    assert str(caught.value) == "the manifest with validation, line 2: expected an object, found int"


def test_a_comparison_prints_as_a_table() -> None:
    """The means, then each label: before, after, the change, and where it lies with 95 % confidence."""
    comparison = classifier(TRUTHS, WORSE).compare(classifier(TRUTHS, SCORES), n_resamples=200)

    assert str(comparison).splitlines() == [
        "20 shared test images. Only before right: 2, only after: 0 (McNemar p = 0.5)",
        "",
        "Label          Metric  Before  After  Change     95 % interval",
        "All labels         f1   0.900  0.800  -0.100  -0.256 to +0.000",
        "All labels  precision   0.900  0.800  -0.100  -0.255 to +0.000",
        "All labels     recall   0.900  0.800  -0.100  -0.250 to +0.000",
        "cat                f1   0.900  0.800  -0.100  -0.275 to +0.000",
        "cat         precision   0.900  0.800  -0.100  -0.333 to +0.000",
        "cat            recall   0.900  0.800  -0.100  -0.333 to +0.000",
        "dog                f1   0.900  0.800  -0.100  -0.286 to +0.000",
        "dog         precision   0.900  0.800  -0.100  -0.306 to +0.000",
        "dog            recall   0.900  0.800  -0.100  -0.300 to +0.000",
    ]
    tests = {label: (test.only_before, test.only_after) for label, test in comparison.by_label.items()}
    assert tests == {"cat": (2, 0), "dog": (2, 0)}


def test_what_has_fallen_stands_before_the_whole_comparison() -> None:
    """A build's log shows first what it is about."""
    before, after = classifier(TRUTHS, SCORES), classifier(TRUTHS, WORSE)

    with pytest.raises(errors.ModelRegressed) as caught:
        after.assert_no_regression(before, tolerance=0.05, metric="recall", strict=True)

    comparison = caught.value.comparison
    lines = str(caught.value).splitlines()
    assert lines[0] == "the model has become worse by recall (tolerance 0.05):"
    assert lines[1].split() == ["Label", "Metric", "Before", "After", "Change", "95", "%", "interval"]
    assert [line.split()[:-3] for line in lines[2:5]] == [
        ["All", "labels", "recall", "0.900", "0.800", "-0.100"],
        ["cat", "recall", "0.900", "0.800", "-0.100"],
        ["dog", "recall", "0.900", "0.800", "-0.100"],
    ]
    assert lines[5:] == ["", *str(comparison).splitlines()]


def test_markdown_has_a_row_for_each_label_and_one_for_all(tmp_path: Path) -> None:
    """What is undefined is said to be, and labels are no markup."""
    result = EvaluationResult(
        f1=0.5, labels={"a|b": LabelMetrics(0.5, 0.25, 1.0, 0.75, 4), "c": LabelMetrics()}, test_images=9
    )

    text = result.save(tmp_path / "evaluation.md").read_text(encoding="utf-8")
    assert text.splitlines() == [
        "F1 score **0.500**, Average precision **n/a**, Overall recall **n/a**",
        "",
        "| Label | F1 score | Precision | Recall | Assumed threshold | Test images |",
        "|:--|--:|--:|--:|--:|--:|",
        "| a&#124;b | 0.500 | 0.250 | 1.000 | 0.750 | 4 |",
        "| c | n/a | n/a | n/a | n/a | n/a |",
        "| **All labels** | 0.500 | n/a | n/a |  | 9 |",
    ]
    text = EvaluationResult().save(tmp_path / "empty.md").read_text(encoding="utf-8")
    assert text.endswith("| **All labels** | n/a | n/a | n/a |  |  |\n")


def test_a_data_frame_has_a_typed_column_for_each_figure() -> None:
    """Undefined values are missing ones; counts stay whole numbers."""
    pandas = pytest.importorskip("pandas", reason="the extra 'report' is not installed")
    metrics = {"a": LabelMetrics(0.5, 0.25, 1.0, 0.75, 4), "b": LabelMetrics()}

    frame = EvaluationResult(labels=metrics).to_pandas()

    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        "f1": "float64",
        "precision": "float64",
        "recall": "float64",
        "threshold": "float64",
        "test_images": "Int64",
    }
    assert (frame.index.name, list(frame.index)) == ("label", ["a", "b"])
    assert list(frame.loc["a"]) == [0.5, 0.25, 1.0, 0.75, 4]
    assert all(pandas.isna(value) for value in frame.loc["b"])


def test_a_terminal_shows_the_table_in_full() -> None:
    """All columns of the printed text; a label in brackets is no markup."""
    rich = pytest.importorskip("rich.console", reason="rich is not installed")
    console = rich.Console(file=io.StringIO(), width=120)
    metrics = {"[red]": LabelMetrics(0.5, 0.25, 1.0, 0.75, 4), "b": LabelMetrics()}

    console.print(EvaluationResult(f1=0.5, labels=metrics))

    lines = console.file.getvalue().splitlines()
    assert lines[0].split("   ")[:3] == ["F1 score 0.500", "Average precision n/a", "Overall recall n/a"]
    cells = [[cell.strip() for cell in line[1:-1].replace("┃", "│").split("│")] for line in lines[2:-1]]
    assert cells[0] == ["Label", "F1 score", "Precision", "Recall", "Assumed threshold", "Test images"]
    assert cells[2:] == [
        ["[red]", "0.500", "0.250", "1.000", "0.750", "4"],
        ["b", "n/a", "n/a", "n/a", "n/a", "n/a"],
    ]


def test_a_policy_says_what_it_was_made_for() -> None:
    """The goal, in words that a reader of the file understands."""
    result = classifier(TRUTHS, SCORES)
    goals = [
        ThresholdPolicy.best_f1(result).goal,
        ThresholdPolicy.precision_at_least(result, 0.9).goal,
        ThresholdPolicy.recall_at_least(result, 0.25).goal,
        ThresholdPolicy.least_cost(result, false_alarm=1, miss=2.5).goal,
    ]
    assert goals == [
        "best F1",
        "precision of at least 0.9",
        "recall of at least 0.25",
        "least cost: a false alarm 1, a miss 2.5",
    ]


def test_the_notes_of_a_policy(caplog: pytest.LogCaptureFixture) -> None:
    """What is not known, what is never reported, and on how little a threshold rests; logged as well."""
    with caplog.at_level(logging.WARNING, "rekolabels"):
        lost = ThresholdPolicy.least_cost(classifier(TRUTHS, SCORES), false_alarm=1, miss=0).labels["cat"]
    found = ThresholdPolicy.recall_at_least(detector(), 1.0).labels

    assert lost.note == (
        "no threshold reaches the goal, it is never reported; it rests on 10 in the test images, "
        "recall 0.00 may be 0.00 to 0.28"
    )
    assert caplog.records[0].getMessage() == f"threshold of 'cat': {lost.note}"
    assert found["cap"].note == (
        "its precision is not known: the snapshot lists no wrong boxes of so low a confidence; it rests on 3 "
        "in the test images, recall 0.67 may be 0.21 to 0.94"
    )
    assert found["watch"].note == (
        "it rests on 1 in the test images, precision 1.00 may be 0.21 to 1.00, "
        "recall 1.00 may be 0.21 to 1.00"
    )
    assert (found["cap"].threshold, found["cap"].precision, found["cap"].support) == (0.0, None, 3)


@pytest.mark.parametrize("threshold", [0, 0.0, 1, 1.0, 0.5, None])
def test_thresholds_that_a_file_may_have(threshold: float | None) -> None:
    """Both ends count, and null stands for never."""
    text = json.dumps({"version": 1, "goal": "x", "labels": {"a": {"threshold": threshold, "new": 1}}})
    assert ThresholdPolicy.from_json(text).labels["a"].threshold == threshold


def test_advice_for_a_detector() -> None:
    """What is missed, what is made up and from what, what is hardly tested; the figures in each line."""
    result = detector()
    assert give_advice(result, {}, result.confusion(), []) == [
        "Add training images of cap that differ in background, light, size and angle: its recall is 0.67.",
        (
            "cap is reported too often (precision 0.50): add training images of what is taken for it where "
            "nothing is, or use a higher threshold."
        ),
        (
            "Test with more images before you trust the figures of watch (1), cap (2): with fewer than 10, "
            "one image more or less changes them a lot."
        ),
    ]


def test_advice_for_a_classifier() -> None:
    """Counts stand beside the shares where the test images are known; labels in doubt come first."""
    mixed = [{"cat": 0.9, "dog": 0.1}] * 5 + [{"cat": 0.1, "dog": 0.9}] * 15
    result = classifier(TRUTHS, mixed)
    counts = {"cat": Counts(5, 0, 5, 10), "dog": Counts(10, 5, 0, 5)}

    advice = give_advice(result, counts, result.confusion(), result.label_issues())

    assert advice == [
        (
            "Look at the labels of 5 test images first: the model is sure of another label than the one they "
            "have. A wrong label costs twice, in training and in the score."
        ),
        (
            "Add training images of cat that differ in background, light, size and angle: its recall is "
            "0.50, 5 of 10 were not found."
        ),
        (
            "dog is reported too often (precision 0.67, 5 of 15 reports were wrong): cat is often taken for "
            "it, add training images of both that look alike, or use a higher threshold."
        ),
    ]


def test_advice_when_all_is_well() -> None:
    """One line, and no more than five labels by name."""
    (line,) = give_advice(EvaluationResult(labels={"a": LabelMetrics(1, 1, 1, 0.5, 10)}), {}, None, [])
    assert line == (
        "Every label does well on the test images. Try the model on images of the kind that it will "
        "meet in use."
    )
    few = EvaluationResult(labels={name: LabelMetrics(test_images=3) for name in "abcdefg"})
    assert give_advice(few, {}, None, []) == [
        (
            "Test with more images before you trust the figures of a (3), b (3), c (3), d (3), e (3) and 2 "
            "more: with fewer than 10, one image more or less changes them a lot."
        )
    ]


def test_what_summary_and_images_disagree_about() -> None:
    """Each figure with both values; what one of them does not know is undefined."""
    result = classifier(TRUTHS, SCORES)
    cat = attrs.evolve(result.labels["cat"], recall=0.5)
    told = attrs.evolve(result, f1=0.123456789, test_images=7, labels={"cat": cat}).discrepancies()

    assert [str(one) for one in told] == [
        "f1 is 0.123457 in the summary, 0.9 by the images",
        "test images is 7 in the summary, 20 by the images",
        "cat: recall is 0.5 in the summary, 0.9 by the images",
        "dog: f1 is undefined in the summary, 0.9 by the images",
        "dog: precision is undefined in the summary, 0.9 by the images",
        "dog: recall is undefined in the summary, 0.9 by the images",
    ]


def test_an_assumed_threshold_lies_between_what_counts_and_what_does_not() -> None:
    """A summary that lacks it, as of files that were kept alone: the middle."""
    lines = classifier(TRUTHS, SCORES).snapshot
    assert lines is not None
    counted = EvaluationResult.from_snapshot(lines())
    assert {label: metrics.threshold for label, metrics in counted.labels.items()} == {
        "cat": pytest.approx(0.375),
        "dog": pytest.approx(0.625),
    }


def test_the_lines_of_a_snapshot_have_the_fields_of_the_service() -> None:
    """Of a detector: truths, what was found, and a row of confidence 0 for what was missed."""
    line = first_line()
    details = {
        "version": 1,
        "ground-truth-labelling-jobs": ["rekognition-custom-labels-training-job"],
        "is-true-positive": True,
        "is-true-negative": False,
        "is-false-positive": False,
        "is-false-negative": False,
        "is-present-in-ground-truth": True,
    }
    missed = {**details, "is-true-positive": False, "is-false-negative": True}
    size = [{"width": 640, "height": 480, "depth": 3}]
    cap = {"class_id": 0, "left": 10, "top": 10, "width": 20, "height": 20}
    common = {"class-map": {"0": "cap"}, "creation-date": NOW.strftime("%Y-%m-%dT%H:%M:%S.000000")}
    common["type"] = "groundtruth/object-detection"
    assert line == {
        "source-ref": "s3://b/0.jpg",
        TRUTH: {"annotations": [cap, {**cap, "left": 200}], "image_size": size},
        f"{TRUTH}-metadata": {
            "job-name": "rekognition-custom-labels-training-job",
            "human-annotated": "yes",
            "objects": [{"confidence": 1.0}, {"confidence": 1.0}],
            **common,
        },
        FOUND: {"annotations": [{**cap, "left": 11}, {**cap, "left": 200}], "image_size": size},
        f"{FOUND}-metadata": {
            "confidence": 0.9,
            "job-name": "rekognition-custom-labels-evaluation-job",
            "human-annotated": "no",
            "objects": [{"confidence": 0.9, VERDICT: details}, {"confidence": 0.0, VERDICT: missed}],
            **common,
        },
        "rekognition-custom-labels-object-id": 1,
    }


def test_truths_without_a_verdict_were_missed() -> None:
    """Of a file that lists what was found only; in both kinds of file, as often as they are there."""
    lost = SnapshotImage("s3://b/a.jpg", ["cat"])
    empty = SnapshotImage(
        "s3://b/b.jpg", boxes=[BoundingBox("cap", 1, 2, 30, 40)] * 2, size=ImageSize(99, 99)
    )
    for image, label, expected in ((lost, "cat", 3), (empty, "cap", 6)):
        lines = list(write_testing_snapshot([image] * 3, [[], [], []], NOW))
        tallied = tally(EvaluationResult.from_snapshot(lines).images)
        assert tallied.counts(label).false_negatives == expected
        assert tallied.scored()[label].support == expected


def test_a_detector_stays_one_when_an_image_has_no_size() -> None:
    """One image with boxes makes a detector of the whole file, wherever it stands."""
    snapshot = detector().snapshot
    assert snapshot is not None
    lines = [*(str(line) for line in snapshot()), '{"source-ref": "s3://b/z.jpg"}']
    assert EvaluationResult.from_snapshot(lines).kind == "detection"
    assert EvaluationResult.from_snapshot(lines[::-1]).kind == "detection"


def test_json_keeps_letters_of_all_scripts(tmp_path: Path) -> None:
    """A label can be read, and searched for, in the file."""
    path = EvaluationResult(labels={"日本": LabelMetrics()}).save(tmp_path / "evaluation.json")
    assert '"Label": "日本"' in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ([0.9, 0.7], [0.8], (51 * 1 + 50 * 2 / 3) / 101),
        ([0.9, 0.8], [0.95], 2 / 3),
        ([0.9, 0.8, 0.7], [0.95, 0.75], (67 * 2 / 3 + 34 * 3 / 5) / 101),
        ([0.9], [], 1.0),
    ],
)
def test_average_precision_as_coco_reckons(right: list[float], wrong: list[float], expected: float) -> None:
    """By hand: the best precision at each of 101 recalls or beyond."""
    assert pytest.approx(expected) == ScoredLabel(right, wrong).coco_average_precision()


def test_a_detector_writes_its_own_figures() -> None:
    """Under the service's names."""
    written = detector().to_summary()["AggregatedEvaluationResults"]
    assert written["AveragePrecision"] == detector().mean_average_precision
    assert written["AverageRecall"] == detector().mean_average_recall


def test_snapshots_keep_letters_of_all_scripts() -> None:
    """As the service writes them."""
    (line,) = write_testing_snapshot([SnapshotImage("s3://b/a.jpg", ["日本"])], [[]], NOW)
    assert '"日本"' in line
