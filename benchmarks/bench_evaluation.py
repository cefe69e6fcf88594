"""Metrics against their peers: scikit-learn for labels, pycocotools and faster-coco-eval for boxes.

Needs the dependency groups ``test`` and ``bench``; a peer that is not installed is left out, with a word.
"""

from __future__ import annotations

import contextlib
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
PICTURES, KINDS = 10_000, 80
CLOSE = 1e-9


def cpu(function: Callable[[], Any], runs: int = 3) -> tuple[float, Any]:
    """The best CPU time of some runs in seconds, and the last result."""
    times = []
    result = None
    for _ in range(runs):
        gc.collect()
        start = time.process_time()
        result = function()
        times.append(time.process_time() - start)
    return min(times), result


def tell(name: str, seconds: float, ours: float, wanted: float | None) -> None:
    """Print a peer's time as a multiple of ours, beside the multiple that we want."""
    goal = "" if wanted is None else f" (wanted {wanted:g})"
    print(f"  {name:<46} {seconds:8.3f} s   {seconds / ours:7.1f} times ours{goal}")


def labels() -> None:
    """Precision, recall and F1 of 250 labels on 250,000 images, from lists of labels."""
    import numpy as np
    from sklearn.metrics import precision_recall_fscore_support
    from sklearn.preprocessing import MultiLabelBinarizer

    draw = random.Random(0)  # noqa: S311 - test data
    names = [f"label {number}" for number in range(LABELS)]
    truths = [(draw.choice(names),) for _ in range(IMAGES)]
    found = [true if draw.random() < 0.8 else (draw.choice(names),) for true in truths]  # noqa: PLR2004 - data
    scores = [{label: draw.random() / 2 + 0.5 for label in image} for image in found]

    def ours() -> list[tuple[float | None, float | None, float | None]]:
        scored = score_classification(truths, scores, names)
        counts = [scored[name].counts(0.5) for name in names]
        return [(one.precision, one.recall, one.f1) for one in counts]

    seconds, figures = cpu(ours)
    print(f"\n{IMAGES:,} images, {LABELS} labels: precision, recall and F1")
    print(f"  rekolabels{'':36} {seconds:8.3f} s")

    binarizer = MultiLabelBinarizer(classes=names, sparse_output=True)

    def sparse_from_lists() -> Any:
        return precision_recall_fscore_support(binarizer.fit_transform(truths), binarizer.transform(found))

    taken, theirs = cpu(sparse_from_lists)
    assert np.allclose(np.array(figures, float).T, np.array(theirs[:3]), atol=CLOSE)
    tell("scikit-learn, sparse, from the lists", taken, seconds, 1)
    true, seen = binarizer.transform(truths), binarizer.transform(found)
    tell(
        "  the matrices made beforehand",
        cpu(lambda: precision_recall_fscore_support(true, seen))[0],
        seconds,
        None,
    )
    dense_true, dense_seen = true.toarray(), seen.toarray()

    def one_by_one() -> None:
        for column in range(LABELS):
            precision_recall_fscore_support(dense_true[:, column], dense_seen[:, column], average="binary")

    tell("scikit-learn, label by label, matrices made", cpu(one_by_one, 1)[0], seconds, 8)


def boxes() -> None:
    """Average precision of 80 labels on 10,000 images."""
    draw = random.Random(0)  # noqa: S311 - test data
    truths = [[a_box(draw) for _ in range(draw.randrange(15))] for _ in range(PICTURES)]
    found = [
        [(shaken(box, draw), draw.random()) for box in image if draw.random() < 0.8]  # noqa: PLR2004 - data
        + [(a_box(draw), draw.random()) for _ in range(draw.randrange(8))]
        for image in truths
    ]
    for iou_thresholds, goals in (((0.5,), (10.0, 4.0)), (COCO_IOU_THRESHOLDS, (10.0, 4.0))):
        seconds, scores = cpu(
            lambda iou_thresholds=iou_thresholds: score_boxes(truths, found, iou_thresholds=iou_thresholds)
        )
        print(f"\n{PICTURES:,} images, {KINDS} labels: AP and AR at {len(iou_thresholds)} overlaps")
        print(f"  rekolabels{'':36} {seconds:8.3f} s")
        for (module, evaluator), goal in zip(
            (("pycocotools", "COCOeval"), ("faster_coco_eval", "COCOeval_faster")), goals, strict=True
        ):
            try:
                taken, mean = peer(module, evaluator, truths, found, iou_thresholds)
            except ModuleNotFoundError:
                print(f"  {module} is not installed")
                continue
            assert abs(mean - (scores.mean_average_precision or 0)) < CLOSE
            tell(module, taken, seconds, goal)


def a_box(draw: random.Random) -> BoundingBox:
    """A box anywhere in a picture of 640 x 480."""
    label = f"label {draw.randrange(KINDS)}"
    return BoundingBox(
        label, draw.uniform(0, 500), draw.uniform(0, 400), draw.uniform(10, 140), draw.uniform(10, 80)
    )


def shaken(box: BoundingBox, draw: random.Random) -> BoundingBox:
    """A box as a model finds it."""
    left, top = box.left + draw.gauss(0, 5), box.top + draw.gauss(0, 5)
    return BoundingBox(
        box.label, left, top, box.width * draw.uniform(0.8, 1.2), box.height * draw.uniform(0.8, 1.2)
    )


def peer(
    module: str,
    evaluator: str,
    truths: Sequence[Sequence[BoundingBox]],
    found: Sequence[Sequence[tuple[BoundingBox, float]]],
    iou_thresholds: Sequence[float],
) -> tuple[float, float]:
    """CPU time of ``evaluate`` and ``accumulate``, the index made beforehand, and the mAP."""
    import numpy as np

    package: Any = importlib.import_module(module)
    if module == "pycocotools":
        package = importlib.import_module("pycocotools.coco")
        tools: Any = importlib.import_module("pycocotools.cocoeval")
    else:
        tools = package
    kinds = {f"label {number}": number + 1 for number in range(KINDS)}
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
        taken = time.process_time() - start
    precision = evaluation.eval["precision"]
    return taken, float(precision[precision > -1].mean())


def edges(box: BoundingBox) -> list[float]:
    """Left, top, width, height."""
    return [box.left, box.top, box.width, box.height]


if __name__ == "__main__":
    labels()
    boxes()
