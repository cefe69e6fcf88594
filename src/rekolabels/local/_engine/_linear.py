"""Linear heads on standardised features: how they are fitted, and how their strictness is chosen.

The features come in blocks (what, where). Everything that is chosen (the share of each block, the
regularisation) is chosen by leaving out training samples; no test image is involved.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import numpy.typing as npt

from rekolabels.errors import MissingExtra

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["Head", "Matrix", "fit_exclusive", "fit_independent", "one_thread"]

Matrix = npt.NDArray[np.float64]

_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Candidates for the share of the second block."""
_RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Penalties at which the shares are compared; each share by its best."""
_STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Candidates for C of the logistic regression, the inverse of its penalty."""
_DEFAULT_STRENGTH = 30.0
"""Where there are too few samples to try."""
_CONSTANT = 1e-6
"""A feature that deviates less tells nothing."""
_PAIR = 2
"""A class needs a sample on either side of a fold."""
_FOLDS = 4
_ENOUGH_FOR_SHARES = 800
_ENOUGH_FOR_STRENGTH = 600
"""Samples that suffice for choosing; all are used in the final fit."""
_MOST_DIRECTIONS = 1500
"""Principal directions that are kept at most."""


@attrs.frozen(eq=False)
class Head:
    """A linear map from features to one score a label."""

    weights: Matrix
    """Labels x features."""
    bias: Matrix
    """One a label."""
    strength: float
    """The C that was chosen."""
    share: float
    """The share of the second block that was chosen."""

    def scores(self, features: npt.NDArray[Any]) -> Matrix:
        """Log-odds (independent labels) or their exclusive counterpart, up to a constant a row."""
        result: Matrix = features.astype(np.float64) @ self.weights.T + self.bias
        return result


def one_thread() -> AbstractContextManager[Any]:
    """Keep the linear algebra on one core: two were slower than one on two cores."""
    try:
        limits: AbstractContextManager[Any] = import_module("threadpoolctl").threadpool_limits(1)
    except ImportError as error:
        raise MissingExtra("local", "Training models on this machine") from error
    return limits


def fit_exclusive(
    features: npt.NDArray[Any], blocks: list[slice], classes: npt.NDArray[np.intp], seed: int
) -> Head:
    """Fit a multinomial head: exactly one of the classes 0, 1, … holds for each row."""
    count = int(classes.max()) + 1
    targets = np.eye(count)[classes]
    return _fit(features, blocks, targets, classes, seed)


def fit_independent(features: npt.NDArray[Any], blocks: list[slice], targets: Matrix, seed: int) -> Head:
    """Fit one binary head a column of the 0/1 targets."""
    return _fit(features, blocks, targets, None, seed)


def _fit(
    features: npt.NDArray[Any],
    blocks: list[slice],
    targets: Matrix,
    classes: npt.NDArray[np.intp] | None,
    seed: int,
) -> Head:
    with one_thread():
        mean = features.mean(0, dtype=np.float64)
        deviation = features.std(0, dtype=np.float64)
        deviation[deviation < _CONSTANT] = 1.0
        scaled = [(features[:, b] - mean[b]) / deviation[b] / np.sqrt(b.stop - b.start) for b in blocks]
        share = _choose_share(scaled, targets, classes, seed)
        factors = [np.sqrt(1.0 - share), np.sqrt(share)] if len(blocks) > 1 else [1.0]
        rotated, directions = _principal(
            np.concatenate([f * s for f, s in zip(factors, scaled, strict=True)], axis=1)
        )
        strength = _choose_strength(rotated, targets, classes, seed)
        coefficients, bias = _solve(rotated, targets, classes, strength)
    stretch = np.concatenate(
        [
            np.full(b.stop - b.start, f / np.sqrt(b.stop - b.start))
            for f, b in zip(factors, blocks, strict=True)
        ]
    )
    weights = (coefficients @ directions.T) * stretch / deviation
    return Head(weights, bias - weights @ mean, strength, share)


def _principal(rows: Matrix) -> tuple[Matrix, Matrix]:
    """Rotate the rows into their principal directions: the same fit in fewer columns."""
    count, width = rows.shape
    wide = count <= width
    values, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    kept = values > values[-1] * 1e-8
    values, vectors = values[kept][::-1][:_MOST_DIRECTIONS], vectors[:, kept][:, ::-1][:, :_MOST_DIRECTIONS]
    if not wide:
        return rows @ vectors, vectors
    lengths = np.sqrt(values)
    return vectors * lengths, rows.T @ (vectors / lengths)


def _choose_share(
    scaled: list[Matrix], targets: Matrix, classes: npt.NDArray[np.intp] | None, seed: int
) -> float:
    """Compare the shares by leaving one out, which costs a ridge regression nothing extra."""
    if len(scaled) == 1:
        return 0.0
    chosen = _subset(len(targets), classes, _ENOUGH_FOR_SHARES, seed)
    first, second = (block[chosen] @ block[chosen].T for block in scaled)
    centred = targets[chosen] - targets[chosen].mean(0)
    losses: list[tuple[float, float]] = []
    for share in _SHARES:
        values, vectors = np.linalg.eigh((1.0 - share) * first + share * second)
        values = np.maximum(values, 0.0)
        projected = vectors.T @ centred
        for ridge in _RIDGES:
            shrunk = values / (values + ridge)
            left_out = (centred - vectors @ (shrunk[:, None] * projected)) / (1.0 - (vectors**2) @ shrunk)[
                :, None
            ]
            losses.append((float((left_out**2).mean()), share))
    return min(losses)[1]


def _choose_strength(rows: Matrix, targets: Matrix, classes: npt.NDArray[np.intp] | None, seed: int) -> float:
    """Choose C by cross-validated log loss."""
    chosen = _subset(len(rows), classes, _ENOUGH_FOR_STRENGTH, seed)
    rows, targets = rows[chosen], targets[chosen]
    classes = None if classes is None else classes[chosen]
    rarest = len(rows) // 2 if classes is None else int(np.bincount(classes).min())
    if rarest < _PAIR:
        return _DEFAULT_STRENGTH
    folds = _folds(len(rows), classes, min(_FOLDS, rarest), seed)
    losses: list[tuple[float, float]] = []
    for strength in _STRENGTHS:
        loss = 0.0
        for held in folds:
            coefficients, bias = _solve(
                rows[~held], targets[~held], None if classes is None else classes[~held], strength
            )
            scores = rows[held] @ coefficients.T + bias
            loss += _loss(scores, targets[held], exclusive=classes is not None)
        losses.append((loss, strength))
    return min(losses)[1]


def _loss(scores: Matrix, targets: Matrix, *, exclusive: bool) -> float:
    if exclusive:
        top = scores.max(1, keepdims=True)
        logs = scores - top - np.log(np.exp(scores - top).sum(1, keepdims=True))
        return float(-(targets * logs).sum())
    return float(np.logaddexp(0.0, np.where(targets > 0, -scores, scores)).sum())


def _solve(
    rows: Matrix, targets: Matrix, classes: npt.NDArray[np.intp] | None, strength: float
) -> tuple[Matrix, Matrix]:
    """Fit scikit-learn's logistic regression; return coefficients (labels x columns) and biases."""
    logistic: Any = import_module("sklearn.linear_model").LogisticRegression
    if classes is not None:
        model = logistic(C=strength, max_iter=1000).fit(rows, classes)
        coefficients, bias = model.coef_, model.intercept_
        if len(bias) == 1:  # two classes: scikit-learn gives the log-odds of the second
            coefficients, bias = np.vstack([-coefficients, coefficients]) / 2, np.append(-bias, bias) / 2
        return coefficients, bias
    coefficients, bias = np.zeros((targets.shape[1], rows.shape[1])), np.zeros(targets.shape[1])
    for column, wanted in enumerate(targets.T):
        if (
            wanted.min() == wanted.max()
        ):  # always or never there: nothing to separate, so the prior with one doubt
            share = (wanted.sum() + 1) / (len(wanted) + 2)
            bias[column] = np.log(share / (1 - share))
            continue
        model = logistic(C=strength, max_iter=1000).fit(rows, wanted)
        coefficients[column], bias[column] = model.coef_[0], model.intercept_[0]
    return coefficients, bias


def _subset(count: int, classes: npt.NDArray[np.intp] | None, enough: int, seed: int) -> npt.NDArray[np.intp]:
    """Draw as many samples as suffice, of each class in proportion and at least two where there are two."""
    everyone = np.arange(count)
    if count <= enough:
        return everyone
    shuffled = np.random.default_rng(seed).permutation(count)
    if classes is None:
        return np.sort(shuffled[:enough])
    ranks = _ranks(classes[shuffled])
    sizes = np.bincount(classes)[classes[shuffled]]
    return np.sort(shuffled[(ranks < _PAIR) | (ranks < sizes * enough / count)])


def _folds(
    count: int, classes: npt.NDArray[np.intp] | None, number: int, seed: int
) -> list[npt.NDArray[np.bool_]]:
    """Deal the samples out into folds, each class by itself."""
    shuffled = np.random.default_rng(seed).permutation(count)
    ranks = _ranks(np.zeros(count, np.intp) if classes is None else classes[shuffled])
    fold = np.empty(count, np.intp)
    fold[shuffled] = ranks % number
    return [fold == index for index in range(number)]


def _ranks(classes: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """For each element, how many of its class come before it."""
    order = np.argsort(classes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(classes))[:-1]]).astype(np.intp)
    ranks = np.empty(len(classes), np.intp)
    ranks[order] = np.arange(len(classes)) - starts[classes[order]]
    return ranks
