"""Whether a confidence of 0.8 is right in 80 of 100 cases."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Calibration", "CalibrationBin", "calibrate"]


@attrs.frozen
class CalibrationBin:
    """The predictions whose confidence lies in one interval."""

    predictions: int
    """How many."""
    confidence: float
    """Their mean confidence, 0 to 1."""
    right: float
    """The share that was right, 0 to 1."""


@attrs.frozen
class Calibration:
    """How far confidences can be taken for probabilities."""

    bins: tuple[CalibrationBin, ...]
    """Intervals of equal width that have predictions, from low to high confidence."""

    @property
    def error(self) -> float | None:
        """The expected calibration error, 0 to 1: the mean distance of confidence and share that was right.

        None where there are no predictions.
        """
        total = sum(one.predictions for one in self.bins)
        if not total:
            return None
        return sum(one.predictions * abs(one.confidence - one.right) for one in self.bins) / total


def calibrate(right: Sequence[float], wrong: Sequence[float], unlisted: int, bins: int) -> Calibration:
    """Sort confidences into intervals of equal width; ``unlisted`` are wrong ones at 0."""
    inner = [at * (1 / bins) for at in range(1, bins)]
    counts, sums, hits = [0] * bins, [0.0] * bins, [0] * bins
    counts[0] = unlisted
    for confidences, is_right in ((right, 1), (wrong, 0)):
        for confidence in confidences:
            # as scikit-learn: a confidence on a border belongs to the interval below it
            at = bisect_left(inner, confidence)
            counts[at] += 1
            sums[at] += confidence
            hits[at] += is_right
    return Calibration(
        tuple(
            CalibrationBin(counts[at], sums[at] / counts[at], hits[at] / counts[at])
            for at in range(bins)
            if counts[at]
        )
    )
