"""Files of a saved model: ``model.json`` and ``model.npz``. Reading them never runs code.

The JSON holds the type and shape of each array, and the digest of the archive. Sizes are compared with the
archive's directory before anything is unpacked, and NumPy may not unpickle.
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
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from rekolabels._files import FOLDER_MODE
from rekolabels.local._engine._values import BrokenModel

__all__ = ["Arrays", "labels_of", "read_model", "write_model"]

Arrays = Mapping[str, npt.NDArray[Any]]

_FORMAT = 1
_TYPES = frozenset({"<f4", "<f8"})
_MAX_BYTES = 1 << 30
"""Maximum size of all arrays of a model together."""
_MAX_ABS = 1e12
"""No training comes near it; larger numbers could overflow, and make confidences NaN."""
_NPY_HEADER = 4096
"""Maximum size of the header of an array in the archive, in bytes."""


def write_model(folder: Path, description: Mapping[str, Any], arrays: Arrays) -> None:
    """Write a model. A concurrent reader gets the old model, the new one or an error, never a mixture.

    Args:
        folder: The folder; created when missing.
        description: Further entries of ``model.json``, as JSON values.
        arrays: Arrays of float32 or float64, by name.
    """
    folder.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
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
    """Read a model that `write_model` wrote.

    Returns:
        The content of ``model.json``, and the arrays by name.

    Raises:
        BrokenModel: A file is missing, damaged, too large, or of another version.
    """
    try:
        document = json.loads((folder / "model.json").read_bytes())
        data = (folder / "model.npz").read_bytes()
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenModel(f"Cannot read the model in {folder}: {error}. Train it again.") from error
    try:
        shapes = _checked_shapes(document, data)
        return document, _unpack(data, shapes)
    except Exception as error:
        # zipfile, zlib and NumPy do not document what they raise for damaged files.
        raise BrokenModel(f"The model in {folder} is damaged: {error}. Train it again.") from error


def labels_of(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the labels in ``model.json``; empty when they are not a list of strings."""
    labels: Any = document.get("labels")
    if not isinstance(labels, list):
        return ()
    listed = cast("list[object]", labels)
    texts = tuple(label for label in listed if isinstance(label, str))
    return texts if len(texts) == len(listed) else ()


def _checked_shapes(document: Any, data: bytes) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the type and shape of each array in ``model.json``, after checking format, digest and sizes."""
    if document["format"] != _FORMAT:
        raise ValueError(f"format {document['format']!r}, expected {_FORMAT}")
    if hashlib.sha256(data).hexdigest() != document["sha256"]:
        raise ValueError("model.npz is not the file that model.json describes")
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {}
    total = 0
    for name, entry in document["arrays"].items():
        shape = tuple(int(length) for length in entry["shape"])
        if entry["type"] not in _TYPES or any(length < 0 for length in shape):
            raise ValueError(f"array {name!r} has type {entry['type']!r} and shape {shape}")
        total += math.prod(shape) * np.dtype(entry["type"]).itemsize
        shapes[name] = (entry["type"], shape)
    if total > _MAX_BYTES:
        raise ValueError(f"its arrays have {total:,} bytes, at most {_MAX_BYTES:,} are read")
    return shapes


def _unpack(data: bytes, shapes: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, npt.NDArray[Any]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    if set(sizes) != {f"{name}.npy" for name in shapes}:
        raise ValueError("model.npz and model.json list different arrays")
    arrays: dict[str, npt.NDArray[Any]] = {}
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        for name, (kind, shape) in shapes.items():
            if sizes[f"{name}.npy"] > math.prod(shape) * np.dtype(kind).itemsize + _NPY_HEADER:
                raise ValueError(f"array {name!r} is larger than model.json says")
            array = archive[name]
            if array.dtype.str != kind or array.shape != shape:
                raise ValueError(f"array {name!r} has type {array.dtype.str} and shape {array.shape}")
            if not (np.abs(array) < _MAX_ABS).all():
                raise ValueError(
                    f"array {name!r} holds numbers that are not finite, or greater than {_MAX_ABS:g}"
                )
            arrays[name] = array
    return arrays


def _replace(path: Path, data: bytes) -> None:
    """Replace a file atomically, so that a crash leaves the old one or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
