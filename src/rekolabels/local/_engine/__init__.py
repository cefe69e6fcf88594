"""The local engine: real training on this machine, from encoded images to a model that can be saved.

Frozen features of EfficientNet-Lite0 and small linear heads. The test samples are looked at only after the
model is made. Images are turned by their EXIF orientation before everything else, in training and inference
alike, as the sister operations of DetectCustomLabels do; the ratios of a box refer to the turned image.

Importing this costs nothing: NumPy, onnxruntime, Pillow and scikit-learn (the extra ``local``) are imported
when they are first needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rekolabels.errors import InvalidInput, MissingExtra
from rekolabels.local._engine._cache import FeatureCache
from rekolabels.local._engine._images import check_image, decode
from rekolabels.local._engine._values import (
    BrokenEngine,
    BrokenModel,
    EngineName,
    Model,
    ModelKind,
    Prediction,
    Progress,
    Sample,
    Trained,
    UnusableImage,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = [
    "BrokenEngine",
    "BrokenModel",
    "EngineName",
    "FeatureCache",
    "Model",
    "ModelKind",
    "Prediction",
    "Progress",
    "Sample",
    "Trained",
    "UnusableImage",
    "check_image",
    "choose_kind",
    "decode",
    "load_model",
    "train",
]

_FEWEST = 2
"""Labels of a classifier: one has nothing to be told from."""
_PURPOSE = "Training and running models on this machine"


def choose_kind(training: Sequence[Sample], testing: Sequence[Sample]) -> ModelKind:
    """Say what a model for these samples is: the samples decide, as in the service.

    Boxes among the test samples make a detector; else exactly one label an image makes a single-label
    classifier, and anything else a multi-label one.

    Examples:
        >>> one = Sample("a.jpg", lambda: b"", labels={"cat"})
        >>> both = Sample("b.jpg", lambda: b"", labels={"cat", "dog"})
        >>> choose_kind([one], [one]), choose_kind([one, both], [one])
        ('single-label', 'multi-label')
    """
    if any(sample.boxes for sample in testing):
        return "detection"
    alone = all(len(sample.labels) == 1 for sample in (*training, *testing))
    return "single-label" if alone else "multi-label"


def train(
    training: Sequence[Sample],
    testing: Sequence[Sample],
    *,
    seed: int = 0,
    features: FeatureCache | None = None,
    progress: Progress | None = None,
    engine: EngineName = "network",
) -> Trained:
    """Train a model and let it predict the test samples.

    The same samples, in the same order, with the same seed yield the same model.

    Args:
        training: What is learnt from; everything that is tuned is tuned by cross-validation among these.
        testing: What the finished model predicts. Their labels say what kind of model is wanted, no more.
        seed: For the folds of the cross-validation.
        features: Remembers what was computed from each image; known images cost next to nothing.
        progress: Called with stage, done and total: ``features``, ``head``, then ``test``.
        engine: What learns.

    Raises:
        InvalidInput: There is nothing to learn: no samples, or a classifier with fewer than two labels.
        UnusableImage: An image cannot be used; the message names it.
        BrokenEngine: The installed network weights are damaged.
        MissingExtra: The extra ``local`` is not installed.
    """
    try:
        from rekolabels.local._engine._training import train_model
    except ModuleNotFoundError as error:
        raise MissingExtra("local", _PURPOSE) from error
    kind = choose_kind(training, testing)
    if not training:
        raise InvalidInput("there is no training image")
    labels = {label for sample in training for label in sample.labels}
    if kind != "detection" and len(labels) < _FEWEST:
        raise InvalidInput(
            f"classification needs at least two labels, the training images have {sorted(labels)}"
        )
    cache = features or FeatureCache()
    try:
        return train_model(
            kind, training, testing, seed=seed, cache=cache, progress=progress or _silent, engine=engine
        )
    finally:
        if features is None:
            cache.close()


def load_model(folder: Path) -> Model:
    """Read a model that was saved; its predictions equal those of the model that was saved.

    Raises:
        BrokenModel: A file is missing, damaged, or from another version of the engine.
        MissingExtra: The extra ``local`` is not installed.
    """
    try:
        from rekolabels.local._engine._training import read
    except ModuleNotFoundError as error:
        raise MissingExtra("local", _PURPOSE) from error
    return read(folder)


def _silent(_stage: str, _done: int, _total: int) -> None:
    """Report nothing."""
