"""Evaluation of predictions on test images.

The service publishes neither how it matches boxes nor how it averages. The usual definitions of both are
used, and the metrics, the verdicts and the snapshot come from the same matching.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from rekolabels._arguments import check_fraction
from rekolabels._display import counted
from rekolabels.evaluation._box_metrics import iou
from rekolabels.evaluation._confusion import TopConfusion
from rekolabels.evaluation._inputs import (
    check_boxes,
    check_candidates,
    check_labels,
    check_per_image,
    check_scores,
    check_truths,
)
from rekolabels.evaluation._metrics import ScoredLabel, mean_defined, score_labels
from rekolabels.evaluation._result import EvaluationResult
from rekolabels.evaluation._values import LabelMetrics, Verdict, VerdictKind, by_f1
from rekolabels.images import BoundingBox

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

__all__ = ["Evaluation", "evaluate_classification", "evaluate_detection"]


@attrs.frozen
class Evaluation:
    """An evaluation result and the verdicts behind it."""

    result: EvaluationResult
    """The metrics."""
    verdicts: tuple[tuple[Verdict, ...], ...] = attrs.field(repr=counted("images"))
    """Verdicts of each test image, in the order of the images; the most confident first."""


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
    (see :meth:`ScoredLabel.best_threshold`). A label without test images has no threshold, and its metrics
    are undefined; the aggregated metrics are the means of the defined ones.

    The confusion matrix compares each image's true labels with the same number of most confident labels. With
    one true label per image, this is the usual top-1 confusion matrix. With more, a missed label is divided
    equally among the labels predicted instead. Each row adds up to 1.

    Args:
        truths: The true labels of each test image; labels that the model does not know are ignored.
        predictions: The confidence of each label for each test image, 0 to 1; a missing label counts as 0.
        labels: The labels that the model knows.
        training_images: Number of training images, for the summary.
        evaluated_at: Time of the evaluation, for the summary; a naive time is UTC.
        project_version_arn: ARN of the model version, for the summary.

    Raises:
        InvalidInput: An argument is not valid, or there are not as many predictions as truths.

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
    truths, predictions = check_per_image(truths, predictions)
    known = tuple(sorted(set(check_labels(labels, len(truths)))))
    check_scores(predictions)
    true_labels = [truth.intersection(known) for truth in check_truths(truths)]
    metrics = {
        label: _metrics_of(scored, scored.support)
        for label, scored in score_labels(true_labels, predictions, known).items()
    }
    confusion = TopConfusion()
    for true, scores in zip(true_labels, predictions, strict=True):
        ranked = sorted((-scores.get(label, 0.0), label) for label in known)
        confusion.add(true, [label for _, label in ranked])
    result = EvaluationResult(
        f1=mean_defined(metric.f1 for metric in metrics.values()),
        precision=mean_defined(metric.precision for metric in metrics.values()),
        recall=mean_defined(metric.recall for metric in metrics.values()),
        labels=by_f1(metrics.items()),
        confusion_matrix=confusion.matrix(known),
        training_images=training_images,
        test_images=len(true_labels),
        evaluated_at=evaluated_at,
        project_version_arn=project_version_arn,
    )
    verdicts = tuple(
        _label_verdicts(true, scores, metrics) for true, scores in zip(true_labels, predictions, strict=True)
    )
    return Evaluation(result, verdicts)


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

    The predicted boxes of a label are matched in descending order of confidence: each takes the free true box
    of that label with the highest IoU, if it reaches ``iou_threshold``. The assumed threshold is the one with
    the best F1 over the boxes. Average precision is COCO's (101 recalls) at one IoU threshold; average recall
    is the recall if predictions of any confidence count. mAP, mAR and the other aggregated metrics are means
    over the labels that occur in the test images.

    The verdicts are those of the service's snapshot: every prediction from the threshold on, and a false
    negative for each missed object, with the box and the low confidence of its matching prediction or, where
    none matches, with its own box and confidence 0.

    Args:
        truths: The true boxes of each test image, in pixels; labels that the model does not know are ignored.
        predictions: The predicted boxes of each test image, in pixels, with their confidences, 0 to 1.
            Include those of low confidence.
        labels: The labels that the model knows.
        iou_threshold: Intersection over union from which a predicted box matches a true one, 0 to 1.
        training_images: Number of training images, for the summary.
        evaluated_at: Time of the evaluation, for the summary; a naive time is UTC.
        project_version_arn: ARN of the model version, for the summary.

    Raises:
        InvalidInput: An argument is not valid, or there are not as many predictions as truths.

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
    truths, predictions = check_per_image(truths, predictions)
    known = sorted(set(check_labels(labels, len(truths))))
    iou_threshold = check_fraction("iou_threshold", iou_threshold)
    images: list[list[_Match]] = []
    images_with: dict[str, int] = dict.fromkeys(known, 0)
    for boxes, candidates in zip(check_boxes(truths), check_candidates(predictions), strict=True):
        matches: list[_Match] = []
        for label in known:
            true_boxes = [box for box in boxes if box.label == label]
            images_with[label] += bool(true_boxes)
            matches += _match(
                true_boxes, [pair for pair in candidates if pair[0].label == label], iou_threshold
            )
        images.append(matches)
    metrics: dict[str, LabelMetrics] = {}
    precisions: list[float | None] = []
    recalls: list[float | None] = []
    for label in known:
        scored = _scored(match for matches in images for match in matches if match.box.label == label)
        metrics[label] = _metrics_of(scored, images_with[label])
        precisions.append(scored.coco_average_precision())
        recalls.append(scored.recall_at_any_confidence())
    result = EvaluationResult(
        f1=mean_defined(metric.f1 for metric in metrics.values()),
        precision=mean_defined(metric.precision for metric in metrics.values()),
        recall=mean_defined(metric.recall for metric in metrics.values()),
        labels=by_f1(metrics.items()),
        mean_average_precision=mean_defined(precisions),
        mean_average_recall=mean_defined(recalls),
        training_images=training_images,
        test_images=len(truths),
        evaluated_at=evaluated_at,
        project_version_arn=project_version_arn,
    )
    return Evaluation(result, tuple(_box_verdicts(matches, metrics) for matches in images))


def _metrics_of(scored: ScoredLabel, test_images: int) -> LabelMetrics:
    """Choose a label's threshold and compute its metrics there."""
    threshold = scored.best_threshold()
    counts = scored.counts(threshold)
    return LabelMetrics(counts.f1, counts.precision, counts.recall, threshold, test_images)


def _label_verdicts(
    true: frozenset[str], scores: Mapping[str, float], metrics: Mapping[str, LabelMetrics]
) -> tuple[Verdict, ...]:
    verdicts: list[Verdict] = []
    for label, metric in metrics.items():
        confidence = scores.get(label, 0.0)
        predicted = metric.threshold is not None and confidence >= metric.threshold
        verdicts.append(Verdict(label, confidence, _kind(predicted=predicted, true=label in true)))
    return tuple(sorted(verdicts, key=lambda verdict: -verdict.confidence))


def _kind(*, predicted: bool, true: bool) -> VerdictKind:
    if predicted:
        return "true positive" if true else "false positive"
    return "false negative" if true else "true negative"


@attrs.frozen
class _Match:
    """A prediction or a missed object, before a threshold is known."""

    box: BoundingBox
    confidence: float
    true: bool
    """Whether the box matches an object of the ground truth."""
    predicted: bool = True


def _match(
    true_boxes: list[BoundingBox], candidates: list[tuple[BoundingBox, float]], iou_threshold: float
) -> list[_Match]:
    free = list(true_boxes)
    matches: list[_Match] = []
    for box, confidence in sorted(candidates, key=lambda pair: -pair[1]):
        overlaps = [iou(true, box) for true in free]
        best = max(overlaps, default=0.0)
        matched = bool(free) and best >= iou_threshold
        if matched:
            # of equal overlaps the last box, as in COCO's tools
            del free[len(overlaps) - 1 - overlaps[::-1].index(best)]
        matches.append(_Match(box, confidence, matched))
    return matches + [_Match(box, 0.0, true=True, predicted=False) for box in free]


def _scored(matches: Iterable[_Match]) -> ScoredLabel:
    positives: list[float] = []
    negatives: list[float] = []
    undetected = 0
    for match in matches:
        if not match.predicted:
            undetected += 1
        else:
            (positives if match.true else negatives).append(match.confidence)
    return ScoredLabel(positives, negatives, undetected)


def _box_verdicts(matches: Iterable[_Match], metrics: dict[str, LabelMetrics]) -> tuple[Verdict, ...]:
    verdicts: list[Verdict] = []
    for match in matches:
        threshold = metrics[match.box.label].threshold
        if match.predicted and threshold is not None and match.confidence >= threshold:
            kind = _kind(predicted=True, true=match.true)
            verdicts.append(Verdict(match.box.label, match.confidence, kind, match.box))
        elif match.true:
            verdicts.append(Verdict(match.box.label, match.confidence, "false negative", match.box))
    return tuple(sorted(verdicts, key=lambda verdict: -verdict.confidence))
