"""Average precision and recall of boxes as COCO computes them, at one overlap or many."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from operator import itemgetter
from typing import TYPE_CHECKING

import attrs

from rekolabels.evaluation._metrics import mean_defined

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rekolabels.images import BoundingBox

__all__ = ["COCO_IOU_THRESHOLDS", "BoxMetrics", "score_boxes"]

_STEP = (0.95 - 0.5) / 9
COCO_IOU_THRESHOLDS = (*(0.5 + at * _STEP for at in range(9)), 0.95)
"""The overlaps that COCO averages over: 0.50, 0.55 … 0.95, as pycocotools has them to the last digit."""
_NEARLY_ALL = 1 - 1e-10
"""An overlap of 1 is out of reach of rounding; pycocotools asks for this much instead."""
_RECALLS = tuple(at * 0.01 for at in range(101))

# a true box or a candidate: left, top, right, bottom, area
_Edges = tuple[float, float, float, float, float]


@attrs.frozen
class BoxMetrics:
    """Average precision and recall of each label, at each overlap."""

    iou_thresholds: tuple[float, ...]
    """Intersection over union from which a prediction meets a true box."""
    average_precision: Mapping[str, tuple[float | None, ...]] = attrs.field(hash=False)
    """By label, one for each overlap, 0 to 1; None for a label that no image has."""
    recall: Mapping[str, tuple[float | None, ...]] = attrs.field(hash=False)
    """The recall when predictions of any confidence count, in the same form."""

    @property
    def mean_average_precision(self) -> float | None:
        """MAP: the mean over labels and overlaps; with ``COCO_IOU_THRESHOLDS`` it is COCO's AP."""
        return mean_defined(value for values in self.average_precision.values() for value in values)

    @property
    def mean_average_recall(self) -> float | None:
        """MAR: the mean over labels and overlaps; with ``COCO_IOU_THRESHOLDS`` it is COCO's AR."""
        return mean_defined(value for values in self.recall.values() for value in values)


def score_boxes(
    truths: Iterable[Iterable[BoundingBox]],
    predictions: Iterable[Iterable[tuple[BoundingBox, float]]],
    *,
    iou_thresholds: float | Sequence[float] = COCO_IOU_THRESHOLDS,
    max_detections: int = 100,
) -> BoxMetrics:
    """Score a detector's boxes as pycocotools does (``iouType="bbox"``, all areas, no crowds).

    Args:
        truths: For each image its true boxes.
        predictions: For each image, in the same order, boxes with their confidences.
        iou_thresholds: One overlap or several, 0 to 1.
        max_detections: For each image and label, only so many predictions count, the most confident ones.

    Examples:
        >>> from rekolabels.images import BoundingBox
        >>> truth = BoundingBox("cap", 0, 0, 10, 10)
        >>> near = BoundingBox("cap", 0, 0, 10, 8)
        >>> scores = score_boxes([[truth]], [[(near, 0.9)]])
        >>> scores.average_precision["cap"][0], scores.mean_average_precision
        (1.0, 0.7)
    """
    wanted = (iou_thresholds,) if isinstance(iou_thresholds, (int, float)) else tuple(iou_thresholds)
    support: Counter[str] = Counter()
    # by label, for each candidate: minus its confidence, and the overlaps (by number) at which it is right
    judged: dict[str, list[tuple[float, int]]] = {}
    match = _Matcher(wanted)
    for true, found in zip(truths, predictions, strict=True):
        there: dict[str, list[_Edges]] = {}
        for box in true:
            left, top, width, height = box.left, box.top, box.width, box.height
            edges = (left, top, left + width, top + height, width * height)
            there.setdefault(box.label, []).append(edges)
        for label, boxes in there.items():
            support[label] += len(boxes)
        candidates: dict[str, list[tuple[float, BoundingBox]]] = {}
        for box, confidence in found:
            candidates.setdefault(box.label, []).append((-confidence, box))
        for label, listed in candidates.items():
            if len(listed) > 1:
                listed.sort(key=_first)
                del listed[max_detections:]
            into = judged.setdefault(label, [])
            if label in there:
                match(there[label], listed, into)
            else:
                into += [(confidence, 0) for confidence, _ in listed]
    precisions: dict[str, tuple[float | None, ...]] = {}
    recalls: dict[str, tuple[float | None, ...]] = {}
    for label in sorted({*support, *judged}):
        pairs = sorted(judged.get(label, ()), key=_first)
        curves = [_curve(pairs, 1 << at, support[label]) for at in range(len(wanted))]
        precisions[label] = tuple(average for average, _ in curves)
        recalls[label] = tuple(recall for _, recall in curves)
    return BoxMetrics(wanted, precisions, recalls)


_first = itemgetter(0)


class _Matcher:
    """Gives each candidate, the most confident first, the free true box that it overlaps most."""

    def __init__(self, iou_thresholds: tuple[float, ...]) -> None:
        self._least = [min(overlap, _NEARLY_ALL) for overlap in iou_thresholds]
        self._lowest = min(self._least)

    def __call__(
        self,
        boxes: list[_Edges],
        candidates: list[tuple[float, BoundingBox]],
        into: list[tuple[float, int]],
    ) -> None:
        """Append each candidate with a bit for each overlap at which it is right."""
        taken = [0] * len(self._least)  # for each overlap, a bit for each true box
        lowest = self._lowest
        for confidence, box in candidates:
            left, top, width, height = box.left, box.top, box.width, box.height
            right, bottom, area = left + width, top + height, width * height
            near: list[tuple[float, int]] = []
            for at, (its_left, its_top, its_right, its_bottom, its_area) in enumerate(boxes):
                # comparisons rather than calls of min and max: this is where the time goes
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
        right = 0
        # the best one last; of equal ones the last in the image, as pycocotools takes it
        near.sort()
        for number, least in enumerate(self._least):
            for overlap, bit in reversed(near):
                if overlap < least:
                    break
                if not taken[number] & bit:
                    taken[number] |= bit
                    right |= 1 << number
                    break
        return right


def _curve(pairs: list[tuple[float, int]], bit: int, support: int) -> tuple[float | None, float | None]:
    """Average precision over 101 recalls, and the last recall."""
    if not support:
        return None, None
    precisions: list[float] = []
    found = 0
    for place, (_, right) in enumerate(pairs, start=1):
        if right & bit:
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


def iou(one: BoundingBox, other: BoundingBox) -> float:
    """Intersection over union of two boxes, 0 to 1; labels do not matter.

    Examples:
        >>> from rekolabels.images import BoundingBox
        >>> iou(BoundingBox("a", 0, 0, 10, 10), BoundingBox("a", 5, 0, 10, 10))
        0.333...
    """
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (one.width * one.height + other.width * other.height - shared)
