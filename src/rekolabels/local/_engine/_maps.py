"""What the network says about every part of an image: the input of the detectors.

Three layers of the network, from fine (stride 8) to coarse (stride 32), looked at as one grid of cells of 8 x
8 pixels.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import attrs
import numpy as np

from rekolabels.local._engine._features import fit_sides
from rekolabels.local._engine._images import decode
from rekolabels.local._engine._network import Tensor, fingerprint, run

if TYPE_CHECKING:
    from rekolabels.local._engine._cache import FeatureCache

__all__ = ["CELL", "CHANNELS", "Maps", "look", "remember"]

CELL = 8
"""Side of a cell in pixels of the resized image."""
_LAYERS = {"stride8": 40, "stride16": 112, "stride32": 320}
CHANNELS = sum(_LAYERS.values())
"""Numbers a cell."""
_HEAD = 4
"""Bytes before the numbers: height and width, two each."""


@attrs.frozen(eq=False)
class Maps:
    """The layers of one image, channels x height x width, from fine to coarse."""

    layers: tuple[Tensor, Tensor, Tensor]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in cells."""
        _, height, width = self.layers[0].shape
        return height, width

    def project(self, weights: Tensor) -> Tensor:
        """Multiply each cell with weights (:data:`CHANNELS` x outputs); height x width x outputs.

        The coarse layers are multiplied before they are enlarged, which saves most of the work.
        """
        total: Tensor = np.zeros((*self.shape, weights.shape[1]), dtype=np.float32)
        start = 0
        for index, layer in enumerate(self.layers):
            channels, height, width = layer.shape
            part = weights[start : start + channels]
            product = (layer.reshape(channels, -1).T @ part).reshape(height, width, -1)
            start += channels
            times = 2**index
            total.reshape(height, times, width, times, -1)[:] += product[:, None, :, None]
        return total

    def cells(self, places: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Tensor:
        """The numbers of some cells, given by their index in reading order; cells x :data:`CHANNELS`."""
        rows, columns = np.divmod(places, self.shape[1])
        return np.concatenate(
            [layer[:, rows >> i, columns >> i].T for i, layer in enumerate(self.layers)], axis=1
        )


def look(data: bytes, side: int, *, alone: bool = False) -> Maps:
    """Send an image through the network, its longer side resized to about ``side`` pixels.

    The numbers are rounded to half precision, so that they are the same whether just computed or kept.

    Args:
        data: The encoded image.
        side: What its longer side becomes.
        alone: Whether this image has the machine to itself: sooner done where a core is idle.

    Raises:
        UnusableImage: The image has the wrong format or size, or cannot be decoded.
    """
    from PIL.Image import Resampling

    image = decode(data, side=side)
    size = fit_sides(image.size, side)
    pixels = np.asarray(image.resize(size, Resampling.BILINEAR), dtype=np.uint8)
    first, second, third = (
        layer.astype(np.float16).astype(np.float32) for layer in run(list(_LAYERS), pixels, alone=alone)
    )
    return Maps((first, second, third))


def remember(data: bytes, side: int, cache: FeatureCache) -> Maps:
    """Do the same, unless the cache knows the image."""
    key = f"{fingerprint()}/maps/{side}/1/{hashlib.sha256(data).hexdigest()}"
    kept = _unpack(cache.get(key))
    if kept is None:
        kept = look(data, side)
        height, width = kept.shape
        packed = [np.array([height, width], np.dtype("<u2")).tobytes()]
        packed += [layer.astype(np.dtype("<f2")).tobytes() for layer in kept.layers]
        cache.put(key, b"".join(packed))
    return kept


def _unpack(kept: bytes | None) -> Maps | None:
    if kept is None or len(kept) < _HEAD:
        return None
    height, width = np.frombuffer(kept, np.dtype("<u2"), 2).tolist()
    numbers = np.frombuffer(kept, np.dtype("<f2"), offset=_HEAD)
    layers: list[Tensor] = []
    start = 0
    for index, channels in enumerate(_LAYERS.values()):
        shape = (channels, height >> index, width >> index)
        end = start + shape[0] * shape[1] * shape[2]
        if end > len(numbers):
            return None
        layers.append(numbers[start:end].reshape(shape).astype(np.float32))
        start = end
    return Maps((layers[0], layers[1], layers[2])) if start == len(numbers) else None
