"""The tiny engine learns from the images that it is given, at once, and keeps what it learnt."""

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
    Trained,
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
"""Pixels of a side of a coloured block."""


def scene(labels: Iterable[str], seed: int) -> Sample:
    """A grey, noisy picture with a block of colour for each label, side by side, at a height of its own."""
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
    """A sample with an image-level label."""
    one = scene([label], seed)
    return Sample(one.source, one.read, labels=[label])


def best(predictions: Iterable[Prediction]) -> str:
    """The most confident label."""
    return next(iter(predictions)).label


@pytest.fixture(scope="module")
def classifier() -> Trained:
    """A model of three colours, with four test images of each."""
    training = [labelled(label, 10 * seed + at) for at, label in enumerate(COLOURS) for seed in range(6)]
    testing = [
        labelled(label, 1000 + 10 * seed + at) for at, label in enumerate(COLOURS) for seed in range(4)
    ]
    return train(training, testing, engine="tiny")


@pytest.fixture(scope="module")
def detector() -> Trained:
    """A model of two colours with boxes."""
    return train(
        [scene(["amber", "blue"], seed) for seed in range(6)],
        [scene(["blue", "amber"], 100 + seed) for seed in range(4)],
        engine="tiny",
    )


def test_a_classifier_tells_new_images_apart(classifier: Trained) -> None:
    """Each test image gets its own label, and the confidences add up to 1."""
    assert [best(one) for one in classifier.predictions] == [label for label in COLOURS for _ in range(4)]
    assert [sum(found.confidence for found in one) for one in classifier.predictions] == pytest.approx(
        [1] * 12
    )


def test_several_labels_hold_at_once() -> None:
    """A multi-label model says of each label by itself whether it holds."""
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
    held = [sorted(one.label for one in found if one.confidence > 0.5) for found in trained.predictions]
    assert held == [sorted(labels) for labels in kinds]


def test_a_detector_finds_blocks_where_they_are(detector: Trained) -> None:
    """Of each block that the test images show, the surest box of its label overlaps it by more than half."""
    shares: list[float] = []
    for seed, found in enumerate(detector.predictions):
        for box in scene(["blue", "amber"], 100 + seed).boxes:
            surest = next(one for one in found if one.label == box.label)
            assert surest.box is not None
            left, top, width, height = surest.box
            there = BoundingBox(box.label, left * 192, top * 96, width * 192, height * 96)
            shares.append(iou(box, there))
    assert len(shares) == 8
    assert min(shares) > 0.5


@pytest.mark.parametrize("made", ["classifier", "detector"])
def test_a_saved_model_says_the_same(made: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Reading it back changes no figure, and any engine can do it."""
    model = request.getfixturevalue(made).model
    model.save(tmp_path)
    image = scene(["green", "blue"], 7).read()

    assert load_model(tmp_path).predict(image) == model.predict(image)


def test_parts_that_do_not_fit_are_refused(classifier: Trained, tmp_path: Path) -> None:
    """A model whose description was changed is not used."""
    classifier.model.save(tmp_path)
    path = tmp_path / "model.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"green"', '"green", "red"'), encoding="utf-8")

    with pytest.raises(BrokenModel, match="its parts do not fit together"):
        load_model(tmp_path)


def test_an_unusable_image_is_named() -> None:
    """As by the other engine."""
    broken = Sample("s3://bucket/broken.png", lambda: b"\x89PNG", labels=["blue"])
    with pytest.raises(UnusableImage, match=r"s3://bucket/broken.png: "):
        train([labelled("amber", 1), broken], [labelled("amber", 2)], engine="tiny")


def test_the_service_refuses_an_engine_that_does_not_exist() -> None:
    """The message names those that do."""
    with pytest.raises(ValueError, match="expected 'network' or 'tiny'"):
        LocalService(engine="huge")  # type: ignore[arg-type]  # what is tested


def test_the_tiny_engine_needs_its_own_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where NumPy is missing, the message names the extra that brings what this engine needs."""
    monkeypatch.setitem(_service._NEEDED, "tiny", ("no_such_package",))
    with pytest.raises(MissingExtra, match=r"pip install 'rekolabels\[testing\]'"):
        LocalService(engine="tiny")


def test_nothing_heavy_is_loaded() -> None:
    """Training and running a tiny model needs NumPy and Pillow alone."""
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
