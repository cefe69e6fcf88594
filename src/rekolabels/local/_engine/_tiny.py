"""The tiny engine: nearest neighbours on coarse colours, learnt in milliseconds, for tests of code.

An image is reduced to 64 cells on its longer side. A window of it is described by the mean colours of a 3 x 3
grid and of its surroundings, and compared with the windows of the training images: the closer the nearest
one with a label is, against the nearest one without, the surer the label. A classifier looks at one window,
the whole image; a detector everywhere, at windows of the size that a label's boxes have. What it says was
learnt from the images, but it knows no more than colours and where they are: its figures say nothing about a
dataset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import attrs
import numpy as np
import numpy.typing as npt

from rekolabels.local._engine._features import named
from rekolabels.local._engine._files import document_labels, write_model
from rekolabels.local._engine._images import check_image, decode
from rekolabels.local._engine._linear import Matrix
from rekolabels.local._engine._values import BrokenModel, ModelKind, Prediction, Progress, Sample, Trained
from rekolabels.local._engine._windows import (
    PARTS,
    Rectangles,
    corners,
    integrate,
    merge,
    overlaps,
    pool,
    slide,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["TinyModel", "load_tiny", "train_tiny"]

_SIDE = 64
"""Cells on the longer side of an image."""
_SIZE = 3 * PARTS
"""Numbers that describe a window."""
_SHARPNESS = 60.0
"""How fast confidence grows with the difference of mean squared distances; colours are 0 to 1."""
_FAR = 1.0
"""The distance of what was never seen."""
_BACKGROUND = 0.3
"""Windows that overlap no box more than this show none of the labels."""
_SURROUNDINGS = 40
"""Windows of an image without a label that are remembered, at most."""
_LEAST = 0.05
"""Confidence below which no box is returned."""
_OVERLAP = 0.3
"""Boxes of one label that overlap more are taken for one object."""
_MOST = 20
"""Boxes a label and image that are returned at most."""


@attrs.frozen(eq=False)
class TinyModel:
    """What was seen in training, and under which labels."""

    kind: ModelKind
    """What it was trained for."""
    labels: tuple[str, ...]
    """Sorted."""
    seen: Matrix
    """Windows of the training images; windows x numbers."""
    held: Matrix
    """1 where a window holds a label; windows x labels."""
    shapes: Rectangles
    """Width and height, in cells, of the windows of each label of a detector; labels x 2."""

    def predict(self, image: bytes) -> list[Prediction]:
        """Every label of a classifier, the boxes of a detector; the most confident first."""
        cells = _cells(image)
        found = self._boxes(cells) if self.kind == "detection" else self._whole(cells)
        return sorted(found, key=lambda prediction: -prediction.confidence)

    def _whole(self, cells: Matrix) -> list[Prediction]:
        near, far = self._distances(_describe(cells, _everything(cells)))
        sure = _exclusive(near[0]) if self.kind == "single-label" else _independent(near[0], far[0])
        return [Prediction(label, float(value)) for label, value in zip(self.labels, sure, strict=True)]

    def _boxes(self, cells: Matrix) -> list[Prediction]:
        height, width = cells.shape[:2]
        sides = np.array([width, height, width, height])
        found: list[Prediction] = []
        for number, label in enumerate(self.labels):
            windows = slide(self.shapes[number : number + 1], (height, width))
            near, far = self._distances(_describe(cells, windows))
            sure = _independent(near[:, number], far[:, number])
            likely = sure >= _LEAST
            if not likely.any():
                continue
            merged = merge(windows[likely].astype(np.float64), sure[likely], limit=_OVERLAP, most=_MOST)
            for corner, value in zip(*merged, strict=True):
                left, top, right, bottom = (float(share) for share in corner / sides)
                found.append(Prediction(label, float(value), (left, top, right - left, bottom - top)))
        return found

    def _distances(self, windows: Matrix) -> tuple[Matrix, Matrix]:
        """From windows to the nearest seen one with each label, and to the nearest without it."""
        squares = (windows**2).sum(1)[:, None] + (self.seen**2).sum(1) - 2 * windows @ self.seen.T
        apart = np.maximum(squares, 0.0) / _SIZE
        near, far = np.full((2, len(windows), len(self.labels)), _FAR)
        for number in range(len(self.labels)):
            holds = self.held[:, number] > 0
            near[:, number] = apart[:, holds].min(1, initial=_FAR)
            far[:, number] = apart[:, ~holds].min(1, initial=_FAR)
        return near, far

    def save(self, folder: Path) -> None:
        """Write the model into a folder."""
        description = {"kind": self.kind, "labels": self.labels, "engine": "tiny"}
        arrays = {"seen": self.seen, "held": self.held, "shapes": self.shapes.astype(np.float64)}
        write_model(folder, description, arrays)


def train_tiny(
    kind: ModelKind, training: Sequence[Sample], testing: Sequence[Sample], *, progress: Progress
) -> Trained:
    """Remember the training samples, then look at the test samples."""
    pictures: list[_Picture] = []
    for done, sample in enumerate(training, start=1):
        pictures.append(_picture(sample))
        progress("features", done, len(training))
    if kind == "detection":
        model = _detector(pictures)
    else:
        seen = [(_describe(one.cells, _everything(one.cells)), [one.sample.labels]) for one in pictures]
        model = _remember(kind, seen, np.zeros((0, 2), dtype=np.intp))
    progress("head", 1, 1)
    predictions: list[tuple[Prediction, ...]] = []
    for done, sample in enumerate(testing, start=1):
        predictions.append(tuple(named(sample, model.predict)))
        progress("test", done, len(testing))
    return Trained(model, tuple(predictions))


def load_tiny(folder: Path, document: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> TinyModel:
    """Put a model together from its files.

    Raises:
        BrokenModel: They do not fit together.
    """
    kind: Any = document.get("kind")
    labels = document_labels(document)
    count = len(arrays.get("seen", ()))
    expected = {
        "seen": (count, _SIZE),
        "held": (count, len(labels)),
        "shapes": (len(labels) if kind == "detection" else 0, 2),
    }
    if (
        kind not in get_args(ModelKind)
        or {name: array.shape for name, array in arrays.items()} != expected
        or not ((arrays["shapes"] >= 1) & (arrays["shapes"] <= _SIDE)).all()
    ):
        raise BrokenModel(f"the model in {folder} is damaged: its parts do not fit together; train it again")
    return TinyModel(kind, labels, arrays["seen"], arrays["held"], arrays["shapes"].astype(np.intp))


@attrs.frozen(eq=False)
class _Picture:
    sample: Sample
    cells: Matrix
    """The colours of the image, 0 to 1; height x width x 3."""
    boxes: Rectangles
    """The boxes of the sample in cells, each of at least one."""


def _picture(sample: Sample) -> _Picture:
    def look(data: bytes) -> _Picture:
        cells, size = _cells(data), check_image(data)
        height, width = cells.shape[:2]
        scale, sides = np.array([width / size.width, height / size.height] * 2), [width, height]
        edges = [(box.left, box.top, box.left + box.width, box.top + box.height) for box in sample.boxes]
        rounded = np.round(np.array(edges).reshape(-1, 4) * scale).astype(np.intp)
        low = np.clip(rounded[:, :2], 0, np.array(sides) - 1)
        high = np.clip(rounded[:, 2:], low + 1, sides)
        return _Picture(sample, cells, np.concatenate([low, high], axis=1))

    return named(sample, look)


def _detector(pictures: Sequence[_Picture]) -> TinyModel:
    """Remember what the boxes show, and some of what lies around them."""
    sizes: dict[str, list[Rectangles]] = {}
    for one in pictures:
        for box, corner in zip(one.sample.boxes, one.boxes, strict=True):
            sizes.setdefault(box.label, []).append(corner[2:] - corner[:2])
    shapes = np.array([np.median(sizes[label], axis=0) for label in sorted(sizes)]).astype(np.intp)
    seen: list[tuple[Matrix, list[frozenset[str]]]] = []
    for one in pictures:
        height, width = one.cells.shape[:2]
        windows = slide(shapes, (height, width))
        free = windows[overlaps(windows, one.boxes).max(1, initial=0.0) < _BACKGROUND]
        some = free[:: 1 + len(free) // _SURROUNDINGS]
        holders = [frozenset({box.label}) for box in one.sample.boxes] + [frozenset[str]()] * len(some)
        seen.append((_describe(one.cells, np.concatenate([one.boxes, some])), holders))
    return _remember("detection", seen, shapes)


def _remember(
    kind: ModelKind, seen: Sequence[tuple[Matrix, list[frozenset[str]]]], shapes: Rectangles
) -> TinyModel:
    holders = [names for _, group in seen for names in group]
    labels = tuple(sorted({label for names in holders for label in names}))
    held = np.array([[float(label in names) for label in labels] for names in holders])
    return TinyModel(kind, labels, np.concatenate([windows for windows, _ in seen]), held, shapes)


def _cells(image: bytes) -> Matrix:
    from PIL.Image import Resampling

    decoded = decode(image, side=_SIDE)
    scale = _SIDE / max(decoded.size)
    width, height = (max(1, round(side * scale)) for side in decoded.size)
    return np.asarray(decoded.resize((width, height), Resampling.BOX), dtype=np.float64) / 255


def _everything(cells: Matrix) -> Rectangles:
    height, width = cells.shape[:2]
    return np.array([[0, 0, width, height]], dtype=np.intp)


def _describe(cells: Matrix, windows: Rectangles) -> Matrix:
    height, width = cells.shape[:2]
    return pool(integrate(cells), corners(windows, (height, width))).reshape(len(windows), _SIZE)


def _exclusive(near: Matrix) -> Matrix:
    """One of the labels holds: shares that add up to 1."""
    powers: Matrix = np.exp(_SHARPNESS * (near.min() - near))
    result: Matrix = powers / powers.sum()
    return result


def _independent(near: Matrix, far: Matrix) -> Matrix:
    """Each label holds or does not."""
    result: Matrix = 1 / (1 + np.exp(_SHARPNESS * (near - far)))
    return result
