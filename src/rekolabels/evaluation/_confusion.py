"""What is taken for what: shares as the summary has them, and counts with what was missed or made up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from rekolabels.evaluation._box_metrics import iou
from rekolabels.evaluation._report._table import align, plain_label
from rekolabels.evaluation._values import ConfusionMatrix

if TYPE_CHECKING:
    from rekolabels.evaluation._images import EvaluatedImage
    from rekolabels.evaluation._values import Verdict

__all__ = ["ConfusionCounts", "TopConfusion", "count_confusion"]


class TopConfusion:
    """Compares each image's true labels with as many of the most confident ones."""

    def __init__(self) -> None:
        self._shared: dict[tuple[str, str], float] = {}
        self._totals: Counter[str] = Counter()

    def add(self, true: frozenset[str], ranked: Sequence[str]) -> None:
        """Count an image; the labels that the model saw in it come most confident first."""
        top = frozenset(ranked[: len(true)])
        instead = sorted(top - true)
        for label in true:
            self._totals[label] += 1
            for found in [label] if label in top else instead:
                part = 1 if label in top else 1 / len(instead)
                self._shared[label, found] = self._shared.get((label, found), 0.0) + part

    def matrix(self, labels: Sequence[str]) -> ConfusionMatrix:
        """The shares of the images of each true label."""
        shares = {
            (truth, found): self._shared.get((truth, found), 0.0) / self._totals[truth]
            for truth in labels
            if self._totals[truth]
            for found in labels
        }
        return ConfusionMatrix(tuple(labels), shares)


@attrs.frozen
class ConfusionCounts:
    """How often each label was taken for each, in images or, for detectors, in boxes.

    Print it for what was taken for something else; a notebook shows the matrix.

    Examples:
        >>> print(ConfusionCounts(("cat", "dog"), {("cat", "cat"): 7, ("cat", "dog"): 2, (None, "dog"): 1}))
        7 of 10 as labelled
        <BLANKLINE>
        Labelled         Taken for  Times
        cat                    dog      2
        (nothing there)        dog      1
    """

    labels: tuple[str, ...]
    """Rows (true) and columns (predicted)."""
    counts: Mapping[tuple[str | None, str | None], int] = attrs.field(hash=False)
    """By true and predicted label. A predicted label of None was missed; a true one of None is background:
    something was found where there is nothing."""

    def count(self, truth: str | None, predicted: str | None) -> int:
        """How often one was taken for the other."""
        return self.counts.get((truth, predicted), 0)

    def missed(self, label: str) -> int:
        """How often it was there and nothing was found instead."""
        return self.count(label, None)

    def background(self, label: str) -> int:
        """How often it was found where nothing is."""
        return self.count(None, label)

    def rows(self) -> tuple[tuple[int, ...], ...]:
        """The matrix: a row for each true label, then the background; the last column is what was missed."""
        return tuple(
            tuple(self.count(truth, found) for found in (*self.labels, None))
            for truth in (*self.labels, None)
        )

    def table(self) -> list[list[str]]:
        """What was taken for something else, the most frequent first, as rows of text with a head."""
        wrong = [
            (count, _name(truth, "(nothing there)"), _name(found, "(missed)"))
            for (truth, found), count in self.counts.items()
            if truth != found and count
        ]
        wrong.sort(key=lambda one: (-one[0], one[1:]))
        head = ["Labelled", "Taken for", "Times"]
        return [head, *([truth, found, f"{count:,}"] for count, truth, found in wrong)]

    def headline(self) -> str:
        """How often the model was right."""
        right = sum(self.count(label, label) for label in self.labels)
        return f"{right:,} of {sum(self.counts.values()):,} as labelled"

    def __str__(self) -> str:
        rows = self.table()
        return "\n".join([self.headline(), "", *align(rows)]) if len(rows) > 1 else self.headline()

    def _repr_html_(self) -> str:
        # Imported here: only notebooks need it.
        from rekolabels.evaluation._report._notebook import show_confusion

        return show_confusion(self.headline(), self.labels, self.rows(), self.table())


def _name(label: str | None, otherwise: str) -> str:
    return otherwise if label is None else plain_label(label)


def count_confusion(
    images: Iterable[EvaluatedImage],
    thresholds: Mapping[str, float] | None,
    iou_threshold: float,
    labels: Iterable[str] = (),
) -> ConfusionCounts:
    """Count what is taken for what.

    Args:
        images: The test images.
        thresholds: What counts as predicted; a label that is not in it keeps the file's verdicts. None for
            as many of a classifier's most confident labels as the image has, whatever their confidence.
        iou_threshold: From which a box meets another, whatever their labels are.
        labels: Labels to list, besides those that occur.
    """
    counts: Counter[tuple[str | None, str | None]] = Counter()
    for image in images:
        if image.is_detection:
            counts.update(_boxes(image, thresholds or {}, iou_threshold))
        else:
            counts.update(_labels(image, thresholds))
    known = {label for pair in counts for label in pair if label is not None} | set(labels)
    return ConfusionCounts(tuple(sorted(known)), dict(counts))


def counts_as_found(verdict: Verdict, thresholds: Mapping[str, float]) -> bool:
    """Whether a prediction counts at the thresholds, or else by the file's verdict."""
    threshold = thresholds.get(verdict.label)
    if threshold is None:
        return verdict.kind in {"true positive", "false positive"}
    return verdict.confidence >= threshold


def _labels(
    image: EvaluatedImage, thresholds: Mapping[str, float] | None
) -> list[tuple[str | None, str | None]]:
    true = set(image.labels)
    if thresholds is None:
        ranked = sorted(image.verdicts, key=lambda one: (-one.confidence, one.label))
        found = [verdict.label for verdict in ranked[: len(true)]]
    else:
        found = [verdict.label for verdict in image.verdicts if counts_as_found(verdict, thresholds)]
    missed = sorted(true.difference(found))
    instead = [label for label in found if label not in true]
    pairs: list[tuple[str | None, str | None]] = [(label, label) for label in found if label in true]
    both = min(len(missed), len(instead))
    pairs += zip(missed[:both], instead[:both], strict=True)
    pairs += [(label, None) for label in missed[both:]]
    return pairs + [(None, label) for label in instead[both:]]


def _boxes(
    image: EvaluatedImage, thresholds: Mapping[str, float], minimum: float
) -> list[tuple[str | None, str | None]]:
    """Each prediction, the most confident first, takes the free box that it overlaps most.

    A box of its own label goes before one of another.
    """
    free = list(image.boxes)
    pairs: list[tuple[str | None, str | None]] = []
    for verdict in image.verdicts:
        box = verdict.box
        if box is None or not counts_as_found(verdict, thresholds):
            continue
        near = [(true.label == box.label, iou(true, box), at) for at, true in enumerate(free)]
        near = [one for one in near if one[1] >= minimum]
        at = max(near)[2] if near else None
        pairs.append((None if at is None else free[at].label, box.label))
        if at is not None:
            del free[at]
    return pairs + [(box.label, None) for box in free]
