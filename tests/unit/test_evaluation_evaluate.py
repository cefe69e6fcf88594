"""Evaluation of predictions on test images: metrics, verdicts and snapshots."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from rekolabels.errors import InvalidInput
from rekolabels.evaluation import (
    Counts,
    EvaluationResult,
    ScoredLabel,
    SnapshotImage,
    Verdict,
    evaluate_classification,
    evaluate_detection,
    write_testing_snapshot,
    write_training_snapshot,
)
from rekolabels.images import BoundingBox, ImageSize

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (Counts(8, 1, 0), (8 / 9, 1.0)),
        (Counts(5, 0, 3), (1.0, 5 / 8)),
        (Counts(0, 0, 3), (None, 0.0)),
        (Counts(0, 2, 0), (0.0, None)),
        (Counts(0, 0, 0), (None, None)),
    ],
)
def test_precision_and_recall(counts: Counts, expected: tuple[float | None, float | None]) -> None:
    """The examples of the developer guide, and undefined cases."""
    assert expected == (counts.precision, counts.recall)


@pytest.mark.parametrize(
    ("counts", "expected"), [(Counts(0, 0, 0), None), (Counts(0, 1, 1), 0.0), (Counts(1, 0, 0), 1.0)]
)
def test_f1(counts: Counts, expected: float | None) -> None:
    """F1 is undefined only if nothing was predicted and nothing was there to find."""
    assert expected == counts.f1


@pytest.mark.parametrize(
    ("positives", "negatives", "expected"),
    [
        ([0.9, 0.8], [0.2], 0.5),
        ([0.9], [], 0.45),
        ([0.9, 0.5], [0.7], 0.25),
        ([0.6, 0.6], [0.6], 0.3),
        ([], [0.4], None),
        ([], [], None),
        ([0.9, 0.1], [0.5, 0.4], 0.7),
        ([0.0], [0.0], 0.0),
    ],
)
def test_best_threshold(positives: list[float], negatives: list[float], expected: float | None) -> None:
    """Midway below the lowest confidence that counts; of equally good thresholds, the highest."""
    assert expected == pytest.approx(ScoredLabel(positives, negatives).best_threshold())


def test_threshold_between_adjacent_floats() -> None:
    """If there is no number in between, the threshold is the confidence itself."""
    low = 0.5
    high = 0.5000000000000001

    assert high == ScoredLabel([high], [low]).best_threshold()


def test_label_without_test_images_is_undefined() -> None:
    """The label has no threshold, and the means ignore it."""
    evaluation = evaluate_classification(
        [["a"], ["b"]], [{"a": 0.9, "b": 0.2, "c": 0.95}, {"a": 0.1, "b": 0.7}], ["a", "b", "c"]
    )

    metrics = evaluation.result.labels["c"]
    assert (
        metrics.f1,
        metrics.precision,
        metrics.recall,
        metrics.threshold,
        metrics.test_images,
    ) == (None, None, None, None, 0)
    assert evaluation.result.f1 == 1.0
    assert next(v.kind for v in evaluation.verdicts[0] if v.label == "c") == "true negative"


def test_aggregated_f1_is_the_mean_of_the_labels() -> None:
    """It is not the harmonic mean of the aggregated precision and recall."""
    evaluation = evaluate_classification(
        [["a"], ["a"], ["b"], ["b"]],
        [{"a": 0.9, "b": 0.8}, {"a": 0.3, "b": 0.2}, {"a": 0.5, "b": 0.7}, {"a": 0.4, "b": 0.6}],
        ["a", "b"],
    )

    result = evaluation.result
    defined = [metrics.f1 for metrics in result.labels.values() if metrics.f1 is not None]
    assert result.f1 == pytest.approx(sum(defined) / 2)
    assert result.test_images == 4


def test_missed_label_is_divided_among_the_labels_predicted_instead() -> None:
    """With several true labels, the same number of most confident labels is compared; rows add up to 1."""
    evaluation = evaluate_classification(
        [["a", "b"]], [{"a": 0.9, "b": 0.1, "c": 0.5, "d": 0.2}], ["a", "b", "c", "d"]
    )

    matrix = evaluation.result.confusion_matrix
    assert matrix is not None
    assert (matrix.share("a", "a"), matrix.share("b", "c"), matrix.share("b", "d")) == (1.0, 1.0, 0.0)
    assert matrix.share("c", "c") is None


def test_unknown_labels_are_ignored() -> None:
    """The service evaluates only labels of the training."""
    evaluation = evaluate_classification([["a", "new"]], [{"a": 0.9}], ["a", "b"])

    assert {"a", "b"} == set(evaluation.result.labels)


def test_number_of_predictions_must_match() -> None:
    """Different numbers of truths and predictions raise an error."""
    with pytest.raises(InvalidInput, match="2 truths and 1 predictions"):
        evaluate_classification([["a"], ["b"]], [{}], ["a"])
    with pytest.raises(InvalidInput, match="0 truths and 1 predictions"):
        evaluate_detection([], [[]], ["a"])


def box(label: str, left: float, width: float = 20) -> BoundingBox:
    """Return a box in a row of boxes."""
    return BoundingBox(label, left, 0, width, 20)


def test_second_box_on_an_object_is_a_false_positive() -> None:
    """Each true box matches once, with the most confident prediction."""
    evaluation = evaluate_detection(
        [[box("cap", 0), box("cap", 100)]],
        [[(box("cap", 1), 0.8), (box("cap", 0), 0.9), (box("cap", 101), 0.7)]],
        ["cap"],
    )

    assert [(verdict.confidence, verdict.kind) for verdict in evaluation.verdicts[0]] == [
        (0.9, "true positive"),
        (0.8, "false positive"),
        (0.7, "true positive"),
    ]
    assert evaluation.result.mean_average_recall == 1.0


def test_missed_objects_are_false_negatives() -> None:
    """They have the box of their matching prediction, or their own box and confidence 0."""
    evaluation = evaluate_detection(
        [[box("cap", 0)], [box("cap", 0)], [box("cap", 0)], [box("cap", 40)]],
        [
            [(box("cap", 0), 0.9), (box("cap", 60), 0.6), (box("cap", 90), 0.6), (box("cap", 120), 0.6)],
            [(box("cap", 0), 0.9)],
            [(box("cap", 1), 0.01)],
            [],
        ],
        ["cap"],
    )

    assert evaluation.result.labels["cap"].threshold == 0.75
    missed = [verdicts[0] for verdicts in evaluation.verdicts[2:]]
    assert [
        Verdict("cap", 0.01, "false negative", box("cap", 1)),
        Verdict("cap", 0.0, "false negative", box("cap", 40)),
    ] == missed
    assert all(verdict.in_ground_truth for verdict in missed)
    assert len(evaluation.verdicts[0]) == 1, "unmatched boxes below the threshold are not listed"
    assert evaluation.result.mean_average_recall == 0.75


def test_boxes_match_by_overlap_and_label() -> None:
    """A box of another label or with too little overlap does not match."""
    evaluation = evaluate_detection(
        [[box("cap", 0), box("hat", 50)]],
        [[(box("cap", 12), 0.9), (box("cap", 50), 0.8)]],
        ["cap", "hat"],
    )

    assert {"cap", "hat"} == set(evaluation.result.labels)
    assert evaluation.result.mean_average_precision == 0.0
    assert {"false negative"} == {verdict.kind for verdict in evaluation.verdicts[0]}


def test_snapshot_of_a_classifier_has_the_format_of_the_service() -> None:
    """The keys and values follow the sample in the developer guide."""
    evaluation = evaluate_classification(
        [["Football"]], [{"Football": 0.95, "Golf": 0.1}], ["Football", "Golf"]
    )

    lines = write_testing_snapshot([SnapshotImage("s3://b/x.jpeg", ["Football"])], evaluation.verdicts, NOW)
    (line,) = [json.loads(text) for text in lines]

    assert line["rekognition-custom-labels-training-0"] == 1
    assert line["rekognition-custom-labels-training-0-metadata"] == {
        "confidence": 1.0,
        "job-name": "rekognition-custom-labels-training-job",
        "class-name": "Football",
        "human-annotated": "yes",
        "creation-date": "2026-01-02T03:04:05.000000",
        "type": "groundtruth/image-classification",
    }
    assert line["rekognition-custom-labels-evaluation-0-metadata"] == {
        "confidence": 0.95,
        "job-name": "rekognition-custom-labels-evaluation-job",
        "class-name": "Football",
        "human-annotated": "no",
        "creation-date": "2026-01-02T03:04:05.000000",
        "type": "groundtruth/image-classification",
        "rekognition-custom-labels-evaluation-details": {
            "version": 1,
            "ground-truth-labelling-jobs": ["rekognition-custom-labels-training-job"],
            "is-true-positive": True,
            "is-true-negative": False,
            "is-false-positive": False,
            "is-false-negative": False,
            "is-present-in-ground-truth": True,
        },
    }
    second = line["rekognition-custom-labels-evaluation-1-metadata"]
    assert second["rekognition-custom-labels-evaluation-details"]["is-true-negative"]
    assert line["rekognition-custom-labels-object-id"] == 1


def test_numbers_are_positions_among_the_labels_of_the_model() -> None:
    """Also where an image has only some of them; labels that the model does not know come last."""
    labels = ["cat", "dog", "eel"]
    images = [SnapshotImage("s3://b/1.png", ["eel"]), SnapshotImage("s3://b/2.png", ["bat", "dog"])]
    verdicts = [
        [Verdict("eel", 0.9, "true positive")],
        [Verdict("eel", 0.8, "false positive"), Verdict("dog", 0.1, "false negative")],
    ]

    tested = [json.loads(line) for line in write_testing_snapshot(images, verdicts, NOW, labels=labels)]
    trained = [json.loads(line) for line in write_training_snapshot(images, NOW, labels=labels)]

    def names(line: dict[str, Any], kind: str) -> dict[str, str]:
        prefix, end = f"rekognition-custom-labels-{kind}-", "-metadata"
        return {
            name.removeprefix(prefix).removesuffix(end): value["class-name"]
            for name, value in line.items()
            if name.startswith(prefix) and name.endswith(end)
        }

    assert [names(line, "evaluation") for line in tested] == [{"2": "eel"}, {"2": "eel", "1": "dog"}]
    assert [names(line, "training") for line in tested] == [{"2": "eel"}, {"3": "bat", "1": "dog"}]
    assert [names(line, "training") for line in trained] == [{"2": "eel"}, {"3": "bat", "1": "dog"}]
    assert trained[0]["rekognition-custom-labels-training-2"] == 1


def test_snapshot_of_a_detector_has_one_unnumbered_evaluation() -> None:
    """It has the predicted boxes in pixels, and a verdict for each."""
    image = SnapshotImage("s3://b/x.jpeg", boxes=[box("Cap", 5)], size=ImageSize(640, 480))
    evaluation = evaluate_detection([image.boxes], [[(box("Cap", 5.5), 0.8)]], ["Cap"])

    (text,) = write_testing_snapshot([image], evaluation.verdicts, NOW)
    line: dict[str, Any] = json.loads(text)

    assert line["rekognition-custom-labels-evaluation"] == {
        "annotations": [{"class_id": 0, "left": 5.5, "top": 0, "width": 20, "height": 20}],
        "image_size": [{"width": 640, "height": 480, "depth": 3}],
    }
    metadata = line["rekognition-custom-labels-evaluation-metadata"]
    assert metadata["class-map"] == {"0": "Cap"}
    assert metadata["objects"][0]["confidence"] == 0.8
    assert metadata["confidence"] == 0.8
    assert line["rekognition-custom-labels-training-0"]["annotations"][0]["left"] == 5


def test_training_snapshot_numbers_images_and_labels() -> None:
    """One line per image, one pair of attributes per label."""
    images = [SnapshotImage("s3://b/1.png", ["x", "y"]), SnapshotImage("s3://b/2.png", ["x"])]

    first, second = (json.loads(line) for line in write_training_snapshot(images, NOW))

    assert first["rekognition-custom-labels-training-1-metadata"]["class-name"] == "y"
    assert second["rekognition-custom-labels-object-id"] == 2


def test_summary_of_an_evaluation_is_read_back() -> None:
    """The SDK reads what the local service writes."""
    result = evaluate_classification(
        [["a"], ["b"]],
        [{"a": 0.9, "b": 0.2}, {"a": 0.1, "b": 0.7}],
        ["a", "b"],
        training_images=8,
        evaluated_at=NOW,
        project_version_arn="arn:aws:rekognition:us-east-1:1:project/p/version/v/1",
    ).result

    assert result == EvaluationResult.from_summary(json.loads(json.dumps(result.to_summary())))
