"""Training a detector: windows are drawn from the training images and described; heads are fitted to them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import attrs
import numpy as np

from rekolabels.errors import InvalidInput
from rekolabels.local._engine._detector import Detector
from rekolabels.local._engine._detector_fit import MOVES, Numbers, Windows, fit_heads
from rekolabels.local._engine._features import in_order, named
from rekolabels.local._engine._images import check_image
from rekolabels.local._engine._linear import Matrix, one_thread
from rekolabels.local._engine._maps import CELL, CHANNELS, Maps, remember
from rekolabels.local._engine._network import Tensor
from rekolabels.local._engine._values import Prediction, Progress, Sample, Trained
from rekolabels.local._engine._windows import (
    PARTS,
    Rectangles,
    corners,
    integrate,
    lay,
    make_shapes,
    overlaps,
    pool,
    shape_features,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rekolabels.local._engine._cache import FeatureCache

__all__ = ["train_detector"]

_SIZES = (640, 960, 1280)
"""Longer sides, in pixels, to which images are resized: the first at which the objects are large enough."""
_SMALL_OBJECT = 24
"""Pixels that a small object (the tenth percentile) should have across."""
_SHAPES = 8
_DIRECTIONS = 96
"""Into so many directions the channels are compressed while the heads are fitted."""
_SOME_IMAGES, _CELLS = 40, 150
"""Images, and cells of each, from which the directions are found."""
_POSITIVE, _RELATED, _NEGATIVE, _FAR = 0.6, 0.4, 0.35, 0.1
"""Overlaps: from here an example of the object; from here worth moving; up to here no example; far off."""
_FEWEST, _MOST = 3, 12
"""Windows an object, if there are any that are related to it."""
_ON_OBJECTS, _PARTLY, _NONE_FAR, _NONE_NEAR = 80, 40, 120, 60
"""Windows drawn from an image, about: on objects, on them in part, far from all of them, and near them."""
_ENOUGH_IMAGES = 150
"""With more images, fewer windows are drawn from each, so that memory stays bounded."""


@attrs.frozen(eq=False)
class _Truth:
    """The boxes of one image, in cells of its grid."""

    boxes: Matrix
    classes: Numbers


@attrs.frozen(eq=False)
class _Reduction:
    """The channels in fewer directions."""

    weights: Tensor
    offset: Tensor

    def describe(self, maps: Maps, windows: Rectangles) -> Tensor:
        """Windows x (parts x directions + shape + 1)."""
        grid = maps.project(self.weights)
        grid += self.offset
        means = pool(integrate(grid), corners(windows, maps.shape)).reshape(len(windows), -1)
        one = np.ones((len(windows), 1))
        return np.concatenate([means, shape_features(windows), one], axis=1, dtype=np.float32)


def train_detector(
    training: Sequence[Sample],
    testing: Sequence[Sample],
    *,
    seed: int,
    cache: FeatureCache,
    progress: Progress,
) -> Trained:
    """Train on the training samples alone, then look at the test samples."""
    labels = tuple(sorted({box.label for sample in training for box in sample.boxes}))
    if not labels:
        raise InvalidInput(
            "the test images have boxes, the training images none: nothing can be learnt from them"
        )
    with one_thread():
        model = _Work(training, labels, cache, progress, seed).train()

        def predict(sample: Sample) -> list[Prediction]:
            return model.predict_from(named(sample, lambda data: remember(data, model.side, cache)))

        predictions: list[tuple[Prediction, ...]] = []
        for found in in_order(predict, testing):
            predictions.append(tuple(found))
            progress("test", len(predictions), len(testing))
    return Trained(model, tuple(predictions))


class _Work:
    """One training: its samples, and what was found out about them so far."""

    def __init__(
        self,
        samples: Sequence[Sample],
        labels: tuple[str, ...],
        cache: FeatureCache,
        progress: Progress,
        seed: int,
    ) -> None:
        self.samples = samples
        self.labels = labels
        self.cache = cache
        self.progress = progress
        self.seed = seed
        self.sizes = list(in_order(lambda sample: named(sample, check_image), samples))
        self.side = self._choose_side()
        self.share = min(1.0, _ENOUGH_IMAGES / len(samples))

    def train(self) -> Detector:
        """Learn everything."""
        shapes = make_shapes(self._box_sizes() * (self.side / CELL), _SHAPES, self.seed)
        reduction = self._reduce()
        drawn: list[Windows] = []
        places = range(len(self.samples))
        for windows in in_order(lambda index: self._draw(index, reduction, shapes), places):
            drawn.append(windows)
            self.progress("features", len(drawn), len(places))
        self.progress("head", 0, 1)
        outputs = fit_heads(_join(drawn), len(self.labels), self.seed)
        self.progress("head", 1, 1)
        return self._unfold(outputs, reduction, shapes)

    def _unfold(self, outputs: Matrix, reduction: _Reduction, shapes: Rectangles) -> Detector:
        """Fold the directions and the outputs into one set of weights."""
        end = PARTS * _DIRECTIONS
        parts = outputs[:, :end].reshape(len(outputs), PARTS, _DIRECTIONS)
        weights = np.einsum("cd,opd->cpo", reduction.weights.astype(np.float64), parts)
        return Detector(
            self.labels,
            self.side,
            shapes,
            weights.reshape(CHANNELS, -1),
            outputs[:, end:-1].T.copy(),
            outputs[:, -1] + parts.sum(1) @ reduction.offset,
        )

    def _box_sizes(self) -> Matrix:
        """Widths and heights of all boxes, as shares of the longer side of their image."""
        sizes = [
            np.maximum([box.width, box.height], 1.0) / max(size.width, size.height)
            for sample, size in zip(self.samples, self.sizes, strict=True)
            for box in sample.boxes
        ]
        return np.array(sizes, dtype=np.float64)

    def _choose_side(self) -> int:
        small = float(np.percentile(np.sqrt(self._box_sizes().prod(1)), 10))
        return next((side for side in _SIZES if small * side >= _SMALL_OBJECT), _SIZES[-1])

    def _maps(self, sample: Sample) -> Maps:
        return named(sample, lambda data: remember(data, self.side, self.cache))

    def _reduce(self) -> _Reduction:
        """Find the directions in which the cells of images differ most."""
        random = np.random.default_rng(self.seed)
        some = self.samples[:: max(1, len(self.samples) // _SOME_IMAGES)]
        cells = np.concatenate(
            [
                maps.cells(random.integers(0, maps.shape[0] * maps.shape[1], _CELLS))
                for maps in in_order(self._maps, some)
            ]
        ).astype(np.float64)
        mean, deviation = cells.mean(0), cells.std(0) + 1e-6
        # Each layer counts as much as the others, whatever the number of its channels.
        balance = np.concatenate([np.full(n, 1 / np.sqrt(n)) for n in (40, 112, 320)]) / deviation
        scaled = (cells - mean) * balance
        _, vectors = np.linalg.eigh(scaled.T @ scaled)
        weights = vectors[:, ::-1][:, :_DIRECTIONS] * balance[:, None]
        return _Reduction(weights.astype(np.float32), -(mean @ weights).astype(np.float32))

    def _truth(self, index: int, maps: Maps) -> _Truth:
        sample, size = self.samples[index], self.sizes[index]
        height, width = maps.shape
        scale = np.array([width / size.width, height / size.height] * 2)
        corners_of = [[box.left, box.top, box.left + box.width, box.top + box.height] for box in sample.boxes]
        boxes: Matrix = np.array(corners_of, dtype=np.float64).reshape(-1, 4) * scale
        numbers = {label: number for number, label in enumerate(self.labels)}
        return _Truth(boxes, np.array([numbers[box.label] for box in sample.boxes], dtype=np.intp))

    def _draw(self, index: int, reduction: _Reduction, shapes: Rectangles) -> Windows:
        """Draw windows of one image: on objects, near them, and far from all."""
        maps = self._maps(self.samples[index])
        truth = self._truth(index, maps)
        random = np.random.default_rng((self.seed, index))
        windows = lay(shapes, maps.shape).windows
        shared = overlaps(windows, truth.boxes)
        most, best = _best(shared)
        some = functools.partial(_some, random=random, share=self.share)
        chosen: list[Numbers] = []
        each = max(_FEWEST, min(_MOST, _ON_OBJECTS // max(1, len(truth.boxes))))
        for number in range(len(truth.boxes)):
            good = np.flatnonzero((best == number) & (most >= _POSITIVE))
            if len(good) < _FEWEST:
                good = np.argsort(-shared[:, number], kind="stable")[:_FEWEST]
                good = good[shared[good, number] > _RELATED]
            chosen.append(some(good, each))
        positive = np.concatenate([*chosen, np.empty(0, np.intp)]).astype(np.intp)
        partly = some(np.flatnonzero((most > _RELATED) & (most < _POSITIVE)), _PARTLY)
        far = some(np.flatnonzero(most < _FAR), _NONE_FAR)
        near = some(np.flatnonzero((most >= _FAR) & (most < _NEGATIVE)), _NONE_NEAR)
        onto = np.concatenate([best[positive], np.arange(len(truth.boxes)), best[partly]])
        rows = np.concatenate(
            [windows[positive], _whole(truth.boxes, maps.shape), windows[partly], windows[far], windows[near]]
        )
        classes = np.full(len(rows), len(self.labels), dtype=np.intp)
        classes[: len(onto)] = truth.classes[onto]
        classes[len(onto) - len(partly) : len(onto)] = -1
        moves = np.zeros((len(rows), MOVES))
        moves[: len(onto)] = _moves(rows[: len(onto)], truth.boxes[onto])
        return Windows(reduction.describe(maps, rows), classes, moves, np.full(len(rows), index))


def _join(drawn: list[Windows]) -> Windows:
    return Windows(
        np.concatenate([one.rows for one in drawn]),
        np.concatenate([one.classes for one in drawn]),
        np.concatenate([one.moves for one in drawn]),
        np.concatenate([one.images for one in drawn]),
    )


def _some(places: Numbers, most: int, *, random: np.random.Generator, share: float) -> Numbers:
    most = max(1, round(most * share))
    return places if len(places) <= most else random.choice(places, most, replace=False)


def _best(shared: Matrix) -> tuple[Matrix, Numbers]:
    """For each window, how much it shares with the object that it shares most with, and which that is."""
    if not shared.shape[1]:
        return np.zeros(len(shared)), np.zeros(len(shared), dtype=np.intp)
    return shared.max(1), shared.argmax(1)


def _whole(boxes: Matrix, grid: tuple[int, int]) -> Rectangles:
    """Boxes as windows of whole cells, inside the grid."""
    height, width = grid
    rounded = np.round(boxes).astype(np.intp)
    low = np.clip(rounded[:, :2], 0, np.array([width, height]) - 1)
    high = np.maximum(np.minimum(rounded[:, 2:], [width, height]), low + 1)
    return np.concatenate([low, high], axis=1)


def _moves(windows: Rectangles, boxes: Matrix) -> Matrix:
    """How to move windows onto boxes."""
    size = (windows[:, 2:] - windows[:, :2]).astype(np.float64)
    wanted = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    shift = (boxes[:, :2] + boxes[:, 2:] - windows[:, :2] - windows[:, 2:]) / 2 / size
    return np.concatenate([shift, np.log(wanted / size)], axis=1)
