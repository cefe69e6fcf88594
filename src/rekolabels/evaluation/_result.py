"""How well a model did on its test dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import attrs

__all__ = ["ConfusionMatrix", "EvaluationResult", "LabelMetrics"]


def _utc(moment: datetime) -> datetime:
    """A time in UTC; one that does not say is taken for UTC."""
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)


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


@attrs.frozen
class EvaluationResult:
    """How well a model did on its test dataset, as its evaluation summary says.

    Print it for a table, :meth:`save` it as a page, a picture or a file, or look at its fields. The
    aggregated figures are unweighted means over the labels, so the aggregated F1 is not the harmonic mean of
    the other two.

    Examples:
        >>> result = EvaluationResult.from_summary({
        ...     "AggregatedEvaluationResults": {"F1Score": 0.9, "Precision": 0.88, "Recall": 0.92},
        ...     "LabelEvaluationResults": [{"Label": "puppy", "NumberOfTestingImages": 20, "Metrics": {
        ...         "F1Score": 0.9, "Precision": 0.88, "Recall": 0.92, "Threshold": 0.41}}],
        ... })
        >>> result.f1, result.labels["puppy"].threshold
        (0.9, 0.41)
        >>> print(result)
        F1 score 0.900   Average precision 0.880   Overall recall 0.920
        <BLANKLINE>
        Label       F1 score  Precision  Recall  Assumed threshold  Test images
        puppy          0.900      0.880   0.920              0.410           20
        All labels     0.900      0.880   0.920
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

    @classmethod
    def from_summary(cls, summary: Mapping[str, Any]) -> EvaluationResult:
        """Read an evaluation summary (``EvaluationResultSummary-<project>-<version>.json``).

        Both layouts are read: aggregated metrics in ``AggregatedEvaluationResults`` or in its ``Metrics``.
        Missing values, null and NaN become None; unknown fields are kept in ``extra``.

        Args:
            summary: The content of the file, as ``json.load`` gives it.

        Raises:
            InvalidEvaluation: It is no evaluation summary, or a field has a value of another kind.
        """
        from rekolabels.evaluation._summary import read_summary

        return read_summary(summary)

    @property
    def kind(self) -> str | None:
        """``classification`` or ``detection``, by what the summary contains; None when it says neither."""
        if self.mean_average_precision is not None or self.mean_average_recall is not None:
            return "detection"
        return None if self.confusion_matrix is None else "classification"

    def to_summary(self) -> dict[str, Any]:
        """Give the content of an evaluation summary file, in the layout that is seen in practice (flat).

        :meth:`from_summary` reads it back without loss.
        """
        from rekolabels.evaluation._summary import write_summary

        return write_summary(self)

    def save(self, path: str | Path) -> Path:
        """Write the result to a file, in the format that its ending names.

        Args:
            path: ``.html`` (one page that needs nothing else), ``.png`` (a picture for a message; needs the
                extra ``report``), ``.csv`` (the table), or ``.json`` (an evaluation summary). An existing
                file is replaced.

        Returns:
            The path.

        Raises:
            InvalidInput: Another ending.
            MissingExtra: A picture is wanted and the extra ``report`` is not installed.
            OSError: The file cannot be written.
        """
        from rekolabels.evaluation._saving import save_result

        return save_result(self, Path(path))

    def __str__(self) -> str:
        from rekolabels.evaluation._table import format_table

        return format_table(self)

    def _repr_html_(self) -> str:
        from rekolabels.evaluation._page import make_fragment

        return make_fragment(self)


def by_f1(metrics: Iterable[tuple[str, LabelMetrics]]) -> dict[str, LabelMetrics]:
    """Sort labels: the best F1 first, undefined ones last, equal ones by name."""
    return dict(sorted(metrics, key=lambda item: (item[1].f1 is None, -(item[1].f1 or 0.0), item[0])))
