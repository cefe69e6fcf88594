"""The parts of a result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ConfusionMatrix", "LabelMetrics", "by_f1"]


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


def by_f1(metrics: Iterable[tuple[str, LabelMetrics]]) -> dict[str, LabelMetrics]:
    """Sort labels: the best F1 first, undefined ones last, equal ones by name."""
    return dict(sorted(metrics, key=lambda item: (item[1].f1 is None, -(item[1].f1 or 0.0), item[0])))
