"""Threshold policies keep their word on photographs, counted by what a running model detects."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from rekolabels import RetryPolicy
from rekolabels.errors import GoalNotReached
from rekolabels.evaluation import Counts, ThresholdPolicy, iou
from rekolabels.formats import read_folder, read_voc
from rekolabels.inference import in_pixels
from rekolabels.local import LocalService

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from rekolabels import Detection, LabelledImage
    from rekolabels.evaluation import EvaluatedImage, EvaluationResult
    from rekolabels.images import BoundingBox

pytest.importorskip("sklearn", reason="the extra 'local' is not installed")

QUICK = RetryPolicy(first_poll=0.05, max_poll=0.5)
GOALS = (0.5, 0.7, 0.8, 0.9, 0.95)


def read(folder: Path) -> Iterable[LabelledImage]:
    """Read one of the sets."""
    if (folder / "annotations").is_dir():
        return read_voc(folder / "annotations", images=folder / "images")
    return read_folder(folder)


@pytest.mark.parametrize("name", ["clothing-300", "playing-cards-120", "blood-cells-120"])
def test_policies_keep_their_word(name: str, data: Path, tmp_path: Path) -> None:
    """Goals are reached on the test images that the policy was chosen by, or the error names what is."""
    with LocalService(tmp_path / "workspace") as service:
        project = service.client(bucket="words", retry=QUICK).create_project("words")
        project.create_datasets(read(data / name), test=0.2, seed=1)
        model = project.train("v1")
        model.wait_until_trained()
        result = model.evaluation()
        images = list(result.images)
        sources = [image.source for image in images]
        best = ThresholdPolicy.best_f1(result)
        with model.running() as running:
            found = [outcome.detections for outcome in running.detect_many(sources, min_confidence=0)]
            kept = [outcome.detections for outcome in running.detect_many(sources, policy=best)]
        assert kept == [tuple(best.apply(detections)) for detections in found]
        at_best = count(images, found, best)
        for goal in GOALS:
            policy, left_out = choose(ThresholdPolicy.precision_at_least, result, goal)
            for label, counts in count(images, found, policy).items():
                assert counts.precision is None or counts.precision >= goal, (label, goal)
                assert label in left_out or counts.true_positives > 0
            policy, left_out = choose(ThresholdPolicy.recall_at_least, result, goal)
            for label, counts in count(images, found, policy).items():
                assert label in left_out or (counts.recall or 0) >= goal, (label, goal)
        for false_alarm, miss in ((1, 1), (1, 20), (20, 1)):
            policy = ThresholdPolicy.least_cost(result, false_alarm=false_alarm, miss=miss)
            for label, counts in count(images, found, policy).items():
                other = at_best[label]
                assert false_alarm * counts.false_positives + miss * counts.false_negatives <= (
                    false_alarm * other.false_positives + miss * other.false_negatives
                )
        for label, counts in at_best.items():
            assert counts.f1 == pytest.approx(result.labels[label].f1)


def choose(
    make: Callable[..., ThresholdPolicy], result: EvaluationResult, goal: float
) -> tuple[ThresholdPolicy, set[str]]:
    """Choose a policy, without the labels that cannot reach the goal."""
    try:
        return make(result, goal), set()
    except GoalNotReached as error:
        return make(result, goal, never_report=error.reachable), set(error.reachable)


def count(
    images: Sequence[EvaluatedImage], found: Sequence[Sequence[Detection]], policy: ThresholdPolicy
) -> dict[str, Counts]:
    """Count what a policy reports of the detections, by label."""
    right, wrong, total = Counter[str](), Counter[str](), Counter[str]()
    for image, detections in zip(images, found, strict=True):
        total.update(image.truths)
        free = list(image.boxes)
        for detection in policy.apply(detections):
            if matches(detection, image, free):
                right[detection.label] += 1
            else:
                wrong[detection.label] += 1
    return {label: Counts(right[label], wrong[label], total[label] - right[label]) for label in policy.labels}


def matches(detection: Detection, image: EvaluatedImage, free: list[BoundingBox]) -> bool:
    """Whether a detection is in the ground truth; a box takes the free true box that it covers best."""
    box = None if image.size is None else in_pixels(detection, image.size)
    if box is None:
        return detection.label in image.labels
    near = [one for one in free if one.label == box.label and iou(one, box) >= 0.5]
    if near:
        free.remove(max(near, key=lambda one: iou(one, box)))
    return bool(near)
