"""Evaluation results for tests, made from predictions and read back from a snapshot."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rekolabels.evaluation import (
    EvaluationResult,
    SnapshotImage,
    evaluate_classification,
    evaluate_detection,
    write_testing_snapshot,
)
from rekolabels.images import BoundingBox, ImageSize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TRUTHS = [["cat"]] * 10 + [["dog"]] * 10
"""True labels: ten cats, then ten dogs."""
_CATS = (
    0.99,
    0.97,
    0.95,
    0.9,
    0.85,
    0.8,
    0.7,
    0.6,
    0.4,
    0.3,
    0.65,
    0.35,
    0.3,
    0.25,
    0.2,
    0.15,
    0.1,
    0.05,
    0.04,
    0.03,
)
SCORES = [{"cat": cat, "dog": 1 - cat} for cat in _CATS]
"""Confidences: two cats are predicted as dogs, and one dog as a cat."""


def classifier(
    truths: Sequence[Sequence[str]], scores: Sequence[Mapping[str, float]], folder: str = "s3://b"
) -> EvaluationResult:
    """Return the result of a classifier, with its test images."""
    labels = sorted({label for found in scores for label in found})
    evaluation = evaluate_classification(truths, scores, labels, training_images=100, evaluated_at=NOW)
    images = [SnapshotImage(f"{folder}/{number}.jpg", true) for number, true in enumerate(truths)]
    lines = tuple(write_testing_snapshot(images, evaluation.verdicts, NOW))
    return EvaluationResult.from_summary(evaluation.result.to_summary(), snapshot=lines)


def box(left: float, label: str = "cap") -> BoundingBox:
    """Return a box with sides of 20 pixels."""
    return BoundingBox(label, left, 10, 20, 20)


def detector() -> EvaluationResult:
    """Return the result of a detector.

    Of three caps, one is found, one has a low confidence, and one is missed. The watch is found. One cap is a
    false positive.
    """
    truths = [[box(10), box(200)], [box(10, "watch")], [box(50)], []]
    found = [[(box(11), 0.9)], [(box(10, "watch"), 0.8), (box(300), 0.6)], [(box(50), 0.1)], [(box(5), 0.2)]]
    return detector_of(truths, found)


def detector_of(
    truths: Sequence[Sequence[BoundingBox]], found: Sequence[Sequence[tuple[BoundingBox, float]]]
) -> EvaluationResult:
    """Return the result of a detector of caps and watches, with its test images."""
    evaluation = evaluate_detection(truths, found, ["cap", "watch"], training_images=30, evaluated_at=NOW)
    images = [
        SnapshotImage(f"s3://b/{number}.jpg", boxes=boxes, size=ImageSize(640, 480))
        for number, boxes in enumerate(truths)
    ]
    lines = tuple(write_testing_snapshot(images, evaluation.verdicts, NOW))
    return EvaluationResult.from_summary(evaluation.result.to_summary(), snapshot=lines)


def noisy_detector() -> EvaluationResult:
    """Return the result of a detector whose snapshot does not list all false positives.

    Three caps are found, with confidences 0.9, 0.8 and 0.1; the assumed threshold is 0.55. Five false
    positives have a confidence of 0.3.
    """
    truths = [[box(10)], [box(10)], [box(10)]]
    noise = [(box(left), 0.3) for left in (100, 150, 200, 250, 300)]
    found = [[(box(10), 0.9)], [(box(10), 0.8)], [(box(10), 0.1), *noise]]
    return detector_of(truths, found)
