"""Training a detector: windows are drawn from the training images, and the hard ones are looked for again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np
import numpy.typing as npt

from rekolabels.errors import InvalidInput
from rekolabels.local._engine._detector import Detector
from rekolabels.local._engine._detector_fit import Compression, Described, Heads, fit_moves
from rekolabels.local._engine._features import in_order, named
from rekolabels.local._engine._images import check_image
from rekolabels.local._engine._linear import Matrix, one_thread
from rekolabels.local._engine._maps import CHANNELS, Maps, remember
from rekolabels.local._engine._network import Tensor
from rekolabels.local._engine._values import Prediction, Progress, Sample, Trained
from rekolabels.local._engine._windows import (
    PARTS,
    SHAPE,
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
    from collections.abc import Iterator, Sequence

    from rekolabels.local._engine._cache import FeatureCache

__all__ = ["train_detector"]

_SIZES = (640, 960, 1280)
"""Longer sides, in pixels, to which images are resized: the first at which the objects are large enough."""
_SMALL_OBJECT = 24
"""Pixels that a small object (the tenth percentile) should have across."""
_SHAPES = 8
_DIRECTIONS = 128
"""Into so many directions the channels are compressed while the heads are fitted."""
_PIXELS = 150
"""Cells an image from which the directions are found."""
_ROUNDS = 2
"""How often windows that are wrongly taken for objects are looked for."""
_HARD = 80
_FALSE = 0.2
"""Hard windows: at most this many an image and round, taken for objects by at least this much."""
_POSITIVE, _RELATED, _NEGATIVE, _FAR = 0.6, 0.4, 0.35, 0.1
"""Overlaps: from here an example of the object; from here worth moving; up to here no example; far off."""
_FEWEST = 3
"""Windows an object, if there are any that are related to it."""
_PER_OBJECT, _MOVED, _NONE_FAR, _NONE_NEAR = 12, 150, 60, 40
"""Windows drawn: an object; for the moves, far ones and near ones an image."""
_ENOUGH_IMAGES = 150
"""With more images, fewer windows are drawn from each, so that memory stays bounded."""


@attrs.frozen(eq=False)
class _Truth:
    """The boxes of one image, in cells of its grid."""

    boxes: Matrix
    classes: npt.NDArray[np.intp]


@attrs.frozen(eq=False)
class _Examples:
    """What was drawn from the images."""

    seen: Described = attrs.field(factory=Described)
    """Windows, each with its class."""
    moved: Described = attrs.field(factory=Described)
    """Windows, each with how it is moved onto an object."""
    free: list[npt.NDArray[np.bool_]] = attrs.field(factory=list[npt.NDArray[np.bool_]])
    """For each image, which of all its windows hold no object."""


@attrs.frozen(eq=False)
class _Reduction:
    """The channels in fewer directions."""

    weights: Tensor
    offset: Matrix

    def describe(self, maps: Maps, windows: Rectangles) -> Tensor:
        """Windows x (parts x directions + shape)."""
        grid = maps.project(self.weights) + self.offset.astype(np.float32)
        means = pool(integrate(grid), corners(windows, maps.shape))
        means = means.reshape(len(windows), PARTS * _DIRECTIONS)
        return np.concatenate([means, shape_features(windows)], axis=1).astype(np.float32)


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
    work = _Work(training, labels, cache, progress, np.random.default_rng(seed))
    with one_thread():
        model = work.train(seed)

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
        random: np.random.Generator,
    ) -> None:
        self.samples = samples
        self.labels = labels
        self.cache = cache
        self.progress = progress
        self.random = random
        self.sizes = [named(sample, check_image) for sample in samples]
        self.side = self._choose_side()
        self.share = min(1.0, _ENOUGH_IMAGES / len(samples))

    def train(self, seed: int) -> Detector:
        """Learn everything."""
        reduction, truths = self._reduce()
        boxes = np.concatenate([truth.boxes for truth in truths])
        shapes = make_shapes(boxes[:, 2:] - boxes[:, :2], _SHAPES, seed)
        examples = _Examples()
        for maps, truth in zip(self._maps(), truths, strict=True):
            self._draw(maps, truth, reduction, lay(shapes, maps.shape).windows, examples)
        self.progress("head", 1, _ROUNDS + 2)
        compression = Compression.find(examples.seen.rows)
        moves = fit_moves(*examples.moved.compressed(compression))
        heads = Heads(*examples.seen.compressed(compression), count=len(self.labels) + 1, seed=seed)
        model = self._join(reduction, shapes, compression, heads.fit(), moves)
        for number in range(_ROUNDS):
            self.progress("head", number + 2, _ROUNDS + 2)
            hard = [compression.apply(rows) for rows in self._hard(examples.free, reduction, model)]
            heads.add_nothing(np.concatenate(hard))
            model = self._join(reduction, shapes, compression, heads.fit(), moves)
        self.progress("head", _ROUNDS + 2, _ROUNDS + 2)
        return model

    def _join(
        self,
        reduction: _Reduction,
        shapes: Rectangles,
        compression: Compression,
        classes: tuple[Matrix, Matrix],
        moves: tuple[Matrix, Matrix],
    ) -> Detector:
        """Fold everything between the network's layers and the outputs into one set of weights."""
        joined, bias = compression.unfold(
            np.concatenate([classes[0], moves[0]]), np.concatenate([classes[1], moves[1]])
        )
        outputs = len(bias)
        parts = joined[:, :-SHAPE].reshape(outputs, PARTS, _DIRECTIONS)
        bias += parts.sum(1) @ reduction.offset
        weights = np.einsum("cd,opd->cpo", reduction.weights.astype(np.float64), parts)
        return Detector(
            self.labels,
            self.side,
            shapes,
            weights.reshape(CHANNELS, PARTS * outputs),
            joined[:, -SHAPE:].T.copy(),
            bias,
        )

    def _choose_side(self) -> int:
        shares = [
            np.sqrt(max(box.width, 1.0) * max(box.height, 1.0)) / max(size.width, size.height)
            for sample, size in zip(self.samples, self.sizes, strict=True)
            for box in sample.boxes
        ]
        small = float(np.percentile(shares, 10))
        return next((side for side in _SIZES if small * side >= _SMALL_OBJECT), _SIZES[-1])

    def _maps(self) -> Iterator[Maps]:
        return in_order(self._recall, self.samples)

    def _recall(self, sample: Sample) -> Maps:
        return named(sample, lambda data: remember(data, self.side, self.cache))

    def _reduce(self) -> tuple[_Reduction, list[_Truth]]:
        """Send all images through the network; find the directions in which their cells differ most."""
        drawn: list[Tensor] = []
        truths: list[_Truth] = []
        count = max(1, round(_PIXELS * self.share))
        for index, maps in enumerate(self._maps()):
            height, width = maps.shape
            drawn.append(maps.cells(self.random.integers(0, height * width, count)))
            truths.append(self._truth(index, maps))
            self.progress("features", index + 1, len(self.samples))
        cells = np.concatenate(drawn).astype(np.float64)
        mean, deviation = cells.mean(0), cells.std(0) + 1e-6
        # Each layer counts as much as the others, whatever the number of its channels.
        balance = np.concatenate([np.full(n, 1 / np.sqrt(n)) for n in (40, 112, 320)]) / deviation
        scaled = (cells - mean) * balance
        _, vectors = np.linalg.eigh(scaled.T @ scaled)
        weights = vectors[:, ::-1][:, :_DIRECTIONS] * balance[:, None]
        return _Reduction(weights.astype(np.float32), -(mean @ weights)), truths

    def _truth(self, index: int, maps: Maps) -> _Truth:
        sample, size = self.samples[index], self.sizes[index]
        height, width = maps.shape
        scale = np.array([width / size.width, height / size.height] * 2)
        corners_of = [[box.left, box.top, box.left + box.width, box.top + box.height] for box in sample.boxes]
        boxes: Matrix = np.array(corners_of, dtype=np.float64).reshape(-1, 4) * scale
        numbers = {label: number for number, label in enumerate(self.labels)}
        return _Truth(boxes, np.array([numbers[box.label] for box in sample.boxes], dtype=np.intp))

    def _draw(
        self, maps: Maps, truth: _Truth, reduction: _Reduction, windows: Rectangles, examples: _Examples
    ) -> None:
        """Draw windows of one image: on objects, near them, and far from all."""
        shared, best = _best(windows, truth)
        chosen: list[npt.NDArray[np.intp]] = []
        for number in range(len(truth.boxes)):
            mine = overlaps(windows, truth.boxes[number : number + 1])[:, 0]
            good = np.flatnonzero((best == number) & (shared >= _POSITIVE))
            if len(good) < _FEWEST:
                good = np.argsort(-mine, kind="stable")[:_FEWEST]
                good = good[mine[good] > _RELATED]
            chosen.append(self._some(good, _PER_OBJECT))
        positive = np.concatenate([*chosen, np.empty(0, np.intp)]).astype(np.intp)
        far = self._some(np.flatnonzero(shared < _FAR), _NONE_FAR)
        near = self._some(np.flatnonzero((shared >= _FAR) & (shared < _NEGATIVE)), _NONE_NEAR)
        exact = _whole(truth.boxes, maps.shape)
        rows = np.concatenate([windows[positive], exact, windows[far], windows[near]])
        none = np.full(len(far) + len(near), len(self.labels), dtype=np.intp)
        related = self._some(np.flatnonzero(shared > _RELATED), _MOVED)
        described = reduction.describe(maps, np.concatenate([rows, windows[related]]))
        classes = np.concatenate([truth.classes[best[positive]], truth.classes, none])
        examples.seen.add(described[: len(rows)], classes)
        examples.moved.add(described[len(rows) :], _moves(windows[related], truth.boxes[best[related]]))
        examples.free.append(shared < _NEGATIVE)

    def _hard(
        self, free: list[npt.NDArray[np.bool_]], reduction: _Reduction, model: Detector
    ) -> Iterator[Tensor]:
        """Describe, image by image, windows that hold no object and are taken for one."""
        most = max(1, round(_HARD * self.share))

        def look_again(pair: tuple[Sample, npt.NDArray[np.bool_]]) -> Tensor:
            sample, holds_nothing = pair
            maps = self._recall(sample)
            layout = lay(model.shapes, maps.shape)
            scores, _ = model.judge(maps, layout)
            taken = np.where(holds_nothing, 1.0 - scores[:, -1], 0.0)
            worst = np.argsort(-taken, kind="stable")[:most]
            return reduction.describe(maps, layout.windows[worst[taken[worst] > _FALSE]])

        return in_order(look_again, zip(self.samples, free, strict=True))

    def _some(self, places: npt.NDArray[np.intp], most: int) -> npt.NDArray[np.intp]:
        most = max(1, round(most * self.share))
        return places if len(places) <= most else self.random.choice(places, most, replace=False)


def _best(windows: Rectangles, truth: _Truth) -> tuple[Matrix, npt.NDArray[np.intp]]:
    """For each window, how much it shares with the object that it shares most with, and which that is."""
    if not len(truth.boxes):
        return np.zeros(len(windows)), np.zeros(len(windows), dtype=np.intp)
    shared = overlaps(windows, truth.boxes)
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
