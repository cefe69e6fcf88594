"""Properties of ``score_boxes``: equal to pycocotools, including ties and empty images."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekolabels.evaluation import COCO_IOU_THRESHOLDS, score_boxes
from rekolabels.images import BoundingBox

coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
cocoeval = pytest.importorskip("pycocotools.cocoeval", reason="pycocotools is not installed")

LABELS = ("cap", "watch", "shoe")
# Few places, sizes and confidences on purpose: ties of overlaps and confidences are error-prone.
edges = st.sampled_from([0.0, 1.0, 2.0, 5.0]) | st.floats(0, 20)
sides = st.sampled_from([2.0, 4.0, 10.0]) | st.floats(1, 30)
boxes = st.builds(BoundingBox, st.sampled_from(LABELS), edges, edges, sides, sides)
confidences = st.sampled_from([0.0, 0.5, 0.9]) | st.floats(0, 1)
images = st.lists(
    st.tuples(st.lists(boxes, max_size=6), st.lists(st.tuples(boxes, confidences), max_size=8)), max_size=6
)


@settings(max_examples=150)
@given(images, st.sampled_from([(0.5,), (0.75,), COCO_IOU_THRESHOLDS]))
def test_average_precision_and_recall_equal_pycocotools(
    cases: list[tuple[list[BoundingBox], list[tuple[BoundingBox, float]]]], iou_thresholds: tuple[float, ...]
) -> None:
    """Every label at every IoU threshold; -1 in pycocotools corresponds to None."""
    actual = score_boxes(
        [true for true, _ in cases], [found for _, found in cases], iou_thresholds=iou_thresholds
    )

    precision, recall = by_pycocotools(cases, iou_thresholds)
    for number, label in enumerate(LABELS):
        for at in range(len(iou_thresholds)):
            expected = precision[at, :, number, 0, 0].mean(), recall[at, number, 0, 0]
            values_here = [
                -1.0 if values is None else values[at]
                for values in (actual.average_precision.get(label), actual.recall.get(label))
            ]
            assert pytest.approx(list(expected), abs=1e-9) == [
                -1.0 if value is None else value for value in values_here
            ]


def test_coco_iou_thresholds_equal_those_of_pycocotools() -> None:
    """The floats are identical, so that an overlap of exactly 0.6 is treated the same way."""
    assert tuple(cocoeval.Params(iouType="bbox").iouThrs) == COCO_IOU_THRESHOLDS


@pytest.mark.parametrize("max_detections", [1, 2])
def test_max_detections_keeps_the_most_confident_predictions(max_detections: int) -> None:
    """``max_detections`` is ``maxDets`` in pycocotools."""
    truth, far = BoundingBox("cap", 0, 0, 10, 10), BoundingBox("cap", 50, 50, 10, 10)

    scores = score_boxes(
        [[truth]], [[(truth, 0.5), (far, 0.9)]], iou_thresholds=0.5, max_detections=max_detections
    )

    assert scores.recall["cap"] == (float(max_detections == 2),)


def by_pycocotools(
    cases: list[tuple[list[BoundingBox], list[tuple[BoundingBox, float]]]], iou_thresholds: tuple[float, ...]
) -> tuple[Any, Any]:
    """Return precision and recall as pycocotools computes them."""
    import numpy as np

    truths = [(at, box) for at, (true, _) in enumerate(cases, start=1) for box in true]
    found = [
        (at, box, confidence) for at, (_, pairs) in enumerate(cases, start=1) for box, confidence in pairs
    ]
    kinds = {label: number for number, label in enumerate(LABELS, start=1)}
    with contextlib.redirect_stdout(io.StringIO()):
        known, seen = coco.COCO(), coco.COCO()
        for index, entries in ((known, [(at, box, 1.0) for at, box in truths]), (seen, found)):
            index.dataset = {
                "images": [{"id": at} for at in range(1, len(cases) + 1)],
                "categories": [{"id": number, "name": label} for label, number in kinds.items()],
                "annotations": [
                    {
                        "id": number,
                        "image_id": at,
                        "category_id": kinds[box.label],
                        "bbox": [box.left, box.top, box.width, box.height],
                        "area": box.width * box.height,
                        "iscrowd": 0,
                        "score": confidence,
                    }
                    for number, (at, box, confidence) in enumerate(entries, start=1)
                ],
            }
            index.createIndex()
        evaluation = cocoeval.COCOeval(known, seen, "bbox")
        evaluation.params.imgIds = list(range(1, len(cases) + 1))
        evaluation.params.catIds = list(kinds.values())
        evaluation.params.iouThrs = np.array(iou_thresholds)
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [100]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"], evaluation.eval["recall"]
