"""A training, from the answer of CreateProjectVersion to a model that can be started."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rekolabels.errors import RekolabelsError
from rekolabels.evaluation import SnapshotImage, write_testing_snapshot, write_training_snapshot
from rekolabels.local._core._folders import version_folder
from rekolabels.local._core._inference import store_model
from rekolabels.local._core._job_runner import Interrupted
from rekolabels.local._engine import FeatureCache, UnusableImage, train
from rekolabels.local._jobs._adapters import train_adapter
from rekolabels.local._jobs._evaluating import evaluate, thresholds_of
from rekolabels.local._jobs._images import Images
from rekolabels.local._jobs._manifests import message_of
from rekolabels.local._jobs._results import Results
from rekolabels.local._jobs._task import Task, TrainingStopped
from rekolabels.local._jobs._training_data import Data, FileProblem, Reader, fetch_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from sqlite3 import Connection, Row

    from rekolabels.local._core._context import Context
    from rekolabels.local._core._job_runner import Job
    from rekolabels.local._engine import Trained
    from rekolabels.local._jobs._training_data import Side

__all__ = ["snapshot_datasets", "train_version"]

_log = logging.getLogger("rekolabels.local")


def snapshot_datasets(context: Context, db: Connection, project: str, number: int) -> None:
    """Keep the entries as they are now: datasets may change while the training goes on."""
    folder = version_folder(context.folder, number)
    folder.mkdir(parents=True)
    for kind in ("train", "test"):
        rows = db.execute(
            "SELECT line FROM entries WHERE dataset = "
            "(SELECT id FROM datasets WHERE project = ? AND kind = ?) ORDER BY id",
            (project, kind.upper()),
        )
        with (folder / f"{kind}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(f"{row['line']}\n" for row in rows)


def train_version(context: Context, job: Job) -> None:
    """The work of CreateProjectVersion."""
    with context.store.read() as db:
        version: Row = db.execute(
            "SELECT versions.*, projects.name AS project_name FROM versions "
            "JOIN projects ON versions.project = projects.arn WHERE versions.arn = ?",
            (job.arn,),
        ).fetchone()
    request = json.loads(version["request"])
    folder = version_folder(context.folder, version["number"])
    folder.mkdir(parents=True, exist_ok=True)
    results = Results(context.s3(), request["OutputConfig"], version["project_name"], version["name"])
    task = Task(context, job, folder, request, results, Images(context.s3))
    status, message, billable = "TRAINING_COMPLETED", "The model is ready to run.", None
    try:
        (_train if request.get("Feature") is None else train_adapter)(task)
    except Interrupted:
        raise
    except TrainingStopped as failed:
        status, message = "TRAINING_FAILED", str(failed)
    except FileProblem as problem:
        status, message = "TRAINING_FAILED", message_of(problem.code)
    except Exception as error:  # noqa: BLE001 - whatever broke, the version must come to rest and say so
        _log.exception("the training of %s broke", job.arn)
        status, message = "TRAINING_FAILED", _service_issue(error)
    started = version["created"] / 1000
    ended = started + context.durations.training if context.durations.training else context.clock()
    if status == "TRAINING_COMPLETED":
        billable = max(1, math.ceil(ended - started))
    for leftover in folder.glob("*.jsonl"):
        leftover.unlink()
    if status == "TRAINING_FAILED":
        shutil.rmtree(folder, ignore_errors=True)
    with context.store.write() as db:
        db.execute(
            "UPDATE versions SET status = ?, message = ?, ended = ?, billable = ?, results = ? WHERE arn = ?",
            (status, message, int(ended * 1000), billable, json.dumps(results.answer), job.arn),
        )
        context.jobs.finish(db, job)


def _train(task: Task) -> None:
    task.results.check_bucket()
    reader = Reader(task.folder, task.images, task.context.jobs.check)
    auto = bool(task.request.get("TestingData", {}).get("AutoCreate"))
    _fetch(task, auto=auto)
    split_seed = task.context.seed if auto else None
    data = reader.read(split_seed)
    trained: Trained | None = None
    if data.failure is None:
        with contextlib.suppress(UnusableImage):  # its header was sound
            trained = _learn(task, data)
    if trained is None:
        # All images are decoded now, so that the results tell of every damaged one, whatever else is wrong.
        reader.verify()
        data = reader.read(split_seed)
        if data.failure is None:
            trained = _learn(task, data)
    task.results.write_validation(data.training.annotated, data.testing.annotated, data.summary())
    if trained is None:
        raise TrainingStopped(data.failure)
    _finish(task, data, trained, auto=auto)


def _fetch(task: Task, *, auto: bool) -> None:
    """Bring manifests of the caller's own into the folder, where those of the datasets lie already."""
    training = task.request.get("TrainingData")
    if training is not None:
        s3 = task.context.s3()
        fetch_manifest(s3, training["Assets"], task.folder / "train.jsonl")
        if not auto:
            fetch_manifest(s3, task.request["TestingData"]["Assets"], task.folder / "test.jsonl")


def _learn(task: Task, data: Data) -> Trained:
    with FeatureCache(task.context.folder / "features.sqlite") as features:
        return train(
            data.samples(data.training, task.images),
            data.samples(data.testing, task.images),
            seed=task.context.seed,
            features=features,
            progress=task.report,
            engine=task.context.engine,
        )


def _finish(task: Task, data: Data, trained: Trained, *, auto: bool) -> None:
    now = datetime.fromtimestamp(task.context.clock(), UTC)
    evaluation = evaluate(data, trained, at=now, arn=task.job.arn)
    store_model(task.folder, trained.model, thresholds_of(evaluation))
    task.results.write_snapshots(
        write_training_snapshot(_snapshot(data, data.training), now),
        write_testing_snapshot(_snapshot(data, data.testing), evaluation.verdicts, now),
        auto_created=auto,
    )
    task.results.write_evaluation(evaluation.result.to_summary(), evaluation.result.f1)


def _snapshot(data: Data, side: Side) -> Iterator[SnapshotImage]:
    for one in data.used(side):
        labels, boxes = data.kept(one, side)
        yield SnapshotImage(one.source, labels, boxes, one.size)


def _service_issue(error: Exception) -> str:
    """What the service says when the fault is its own; here the reason is at hand."""
    reason = str(error) if isinstance(error, RekolabelsError) else f"{type(error).__name__}: {error}"
    return f"Amazon Rekognition experienced a service issue. {reason}"
