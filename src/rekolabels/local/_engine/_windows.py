"""Windows on a grid of cells: anchor shapes, sliding windows, pooling, and non-maximum suppression."""

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
    "SHAPE_FEATURES",
    "Indices",
    "PartLookup",
    "WindowGrid",
    "Windows",
    "anchor_shapes",
    "integral_image",
    "iou",
    "non_maximum_suppression",
    "part_lookup",
    "pool_parts",
    "pool_sum",
    "shape_features",
    "sliding_windows",
    "window_grid",
]

Indices = npt.NDArray[np.intp]
"""Indices, or class numbers; one-dimensional unless stated otherwise."""
Windows = npt.NDArray[np.intp]
"""Windows in whole cells, windows x 4: left, top, right, bottom."""
PartLookup = tuple[Indices, Indices, Indices, Indices, Matrix]
"""For the parts of windows: rows of the integral image at the four corners (bottom right, top right, bottom
left, top left), and 1 / area; each windows x parts."""

_GRID = 3
"""Rows and columns of the parts of a window."""
_SURROUNDINGS = (-0.3, -0.3, 1.3, 1.3)
"""The window with its surroundings, in fractions of the window."""
_FRACTIONS = np.array(
    [[x / _GRID, y / _GRID, (x + 1) / _GRID, (y + 1) / _GRID] for y in range(_GRID) for x in range(_GRID)]
    + [_SURROUNDINGS]
)
"""Parts of a window, in fractions of it: left, top, right, bottom."""
PARTS = len(_FRACTIONS)
"""Parts of a window that are pooled separately: a 3 x 3 grid, and the window with its surroundings."""
SHAPE_FEATURES = 3
"""Number of features that describe the shape of a window."""
_STRIDES_PER_SIDE = 6
"""A window slides by this fraction of its side, but by at least one cell."""
_VOTING_IOU = 0.6
"""Boxes with a greater IoU than this with a kept box vote on its position."""


def anchor_shapes(sizes: Matrix, count: int, seed: int) -> Windows:
    """Choose anchor shapes by k-means on the logarithms of box sizes.

    Args:
        sizes: Widths and heights of boxes in cells; boxes x 2.
        count: Maximum number of shapes.
        seed: Seed of k-means.

    Returns:
        Widths and heights in whole cells; shapes x 2.
    """
    cluster: Any = import_module("sklearn.cluster").KMeans
    # Rounded to hundredths, so that k-means is not asked for more clusters than there are distinct points.
    logs = np.round(np.log(np.maximum(sizes, 1.0)), 2)
    distinct = len(np.unique(logs, axis=0))
    fitted = cluster(min(count, distinct), n_init=3, random_state=seed).fit(logs)
    centres: Matrix = fitted.cluster_centers_
    rounded = np.maximum(np.round(np.exp(centres)), 2).astype(np.intp)
    return np.unique(rounded, axis=0)


def sliding_windows(shapes: Windows, grid: tuple[int, int]) -> Windows:
    """Return all windows of some shapes (widths and heights) on a grid of height x width cells."""
    height, width = grid
    windows: list[Windows] = []
    for wide, high in np.minimum(shapes, [width, height]).tolist():
        lefts = _positions(width - wide, max(1, round(wide / _STRIDES_PER_SIDE)))
        tops = _positions(height - high, max(1, round(high / _STRIDES_PER_SIDE)))
        left, top = (axis.ravel() for axis in np.meshgrid(lefts, tops))
        windows.append(np.stack([left, top, left + wide, top + high], axis=1))
    return np.concatenate(windows)


def _positions(last: int, stride: int) -> Indices:
    return np.unique(np.append(np.arange(0, last + 1, stride), last))


# -- pooling -------------------------------------------------------------------------------------------------


def integral_image(grid: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the integral image of a grid, from which the sum over any window takes four look-ups.

    Args:
        grid: Height x width x n.

    Returns:
        ((height + 1) * (width + 1)) x n.
    """
    height, width, depth = grid.shape
    table = np.zeros((height + 1, width + 1, depth), dtype=grid.dtype)
    # Row by row and column by column: four times as fast as cumsum.
    for row in range(height):
        np.add(table[row, 1:], grid[row], out=table[row + 1, 1:])
    for column in range(width):
        table[:, column + 1] += table[:, column]
    return table.reshape(-1, depth)


def part_lookup(windows: Windows, grid: tuple[int, int]) -> PartLookup:
    """Return where to look up the sums over the parts of windows on a grid of height x width cells."""
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


def pool_parts(table: npt.NDArray[Any], lookup: PartLookup) -> npt.NDArray[Any]:
    """Return the means over the parts of windows, windows x parts x n, from an integral image."""
    means = _sums(table, lookup)
    means *= lookup[-1][:, :, None].astype(table.dtype)
    return means


def pool_sum(table: npt.NDArray[Any], lookup: PartLookup) -> npt.NDArray[Any]:
    """Return the means over the parts of windows, summed over the parts: windows x n."""
    result: npt.NDArray[Any] = np.einsum("wpn,wp->wn", _sums(table, lookup), lookup[-1].astype(table.dtype))
    return result


def _sums(table: npt.NDArray[Any], lookup: PartLookup) -> npt.NDArray[Any]:
    bottom_right, top_right, bottom_left, top_left, _ = lookup
    sums = table.take(bottom_right, 0)
    sums -= table.take(top_right, 0)
    sums -= table.take(bottom_left, 0)
    sums += table.take(top_left, 0)
    return sums


@attrs.frozen(eq=False)
class WindowGrid:
    """All windows of some shapes on a grid; the same for all images of a size."""

    windows: Windows
    lookup: PartLookup
    """Look-up of their parts, in an integral image that has a row for each cell and part."""
    features: Matrix
    """Their `shape_features`."""


def window_grid(shapes: Windows, grid: tuple[int, int]) -> WindowGrid:
    """Return all windows of some shapes on a grid of height x width cells; the latest ones are cached."""
    return _window_grid(tuple((wide, high) for wide, high in shapes.tolist()), grid)


@functools.lru_cache(maxsize=4)
def _window_grid(shapes: tuple[tuple[int, int], ...], grid: tuple[int, int]) -> WindowGrid:
    windows = sliding_windows(np.array(shapes, dtype=np.intp), grid)
    *corners, areas = part_lookup(windows, grid)
    part = np.arange(PARTS)
    one, two, three, four = (corner * PARTS + part for corner in corners)
    return WindowGrid(windows, (one, two, three, four, areas), shape_features(windows))


def shape_features(windows: Windows) -> Matrix:
    """Return width, height and aspect ratio of windows, scaled: windows x `SHAPE_FEATURES`."""
    size = (windows[:, 2:] - windows[:, :2]).astype(np.float64)
    return np.stack([size[:, 0] / 80, size[:, 1] / 80, np.log(size[:, 0] / size[:, 1])], axis=1)


# -- overlaps ------------------------------------------------------------------------------------------------


def iou(some: npt.NDArray[Any], others: npt.NDArray[Any]) -> Matrix:
    """Return the intersection over union of each pair of boxes, some x others."""
    sides = [
        np.clip(
            np.minimum(some[:, None, axis + 2], others[None, :, axis + 2])
            - np.maximum(some[:, None, axis], others[None, :, axis]),
            0,
            None,
        )
        for axis in (0, 1)
    ]
    intersection = sides[0] * sides[1]
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1) for boxes in (some, others)]
    union = areas[0][:, None] + areas[1][None] - intersection
    result: Matrix = intersection / np.maximum(union, 1e-9)
    return result


def non_maximum_suppression(
    boxes: Matrix, scores: Matrix, *, threshold: float, limit: int
) -> tuple[Matrix, Matrix]:
    """Keep one box for each object: the best of those that overlap, moved to the mean of its voters.

    Args:
        boxes: Left, top, right, bottom; boxes x 4.
        scores: Score of each box.
        threshold: IoU above which two boxes count as the same object.
        limit: Maximum number of boxes to keep.

    Returns:
        The kept boxes and their scores, by falling score.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[order], scores[order]
    ious = iou(boxes, boxes)
    free = np.ones(len(boxes), dtype=bool)
    kept: list[int] = []
    for index in range(len(boxes)):
        if free[index]:
            kept.append(index)
            if len(kept) == limit:
                break
            free &= ious[index] <= threshold
    votes = np.where(ious[kept] > _VOTING_IOU, ious[kept] * scores, 0.0)
    votes[np.arange(len(kept)), kept] += 1e-9  # a box without area does not even overlap itself
    return (votes @ boxes) / votes.sum(1, keepdims=True), scores[kept]
