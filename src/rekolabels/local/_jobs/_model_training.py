"""Training of a Custom Labels model: check the data, train, evaluate, write the results."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rekolabels.evaluation import (
    Evaluation,
    SnapshotImage,
    Verdict,
    evaluate_classification,
    evaluate_detection,
    write_testing_snapshot,
    write_training_snapshot,
)
from rekolabels.images import BoundingBox, ImageSize
from rekolabels.local._core._models import store_model
from rekolabels.local._engine import UnusableImage
from rekolabels.local._jobs._manifests import fetch_manifest
from rekolabels.local._jobs._training_data import DataReader
from rekolabels.local._jobs._training_run import UnusableData

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rekolabels.local._engine import Prediction, TrainingResult
    from rekolabels.local._jobs._training_data import CheckedData, CheckedDataset, UsableLine
    from rekolabels.local._jobs._training_run import TrainingRun

__all__ = ["train_model"]

_DEFAULT_THRESHOLD = 0.5
"""Assumed threshold, 0 to 1, of a label that no test image has."""


def train_model(run: TrainingRun) -> None:
    """Train a Custom Labels model, from the project's datasets or from manifests in S3.

    Raises:
        UnusableData: The data cannot be trained with.
        ManifestFileError: A manifest cannot be read, or the output bucket cannot be written.
    """
    run.result_files.check_bucket()
    reader = DataReader(run.folder, run.images, run.context.jobs.check)
    auto_create = bool(run.request.get("TestingData", {}).get("AutoCreate"))
    _fetch_manifests(run, auto_create=auto_create)
    split_seed = run.context.seed if auto_create else None
    data = reader.read(split_seed)
    trained: TrainingResult | None = None
    # An image can be damaged behind a valid header. The training decodes those that it uses, but no others.
    if data.failure is None and not reader.has_damaged_image(data.unused_lines()):
        with contextlib.suppress(UnusableImage):
            trained = _fit(run, data)
    if trained is None:
        # Decode every image now: the results then list all damaged ones, whatever else is wrong.
        reader.find_damaged_images()
        data = reader.read(split_seed)
        if data.failure is None:
            trained = _fit(run, data)
    run.result_files.write_validation(data.train.annotated, data.test.annotated, data.summary())
    if trained is None:
        raise UnusableData(data.failure)
    _write_results(run, data, trained, auto_create=auto_create)


def _fetch_manifests(run: TrainingRun, *, auto_create: bool) -> None:
    """Download the request's manifests; lines of datasets are in the folder already."""
    train_data = run.request.get("TrainingData")
    if train_data is not None:
        fetch_manifest(run.s3, train_data["Assets"], run.folder / "train.jsonl")
        if not auto_create:
            fetch_manifest(run.s3, run.request["TestingData"]["Assets"], run.folder / "test.jsonl")


def _fit(run: TrainingRun, data: CheckedData) -> TrainingResult:
    return run.fit(data.samples(data.train, run.images), data.samples(data.test, run.images))


def _write_results(
    run: TrainingRun, data: CheckedData, trained: TrainingResult, *, auto_create: bool
) -> None:
    now = datetime.fromtimestamp(run.context.clock(), UTC)
    evaluation = _evaluate(data, trained, at=now, arn=run.job.arn)
    store_model(run.folder, trained.model, _thresholds_of(evaluation))
    labels = sorted(evaluation.result.labels)  # as in the summary
    run.result_files.write_snapshots(
        write_training_snapshot(_snapshot(data, data.train), now, labels=labels),
        write_testing_snapshot(_snapshot(data, data.test), _listed(evaluation), now, labels=labels),
        auto_created=auto_create,
    )
    run.result_files.write_evaluation(evaluation.result.to_summary(), evaluation.result.f1)


def _listed(evaluation: Evaluation) -> list[list[Verdict]]:
    """Return the verdicts that AWS's snapshots have: those of labels that were found or are true."""
    return [
        [verdict for verdict in verdicts if verdict.kind != "true negative"]
        for verdicts in evaluation.verdicts
    ]


def _snapshot(data: CheckedData, dataset: CheckedDataset) -> Iterator[SnapshotImage]:
    for line in data.lines_in_use(dataset):
        labels, boxes = data.annotations(line, dataset)
        yield SnapshotImage(line.source, labels, boxes, line.size)


def _evaluate(data: CheckedData, trained: TrainingResult, *, at: datetime, arn: str) -> Evaluation:
    """Evaluate a model on the test images in use."""
    tested, train_count = data.lines_in_use(data.test), len(data.lines_in_use(data.train))
    if trained.model.kind == "detection":
        return evaluate_detection(
            [line.boxes for line in tested],
            [_in_pixels(line, found) for line, found in zip(tested, trained.predictions, strict=True)],
            trained.model.labels,
            training_images=train_count,
            evaluated_at=at,
            project_version_arn=arn,
        )
    return evaluate_classification(
        [line.labels for line in tested],
        [{one.label: one.confidence for one in found} for found in trained.predictions],
        trained.model.labels,
        training_images=train_count,
        evaluated_at=at,
        project_version_arn=arn,
    )


def _thresholds_of(evaluation: Evaluation) -> dict[str, float]:
    """Return the assumed threshold of each label, 0 to 1."""
    return {
        label: _DEFAULT_THRESHOLD if metrics.threshold is None else metrics.threshold
        for label, metrics in evaluation.result.labels.items()
    }


def _in_pixels(line: UsableLine, found: tuple[Prediction, ...]) -> list[tuple[BoundingBox, float]]:
    """Convert predicted boxes from ratios to pixels of the image size that the line declares."""
    size = line.size or ImageSize(1, 1)
    boxes: list[tuple[BoundingBox, float]] = []
    for prediction in found:
        if prediction.box is not None:
            left, top, width, height = prediction.box
            box = BoundingBox(
                prediction.label,
                left * size.width,
                top * size.height,
                width * size.width,
                height * size.height,
            )
            boxes.append((box, prediction.confidence))
    return boxes
