"""Models in memory: loaded at the start of a version, or at its first request after a restart."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels.local._core._folders import version_folder
from rekolabels.local._engine import Model, load_model

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Loaded", "Models", "store_model"]

_THRESHOLDS = "thresholds.json"
_MODEL = "model"


@attrs.frozen(eq=False)
class Loaded:
    """A model and the assumed thresholds of its labels, 0 to 1."""

    model: Model
    thresholds: Mapping[str, float]


class Models:
    """The models of one service that are in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[int, Loaded] = {}
        self._guard = threading.Lock()

    def load(self, number: int) -> Loaded:
        """The model of a version, from its folder unless it is in memory.

        Raises:
            OSError: The files are missing.
            ValueError: They are damaged.
        """
        found = self._loaded.get(number)
        if found is not None:
            return found
        with self._guard:
            found = self._loaded.get(number)
            if found is None:
                found = self._loaded[number] = _read(version_folder(self._folder, number))
        return found

    def forget(self, number: int) -> None:
        """Drop a model from memory."""
        self._loaded.pop(number, None)


def store_model(folder: Path, model: Model, thresholds: Mapping[str, float]) -> None:
    """Write a trained model into the folder of its version."""
    model.save(folder / _MODEL)
    (folder / _THRESHOLDS).write_text(json.dumps(dict(thresholds)), encoding="utf-8")


def _read(folder: Path) -> Loaded:
    thresholds: dict[str, Any] = json.loads((folder / _THRESHOLDS).read_text(encoding="utf-8"))
    return Loaded(load_model(folder / _MODEL), thresholds)
