"""From the boxes that a detector finds on test images to its evaluation.

The service publishes neither how it matches boxes nor how it averages; this is the usual way of both, and the
figures, the verdicts and the snapshot come from one and the same matching.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from rekolabels.evaluation._confusion import overlap
from rekolabels.evaluation._evaluate import Evaluation, Verdict, VerdictKind, judge
from rekolabels.evaluation._metrics import ScoredLabel, mean_defined
from rekolabels.evaluation._result import EvaluationResult
from rekolabels.evaluation._values import LabelMetrics, by_f1
from rekolabels.images import BoundingBox

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

__all__ = ["evaluate_detection"]


@attrs.frozen
class _Match:
    """One prediction or one missed object, before a threshold is known."""

    box: BoundingBox
    confidence: float
    there: bool
    predicted: bool = True


def evaluate_detection(
    truths: Sequence[Iterable[BoundingBox]],
    predictions: Sequence[Iterable[tuple[BoundingBox, float]]],
    labels: Iterable[str],
    *,
    minimum_overlap: float = 0.5,
    training_images: int | None = None,
    evaluated_at: datetime | None = None,
    project_version_arn: str | None = None,
) -> Evaluation:
    """Evaluate a detector.

    In each image, the predicted boxes of a label choose in turn, the most confident first: each takes the
    true box of that label that it overlaps most, of those that are still free and that it overlaps enough.
    The assumed threshold is the one with the best F1 over the boxes. Average precision is COCO's (101
    recalls) at one overlap; average recall is the recall when predictions of any confidence count. mAP, mAR
    and the other aggregated figures are means over the labels that the test images have.

    The verdicts of an image are those of the service's snapshot: every prediction from the threshold on, and
    a false negative for each missed object, with the box and the low confidence of the prediction that met
    it, or, where none did, with its own box and 0.

    Args:
        truths: For each test image, its true boxes in pixels; labels unknown to the model are left out.
        predictions: For each test image, boxes in pixels with their confidences, 0 to 1, unthresholded.
        labels: The labels that the model knows.
        minimum_overlap: Intersection over union from which a prediction meets a true box, 0 to 1.
        training_images: For the summary: how many images the model was trained with.
        evaluated_at: For the summary: when, UTC if it does not say.
        project_version_arn: For the summary: which model version.

    Examples:
        >>> truth = BoundingBox("cap", left=10, top=10, width=20, height=20)
        >>> near = BoundingBox("cap", left=11, top=10, width=20, height=20)
        >>> far = BoundingBox("cap", left=80, top=80, width=20, height=20)
        >>> evaluation = evaluate_detection([[truth]], [[(near, 0.9), (far, 0.2)]], ["cap"])
        >>> evaluation.result.f1, evaluation.result.mean_average_precision
        (1.0, 1.0)
        >>> [verdict.kind for verdict in evaluation.verdicts[0]]
        ['true positive']
    """
    known = sorted(set(labels))
    if len(truths) != len(predictions):
        raise ValueError(f"{len(truths)} truths, but {len(predictions)} predictions: give one for each image")
    images: list[list[_Match]] = []
    present: dict[str, int] = dict.fromkeys(known, 0)
    for true, found in zip(truths, predictions, strict=True):
        boxes, candidates = list(true), list(found)
        matches: list[_Match] = []
        for label in known:
            wanted = [box for box in boxes if box.label == label]
            present[label] += bool(wanted)
            matches += _match(
                wanted, [pair for pair in candidates if pair[0].label == label], minimum_overlap
            )
        images.append(matches)
    metrics: dict[str, LabelMetrics] = {}
    precisions: list[float | None] = []
    recalls: list[float | None] = []
    for label in known:
        scored = _scored(match for matches in images for match in matches if match.box.label == label)
        metrics[label] = judge(scored, present[label])
        precisions.append(scored.coco_average_precision())
        recalls.append(scored.recall_at_any_confidence())
    result = EvaluationResult(
        f1=mean_defined(found.f1 for found in metrics.values()),
        precision=mean_defined(found.precision for found in metrics.values()),
        recall=mean_defined(found.recall for found in metrics.values()),
        labels=by_f1(metrics.items()),
        mean_average_precision=mean_defined(precisions),
        mean_average_recall=mean_defined(recalls),
        training_images=training_images,
        test_images=len(truths),
        evaluated_at=evaluated_at,
        project_version_arn=project_version_arn,
    )
    return Evaluation(result, tuple(_verdicts(matches, metrics) for matches in images))


def _match(
    wanted: list[BoundingBox], candidates: list[tuple[BoundingBox, float]], minimum: float
) -> list[_Match]:
    free = list(wanted)
    matches: list[_Match] = []
    for box, confidence in sorted(candidates, key=lambda pair: -pair[1]):
        overlaps = [overlap(true, box) for true in free]
        best = max(overlaps, default=0.0)
        met = bool(free) and best >= minimum
        if met:
            # of equal ones the last, as COCO's tools take it
            del free[len(overlaps) - 1 - overlaps[::-1].index(best)]
        matches.append(_Match(box, confidence, met))
    return matches + [_Match(box, 0.0, there=True, predicted=False) for box in free]


def _scored(matches: Iterable[_Match]) -> ScoredLabel:
    right: list[float] = []
    wrong: list[float] = []
    unfound = 0
    for match in matches:
        if not match.predicted:
            unfound += 1
        else:
            (right if match.there else wrong).append(match.confidence)
    return ScoredLabel(right, wrong, unfound)


def _verdicts(matches: Iterable[_Match], metrics: dict[str, LabelMetrics]) -> tuple[Verdict, ...]:
    verdicts: list[Verdict] = []
    for match in matches:
        threshold = metrics[match.box.label].threshold
        counted = match.predicted and threshold is not None and match.confidence >= threshold
        if counted:
            kind: VerdictKind = "true positive" if match.there else "false positive"
            verdicts.append(Verdict(match.box.label, match.confidence, kind, match.box))
        elif match.there:
            verdicts.append(Verdict(match.box.label, match.confidence, "false negative", match.box))
    return tuple(sorted(verdicts, key=lambda verdict: -verdict.confidence))
