"""Feature vectors of whole images: the input of the classifiers.

Several views of an image go through the network. The features fall into two blocks. The *semantic* block
holds the means of the last layer. The *detail* block holds, from the middle layers, the extremes (means of
the few highest and lowest cells of a channel, as a detail covers only a few) and the means over a 3 x 3 grid
(where strokes and edges are, which separates drawings, digits and signs). Training decides how much each
block counts.

For single-label models there are several views, as their errors differ: one that keeps the proportions (on a
grey square), a larger one that fills the square, and, unless the images are small, a close one. For
multi-label models each object may be a small part of the image, so there is one view, closer still.
"""

from __future__ import annotations

import hashlib
from statistics import median
from typing import TYPE_CHECKING, Literal

import attrs
import numpy as np

from rekolabels.local._engine._images import call_with_image, check_image, decode
from rekolabels.local._engine._network import (
    Pixels,
    Tensor,
    fingerprint,
    fit_size,
    parallel_map,
    run_network,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL.Image import Image

    from rekolabels.local._engine._cache import FeatureCache
    from rekolabels.local._engine._values import ClassifierKind, Sample

__all__ = ["Scale", "cached_features", "choose_scale", "compute_features", "feature_blocks"]

Scale = Literal["small", "normal"]
"""Size of the views. Enlarging small images costs time and adds nothing."""

_SMALL = 160
"""Images are small up to this longer side (median of the training images), in pixels."""
_GREY = (127, 127, 127)
"""Grey that the network's normalisation maps to zero."""
_HEAD, _MIDDLE, _COARSE = 1280, 112, 320
"""Channels of the layers ``head``, ``stride16`` and ``stride32``."""
_GRID = 3
"""Rows and columns of the grid of means."""
_EXTREME = 4
"""Number of cells that count as a channel's highest, and as its lowest."""


@attrs.frozen
class _View:
    """A way to show an image to the network, and the features to take from it."""

    form: Literal["letterbox", "stretch", "fit"]
    """Proportions kept on a grey square; stretched to a square; or proportions kept without a margin."""
    side: int
    """Longer side in pixels."""
    semantic: bool = False
    grid: bool = False
    extremes: bool = False


_VIEWS: dict[tuple[ClassifierKind, Scale], tuple[_View, ...]] = {
    ("single-label", "small"): (
        _View("letterbox", 128, semantic=True),
        _View("stretch", 160, semantic=True, grid=True),
    ),
    ("single-label", "normal"): (
        _View("letterbox", 256, semantic=True),
        _View("stretch", 320, semantic=True, grid=True),
        _View("fit", 384, extremes=True),
    ),
    ("multi-label", "small"): (_View("fit", 320, semantic=True, extremes=True),),
    ("multi-label", "normal"): (_View("fit", 640, semantic=True, extremes=True),),
}


def feature_blocks(kind: ClassifierKind, scale: Scale) -> list[slice]:
    """Return the positions of the semantic and the detail block in a feature vector."""
    views = _VIEWS[kind, scale]
    semantic = _HEAD * sum(view.semantic for view in views)
    detail = _MIDDLE * _GRID**2 * sum(view.grid for view in views)
    detail += 2 * (_MIDDLE + _COARSE) * sum(view.extremes for view in views)
    return [slice(0, semantic), slice(semantic, semantic + detail)]


def choose_scale(samples: Sequence[Sample]) -> Scale:
    """Return the scale of the views, from the headers of up to 32 training images."""
    step = max(1, len(samples) // 32)
    sides: list[int] = []
    for sample in samples[::step][:32]:
        size = call_with_image(sample, check_image)
        sides.append(max(size.width, size.height))
    return "small" if median(sides) <= _SMALL else "normal"


def compute_features(data: bytes, kind: ClassifierKind, scale: Scale, *, two_cores: bool = False) -> Tensor:
    """Compute the feature vector of an image, rounded to half precision, as the cache stores it.

    Args:
        data: The encoded image.
        kind: Kind of the model.
        scale: Size of the views.
        two_cores: Use two cores, for an image that is processed alone.

    Returns:
        A vector with the blocks of `feature_blocks`.

    Raises:
        UnusableImage: The image has an unsupported format or size, or cannot be decoded.
    """
    views = _VIEWS[kind, scale]
    image = decode(data, side=max(view.side for view in views))
    semantic: list[Tensor] = []
    detail: list[Tensor] = []
    for view in views:
        names = (["head"] if view.semantic else []) + (["stride16"] if view.grid or view.extremes else [])
        names += ["stride32"] if view.extremes else []
        outputs = run_network(names, _pixels(image, view), two_cores=two_cores)
        layers = dict(zip(names, outputs, strict=True))
        if view.semantic:
            semantic.append(layers["head"].mean((1, 2)))
        if view.grid:
            detail.append(_grid_means(layers["stride16"]).ravel())
        if view.extremes:
            detail += [_extremes(layers["stride16"]), _extremes(layers["stride32"])]
    return np.concatenate([*semantic, *detail]).astype(np.float16).astype(np.float32)


def cached_features(
    samples: Sequence[Sample],
    kind: ClassifierKind,
    scale: Scale,
    cache: FeatureCache,
    progress: Callable[[int, int], None],
) -> Tensor:
    """Return the feature vectors of samples, from the cache where possible, else computed in parallel.

    Args:
        samples: The samples.
        kind: Kind of the model.
        scale: Size of the views.
        cache: Cache of feature vectors.
        progress: Called with the number of finished images and their total.

    Returns:
        Samples x features.

    Raises:
        UnusableImage: An image cannot be used; the message names it.
    """
    prefix = f"{fingerprint()}/{kind}/{scale}/2/"
    size = feature_blocks(kind, scale)[-1].stop

    def features_of(data: bytes) -> Tensor:
        key = prefix + hashlib.sha256(data).hexdigest()
        cached = cache.get(key)
        if cached is not None and len(cached) == 2 * size:
            return np.frombuffer(cached, np.dtype("<f2")).astype(np.float32)
        row = compute_features(data, kind, scale)
        cache.put(key, row.astype(np.dtype("<f2")).tobytes())
        return row

    rows: Tensor = np.empty((len(samples), size), dtype=np.float32)
    results = parallel_map(lambda sample: call_with_image(sample, features_of), samples)
    for index, row in enumerate(results):
        rows[index] = row
        progress(index + 1, len(samples))
    return rows


def _pixels(image: Image, view: _View) -> Pixels:
    from PIL.Image import Resampling, new

    side = view.side
    if view.form != "letterbox":
        size = (side, side) if view.form == "stretch" else fit_size(image.size, side)
        return np.asarray(image.resize(size, Resampling.BILINEAR), dtype=np.uint8)
    scale = side / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    square = new("RGB", (side, side), _GREY)
    resized = image.resize((width, height), Resampling.BILINEAR)
    square.paste(resized, ((side - width) // 2, (side - height) // 2))
    return np.asarray(square, dtype=np.uint8)


def _extremes(feature_map: Tensor) -> Tensor:
    """Return the means of each channel's highest cells, then of its lowest cells: 2 x channels values."""
    cells = feature_map.reshape(len(feature_map), -1)
    count = min(_EXTREME, cells.shape[1])
    ordered = np.partition(cells, (count - 1, cells.shape[1] - count), axis=1)
    return np.concatenate([ordered[:, -count:].mean(1), ordered[:, :count].mean(1)])


def _grid_means(feature_map: Tensor) -> Tensor:
    """Return the means over a grid, 9 x channels; grid cells overlap where 3 does not divide the side."""
    height, width = feature_map.shape[1:]
    cells = [
        feature_map[:, top:bottom, left:right].mean((1, 2))
        for top, bottom in _edges(height)
        for left, right in _edges(width)
    ]
    return np.stack(cells)


def _edges(length: int) -> list[tuple[int, int]]:
    return [(i * length // _GRID, -(-(i + 1) * length // _GRID)) for i in range(_GRID)]
