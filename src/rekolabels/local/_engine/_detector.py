"""Detectors: windows on the network's feature maps, scored by linear heads.

The features of a window are the means of the feature maps over its 3 x 3 parts and its surroundings. One head
predicts its label, or background; another predicts offsets that move the window onto the object. Both heads
are linear, so they are applied to the feature maps once, and the outputs of each window follow from an
integral image: thousands of windows cost little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import numpy.typing as npt

from rekolabels.local._engine._detector_fit import OFFSETS
from rekolabels.local._engine._linear import Matrix, single_threaded
from rekolabels.local._engine._model_files import labels_of, write_model
from rekolabels.local._engine._network import CHANNELS, FeatureMaps, compute_maps, fingerprint
from rekolabels.local._engine._values import BrokenModel, ModelKind, Prediction
from rekolabels.local._engine._windows import (
    PARTS,
    SHAPE_FEATURES,
    WindowGrid,
    Windows,
    integral_image,
    non_maximum_suppression,
    pool_sum,
    window_grid,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Detector", "load_detector"]

_MAX_CANDIDATES = 400
"""Maximum number of windows of a label before non-maximum suppression."""
_MAX_BOXES = 60
"""Maximum number of boxes of a label in an image."""
_MIN_CONFIDENCE = 0.005
"""Minimum confidence of a box; there are thousands of windows."""
_NMS_IOU = 0.35
"""Boxes of a label with a greater IoU count as the same object."""
_SIDE_LIMITS = (64, 4096)
_MAX_SHAPES = 64


@attrs.frozen(eq=False)
class Detector:
    """A trained detector."""

    labels: tuple[str, ...]
    """Sorted."""
    side: int
    """Longer side to which images are resized, in pixels."""
    shapes: Windows
    """Anchor shapes: widths and heights in cells, shapes x 2."""
    weights: Matrix
    """Channels x (parts x outputs). The outputs are a score for each label, one for background, and the
    offsets."""
    shape_weights: Matrix
    """Shape features x outputs."""
    bias: Matrix
    """One for each output."""

    @property
    def kind(self) -> ModelKind:
        """Always ``detection``."""
        return "detection"

    def predict(self, image: bytes) -> list[Prediction]:
        """Return every candidate box with its confidence, by falling confidence."""
        return self.predict_from(compute_maps(image, self.side, two_cores=True))

    def predict_from(self, maps: FeatureMaps) -> list[Prediction]:
        """Return the predictions for the feature maps of an image."""
        grid = window_grid(self.shapes, maps.shape)
        with single_threaded():
            probabilities, offsets = self.score_windows(maps, grid)
        height, width = maps.shape
        boxes = np.clip(_apply_offsets(grid.windows, offsets), 0, [width, height, width, height])
        found: list[Prediction] = []
        for number, label in enumerate(self.labels):
            confidences = probabilities[:, number]
            top = np.argsort(-confidences, kind="stable")[:_MAX_CANDIDATES]
            top = top[confidences[top] >= _MIN_CONFIDENCE]
            if not len(top):
                continue
            kept = non_maximum_suppression(boxes[top], confidences[top], threshold=_NMS_IOU, limit=_MAX_BOXES)
            for (left, upper, right, lower), confidence in zip(*kept, strict=True):
                box = (
                    float(left / width),
                    float(upper / height),
                    float((right - left) / width),
                    float((lower - upper) / height),
                )
                found.append(Prediction(label, float(confidence), box))
        return sorted(found, key=lambda prediction: -prediction.confidence)

    def score_windows(self, maps: FeatureMaps, grid: WindowGrid) -> tuple[Matrix, Matrix]:
        """Apply the heads to all windows.

        Returns:
            Probabilities, windows x (labels + 1), the last for background; and offsets, windows x `OFFSETS`.
        """
        projected = maps.project(self.weights.astype(np.float32))
        # Each part of a window has its own outputs, stored one part after the other: one row for each part.
        table = integral_image(projected).reshape(-1, len(self.bias))
        outputs = pool_sum(table, grid.lookup) + grid.features @ self.shape_weights + self.bias
        scores = outputs[:, :-OFFSETS]
        powers = np.exp(scores - scores.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True), outputs[:, -OFFSETS:]

    def save(self, folder: Path) -> None:
        """Write the model into a folder."""
        description = {"kind": self.kind, "labels": self.labels, "side": self.side, "network": fingerprint()}
        arrays = {
            "shapes": self.shapes.astype(np.float64),
            "weights": self.weights,
            "shape_weights": self.shape_weights,
            "bias": self.bias,
        }
        write_model(folder, description, arrays)


def load_detector(folder: Path, document: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Detector:
    """Build a detector from the content of its files.

    Raises:
        BrokenModel: The files are inconsistent, or from another version of the network.
    """
    if document.get("network") != fingerprint():
        raise BrokenModel(f"The model in {folder} was made by another version of the engine. Train it again.")
    labels = labels_of(document)
    side: Any = document.get("side")
    outputs = len(labels) + 1 + OFFSETS
    expected = {
        "weights": (CHANNELS, PARTS * outputs),
        "shape_weights": (SHAPE_FEATURES, outputs),
        "bias": (outputs,),
    }
    shapes = arrays.get("shapes")
    if (
        shapes is None
        or shapes.shape[1:] != (2,)
        or not 1 <= len(shapes) <= _MAX_SHAPES
        or shapes.min() < 1
        or not isinstance(side, int)
        or not _SIDE_LIMITS[0] <= side <= _SIDE_LIMITS[1]
        or {name: array.shape for name, array in arrays.items() if name != "shapes"} != expected
    ):
        raise BrokenModel(f"The model in {folder} is damaged: its files are inconsistent. Train it again.")
    return Detector(
        labels,
        side,
        shapes.astype(np.intp),
        arrays["weights"],
        arrays["shape_weights"],
        arrays["bias"],
    )


def _apply_offsets(windows: Windows, offsets: Matrix) -> Matrix:
    """Move and resize windows: by at most half a side, and to at most about half or twice the size."""
    low, high = windows[:, :2].astype(np.float64), windows[:, 2:].astype(np.float64)
    size = high - low
    centre = (low + high) / 2 + np.clip(offsets[:, :2], -0.5, 0.5) * size
    half = size * np.exp(np.clip(offsets[:, 2:], -0.7, 0.7)) / 2
    return np.concatenate([centre - half, centre + half], axis=1)
