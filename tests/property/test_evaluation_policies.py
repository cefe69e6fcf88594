"""Threshold policies keep their word on the images that they were chosen by, or raise.

Each example evaluates random predictions, chooses a policy by the files of the evaluation, applies it to all
predictions, and counts what it reports. The files do not list everything: those of detectors lack the false
positives below the assumed thresholds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeAlias

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from rekolabels.descriptions import Detection
from rekolabels.errors import GoalNotReached
from rekolabels.evaluation import (
    Counts,
    Evaluation,
    EvaluationResult,
    SnapshotImage,
    ThresholdPolicy,
    evaluate_classification,
    evaluate_detection,
    iou,
    write_testing_snapshot,
)
from rekolabels.images import BoundingBox, ImageSize

LABELS = ("cap", "watch")
NOW = datetime(2026, 1, 2, tzinfo=UTC)

Found: TypeAlias = tuple[str, float, bool]
"""Label and confidence of a prediction, and whether it is correct."""


@attrs.frozen
class Case:
    """A model on its test images: its predictions, and the result as the files have it."""

    predictions: Sequence[Found]
    support: Mapping[str, int]
    result: EvaluationResult
    known_from: Mapping[str, float]
    """Confidence by label from which the files list all predictions."""

    def counts(self, reported: Callable[[str, float], bool]) -> dict[str, Counts]:
        """Count the predictions that are reported, by label."""
        counted: dict[str, Counts] = {}
        for label in LABELS:
            kept = [
                true
                for one, confidence, true in self.predictions
                if one == label and reported(one, confidence)
            ]
            counted[label] = Counts(sum(kept), len(kept) - sum(kept), self.support[label] - sum(kept))
        return counted

    def under(self, policy: ThresholdPolicy) -> dict[str, Counts]:
        """Count what the policy reports."""
        return self.counts(lambda label, confidence: bool(policy.apply([Detection(label, 100 * confidence)])))

    def known(self, label: str) -> list[Counts]:
        """Return the counts of a label at each threshold from which the files list everything."""
        found = {at for one, at, _ in self.predictions if one == label and at >= self.known_from[label]}
        return [self.counts(partial(_reaches, threshold))[label] for threshold in sorted(found)]


def _reaches(threshold: float, _label: str, confidence: float) -> bool:
    return confidence >= threshold


# Few confidences on purpose: ties are error-prone. The others are as fine as single precision.
confidences = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]) | st.integers(0, 10**6).map(
    lambda n: n / 10**6
)
sources = st.sampled_from(["summary", "snapshot", "at"])
goals = st.sampled_from([0.1, 0.3, 0.5, 0.6, 0.75, 0.9, 1.0]) | st.floats(0, 1)
objects = st.tuples(st.sampled_from(LABELS), st.integers(0, 3))
scenes = st.lists(
    st.tuples(
        st.lists(objects, max_size=4),
        st.lists(st.tuples(objects, st.sampled_from([0, 1, 3, 9]), confidences.filter(bool)), max_size=8),
    ),
    min_size=1,
    max_size=8,
)
scored = st.lists(
    st.tuples(st.sets(st.sampled_from(LABELS)), st.tuples(confidences, confidences)), min_size=1, max_size=20
)


def box(label: str, place: int, shift: int = 0) -> BoundingBox:
    """Return a box with sides of 10 pixels; boxes in different places do not touch."""
    return BoundingBox(label, 30 * place + shift, 0, 10, 10)


@st.composite
def detectors(draw: st.DrawFn) -> Case:
    """Random boxes, some of which match."""
    drawn = draw(scenes)
    truths = [[box(*one) for one in true] for true, _ in drawn]
    found = [[(box(*at, shift), confidence) for at, shift, confidence in boxes] for _, boxes in drawn]
    images = [
        SnapshotImage(f"s3://b/{number}.jpg", boxes=boxes, size=ImageSize(200, 20))
        for number, boxes in enumerate(truths)
    ]
    predictions = [one for boxes, true in zip(found, truths, strict=True) for one in matched(true, boxes)]
    support = {label: sum(one.label == label for boxes in truths for one in boxes) for label in LABELS}
    evaluation = evaluate_detection(truths, found, LABELS)
    return make_case(draw(sources), evaluation, images, predictions, support, complete=set())


def matched(true_boxes: list[BoundingBox], found: list[tuple[BoundingBox, float]]) -> list[Found]:
    """Match boxes greedily: the most confident prediction takes the free true box that it covers best."""
    free, judged = list(true_boxes), list[Found]()
    for predicted, confidence in sorted(found, key=lambda pair: -pair[1]):
        near = [one for one in free if one.label == predicted.label and iou(one, predicted) >= 0.5]
        if near:
            free.remove(max(near, key=lambda one: iou(one, predicted)))
        judged.append((predicted.label, confidence, bool(near)))
    return judged


@st.composite
def classifiers(draw: st.DrawFn) -> Case:
    """Random confidences; the snapshot lists all of them, or only the mistakes and what counts."""
    drawn, complete = draw(scored), set(LABELS)
    evaluation = evaluate_classification(
        [true for true, _ in drawn],
        [dict(zip(LABELS, found, strict=True)) for _, found in drawn],
        LABELS,
    )
    if draw(st.booleans()):
        rejected = [
            one for verdicts in evaluation.verdicts for one in verdicts if one.kind == "true negative"
        ]
        complete -= {verdict.label for verdict in rejected}
        listed = [tuple(one for one in verdicts if one not in rejected) for verdicts in evaluation.verdicts]
        evaluation = attrs.evolve(evaluation, verdicts=tuple(listed))
    predictions = [
        (label, confidence, label in true)
        for true, found in drawn
        for label, confidence in zip(LABELS, found, strict=True)
    ]
    images = [SnapshotImage(f"s3://b/{number}.jpg", true) for number, (true, _) in enumerate(drawn)]
    support = {label: sum(label in true for true, _ in drawn) for label in LABELS}
    return make_case(draw(sources), evaluation, images, predictions, support, complete=complete)


def make_case(
    source: str,
    evaluation: Evaluation,
    images: list[SnapshotImage],
    predictions: list[Found],
    support: Mapping[str, int],
    *,
    complete: set[str],
) -> Case:
    """Read the result from its files, in one of three ways."""
    lines = tuple(write_testing_snapshot(images, evaluation.verdicts, NOW))
    summary = json.loads(json.dumps(evaluation.result.to_summary()))
    if source == "snapshot":
        result = EvaluationResult.from_snapshot(lines)
    else:
        result = EvaluationResult.from_summary(summary, snapshot=lines)
    if source == "at":
        result = result.at(0.2)
    assumed = {label: metrics.threshold for label, metrics in evaluation.result.labels.items()}
    known_from: dict[str, float] = {}
    for label in LABELS:
        threshold = assumed[label]
        counted = [
            at for one, at, _ in predictions if one == label and threshold is not None and at >= threshold
        ]
        known_from[label] = 0.0 if label in complete else min(counted, default=2.0)
    return Case(predictions, support, result, known_from)


models = st.one_of(detectors(), classifiers())


def choose(
    make: Callable[..., ThresholdPolicy], model: Case, goal: float
) -> tuple[ThresholdPolicy, Mapping[str, float | None]]:
    """Choose a policy, without the labels that cannot reach the goal; return what these reach, too."""
    try:
        return make(model.result, goal), {}
    except GoalNotReached as error:
        return make(model.result, goal, never_report=error.reachable), error.reachable


@settings(max_examples=200)
@given(models, goals)
def test_precision_at_least_keeps_its_word(model: Case, goal: float) -> None:
    """Each label that is reported has it; if not all can, the error says what they reach."""
    policy, unreached = choose(ThresholdPolicy.precision_at_least, model, goal)

    for label, reachable in unreached.items():
        known = [one.precision for one in model.known(label) if one.precision is not None]
        assert reachable == max(known, default=None)
        assert reachable is None or reachable < goal
    for label, counts in model.under(policy).items():
        assert counts.precision is None or counts.precision >= goal
        better = [one.recall or 0 for one in model.known(label) if (one.precision or 0) >= goal]
        if label in policy.labels and model.support[label]:
            assert (counts.recall or 0) == max(better, default=0)
            chosen = policy.labels[label]
            assert (chosen.precision, chosen.recall) == (counts.precision, counts.recall)


@settings(max_examples=200)
@given(models, goals)
def test_recall_at_least_keeps_its_word(model: Case, goal: float) -> None:
    """Each label is found often enough; if not all can be, the error says what they reach."""
    policy, unreached = choose(ThresholdPolicy.recall_at_least, model, goal)

    every = model.counts(lambda *_: True)
    assert {label: every[label].recall for label in unreached} == unreached
    assert all(reachable is not None and reachable < goal for reachable in unreached.values())
    for label, counts in model.under(policy).items():
        if label not in unreached and counts.recall is not None:
            assert counts.recall >= goal
            assert policy.labels[label].recall == counts.recall


@settings(max_examples=200)
@given(models)
def test_best_f1_keeps_its_word(model: Case) -> None:
    """No threshold at which the files list everything has a better F1."""
    for label, counts in model.under(ThresholdPolicy.best_f1(model.result)).items():
        if model.support[label]:
            assert (counts.f1 or 0) >= max((one.f1 or 0 for one in model.known(label)), default=0)


@settings(max_examples=200)
@given(models, st.integers(0, 5), st.integers(0, 5))
def test_least_cost_keeps_its_word(model: Case, false_alarm: int, miss: int) -> None:
    """No threshold at which the files list everything costs less, and neither does reporting nothing."""

    def cost(counts: Counts) -> int:
        return false_alarm * counts.false_positives + miss * counts.false_negatives

    policy = ThresholdPolicy.least_cost(model.result, false_alarm=false_alarm, miss=miss)

    for label, counts in model.under(policy).items():
        silent = Counts(0, 0, model.support[label])
        assert cost(counts) == min(map(cost, [silent, *model.known(label)]))
