"""Training a detector: windows are drawn from the training images, and the hard ones are looked for again."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import numpy.typing as npt

from rekolabels.errors import InvalidInput
from rekolabels.local._engine._detector import MOVES, Detector
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
    make_shapes,
    overlaps,
    pool,
    shape_features,
    slide,
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
_DIRECTIONS = 128
"""Into so many directions the channels are compressed while the heads are fitted."""
_PIXELS = 150
"""Cells an image from which the directions are found."""
_ROUNDS = 4
"""How often windows that are wrongly taken for objects are looked for."""
_HARD = 40
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
_STRENGTH, _RIDGE = 10.0, 0.3
"""How freely the heads may fit: C of the logistic regression, the penalty of the moves."""
_STEPS, _MORE_STEPS = 60, 30
"""Of the minimiser, for the first fit and for each that goes on from there."""


@attrs.frozen(eq=False)
class _Truth:
    """The boxes of one image, in cells of its grid."""

    boxes: Matrix
    classes: npt.NDArray[np.intp]


@attrs.define(eq=False)
class _Examples:
    """Described windows, with what they are."""

    rows: list[Tensor] = attrs.field(factory=list[Tensor])
    classes: list[npt.NDArray[np.intp]] = attrs.field(factory=list[npt.NDArray[np.intp]])
    moved_rows: list[Tensor] = attrs.field(factory=list[Tensor])
    moves: list[Matrix] = attrs.field(factory=list[Matrix])


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
            self._draw(maps, truth, reduction, slide(shapes, maps.shape), examples)
        fit = _Fit(reduction, examples, len(self.labels))
        model = fit.detector(self.labels, self.side, shapes)
        for number in range(_ROUNDS):
            self.progress("head", number + 1, _ROUNDS + 1)
            hard = [
                self._hard(maps, truth, reduction, model)
                for maps, truth in zip(self._maps(), truths, strict=True)
            ]
            fit.add_negatives(np.concatenate(hard))
            model = fit.detector(self.labels, self.side, shapes)
        self.progress("head", _ROUNDS + 1, _ROUNDS + 1)
        return model

    def _choose_side(self) -> int:
        shares = [
            np.sqrt(max(box.width, 1.0) * max(box.height, 1.0)) / max(size.width, size.height)
            for sample, size in zip(self.samples, self.sizes, strict=True)
            for box in sample.boxes
        ]
        small = float(np.percentile(shares, 10))
        return next((side for side in _SIZES if small * side >= _SMALL_OBJECT), _SIZES[-1])

    def _maps(self) -> Any:
        return in_order(
            lambda sample: named(sample, lambda data: remember(data, self.side, self.cache)), self.samples
        )

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
        examples.rows.append(reduction.describe(maps, rows))
        examples.classes.append(np.concatenate([truth.classes[best[positive]], truth.classes, none]))
        related = self._some(np.flatnonzero(shared > _RELATED), _MOVED)
        if len(related):
            examples.moved_rows.append(reduction.describe(maps, windows[related]))
            examples.moves.append(_moves(windows[related], truth.boxes[best[related]]))

    def _hard(self, maps: Maps, truth: _Truth, reduction: _Reduction, model: Detector) -> Tensor:
        """Describe windows that hold no object and are taken for one."""
        windows = slide(model.shapes, maps.shape)
        scores, _ = model.judge(maps, windows)
        taken = 1.0 - scores[:, -1]
        taken[_best(windows, truth)[0] >= _NEGATIVE] = 0.0
        worst = np.argsort(-taken, kind="stable")[: max(1, round(_HARD * self.share))]
        return reduction.describe(maps, windows[worst[taken[worst] > _FALSE]])

    def _some(self, places: npt.NDArray[np.intp], most: int) -> npt.NDArray[np.intp]:
        most = max(1, round(most * self.share))
        return places if len(places) <= most else self.random.choice(places, most, replace=False)


class _Fit:
    """The heads, fitted anew whenever there are more examples."""

    def __init__(self, reduction: _Reduction, examples: _Examples, labels: int) -> None:
        self.reduction = reduction
        self.rows = np.concatenate(examples.rows)
        self.classes = np.concatenate(examples.classes)
        self.none = labels
        self.mean = self.rows.mean(0, dtype=np.float64)
        deviation = self.rows.std(0, dtype=np.float64) + 1e-6
        self.scale = 1.0 / (deviation * np.sqrt(self.rows.shape[1]))
        self.moves, self.moves_bias = self._fit_moves(examples)
        self.steps = _STEPS
        self.solution = np.zeros((labels + 1) * (self.rows.shape[1] + 1))

    def add_negatives(self, rows: Tensor) -> None:
        """Take more windows that hold nothing."""
        self.rows = np.concatenate([self.rows, rows])
        self.classes = np.concatenate([self.classes, np.full(len(rows), self.none, dtype=np.intp)])

    def detector(self, labels: tuple[str, ...], side: int, shapes: Rectangles) -> Detector:
        """Fit, and fold everything between the network's layers and the outputs into one set of weights."""
        coefficients, bias = self._fit_classes()
        outputs = len(labels) + 1 + MOVES
        joined = np.concatenate([coefficients, self.moves]) * self.scale
        biases = np.concatenate([bias, self.moves_bias]) - joined @ self.mean
        parts = joined[:, :-SHAPE].reshape(outputs, PARTS, _DIRECTIONS)
        biases += parts.sum(1) @ self.reduction.offset
        weights = np.einsum("cd,opd->cpo", self.reduction.weights.astype(np.float64), parts)
        return Detector(
            labels,
            side,
            shapes,
            weights.reshape(CHANNELS, PARTS * outputs),
            joined[:, -SHAPE:].T.copy(),
            biases,
        )

    def _scaled(self, rows: Tensor) -> Tensor:
        result: Tensor = (rows - self.mean.astype(np.float32)) * self.scale.astype(np.float32)
        return result

    def _fit_classes(self) -> tuple[Matrix, Matrix]:
        """Multinomial logistic regression, begun where the last fit ended.

        SciPy's minimiser instead of scikit-learn's class: it stops after a number of steps without a warning.
        The last digits of a window's score decide nothing.
        """
        minimize: Any = import_module("scipy.optimize").minimize
        rows = self._scaled(self.rows)
        wanted = self.classes[:, None] == np.arange(self.none + 1)

        def loss(flat: Matrix) -> tuple[float, Matrix]:
            parts = flat.reshape(self.none + 1, -1)
            scores = rows @ parts[:, :-1].T.astype(np.float32) + parts[:, -1].astype(np.float32)
            scores -= scores.max(1, keepdims=True)
            shares = np.exp(scores)
            sums = shares.sum(1, keepdims=True)
            total = float((np.log(sums[:, 0]) - scores[wanted]).sum(dtype=np.float64))
            error = shares / sums - wanted
            slope = np.concatenate([error.T @ rows, error.sum(0)[:, None]], axis=1).astype(np.float64)
            slope *= _STRENGTH / len(rows)
            penalty = parts[:, :-1] / len(rows)
            slope[:, :-1] += penalty
            value = (_STRENGTH * total + 0.5 * float((parts[:, :-1] ** 2).sum())) / len(rows)
            return value, slope.ravel()

        found: Any = minimize(
            loss, self.solution, jac=True, method="L-BFGS-B", options={"maxiter": self.steps}
        )
        self.steps = _MORE_STEPS
        self.solution = found.x
        parts = self.solution.reshape(self.none + 1, -1)
        return parts[:, :-1], parts[:, -1]

    def _fit_moves(self, examples: _Examples) -> tuple[Matrix, Matrix]:
        """Ridge regression, the constant term included."""
        if not examples.moves:
            return np.zeros((MOVES, self.rows.shape[1])), np.zeros(MOVES)
        rows = self._scaled(np.concatenate(examples.moved_rows)).astype(np.float64)
        rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
        inner = rows.T @ rows + _RIDGE * np.eye(rows.shape[1])
        solved = np.linalg.solve(inner, rows.T @ np.concatenate(examples.moves))
        moves: Matrix = solved[:-1].T.astype(np.float64)
        bias: Matrix = solved[-1].astype(np.float64)
        return moves, bias


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
