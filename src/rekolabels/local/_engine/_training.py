"""Entry points of the engine: choose the kind of a model, train it, load it.

The implementations need NumPy, so they are imported inside the functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rekolabels.errors import InvalidInput, MissingExtra
from rekolabels.local._engine._cache import FeatureCache

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rekolabels.local._engine._values import (
        EngineName,
        Model,
        ModelKind,
        Progress,
        Sample,
        TrainingResult,
    )

__all__ = ["choose_kind", "load_model", "train"]

_MIN_LABELS = 2
"""A classifier needs two labels to distinguish."""
_PURPOSE = "Training and running models on this machine"


def choose_kind(training: Sequence[Sample], testing: Sequence[Sample]) -> ModelKind:
    """Return the kind of model that the samples call for, by the rules of Custom Labels.

    Boxes among the test samples call for a detector. Otherwise exactly one label for each image calls for a
    single-label classifier, anything else for a multi-label one.

    Examples:
        >>> from rekolabels.local._engine import Sample
        >>> one = Sample("a.jpg", lambda: b"", labels={"cat"})
        >>> both = Sample("b.jpg", lambda: b"", labels={"cat", "dog"})
        >>> choose_kind([one], [one]), choose_kind([one, both], [one])
        ('single-label', 'multi-label')
    """
    if any(sample.boxes for sample in testing):
        return "detection"
    exclusive = all(len(sample.labels) == 1 for sample in (*training, *testing))
    return "single-label" if exclusive else "multi-label"


def train(
    training: Sequence[Sample],
    testing: Sequence[Sample],
    *,
    seed: int = 0,
    features: FeatureCache | None = None,
    progress: Progress | None = None,
    engine: EngineName = "network",
) -> TrainingResult:
    """Train a model, then predict the test samples with it.

    The same samples in the same order with the same seed give the same model.

    Args:
        training: Samples to learn from. All hyperparameters are chosen by cross-validation among them.
        testing: Samples to predict. Of their labels, only the kind is used, to choose the kind of model.
        seed: Seed for cross-validation folds, subsampling and clustering.
        features: Cache of the features of each image, so that known images are not computed again.
        progress: Called with the stage (``features``, ``head``, ``test``), the steps done and their total.
        engine: Which engine to train with.

    Raises:
        InvalidInput: There is nothing to learn: no samples, or fewer than two labels for a classifier.
        UnusableImage: An image cannot be used; the message names it.
        BrokenWeights: The installed network weights are damaged.
        MissingExtra: The extra ``local`` is not installed.
    """
    kind = choose_kind(training, testing)
    try:
        from rekolabels.local._engine._classifier import train_classifier
        from rekolabels.local._engine._detector_training import train_detector
        from rekolabels.local._engine._tiny import train_tiny
    except ModuleNotFoundError as error:
        raise MissingExtra("local", _PURPOSE) from error
    if not training:
        raise InvalidInput("There are no training images: the training dataset needs at least one.")
    labels = {label for sample in training for label in sample.labels}
    if kind != "detection" and len(labels) < _MIN_LABELS:
        raise InvalidInput(
            f"A classifier needs at least two labels, but the training images have {sorted(labels)}. "
            "Add images with another label."
        )
    report = progress or _ignore
    if engine == "tiny":
        return train_tiny(kind, training, testing, progress=report)
    cache = features or FeatureCache()
    try:
        if kind == "detection":
            return train_detector(training, testing, seed=seed, cache=cache, progress=report)
        return train_classifier(kind, training, testing, seed=seed, cache=cache, progress=report)
    finally:
        if features is None:
            cache.close()


def load_model(folder: Path) -> Model:
    """Load a saved model; its predictions equal those of the model that was saved.

    Raises:
        BrokenModel: A file is missing, damaged, or from another version of the engine.
        MissingExtra: The extra ``local`` is not installed.
    """
    try:
        from rekolabels.local._engine._classifier import load_classifier
        from rekolabels.local._engine._detector import load_detector
        from rekolabels.local._engine._model_files import read_model
        from rekolabels.local._engine._tiny import load_tiny
    except ModuleNotFoundError as error:
        raise MissingExtra("local", _PURPOSE) from error
    document, arrays = read_model(folder)
    if document.get("engine") == "tiny":
        return load_tiny(folder, document, arrays)
    load = load_detector if document.get("kind") == "detection" else load_classifier
    return load(folder, document, arrays)


def _ignore(_stage: str, _done: int, _total: int) -> None:
    """Report no progress."""
