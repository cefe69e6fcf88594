"""Linear heads on standardised features: logistic regression whose hyperparameters are cross-validated.

The features come in one or two blocks (semantic, detail). The weight of the second block and C, the inverse
regularisation, are chosen among the training samples alone.
"""

from __future__ import annotations

import contextlib
import threading
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import numpy.typing as npt

from rekolabels.errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Head", "Matrix", "fit_binary", "fit_multinomial", "single_threaded"]

Matrix = npt.NDArray[np.float64]

_BLOCK_WEIGHTS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Candidates for the weight of the second block; the first has the rest."""
_RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Ridge penalties to compare block weights with; each block weight counts by its best."""
_C_VALUES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Candidates for C of the logistic regression, the inverse of its penalty."""
_DEFAULT_C = 30.0
"""C when there are too few samples for cross-validation."""
_MIN_DEVIATION = 1e-6
"""A feature with a smaller standard deviation is constant."""
_MIN_PER_CLASS = 2
"""Samples of a class that cross-validation needs: one on either side of a fold."""
_FOLDS = 4
_BLOCK_WEIGHT_SAMPLES = 800
"""Number of samples that suffices to choose the block weight; the final fit uses all samples."""
_C_SAMPLES = 600
"""Number of samples that suffices to choose C; the final fit uses all samples."""
_MAX_COMPONENTS = 1500
"""Maximum number of principal components."""


@attrs.frozen(eq=False)
class Head:
    """A linear map from features to one score for each label."""

    weights: Matrix
    """Labels x features."""
    bias: Matrix
    """One for each label."""
    c: float
    """The chosen C, the inverse of the penalty."""
    block_weight: float
    """The chosen weight of the second block, 0 to 1."""

    def scores(self, features: npt.NDArray[Any]) -> Matrix:
        """Return the scores, samples x labels: logits of the softmax or of independent sigmoids."""
        result: Matrix = features.astype(np.float64) @ self.weights.T + self.bias
        return result


_LOCK = threading.Lock()
_blocks: list[Any] = []
"""The open blocks of `single_threaded`; the first one holds the limit."""


@contextlib.contextmanager
def single_threaded() -> Generator[None]:
    """Let linear algebra use one core while any thread of the process is in such a block.

    The last bits of a product depend on the number of threads, and on two cores, two threads were slower.
    The limit holds for the whole process, so the last block that ends lifts it.

    Raises:
        MissingExtra: threadpoolctl, a part of the extra ``local``, is not installed.
    """
    try:
        threadpoolctl = import_module("threadpoolctl")
    except ImportError as error:
        raise MissingExtra("local", "Training models on this machine") from error
    # threadpoolctl lets one thread at a time change the limit, and ignores the others. The first block
    # and the last may be of different threads, so each takes control.
    take_control = partial(threadpoolctl.OpenBLASController.clear_controlling_thread, force=True)
    with _LOCK:
        if _blocks:
            limits = _blocks[0]
        else:
            take_control()
            limits = threadpoolctl.threadpool_limits(1, user_api="blas")
        _blocks.append(limits)
    try:
        yield
    finally:
        with _LOCK:
            _blocks.pop()
            if not _blocks:
                take_control()
                limits.restore_original_limits()
                take_control()  # now other threads may have it


def fit_multinomial(
    features: npt.NDArray[Any], blocks: list[slice], classes: npt.NDArray[np.intp], seed: int
) -> Head:
    """Fit a multinomial head.

    Args:
        features: Samples x features.
        blocks: Columns of each block; one or two.
        classes: Class of each sample, 0 to n - 1.
        seed: Seed for folds and subsampling.
    """
    count = int(classes.max()) + 1
    targets = np.eye(count)[classes]
    return _fit(features, blocks, targets, classes, seed)


def fit_binary(features: npt.NDArray[Any], blocks: list[slice], targets: Matrix, seed: int) -> Head:
    """Fit an independent binary head for each label.

    Args:
        features: Samples x features.
        blocks: Columns of each block; one or two.
        targets: Samples x labels, 0 or 1.
        seed: Seed for folds and subsampling.
    """
    return _fit(features, blocks, targets, None, seed)


def _fit(
    features: npt.NDArray[Any],
    blocks: list[slice],
    targets: Matrix,
    classes: npt.NDArray[np.intp] | None,
    seed: int,
) -> Head:
    with single_threaded():
        mean = features.mean(0, dtype=np.float64)
        deviation = features.std(0, dtype=np.float64)
        deviation[deviation < _MIN_DEVIATION] = 1.0
        scaled = [(features[:, b] - mean[b]) / deviation[b] / np.sqrt(b.stop - b.start) for b in blocks]
        block_weight = _choose_block_weight(scaled, targets, classes, seed)
        factors = [np.sqrt(1.0 - block_weight), np.sqrt(block_weight)] if len(blocks) > 1 else [1.0]
        rotated, components = _principal_components(
            np.concatenate([f * s for f, s in zip(factors, scaled, strict=True)], axis=1)
        )
        c = _choose_c(rotated, targets, classes, seed)
        coefficients, bias = _solve(rotated, targets, classes, c)
    stretch = np.concatenate(
        [
            np.full(b.stop - b.start, f / np.sqrt(b.stop - b.start))
            for f, b in zip(factors, blocks, strict=True)
        ]
    )
    weights = (coefficients @ components.T) * stretch / deviation
    return Head(weights, bias - weights @ mean, c, block_weight)


def _principal_components(rows: Matrix) -> tuple[Matrix, Matrix]:
    """Rotate rows into their principal components, which gives the same fit in fewer columns.

    Returns:
        The rotated rows (rows x components), and the components (columns x components).
    """
    count, width = rows.shape
    wide = count <= width
    values, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    kept = values > values[-1] * 1e-8
    values, vectors = values[kept][::-1][:_MAX_COMPONENTS], vectors[:, kept][:, ::-1][:, :_MAX_COMPONENTS]
    if not wide:
        return rows @ vectors, vectors
    lengths = np.sqrt(values)
    return vectors * lengths, rows.T @ (vectors / lengths)


def _choose_block_weight(
    scaled: list[Matrix], targets: Matrix, classes: npt.NDArray[np.intp] | None, seed: int
) -> float:
    """Choose the block weight by the leave-one-out error of ridge regression, which has a closed form."""
    if len(scaled) == 1:
        return 0.0
    chosen = _subsample(len(targets), classes, _BLOCK_WEIGHT_SAMPLES, seed)
    first, second = (block[chosen] @ block[chosen].T for block in scaled)
    centred = targets[chosen] - targets[chosen].mean(0)
    losses: list[tuple[float, float]] = []
    for block_weight in _BLOCK_WEIGHTS:
        values, vectors = np.linalg.eigh((1.0 - block_weight) * first + block_weight * second)
        values = np.maximum(values, 0.0)
        projected = vectors.T @ centred
        for ridge in _RIDGES:
            shrunk = values / (values + ridge)
            left_out = (centred - vectors @ (shrunk[:, None] * projected)) / (1.0 - (vectors**2) @ shrunk)[
                :, None
            ]
            losses.append((float((left_out**2).mean()), block_weight))
    return min(losses)[1]


def _choose_c(rows: Matrix, targets: Matrix, classes: npt.NDArray[np.intp] | None, seed: int) -> float:
    """Choose C by cross-validated log loss."""
    chosen = _subsample(len(rows), classes, _C_SAMPLES, seed)
    rows, targets = rows[chosen], targets[chosen]
    classes = None if classes is None else classes[chosen]
    rarest = len(rows) // 2 if classes is None else int(np.bincount(classes).min())
    if rarest < _MIN_PER_CLASS:
        return _DEFAULT_C
    folds = _folds(len(rows), classes, min(_FOLDS, rarest), seed)
    losses: list[tuple[float, float]] = []
    for c in _C_VALUES:
        loss = 0.0
        for held_out in folds:
            coefficients, bias = _solve(
                rows[~held_out], targets[~held_out], None if classes is None else classes[~held_out], c
            )
            scores = rows[held_out] @ coefficients.T + bias
            loss += _log_loss(scores, targets[held_out], exclusive=classes is not None)
        losses.append((loss, c))
    return min(losses)[1]


def _log_loss(scores: Matrix, targets: Matrix, *, exclusive: bool) -> float:
    if exclusive:
        top = scores.max(1, keepdims=True)
        logs = scores - top - np.log(np.exp(scores - top).sum(1, keepdims=True))
        return float(-(targets * logs).sum())
    return float(np.logaddexp(0.0, np.where(targets > 0, -scores, scores)).sum())


def _solve(
    rows: Matrix, targets: Matrix, classes: npt.NDArray[np.intp] | None, c: float
) -> tuple[Matrix, Matrix]:
    """Fit scikit-learn's logistic regression; return coefficients (labels x columns) and biases."""
    logistic: Any = import_module("sklearn.linear_model").LogisticRegression
    if classes is not None:
        model = logistic(C=c, max_iter=1000).fit(rows, classes)
        coefficients, bias = model.coef_, model.intercept_
        if len(bias) == 1:  # two classes: scikit-learn returns the log-odds of the second
            coefficients, bias = np.vstack([-coefficients, coefficients]) / 2, np.append(-bias, bias) / 2
        return coefficients, bias
    coefficients, bias = np.zeros((targets.shape[1], rows.shape[1])), np.zeros(targets.shape[1])
    for column, wanted in enumerate(targets.T):
        if wanted.min() == wanted.max():  # a constant label: predict its frequency, with Laplace smoothing
            frequency = (wanted.sum() + 1) / (len(wanted) + 2)
            bias[column] = np.log(frequency / (1 - frequency))
            continue
        model = logistic(C=c, max_iter=1000).fit(rows, wanted)
        coefficients[column], bias[column] = model.coef_[0], model.intercept_[0]
    return coefficients, bias


def _subsample(
    count: int, classes: npt.NDArray[np.intp] | None, size: int, seed: int
) -> npt.NDArray[np.intp]:
    """Draw about ``size`` of ``count`` samples, stratified, with at least two of each class that has two."""
    indices = np.arange(count)
    if count <= size:
        return indices
    shuffled = np.random.default_rng(seed).permutation(count)
    if classes is None:
        return np.sort(shuffled[:size])
    ranks = _rank_in_class(classes[shuffled])
    sizes = np.bincount(classes)[classes[shuffled]]
    return np.sort(shuffled[(ranks < _MIN_PER_CLASS) | (ranks < sizes * size / count)])


def _folds(
    count: int, classes: npt.NDArray[np.intp] | None, number: int, seed: int
) -> list[npt.NDArray[np.bool_]]:
    """Split the samples into stratified folds; return a mask of the held-out samples for each fold."""
    shuffled = np.random.default_rng(seed).permutation(count)
    ranks = _rank_in_class(np.zeros(count, np.intp) if classes is None else classes[shuffled])
    fold = np.empty(count, np.intp)
    fold[shuffled] = ranks % number
    return [fold == index for index in range(number)]


def _rank_in_class(classes: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return, for each element, the number of earlier elements of the same class."""
    order = np.argsort(classes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(classes))[:-1]]).astype(np.intp)
    ranks = np.empty(len(classes), np.intp)
    ranks[order] = np.arange(len(classes)) - starts[classes[order]]
    return ranks
