"""Search for wrong training labels by cross-validation: no model judges an image that it was trained on."""

from __future__ import annotations

import functools
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from rekolabels import _progress
from rekolabels._arguments import (
    check_callable,
    check_fraction,
    check_integer,
    check_items,
    check_limit,
    check_seed,
)
from rekolabels._files import TemporaryFolder
from rekolabels.errors import InvalidImage, InvalidInput
from rekolabels.evaluation import (
    EvaluatedImage,
    LabelIssue,
    evaluate_classification,
    evaluate_detection,
    find_label_issues,
)
from rekolabels.evaluation._label_issues import MIN_ISSUE_SCORE
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.local._engine import FeatureCache, Prediction, Sample, UnusableImage, check_image, train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["find_label_errors"]

_MIN_FOLDS = 2


def find_label_errors(
    images: Iterable[LabelledImage],
    *,
    folds: int = 5,
    seed: int = 0,
    limit: int | None = None,
    min_score: float = MIN_ISSUE_SCORE,
    read: Callable[[str], bytes] | None = None,
) -> list[LabelIssue]:
    """Return the labels that are probably wrong, by cross-validation on this machine.

    The images are split into folds, stratified by label. For each fold, a model is trained on the images of
    the others and predicts those of the fold. That takes ``folds`` trainings; image features are computed
    only once. For test images use :meth:`EvaluationResult.label_issues
    <rekolabels.evaluation.EvaluationResult.label_issues>`.

    Args:
        images: Labelled images; images without labels are ignored.
        folds: Number of folds, from 2 to the number of images. More folds judge better and take longer.
        seed: Seed of the trainings.
        limit: Maximum number of results; None for all.
        min_score: Return only issues with at least this score, 0 to 1;
            :func:`~rekolabels.evaluation.find_label_issues` explains it. Below the default, most issues are
            mistakes of the models, not wrong labels.
        read: Returns the bytes of an image, given its source. By default sources are paths.

    Returns:
        The issues, the most likely error first.

    Raises:
        InvalidInput: There are too few images or folds, or too few labels to train on.
        InvalidImage: An image cannot be read or used.
        MissingExtra: The extra ``local`` is not installed.
    """
    fix = "Read them first, for example with `rekolabels.formats.read_folder(path)`."
    given = check_items("images", images, LabelledImage, "labelled images", fix)
    check_integer("folds", folds, at_least=_MIN_FOLDS)
    check_seed("seed", seed)
    check_limit("limit", limit)
    if read is not None:
        check_callable("read", read, "a function that returns the bytes of an image, or None")
    check_fraction("min_score", min_score)
    labelled = [image for image in given if image.labels or image.boxes]
    if folds > len(labelled):
        raise InvalidInput(
            f"Invalid folds={folds} for {len(labelled)} labelled images: expected at least {_MIN_FOLDS} "
            "folds and one image per fold."
        )
    read = read or _read_file
    samples = [
        Sample(image.source, functools.partial(read, image.source), image.labels, image.boxes)
        for image in labelled
    ]
    predictions: dict[int, Sequence[Prediction]] = {}
    try:
        # The cache is a file because the features of detectors take about a megabyte per image.
        with (
            TemporaryFolder() as folder,
            FeatureCache(folder.path / "features.sqlite") as cache,
            _progress.bar("Finding wrong labels", total=folds, unit="fold") as bar,
        ):
            for fold in _assign_folds(labelled, folds):
                held_out = set(fold)
                trained = train(
                    [sample for index, sample in enumerate(samples) if index not in held_out],
                    [samples[index] for index in fold],
                    seed=seed,
                    features=cache,
                )
                predictions.update(zip(fold, trained.predictions, strict=True))
                bar.update()
    except UnusableImage as error:
        raise InvalidImage(str(error)) from error
    in_order = [predictions[index] for index in range(len(labelled))]
    return find_label_issues(_evaluate(labelled, in_order, read), limit=limit, min_score=min_score)


def _assign_folds(images: Sequence[LabelledImage], folds: int) -> list[list[int]]:
    """Return the indexes of each fold's images; the images of each label are spread over all folds."""
    by_label: dict[str, list[int]] = defaultdict(list)
    for index, image in enumerate(images):
        by_label[(*image.labels, *(box.label for box in image.boxes))[0]].append(index)
    assigned: list[list[int]] = [[] for _ in range(folds)]
    in_turn = [index for _, group in sorted(by_label.items()) for index in group]
    for turn, index in enumerate(in_turn):
        assigned[turn % folds].append(index)
    return [sorted(fold) for fold in assigned]


def _evaluate(
    images: Sequence[LabelledImage],
    predictions: Sequence[Sequence[Prediction]],
    read: Callable[[str], bytes],
) -> list[EvaluatedImage]:
    if not any(image.boxes for image in images):
        labels = {label for image in images for label in image.labels}
        scores = [{found.label: found.confidence for found in one} for one in predictions]
        verdicts = evaluate_classification([image.labels for image in images], scores, labels).verdicts
        return [
            EvaluatedImage(image.source, image.labels, verdicts=of_image)
            for image, of_image in zip(images, verdicts, strict=True)
        ]
    sizes = [image.size or check_image(read(image.source)) for image in images]
    boxes = [[_in_pixels(one, size) for one in found] for found, size in zip(predictions, sizes, strict=True)]
    labels = {box.label for image in images for box in image.boxes}
    verdicts = evaluate_detection([image.boxes for image in images], boxes, labels).verdicts
    return [
        EvaluatedImage(image.source, (), image.boxes, size, of_image)
        for image, size, of_image in zip(images, sizes, verdicts, strict=True)
    ]


def _in_pixels(prediction: Prediction, size: ImageSize) -> tuple[BoundingBox, float]:
    left, top, width, height = prediction.box or (0.0, 0.0, 1.0, 1.0)
    box = BoundingBox(
        prediction.label, left * size.width, top * size.height, width * size.width, height * size.height
    )
    return box, prediction.confidence


def _read_file(source: str) -> bytes:
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise InvalidImage(f"Cannot read image {source!r}: {error.strerror or error}.") from error
