"""Classification: frozen features, a linear head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import attrs
import numpy as np
import numpy.typing as npt

from rekolabels.local._engine._features import (
    Scale,
    blocks_of,
    choose_scale,
    describe,
    describe_all,
)
from rekolabels.local._engine._files import document_labels, write_model
from rekolabels.local._engine._linear import Matrix, fit_exclusive, fit_independent
from rekolabels.local._engine._network import Tensor, fingerprint
from rekolabels.local._engine._values import (
    BrokenModel,
    ClassifierKind,
    Prediction,
    Progress,
    Sample,
    Trained,
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
    """How large the views of an image are that it looks at."""
    weights: Matrix
    """Labels x features."""
    bias: Matrix
    """One a label."""

    def predict(self, image: bytes) -> list[Prediction]:
        """Every label with its confidence, the most confident first."""
        return self.predict_from(describe(image, self.kind, self.scale, alone=True))

    def predict_from(self, features: Tensor) -> list[Prediction]:
        """The same from an image's description."""
        scores = self.weights @ features.astype(np.float64) + self.bias
        confidences = _exclusive(scores) if self.kind == "single-label" else _independent(scores)
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
) -> Trained:
    """Train on the training samples alone, then look at the test samples."""
    labels = tuple(sorted({label for sample in training for label in sample.labels}))
    numbers = {label: number for number, label in enumerate(labels)}
    scale = choose_scale(training)
    features = describe_all(training, kind, scale, cache, _stage(progress, "features"))
    progress("head", 0, 1)
    blocks = blocks_of(kind, scale)
    if kind == "single-label":
        classes = np.array([numbers[next(iter(sample.labels))] for sample in training], dtype=np.intp)
        head = fit_exclusive(features, blocks, classes, seed)
    else:
        targets = np.zeros((len(training), len(labels)))
        for row, sample in enumerate(training):
            targets[row, [numbers[label] for label in sample.labels]] = 1.0
        head = fit_independent(features, blocks, targets, seed)
    progress("head", 1, 1)
    model = Classifier(kind, labels, scale, head.weights, head.bias)
    seen = describe_all(testing, kind, scale, cache, _stage(progress, "test"))
    return Trained(model, tuple(tuple(model.predict_from(row)) for row in seen))


def load_classifier(
    folder: Path, document: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]
) -> Classifier:
    """Put a classifier together from its files.

    Raises:
        BrokenModel: They do not fit together, or were made with another network.
    """
    if document.get("network") != fingerprint():
        raise BrokenModel(f"the model in {folder} was made by another version of the engine; train it again")
    kind: Any = document.get("kind")
    scale: Any = document.get("scale")
    labels = document_labels(document)
    shapes = {name: array.shape for name, array in arrays.items()}
    if (
        kind not in get_args(ClassifierKind)
        or scale not in get_args(Scale)
        or shapes != {"weights": (len(labels), blocks_of(kind, scale)[-1].stop), "bias": (len(labels),)}
    ):
        raise BrokenModel(f"the model in {folder} is damaged: its parts do not fit together; train it again")
    return Classifier(kind, labels, scale, arrays["weights"], arrays["bias"])


def _stage(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(name, done, total)


def _exclusive(scores: Matrix) -> Matrix:
    powers: Matrix = np.exp(scores - scores.max())
    result: Matrix = powers / powers.sum()
    return result


def _independent(scores: Matrix) -> Matrix:
    result: Matrix = np.exp(-np.logaddexp(0.0, -scores))
    return result
