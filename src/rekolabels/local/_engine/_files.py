"""How models lie on the disk: ``model.json`` and ``model.npz``. Reading them never runs code.

The JSON lists every array with its type and shape, and its digest; sizes are compared with the archive's
directory before anything is unpacked, and NumPy is told not to unpickle.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rekolabels.local._engine._values import BrokenModel

__all__ = ["Arrays", "document_labels", "read_model", "write_model"]

Arrays = Mapping[str, npt.NDArray[Any]]

_FORMAT = 1
_TYPES = frozenset({"<f4", "<f8"})
_LARGEST = 1 << 30
"""Bytes of all arrays of a model, at most."""
_BEYOND = 1e12
"""No training comes near; larger numbers would make sums overflow and confidences that are no numbers."""
_NPY_HEADER = 4096
"""More than the header of one array in the archive can take."""


def write_model(folder: Path, description: Mapping[str, Any], arrays: Arrays) -> None:
    """Write a model; whoever reads meanwhile finds the old one, or an error, but no mixture.

    Args:
        folder: Made when missing.
        description: What ``model.json`` shall hold beside the list of arrays; values of JSON.
        arrays: By name; float32 or float64.
    """
    folder.mkdir(parents=True, exist_ok=True)
    packed = io.BytesIO()
    stored = {
        name: np.ascontiguousarray(array, array.dtype.newbyteorder("<")) for name, array in arrays.items()
    }
    np.savez_compressed(packed, allow_pickle=False, **stored)
    data = packed.getvalue()
    document = {
        **description,
        "format": _FORMAT,
        "sha256": hashlib.sha256(data).hexdigest(),
        "arrays": {name: {"type": array.dtype.str, "shape": array.shape} for name, array in stored.items()},
    }
    _replace(folder / "model.npz", data)
    _replace(folder / "model.json", json.dumps(document, indent=1, ensure_ascii=False).encode())


def read_model(folder: Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Read a model that :func:`write_model` wrote.

    Raises:
        BrokenModel: A file is missing, damaged, too large, or of another version.
    """
    try:
        document = json.loads((folder / "model.json").read_bytes())
        data = (folder / "model.npz").read_bytes()
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenModel(f"cannot read the model in {folder}: {error}; train it again") from error
    try:
        shapes = _expected(document, data)
        return document, _unpack(data, shapes)
    except Exception as error:
        # What zipfile, zlib and NumPy's header reader raise on damaged files is listed nowhere.
        raise BrokenModel(f"the model in {folder} is damaged: {error}; train it again") from error


def document_labels(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the labels of a model's description; empty when they are not a list of texts."""
    labels: Any = document.get("labels")
    if not isinstance(labels, list):
        return ()
    listed: list[object] = labels  # pyright: ignore[reportUnknownVariableType] - JSON
    texts = tuple(label for label in listed if isinstance(label, str))
    return texts if len(texts) == len(listed) else ()


def _expected(document: Any, data: bytes) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Read the list of arrays, trusting nothing."""
    if document["format"] != _FORMAT:
        raise ValueError(f"format {document['format']!r}, expected {_FORMAT}")
    if hashlib.sha256(data).hexdigest() != document["sha256"]:
        raise ValueError("model.npz is not the file that model.json describes")
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {}
    total = 0
    for name, entry in document["arrays"].items():
        shape = tuple(int(length) for length in entry["shape"])
        if entry["type"] not in _TYPES or any(length < 0 for length in shape):
            raise ValueError(f"array {name!r} of type {entry['type']!r} and shape {shape}")
        total += math.prod(shape) * np.dtype(entry["type"]).itemsize
        shapes[name] = (entry["type"], shape)
    if total > _LARGEST:
        raise ValueError(f"arrays of {total:,} bytes, at most {_LARGEST:,} are read")
    return shapes


def _unpack(data: bytes, shapes: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, npt.NDArray[Any]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    if set(sizes) != {f"{name}.npy" for name in shapes}:
        raise ValueError("model.npz holds other arrays than model.json says")
    arrays: dict[str, npt.NDArray[Any]] = {}
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        for name, (kind, shape) in shapes.items():
            if sizes[f"{name}.npy"] > math.prod(shape) * np.dtype(kind).itemsize + _NPY_HEADER:
                raise ValueError(f"array {name!r} is larger than model.json says")
            array = archive[name]
            if array.dtype.str != kind or array.shape != shape:
                raise ValueError(f"array {name!r} has type {array.dtype.str} and shape {array.shape}")
            if not (np.abs(array) < _BEYOND).all():
                raise ValueError(f"array {name!r} holds numbers that are not finite, or beyond {_BEYOND:g}")
            arrays[name] = array
    return arrays


def _replace(path: Path, data: bytes) -> None:
    """Write beside the file and rename, so that a crash leaves the old file or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
