"""What the network says about an image as a whole: the input of the classifiers.

Two views of each image go through the network, since they err differently: one that keeps the proportions (on
a grey square) and a larger one that fills the square. Each gives the mean of the last layer, *what* is in the
image. The second also gives a middle layer averaged over a 3 x 3 grid, *where* strokes and edges are, which
is what tells drawings, digits and signs apart. How much each counts is decided in training.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from rekolabels.local._engine._images import check_image, decode
from rekolabels.local._engine._network import Pixels, Tensor, fingerprint, run, workers
from rekolabels.local._engine._values import Sample, UnusableImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from PIL.Image import Image

    from rekolabels.local._engine._cache import FeatureCache

__all__ = [
    "LAYOUT",
    "MEANING",
    "SIZE",
    "Scale",
    "choose_scale",
    "describe",
    "describe_all",
    "in_order",
    "named",
]

Scale = Literal["small", "normal"]
"""How large the views are: enlarging small images costs time and adds nothing."""

_SIDES: dict[Scale, tuple[int, int]] = {"small": (128, 160), "normal": (256, 320)}
"""Sides of the two views in pixels: in proportion, filling."""
_SMALL = 160
"""Up to this longest side (median of the training images), in pixels, images count as small."""
_GRID = 3

_T = TypeVar("_T")

MEANING = slice(0, 2560)
"""Where the means of the last layer lie in a description."""
LAYOUT = slice(2560, 2560 + 112 * _GRID * _GRID)
"""Where the grid of the middle layer lies."""
SIZE = LAYOUT.stop
"""Numbers in a description."""

_GREY = (127, 127, 127)
"""The network's zero."""


def choose_scale(samples: Sequence[Sample]) -> Scale:
    """Look at the headers of up to 32 training images and say which views suit them."""
    step = max(1, len(samples) // 32)
    sides: list[int] = []
    for sample in samples[::step][:32]:
        size = named(sample, check_image)
        sides.append(max(size.width, size.height))
    return "small" if median(sides) <= _SMALL else "normal"


def describe(data: bytes, scale: Scale, *, at_once: bool = False) -> Tensor:
    """Describe an image by :data:`SIZE` numbers.

    They are rounded to half precision, so that a description is the same whether it was just computed or
    kept.

    Args:
        data: The encoded image.
        scale: Which views to take.
        at_once: Whether to send both views through the network at the same time: sooner done where a core is
            idle.

    Raises:
        UnusableImage: The image has the wrong format or size, or cannot be decoded.
    """
    inner, outer = _SIDES[scale]
    image = decode(data, side=outer)
    if at_once:
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(run, ["head"], _in_proportion(image, inner))
            middle, filled = run(["stride16", "head"], _filling(image, outer))
            (whole,) = first.result()
    else:
        (whole,) = run(["head"], _in_proportion(image, inner))
        middle, filled = run(["stride16", "head"], _filling(image, outer))
    parts = [whole.mean((1, 2)), filled.mean((1, 2)), _grid_means(middle).ravel()]
    return np.concatenate(parts).astype(np.float16).astype(np.float32)


def describe_all(
    samples: Sequence[Sample],
    scale: Scale,
    cache: FeatureCache,
    progress: Callable[[int, int], None],
) -> Tensor:
    """Describe many images, several at once; those that the cache knows are not decoded.

    Raises:
        UnusableImage: One cannot be used; the message names it.
    """
    prefix = f"{fingerprint()}/{scale}/1/"

    def one(sample: Sample) -> Tensor:
        return named(sample, lambda data: _remembered(data, scale, cache, prefix))

    rows: Tensor = np.empty((len(samples), SIZE), dtype=np.float32)
    for index, row in enumerate(in_order(one, samples)):
        rows[index] = row
        progress(index + 1, len(samples))
    return rows


def in_order(work: Callable[[Sample], _T], samples: Sequence[Sample]) -> Iterator[_T]:
    """Work on the samples in threads; at most twice as many as there are threads are in flight."""
    with ThreadPoolExecutor(workers(), thread_name_prefix="rekolabels-features") as pool:
        waiting = iter(samples)
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


def _remembered(data: bytes, scale: Scale, cache: FeatureCache, prefix: str) -> Tensor:
    key = prefix + hashlib.sha256(data).hexdigest()
    kept = cache.get(key)
    if kept is not None and len(kept) == 2 * SIZE:
        return np.frombuffer(kept, np.dtype("<f2")).astype(np.float32)
    row = describe(data, scale)
    cache.put(key, row.astype(np.dtype("<f2")).tobytes())
    return row


def _filling(image: Image, side: int) -> Pixels:
    from PIL.Image import Resampling

    return np.asarray(image.resize((side, side), Resampling.BILINEAR), dtype=np.uint8)


def _in_proportion(image: Image, side: int) -> Pixels:
    from PIL.Image import Resampling, new

    scale = side / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    square = new("RGB", (side, side), _GREY)
    resized = image.resize((width, height), Resampling.BILINEAR)
    square.paste(resized, ((side - width) // 2, (side - height) // 2))
    return np.asarray(square, dtype=np.uint8)


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
