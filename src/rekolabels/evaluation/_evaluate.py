"""From what a model says about test images to its evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

from rekolabels.evaluation._confusion import TopConfusion
from rekolabels.evaluation._metrics import ScoredLabel, mean_defined, score_classification
from rekolabels.evaluation._result import EvaluationResult
from rekolabels.evaluation._values import ConfusionMatrix, LabelMetrics, by_f1
from rekolabels.images import BoundingBox

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

__all__ = ["Evaluation", "Verdict", "VerdictKind", "evaluate_classification"]

VerdictKind = Literal["true positive", "false positive", "false negative", "true negative"]
"""How a prediction compares with the truth at the label's assumed threshold."""


@attrs.frozen
class Verdict:
    """One prediction for one test image, judged at the label's assumed threshold."""

    label: str
    """The label that it speaks of."""
    confidence: float
    """0 to 1."""
    kind: VerdictKind
    """How it compares with the truth."""
    box: BoundingBox | None = None
    """Where, in pixels; None for an image-level label."""

    @property
    def in_ground_truth(self) -> bool:
        """Whether the label, or the box, is really there, whatever the confidence."""
        return self.kind in {"true positive", "false negative"}


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
        label: judge(scored, scored.support)
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


def judge(scored: ScoredLabel, test_images: int) -> LabelMetrics:
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
