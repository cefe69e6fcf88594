"""Real training on small images: honest, deterministic, and the same after saving."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rekolabels.errors import InvalidInput, MissingExtra
from rekolabels.images import BoundingBox
from rekolabels.local import _engine
from rekolabels.local._engine import (
    BrokenEngine,
    FeatureCache,
    Prediction,
    Sample,
    Trained,
    UnusableImage,
    choose_kind,
    load_model,
    train,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

np = pytest.importorskip("numpy", reason="the extra 'local' is not installed")
pil = pytest.importorskip("PIL.Image", reason="the extra 'local' is not installed")

from rekolabels.local._engine import _network  # noqa: E402 - it needs NumPy


def picture(shapes: Sequence[str], seed: int) -> bytes:
    """Draw shapes in random places on a noisy ground."""
    from PIL import ImageDraw

    random = np.random.default_rng(seed)
    image = pil.fromarray(random.integers(90, 160, (96, 96, 3), dtype=np.uint8))
    draw = ImageDraw.Draw(image)
    for shape in shapes:
        x, y = random.integers(5, 50, 2).tolist()
        colour = tuple(random.integers(0, 256, 3).tolist())
        if shape == "disc":
            draw.ellipse((x, y, x + 35, y + 35), fill=colour)
        elif shape == "stripes":
            for step in range(0, 40, 8):
                draw.line((x, y + step, x + 40, y + step), fill=colour, width=3)
        else:
            draw.line((x, y, x + 40, y + 40), fill=colour, width=4)
            draw.line((x + 40, y, x, y + 40), fill=colour, width=4)
    target = io.BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


def sample(labels: Sequence[str], seed: int) -> Sample:
    """A sample with a drawing."""
    data = picture(labels, seed)
    return Sample(f"s3://bucket/{seed}.png", lambda: data, labels=labels)


SHAPES = ("cross", "disc", "stripes")


@pytest.fixture(scope="module")
def training() -> list[Sample]:
    """Twelve drawings of each shape."""
    return [
        sample([shape], 100 * number + index) for number, shape in enumerate(SHAPES) for index in range(12)
    ]


@pytest.fixture(scope="module")
def testing() -> list[Sample]:
    """Four other drawings of each shape."""
    return [
        sample([shape], 9000 + 100 * number + index)
        for number, shape in enumerate(SHAPES)
        for index in range(4)
    ]


@pytest.fixture(scope="module")
def cache() -> FeatureCache:
    """Features that the tests of this module share."""
    return FeatureCache()


@pytest.fixture(scope="module")
def trained(training: list[Sample], testing: list[Sample], cache: FeatureCache) -> Trained:
    """A model for the drawings."""
    return train(training, testing, features=cache)


def test_a_model_learns_what_it_is_shown(trained: Trained, testing: list[Sample]) -> None:
    """Most drawings that it never saw are told apart."""
    right = sum(
        {predictions[0].label} == test.labels
        for predictions, test in zip(trained.predictions, testing, strict=True)
    )

    assert trained.model.kind == "single-label"
    assert trained.model.labels == SHAPES
    assert right >= 10


def test_predictions_cover_every_label(trained: Trained) -> None:
    """Unthresholded, the most confident first, adding up to 1 where one label holds."""
    for predictions in trained.predictions:
        confidences = [prediction.confidence for prediction in predictions]
        assert {prediction.label for prediction in predictions} == set(SHAPES)
        assert confidences == sorted(confidences, reverse=True)
        assert sum(confidences) == pytest.approx(1)


def test_a_saved_model_predicts_the_same(trained: Trained, testing: list[Sample], tmp_path: Path) -> None:
    """To the last bit, as does the model that was just trained."""
    trained.model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")

    for test, predictions in zip(testing, trained.predictions, strict=True):
        assert tuple(trained.model.predict(test.read())) == predictions
        assert tuple(loaded.predict(test.read())) == predictions


def test_the_same_seed_gives_the_same_model(
    training: list[Sample], testing: list[Sample], cache: FeatureCache, trained: Trained
) -> None:
    """Deterministic, also where the features come from the cache."""
    assert train(training, testing, features=cache).predictions == trained.predictions


def test_test_images_do_not_change_the_model(
    training: list[Sample], testing: list[Sample], cache: FeatureCache, trained: Trained
) -> None:
    """What the model says of an image does not depend on which test images there are, nor on their labels."""
    relabelled = [Sample(test.source, test.read, labels={"disc"}) for test in testing[:3]]

    again = train(training, relabelled, features=cache)

    assert again.predictions == trained.predictions[:3]


def test_known_images_are_not_computed_again(
    training: list[Sample],
    testing: list[Sample],
    cache: FeatureCache,
    trained: Trained,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By content, whatever they are called."""
    del trained  # it has filled the cache

    def fail(*_: Any, **__: Any) -> Any:
        raise AssertionError("the network ran")

    monkeypatch.setattr("rekolabels.local._engine._features.run", fail)
    renamed = [
        Sample(f"elsewhere/{index}", one.read, labels=one.labels) for index, one in enumerate(training)
    ]

    train(renamed, testing, features=cache)


def test_progress_is_told_by_stage(
    training: list[Sample], testing: list[Sample], cache: FeatureCache
) -> None:
    """Features, head, test; each ends at its total."""
    told: list[tuple[str, int, int]] = []

    train(training, testing, features=cache, progress=lambda *step: told.append(step))

    assert list(dict.fromkeys(stage for stage, _, _ in told)) == ["features", "head", "test"]
    assert ("features", 36, 36) in told
    assert told[-1] == ("test", 12, 12)


def test_several_labels_an_image_are_learnt_one_by_one(cache: FeatureCache, tmp_path: Path) -> None:
    """Confidences are independent of each other; images without a label are allowed."""
    sets = [["disc"], ["stripes"], ["disc", "stripes"], []]
    training = [
        sample(labels, 20_000 + 100 * n + index) for n, labels in enumerate(sets) for index in range(8)
    ]
    testing = [sample(labels, 30_000 + n) for n, labels in enumerate(sets)]

    trained = train(training, testing, features=cache)
    trained.model.save(tmp_path)

    assert trained.model.kind == "multi-label"
    assert all(len(predictions) == 2 for predictions in trained.predictions)
    assert tuple(load_model(tmp_path).predict(testing[2].read())) == trained.predictions[2]


def test_two_labels_are_enough(training: list[Sample], testing: list[Sample], cache: FeatureCache) -> None:
    """The smallest classifier: two labels, one of them with a single image."""
    trained = train([*training[:12], training[12]], testing[:2], features=cache)

    assert trained.model.labels == ("cross", "disc")
    assert trained.predictions[0][0].label == "cross"


@pytest.mark.parametrize(
    ("training", "message"),
    [([], "no training image"), ([Sample("a", lambda: b"", labels={"one"})], "at least two labels")],
)
def test_nothing_to_learn_is_refused(training: list[Sample], message: str) -> None:
    """Before any image is read."""
    with pytest.raises(InvalidInput, match=message):
        train(training, training)


def test_an_unusable_image_is_named(training: list[Sample]) -> None:
    """With the reason that the service would give."""
    broken = Sample("s3://bucket/broken.png", lambda: b"GIF89a", labels={"disc"})

    with pytest.raises(UnusableImage, match=r"s3://bucket/broken\.png: .*neither JPEG nor PNG") as caught:
        train([*training, broken], [])

    assert caught.value.reason == "format"


def test_boxes_in_the_test_images_make_a_detector() -> None:
    """The test samples decide between image-level labels and boxes."""
    boxed = Sample("a", lambda: b"", boxes=[BoundingBox("cap", 1, 1, 10, 10)])
    plain = Sample("b", lambda: b"", labels={"cap"})

    assert choose_kind([plain], [boxed]) == "detection"
    assert choose_kind([boxed], [plain]) == "multi-label"
    assert choose_kind([plain], [plain]) == "single-label"


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is compared with its size and SHA-256 before a number of it is used."""
    whole = _network.weights_file().read_bytes()
    for data, message in (
        (whole[:-1], "bytes, expected"),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "SHA-256"),
        (None, "cannot read"),
    ):
        path = tmp_path / "weights.pth"
        path.unlink(missing_ok=True)
        if data is not None:
            path.write_bytes(data)
        monkeypatch.setattr(_network, "weights_file", lambda path=path: path)
        _network._session.cache_clear()
        with pytest.raises(BrokenEngine, match=message):
            _network.run(["head"], np.zeros((64, 64, 3), np.uint8))


def test_without_the_extra_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing the engine works; using it says what to install."""
    monkeypatch.setitem(sys.modules, "rekolabels.local._engine._training", None)

    with pytest.raises(MissingExtra, match=r"rekolabels\[local\]"):
        _engine.train([], [])
    with pytest.raises(MissingExtra, match=r"rekolabels\[local\]"):
        _engine.load_model(None)  # type: ignore[arg-type]  # it is not looked at


def test_predictions_compare_by_value() -> None:
    """Values, as everywhere."""
    assert Prediction("a", 0.5) == Prediction("a", 0.5, None)
