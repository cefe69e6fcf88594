"""Trained models: their folders on disk, and the ones loaded in memory."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels._files import Folder, open_private
from rekolabels.local._engine import Model, load_model

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LoadedModel", "ModelCache", "remove_version_folder", "store_model", "version_folder"]

_VERSIONS = "versions"
_THRESHOLDS = "thresholds.json"
_MODEL = "model"


@attrs.frozen(eq=False)
class LoadedModel:
    """A model and the assumed threshold of each label (0 to 1)."""

    model: Model
    thresholds: Mapping[str, float]


class ModelCache:
    """The models that one service has in memory; safe between threads.

    A model is loaded when its version starts, or by the first request after a restart of the service.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[int, LoadedModel] = {}
        self._lock = threading.Lock()

    def load(self, number: int) -> LoadedModel:
        """Return the model of a version, reading its files unless it is in memory.

        Raises:
            OSError: The files are missing.
            ValueError: The files are damaged.
        """
        found = self._loaded.get(number)
        if found is not None:
            return found
        with self._lock:
            found = self._loaded.get(number)
            if found is None:
                found = self._loaded[number] = _read(version_folder(self._folder, number))
        return found

    def forget(self, number: int) -> None:
        """Drop a model from memory."""
        self._loaded.pop(number, None)


def version_folder(folder: Path, number: int) -> Path:
    """Return the folder with all files of a model version; ``number`` is the last part of its ARN."""
    return folder / _VERSIONS / _folder_name(number)


def remove_version_folder(folder: Path, number: int) -> None:
    """Remove the folder of a model version, if it exists; nothing outside of it is touched."""
    with contextlib.suppress(OSError), Folder(folder) as own, own.folder(_VERSIONS) as versions:
        versions.remove_tree(_folder_name(number))


def _folder_name(number: int) -> str:
    # SQLite stores a text in a column of integers as it is.
    if not isinstance(number, int):  # pyright: ignore[reportUnnecessaryIsInstance] - comes from a database
        raise TypeError(f"Not the number of a model version: {number!r}.")
    return str(number)


def store_model(folder: Path, model: Model, thresholds: Mapping[str, float]) -> None:
    """Write a trained model and its thresholds into the folder of its version."""
    model.save(folder / _MODEL)
    with open_private(folder / _THRESHOLDS, "w") as file:
        json.dump(dict(thresholds), file)


def _read(folder: Path) -> LoadedModel:
    thresholds: dict[str, Any] = json.loads((folder / _THRESHOLDS).read_text(encoding="utf-8"))
    return LoadedModel(load_model(folder / _MODEL), thresholds)
