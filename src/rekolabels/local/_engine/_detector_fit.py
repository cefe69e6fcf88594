"""Fitting the heads of a detector to sampled windows; hyperparameters are cross-validated between images."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from rekolabels.local._engine._linear import Matrix
from rekolabels.local._engine._network import Tensor, parallel_map
from rekolabels.local._engine._windows import Indices

__all__ = ["OFFSETS", "TrainingWindows", "fit_heads"]

OFFSETS = 4
"""Offsets of a box from its window: the shift of the centre in fractions of the window's sides (x, y), and
the logarithms of the ratios of the sides (width, height)."""
_CHUNK = 1024
"""Windows that a thread processes at a time; their features fit into the cache of a core."""
_C_VALUES = (1.0, 3.0, 10.0, 30.0)
"""Candidates for C of the logistic regression, the inverse of its penalty."""
_RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Candidates for the penalty of the offsets' ridge regression."""
_C_SAMPLES = 4000
"""Number of windows that suffices to choose C; the fits use all windows."""
_FIRST_BACKGROUND = 6000
"""Background windows in the first fit. The second adds the others that the first takes for objects."""
_HARD_NEGATIVE = 0.2
"""Probability of all labels together from which a background window is a hard negative."""
_STEPS = 4
"""Iterations of each minimisation. The first one gives about the result of linear discriminant analysis; many
more would overfit the windows of few objects."""
_CURVATURE = 0.15
"""Typical second derivative of the log loss by a score; used to scale the coordinates of the minimiser."""
_MIN_DEVIATION = 1e-4
"""A feature with a smaller standard deviation is constant."""


@attrs.frozen(eq=False)
class TrainingWindows:
    """Windows of the training images, with their features and targets."""

    rows: Tensor
    """Windows x features, the last of which is 1 (for the bias)."""
    classes: Indices
    """Number of the label; one more than the last label for background; -1 for partial objects, which only
    train the offsets."""
    offsets: Matrix
    """Windows x `OFFSETS`; unused for background."""
    images: Indices
    """Number of the image that each window is from."""


def fit_heads(windows: TrainingWindows, labels: int, seed: int) -> Matrix:
    """Fit the heads of a detector.

    Args:
        windows: The training windows.
        labels: Number of labels.
        seed: Seed for subsampling.

    Returns:
        Outputs x features; the outputs are a score for each label, one for background, and the offsets.
    """
    is_object = windows.classes != labels
    halves = [is_object & (windows.images % 2 == half) for half in range(2)]
    inner = [_gram_matrix(windows.rows[half]) for half in halves]
    gram = inner[0] + inner[1] + _gram_matrix(windows.rows[~is_object])
    gram /= len(windows.rows)
    outer = [windows.rows[half].T @ windows.offsets[half] for half in halves]
    total = float((windows.offsets[is_object] ** 2).sum())
    # Penalising each coefficient by the variance of its feature is the same as standardising the features.
    penalty = np.maximum(gram.diagonal() - gram[-1] ** 2, _MIN_DEVIATION**2) * len(gram)
    penalty[-1] = 1.0
    classes = _ClassHead(windows, labels, *_principal_directions(gram, penalty[:-1])).fit(seed)
    return np.concatenate([classes, _fit_offsets(inner, outer, total, penalty)])


def _principal_directions(gram: Matrix, penalty: Matrix) -> tuple[Matrix, Matrix]:
    """Return the principal directions of the standardised features.

    In these coordinates the penalty is the same along each axis, and the curvature of the loss follows the
    variance of the windows.

    Returns:
        Directions x features, the last direction being the bias; and the variance along each direction.
    """
    scale, mean = 1.0 / np.sqrt(penalty), gram[-1, :-1]
    variance, vectors = np.linalg.eigh((gram[:-1, :-1] - np.outer(mean, mean)) * np.outer(scale, scale))
    directions = np.eye(len(gram))
    directions[:-1, :-1] = vectors.T * scale
    directions[:-1, -1] = -directions[:-1, :-1] @ mean
    return directions, np.append(np.maximum(variance, 0.0), 1.0)


def _gram_matrix(rows: Tensor) -> Matrix:
    """Return the sum of the outer products of the rows: features x features."""
    total: Matrix = np.zeros((rows.shape[1], rows.shape[1]))
    for part in parallel_map(lambda chunk: chunk.T @ chunk, _chunks(rows)):
        np.add(total, part, out=total)
    return total


def _chunks(rows: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    return [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]


def _fit_offsets(inner: list[Matrix], outer: list[Matrix], total: float, penalty: Matrix) -> Matrix:
    """Fit the offsets by ridge regression, with its penalty cross-validated between two halves of the images.

    Args:
        inner: Gram matrix of each half, features x features.
        outer: Features times offsets of each half, features x `OFFSETS`.
        total: Sum of the squared offsets.
        penalty: Relative penalty of each feature.

    Returns:
        `OFFSETS` x features.
    """

    def solve(inner: Matrix, outer: Matrix, ridge: float) -> Matrix:
        result: Matrix = np.linalg.solve(inner + np.diag(ridge * penalty), outer).astype(np.float64)
        return result

    losses: list[tuple[float, float]] = []
    for ridge in _RIDGES:
        loss = total
        for half in range(2):
            solved = solve(inner[1 - half], outer[1 - half], ridge)
            loss += float((solved * (inner[half] @ solved - 2 * outer[half])).sum())
        losses.append((loss, ridge))
    best = solve(inner[0] + inner[1], outer[0] + outer[1], min(losses)[1])
    return np.ascontiguousarray(best.T)


@attrs.frozen(eq=False)
class _ClassHead:
    """Multinomial logistic regression of the windows' classes.

    Uses SciPy's minimiser rather than scikit-learn's class: it accepts coordinates in which the loss is about
    equally steep in all directions, so that few iterations suffice, and it stops after them without a
    warning.
    """

    windows: TrainingWindows
    labels: int
    directions: Matrix
    variance: Matrix
    """Both as `_principal_directions` returns them."""

    def fit(self, seed: int) -> Matrix:
        """Fit with a sample of the background, then add the hard negatives: (labels + 1) x features."""
        random = np.random.default_rng(seed)
        classes = self.windows.classes
        background = np.flatnonzero(classes == self.labels)
        first = _subsample(background, _FIRST_BACKGROUND, random)
        chosen = np.concatenate([np.flatnonzero((classes >= 0) & (classes < self.labels)), first])
        c = self._choose_c(_subsample(chosen, _C_SAMPLES, random))
        solution = np.zeros((self.labels + 1, len(self.variance)))
        solution = self._minimise(chosen, c, solution)
        rest = np.setdiff1d(background, first)
        is_object = 1.0 - _probabilities(self._coefficients(solution), self.windows.rows[rest])[:, -1]
        chosen = np.concatenate([chosen, rest[is_object > _HARD_NEGATIVE]])
        return self._minimise(chosen, c, solution) @ self.directions

    def _choose_c(self, chosen: Indices) -> float:
        """Choose C by the log loss, cross-validated between two halves of the images."""
        halves = [chosen[self.windows.images[chosen] % 2 == half] for half in range(2)]
        if not (len(halves[0]) and len(halves[1])):
            return _C_VALUES[len(_C_VALUES) // 2]

        def losses(half: int) -> Matrix:
            held_out = halves[half]
            found = np.zeros(len(_C_VALUES))
            solution = np.zeros((self.labels + 1, len(self.variance)))
            for index, c in enumerate(_C_VALUES):  # each starts from the solution of the previous C
                solution = self._minimise(halves[1 - half], c, solution)
                predicted = _probabilities(self._coefficients(solution), self.windows.rows[held_out])
                correct = predicted[np.arange(len(held_out)), self.windows.classes[held_out]]
                found[index] -= float(np.log(np.maximum(correct, 1e-30)).sum(dtype=np.float64))
            return found

        return _C_VALUES[int((losses(0) + losses(1)).argmin())]

    def _coefficients(self, solution: Matrix) -> Tensor:
        result: Tensor = (solution @ self.directions).astype(np.float32)
        return result

    def _minimise(self, chosen: Indices, c: float, solution: Matrix) -> Matrix:
        """Fit some windows, starting from a solution (classes x directions)."""
        minimize: Any = import_module("scipy.optimize").minimize
        size = len(chosen)
        steepness = np.sqrt(1.0 / size + _CURVATURE * c * self.variance)
        parts = list(
            zip(_chunks(self.windows.rows[chosen]), _chunks(self.windows.classes[chosen]), strict=True)
        )

        def loss(flat: Matrix) -> tuple[float, Matrix]:
            current = flat.reshape(solution.shape) / steepness
            coefficients = self._coefficients(current)
            total, gradient = 0.0, np.zeros(solution.shape)
            for part_loss, part_gradient in parallel_map(lambda part: _log_loss(coefficients, *part), parts):
                total += c * part_loss
                gradient += c * part_gradient
            gradient = gradient @ self.directions.T
            current[:, -1] = 0.0  # the bias is not penalised
            total += 0.5 * float((current**2).sum())
            return total / size, ((gradient + current) / steepness / size).ravel()

        options = {"maxiter": _STEPS}
        found: Any = minimize(
            loss, (solution * steepness).ravel(), jac=True, method="L-BFGS-B", options=options
        )
        result: Matrix = found.x.reshape(solution.shape) / steepness
        return result


def _log_loss(coefficients: Tensor, rows: Tensor, classes: Indices) -> tuple[float, Tensor]:
    """Return the log loss of some windows, and its gradient by the coefficients."""
    probabilities = _probabilities(coefficients, rows)
    correct = np.arange(len(rows)), classes
    total = -float(np.log(np.maximum(probabilities[correct], 1e-30)).sum(dtype=np.float64))
    probabilities[correct] -= 1.0
    return total, probabilities.T @ rows


def _probabilities(coefficients: Tensor, rows: Tensor) -> Tensor:
    """Return the softmax of the scores, windows x classes."""
    scores: Tensor = rows @ coefficients.T
    scores -= scores.max(1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(1, keepdims=True)
    return scores


def _subsample(indices: Indices, limit: int, random: np.random.Generator) -> Indices:
    """Return all indices, or a random sample of them, sorted, if there are more than the limit."""
    return indices if len(indices) <= limit else np.sort(random.choice(indices, limit, replace=False))
