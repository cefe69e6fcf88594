"""The heads of a detector: fitted to described windows, their strictness chosen by leaving images out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import numpy.typing as npt

from rekolabels.local._engine._linear import Matrix

if TYPE_CHECKING:
    from rekolabels.local._engine._network import Tensor

__all__ = ["MOVES", "Compression", "Described", "Heads", "fit_moves"]

Numbers = npt.NDArray[np.intp]
Halves = npt.NDArray[np.float16]

MOVES = 4
"""How to move a window: its centre in shares of its sides, and the logarithms of how its sides change."""
_DIRECTIONS = 768
"""Descriptions are compressed into so many directions at most while the heads are fitted."""
_CHUNK = 2048
_STRENGTHS = (1.0, 3.0, 10.0, 30.0)
"""Candidates for C of the logistic regression, the inverse of its penalty."""
_RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Candidates for the penalty of the moves."""
_ENOUGH = 5000
"""Windows that suffice for choosing C; all are used in the fits."""
_STEPS, _MORE_STEPS = 60, 30
"""Of the minimiser, from nothing and from an earlier solution."""


@attrs.frozen(eq=False)
class Compression:
    """Standardised descriptions in the directions in which they differ most."""

    mean: Matrix
    basis: Matrix
    """Description x directions; with the standardisation."""

    @classmethod
    def find(cls, parts: list[Halves]) -> Compression:
        """Look at windows, some at a time."""
        width = parts[0].shape[1]
        count = sum(len(part) for part in parts)
        total, squares = np.zeros(width), np.zeros((width, width))
        for part in parts:
            rows = part.astype(np.float32)
            total += rows.sum(0, dtype=np.float64)
            squares += rows.T @ rows
        mean = total / count
        covariance = squares / count - np.outer(mean, mean)
        scale = 1.0 / ((np.sqrt(np.maximum(covariance.diagonal(), 0.0)) + 1e-6) * np.sqrt(width))
        _, vectors = np.linalg.eigh(covariance * np.outer(scale, scale))
        return cls(mean, scale[:, None] * vectors[:, ::-1][:, :_DIRECTIONS])

    def apply(self, rows: npt.NDArray[Any]) -> Tensor:
        """Compress some descriptions."""
        result: Tensor = (rows - self.mean.astype(np.float32)) @ self.basis.astype(np.float32)
        return result

    def unfold(self, coefficients: Matrix, bias: Matrix) -> tuple[Matrix, Matrix]:
        """What heads on compressed descriptions are on the descriptions themselves."""
        weights: Matrix = coefficients @ self.basis.T
        return weights, bias - weights @ self.mean


@attrs.frozen(eq=False)
class Described:
    """Described windows, image by image, in half precision: there are tens of thousands."""

    rows: list[Halves] = attrs.field(factory=list[Halves])
    targets: list[npt.NDArray[Any]] = attrs.field(factory=list[npt.NDArray[Any]])
    """The class of each window, or how it is moved."""

    def add(self, rows: Tensor, targets: npt.NDArray[Any]) -> None:
        """Take the windows of one more image."""
        self.rows.append(rows.astype(np.float16))
        self.targets.append(targets)

    def compressed(self, compression: Compression) -> tuple[Tensor, npt.NDArray[Any], Numbers]:
        """All windows, compressed; their targets; which image each is of.

        The descriptions are dropped on the way, so that no more memory is held than is needed.
        """
        images = np.repeat(np.arange(len(self.rows)), [len(rows) for rows in self.rows])
        whole: Tensor = np.empty((len(images), compression.basis.shape[1]), dtype=np.float32)
        end = len(whole)
        while self.rows:
            rows = self.rows.pop()
            whole[end - len(rows) : end] = compression.apply(rows)
            end -= len(rows)
        return whole, np.concatenate(self.targets), images


class Heads:
    """The classes of windows: multinomial logistic regression, fitted anew whenever there are more windows.

    Args:
        rows: Compressed windows.
        classes: Their classes; the last one is "nothing".
        images: Which image each is of.
        count: How many classes there are.
        seed: For the windows among which C is chosen.
    """

    def __init__(self, rows: Tensor, classes: Numbers, images: Numbers, *, count: int, seed: int) -> None:
        self._count = count
        self._parts = [(rows, classes)]
        self._solution = np.zeros(count * (rows.shape[1] + 1))
        self._steps = _STEPS
        self.strength = self._choose(rows, classes, images, seed)

    def add_nothing(self, rows: Tensor) -> None:
        """Take more windows that hold nothing."""
        self._parts.append((rows, np.full(len(rows), self._count - 1, dtype=np.intp)))

    def fit(self) -> tuple[Matrix, Matrix]:
        """Go on from the last fit; coefficients (classes x directions) and biases."""
        self._solution = _minimise(self._parts, self.strength, self._solution, self._steps)
        self._steps = _MORE_STEPS
        parts = self._solution.reshape(self._count, -1)
        return parts[:, :-1], parts[:, -1]

    def _choose(self, rows: Tensor, classes: Numbers, images: Numbers, seed: int) -> float:
        """Choose C by the log loss on the windows of images that were left out, one half after the other."""
        if images.max(initial=0) < 1:
            return _STRENGTHS[len(_STRENGTHS) // 2]
        chosen = np.arange(len(rows))
        if len(chosen) > _ENOUGH:
            chosen = np.sort(np.random.default_rng(seed).choice(chosen, _ENOUGH, replace=False))
        losses = np.zeros(len(_STRENGTHS))
        for half in range(2):
            held = chosen[images[chosen] % 2 == half]
            kept = chosen[images[chosen] % 2 != half]
            parts = [(rows[kept], classes[kept])]
            solution = np.zeros_like(self._solution)
            for index, strength in enumerate(_STRENGTHS):  # each begins where the stricter one ended
                solution = _minimise(parts, strength, solution, _MORE_STEPS)
                losses[index] += _loss(solution, rows[held], classes[held])
        return _STRENGTHS[int(losses.argmin())]


def fit_moves(rows: Tensor, moves: Matrix, images: Numbers) -> tuple[Matrix, Matrix]:
    """Fit how windows are moved: ridge regression, its penalty chosen by leaving out half of the images.

    Returns:
        Coefficients (moves x directions) and biases.
    """
    width = rows.shape[1] + 1
    inner, outer = np.zeros((2, width, width)), np.zeros((2, width, MOVES))
    spread = 0.0
    for start in range(0, len(rows), _CHUNK):
        some, wanted = rows[start : start + _CHUNK].astype(np.float64), moves[start : start + _CHUNK]
        some = np.concatenate([some, np.ones((len(some), 1))], axis=1)
        for half in range(2):
            mine = images[start : start + _CHUNK] % 2 == half
            inner[half] += some[mine].T @ some[mine]
            outer[half] += some[mine].T @ wanted[mine]
        spread += float((wanted**2).sum())
    losses: list[tuple[float, float]] = []
    for ridge in _RIDGES:
        loss = spread
        for half in range(2):
            solved = _solve(inner[1 - half], outer[1 - half], ridge)
            loss += float((solved * (inner[half] @ solved - 2 * outer[half])).sum())
        losses.append((loss, ridge))
    solved = _solve(inner.sum(0), outer.sum(0), min(losses)[1])
    coefficients: Matrix = solved[:-1].T
    bias: Matrix = solved[-1]
    return coefficients, bias


def _solve(inner: Matrix, outer: Matrix, ridge: float) -> Matrix:
    result: Matrix = np.linalg.solve(inner + ridge * np.eye(len(inner)), outer).astype(np.float64)
    return result


def _scores(solution: Matrix, rows: Tensor) -> Tensor:
    parts = solution.reshape(-1, rows.shape[1] + 1).astype(np.float32)
    scores: Tensor = rows @ parts[:, :-1].T + parts[:, -1]
    scores -= scores.max(1, keepdims=True)
    return scores


def _loss(solution: Matrix, rows: Tensor, classes: Numbers) -> float:
    scores = _scores(solution, rows)
    right = scores[np.arange(len(rows)), classes]
    return float((np.log(np.exp(scores).sum(1)) - right).sum(dtype=np.float64))


def _minimise(parts: list[tuple[Tensor, Numbers]], strength: float, solution: Matrix, steps: int) -> Matrix:
    """Fit classes from a solution on, to windows that lie in several parts.

    SciPy's minimiser instead of scikit-learn's class: it stops after a number of steps without a warning.
    The last digits of a window's score decide nothing.
    """
    minimize: Any = import_module("scipy.optimize").minimize
    count = len(solution) // (parts[0][0].shape[1] + 1)
    size = max(1, sum(len(rows) for rows, _ in parts))

    def loss(flat: Matrix) -> tuple[float, Matrix]:
        total, slope = 0.0, np.zeros((count, len(flat) // count))
        for rows, classes in parts:
            right = np.arange(len(rows)), classes
            shares = _scores(flat, rows)
            total -= float(shares[right].sum(dtype=np.float64))
            np.exp(shares, out=shares)
            sums = shares.sum(1, keepdims=True)
            total += float(np.log(sums).sum(dtype=np.float64))
            shares /= sums
            shares[right] -= 1.0
            slope[:, :-1] += shares.T @ rows
            slope[:, -1] += shares.sum(0)
        coefficients = flat.reshape(count, -1)[:, :-1]
        slope *= strength / size
        slope[:, :-1] += coefficients / size
        return (strength * total + 0.5 * float((coefficients**2).sum())) / size, slope.ravel()

    found: Any = minimize(loss, solution, jac=True, method="L-BFGS-B", options={"maxiter": steps})
    result: Matrix = found.x
    return result
