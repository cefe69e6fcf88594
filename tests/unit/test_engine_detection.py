"""A detector trained on drawings locates objects, also after it was saved and loaded."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from rekolabels.errors import InvalidInput
from rekolabels.evaluation import evaluate_detection
from rekolabels.images import BoundingBox, ImageSize
from rekolabels.local._engine import BrokenModel, FeatureCache, Sample, TrainingResult, load_model, train

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

np = pytest.importorskip("numpy", reason="the extra 'local' is not installed")
pil = pytest.importorskip("PIL.Image", reason="the extra 'local' is not installed")
threadpoolctl = pytest.importorskip("threadpoolctl", reason="the extra 'local' is not installed")

from rekolabels.local._engine._linear import single_threaded  # noqa: E402 - it needs NumPy
from rekolabels.local._engine._model_files import read_model, write_model  # noqa: E402 - it needs NumPy
from rekolabels.local._engine._windows import (  # noqa: E402 - it needs NumPy
    anchor_shapes,
    iou,
    non_maximum_suppression,
    sliding_windows,
)

SIZE = ImageSize(256, 192)


def scene(seed: int) -> Sample:
    """Return a sample with a disc and a ring at random places on noise."""
    from PIL import ImageDraw

    random = np.random.default_rng(seed)
    image = pil.fromarray(random.integers(100, 150, (SIZE.height, SIZE.width, 3), dtype=np.uint8))
    draw = ImageDraw.Draw(image)
    boxes = []
    for number, label in enumerate(("disc", "ring")):
        side = int(random.integers(45, 65))
        left = int(random.integers(0, 60)) + 128 * number
        top = int(random.integers(0, SIZE.height - side))
        where = (left, top, left + side, top + side)
        if label == "disc":
            draw.ellipse(where, fill=(220, 40, 40))
        else:
            draw.ellipse(where, outline=(30, 30, 220), width=8)
        boxes.append(BoundingBox(label, left, top, side, side))
    target = io.BytesIO()
    image.save(target, "PNG")
    data = target.getvalue()
    return Sample(f"s3://bucket/{seed}.png", lambda: data, boxes=boxes)


@pytest.fixture(scope="module")
def cache() -> Iterator[FeatureCache]:
    """Return a cache of feature maps for the tests of this module."""
    with FeatureCache() as features:
        yield features


@pytest.fixture(scope="module")
def training() -> list[Sample]:
    """Return twelve scenes."""
    return [scene(seed) for seed in range(12)]


@pytest.fixture(scope="module")
def testing() -> list[Sample]:
    """Return four other scenes."""
    return [scene(seed) for seed in range(100, 104)]


@pytest.fixture(scope="module")
def trained(training: list[Sample], testing: list[Sample], cache: FeatureCache) -> TrainingResult:
    """Return a detector of discs and rings."""
    return train(training, testing, features=cache)


def in_pixels(trained: TrainingResult) -> list[list[tuple[BoundingBox, float]]]:
    """Return the predictions for the test samples, in pixels, as `evaluate_detection` takes them."""
    found: list[list[tuple[BoundingBox, float]]] = []
    for predictions in trained.predictions:
        found.append([])
        for prediction in predictions:
            assert prediction.box is not None
            left, top, width, height = prediction.box
            box = BoundingBox(
                prediction.label,
                left * SIZE.width,
                top * SIZE.height,
                width * SIZE.width,
                height * SIZE.height,
            )
            found[-1].append((box, prediction.confidence))
    return found


def test_objects_are_located(trained: TrainingResult, testing: list[Sample]) -> None:
    """The mAP on new images is above 0.8."""
    result = evaluate_detection(
        [test.boxes for test in testing], in_pixels(trained), trained.model.labels
    ).result

    assert trained.model.kind == "detection"
    assert trained.model.labels == ("disc", "ring")
    assert result.mean_average_precision is not None
    assert result.mean_average_precision > 0.8


def test_candidates_are_sorted_and_inside_the_image(trained: TrainingResult) -> None:
    """Boxes are ratios of the image's sides, sorted by falling confidence."""
    for predictions in trained.predictions:
        confidences = [prediction.confidence for prediction in predictions]
        assert confidences == sorted(confidences, reverse=True)
        for prediction in predictions:
            assert prediction.box is not None
            left, top, width, height = prediction.box
            assert min(left, top, width, height) >= 0
            assert max(left + width, top + height) <= 1 + 1e-9


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_predictions_do_not_depend_on_the_threads_of_linear_algebra(
    trained: TrainingResult, testing: list[Sample], threads: int
) -> None:
    """They are identical to the last bit to those of the training."""
    with threadpoolctl.threadpool_limits(threads):
        assert [tuple(trained.model.predict(test.read())) for test in testing] == list(trained.predictions)


def test_linear_algebra_uses_one_thread_until_the_last_block_ends() -> None:
    """Blocks of several threads may end in any order."""
    before = linear_algebra_threads()
    found = []
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        blocks = [(thread, single_threaded()) for thread in (one, other, one)]
        for thread, block in blocks:
            thread.submit(block.__enter__).result()
        for thread, block in blocks:
            found.append(linear_algebra_threads())
            thread.submit(block.__exit__, None, None, None).result()
        found.append(linear_algebra_threads())
    assert found == [{1}, {1}, {1}, before]


def test_linear_algebra_uses_one_thread_though_another_thread_set_a_limit() -> None:
    """By itself, threadpoolctl would leave the limit to the thread that set one first."""
    with ThreadPoolExecutor(1) as thread:
        limit = thread.submit(threadpoolctl.threadpool_limits, 2).result()
        try:
            with single_threaded():
                assert linear_algebra_threads() == {1}
            assert linear_algebra_threads() == {2}
        finally:
            thread.submit(limit.restore_original_limits).result()


def linear_algebra_threads() -> set[int]:
    """Return the number of threads of each BLAS library."""
    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}


def test_a_saved_detector_predicts_the_same(
    trained: TrainingResult, testing: list[Sample], tmp_path: Path
) -> None:
    """The predictions are identical to the last bit."""
    trained.model.save(tmp_path)

    loaded = load_model(tmp_path)

    assert [tuple(loaded.predict(test.read())) for test in testing] == list(trained.predictions)


def test_the_same_seed_gives_the_same_detector(
    training: list[Sample], testing: list[Sample], cache: FeatureCache, trained: TrainingResult
) -> None:
    """Training is deterministic, also with cached feature maps."""
    assert train(training, testing, features=cache).predictions == trained.predictions


def test_known_images_are_not_computed_again(
    training: list[Sample],
    testing: list[Sample],
    cache: FeatureCache,
    trained: TrainingResult,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Images are recognised by content, whatever their name or dataset."""
    del trained  # has filled the cache

    def fail(*_: Any, **__: Any) -> Any:
        raise AssertionError("the network ran")

    monkeypatch.setattr("rekolabels.local._engine._network.run_network", fail)
    images = [Sample(f"elsewhere/{at}", one.read, boxes=one.boxes) for at, one in enumerate(training)]

    train([*images[4:], *testing], images[:4], features=cache)


def test_images_without_objects_are_background(
    training: list[Sample], testing: list[Sample], cache: FeatureCache
) -> None:
    """One label and an image without boxes suffice for a detector."""
    discs = [
        Sample(one.source, one.read, boxes=[box for box in one.boxes if box.label == "disc"])
        for one in training[:6]
    ]
    empty = Sample(training[6].source, training[6].read)

    trained = train([*discs, empty], testing[:1], features=cache)

    assert trained.model.labels == ("disc",)
    assert trained.predictions[0]


def test_boxes_are_needed_in_the_training_images(testing: list[Sample]) -> None:
    """A dataset with boxes only in the test images is refused."""
    labelled = Sample("s3://bucket/a.png", lambda: b"", labels={"disc"})

    with pytest.raises(InvalidInput, match="the training images have none"):
        train([labelled], testing)


@pytest.mark.parametrize(
    ("name", "value"),
    [("side", 0), ("side", "640"), ("labels", ["disc"]), ("network", "other")],
)
def test_damaged_detectors_are_refused(
    trained: TrainingResult, tmp_path: Path, name: str, value: Any
) -> None:
    """A model whose files are inconsistent is not loaded."""
    trained.model.save(tmp_path)
    document, arrays = read_model(tmp_path)
    write_model(tmp_path, document | {name: value}, arrays)

    with pytest.raises(BrokenModel, match="Train it again"):
        load_model(tmp_path)


@pytest.mark.parametrize("shapes", [np.zeros((1, 2)), np.ones((1, 3)), np.ones((0, 2)), np.ones(2), None])
def test_damaged_window_shapes_are_refused(trained: TrainingResult, tmp_path: Path, shapes: Any) -> None:
    """Shapes without size, with three sides, or missing are refused."""
    trained.model.save(tmp_path)
    document, arrays = read_model(tmp_path)
    del arrays["shapes"]
    write_model(tmp_path, document, arrays if shapes is None else arrays | {"shapes": shapes})

    with pytest.raises(BrokenModel, match="its files are inconsistent"):
        load_model(tmp_path)


def test_windows_reach_every_edge() -> None:
    """Sliding windows cover the grid, also when a shape is larger than the grid."""
    windows = sliding_windows(np.array([[3, 2], [50, 50]]), (8, 10))

    assert windows[:, 2].max() == 10
    assert windows[:, 3].max() == 8
    assert windows.min() == 0
    assert [0, 0, 10, 8] in windows.tolist()


@pytest.mark.filterwarnings("error")
def test_nearly_equal_sizes_give_one_anchor_shape() -> None:
    """k-means is never asked for more clusters than there are distinct sizes."""
    sizes = np.array([[10.0, 20.0], [10.0 + 1e-12, 20.0], [10.0, 20.0 - 1e-9], [40.0, 8.0]])

    assert anchor_shapes(sizes, 8, seed=0).tolist() == [[10, 20], [40, 8]]


def test_boxes_of_one_object_are_merged() -> None:
    """The best box is kept, moved towards the others by voting; other objects are separate."""
    boxes = np.array([[0.0, 0, 10, 10], [1.0, 0, 11, 10], [40.0, 0, 50, 10]])

    merged, scores = non_maximum_suppression(boxes, np.array([0.6, 0.9, 0.5]), threshold=0.35, limit=10)

    assert scores.tolist() == [0.9, 0.5]
    assert 0 < merged[0, 0] < 1
    assert merged[1].tolist() == [40, 0, 50, 10]


def test_iou_of_boxes_without_area_is_zero() -> None:
    """There is no division by zero."""
    point = np.array([[5.0, 5, 5, 5]])

    assert iou(point, point).tolist() == [[0.0]]
