"""Classifiers: a linear head on the network's features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import attrs
import numpy as np
import numpy.typing as npt

from rekolabels.local._engine._features import (
    Scale,
    cached_features,
    choose_scale,
    compute_features,
    feature_blocks,
)
from rekolabels.local._engine._linear import Matrix, fit_binary, fit_multinomial, single_threaded
from rekolabels.local._engine._model_files import labels_of, write_model
from rekolabels.local._engine._network import Tensor, fingerprint
from rekolabels.local._engine._values import (
    BrokenModel,
    ClassifierKind,
    Prediction,
    Progress,
    Sample,
    TrainingResult,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rekolabels.local._engine._cache import FeatureCache

__all__ = ["Classifier", "load_classifier", "train_classifier"]


@attrs.frozen(eq=False)
class Classifier:
    """A trained classifier."""

    kind: ClassifierKind
    """Whether exactly one label holds for an image, or any number."""
    labels: tuple[str, ...]
    """Sorted."""
    scale: Scale
    """Size of the views of an image."""
    weights: Matrix
    """Labels x features."""
    bias: Matrix
    """One for each label."""

    def predict(self, image: bytes) -> list[Prediction]:
        """Return every label with its confidence, by falling confidence."""
        return self.predict_from(compute_features(image, self.kind, self.scale, two_cores=True))

    def predict_from(self, features: Tensor) -> list[Prediction]:
        """Return the predictions for a feature vector."""
        with single_threaded():
            scores = self.weights @ features.astype(np.float64) + self.bias
        confidences = _softmax(scores) if self.kind == "single-label" else _sigmoid(scores)
        found = [Prediction(label, float(c)) for label, c in zip(self.labels, confidences, strict=True)]
        return sorted(found, key=lambda prediction: -prediction.confidence)

    def save(self, folder: Path) -> None:
        """Write the model into a folder."""
        description = {
            "kind": self.kind,
            "labels": self.labels,
            "scale": self.scale,
            "network": fingerprint(),
        }
        write_model(folder, description, {"weights": self.weights, "bias": self.bias})


def train_classifier(
    kind: ClassifierKind,
    training: Sequence[Sample],
    testing: Sequence[Sample],
    *,
    seed: int,
    cache: FeatureCache,
    progress: Progress,
) -> TrainingResult:
    """Train a classifier on the training samples, then predict the test samples."""
    labels = tuple(sorted({label for sample in training for label in sample.labels}))
    numbers = {label: number for number, label in enumerate(labels)}
    scale = choose_scale(training)
    features = cached_features(training, kind, scale, cache, _report(progress, "features"))
    progress("head", 0, 1)
    blocks = feature_blocks(kind, scale)
    if kind == "single-label":
        classes = np.array([numbers[next(iter(sample.labels))] for sample in training], dtype=np.intp)
        head = fit_multinomial(features, blocks, classes, seed)
    else:
        targets = np.zeros((len(training), len(labels)))
        for row, sample in enumerate(training):
            targets[row, [numbers[label] for label in sample.labels]] = 1.0
        head = fit_binary(features, blocks, targets, seed)
    progress("head", 1, 1)
    model = Classifier(kind, labels, scale, head.weights, head.bias)
    rows = cached_features(testing, kind, scale, cache, _report(progress, "test"))
    return TrainingResult(model, tuple(tuple(model.predict_from(row)) for row in rows))


def load_classifier(
    folder: Path, document: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]
) -> Classifier:
    """Build a classifier from the content of its files.

    Raises:
        BrokenModel: The files are inconsistent, or from another version of the network.
    """
    if document.get("network") != fingerprint():
        raise BrokenModel(f"The model in {folder} was made by another version of the engine. Train it again.")
    kind: Any = document.get("kind")
    scale: Any = document.get("scale")
    labels = labels_of(document)
    shapes = {name: array.shape for name, array in arrays.items()}
    if (
        kind not in get_args(ClassifierKind)
        or scale not in get_args(Scale)
        or shapes != {"weights": (len(labels), feature_blocks(kind, scale)[-1].stop), "bias": (len(labels),)}
    ):
        raise BrokenModel(f"The model in {folder} is damaged: its files are inconsistent. Train it again.")
    return Classifier(kind, labels, scale, arrays["weights"], arrays["bias"])


def _report(progress: Progress, stage: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(stage, done, total)


def _softmax(scores: Matrix) -> Matrix:
    powers: Matrix = np.exp(scores - scores.max())
    result: Matrix = powers / powers.sum()
    return result


def _sigmoid(scores: Matrix) -> Matrix:
    result: Matrix = np.exp(-np.logaddexp(0.0, -scores))
    return result
