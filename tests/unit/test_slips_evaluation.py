"""Slips in evaluations: each raises an error that names the value and the fix."""
# ruff: noqa: E501 - one slip a line, so that they can be compared

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from evaluations import classifier
from label_files import write_files
from rekolabels import evaluation as typed_evaluation
from rekolabels.errors import InvalidEvaluation
from rekolabels.evaluation import SnapshotImage, Verdict
from rekolabels.images import BoundingBox
from slips import Slip, check, slip

if TYPE_CHECKING:
    from pathlib import Path

evaluation: Any = typed_evaluation
"""The module, as callers without types see it."""
TRUTHS = [["cat"], ["dog"], ["dog"]]
SCORES = [{"cat": 0.9, "dog": 0.1}, {"cat": 0.2, "dog": 0.8}, {"cat": 0.6, "dog": 0.4}]
LABELS = ["cat", "dog"]
BOX = BoundingBox("cat", 1, 2, 30, 40)
TIME = datetime(2026, 1, 2)  # noqa: DTZ001 - a naive time is UTC
IMAGE = SnapshotImage("s3://b/a.jpg", ["cat"])
VERDICT = Verdict("cat", 0.9, "true positive")


def result() -> Any:
    """Return the result of a classifier with its test images."""
    return classifier(TRUTHS, SCORES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make the files that the slips name."""
    return write_files(tmp_path, {"summary.json": json.dumps(result().to_summary()), "pics/a.txt": "text"})


def classify(truths: Any = TRUTHS, predictions: Any = SCORES, labels: Any = LABELS) -> Any:
    """Evaluate a classifier."""
    return evaluation.evaluate_classification(truths, predictions, labels)


def detect(
    truths: Any = ((BOX,),), predictions: Any = (((BOX, 0.9),),), labels: Any = ("cat",), **options: Any
) -> Any:
    """Evaluate a detector."""
    return evaluation.evaluate_detection(truths, predictions, labels, **options)


# fmt: off
LOADING = [
    slip("the path of a summary", lambda f: evaluation.EvaluationResult.from_summary(f / "summary.json"), "summary is", "summary.json", "json.loads", error=InvalidEvaluation),
    slip("the path as text", lambda _: evaluation.EvaluationResult.from_summary("a.json"), "summary is 'a.json'", "json.loads", error=InvalidEvaluation),
    slip("no summary", lambda _: evaluation.EvaluationResult.from_summary(None), "summary is None", "json.load()", error=InvalidEvaluation),
    slip("an empty summary", lambda _: evaluation.EvaluationResult.from_summary({}), "AggregatedEvaluationResults", "Pass the content", error=InvalidEvaluation),
    slip("a list as summary", lambda _: evaluation.EvaluationResult.from_summary([1]), "summary is [1]", error=InvalidEvaluation),
    slip("a missing snapshot", lambda f: evaluation.EvaluationResult.from_summary(result().to_summary(), snapshot=f / "x.json"), "snapshot is 'FOLDER/x.json'", "does not exist", error=InvalidEvaluation),
    slip("a number as snapshot", lambda _: evaluation.EvaluationResult.from_summary(result().to_summary(), snapshot=5), "snapshot is 5"),
    slip("a summary as snapshot", lambda _: evaluation.EvaluationResult.from_snapshot({"Version": 1}), "lines is {'Version': 1}", "JSON Lines"),
    slip("a folder as snapshot", lambda f: evaluation.EvaluationResult.from_snapshot(f / "pics"), "lines is 'FOLDER/pics'", "It is a folder", error=InvalidEvaluation),
    slip("a snapshot in S3", lambda _: evaluation.EvaluationResult.from_snapshot("s3://b/TestingGroundTruth.json"), "'s3://b/TestingGroundTruth.json'", "Download it", error=InvalidEvaluation),
    slip("the content as str", lambda _: evaluation.EvaluationResult.from_snapshot('{"source-ref": 1}'), "text.encode()", error=InvalidEvaluation),
    slip("no snapshot", lambda _: evaluation.EvaluationResult.from_snapshot(None), "lines is None"),
    slip("no reader", lambda _: evaluation.EvaluationResult.from_snapshot([], read_image="a.jpg"), "read_image is 'a.jpg'", "a function"),
    slip("a missing training snapshot", lambda f: evaluation.read_training_snapshot(f / "x.json"), "FOLDER/x.json", "does not exist", error=InvalidEvaluation),
    slip("numbers as lines", lambda _: evaluation.read_training_snapshot([5]), "line 1", "found int", error=InvalidEvaluation),
    slip("no validation", lambda _: evaluation.read_validation(None), "lines is None"),
    slip("a number as name", lambda _: evaluation.read_validation([], name=5), "name is 5"),
]
POLICIES = [
    slip("an integer label", lambda _: evaluation.ThresholdPolicy({1: evaluation.ChosenThreshold(0.5)}, "x"), "A label is 1", "text"),
    slip("a number as goal", lambda _: evaluation.ThresholdPolicy({}, goal=5), "goal is 5", "by hand"),
    slip("a number as model of a policy", lambda _: evaluation.ThresholdPolicy({}, "x", 7), "model_arn is 7", "Use model.arn"),
]
EVALUATING = [
    slip("labels as text", lambda _: classify(truths=["cat", "dog", "dog"]), "truths[0] is 'cat'", "truths[0]=['cat']"),
    slip("integer truths", lambda _: classify(truths=[[0], [1], [1]]), "truths[0][0] is 0", "a list of labels"),
    slip("percentages", lambda _: classify(predictions=[{"cat": 90}, {}, {}]), "predictions[0]['cat'] is 90", "0.9"),
    slip("a confidence as text", lambda _: classify(predictions=[{"cat": "0.9"}, {}, {}]), "predictions[0]['cat'] is '0.9'"),
    slip("a confidence that is not a number", lambda _: classify(predictions=[{"cat": float("nan")}, {}, {}]), "is nan"),
    slip("predicted labels", lambda _: classify(predictions=["cat", "dog", "dog"]), "predictions[0] is 'cat'", "{'cat': 0.9}"),
    slip("one prediction for all", lambda _: classify(predictions={"cat": 0.9}), "predictions is {'cat': 0.9}", "for each image"),
    slip("fewer predictions", lambda _: classify(predictions=SCORES[:2]), "3 truths and 2 predictions"),
    slip("no truths", lambda _: classify(truths=None), "truths is None", "for each image"),
    slip("one label", lambda _: classify(labels="cat"), "labels is 'cat'", "labels=['cat']"),
    slip("no labels", lambda _: classify(labels=[]), "labels is []", "at least one"),
    slip("integer labels", lambda _: classify(labels=[0, 1]), "labels[0] is 0"),
    slip("boxes as tuples", lambda _: detect(truths=[[(1, 2, 3, 4)]]), "truths[0][0] is (1, 2, 3, 4)", "BoundingBox"),
    slip("boxes without confidences", lambda _: detect(predictions=[[BOX]]), "predictions[0][0] is BoundingBox", "confidences"),
    slip("a box for an image", lambda _: detect(truths=[BOX]), "truths[0] is BoundingBox"),
    slip("confidences of boxes in percent", lambda _: detect(predictions=[[(BOX, 90.0)]]), "predictions[0][0][1] is 90.0", "0.9"),
    slip("exchanged pairs", lambda _: detect(predictions=[[(0.9, BOX)]]), "predictions[0][0] is (0.9"),
    slip("an IoU of 50", lambda _: detect(iou_threshold=50), "iou_threshold is 50", "iou_threshold=0.5"),
    slip("an IoU as text", lambda _: detect(iou_threshold="0.5"), "iou_threshold is '0.5'", "a fraction"),
    slip("no IoU thresholds", lambda _: evaluation.score_boxes([], [], iou_thresholds=()), "iou_thresholds is ()"),
    slip("an IoU threshold of 75", lambda _: evaluation.score_boxes([], [], iou_thresholds=[0.5, 75]), "iou_thresholds[1] is 75"),
    slip("no detections", lambda _: evaluation.score_boxes([], [], max_detections=0), "max_detections is 0", "1"),
    slip("boxes as text", lambda _: evaluation.score_boxes("ab", []), "truths is 'ab'"),
    slip("the IoU of nothing", lambda _: evaluation.iou(None, BOX), "one is None", "a BoundingBox"),
    slip("the IoU of a tuple", lambda _: evaluation.iou(BOX, (1, 2, 3, 4)), "other is (1, 2, 3, 4)"),
]
USING = [
    slip("a path as baseline", lambda _: result().compare("v1.json"), "baseline is 'v1.json'", "the EvaluationResult"),
    slip("no baseline", lambda _: result().assert_no_regression(None), "baseline is None"),
    slip("no resamples", lambda _: result().compare(result(), n_resamples=0), "n_resamples is 0", "1"),
    slip("a seed as text", lambda _: result().compare(result(), seed="1"), "seed is '1'", "Remove the quotes"),
    slip("a flag as text", lambda _: result().compare(result(), only_shared="yes"), "only_shared is 'yes'"),
    slip("a tolerance of 2", lambda _: result().assert_no_regression(result(), tolerance=2), "tolerance is 2", "0.02"),
    slip("a negative tolerance", lambda _: result().assert_no_regression(result(), tolerance=-0.1), "tolerance is -0.1"),
    slip("another metric", lambda _: result().assert_no_regression(result(), metric="F1"), "metric is 'F1'", "Did you mean 'f1'"),
    slip("an unknown metric", lambda _: result().compare(result()).worse(metric="accuracy"), "'accuracy'", "'recall'"),
    slip("an unknown label", lambda _: result().compare(result()).difference("cats"), "'cats'", "'cat'"),
    slip("a metric for a label", lambda _: result().compare(result()).difference("cat", "map"), "metric is 'map'"),
    slip("no extension", lambda f: result().save(f / "result"), "FOLDER/result", "no extension", ".html"),
    slip("another extension", lambda f: result().save(f / "result.xlsx"), "'.xlsx'", ".csv"),
    slip("no path", lambda _: result().save(None), "path is None"),
    slip("a path in S3", lambda _: result().save("s3://b/result.html"), "'s3://b/result.html'"),
    slip("a missing folder", lambda f: result().save(f / "no" / "result.csv"), "FOLDER/no", "does not exist", "mkdir"),
    slip("IoU thresholds in percent", lambda _: result().box_metrics(50), "iou_thresholds is 50", "0.5"),
    slip("no test images", lambda _: evaluation.EvaluationResult.from_summary(result().to_summary()).mistakes(), "from_summary(summary, snapshot=path)"),
    slip("a date as time", lambda _: evaluation.write_training_snapshot([IMAGE], "2026-01-02"), "created is '2026-01-02'", "a datetime"),
    slip("labelled lines", lambda _: evaluation.write_training_snapshot(["a.jpg"], TIME), "images[0] is 'a.jpg'", "a SnapshotImage"),
    slip("one image", lambda _: evaluation.write_training_snapshot(IMAGE, TIME), "images is SnapshotImage"),
    slip("verdicts of one image", lambda _: evaluation.write_testing_snapshot([IMAGE], [VERDICT], TIME), "verdicts[0] is Verdict"),
    slip("fewer verdicts", lambda _: evaluation.write_testing_snapshot([IMAGE], [], TIME), "1 images and verdicts of 0"),
    slip("a label as labels", lambda _: evaluation.SnapshotImage("s3://b/a.jpg", "cat"), "labels is 'cat'", "labels=['cat']"),
    slip("a tuple as size", lambda _: evaluation.SnapshotImage("s3://b/a.jpg", size=(640, 480)), "size is (640, 480)"),
]
# fmt: on


@pytest.mark.parametrize("slip", [*LOADING, *EVALUATING, *POLICIES, *USING])
def test_slips(slip: Slip, folder: Path) -> None:
    """The error names the value and the fix, and no file is left behind."""
    check(slip, folder)


def test_the_body_of_an_object_is_read_by_lines() -> None:
    """The body of an object in S3 iterates over chunks of a kilobyte, and a line may be longer."""

    class Body:
        """The part of botocore's StreamingBody that readers use."""

        def __iter__(self) -> Any:
            return iter([b'{"source-ref"', b': "s3://b/a.jpg"}\n'])

        def iter_lines(self) -> Any:
            """Yield lines."""
            return iter([b'{"source-ref": "s3://b/a.jpg"}'])

    assert [image.source for image in evaluation.read_training_snapshot(Body())] == ["s3://b/a.jpg"]
