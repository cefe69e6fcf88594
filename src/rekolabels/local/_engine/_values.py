"""What goes into the engine and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, Protocol

import attrs

from rekolabels.errors import InvalidImage, RekolabelsError
from rekolabels.images import BoundingBox

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "BrokenEngine",
    "BrokenModel",
    "EngineName",
    "Model",
    "ModelKind",
    "Prediction",
    "Progress",
    "Sample",
    "Trained",
    "UnusableImage",
    "UnusableReason",
]

ModelKind = Literal["single-label", "multi-label", "detection"]
"""What a model was trained for; the samples decide."""

EngineName = Literal["network", "tiny"]
"""What learns: a frozen network with linear heads, or nearest neighbours on coarse colours, for tests."""

ClassifierKind = Literal["single-label", "multi-label"]
"""Whether exactly one label holds for an image, or any number."""

Progress = Callable[[str, int, int], None]
"""Called with the stage (``features``, ``head``, ``test``), how much of it is done, and its total."""

UnusableReason = Literal["format", "too large", "too small", "aspect ratio", "unreadable"]
"""Why an image cannot be used."""


class UnusableImage(InvalidImage):
    """An image that the service would refuse.

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


class BrokenEngine(RekolabelsError):
    """The installed network weights are not the ones that the engine was made for."""


def _labels(values: Iterable[str]) -> frozenset[str]:
    return frozenset(values)


def _boxes(values: Iterable[BoundingBox]) -> tuple[BoundingBox, ...]:
    return tuple(values)


@attrs.frozen
class Sample:
    """One usable line of a manifest."""

    source: str
    """The image's URI; names it in messages."""
    read: Callable[[], bytes]
    """Brings the encoded image; called lazily, and from several threads."""
    labels: frozenset[str] = attrs.field(default=frozenset(), converter=_labels)
    """Image-level labels."""
    boxes: tuple[BoundingBox, ...] = attrs.field(default=(), converter=_boxes)
    """Boxes in pixels of the image as turned by its EXIF orientation."""


@attrs.frozen
class Prediction:
    """One thing that a model found."""

    label: str
    """The label."""
    confidence: float
    """0 to 1."""
    box: tuple[float, float, float, float] | None = None
    """Left, top, width, height as ratios of the turned image's sides; None for an image-level label."""


class Model(Protocol):
    """A trained model."""

    @property
    def kind(self) -> ModelKind:
        """What it was trained for."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that it knows, sorted."""
        ...

    def predict(self, image: bytes) -> list[Prediction]:
        """Every label of a classifier, every candidate box of a detector; the most confident first.

        Raises:
            UnusableImage: The image has the wrong format or size, or cannot be decoded.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write the model into a folder, which is made if missing; an older model there is replaced."""
        ...


@attrs.frozen
class Trained:
    """What a training yields."""

    model: Model
    """The model."""
    predictions: tuple[tuple[Prediction, ...], ...]
    """For each test sample, in order, what the model says, unthresholded and the most confident first."""
