"""Which kind of model is trained or read by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rekolabels.local._engine._classifier import load_classifier, train_classifier
from rekolabels.local._engine._detector import load_detector
from rekolabels.local._engine._detector_training import train_detector
from rekolabels.local._engine._files import read_model
from rekolabels.local._engine._tiny import load_tiny, train_tiny

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rekolabels.local._engine._cache import FeatureCache
    from rekolabels.local._engine._values import EngineName, Model, ModelKind, Progress, Sample, Trained

__all__ = ["read", "train_model"]


def train_model(
    kind: ModelKind,
    training: Sequence[Sample],
    testing: Sequence[Sample],
    *,
    seed: int,
    cache: FeatureCache,
    progress: Progress,
    engine: EngineName,
) -> Trained:
    """Train a model of the given kind."""
    if engine == "tiny":
        return train_tiny(kind, training, testing, progress=progress)
    if kind == "detection":
        return train_detector(training, testing, seed=seed, cache=cache, progress=progress)
    return train_classifier(kind, training, testing, seed=seed, cache=cache, progress=progress)


def read(folder: Path) -> Model:
    """Read a saved model of any kind."""
    document, arrays = read_model(folder)
    if document.get("engine") == "tiny":
        return load_tiny(folder, document, arrays)
    load = load_detector if document.get("kind") == "detection" else load_classifier
    return load(folder, document, arrays)
