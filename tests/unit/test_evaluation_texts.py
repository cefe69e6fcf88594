"""Exact texts of the evaluation: tables, files, notes and advice."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from evaluations import NOW, SCORES, TRUTHS, classifier, detector, noisy_detector
from rekolabels import errors
from rekolabels.evaluation import (
    Counts,
    EvaluationResult,
    LabelMetrics,
    ScoredLabel,
    SnapshotImage,
    ThresholdPolicy,
    Verdict,
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
    """Return a line of a detector with one cap found and one missed."""
    snapshot = detector().snapshot
    assert snapshot is not None
    content: dict[str, Any] = json.loads(str(next(iter(snapshot()))))
    return content


def test_counts_of_an_adapter() -> None:
    """True and false positives and negatives of the base model and of the adapter, in total and by label."""
    base = {"TruePositive": 1, "FalsePositive": 2, "FalseNegative": 3, "TrueNegative": 4}
    both = {"BaseModel": base, "Adapter": {**base, "TruePositive": 9}}
    content = {
        "ConfidenceThreshold": 50,
        "AggregatedEvaluationResults": both,
        "LabelEvaluationResults": [{"Label": "a", **both}],
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


def test_validation_issues_without_code_or_message() -> None:
    """A missing code or message is empty; an invalid line raises an error with its number."""
    (line,) = read_validation(['{"source-ref": "s3://b/a", "errors": [{"message": "m"}, {"code": "C"}, 3]}'])
    assert [(one.code, one.message, one.level, one.json_path) for one in line.issues] == [
        ("", "m", "error", ""),
        ("C", "", "error", ""),
    ]
    with pytest.raises(errors.InvalidEvaluation) as caught:
        list(read_validation(["{}", "7"]))
    assert str(caught.value) == (
        "Cannot read line 2 of the manifest with validation: expected an object, found int."
    )


def test_comparison_prints_as_a_table() -> None:
    """The means, then each label: before, after, the change and its 95 % interval."""
    comparison = classifier(TRUTHS, WORSE).compare(classifier(TRUTHS, SCORES), n_resamples=200)

    assert str(comparison).splitlines() == [
        "20 shared test images. Right only before: 2, right only after: 0 (McNemar's test: p = 0.5)",
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


def test_regression_error_lists_the_losses_first() -> None:
    """The whole comparison follows."""
    before, after = classifier(TRUTHS, SCORES), classifier(TRUTHS, WORSE)

    with pytest.raises(errors.ModelRegressed) as caught:
        after.assert_no_regression(before, tolerance=0.05, metric="recall", strict=True)

    comparison = caught.value.comparison
    lines = str(caught.value).splitlines()
    assert lines[0] == "The model is worse than the baseline in recall (tolerance 0.05)."
    assert lines[1].split() == ["Label", "Metric", "Before", "After", "Change", "95", "%", "interval"]
    assert [line.split()[:-3] for line in lines[2:5]] == [
        ["All", "labels", "recall", "0.900", "0.800", "-0.100"],
        ["cat", "recall", "0.900", "0.800", "-0.100"],
        ["dog", "recall", "0.900", "0.800", "-0.100"],
    ]
    assert lines[5:] == ["", *str(comparison).splitlines()]


def test_markdown_has_a_row_per_label_and_one_for_all(tmp_path: Path) -> None:
    """Undefined values are n/a, and labels are escaped."""
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


def test_data_frame_has_typed_columns() -> None:
    """Undefined values are missing values; counts stay whole numbers."""
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


def test_rich_table() -> None:
    """All columns of the printed text; a label in brackets is not markup."""
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


def test_goals_of_policies() -> None:
    """The goal is a text for readers of the file."""
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
        "least cost (false alarm: 1, miss: 2.5)",
    ]


def test_notes_of_policies(caplog: pytest.LogCaptureFixture) -> None:
    """Unknown precision, labels that are never reported, few test examples; notes are logged."""
    with caplog.at_level(logging.WARNING, "rekolabels"):
        lost = ThresholdPolicy.least_cost(classifier(TRUTHS, SCORES), false_alarm=1, miss=0).labels["cat"]
    noisy = ThresholdPolicy.recall_at_least(noisy_detector(), 1.0).labels["cap"]
    found = ThresholdPolicy.recall_at_least(detector(), 0.6).labels

    assert lost.note == (
        "no threshold reaches the goal, so the label is never reported; only 10 test examples, "
        "recall 0.00 (95 % interval 0.00 to 0.28)"
    )
    assert caplog.records[0].getMessage() == f"Threshold of 'cat': {lost.note}."
    assert noisy.note == (
        "precision unknown: the snapshot lists no false positives below the assumed threshold; only 3 test "
        "examples, recall 1.00 (95 % interval 0.44 to 1.00)"
    )
    assert found["watch"].note == (
        "only 1 test example, precision 1.00 (95 % interval 0.21 to 1.00), "
        "recall 1.00 (95 % interval 0.21 to 1.00)"
    )
    assert (noisy.precision, noisy.support) == (None, 3)


@pytest.mark.parametrize("threshold", [0, 0.0, 1, 1.0, 0.5, None])
def test_valid_thresholds_of_a_file(threshold: float | None) -> None:
    """Both ends of the range are valid, and null means never."""
    text = json.dumps({"version": 1, "goal": "x", "labels": {"a": {"threshold": threshold, "new": 1}}})
    assert ThresholdPolicy.from_json(text).labels["a"].threshold == threshold


def test_advice_for_a_detector() -> None:
    """Low recall, low precision and few test images, each with its values."""
    result = detector()
    assert give_advice(result, {}, result.confusion(), []) == [
        (
            "Add training images of cap with different backgrounds, lighting, sizes and angles: its recall "
            "is 0.67."
        ),
        (
            "cap has too many false positives (precision 0.50). Add training images that show the background "
            "objects mistaken for it, or raise its threshold."
        ),
        (
            "Test with more images before you rely on the metrics of watch (1), cap (2): with fewer than 10 "
            "test images, a single image changes them considerably."
        ),
    ]


def test_advice_for_a_classifier() -> None:
    """Advice includes counts if the test images are known; disputed labels come first."""
    mixed = [{"cat": 0.9, "dog": 0.1}] * 5 + [{"cat": 0.1, "dog": 0.9}] * 15
    result = classifier(TRUTHS, mixed)
    counts = {"cat": Counts(5, 0, 5, 10), "dog": Counts(10, 5, 0, 5)}

    advice = give_advice(result, counts, result.confusion(), result.label_issues())

    assert advice == [
        (
            "First check the labels of 5 test images: the model confidently disagrees with them. Wrong "
            "labels harm the training and distort the metrics."
        ),
        (
            "Add training images of cat with different backgrounds, lighting, sizes and angles: its recall "
            "is 0.50 (5 of 10 missed)."
        ),
        (
            "dog has too many false positives (precision 0.67, 5 of 15 predictions wrong). It is often "
            "predicted for cat: add training images of both labels that look alike, or raise its threshold."
        ),
    ]


def test_advice_for_a_good_model() -> None:
    """One line of advice; few test images are listed for at most five labels."""
    (line,) = give_advice(EvaluationResult(labels={"a": LabelMetrics(1, 1, 1, 0.5, 10)}), {}, None, [])
    assert line == (
        "Every label does well on the test images. Next, try the model on images like those in your "
        "application."
    )
    few = EvaluationResult(labels={name: LabelMetrics(test_images=3) for name in "abcdefg"})
    assert give_advice(few, {}, None, []) == [
        (
            "Test with more images before you rely on the metrics of a (3), b (3), c (3), d (3), e (3) and 2 "
            "more: with fewer than 10 test images, a single image changes them considerably."
        )
    ]


def test_discrepancies() -> None:
    """Each has both values; a value that is missing is undefined."""
    result = classifier(TRUTHS, SCORES)
    cat = attrs.evolve(result.labels["cat"], recall=0.5)
    found = attrs.evolve(result, f1=0.123456789, test_images=7, labels={"cat": cat}).discrepancies()

    assert [str(discrepancy) for discrepancy in found] == [
        "f1 is 0.123457 in the summary, 0.9 in the test images",
        "test images is 7 in the summary, 20 in the test images",
        "cat: recall is 0.5 in the summary, 0.9 in the test images",
        "dog: f1 is undefined in the summary, 0.9 in the test images",
        "dog: precision is undefined in the summary, 0.9 in the test images",
        "dog: recall is undefined in the summary, 0.9 in the test images",
    ]


def test_estimated_threshold_is_between_what_counts_and_what_does_not() -> None:
    """Without a summary, the assumed threshold is estimated from the snapshot."""
    lines = classifier(TRUTHS, SCORES).snapshot
    assert lines is not None
    counted = EvaluationResult.from_snapshot(lines())
    assert {label: metrics.threshold for label, metrics in counted.labels.items()} == {
        "cat": pytest.approx(0.375),
        "dog": pytest.approx(0.625),
    }


def test_lines_of_a_snapshot_have_the_fields_of_the_service() -> None:
    """A detector's line has true boxes, predicted boxes, and a box of confidence 0 for the missed object."""
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


def test_occurrences_without_a_verdict_count_as_missed() -> None:
    """Each occurrence is counted, in files of classifiers and of detectors."""
    lost = SnapshotImage("s3://b/a.jpg", ["cat"])
    empty = SnapshotImage(
        "s3://b/b.jpg", boxes=[BoundingBox("cap", 1, 2, 30, 40)] * 2, size=ImageSize(99, 99)
    )
    for image, label, expected in ((lost, "cat", 3), (empty, "cap", 6)):
        lines = list(write_testing_snapshot([image] * 3, [[], [], []], NOW))
        tallied = tally(EvaluationResult.from_snapshot(lines).images)
        assert tallied.counts(label).false_negatives == expected
        assert tallied.scored({})[label].support == expected


def test_a_label_that_an_image_repeats_counts_once() -> None:
    """A classifier has one verdict for a label of an image; the repetition is not another occurrence."""
    image = SnapshotImage("s3://b/a.jpg", ["cat", "cat"])
    lines = list(write_testing_snapshot([image] * 3, [[Verdict("cat", 0.9, "true positive")]] * 3, NOW))
    tallied = tally(EvaluationResult.from_snapshot(lines).images)
    assert (tallied.counts("cat").true_positives, tallied.counts("cat").false_negatives) == (3, 0)
    assert tallied.scored({})["cat"].support == 3


def test_one_image_with_boxes_makes_a_detector() -> None:
    """The position of the image in the file does not matter."""
    snapshot = detector().snapshot
    assert snapshot is not None
    lines = [*(str(line) for line in snapshot()), '{"source-ref": "s3://b/z.jpg"}']
    assert EvaluationResult.from_snapshot(lines).kind == "detection"
    assert EvaluationResult.from_snapshot(lines[::-1]).kind == "detection"


def test_json_keeps_non_ascii_labels(tmp_path: Path) -> None:
    """Labels are not escaped, so that they can be searched for."""
    path = EvaluationResult(labels={"日本": LabelMetrics()}).save(tmp_path / "evaluation.json")
    assert '"Label": "日本"' in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("positives", "negatives", "expected"),
    [
        ([0.9, 0.7], [0.8], (51 * 1 + 50 * 2 / 3) / 101),
        ([0.9, 0.8], [0.95], 2 / 3),
        ([0.9, 0.8, 0.7], [0.95, 0.75], (67 * 2 / 3 + 34 * 3 / 5) / 101),
        ([0.9], [], 1.0),
    ],
)
def test_coco_average_precision(positives: list[float], negatives: list[float], expected: float) -> None:
    """Computed by hand: the best precision at or beyond each of 101 recalls."""
    assert pytest.approx(expected) == ScoredLabel(positives, negatives).coco_average_precision()


def test_summary_of_a_detector_has_map_and_mar() -> None:
    """The fields have the names of the service."""
    written = detector().to_summary()["AggregatedEvaluationResults"]
    assert written["AveragePrecision"] == detector().mean_average_precision
    assert written["AverageRecall"] == detector().mean_average_recall


def test_snapshots_keep_non_ascii_labels() -> None:
    """Labels are written as the service writes them."""
    (line,) = write_testing_snapshot([SnapshotImage("s3://b/a.jpg", ["日本"])], [[]], NOW)
    assert '"日本"' in line
