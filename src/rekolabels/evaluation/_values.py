"""The parts of a result."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import attrs

from rekolabels.images import BoundingBox

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ConfusionMatrix", "LabelMetrics", "ResultFields", "Verdict", "VerdictKind", "by_f1"]


@attrs.frozen
class LabelMetrics:
    """How well a model did on one label, at the label's assumed threshold.

    Undefined values are None, such as the recall of a label that no test image has.
    """

    f1: float | None = None
    """The harmonic mean of precision and recall, 0 to 1."""
    precision: float | None = None
    """The share of the predictions of this label that were right, 0 to 1."""
    recall: float | None = None
    """The share of the label's occurrences that were found, 0 to 1."""
    threshold: float | None = None
    """The assumed threshold, 0 to 1 (``MinConfidence`` and confidences of DetectCustomLabels are 0 to 100):
    the confidence from which a prediction counts, chosen by the service for the best F1 on the test
    dataset."""
    test_images: int | None = None
    """Test images with the label."""
    extra: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False, hash=False)
    """What the file says of the label beyond this."""


@attrs.frozen
class ConfusionMatrix:
    """For the images of each true label, the shares that the model took for each label.

    Each image counts by its most confident labels, whatever the assumed thresholds are, so the diagonal is
    not the recall. The service's own files do not always add up to 1 a row: the sample in the guide divides
    by the number of images of the *predicted* label, which differs when the labels have different numbers of
    images.
    """

    labels: tuple[str, ...]
    """Rows (true) and columns (predicted)."""
    shares: Mapping[tuple[str, str], float] = attrs.field(hash=False)
    """By true and predicted label, 0 to 1; a pair that the file lacks is missing."""

    def share(self, truth: str, predicted: str) -> float | None:
        """The share of the images of one label that the model took for another; None when it is not known."""
        return self.shares.get((truth, predicted))

    def rows(self) -> tuple[tuple[float | None, ...], ...]:
        """The matrix, a row for each true label."""
        return tuple(tuple(self.share(truth, found) for found in self.labels) for truth in self.labels)


def _utc(moment: datetime) -> datetime:
    """A time in UTC; one that does not say is taken for UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@attrs.frozen(eq=False, repr=False)  # the subclass generates its own
class ResultFields:
    """The values of an evaluation summary, without the test images.

    The base of :class:`EvaluationResult`. Reports and calculations take it, so that none of them imports the
    class that calls them.
    """

    f1: float | None = None
    """The console's "F1 score" and "Model performance": the mean of the labels' F1, 0 to 1."""
    precision: float | None = None
    """The console's "Average precision": the mean of the labels' precisions, 0 to 1. Not the mAP."""
    recall: float | None = None
    """The console's "Overall recall": the mean of the labels' recalls, 0 to 1."""
    labels: Mapping[str, LabelMetrics] = attrs.field(factory=dict[str, LabelMetrics], hash=False)
    """By label, the best F1 first and undefined ones last."""
    confusion_matrix: ConfusionMatrix | None = None
    """For classifiers; None for detectors."""
    mean_average_precision: float | None = None
    """For detectors: mAP, 0 to 1; None for classifiers."""
    mean_average_recall: float | None = None
    """For detectors: mAR, 0 to 1; None for classifiers."""
    training_images: int | None = None
    """Images that were really used in training."""
    test_images: int | None = None
    """Images that were really used in testing."""
    evaluated_at: datetime | None = attrs.field(default=None, converter=attrs.converters.optional(_utc))
    """When the evaluation ended, UTC."""
    project_version_arn: str | None = None
    """ARN of the model version."""
    extra: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False, hash=False)
    """What the file says beyond this, in the places where the file says it."""

    @property
    def kind(self) -> str | None:
        """``classification`` or ``detection``, by what the summary contains; None when it says neither."""
        if self.mean_average_precision is not None or self.mean_average_recall is not None:
            return "detection"
        return None if self.confusion_matrix is None else "classification"


VerdictKind = Literal["true positive", "false positive", "false negative", "true negative"]
"""How a prediction compares with the truth at the label's assumed threshold."""


@attrs.frozen
class Verdict:
    """One prediction for one test image, judged at the label's assumed threshold."""

    label: str
    """The label that it speaks of."""
    confidence: float
    """0 to 1."""
    kind: VerdictKind
    """How it compares with the truth."""
    box: BoundingBox | None = None
    """Where, in pixels; None for an image-level label."""

    @property
    def in_ground_truth(self) -> bool:
        """Whether the label, or the box, is really there, whatever the confidence."""
        return self.kind in {"true positive", "false negative"}


def by_f1(metrics: Iterable[tuple[str, LabelMetrics]]) -> dict[str, LabelMetrics]:
    """Sort labels: the best F1 first, undefined ones last, equal ones by name."""
    return dict(sorted(metrics, key=lambda item: (item[1].f1 is None, -(item[1].f1 or 0.0), item[0])))
