"""Values that go into the engine and come out of it, and its errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, Protocol

import attrs

from rekolabels.errors import InvalidImage, RekolabelsError
from rekolabels.images import BoundingBox

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "BrokenModel",
    "BrokenWeights",
    "ClassifierKind",
    "EngineName",
    "Model",
    "ModelKind",
    "Prediction",
    "Progress",
    "Sample",
    "TrainingResult",
    "UnusableImage",
    "UnusableReason",
]

ModelKind = Literal["single-label", "multi-label", "detection"]
"""What a model predicts: exactly one label, any number of labels, or boxes."""

ClassifierKind = Literal["single-label", "multi-label"]
"""Whether exactly one label holds for an image, or any number."""

EngineName = Literal["network", "tiny"]
"""``network`` puts linear heads on a frozen network; ``tiny`` compares coarse colours, for tests."""

Progress = Callable[[str, int, int], None]
"""Called with the stage (``features``, ``head``, ``test``), the steps done, and their total."""

UnusableReason = Literal["format", "too large", "too small", "aspect ratio", "unreadable"]
"""Why an image cannot be used."""


class UnusableImage(InvalidImage):
    """An image that the service would reject.

    Attributes:
        reason: ``format`` (neither JPEG nor PNG), ``too large`` (over 15 MB or 4096 pixels a side), ``too
            small`` (under 64 pixels a side), ``aspect ratio`` (over 20:1) or ``unreadable`` (truncated or
            corrupt).
    """

    def __init__(self, message: str, *, reason: UnusableReason) -> None:
        super().__init__(message)
        self.reason: UnusableReason = reason


class BrokenModel(RekolabelsError):
    """The files of a saved model are missing, damaged, or from another version of the engine."""


class BrokenWeights(RekolabelsError):
    """The installed network weights are missing, damaged, or of another version."""


def _labels(values: Iterable[str]) -> frozenset[str]:
    return frozenset(values)


def _boxes(values: Iterable[BoundingBox]) -> tuple[BoundingBox, ...]:
    return tuple(values)


@attrs.frozen
class Sample:
    """A labelled image to train or test with."""

    source: str
    """URI of the image; names it in messages."""
    read: Callable[[], bytes]
    """Returns the encoded image; called lazily, and from several threads."""
    labels: frozenset[str] = attrs.field(default=frozenset(), converter=_labels)
    """Image-level labels."""
    boxes: tuple[BoundingBox, ...] = attrs.field(default=(), converter=_boxes)
    """Boxes in pixels, after rotation by the EXIF orientation."""


@attrs.frozen
class Prediction:
    """A label or a box that a model predicts."""

    label: str
    confidence: float
    """0 to 1."""
    box: tuple[float, float, float, float] | None = None
    """Left, top, width and height as ratios of the rotated image's sides; None for an image-level label."""


class Model(Protocol):
    """A trained model."""

    @property
    def kind(self) -> ModelKind:
        """What it predicts."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Its labels, sorted."""
        ...

    def predict(self, image: bytes) -> list[Prediction]:
        """Return every label of a classifier, or every candidate box of a detector, by falling confidence.

        Raises:
            UnusableImage: The image has an unsupported format or size, or cannot be decoded.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write the model into a folder; create the folder, or replace an older model in it."""
        ...


@attrs.frozen
class TrainingResult:
    """A trained model, and its predictions for the test samples."""

    model: Model
    predictions: tuple[tuple[Prediction, ...], ...]
    """For each test sample, in order: all predictions, without a threshold, by falling confidence."""
