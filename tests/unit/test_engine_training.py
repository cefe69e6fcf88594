"""Training classifiers on small drawings: deterministic, independent of the test labels, savable."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rekolabels.errors import InvalidInput, MissingExtra
from rekolabels.images import BoundingBox
from rekolabels.local import _engine
from rekolabels.local._engine import (
    BrokenWeights,
    FeatureCache,
    Prediction,
    Sample,
    TrainingResult,
    UnusableImage,
    choose_kind,
    load_model,
    train,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

np = pytest.importorskip("numpy", reason="the extra 'local' is not installed")
pil = pytest.importorskip("PIL.Image", reason="the extra 'local' is not installed")

from rekolabels.local._engine import _network  # noqa: E402 - it needs NumPy


def picture(shapes: Sequence[str], seed: int) -> bytes:
    """Draw shapes at random places on noise, and return the PNG."""
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
    """Return a sample with a drawing."""
    data = picture(labels, seed)
    return Sample(f"s3://bucket/{seed}.png", lambda: data, labels=labels)


SHAPES = ("cross", "disc", "stripes")


@pytest.fixture(scope="module")
def training() -> list[Sample]:
    """Return twelve drawings of each shape."""
    return [
        sample([shape], 100 * number + index) for number, shape in enumerate(SHAPES) for index in range(12)
    ]


@pytest.fixture(scope="module")
def testing() -> list[Sample]:
    """Return four other drawings of each shape."""
    return [
        sample([shape], 9000 + 100 * number + index)
        for number, shape in enumerate(SHAPES)
        for index in range(4)
    ]


@pytest.fixture(scope="module")
def cache() -> Iterator[FeatureCache]:
    """Return a feature cache for the tests of this module."""
    with FeatureCache() as features:
        yield features


@pytest.fixture(scope="module")
def trained(training: list[Sample], testing: list[Sample], cache: FeatureCache) -> TrainingResult:
    """Return a classifier of the drawings."""
    return train(training, testing, features=cache)


def test_a_classifier_recognises_new_images(trained: TrainingResult, testing: list[Sample]) -> None:
    """At least 10 of 12 new drawings get the right label."""
    correct = sum(
        {predictions[0].label} == test.labels
        for predictions, test in zip(trained.predictions, testing, strict=True)
    )

    assert trained.model.kind == "single-label"
    assert trained.model.labels == SHAPES
    assert correct >= 10


def test_predictions_cover_every_label(trained: TrainingResult) -> None:
    """Every label is predicted, by falling confidence, and the confidences add up to 1."""
    for predictions in trained.predictions:
        confidences = [prediction.confidence for prediction in predictions]
        assert {prediction.label for prediction in predictions} == set(SHAPES)
        assert confidences == sorted(confidences, reverse=True)
        assert sum(confidences) == pytest.approx(1)


def test_a_saved_model_predicts_the_same(
    trained: TrainingResult, testing: list[Sample], tmp_path: Path
) -> None:
    """The predictions are identical to the last bit, before and after saving."""
    trained.model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")

    for test, predictions in zip(testing, trained.predictions, strict=True):
        assert tuple(trained.model.predict(test.read())) == predictions
        assert tuple(loaded.predict(test.read())) == predictions


def test_the_same_seed_gives_the_same_model(
    training: list[Sample], testing: list[Sample], cache: FeatureCache, trained: TrainingResult
) -> None:
    """Training is deterministic, also with cached features."""
    assert train(training, testing, features=cache).predictions == trained.predictions


def test_test_images_do_not_change_the_model(
    training: list[Sample], testing: list[Sample], cache: FeatureCache, trained: TrainingResult
) -> None:
    """Predictions depend neither on the other test images nor on the test labels."""
    relabelled = [Sample(test.source, test.read, labels={"disc"}) for test in testing[:3]]

    again = train(training, relabelled, features=cache)

    assert again.predictions == trained.predictions[:3]


def test_known_images_are_not_computed_again(
    training: list[Sample],
    testing: list[Sample],
    cache: FeatureCache,
    trained: TrainingResult,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Images are recognised by content, whatever their name."""
    del trained  # has filled the cache

    def fail(*_: Any, **__: Any) -> Any:
        raise AssertionError("the network ran")

    monkeypatch.setattr("rekolabels.local._engine._features.run_network", fail)
    renamed = [
        Sample(f"elsewhere/{index}", one.read, labels=one.labels) for index, one in enumerate(training)
    ]

    train(renamed, testing, features=cache)


def test_progress_is_reported_by_stage(
    training: list[Sample], testing: list[Sample], cache: FeatureCache
) -> None:
    """The stages are features, head and test; each ends at its total."""
    reported: list[tuple[str, int, int]] = []

    train(training, testing, features=cache, progress=lambda *step: reported.append(step))

    assert list(dict.fromkeys(stage for stage, _, _ in reported)) == ["features", "head", "test"]
    assert ("features", 36, 36) in reported
    assert reported[-1] == ("test", 12, 12)


def test_multi_label_models(cache: FeatureCache, tmp_path: Path) -> None:
    """Each label is predicted independently; images without a label are allowed."""
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
    """Two labels suffice, one of them with a single image."""
    trained = train([*training[:12], training[12]], testing[:2], features=cache)

    assert trained.model.labels == ("cross", "disc")
    assert trained.predictions[0][0].label == "cross"


@pytest.mark.parametrize(
    ("training", "message"),
    [([], "no training images"), ([Sample("a", lambda: b"", labels={"one"})], "at least two labels")],
)
def test_too_few_samples_or_labels_are_refused(training: list[Sample], message: str) -> None:
    """They are refused before any image is read."""
    with pytest.raises(InvalidInput, match=message):
        train(training, training)


def test_an_unusable_image_is_named(training: list[Sample]) -> None:
    """The message starts with the source of the sample, and the reason is set."""
    broken = Sample("s3://bucket/broken.png", lambda: b"GIF89a", labels={"disc"})

    with pytest.raises(UnusableImage, match=r"s3://bucket/broken\.png: .*neither JPEG nor PNG") as caught:
        train([*training, broken], [])

    assert caught.value.reason == "format"


def test_the_samples_decide_the_kind_of_model() -> None:
    """Boxes in the test samples call for a detector, otherwise the number of labels decides."""
    boxed = Sample("a", lambda: b"", boxes=[BoundingBox("cap", 1, 1, 10, 10)])
    plain = Sample("b", lambda: b"", labels={"cap"})

    assert choose_kind([plain], [boxed]) == "detection"
    assert choose_kind([boxed], [plain]) == "multi-label"
    assert choose_kind([plain], [plain]) == "single-label"


def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Size and SHA-256 of the file are checked before it is used."""
    whole = _network.weights_file().read_bytes()
    for data, message in (
        (whole[:-1], "bytes, expected"),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "SHA-256"),
        (None, "Cannot read"),
    ):
        path = tmp_path / "weights.pth"
        path.unlink(missing_ok=True)
        if data is not None:
            path.write_bytes(data)
        monkeypatch.setattr(_network, "weights_file", lambda path=path: path)
        _network._session.cache_clear()
        with pytest.raises(BrokenWeights, match=message):
            _network.run_network(["head"], np.zeros((64, 64, 3), np.uint8))


def test_without_the_extra_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing the engine works without NumPy; using it names the extra."""
    for name in ("_classifier", "_detector_training"):
        monkeypatch.setitem(sys.modules, f"rekolabels.local._engine.{name}", None)

    with pytest.raises(MissingExtra, match=r"rekolabels\[local\]"):
        _engine.train([], [])
    with pytest.raises(MissingExtra, match=r"rekolabels\[local\]"):
        _engine.load_model(None)  # type: ignore[arg-type]  # never used


def test_predictions_compare_by_value() -> None:
    """Predictions are values."""
    assert Prediction("a", 0.5) == Prediction("a", 0.5, None)
