"""The tiny engine: nearest neighbours on coarse colours, trained in milliseconds, for tests of code.

An image is reduced to 64 cells on its longer side. A window is described by the mean colours of a 3 x 3 grid
and of its surroundings, and compared with the windows of the training images. The confidence of a label
follows from the distance to the nearest window with the label, against the nearest one without it. A
classifier uses one window, the whole image; a detector slides windows of the median size of each label's
boxes over the image. The models know nothing but colours and their positions, so their metrics say nothing
about a dataset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import attrs
import numpy as np
import numpy.typing as npt

from rekolabels.local._engine._images import call_with_image, check_image, decode
from rekolabels.local._engine._linear import Matrix
from rekolabels.local._engine._model_files import labels_of, write_model
from rekolabels.local._engine._values import (
    BrokenModel,
    ModelKind,
    Prediction,
    Progress,
    Sample,
    TrainingResult,
)
from rekolabels.local._engine._windows import (
    PARTS,
    Windows,
    integral_image,
    iou,
    non_maximum_suppression,
    part_lookup,
    pool_parts,
    sliding_windows,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["TinyModel", "load_tiny", "train_tiny"]

_SIDE = 64
"""Cells on the longer side of an image."""
_FEATURES = 3 * PARTS
"""Number of features of a window: the mean red, green and blue of its parts."""
_SHARPNESS = 60.0
"""Slope of the log-odds by the difference of mean squared distances; colours are 0 to 1."""
_MAX_DISTANCE = 1.0
"""Distance to a label, or to its absence, that training never saw."""
_BACKGROUND_IOU = 0.3
"""Windows with less IoU than this with every box are background."""
_MAX_BACKGROUND = 40
"""Approximate maximum number of background windows that are stored for each image."""
_MIN_CONFIDENCE = 0.05
"""Minimum confidence of a box."""
_NMS_IOU = 0.3
"""Boxes of a label with a greater IoU count as the same object."""
_MAX_BOXES = 20
"""Maximum number of boxes of a label in an image."""


@attrs.frozen(eq=False)
class TinyModel:
    """A trained model: the windows of the training images, and their labels."""

    kind: ModelKind
    """What it predicts."""
    labels: tuple[str, ...]
    """Sorted."""
    windows: Matrix
    """Features of the training windows; windows x features."""
    targets: Matrix
    """1 where a window has a label, else 0; windows x labels."""
    shapes: Windows
    """Width and height, in cells, of the windows for each label of a detector; labels x 2."""

    def predict(self, image: bytes) -> list[Prediction]:
        """Return every label of a classifier, or the boxes of a detector, by falling confidence."""
        cells = _cells(image)
        found = self._boxes(cells) if self.kind == "detection" else self._image_labels(cells)
        return sorted(found, key=lambda prediction: -prediction.confidence)

    def _image_labels(self, cells: Matrix) -> list[Prediction]:
        with_label, without = self._distances(_features(cells, _whole_image(cells)))
        if self.kind == "single-label":
            confidences = _exclusive(with_label[0])
        else:
            confidences = _independent(with_label[0], without[0])
        return [
            Prediction(label, float(value)) for label, value in zip(self.labels, confidences, strict=True)
        ]

    def _boxes(self, cells: Matrix) -> list[Prediction]:
        height, width = cells.shape[:2]
        sides = np.array([width, height, width, height])
        found: list[Prediction] = []
        for number, label in enumerate(self.labels):
            windows = sliding_windows(self.shapes[number : number + 1], (height, width))
            with_label, without = self._distances(_features(cells, windows))
            confidences = _independent(with_label[:, number], without[:, number])
            likely = confidences >= _MIN_CONFIDENCE
            if not likely.any():
                continue
            kept = non_maximum_suppression(
                windows[likely].astype(np.float64), confidences[likely], threshold=_NMS_IOU, limit=_MAX_BOXES
            )
            for corners, value in zip(*kept, strict=True):
                left, top, right, bottom = (float(ratio) for ratio in corners / sides)
                found.append(Prediction(label, float(value), (left, top, right - left, bottom - top)))
        return found

    def _distances(self, windows: Matrix) -> tuple[Matrix, Matrix]:
        """Return the mean squared distances to the nearest training window with and without each label."""
        squares = (windows**2).sum(1)[:, None] + (self.windows**2).sum(1) - 2 * windows @ self.windows.T
        distances = np.maximum(squares, 0.0) / _FEATURES
        with_label, without = np.full((2, len(windows), len(self.labels)), _MAX_DISTANCE)
        for number in range(len(self.labels)):
            has_label = self.targets[:, number] > 0
            with_label[:, number] = distances[:, has_label].min(1, initial=_MAX_DISTANCE)
            without[:, number] = distances[:, ~has_label].min(1, initial=_MAX_DISTANCE)
        return with_label, without

    def save(self, folder: Path) -> None:
        """Write the model into a folder."""
        description = {"kind": self.kind, "labels": self.labels, "engine": "tiny"}
        arrays = {"seen": self.windows, "held": self.targets, "shapes": self.shapes.astype(np.float64)}
        write_model(folder, description, arrays)


def train_tiny(
    kind: ModelKind, training: Sequence[Sample], testing: Sequence[Sample], *, progress: Progress
) -> TrainingResult:
    """Store the training samples as a model, then predict the test samples."""
    images: list[_Image] = []
    for done, sample in enumerate(training, start=1):
        images.append(_read_image(sample))
        progress("features", done, len(training))
    if kind == "detection":
        model = _train_detector(images)
    else:
        groups = [(_features(one.cells, _whole_image(one.cells)), [one.sample.labels]) for one in images]
        model = _store(kind, groups, np.zeros((0, 2), dtype=np.intp))
    progress("head", 1, 1)
    predictions: list[tuple[Prediction, ...]] = []
    for done, sample in enumerate(testing, start=1):
        predictions.append(tuple(call_with_image(sample, model.predict)))
        progress("test", done, len(testing))
    return TrainingResult(model, tuple(predictions))


def load_tiny(folder: Path, document: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> TinyModel:
    """Build a model from the content of its files.

    Raises:
        BrokenModel: The files are inconsistent.
    """
    kind: Any = document.get("kind")
    labels = labels_of(document)
    count = len(arrays.get("seen", ()))
    expected = {
        "seen": (count, _FEATURES),
        "held": (count, len(labels)),
        "shapes": (len(labels) if kind == "detection" else 0, 2),
    }
    if (
        kind not in get_args(ModelKind)
        or {name: array.shape for name, array in arrays.items()} != expected
        or not ((arrays["shapes"] >= 1) & (arrays["shapes"] <= _SIDE)).all()
    ):
        raise BrokenModel(f"The model in {folder} is damaged: its files are inconsistent. Train it again.")
    return TinyModel(kind, labels, arrays["seen"], arrays["held"], arrays["shapes"].astype(np.intp))


@attrs.frozen(eq=False)
class _Image:
    """A training image."""

    sample: Sample
    cells: Matrix
    """Mean colours of the cells, 0 to 1; height x width x 3."""
    boxes: Windows
    """Boxes of the sample, rounded to cells, of at least one cell each."""


def _read_image(sample: Sample) -> _Image:
    def read(data: bytes) -> _Image:
        cells, size = _cells(data), check_image(data)
        height, width = cells.shape[:2]
        scale, sides = np.array([width / size.width, height / size.height] * 2), [width, height]
        edges = [(box.left, box.top, box.left + box.width, box.top + box.height) for box in sample.boxes]
        rounded = np.round(np.array(edges).reshape(-1, 4) * scale).astype(np.intp)
        low = np.clip(rounded[:, :2], 0, np.array(sides) - 1)
        high = np.clip(rounded[:, 2:], low + 1, sides)
        return _Image(sample, cells, np.concatenate([low, high], axis=1))

    return call_with_image(sample, read)


def _train_detector(images: Sequence[_Image]) -> TinyModel:
    """Store the windows of the boxes, and some of the background."""
    sizes: dict[str, list[Windows]] = {}
    for one in images:
        for box, corners in zip(one.sample.boxes, one.boxes, strict=True):
            sizes.setdefault(box.label, []).append(corners[2:] - corners[:2])
    shapes = np.array([np.median(sizes[label], axis=0) for label in sorted(sizes)]).astype(np.intp)
    groups: list[tuple[Matrix, list[frozenset[str]]]] = []
    for one in images:
        height, width = one.cells.shape[:2]
        windows = sliding_windows(shapes, (height, width))
        background = windows[iou(windows, one.boxes).max(1, initial=0.0) < _BACKGROUND_IOU]
        some = background[:: 1 + len(background) // _MAX_BACKGROUND]
        labels = [frozenset({box.label}) for box in one.sample.boxes] + [frozenset[str]()] * len(some)
        groups.append((_features(one.cells, np.concatenate([one.boxes, some])), labels))
    return _store("detection", groups, shapes)


def _store(
    kind: ModelKind, groups: Sequence[tuple[Matrix, list[frozenset[str]]]], shapes: Windows
) -> TinyModel:
    """Build a model from groups of windows, each with the features and the labels of its windows."""
    sets = [labels for _, group in groups for labels in group]
    labels = tuple(sorted({label for one in sets for label in one}))
    targets = np.array([[float(label in one) for label in labels] for one in sets])
    return TinyModel(kind, labels, np.concatenate([windows for windows, _ in groups]), targets, shapes)


def _cells(image: bytes) -> Matrix:
    """Return the mean colours of an image's cells, 0 to 1; height x width x 3."""
    from PIL.Image import Resampling

    decoded = decode(image, side=_SIDE)
    scale = _SIDE / max(decoded.size)
    width, height = (max(1, round(side * scale)) for side in decoded.size)
    return np.asarray(decoded.resize((width, height), Resampling.BOX), dtype=np.float64) / 255


def _whole_image(cells: Matrix) -> Windows:
    height, width = cells.shape[:2]
    return np.array([[0, 0, width, height]], dtype=np.intp)


def _features(cells: Matrix, windows: Windows) -> Matrix:
    """Return the mean colours over the parts of windows: windows x features."""
    height, width = cells.shape[:2]
    lookup = part_lookup(windows, (height, width))
    return pool_parts(integral_image(cells), lookup).reshape(len(windows), _FEATURES)


def _exclusive(with_label: Matrix) -> Matrix:
    """Return confidences that add up to 1: exactly one label holds."""
    powers: Matrix = np.exp(_SHARPNESS * (with_label.min() - with_label))
    result: Matrix = powers / powers.sum()
    return result


def _independent(with_label: Matrix, without: Matrix) -> Matrix:
    """Return independent confidences: any number of labels holds."""
    result: Matrix = 1 / (1 + np.exp(_SHARPNESS * (with_label - without)))
    return result
