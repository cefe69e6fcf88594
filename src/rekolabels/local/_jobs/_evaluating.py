"""From what a trained model says about the test images to its evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rekolabels.evaluation import Evaluation, evaluate_classification, evaluate_detection
from rekolabels.images import BoundingBox, ImageSize

if TYPE_CHECKING:
    from datetime import datetime

    from rekolabels.local._engine import Prediction, Trained
    from rekolabels.local._jobs._training_data import Data, Usable

__all__ = ["evaluate", "thresholds_of"]

_UNDECIDED = 0.5
"""Assumed threshold of a label that no test image has: none can be chosen for it."""


def evaluate(data: Data, trained: Trained, *, at: datetime, arn: str) -> Evaluation:
    """Evaluate a model on the test images that were used, with the figures that a summary tells besides."""
    tested, count = data.used(data.testing), len(data.used(data.training))
    if trained.model.kind == "detection":
        return evaluate_detection(
            [one.boxes for one in tested],
            [_in_pixels(one, found) for one, found in zip(tested, trained.predictions, strict=True)],
            trained.model.labels,
            training_images=count,
            evaluated_at=at,
            project_version_arn=arn,
        )
    return evaluate_classification(
        [one.labels for one in tested],
        [{found.label: found.confidence for found in image} for image in trained.predictions],
        trained.model.labels,
        training_images=count,
        evaluated_at=at,
        project_version_arn=arn,
    )


def thresholds_of(evaluation: Evaluation) -> dict[str, float]:
    """The assumed threshold of each label, 0 to 1."""
    return {
        label: _UNDECIDED if metrics.threshold is None else metrics.threshold
        for label, metrics in evaluation.result.labels.items()
    }


def _in_pixels(one: Usable, found: tuple[Prediction, ...]) -> list[tuple[BoundingBox, float]]:
    """Ratios of the image into pixels of the size that the line states, as its own boxes are."""
    size = one.size or ImageSize(1, 1)
    boxes: list[tuple[BoundingBox, float]] = []
    for prediction in found:
        if prediction.box is not None:
            left, top, width, height = prediction.box
            box = BoundingBox(
                prediction.label,
                left * size.width,
                top * size.height,
                width * size.width,
                height * size.height,
            )
            boxes.append((box, prediction.confidence))
    return boxes
