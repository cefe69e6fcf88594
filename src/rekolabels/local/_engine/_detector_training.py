"""Training a detector: samples windows from the training images, and fits the heads to their features."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import attrs
import numpy as np

from rekolabels.errors import InvalidInput
from rekolabels.local._engine._detector import Detector
from rekolabels.local._engine._detector_fit import OFFSETS, TrainingWindows, fit_heads
from rekolabels.local._engine._images import call_with_image, check_image
from rekolabels.local._engine._linear import Matrix, single_threaded
from rekolabels.local._engine._network import (
    CELL,
    CHANNELS,
    FeatureMaps,
    Tensor,
    cached_maps,
    parallel_map,
)
from rekolabels.local._engine._values import Prediction, Progress, Sample, TrainingResult
from rekolabels.local._engine._windows import (
    PARTS,
    Indices,
    Windows,
    anchor_shapes,
    integral_image,
    iou,
    part_lookup,
    pool_parts,
    shape_features,
    window_grid,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rekolabels.local._engine._cache import FeatureCache

__all__ = ["train_detector"]

_SIDES = (640, 960, 1280)
"""Candidates for the longer side of resized images, in pixels: the first that makes objects large enough."""
_SMALL_OBJECT = 24
"""Size that small objects (the tenth percentile) should have, as the side of a square, in pixels."""
_SHAPES = 8
"""Maximum number of anchor shapes."""
_COMPONENTS = 96
"""Components to which the channels are reduced while the heads are fitted."""
_PROJECTION_IMAGES, _PROJECTION_CELLS = 40, 150
"""Number of images, and of cells of each, from which the components are computed."""
_POSITIVE_IOU = 0.6
"""Windows with at least this IoU with an object are examples of its label."""
_PARTIAL_IOU = 0.4
"""Windows with more than this IoU with an object train the offsets."""
_NEGATIVE_IOU = 0.35
"""Windows with less IoU than this with every object are background."""
_FAR_IOU = 0.1
"""Background windows with less IoU than this with every object are far from all objects."""
_MIN_PER_OBJECT, _MAX_PER_OBJECT = 3, 12
"""Positive windows for each object, as far as any reach `_PARTIAL_IOU`."""
_POSITIVES, _PARTIALS, _FAR_BACKGROUND, _NEAR_BACKGROUND = 80, 40, 120, 60
"""Approximate number of windows to sample from an image, by their overlap with objects."""
_MANY_IMAGES = 150
"""With more images than this, fewer windows are sampled from each, so that memory stays bounded."""


@attrs.frozen(eq=False)
class _GroundTruth:
    """The boxes of one image."""

    boxes: Matrix
    """Left, top, right, bottom in cells; boxes x 4."""
    classes: Indices
    """Number of each box's label."""


@attrs.frozen(eq=False)
class _Projection:
    """A projection of the channels onto their principal components."""

    weights: Tensor
    """`CHANNELS` x components."""
    offset: Tensor
    """One for each component."""

    def features(self, maps: FeatureMaps, windows: Windows) -> Tensor:
        """Return the features of windows: windows x (parts x components + shape features + 1)."""
        grid = maps.project(self.weights)
        grid += self.offset
        table = integral_image(grid)
        means = pool_parts(table, part_lookup(windows, maps.shape)).reshape(len(windows), -1)
        one = np.ones((len(windows), 1))
        return np.concatenate([means, shape_features(windows), one], axis=1, dtype=np.float32)


def train_detector(
    training: Sequence[Sample],
    testing: Sequence[Sample],
    *,
    seed: int,
    cache: FeatureCache,
    progress: Progress,
) -> TrainingResult:
    """Train a detector on the training samples, then predict the test samples.

    Raises:
        InvalidInput: The training samples have no boxes.
    """
    labels = tuple(sorted({box.label for sample in training for box in sample.boxes}))
    if not labels:
        raise InvalidInput(
            "The test images have bounding boxes, but the training images have none. Add boxes to the "
            "training images."
        )
    with single_threaded():
        model = _Training(training, labels, cache, progress, seed).run()

        def predict(sample: Sample) -> list[Prediction]:
            return model.predict_from(
                call_with_image(sample, lambda data: cached_maps(data, model.side, cache))
            )

        predictions: list[tuple[Prediction, ...]] = []
        for found in parallel_map(predict, testing):
            predictions.append(tuple(found))
            progress("test", len(predictions), len(testing))
    return TrainingResult(model, tuple(predictions))


class _Training:
    """One training of a detector."""

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
        self.sizes = list(parallel_map(lambda sample: call_with_image(sample, check_image), samples))
        self.side = self._choose_side()
        self.share = min(1.0, _MANY_IMAGES / len(samples))

    def run(self) -> Detector:
        """Train the detector."""
        shapes = anchor_shapes(self._box_sizes() * (self.side / CELL), _SHAPES, self.seed)
        projection = self._fit_projection()
        sampled: list[TrainingWindows] = []
        numbers = range(len(self.samples))
        for windows in parallel_map(lambda number: self._sample_windows(number, projection, shapes), numbers):
            sampled.append(windows)
            self.progress("features", len(sampled), len(numbers))
        self.progress("head", 0, 1)
        outputs = fit_heads(_join(sampled), len(self.labels), self.seed)
        self.progress("head", 1, 1)
        return self._fold(outputs, projection, shapes)

    def _fold(self, outputs: Matrix, projection: _Projection, shapes: Windows) -> Detector:
        """Build the detector, with the projection folded into the weights of the heads."""
        end = PARTS * _COMPONENTS
        parts = outputs[:, :end].reshape(len(outputs), PARTS, _COMPONENTS)
        weights = np.einsum("cd,opd->cpo", projection.weights.astype(np.float64), parts)
        return Detector(
            self.labels,
            self.side,
            shapes,
            weights.reshape(CHANNELS, -1),
            outputs[:, end:-1].T.copy(),
            outputs[:, -1] + parts.sum(1) @ projection.offset,
        )

    def _box_sizes(self) -> Matrix:
        """Return widths and heights of all boxes, relative to the longer side of their image; boxes x 2."""
        sizes = [
            np.maximum([box.width, box.height], 1.0) / max(size.width, size.height)
            for sample, size in zip(self.samples, self.sizes, strict=True)
            for box in sample.boxes
        ]
        return np.array(sizes, dtype=np.float64)

    def _choose_side(self) -> int:
        small = float(np.percentile(np.sqrt(self._box_sizes().prod(1)), 10))
        return next((side for side in _SIDES if small * side >= _SMALL_OBJECT), _SIDES[-1])

    def _maps(self, sample: Sample) -> FeatureMaps:
        return call_with_image(sample, lambda data: cached_maps(data, self.side, self.cache))

    def _fit_projection(self) -> _Projection:
        """Compute the principal components of the channels from a sample of cells."""
        random = np.random.default_rng(self.seed)
        some = self.samples[:: max(1, len(self.samples) // _PROJECTION_IMAGES)]
        cells = np.concatenate(
            [
                maps.cells(random.integers(0, maps.shape[0] * maps.shape[1], _PROJECTION_CELLS))
                for maps in parallel_map(self._maps, some)
            ]
        ).astype(np.float64)
        mean, deviation = cells.mean(0), cells.std(0) + 1e-6
        # All layers count the same, whatever their number of channels.
        balance = np.concatenate([np.full(n, 1 / np.sqrt(n)) for n in (40, 112, 320)]) / deviation
        scaled = (cells - mean) * balance
        _, vectors = np.linalg.eigh(scaled.T @ scaled)
        weights = vectors[:, ::-1][:, :_COMPONENTS] * balance[:, None]
        return _Projection(weights.astype(np.float32), -(mean @ weights).astype(np.float32))

    def _ground_truth(self, number: int, maps: FeatureMaps) -> _GroundTruth:
        sample, size = self.samples[number], self.sizes[number]
        height, width = maps.shape
        scale = np.array([width / size.width, height / size.height] * 2)
        edges = [[box.left, box.top, box.left + box.width, box.top + box.height] for box in sample.boxes]
        boxes: Matrix = np.array(edges, dtype=np.float64).reshape(-1, 4) * scale
        numbers = {label: index for index, label in enumerate(self.labels)}
        return _GroundTruth(boxes, np.array([numbers[box.label] for box in sample.boxes], dtype=np.intp))

    def _sample_windows(self, number: int, projection: _Projection, shapes: Windows) -> TrainingWindows:
        """Sample windows of one image: on objects, partly on objects, near them, and far from all."""
        maps = self._maps(self.samples[number])
        truth = self._ground_truth(number, maps)
        random = np.random.default_rng((self.seed, number))
        windows = window_grid(shapes, maps.shape).windows
        ious = iou(windows, truth.boxes)
        best_iou, best_box = _best_match(ious)
        subsample = functools.partial(_subsample, random=random, share=self.share)
        chosen: list[Indices] = []
        per_object = max(_MIN_PER_OBJECT, min(_MAX_PER_OBJECT, _POSITIVES // max(1, len(truth.boxes))))
        for box in range(len(truth.boxes)):
            positive = np.flatnonzero((best_box == box) & (best_iou >= _POSITIVE_IOU))
            if len(positive) < _MIN_PER_OBJECT:
                positive = np.argsort(-ious[:, box], kind="stable")[:_MIN_PER_OBJECT]
                positive = positive[ious[positive, box] > _PARTIAL_IOU]
            chosen.append(subsample(positive, per_object))
        positives = np.concatenate([*chosen, np.empty(0, np.intp)]).astype(np.intp)
        partials = subsample(
            np.flatnonzero((best_iou > _PARTIAL_IOU) & (best_iou < _POSITIVE_IOU)), _PARTIALS
        )
        far = subsample(np.flatnonzero(best_iou < _FAR_IOU), _FAR_BACKGROUND)
        near = subsample(
            np.flatnonzero((best_iou >= _FAR_IOU) & (best_iou < _NEGATIVE_IOU)), _NEAR_BACKGROUND
        )
        # The boxes themselves, rounded to cells, are examples too.
        matched = np.concatenate([best_box[positives], np.arange(len(truth.boxes)), best_box[partials]])
        rows = np.concatenate(
            [
                windows[positives],
                _round_to_cells(truth.boxes, maps.shape),
                windows[partials],
                windows[far],
                windows[near],
            ]
        )
        classes = np.full(len(rows), len(self.labels), dtype=np.intp)
        classes[: len(matched)] = truth.classes[matched]
        classes[len(matched) - len(partials) : len(matched)] = -1
        offsets = np.zeros((len(rows), OFFSETS))
        offsets[: len(matched)] = _offsets(rows[: len(matched)], truth.boxes[matched])
        return TrainingWindows(projection.features(maps, rows), classes, offsets, np.full(len(rows), number))


def _join(sampled: list[TrainingWindows]) -> TrainingWindows:
    return TrainingWindows(
        np.concatenate([one.rows for one in sampled]),
        np.concatenate([one.classes for one in sampled]),
        np.concatenate([one.offsets for one in sampled]),
        np.concatenate([one.images for one in sampled]),
    )


def _subsample(indices: Indices, limit: int, *, random: np.random.Generator, share: float) -> Indices:
    """Return all indices, or a random sample of ``share`` times the limit if there are more."""
    limit = max(1, round(limit * share))
    return indices if len(indices) <= limit else random.choice(indices, limit, replace=False)


def _best_match(ious: Matrix) -> tuple[Matrix, Indices]:
    """Return, for each window, the greatest IoU with a box, and the number of that box."""
    if not ious.shape[1]:
        return np.zeros(len(ious)), np.zeros(len(ious), dtype=np.intp)
    return ious.max(1), ious.argmax(1)


def _round_to_cells(boxes: Matrix, grid: tuple[int, int]) -> Windows:
    """Round boxes to windows of at least one cell inside a grid of height x width cells."""
    height, width = grid
    rounded = np.round(boxes).astype(np.intp)
    low = np.clip(rounded[:, :2], 0, np.array([width, height]) - 1)
    high = np.maximum(np.minimum(rounded[:, 2:], [width, height]), low + 1)
    return np.concatenate([low, high], axis=1)


def _offsets(windows: Windows, boxes: Matrix) -> Matrix:
    """Return the offsets of boxes from windows, windows x `OFFSETS`."""
    size = (windows[:, 2:] - windows[:, :2]).astype(np.float64)
    box_size = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    shift = (boxes[:, :2] + boxes[:, 2:] - windows[:, :2] - windows[:, 2:]) / 2 / size
    return np.concatenate([shift, np.log(box_size / size)], axis=1)
