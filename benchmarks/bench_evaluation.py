"""Benchmark of the metrics against scikit-learn for labels, and pycocotools and faster-coco-eval for boxes.

Needs the dependency groups ``test`` and ``bench``. A library that is not installed is skipped with a message.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import io
import random
import time
from typing import TYPE_CHECKING, Any

from rekolabels.evaluation import COCO_IOU_THRESHOLDS, score_boxes, score_classification
from rekolabels.images import BoundingBox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

IMAGES, LABELS = 250_000, 250
DETECTION_IMAGES, DETECTION_LABELS = 10_000, 80
TOLERANCE = 1e-9


def best_cpu_time(function: Callable[[], Any], runs: int = 3) -> tuple[float, Any]:
    """Return the best CPU time of several runs, in seconds, and the last result."""
    times = []
    result = None
    for _ in range(runs):
        gc.collect()
        start = time.process_time()
        result = function()
        times.append(time.process_time() - start)
    return min(times), result


def report(name: str, seconds: float, own_seconds: float, target: float | None) -> None:
    """Print the time of another library as a multiple of the own time, and the target for it."""
    goal = "" if target is None else f" (target {target:g})"
    print(f"  {name:<46} {seconds:8.3f} s   {seconds / own_seconds:7.1f} times rekolabels{goal}")


def labels() -> None:
    """Compare precision, recall and F1 of 250 labels on 250,000 images, from lists of labels."""
    import numpy as np
    from sklearn.metrics import precision_recall_fscore_support
    from sklearn.preprocessing import MultiLabelBinarizer

    rng = random.Random(0)  # noqa: S311 - test data
    names = [f"label {number}" for number in range(LABELS)]
    truths = [(rng.choice(names),) for _ in range(IMAGES)]
    predicted = [true if rng.random() < 0.8 else (rng.choice(names),) for true in truths]  # noqa: PLR2004 - data
    scores = [{label: rng.random() / 2 + 0.5 for label in image} for image in predicted]

    def own_metrics() -> list[tuple[float | None, float | None, float | None]]:
        scored = score_classification(truths, scores, names)
        counts = [scored[name].counts(0.5) for name in names]
        return [(count.precision, count.recall, count.f1) for count in counts]

    seconds, figures = best_cpu_time(own_metrics)
    print(f"\n{IMAGES:,} images, {LABELS} labels: precision, recall and F1")
    print(f"  rekolabels{'':36} {seconds:8.3f} s")

    binarizer = MultiLabelBinarizer(classes=names, sparse_output=True)

    def sparse_from_lists() -> Any:
        return precision_recall_fscore_support(
            binarizer.fit_transform(truths), binarizer.transform(predicted)
        )

    other_seconds, expected = best_cpu_time(sparse_from_lists)
    assert np.allclose(np.array(figures, float).T, np.array(expected[:3]), atol=TOLERANCE)
    report("scikit-learn, sparse, from the lists", other_seconds, seconds, 1)
    true, predicted_matrix = binarizer.transform(truths), binarizer.transform(predicted)
    report(
        "  with prebuilt matrices",
        best_cpu_time(lambda: precision_recall_fscore_support(true, predicted_matrix))[0],
        seconds,
        None,
    )
    dense_true, dense_predicted = true.toarray(), predicted_matrix.toarray()

    def one_by_one() -> None:
        for column in range(LABELS):
            precision_recall_fscore_support(
                dense_true[:, column], dense_predicted[:, column], average="binary"
            )

    report("scikit-learn, label by label, prebuilt matrices", best_cpu_time(one_by_one, 1)[0], seconds, 8)


def boxes() -> None:
    """Compare the average precision of 80 labels on 10,000 images."""
    rng = random.Random(0)  # noqa: S311 - test data
    truths = [[random_box(rng) for _ in range(rng.randrange(15))] for _ in range(DETECTION_IMAGES)]
    found = [
        [(shifted(box, rng), rng.random()) for box in image if rng.random() < 0.8]  # noqa: PLR2004 - data
        + [(random_box(rng), rng.random()) for _ in range(rng.randrange(8))]
        for image in truths
    ]
    for iou_thresholds, goals in (((0.5,), (10.0, 4.0)), (COCO_IOU_THRESHOLDS, (10.0, 4.0))):
        seconds, scores = best_cpu_time(
            functools.partial(score_boxes, truths, found, iou_thresholds=iou_thresholds)
        )
        print(
            f"\n{DETECTION_IMAGES:,} images, {DETECTION_LABELS} labels: AP and AR "
            f"at {len(iou_thresholds)} IoU threshold{'s' * (len(iou_thresholds) > 1)}"
        )
        print(f"  rekolabels{'':36} {seconds:8.3f} s")
        for (module, evaluator), goal in zip(
            (("pycocotools", "COCOeval"), ("faster_coco_eval", "COCOeval_faster")), goals, strict=True
        ):
            try:
                other_seconds, mean = other_library(module, evaluator, truths, found, iou_thresholds)
            except ModuleNotFoundError:
                print(f"  {module} is not installed")
                continue
            assert abs(mean - (scores.mean_average_precision or 0)) < TOLERANCE
            report(module, other_seconds, seconds, goal)


def random_box(rng: random.Random) -> BoundingBox:
    """Return a random box in an image of 640 x 480 pixels."""
    label = f"label {rng.randrange(DETECTION_LABELS)}"
    return BoundingBox(
        label, rng.uniform(0, 500), rng.uniform(0, 400), rng.uniform(10, 140), rng.uniform(10, 80)
    )


def shifted(box: BoundingBox, rng: random.Random) -> BoundingBox:
    """Return a box that differs slightly, like a prediction."""
    left, top = box.left + rng.gauss(0, 5), box.top + rng.gauss(0, 5)
    return BoundingBox(
        box.label, left, top, box.width * rng.uniform(0.8, 1.2), box.height * rng.uniform(0.8, 1.2)
    )


def other_library(
    module: str,
    evaluator: str,
    truths: Sequence[Sequence[BoundingBox]],
    found: Sequence[Sequence[tuple[BoundingBox, float]]],
    iou_thresholds: Sequence[float],
) -> tuple[float, float]:
    """Return the CPU time of ``evaluate`` and ``accumulate``, without building the index, and the mAP."""
    import numpy as np

    package: Any = importlib.import_module(module)
    if module == "pycocotools":
        package = importlib.import_module("pycocotools.coco")
        tools: Any = importlib.import_module("pycocotools.cocoeval")
    else:
        tools = package
    kinds = {f"label {number}": number + 1 for number in range(DETECTION_LABELS)}
    annotations = [
        {
            "image_id": at + 1,
            "category_id": kinds[box.label],
            "bbox": edges(box),
            "area": box.width * box.height,
            "iscrowd": 0,
        }
        for at, image in enumerate(truths)
        for box in image
    ]
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    with contextlib.redirect_stdout(io.StringIO()):
        coco = package.COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": at + 1, "width": 640, "height": 480} for at in range(len(truths))],
            "annotations": annotations,
            "categories": [{"id": number, "name": name} for name, number in kinds.items()],
        }
        coco.createIndex()
        results = coco.loadRes(
            [
                {"image_id": at + 1, "category_id": kinds[box.label], "bbox": edges(box), "score": confidence}
                for at, image in enumerate(found)
                for box, confidence in image
            ]
        )
        evaluation = getattr(tools, evaluator)(coco, results, "bbox")
        evaluation.params.iouThrs = np.array(iou_thresholds)
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [100]
        gc.collect()
        start = time.process_time()
        evaluation.evaluate()
        evaluation.accumulate()
        seconds = time.process_time() - start
    precision = evaluation.eval["precision"]
    return seconds, float(precision[precision > -1].mean())


def edges(box: BoundingBox) -> list[float]:
    """Return left, top, width and height."""
    return [box.left, box.top, box.width, box.height]


if __name__ == "__main__":
    labels()
    boxes()
