"""Test images of a snapshot: lazy reading, ground truth and verdicts, and metrics computed from them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from recordings import recording
from rekolabels.errors import InvalidEvaluation, InvalidInput
from rekolabels.evaluation import (
    EvaluationResult,
    LabelMetrics,
    SnapshotImage,
    Verdict,
    evaluate_classification,
    evaluate_detection,
    read_training_snapshot,
    read_validation,
    write_testing_snapshot,
    write_training_snapshot,
)
from rekolabels.images import BoundingBox, ImageSize

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rekolabels.evaluation import Evaluation

NOW = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - the service's files have no zone either
LABELS = ["cat", "dog"]
TRUTHS = [["cat"], ["dog"], ["dog"], ["cat"]]
SCORES = [
    {"cat": 0.9, "dog": 0.1},
    {"cat": 0.2, "dog": 0.8},
    {"cat": 0.7, "dog": 0.3},
    {"cat": 0.6, "dog": 0.4},
]


def cap(left: float, label: str = "cap") -> BoundingBox:
    """Return a box with sides of 20 pixels."""
    return BoundingBox(label, left, 10, 20, 20)


def classified() -> tuple[Evaluation, list[str]]:
    """Return a single-label evaluation and its snapshot."""
    evaluation = evaluate_classification(TRUTHS, SCORES, LABELS)
    images = [SnapshotImage(f"s3://b/{n}.jpg", labels) for n, labels in enumerate(TRUTHS)]
    return evaluation, list(write_testing_snapshot(images, evaluation.verdicts, NOW))


def detected() -> tuple[Evaluation, list[str]]:
    """Return a detector's evaluation and its snapshot: two objects found, one missed, one false positive."""
    truths = [[cap(10), cap(200)], [cap(10, "watch")], []]
    found = [[(cap(11), 0.9)], [(cap(10, "watch"), 0.8), (cap(300), 0.95)], []]
    evaluation = evaluate_detection(truths, found, ["cap", "watch"])
    images = [
        SnapshotImage(f"s3://b/{n}.jpg", boxes=boxes, size=ImageSize(640, 480))
        for n, boxes in enumerate(truths)
    ]
    return evaluation, list(write_testing_snapshot(images, evaluation.verdicts, NOW))


@pytest.mark.parametrize("make", [classified, detected])
def test_written_snapshot_is_read_back(make: Any) -> None:
    """Sources and verdicts of every image, in the order of the file."""
    evaluation, lines = make()

    images = list(EvaluationResult.from_snapshot(lines).images)

    assert list(evaluation.verdicts) == [image.verdicts for image in images]
    assert [f"s3://b/{n}.jpg" for n in range(len(lines))] == [image.source for image in images]


@pytest.mark.parametrize("make", [classified, detected])
def test_snapshot_alone_gives_the_metrics_of_the_summary(make: Any) -> None:
    """Both come from the same matching, so there are no discrepancies."""
    evaluation, lines = make()

    counted = EvaluationResult.from_snapshot(lines)

    for name in ("f1", "precision", "recall", "confusion_matrix", "mean_average_recall", "test_images"):
        assert getattr(evaluation.result, name) == getattr(counted, name)
    assert evaluation.result.labels.keys() == counted.labels.keys()
    assert attrs.evolve(evaluation.result, snapshot=lambda: lines).discrepancies() == ()


def test_snapshot_is_read_lazily() -> None:
    """The lines are read only for the images, from the beginning each time."""
    calls = []

    def source() -> Iterator[str]:
        calls.append(1)
        yield from classified()[1]

    result = EvaluationResult.from_summary(classified()[0].result.to_summary(), snapshot=source)
    assert (result.f1, calls) == (classified()[0].result.f1, [])
    assert len(list(result.images)) == len(list(result.images)) == 4
    assert calls == [1, 1]


def test_snapshot_can_be_a_path_bytes_or_lines(tmp_path: Path) -> None:
    """All give the same result, and can be read repeatedly."""
    lines = classified()[1]
    path = tmp_path / "TestingGroundTruth.json"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    results = [
        EvaluationResult.from_snapshot(source)
        for source in (path, str(path), path.read_bytes(), iter(lines), [line.encode() for line in lines])
    ]

    assert all(result == results[0] for result in results)
    assert all(len(list(result.images)) == 4 for result in results)


def test_images_without_a_snapshot_raise() -> None:
    """The error says how to get the images."""
    with pytest.raises(InvalidInput, match=r"snapshot=path"):
        _ = EvaluationResult(f1=1.0).images


def test_mistakes_come_most_confident_first() -> None:
    """False positives rank by confidence, false negatives by 1 minus confidence; filters apply."""
    result = EvaluationResult.from_snapshot(
        [
            line(1, ["cat"], [("cat", 0.3, "false-negative"), ("dog", 0.6, "false-positive")]),
            line(2, ["dog"], [("dog", 0.05, "false-negative"), ("cat", 0.99, "false-positive")]),
            line(3, ["dog"], [("dog", 0.9, "true-positive")]),
        ]
    )

    mistakes = result.mistakes()

    assert pytest.approx([mistake.certainty for mistake in mistakes]) == [0.99, 0.95, 0.7, 0.6]
    assert [m.image.source for m in result.mistakes(label="cat", kind="false positive")] == ["s3://b/2.jpg"]
    assert mistakes[:2] == result.mistakes(limit=2)
    with pytest.raises(InvalidInput, match="false negative"):
        result.mistakes(kind="wrong")  # type: ignore[arg-type]  # wrong on purpose


def line(number: int, labels: list[str], rows: list[tuple[str, float, str]]) -> str:
    """Return a line in the service's format for classifiers."""
    fields: dict[str, Any] = {"source-ref": f"s3://b/{number}.jpg"}
    for at, label in enumerate(labels):
        fields[f"rekognition-custom-labels-training-{at}"] = 1
        fields[f"rekognition-custom-labels-training-{at}-metadata"] = {"class-name": label, "confidence": 1.0}
    for at, (label, confidence, verdict) in enumerate(rows):
        kinds = ("true-positive", "true-negative", "false-positive", "false-negative")
        fields[f"rekognition-custom-labels-evaluation-{at}"] = 1
        fields[f"rekognition-custom-labels-evaluation-{at}-metadata"] = {
            "class-name": label,
            "confidence": confidence,
            "rekognition-custom-labels-evaluation-details": {f"is-{kind}": kind == verdict for kind in kinds},
        }
    return json.dumps(fields)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (line(1, ["cat"], [])[:-9], r"line 1 of .*: expected one JSON object per line.*truncated"),
        ("[1]", r"line 1 of the testing snapshot: expected an object, found list"),
        ("{}", r"line 1 of the testing snapshot: source-ref: expected a string, found nothing"),
        (line(1, ["a"], [("a", 1.5, "true-positive")]), r"confidence: expected 0 to 1"),
        (line(1, ["a"], [("a", float("nan"), "true-positive")]), r"confidence: expected a number, found nan"),
        (line(1, ["a"], [("a", 0.5, "unknown")]), r"expected one of is-true-positive"),
        (
            '{"source-ref": "s3://b/a", "rekognition-custom-labels-training-0": 1}',
            r"training-0-metadata: expected an object, found nothing",
        ),
        (
            (
                '{"source-ref": "s3://b/a", "rekognition-custom-labels-training-0": {"image_size": []}, '
                '"rekognition-custom-labels-training-0-metadata": {}}'
            ),
            r"image_size: expected one size",
        ),
        (detected()[1][0].replace('"class_id": 0', '"class_id": 7'), r"class_id 7 is not in the class-map"),
        ("[" * 100_000, r"line 1 of .*: expected one JSON object per line"),
    ],
)
def test_invalid_lines_raise(text: str, message: str) -> None:
    """The error names the file, the line, the field and what was expected."""
    with pytest.raises(InvalidEvaluation, match=message):
        EvaluationResult.from_snapshot([text])


def test_invalid_paths_raise(tmp_path: Path) -> None:
    """A path that does not exist, and JSON passed as a path."""
    with pytest.raises(InvalidEvaluation, match=r"gone\.json', which does not exist"):
        EvaluationResult.from_snapshot(tmp_path / "gone.json")
    with pytest.raises(InvalidEvaluation, match="Pass bytes or lines"):
        EvaluationResult.from_snapshot(line(1, ["cat"], []))


def test_the_recorded_samples() -> None:
    """The guide's two snapshot lines."""
    for name, label, boxes in (("classification", "Football", 0), ("detection", "Cap", 1)):
        content = recording(f"evaluation-snapshot-{name}")
        (image,) = EvaluationResult.from_snapshot([json.dumps(one) for one in content]).images
        assert (label,) == image.truths
        assert (label, 0.95, "true positive") == (
            image.verdicts[0].label,
            image.verdicts[0].confidence,
            image.verdicts[0].kind,
        )
        assert (boxes, boxes == 1) == (len(image.boxes), image.is_detection)


def test_real_detector_whose_files_disagree() -> None:
    """The summary has 0.6 and 0.7, the snapshot 13/20 and 13/17; both are reported."""
    totals = recording("evaluation-snapshot-detection-figures")["totals"]
    boxes = [cap(50 * n, "Swoosh") for n in range(24)]
    right, wrong, missed = (
        totals[f"is-{kind}"] for kind in ("true-positive", "false-positive", "false-negative")
    )
    images = [SnapshotImage("s3://b/a.jpg", boxes=boxes[: right + missed], size=ImageSize(1300, 900))]
    verdicts = [
        [
            *(Verdict("Swoosh", 0.9, "true positive", box) for box in boxes[:right]),
            *(Verdict("Swoosh", 0.3, "false positive", box) for box in boxes[-wrong:]),
            *(Verdict("Swoosh", 0.01 * n, "false negative", boxes[right + n]) for n in range(missed)),
        ]
    ]
    lines = list(write_testing_snapshot(images, verdicts, NOW))
    result = EvaluationResult.from_summary(recording("evaluation-summary-detection"), snapshot=lines)

    counted = EvaluationResult.from_snapshot(lines)

    assert pytest.approx((13 / 20, 13 / 17)) == (counted.precision, counted.recall)
    assert pytest.approx(16 / 17) == counted.mean_average_recall
    assert (result.precision, result.recall) == (0.6, 0.7)
    shown = [str(discrepancy) for discrepancy in result.discrepancies()]
    assert "Swoosh: precision is 0.6 in the summary, 0.65 in the test images" in shown
    assert "Swoosh: recall is 0.7 in the summary, 0.764706 in the test images" in shown
    assert "test images is 14 in the summary, 1 in the test images" in shown


def test_labels_missing_from_the_summary() -> None:
    """A label that only the snapshot has is in the metrics and in the discrepancies."""
    evaluation, lines = classified()
    summary = evaluation.result.to_summary()
    summary["LabelEvaluationResults"] = summary["LabelEvaluationResults"][:1]
    result = EvaluationResult.from_summary(summary, snapshot=lines)

    assert {"cat", "dog"} == set(result.at(0.5).labels)
    assert "is undefined in the summary" in str(result.discrepancies()[-1])


def test_at_another_threshold() -> None:
    """A classifier has metrics at any threshold, a detector no precision below its assumed one."""
    classifier = EvaluationResult.from_snapshot(classified()[1])
    strict = classifier.at({"cat": 0.85})
    assert (strict.labels["cat"].recall, strict.labels["cat"].precision) == (0.5, 1.0)
    assert classifier.labels["dog"].f1 == strict.labels["dog"].f1

    detector = EvaluationResult.from_snapshot(detected()[1])
    assert (detector.at(0.01).labels["cap"].precision, detector.at(0.01).labels["cap"].recall) == (None, 0.5)
    assert (detector.at(0.92).labels["cap"].precision, detector.at(0.92).labels["cap"].recall) == (0.0, 0.0)


def test_confusion_counts_missed_and_background() -> None:
    """Each true and each predicted label or box is counted once."""
    found = EvaluationResult.from_snapshot(detected()[1]).confusion()
    assert (
        found.count("cap", "cap"),
        found.missed("cap"),
        found.background("cap"),
        found.count("watch", "watch"),
    ) == (1, 1, 1, 1)
    assert found.rows() == ((1, 0, 1), (0, 1, 0), (1, 0, 0))

    classifier = EvaluationResult.from_snapshot(classified()[1])
    assert classifier.confusion().rows() == ((2, 0, 0), (1, 1, 0), (0, 0, 0))
    assert classifier.confusion({"cat": 0.85, "dog": 0.85}).rows() == ((1, 0, 1), (0, 0, 2), (0, 0, 0))


def test_box_metrics_of_a_snapshot() -> None:
    """COCO's metrics from the boxes of the file; undetected objects are not predictions."""
    metrics = EvaluationResult.from_snapshot(detected()[1]).box_metrics(0.5)

    assert metrics.recall == {"cap": (0.5,), "watch": (1.0,)}
    assert metrics.average_precision["watch"] == (1.0,)


def test_empty_snapshot() -> None:
    """Every metric is undefined."""
    result = EvaluationResult.from_snapshot([])

    assert (result.f1, result.precision, result.labels, result.test_images) == (None, None, {}, 0)
    assert result.mistakes() == []


def test_training_snapshot() -> None:
    """A written training snapshot is read back."""
    images = [
        SnapshotImage("s3://b/a.jpg", ["cat", "dog"]),
        SnapshotImage("s3://b/b.jpg", boxes=[cap(1)], size=ImageSize(640, 480)),
    ]

    assert images == list(read_training_snapshot(write_training_snapshot(images, NOW)))


def test_validation_lines_of_the_guide() -> None:
    """Issues are found at every level of nesting."""
    recorded = recording("validation-lines")
    content = {**recorded["training_validation_manifest"], **recorded["dataset_entry"]}

    lines = list(read_validation(json.dumps(one) for one in content.values()))

    assert [one.codes for one in lines] == [
        ("ERROR_BOUNDING_BOX_TOO_SMALL",),
        ("WARNING_UNANNOTATED_RECORD",),
        ("WARNING_NO_ATTRIBUTE_ANNOTATIONS", "WARNING_NO_ANNOTATIONS"),
        ("ERROR_UNSUPPORTED_USE_CASE_TYPE", "ERROR_NO_VALID_LABEL_ATTRIBUTES"),
    ]
    assert lines[0].issues[0].json_path == "bounding-box.annotations[0]"
    assert [issue.level for issue in lines[2].issues] == ["warning", "warning"]


def test_an_adapter() -> None:
    """Counts of the base model and the adapter, at the requested threshold and at all others."""
    counts = {"TruePositive": 5, "TrueNegative": 4, "FalsePositive": 1, "FalseNegative": 2}
    at = {
        "ConfidenceThreshold": 50,
        "AggregatedEvaluationResults": {"BaseModel": counts, "Adapter": counts},
        "LabelEvaluationResults": [{"Label": "Weapons", "BaseModel": counts, "Adapter": counts}],
    }
    result = EvaluationResult.from_summary(
        {
            "AggregatedEvaluationResults": {"F1Score": 0.7},
            "ContentModeration": {
                "InputConfidenceThresholdEvalResults": at,
                "AllConfidenceThresholdsEvalResults": [at, at],
            },
        }
    )

    assert result.adapter is not None
    assert result.adapter.requested is not None
    assert (len(result.adapter.thresholds), result.adapter.requested.confidence_threshold) == (2, 50)
    assert result.adapter.requested.labels["Weapons"].adapter.precision == 5 / 6
    assert EvaluationResult().adapter is None
    assert result == EvaluationResult.from_summary(result.to_summary())


def as_the_service() -> tuple[Evaluation, EvaluationResult]:
    """Return an evaluation and what is read from its files in the service's form, without true negatives."""
    evaluation = evaluate_classification(TRUTHS, SCORES, LABELS)
    images = [SnapshotImage(f"s3://b/{n}.jpg", labels) for n, labels in enumerate(TRUTHS)]
    listed = [[one for one in found if one.kind != "true negative"] for found in evaluation.verdicts]
    lines = tuple(write_testing_snapshot(images, listed, NOW, labels=LABELS))
    return evaluation, EvaluationResult.from_summary(evaluation.result.to_summary(), snapshot=lines)


def test_files_without_true_negatives_are_read() -> None:
    """They agree with the summary, and with files that list every label."""
    evaluation, result = as_the_service()
    lines = tuple(classified()[1])
    everything = EvaluationResult.from_summary(evaluation.result.to_summary(), snapshot=lines)

    assert result.discrepancies() == everything.discrepancies() == ()
    assert [str(one.verdict) for one in result.mistakes()] == [
        str(one.verdict) for one in everything.mistakes()
    ]
    assumed = result.assumed_thresholds
    assert result.at(assumed).labels == everything.at(assumed).labels
    assert result.at(assumed).confusion_matrix == everything.at(assumed).confusion_matrix
    for label, scored in result.scores().items():
        assert scored.counts(assumed[label]) == everything.scores()[label].counts(assumed[label])


def test_what_a_file_without_true_negatives_cannot_tell() -> None:
    """Below the assumed threshold the precision is unknown."""
    _, result = as_the_service()
    for label, threshold in result.assumed_thresholds.items():
        below = result.at({label: threshold * 0.9}).labels[label]
        assert (below.precision, below.f1) == (None, None)
        assert below.recall is not None


def test_a_missed_label_is_not_the_most_confident_where_others_are_not_listed() -> None:
    """A label that the file does not list may be more confident; the image counts as missed."""
    image = SnapshotImage("s3://b/a.jpg", ["cat"])
    missed = Verdict("cat", 0.4, "false negative")
    rest = Verdict("dog", 0.3, "true negative")
    labels = {"cat": LabelMetrics(), "dog": LabelMetrics()}

    def confusion(verdicts: list[Verdict]) -> tuple[tuple[int, ...], ...]:
        lines = tuple(write_testing_snapshot([image], [verdicts], NOW))
        return attrs.evolve(EvaluationResult.from_snapshot(lines), labels=labels).confusion().rows()

    assert confusion([missed]) == ((0, 0, 1), (0, 0, 0), (0, 0, 0))
    assert confusion([missed, rest]) == ((1, 0, 0), (0, 0, 0), (0, 0, 0))
