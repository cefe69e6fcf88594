"""What the network says about an image as a whole: the input of the classifiers.

Several views of an image go through the network. What is taken from them falls into two blocks: *meaning*,
the means of the last layer, and *details*, where small things leave a trace: the middle layers' extremes (the
means of their few highest and lowest cells, as a detail fills only a few) and their means over a 3 x 3 grid
(where strokes and edges are, which tells drawings, digits and signs apart). How much each block counts is
decided in training.

Where one label holds, several views are taken, since they err differently: one that keeps the proportions
(on a grey square), a larger one that fills the square, and, unless the images are small anyway, a close one.
Where several may hold, each may be a small part of the image, so there is one view, closer still.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING, Literal, TypeVar

import attrs
import numpy as np

from rekolabels.local._engine._images import check_image, decode
from rekolabels.local._engine._network import Pixels, Tensor, fingerprint, run, workers
from rekolabels.local._engine._values import ClassifierKind, Sample, UnusableImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from PIL.Image import Image

    from rekolabels.local._engine._cache import FeatureCache

__all__ = [
    "Scale",
    "blocks_of",
    "choose_scale",
    "describe",
    "describe_all",
    "fit_sides",
    "in_order",
    "named",
]

Scale = Literal["small", "normal"]
"""How large the views are: enlarging small images costs time and adds nothing."""

_T = TypeVar("_T")
_Item = TypeVar("_Item")
_SMALL = 160
"""Up to this longest side (median of the training images), in pixels, images count as small."""
_GREY = (127, 127, 127)
"""The network's zero."""
_HEAD, _MIDDLE, _COARSE = 1280, 112, 320
"""Channels of the layers ``head``, ``stride16`` and ``stride32``."""
_GRID = 3
_EXTREME = 4
"""So many cells of a channel count as its highest, and as many as its lowest."""
_MULTIPLE = 32
"""The sides of what the network is given are multiples of this."""
_LEAST = 64


@attrs.frozen
class _View:
    """One look at an image, and what is taken from it."""

    form: Literal["square", "filled", "close"]
    """Proportions kept on a grey square, stretched to a square, or proportions kept without a margin."""
    side: int
    """The longer side in pixels."""
    meaning: bool = False
    grid: bool = False
    extremes: bool = False


_VIEWS: dict[tuple[ClassifierKind, Scale], tuple[_View, ...]] = {
    ("single-label", "small"): (
        _View("square", 128, meaning=True),
        _View("filled", 160, meaning=True, grid=True),
    ),
    ("single-label", "normal"): (
        _View("square", 256, meaning=True),
        _View("filled", 320, meaning=True, grid=True),
        _View("close", 384, extremes=True),
    ),
    ("multi-label", "small"): (_View("close", 320, meaning=True, extremes=True),),
    ("multi-label", "normal"): (_View("close", 640, meaning=True, extremes=True),),
}


def blocks_of(kind: ClassifierKind, scale: Scale) -> list[slice]:
    """Where meaning and details lie in a description; the second ends where the description does."""
    views = _VIEWS[kind, scale]
    meaning = _HEAD * sum(view.meaning for view in views)
    details = _MIDDLE * _GRID**2 * sum(view.grid for view in views)
    details += 2 * (_MIDDLE + _COARSE) * sum(view.extremes for view in views)
    return [slice(0, meaning), slice(meaning, meaning + details)]


def choose_scale(samples: Sequence[Sample]) -> Scale:
    """Look at the headers of up to 32 training images and say which views suit them."""
    step = max(1, len(samples) // 32)
    sides: list[int] = []
    for sample in samples[::step][:32]:
        size = named(sample, check_image)
        sides.append(max(size.width, size.height))
    return "small" if median(sides) <= _SMALL else "normal"


def describe(data: bytes, kind: ClassifierKind, scale: Scale, *, alone: bool = False) -> Tensor:
    """Describe an image by numbers, in the blocks of :func:`blocks_of`.

    They are rounded to half precision, so that a description is the same whether it was just computed or
    kept.

    Args:
        data: The encoded image.
        kind: What the description is for.
        scale: How large the views are.
        alone: Whether this image has the machine to itself: sooner done where a core is idle.

    Raises:
        UnusableImage: The image has the wrong format or size, or cannot be decoded.
    """
    views = _VIEWS[kind, scale]
    image = decode(data, side=max(view.side for view in views))
    meaning: list[Tensor] = []
    details: list[Tensor] = []
    for view in views:
        wanted = (["head"] if view.meaning else []) + (["stride16"] if view.grid or view.extremes else [])
        wanted += ["stride32"] if view.extremes else []
        layers = dict(zip(wanted, run(wanted, _pixels(image, view), alone=alone), strict=True))
        if view.meaning:
            meaning.append(layers["head"].mean((1, 2)))
        if view.grid:
            details.append(_grid_means(layers["stride16"]).ravel())
        if view.extremes:
            details += [_extremes(layers["stride16"]), _extremes(layers["stride32"])]
    return np.concatenate([*meaning, *details]).astype(np.float16).astype(np.float32)


def describe_all(
    samples: Sequence[Sample],
    kind: ClassifierKind,
    scale: Scale,
    cache: FeatureCache,
    progress: Callable[[int, int], None],
) -> Tensor:
    """Describe many images, several at once; those that the cache knows are not decoded.

    Raises:
        UnusableImage: One cannot be used; the message names it.
    """
    prefix = f"{fingerprint()}/{kind}/{scale}/2/"
    size = blocks_of(kind, scale)[-1].stop

    def remembered(data: bytes) -> Tensor:
        key = prefix + hashlib.sha256(data).hexdigest()
        kept = cache.get(key)
        if kept is not None and len(kept) == 2 * size:
            return np.frombuffer(kept, np.dtype("<f2")).astype(np.float32)
        row = describe(data, kind, scale)
        cache.put(key, row.astype(np.dtype("<f2")).tobytes())
        return row

    rows: Tensor = np.empty((len(samples), size), dtype=np.float32)
    for index, row in enumerate(in_order(lambda sample: named(sample, remembered), samples)):
        rows[index] = row
        progress(index + 1, len(samples))
    return rows


def in_order(work: Callable[[_Item], _T], items: Iterable[_Item]) -> Iterator[_T]:
    """Work on samples and the like in threads; at most twice as many as there are threads are in flight."""
    with ThreadPoolExecutor(workers(), thread_name_prefix="rekolabels-features") as pool:
        waiting = iter(items)
        flying: list[Future[_T]] = [pool.submit(work, sample) for sample in islice(waiting, 2 * workers())]
        try:
            while flying:
                result = flying.pop(0).result()
                flying.extend(pool.submit(work, sample) for sample in islice(waiting, 1))
                yield result
        finally:
            pool.shutdown(cancel_futures=True)


def named(sample: Sample, work: Callable[[bytes], _T]) -> _T:
    """Put the name of the image in front of what is said about it."""
    try:
        return work(sample.read())
    except UnusableImage as error:
        raise UnusableImage(f"{sample.source}: {error}", reason=error.reason) from error


def fit_sides(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height of an image whose longer side becomes ``side``, as the network wants them."""
    scale = side / max(size)
    width, height = (max(_LEAST, round(length * scale / _MULTIPLE) * _MULTIPLE) for length in size)
    return width, height


def _pixels(image: Image, view: _View) -> Pixels:
    from PIL.Image import Resampling, new

    side = view.side
    if view.form != "square":
        size = (side, side) if view.form == "filled" else fit_sides(image.size, side)
        return np.asarray(image.resize(size, Resampling.BILINEAR), dtype=np.uint8)
    scale = side / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    square = new("RGB", (side, side), _GREY)
    resized = image.resize((width, height), Resampling.BILINEAR)
    square.paste(resized, ((side - width) // 2, (side - height) // 2))
    return np.asarray(square, dtype=np.uint8)


def _extremes(feature_map: Tensor) -> Tensor:
    """The means of each channel's highest cells, then of its lowest ones."""
    cells = feature_map.reshape(len(feature_map), -1)
    count = min(_EXTREME, cells.shape[1])
    ordered = np.partition(cells, (count - 1, cells.shape[1] - count), axis=1)
    return np.concatenate([ordered[:, -count:].mean(1), ordered[:, :count].mean(1)])


def _grid_means(feature_map: Tensor) -> Tensor:
    """Average a map over a grid; its cells overlap by one where the side is no multiple of the grid's."""
    height, width = feature_map.shape[1:]
    cells = [
        feature_map[:, top:bottom, left:right].mean((1, 2))
        for top, bottom in _edges(height)
        for left, right in _edges(width)
    ]
    return np.stack(cells)


def _edges(length: int) -> list[tuple[int, int]]:
    return [(i * length // _GRID, -(-(i + 1) * length // _GRID)) for i in range(_GRID)]
