"""Values that an evaluation result consists of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import attrs

from rekolabels._arguments import check_instance
from rekolabels._display import counted
from rekolabels.images import BoundingBox

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ConfusionMatrix", "LabelMetrics", "ResultFields", "Verdict", "VerdictKind", "by_f1"]


@attrs.frozen
class LabelMetrics:
    """Metrics of one label at its assumed threshold.

    A metric is None where it is undefined, such as the recall of a label without test images.
    """

    f1: float | None = None
    """Harmonic mean of precision and recall, 0 to 1."""
    precision: float | None = None
    """Share of the predictions of this label that are correct, 0 to 1."""
    recall: float | None = None
    """Share of the occurrences of this label that the model found, 0 to 1."""
    threshold: float | None = None
    """Assumed threshold, 0 to 1: the confidence from which a prediction counts. The service chooses it for
    the best F1 on the test dataset. (``MinConfidence`` and the confidences of DetectCustomLabels are
    percentages, 0 to 100.)"""
    test_images: int | None = None
    """Number of test images with this label."""
    extra: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False, hash=False)
    """Fields of the label in the summary file that have no attribute here."""


@attrs.frozen
class ConfusionMatrix:
    """For the images of each true label, the share that the model predicts as each label.

    An image counts by its most confident labels, whatever the assumed thresholds are, so the diagonal is not
    the recall. In the service's own files, rows do not always add up to 1: the sample in the developer guide
    divides by the number of images of the *predicted* label, which differs where the labels have different
    numbers of images.
    """

    labels: tuple[str, ...] = attrs.field(repr=counted("labels"))
    """Labels of the rows (true) and of the columns (predicted)."""
    shares: Mapping[tuple[str, str], float] = attrs.field(hash=False, repr=counted("pairs"))
    """Share by true and predicted label, 0 to 1; pairs that are not in the file are missing."""

    def share(self, truth: str, predicted: str) -> float | None:
        """Return the share of the images of one label that are predicted as another; None if unknown."""
        for name, label in (("truth", truth), ("predicted", predicted)):
            check_instance(name, label, str, "a label")
        return self.shares.get((truth, predicted))

    def rows(self) -> tuple[tuple[float | None, ...], ...]:
        """Return the matrix, one row per true label."""
        return tuple(
            tuple(self.share(truth, predicted) for predicted in self.labels) for truth in self.labels
        )


def _utc(time: datetime) -> datetime:
    """Convert a time to UTC; a naive time is UTC already."""
    check_instance("evaluated_at", time, datetime, "a datetime")
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


@attrs.frozen(eq=False, repr=False)  # the subclass generates its own
class ResultFields:
    """Content of an evaluation summary, without the test images.

    Base of :class:`EvaluationResult`. Calculations and reports take this class, so that they do not import
    the class that calls them.
    """

    f1: float | None = None
    """Mean F1 over the labels, 0 to 1; "F1 score" and "Model performance" in the console."""
    precision: float | None = None
    """Mean precision over the labels, 0 to 1; "Average precision" in the console. Not the mAP."""
    recall: float | None = None
    """Mean recall over the labels, 0 to 1; "Overall recall" in the console."""
    labels: Mapping[str, LabelMetrics] = attrs.field(
        factory=dict[str, LabelMetrics], hash=False, repr=counted("labels")
    )
    """Metrics by label, the best F1 first and undefined ones last."""
    confusion_matrix: ConfusionMatrix | None = attrs.field(default=None, repr=False)
    """Confusion matrix of a classifier; None for detectors."""
    mean_average_precision: float | None = None
    """mAP of a detector, 0 to 1; None for classifiers."""
    mean_average_recall: float | None = None
    """mAR of a detector, 0 to 1; None for classifiers."""
    training_images: int | None = None
    """Number of images that the training used."""
    test_images: int | None = None
    """Number of images that the test used."""
    evaluated_at: datetime | None = attrs.field(
        default=None, converter=attrs.converters.optional(_utc), repr=False
    )
    """End of the evaluation, UTC."""
    project_version_arn: str | None = attrs.field(default=None, repr=False)
    """ARN of the model version."""
    extra: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False, hash=False)
    """Fields of the summary file that have no attribute here, nested as in the file."""
    _assumed: Mapping[str, float] | None = attrs.field(
        default=None, repr=False, eq=False, kw_only=True, alias="_assumed"
    )
    """Assumed thresholds that are known; None if they are those of ``labels``."""

    @property
    def assumed_thresholds(self) -> dict[str, float]:
        """Assumed thresholds by label, 0 to 1, as the service states them in the summary.

        The result of :meth:`EvaluationResult.at` keeps those of the model. A result that was computed from a
        snapshot alone has none, because the file does not contain them.
        """
        if self._assumed is not None:
            return dict(self._assumed)
        return {
            label: metrics.threshold
            for label, metrics in self.labels.items()
            if metrics.threshold is not None
        }

    @property
    def is_recomputed(self) -> bool:
        """Whether the metrics were computed from the test images, and not read from a summary."""
        return self._assumed is not None

    @property
    def kind(self) -> str | None:
        """``classification`` or ``detection``, judging by the content; None if neither can be told."""
        if self.mean_average_precision is not None or self.mean_average_recall is not None:
            return "detection"
        return None if self.confusion_matrix is None else "classification"


VerdictKind = Literal["true positive", "false positive", "false negative", "true negative"]
"""Outcome of a prediction at the label's assumed threshold."""


@attrs.frozen
class Verdict:
    """One prediction for one test image and its outcome at the label's assumed threshold."""

    label: str
    """Label of the prediction."""
    confidence: float
    """Confidence of the prediction, 0 to 1; 0 for an object that no predicted box matches."""
    kind: VerdictKind
    """Outcome of the prediction."""
    box: BoundingBox | None = None
    """Box in pixels; None for an image-level label."""

    @property
    def in_ground_truth(self) -> bool:
        """Whether the label, or the box, is in the ground truth, whatever the confidence."""
        return self.kind in {"true positive", "false negative"}


def by_f1(metrics: Iterable[tuple[str, LabelMetrics]]) -> dict[str, LabelMetrics]:
    """Sort labels by descending F1; undefined ones last, ties by name."""
    return dict(sorted(metrics, key=lambda item: (item[1].f1 is None, -(item[1].f1 or 0.0), item[0])))
