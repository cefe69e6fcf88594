"""Windows on a grid of cells: where they lie, what is in them, and which of them speak of the same object."""

from __future__ import annotations

import functools
from importlib import import_module
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from rekolabels.local._engine._linear import Matrix

__all__ = [
    "PARTS",
    "SHAPE",
    "Corners",
    "Layout",
    "Rectangles",
    "corners",
    "integrate",
    "lay",
    "make_shapes",
    "merge",
    "overlaps",
    "pool",
    "pool_together",
    "shape_features",
    "slide",
]

Rectangles = npt.NDArray[np.intp]
"""Windows in whole cells: left, top, right, bottom."""
Corners = tuple[
    npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp], Matrix
]

_GRID = 3
_AROUND = (-0.3, -0.3, 1.3, 1.3)
_FRACTIONS = np.array(
    [[x / _GRID, y / _GRID, (x + 1) / _GRID, (y + 1) / _GRID] for y in range(_GRID) for x in range(_GRID)]
    + [_AROUND]
)
PARTS = len(_FRACTIONS)
"""Parts of a window that are looked at apart: a 3 x 3 grid, and the window with its surroundings."""
SHAPE = 3
"""Numbers that tell the shape of a window."""
_STEPS = 6
"""A window moves on by this part of its side, at least by a cell."""
_VOTERS = 0.6
"""Windows that overlap this much have a say in where the object lies."""


def make_shapes(sizes: Matrix, count: int, seed: int) -> Rectangles:
    """Choose typical widths and heights in cells (k-means on their logarithms)."""
    cluster: Any = import_module("sklearn.cluster").KMeans
    # Hundredths tell sizes apart well enough; nearer ones would be clusters that k-means cannot keep apart.
    logs = np.round(np.log(np.maximum(sizes, 1.0)), 2)
    distinct = len(np.unique(logs, axis=0))
    fitted = cluster(min(count, distinct), n_init=3, random_state=seed).fit(logs)
    centres: Matrix = fitted.cluster_centers_
    rounded = np.maximum(np.round(np.exp(centres)), 2).astype(np.intp)
    return np.unique(rounded, axis=0)


def slide(shapes: Rectangles, grid: tuple[int, int]) -> Rectangles:
    """All windows of the shapes on a grid (height, width)."""
    height, width = grid
    windows: list[Rectangles] = []
    for wide, high in np.minimum(shapes, [width, height]).tolist():
        lefts = _steps(width - wide, max(1, round(wide / _STEPS)))
        tops = _steps(height - high, max(1, round(high / _STEPS)))
        left, top = (axis.ravel() for axis in np.meshgrid(lefts, tops))
        windows.append(np.stack([left, top, left + wide, top + high], axis=1))
    return np.concatenate(windows)


def _steps(last: int, step: int) -> npt.NDArray[np.intp]:
    return np.unique(np.append(np.arange(0, last + 1, step), last))


def integrate(grid: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sum up a grid (height x width x n), so that the sum over any window takes four look-ups; flat x n."""
    height, width, depth = grid.shape
    table = np.zeros((height + 1, width + 1, depth), dtype=grid.dtype)
    # Row by row and column by column: four times as fast as cumsum.
    for row in range(height):
        np.add(table[row, 1:], grid[row], out=table[row + 1, 1:])
    for column in range(width):
        table[:, column + 1] += table[:, column]
    return table.reshape(-1, depth)


def corners(windows: Rectangles, grid: tuple[int, int]) -> Corners:
    """Where the sums over the parts of windows are looked up; windows x parts, and one over their areas."""
    height, width = grid
    start, size = windows[:, None, :2], (windows[:, 2:] - windows[:, :2])[:, None, :]
    limit = np.array([width, height])
    low = np.clip(start + np.floor(_FRACTIONS[:, :2] * size + 0.5).astype(np.intp), 0, limit - 1)
    high = np.clip(start + np.floor(_FRACTIONS[:, 2:] * size + 0.5).astype(np.intp), 1, limit)
    high = np.maximum(high, low + 1)
    (left, top), (right, bottom) = np.moveaxis(low, 2, 0), np.moveaxis(high, 2, 0)
    row = width + 1
    areas: Matrix = 1.0 / ((right - left) * (bottom - top))
    return bottom * row + right, top * row + right, bottom * row + left, top * row + left, areas


def pool(table: npt.NDArray[Any], where: Corners) -> npt.NDArray[Any]:
    """The means over the parts of windows, from a table of :func:`integrate`; windows x parts x n."""
    means = _sums(table, where)
    means *= where[-1][:, :, None].astype(table.dtype)
    return means


def pool_together(table: npt.NDArray[Any], where: Corners) -> npt.NDArray[Any]:
    """The same means, added up over the parts; windows x n."""
    result: npt.NDArray[Any] = np.einsum("wpn,wp->wn", _sums(table, where), where[-1].astype(table.dtype))
    return result


def _sums(table: npt.NDArray[Any], where: Corners) -> npt.NDArray[Any]:
    one, two, three, four, _ = where
    sums = table.take(one, 0)
    sums -= table.take(two, 0)
    sums -= table.take(three, 0)
    sums += table.take(four, 0)
    return sums


@attrs.frozen(eq=False)
class Layout:
    """All windows of some shapes on a grid; the same for all images of a size."""

    windows: Rectangles
    where: Corners
    """Where the sums over their parts are looked up in a table in which each cell has a row a part."""
    features: Matrix
    """What :func:`shape_features` says of them."""


def lay(shapes: Rectangles, grid: tuple[int, int]) -> Layout:
    """Lay out windows; what was laid out lately is remembered."""
    return _lay(tuple((wide, high) for wide, high in shapes.tolist()), grid)


@functools.lru_cache(maxsize=4)
def _lay(shapes: tuple[tuple[int, int], ...], grid: tuple[int, int]) -> Layout:
    windows = slide(np.array(shapes, dtype=np.intp), grid)
    one, two, three, four, areas = corners(windows, grid)
    part = np.arange(PARTS)
    own = [index * PARTS + part for index in (one, two, three, four)]
    return Layout(windows, (own[0], own[1], own[2], own[3], areas), shape_features(windows))


def shape_features(windows: Rectangles) -> Matrix:
    """Width, height and proportion of windows, :data:`SHAPE` numbers each."""
    size = (windows[:, 2:] - windows[:, :2]).astype(np.float64)
    return np.stack([size[:, 0] / 80, size[:, 1] / 80, np.log(size[:, 0] / size[:, 1])], axis=1)


def overlaps(some: npt.NDArray[Any], others: npt.NDArray[Any]) -> Matrix:
    """Intersection over union of each pair; some x others."""
    sides = [
        np.clip(
            np.minimum(some[:, None, axis + 2], others[None, :, axis + 2])
            - np.maximum(some[:, None, axis], others[None, :, axis]),
            0,
            None,
        )
        for axis in (0, 1)
    ]
    shared = sides[0] * sides[1]
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1) for boxes in (some, others)]
    union = areas[0][:, None] + areas[1][None] - shared
    result: Matrix = shared / np.maximum(union, 1e-9)
    return result


def merge(boxes: Matrix, scores: Matrix, *, limit: float, most: int) -> tuple[Matrix, Matrix]:
    """Keep one box an object: the best of those that overlap more than the limit, moved to where they agree.

    Returns:
        The boxes and their scores, the best first.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[order], scores[order]
    shared = overlaps(boxes, boxes)
    free = np.ones(len(boxes), dtype=bool)
    kept: list[int] = []
    for index in range(len(boxes)):
        if free[index]:
            kept.append(index)
            if len(kept) == most:
                break
            free &= shared[index] <= limit
    votes = np.where(shared[kept] > _VOTERS, shared[kept] * scores, 0.0)
    votes[np.arange(len(kept)), kept] += 1e-9  # a box without area overlaps not even itself
    return (votes @ boxes) / votes.sum(1, keepdims=True), scores[kept]
