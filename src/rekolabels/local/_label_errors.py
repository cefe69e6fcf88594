"""Which training labels may be wrong: each image judged by a model that has not seen it."""

from __future__ import annotations

import functools
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from rekolabels.errors import InvalidImage, InvalidInput
from rekolabels.evaluation import (
    EvaluatedImage,
    LabelIssue,
    evaluate_classification,
    evaluate_detection,
    find_label_issues,
)
from rekolabels.images import BoundingBox, ImageSize
from rekolabels.local._engine import FeatureCache, Prediction, Sample, UnusableImage, check_image, train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rekolabels.images import LabelledImage

__all__ = ["find_label_errors"]

_FEWEST = 2


def find_label_errors(
    images: Iterable[LabelledImage],
    *,
    folds: int = 5,
    seed: int = 0,
    limit: int | None = None,
    read: Callable[[str], bytes] | None = None,
) -> list[LabelIssue]:
    """Rank the labels that models trained on the other images dispute, the strongest doubt first.

    Cross-validation: the images are dealt into folds, label by label, and the images of each fold are
    predicted by a model that was trained on the others. It takes ``folds`` trainings on this machine; the
    features of the images are computed once. For test images, see :meth:`EvaluationResult.label_issues
    <rekolabels.evaluation.EvaluationResult.label_issues>`.

    Args:
        images: Labelled images.
        folds: Parts, at least 2; more parts judge better and take longer.
        seed: For the trainings.
        limit: Return at most this many.
        read: Gives the bytes of an image by its source; by default sources are paths.

    Raises:
        InvalidInput: Too few images or folds, or nothing to learn.
        InvalidImage: An image cannot be read or used.
        MissingExtra: The extra ``local`` is not installed.
    """
    known = [image for image in images if image.labels or image.boxes]
    if not _FEWEST <= folds <= len(known):
        raise InvalidInput(f"folds={folds} for {len(known)} labelled images: expected {_FEWEST} to that many")
    fetch = read or _read
    samples = [
        Sample(image.source, functools.partial(fetch, image.source), image.labels, image.boxes)
        for image in known
    ]
    predictions: dict[int, Sequence[Prediction]] = {}
    try:
        # A file, since what detectors are trained on would fill the memory: a megabyte an image.
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
            FeatureCache(Path(folder) / "features.sqlite") as cache,
        ):
            for part in _deal(known, folds):
                held = set(part)
                trained = train(
                    [sample for at, sample in enumerate(samples) if at not in held],
                    [samples[at] for at in part],
                    seed=seed,
                    features=cache,
                )
                predictions.update(zip(part, trained.predictions, strict=True))
    except UnusableImage as error:
        raise InvalidImage(str(error)) from error
    found = [predictions[at] for at in range(len(known))]
    return find_label_issues(_judge(known, found, fetch), limit=limit)


def _deal(images: Sequence[LabelledImage], folds: int) -> list[list[int]]:
    """Deal the images of each label out in turn, so that every fold has some of each."""
    by_label: dict[str, list[int]] = defaultdict(list)
    for at, image in enumerate(images):
        by_label[(*image.labels, *(box.label for box in image.boxes))[0]].append(at)
    parts: list[list[int]] = [[] for _ in range(folds)]
    turn = 0
    for _, group in sorted(by_label.items()):
        for at in group:
            parts[turn % folds].append(at)
            turn += 1
    return [sorted(part) for part in parts]


def _judge(
    images: Sequence[LabelledImage],
    predictions: Sequence[Sequence[Prediction]],
    read: Callable[[str], bytes],
) -> list[EvaluatedImage]:
    if not any(image.boxes for image in images):
        labels = {label for image in images for label in image.labels}
        scores = [{found.label: found.confidence for found in one} for one in predictions]
        judged = evaluate_classification([image.labels for image in images], scores, labels).verdicts
        return [
            EvaluatedImage(image.source, image.labels, verdicts=verdicts)
            for image, verdicts in zip(images, judged, strict=True)
        ]
    sizes = [image.size or check_image(read(image.source)) for image in images]
    boxes = [[_in_pixels(one, size) for one in found] for found, size in zip(predictions, sizes, strict=True)]
    labels = {box.label for image in images for box in image.boxes}
    judged = evaluate_detection([image.boxes for image in images], boxes, labels).verdicts
    return [
        EvaluatedImage(image.source, (), image.boxes, size, verdicts)
        for image, size, verdicts in zip(images, sizes, judged, strict=True)
    ]


def _in_pixels(found: Prediction, size: ImageSize) -> tuple[BoundingBox, float]:
    left, top, width, height = found.box or (0.0, 0.0, 1.0, 1.0)
    box = BoundingBox(
        found.label, left * size.width, top * size.height, width * size.width, height * size.height
    )
    return box, found.confidence


def _read(source: str) -> bytes:
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise InvalidImage(f"{source} cannot be read: {error.strerror or error}") from error
