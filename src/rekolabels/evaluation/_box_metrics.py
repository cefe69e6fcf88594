"""COCO's average precision and recall of boxes, at one IoU threshold or several."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING

import attrs

from rekolabels._arguments import check_fraction, check_integer, invalid
from rekolabels._display import counted
from rekolabels.evaluation._inputs import check_boxes, check_candidates, check_per_image
from rekolabels.evaluation._metrics import mean_defined
from rekolabels.images import BoundingBox
from rekolabels.manifest._given_images import is_collection

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COCO_IOU_THRESHOLDS", "BoxMetrics", "check_iou_thresholds", "iou", "score_boxes"]

_STEP = (0.95 - 0.5) / 9
COCO_IOU_THRESHOLDS = (*(0.5 + at * _STEP for at in range(9)), 0.95)
"""IoU thresholds that COCO averages over: 0.50, 0.55 … 0.95, with the exact floats of pycocotools."""
_NEARLY_ONE = 1 - 1e-10
"""Stands for an IoU threshold of 1, which rounding puts out of reach; pycocotools does the same."""
_RECALLS = tuple(at * 0.01 for at in range(101))

# left, top, right, bottom, area
_Edges = tuple[float, float, float, float, float]


@attrs.frozen
class BoxMetrics:
    """Average precision and recall of each label at each IoU threshold."""

    iou_thresholds: tuple[float, ...] = attrs.field(repr=counted("thresholds"))
    """Intersection over union from which a predicted box matches a true one, 0 to 1."""
    average_precision: Mapping[str, tuple[float | None, ...]] = attrs.field(
        hash=False, repr=counted("labels")
    )
    """Average precision by label, one value per IoU threshold, 0 to 1; None for a label without true
    boxes."""
    recall: Mapping[str, tuple[float | None, ...]] = attrs.field(hash=False, repr=counted("labels"))
    """Recall over predictions of any confidence, by label, one value per IoU threshold, 0 to 1."""

    @property
    def mean_average_precision(self) -> float | None:
        """Mean over labels and IoU thresholds (mAP); with ``COCO_IOU_THRESHOLDS``, COCO's AP."""
        return mean_defined(value for values in self.average_precision.values() for value in values)

    @property
    def mean_average_recall(self) -> float | None:
        """Mean over labels and IoU thresholds (mAR); with ``COCO_IOU_THRESHOLDS``, COCO's AR."""
        return mean_defined(value for values in self.recall.values() for value in values)


def score_boxes(
    truths: Iterable[Iterable[BoundingBox]],
    predictions: Iterable[Iterable[tuple[BoundingBox, float]]],
    *,
    iou_thresholds: float | Sequence[float] = COCO_IOU_THRESHOLDS,
    max_detections: int = 100,
) -> BoxMetrics:
    """Score the boxes of a detector as pycocotools does (``iouType="bbox"``, all areas, no crowds).

    Args:
        truths: The true boxes of each image.
        predictions: The predicted boxes of each image with their confidences, in the same order.
        iou_thresholds: One IoU threshold or several, 0 to 1.
        max_detections: Count at most this many predictions per image and label, the most confident ones
            (``maxDets`` in pycocotools).

    Raises:
        InvalidInput: There are not as many predictions as truths, or an IoU threshold is out of range.

    Examples:
        >>> from rekolabels.images import BoundingBox
        >>> truth = BoundingBox("cap", 0, 0, 10, 10)
        >>> near = BoundingBox("cap", 0, 0, 10, 8)
        >>> scores = score_boxes([[truth]], [[(near, 0.9)]])
        >>> scores.average_precision["cap"][0], scores.mean_average_precision
        (1.0, 0.7)
    """
    thresholds = check_iou_thresholds(iou_thresholds)
    max_detections = check_integer("max_detections", max_detections, at_least=1)
    truths, predictions = check_per_image(truths, predictions)
    support: Counter[str] = Counter()
    # by label, for each prediction: its negated confidence, and a bit for each threshold at which it matches
    matched: dict[str, list[tuple[float, int]]] = {}
    match = _Matcher(thresholds)
    for true_boxes, predicted in zip(check_boxes(truths), check_candidates(predictions), strict=True):
        true_by_label: dict[str, list[_Edges]] = {}
        for box in true_boxes:
            left, top, width, height = box.left, box.top, box.width, box.height
            edges = (left, top, left + width, top + height, width * height)
            true_by_label.setdefault(box.label, []).append(edges)
        for label, boxes in true_by_label.items():
            support[label] += len(boxes)
        candidates: dict[str, list[tuple[float, BoundingBox]]] = {}
        for box, confidence in predicted:
            candidates.setdefault(box.label, []).append((-confidence, box))
        for label, listed in candidates.items():
            if len(listed) > 1:
                listed.sort(key=_first)
                del listed[max_detections:]
            into = matched.setdefault(label, [])
            if label in true_by_label:
                match(true_by_label[label], listed, into)
            else:
                into += [(confidence, 0) for confidence, _ in listed]
    precisions: dict[str, tuple[float | None, ...]] = {}
    recalls: dict[str, tuple[float | None, ...]] = {}
    for label in sorted({*support, *matched}):
        pairs = sorted(matched.get(label, ()), key=_first)
        curves = [_curve(pairs, 1 << at, support[label]) for at in range(len(thresholds))]
        precisions[label] = tuple(average for average, _ in curves)
        recalls[label] = tuple(recall for _, recall in curves)
    return BoxMetrics(thresholds, precisions, recalls)


def check_iou_thresholds(iou_thresholds: object) -> tuple[float, ...]:
    """Check one IoU threshold or several, and return them."""
    if not is_collection(iou_thresholds):
        return (check_fraction("iou_thresholds", iou_thresholds),)
    expected = "one fraction from 0 to 1, or several"
    values = list(iou_thresholds)
    if not values:
        raise invalid("iou_thresholds", iou_thresholds, expected)
    return tuple(check_fraction(f"iou_thresholds[{at}]", value) for at, value in enumerate(values))


def iou(one: BoundingBox, other: BoundingBox) -> float:
    """Return the intersection over union of two boxes, 0 to 1; labels do not matter.

    Examples:
        >>> from rekolabels.images import BoundingBox
        >>> iou(BoundingBox("a", 0, 0, 10, 10), BoundingBox("a", 5, 0, 10, 10))
        0.333...
    """
    if type(one) is not BoundingBox or type(other) is not BoundingBox:
        name, value = ("other", other) if type(one) is BoundingBox else ("one", one)
        raise invalid(name, value, "a BoundingBox")
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (one.width * one.height + other.width * other.height - shared)


_first = itemgetter(0)


class _Matcher:
    """Match each prediction, most confident first, to the free true box with the highest IoU."""

    def __init__(self, iou_thresholds: tuple[float, ...]) -> None:
        self._thresholds = [min(threshold, _NEARLY_ONE) for threshold in iou_thresholds]
        self._lowest = min(self._thresholds)

    def __call__(
        self,
        boxes: list[_Edges],
        candidates: list[tuple[float, BoundingBox]],
        into: list[tuple[float, int]],
    ) -> None:
        """Append each prediction with a bit for each threshold at which it matches."""
        taken = [0] * len(self._thresholds)  # for each threshold, a bit for each true box
        lowest = self._lowest
        for confidence, box in candidates:
            left, top, width, height = box.left, box.top, box.width, box.height
            right, bottom, area = left + width, top + height, width * height
            near: list[tuple[float, int]] = []
            for at, (its_left, its_top, its_right, its_bottom, its_area) in enumerate(boxes):
                # comparisons instead of min() and max(): most of the time is spent here
                shared = (right if right < its_right else its_right) - (left if left > its_left else its_left)  # noqa: FURB136 - speed
                if shared <= 0:
                    continue
                high = (bottom if bottom < its_bottom else its_bottom) - (top if top > its_top else its_top)  # noqa: FURB136 - speed
                if high <= 0:
                    continue
                shared *= high
                overlap = shared / (area + its_area - shared)
                if overlap >= lowest:
                    near.append((overlap, 1 << at))
            into.append((confidence, self._choose(near, taken) if near else 0))

    def _choose(self, near: list[tuple[float, int]], taken: list[int]) -> int:
        matches = 0
        # ascending, read from the end: of equal overlaps the last box of the image, as in pycocotools
        near.sort()
        for number, threshold in enumerate(self._thresholds):
            for overlap, bit in reversed(near):
                if overlap < threshold:
                    break
                if not taken[number] & bit:
                    taken[number] |= bit
                    matches |= 1 << number
                    break
        return matches


def _curve(pairs: list[tuple[float, int]], bit: int, support: int) -> tuple[float | None, float | None]:
    """Return the average precision over 101 recalls, and the final recall."""
    if not support:
        return None, None
    precisions: list[float] = []
    found = 0
    for place, (_, matches) in enumerate(pairs, start=1):
        if matches & bit:
            found += 1
            precisions.append(found / place)
    for at in range(found - 2, -1, -1):
        precisions[at] = max(precisions[at], precisions[at + 1])
    reached = [(at + 1) / support for at in range(found)]
    total = 0.0
    for recall in _RECALLS:
        at = bisect_left(reached, recall)
        if at == found:
            break
        total += precisions[at]
    return total / len(_RECALLS), found / support
