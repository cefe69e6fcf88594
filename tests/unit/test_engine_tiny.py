"""The tiny engine trains classifiers and detectors in milliseconds, and saves and loads them."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rekolabels.errors import MissingExtra
from rekolabels.evaluation import iou
from rekolabels.images import BoundingBox
from rekolabels.local import LocalService, _service
from rekolabels.local._engine import (
    BrokenModel,
    Prediction,
    Sample,
    TrainingResult,
    UnusableImage,
    load_model,
    train,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

np = pytest.importorskip("numpy", reason="the extra 'local' is not installed")
pil = pytest.importorskip("PIL.Image", reason="the extra 'local' is not installed")

COLOURS = {"amber": (230, 160, 30), "blue": (30, 60, 220), "green": (40, 170, 60)}
BLOCK = 40
"""Side of a coloured block in pixels."""


def scene(labels: Iterable[str], seed: int) -> Sample:
    """Return a noisy grey image with a coloured block for each label, side by side, at random heights."""
    random = np.random.default_rng(seed)
    image = pil.fromarray(random.integers(110, 140, (96, 192, 3), dtype=np.uint8))
    boxes: list[BoundingBox] = []
    for number, label in enumerate(labels):
        left, top = 8 + 64 * number + int(random.integers(0, 16)), int(random.integers(0, 96 - BLOCK))
        image.paste(COLOURS[label], (left, top, left + BLOCK, top + BLOCK))
        boxes.append(BoundingBox(label, left, top, BLOCK, BLOCK))
    target = io.BytesIO()
    image.save(target, "PNG")
    data = target.getvalue()
    return Sample(f"s3://bucket/{seed}.png", lambda: data, boxes=boxes)


def labelled(label: str, seed: int) -> Sample:
    """Return a sample with an image-level label."""
    one = scene([label], seed)
    return Sample(one.source, one.read, labels=[label])


def best(predictions: Iterable[Prediction]) -> str:
    """Return the most confident label."""
    return next(iter(predictions)).label


@pytest.fixture(scope="module")
def classifier() -> TrainingResult:
    """Return a classifier of three colours, with four test images of each."""
    training = [labelled(label, 10 * seed + at) for at, label in enumerate(COLOURS) for seed in range(6)]
    testing = [
        labelled(label, 1000 + 10 * seed + at) for at, label in enumerate(COLOURS) for seed in range(4)
    ]
    return train(training, testing, engine="tiny")


@pytest.fixture(scope="module")
def detector() -> TrainingResult:
    """Return a detector of two colours."""
    return train(
        [scene(["amber", "blue"], seed) for seed in range(6)],
        [scene(["blue", "amber"], 100 + seed) for seed in range(4)],
        engine="tiny",
    )


def test_a_classifier_recognises_new_images(classifier: TrainingResult) -> None:
    """Each test image gets its own label, and the confidences add up to 1."""
    assert [best(one) for one in classifier.predictions] == [label for label in COLOURS for _ in range(4)]
    assert [sum(found.confidence for found in one) for one in classifier.predictions] == pytest.approx(
        [1] * 12
    )


def test_multi_label_models() -> None:
    """A multi-label model predicts each label independently."""
    kinds = [["amber"], ["blue"], ["amber", "blue"], ["green"]]

    def several(labels: list[str], seed: int) -> Sample:
        one = scene(sorted(labels), seed)
        return Sample(one.source, one.read, labels=labels)

    trained = train(
        [several(labels, 10 * seed + at) for at, labels in enumerate(kinds) for seed in range(8)],
        [several(labels, 1000 + at) for at, labels in enumerate(kinds)],
        engine="tiny",
    )

    assert trained.model.kind == "multi-label"
    predicted = [sorted(one.label for one in found if one.confidence > 0.5) for found in trained.predictions]
    assert predicted == [sorted(labels) for labels in kinds]


def test_a_detector_locates_blocks(detector: TrainingResult) -> None:
    """For each block, the most confident box of its label has an IoU above 0.5 with it."""
    ious: list[float] = []
    for seed, found in enumerate(detector.predictions):
        for box in scene(["blue", "amber"], 100 + seed).boxes:
            best_box = next(one for one in found if one.label == box.label)
            assert best_box.box is not None
            left, top, width, height = best_box.box
            located = BoundingBox(box.label, left * 192, top * 96, width * 192, height * 96)
            ious.append(iou(box, located))
    assert len(ious) == 8
    assert min(ious) > 0.5


@pytest.mark.parametrize("fixture", ["classifier", "detector"])
def test_a_saved_model_predicts_the_same(
    fixture: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Loading a model does not change its predictions, and needs no name of the engine."""
    model = request.getfixturevalue(fixture).model
    model.save(tmp_path)
    image = scene(["green", "blue"], 7).read()

    assert load_model(tmp_path).predict(image) == model.predict(image)


def test_inconsistent_files_are_refused(classifier: TrainingResult, tmp_path: Path) -> None:
    """A model whose model.json was changed is not loaded."""
    classifier.model.save(tmp_path)
    path = tmp_path / "model.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"green"', '"green", "red"'), encoding="utf-8")

    with pytest.raises(BrokenModel, match="its files are inconsistent"):
        load_model(tmp_path)


def test_an_unusable_image_is_named() -> None:
    """The message starts with the source of the sample."""
    broken = Sample("s3://bucket/broken.png", lambda: b"\x89PNG", labels=["blue"])
    with pytest.raises(UnusableImage, match=r"s3://bucket/broken.png: "):
        train([labelled("amber", 1), broken], [labelled("amber", 2)], engine="tiny")


def test_the_service_refuses_an_unknown_engine() -> None:
    """The message names the engines."""
    with pytest.raises(ValueError, match="expected 'network' or 'tiny'"):
        LocalService(engine="huge")  # type: ignore[arg-type]  # what is tested


def test_the_tiny_engine_needs_its_own_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """When NumPy is missing, the message names the extra that installs what this engine needs."""
    monkeypatch.setitem(_service._REQUIRED_MODULES, "tiny", ("no_such_package",))
    with pytest.raises(MissingExtra, match=r"pip install 'rekolabels\[testing\]'"):
        LocalService(engine="tiny")


def test_no_heavy_library_is_imported() -> None:
    """Training and running a tiny model only needs NumPy and Pillow."""
    code = """
import io, sys
from PIL import Image
from rekolabels.local._engine import Sample, train
def picture(colour):
    target = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(target, "PNG")
    return target.getvalue
some = [Sample(name, picture(name), labels=[name]) for name in ("red", "blue")]
print(train(some, some, engine="tiny").predictions[0][0].label)
print(sorted({"sklearn", "scipy", "onnxruntime"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603 -- our own interpreter
    assert done.stdout == "red\n[]\n"
