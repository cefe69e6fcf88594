"""Trained models: their folders on disk, and the ones loaded in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels.local._engine import Model, load_model

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LoadedModel", "ModelCache", "store_model", "version_folder"]

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
    return folder / "versions" / str(number)


def store_model(folder: Path, model: Model, thresholds: Mapping[str, float]) -> None:
    """Write a trained model and its thresholds into the folder of its version."""
    model.save(folder / _MODEL)
    (folder / _THRESHOLDS).write_text(json.dumps(dict(thresholds)), encoding="utf-8")


def _read(folder: Path) -> LoadedModel:
    thresholds: dict[str, Any] = json.loads((folder / _THRESHOLDS).read_text(encoding="utf-8"))
    return LoadedModel(load_model(folder / _MODEL), thresholds)
