"""The heads of a detector: fitted to described windows, their strictness chosen by leaving images out."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from rekolabels.local._engine._features import in_order
from rekolabels.local._engine._linear import Matrix
from rekolabels.local._engine._network import Tensor

__all__ = ["MOVES", "Numbers", "Windows", "fit_heads"]

Numbers = npt.NDArray[np.intp]

MOVES = 4
"""How to move a window: its centre in shares of its sides, and the logarithms of how its sides change."""
_CHUNK = 1024
"""Windows that are worked on at once: a core keeps so many at hand."""
_STRENGTHS = (1.0, 3.0, 10.0, 30.0)
"""Candidates for C of the logistic regression, the inverse of its penalty."""
_RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Candidates for the penalty of the moves."""
_ENOUGH = 4000
"""Windows that suffice for choosing C; all are used in the fits."""
_FIRST_NONE = 6000
"""Windows that hold nothing in the first fit; those of the others that it takes for objects are added."""
_FALSE = 0.2
"""From this share of the labels on, a window is taken for an object."""
_STEPS = 4
"""Of the minimiser, each time. The first leads to about what linear discriminant analysis finds; those that
come after many follow the windows of few objects too closely."""
_CURVATURE = 0.15
"""Of the loss by a score where a window is neither clear nor open: tells the minimiser how far to step."""
_CONSTANT = 1e-4
"""A number that deviates less tells nothing."""


@attrs.frozen(eq=False)
class Windows:
    """Described windows of the training images."""

    rows: Tensor
    """Windows x numbers, the last of which is 1."""
    classes: Numbers
    """The number of the label; one more than the last label for nothing; -1 for too little of an object."""
    moves: Matrix
    """How each is moved onto its object; unused where it holds nothing."""
    images: Numbers
    """Which image each is of."""


def fit_heads(windows: Windows, labels: int, seed: int) -> Matrix:
    """Fit the outputs of a detector: a score a label, one for nothing, and the moves.

    Returns:
        Outputs x numbers.
    """
    moved = windows.classes != labels
    halves = [moved & (windows.images % 2 == half) for half in range(2)]
    inner = [_products(windows.rows[half]) for half in halves]
    products = inner[0] + inner[1] + _products(windows.rows[~moved])
    products /= len(windows.rows)
    outer = [windows.rows[half].T @ windows.moves[half] for half in halves]
    spread = float((windows.moves[moved] ** 2).sum())
    # Every number is penalised by how much it deviates, as if all were standardised.
    penalty = np.maximum(products.diagonal() - products[-1] ** 2, _CONSTANT**2) * len(products)
    penalty[-1] = 1.0
    classes = _Classes(windows, labels, *_directions(products, penalty[:-1])).fit(seed)
    return np.concatenate([classes, _fit_moves(inner, outer, spread, penalty)])


def _directions(products: Matrix, penalty: Matrix) -> tuple[Matrix, Matrix]:
    """Turn the numbers, standardised, into the directions in which the windows differ most.

    There the penalty is the same along each, and the loss is as steep as the windows are spread.

    Returns:
        Directions x numbers, the constant being the last direction; how much the windows spread along each.
    """
    scale, mean = 1.0 / np.sqrt(penalty), products[-1, :-1]
    spread, vectors = np.linalg.eigh((products[:-1, :-1] - np.outer(mean, mean)) * np.outer(scale, scale))
    directions = np.eye(len(products))
    directions[:-1, :-1] = vectors.T * scale
    directions[:-1, -1] = -directions[:-1, :-1] @ mean
    return directions, np.append(np.maximum(spread, 0.0), 1.0)


def _products(rows: Tensor) -> Matrix:
    """Sum up the products of the numbers of each window: numbers x numbers."""
    total: Matrix = np.zeros((rows.shape[1], rows.shape[1]))
    for part in in_order(lambda some: some.T @ some, _chunks(rows)):
        np.add(total, part, out=total)
    return total


def _chunks(rows: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    return [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]


def _fit_moves(inner: list[Matrix], outer: list[Matrix], spread: float, penalty: Matrix) -> Matrix:
    """Fit how windows are moved: ridge regression, its penalty chosen by leaving out half of the images."""

    def solve(inner: Matrix, outer: Matrix, ridge: float) -> Matrix:
        result: Matrix = np.linalg.solve(inner + np.diag(ridge * penalty), outer).astype(np.float64)
        return result

    losses: list[tuple[float, float]] = []
    for ridge in _RIDGES:
        loss = spread
        for half in range(2):
            solved = solve(inner[1 - half], outer[1 - half], ridge)
            loss += float((solved * (inner[half] @ solved - 2 * outer[half])).sum())
        losses.append((loss, ridge))
    whole = solve(inner[0] + inner[1], outer[0] + outer[1], min(losses)[1])
    return np.ascontiguousarray(whole.T)


@attrs.frozen(eq=False)
class _Classes:
    """The classes of windows: multinomial logistic regression.

    SciPy's minimiser instead of scikit-learn's class: it can be given coordinates in which the loss is about
    as steep in all directions, so that few steps lead far, and stops after them without a warning.
    """

    windows: Windows
    labels: int
    directions: Matrix
    spread: Matrix
    """Both as :func:`_directions` finds them."""

    def fit(self, seed: int) -> Matrix:
        """Fit to a part of the windows that hold nothing, then to the ones that are mistaken as well."""
        random = np.random.default_rng(seed)
        classes = self.windows.classes
        nothing = np.flatnonzero(classes == self.labels)
        first = _some(nothing, _FIRST_NONE, random)
        chosen = np.concatenate([np.flatnonzero((classes >= 0) & (classes < self.labels)), first])
        strength = self._choose(_some(chosen, _ENOUGH, random))
        solution = np.zeros((self.labels + 1, len(self.spread)))
        solution = self._minimise(chosen, strength, solution)
        rest = np.setdiff1d(nothing, first)
        taken = 1.0 - _shares(self._coefficients(solution), self.windows.rows[rest])[:, -1]
        chosen = np.concatenate([chosen, rest[taken > _FALSE]])
        return self._minimise(chosen, strength, solution) @ self.directions

    def _choose(self, chosen: Numbers) -> float:
        """Choose C by the log loss on the windows of images that were left out, one half after the other."""
        halves = [chosen[self.windows.images[chosen] % 2 == half] for half in range(2)]
        if not (len(halves[0]) and len(halves[1])):
            return _STRENGTHS[len(_STRENGTHS) // 2]

        def losses(half: int) -> Matrix:
            held = halves[half]
            found = np.zeros(len(_STRENGTHS))
            solution = np.zeros((self.labels + 1, len(self.spread)))
            for index, strength in enumerate(_STRENGTHS):  # each begins where the stricter one ended
                solution = self._minimise(halves[1 - half], strength, solution)
                shares = _shares(self._coefficients(solution), self.windows.rows[held])
                right = shares[np.arange(len(held)), self.windows.classes[held]]
                found[index] -= float(np.log(np.maximum(right, 1e-30)).sum(dtype=np.float64))
            return found

        return _STRENGTHS[int((losses(0) + losses(1)).argmin())]

    def _coefficients(self, solution: Matrix) -> Tensor:
        result: Tensor = (solution @ self.directions).astype(np.float32)
        return result

    def _minimise(self, chosen: Numbers, strength: float, solution: Matrix) -> Matrix:
        """Fit some windows, from a solution on."""
        minimize: Any = import_module("scipy.optimize").minimize
        size = len(chosen)
        steepness = np.sqrt(1.0 / size + _CURVATURE * strength * self.spread)
        parts = list(
            zip(_chunks(self.windows.rows[chosen]), _chunks(self.windows.classes[chosen]), strict=True)
        )

        def loss(flat: Matrix) -> tuple[float, Matrix]:
            current = flat.reshape(solution.shape) / steepness
            coefficients = self._coefficients(current)
            total, slope = 0.0, np.zeros(solution.shape)
            for some, change in in_order(lambda part: _loss(coefficients, *part), parts):
                total += strength * some
                slope += strength * change
            slope = slope @ self.directions.T
            current[:, -1] = 0.0  # the constant is free
            total += 0.5 * float((current**2).sum())
            return total / size, ((slope + current) / steepness / size).ravel()

        options = {"maxiter": _STEPS}
        found: Any = minimize(
            loss, (solution * steepness).ravel(), jac=True, method="L-BFGS-B", options=options
        )
        result: Matrix = found.x.reshape(solution.shape) / steepness
        return result


def _loss(coefficients: Tensor, rows: Tensor, classes: Numbers) -> tuple[float, Tensor]:
    """The log loss of some windows, and how it changes with the coefficients."""
    shares = _shares(coefficients, rows)
    right = np.arange(len(rows)), classes
    total = -float(np.log(np.maximum(shares[right], 1e-30)).sum(dtype=np.float64))
    shares[right] -= 1.0
    return total, shares.T @ rows


def _shares(coefficients: Tensor, rows: Tensor) -> Tensor:
    """For each window, the shares of the classes; they add up to 1."""
    scores: Tensor = rows @ coefficients.T
    scores -= scores.max(1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(1, keepdims=True)
    return scores


def _some(places: Numbers, most: int, random: np.random.Generator) -> Numbers:
    """Draw some, if there are more."""
    return places if len(places) <= most else np.sort(random.choice(places, most, replace=False))
