"""From what a model says about test images to its evaluation.

The service publishes neither how it matches boxes nor how it averages; this is the usual way of both, and the
figures, the verdicts and the snapshot come from one and the same matching.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from rekolabels.evaluation._box_metrics import iou
from rekolabels.evaluation._confusion import TopConfusion
from rekolabels.evaluation._metrics import ScoredLabel, mean_defined, score_classification
from rekolabels.evaluation._result import EvaluationResult
from rekolabels.evaluation._values import ConfusionMatrix, LabelMetrics, Verdict, VerdictKind, by_f1
from rekolabels.images import BoundingBox

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

__all__ = ["Evaluation", "evaluate_classification", "evaluate_detection"]


@attrs.frozen
class Evaluation:
    """An evaluation, and the single verdicts that it was made of."""

    result: EvaluationResult
    """The figures."""
    verdicts: tuple[tuple[Verdict, ...], ...]
    """For each test image, in order; the most confident first."""


def evaluate_classification(
    truths: Sequence[Iterable[str]],
    predictions: Sequence[Mapping[str, float]],
    labels: Iterable[str],
    *,
    training_images: int | None = None,
    evaluated_at: datetime | None = None,
    project_version_arn: str | None = None,
) -> Evaluation:
    """Evaluate a classifier, single-label or multi-label.

    The assumed threshold of each label is the one with the best F1 on these images, as the service chooses it
    (see :meth:`ScoredLabel.best_threshold`). A label that no test image has gets no threshold, and its
    metrics are undefined; the aggregated metrics are the means of those that are defined.

    The confusion matrix compares each image's true labels with as many of the most confident labels: with one
    true label, that is the usual count of the most confident one; with more, each label that was missed is
    shared out among those that stand in its place. Each row adds up to 1.

    Args:
        truths: For each test image, its true labels; labels that the model does not know are left out.
        predictions: For each test image, the confidence of each label, 0 to 1; a missing label counts as 0.
        labels: The labels that the model knows.
        training_images: For the summary: how many images the model was trained with.
        evaluated_at: For the summary: when, UTC if it does not say.
        project_version_arn: For the summary: which model version.

    Examples:
        >>> evaluation = evaluate_classification(
        ...     truths=[["cat"], ["dog"], ["dog"]],
        ...     predictions=[{"cat": 0.9, "dog": 0.1}, {"cat": 0.2, "dog": 0.8}, {"cat": 0.6, "dog": 0.4}],
        ...     labels=["cat", "dog"],
        ... )
        >>> evaluation.result.f1, evaluation.result.labels["dog"].threshold
        (1.0, 0.25)
        >>> evaluation.result.confusion_matrix.rows()
        ((1.0, 0.0), (0.5, 0.5))
        >>> [verdict.kind for verdict in evaluation.verdicts[0]]
        ['true positive', 'true negative']
    """
    known = tuple(sorted(set(labels)))
    wanted = [frozenset(truth).intersection(known) for truth in truths]
    if len(wanted) != len(predictions):
        raise ValueError(f"{len(wanted)} truths, but {len(predictions)} predictions: give one for each image")
    metrics = {
        label: _judge(scored, scored.support)
        for label, scored in score_classification(wanted, predictions, known).items()
    }
    result = EvaluationResult(
        f1=mean_defined(found.f1 for found in metrics.values()),
        precision=mean_defined(found.precision for found in metrics.values()),
        recall=mean_defined(found.recall for found in metrics.values()),
        labels=by_f1(metrics.items()),
        confusion_matrix=_confusion_matrix(wanted, predictions, known),
        training_images=training_images,
        test_images=len(wanted),
        evaluated_at=evaluated_at,
        project_version_arn=project_version_arn,
    )
    verdicts = tuple(
        _judge_image(true, scores, metrics) for true, scores in zip(wanted, predictions, strict=True)
    )
    return Evaluation(result, verdicts)


def _judge(scored: ScoredLabel, test_images: int) -> LabelMetrics:
    """Choose a label's threshold and count at it."""
    threshold = scored.best_threshold()
    counts = scored.counts(threshold)
    return LabelMetrics(counts.f1, counts.precision, counts.recall, threshold, test_images)


def _judge_image(
    true: frozenset[str], scores: Mapping[str, float], metrics: Mapping[str, LabelMetrics]
) -> tuple[Verdict, ...]:
    verdicts: list[Verdict] = []
    for label, found in metrics.items():
        confidence = scores.get(label, 0.0)
        counted = found.threshold is not None and confidence >= found.threshold
        verdicts.append(Verdict(label, confidence, _kind(counted=counted, there=label in true)))
    return tuple(sorted(verdicts, key=lambda verdict: -verdict.confidence))


def _kind(*, counted: bool, there: bool) -> VerdictKind:
    if counted:
        return "true positive" if there else "false positive"
    return "false negative" if there else "true negative"


def _confusion_matrix(
    truths: Sequence[frozenset[str]], predictions: Sequence[Mapping[str, float]], labels: tuple[str, ...]
) -> ConfusionMatrix:
    confusion = TopConfusion()
    for true, scores in zip(truths, predictions, strict=True):
        ranked = sorted((-scores.get(label, 0.0), label) for label in labels)
        confusion.add(true, [label for _, label in ranked])
    return confusion.matrix(labels)


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
    iou_threshold: float = 0.5,
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
        iou_threshold: Intersection over union from which a prediction meets a true box, 0 to 1.
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
            matches += _match(wanted, [pair for pair in candidates if pair[0].label == label], iou_threshold)
        images.append(matches)
    metrics: dict[str, LabelMetrics] = {}
    precisions: list[float | None] = []
    recalls: list[float | None] = []
    for label in known:
        scored = _scored(match for matches in images for match in matches if match.box.label == label)
        metrics[label] = _judge(scored, present[label])
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
        overlaps = [iou(true, box) for true in free]
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
    undetected = 0
    for match in matches:
        if not match.predicted:
            undetected += 1
        else:
            (right if match.there else wrong).append(match.confidence)
    return ScoredLabel(right, wrong, undetected)


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
