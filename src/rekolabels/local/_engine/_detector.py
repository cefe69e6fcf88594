"""Detection: windows over the network's layers, judged by linear heads.

A window is described by the layers' means over a 3 x 3 grid and its surroundings. One head says which label
it holds, or none; another how to move it onto the object. Since both are linear, an image is judged by
projecting its layers once and looking up sums, so thousands of windows cost little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import numpy.typing as npt

from rekolabels.local._engine._detector_fit import MOVES
from rekolabels.local._engine._files import document_labels, write_model
from rekolabels.local._engine._linear import Matrix
from rekolabels.local._engine._maps import CHANNELS, Maps, look
from rekolabels.local._engine._network import fingerprint
from rekolabels.local._engine._values import BrokenModel, ModelKind, Prediction
from rekolabels.local._engine._windows import (
    PARTS,
    SHAPE,
    Layout,
    Rectangles,
    integrate,
    lay,
    merge,
    pool_together,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Detector", "load_detector"]

_CANDIDATES = 400
"""Windows a label that are looked at more closely."""
_MOST = 60
"""Boxes a label and image that are returned at most."""
_LEAST = 0.005
"""Confidence below which nothing is returned: there are thousands of windows."""
_OVERLAP = 0.35
"""Boxes of one label that overlap more are taken for one object."""
_SIDES = (64, 4096)
_MOST_SHAPES = 64


@attrs.frozen(eq=False)
class Detector:
    """A trained detector."""

    labels: tuple[str, ...]
    """Sorted."""
    side: int
    """Longer side to which images are resized, in pixels."""
    shapes: Rectangles
    """Widths and heights of the windows in cells."""
    weights: Matrix
    """Channels x (parts x outputs); the outputs are a score a label, one for none of them, and the moves."""
    shape_weights: Matrix
    """Shape features x outputs."""
    bias: Matrix
    """Outputs."""

    @property
    def kind(self) -> ModelKind:
        """Boxes were asked for."""
        return "detection"

    def predict(self, image: bytes) -> list[Prediction]:
        """Every candidate box with its confidence, the most confident first."""
        return self.predict_from(look(image, self.side, alone=True))

    def predict_from(self, maps: Maps) -> list[Prediction]:
        """The same from what the network says about the image."""
        layout = lay(self.shapes, maps.shape)
        scores, moves = self.judge(maps, layout)
        height, width = maps.shape
        boxes = np.clip(_moved(layout.windows, moves), 0, [width, height, width, height])
        found: list[Prediction] = []
        for number, label in enumerate(self.labels):
            confidences = scores[:, number]
            top = np.argsort(-confidences, kind="stable")[:_CANDIDATES]
            top = top[confidences[top] >= _LEAST]
            if not len(top):
                continue
            merged = zip(*merge(boxes[top], confidences[top], limit=_OVERLAP, most=_MOST), strict=True)
            for (left, upper, right, lower), confidence in merged:
                box = (
                    float(left / width),
                    float(upper / height),
                    float((right - left) / width),
                    float((lower - upper) / height),
                )
                found.append(Prediction(label, float(confidence), box))
        return sorted(found, key=lambda prediction: -prediction.confidence)

    def judge(self, maps: Maps, layout: Layout) -> tuple[Matrix, Matrix]:
        """For each window, the shares of the labels and of none, adding up to 1, and how to move it."""
        grid = maps.project(self.weights.astype(np.float32))
        # Each part of a window has outputs of its own: they lie one after the other in the table.
        table = integrate(grid).reshape(-1, len(self.bias))
        sums = pool_together(table, layout.where) + layout.features @ self.shape_weights + self.bias
        scores = sums[:, :-MOVES]
        powers = np.exp(scores - scores.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True), sums[:, -MOVES:]

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
    """Put a detector together from its files.

    Raises:
        BrokenModel: They do not fit together, or were made with another network.
    """
    if document.get("network") != fingerprint():
        raise BrokenModel(f"the model in {folder} was made by another version of the engine; train it again")
    labels = document_labels(document)
    side: Any = document.get("side")
    outputs = len(labels) + 1 + MOVES
    expected = {"weights": (CHANNELS, PARTS * outputs), "shape_weights": (SHAPE, outputs), "bias": (outputs,)}
    shapes = arrays.get("shapes")
    if (
        shapes is None
        or shapes.shape[1:] != (2,)
        or not 1 <= len(shapes) <= _MOST_SHAPES
        or shapes.min() < 1
        or not isinstance(side, int)
        or not _SIDES[0] <= side <= _SIDES[1]
        or {name: array.shape for name, array in arrays.items() if name != "shapes"} != expected
    ):
        raise BrokenModel(f"the model in {folder} is damaged: its parts do not fit together; train it again")
    return Detector(
        labels,
        side,
        shapes.astype(np.intp),
        arrays["weights"],
        arrays["shape_weights"],
        arrays["bias"],
    )


def _moved(windows: Rectangles, moves: Matrix) -> Matrix:
    """Move windows; by half a side and to half or twice the size at most."""
    low, high = windows[:, :2].astype(np.float64), windows[:, 2:].astype(np.float64)
    size = high - low
    centre = (low + high) / 2 + np.clip(moves[:, :2], -0.5, 0.5) * size
    half = size * np.exp(np.clip(moves[:, 2:], -0.7, 0.7)) / 2
    return np.concatenate([centre - half, centre + half], axis=1)
