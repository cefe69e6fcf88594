"""One training, whichever kind of model it trains: its inputs, its progress and how it ends."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from botocore.exceptions import BotoCoreError, ClientError

from rekolabels._files import FOLDER_MODE
from rekolabels.errors import RekolabelsError
from rekolabels.local._core._context import Context
from rekolabels.local._core._job import Interrupted, Job
from rekolabels.local._core._models import remove_version_folder, version_folder
from rekolabels.local._engine import FeatureCache, Sample, TrainingResult, train
from rekolabels.local._jobs._lifecycle import version_row
from rekolabels.local._jobs._manifests import ManifestFileError, message_of
from rekolabels.local._jobs._regional_s3 import RegionalS3
from rekolabels.local._jobs._s3_files import ImageFetcher, ResultFiles, s3_reason

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TrainingRun", "UnusableData", "run_training"]

_log = logging.getLogger("rekolabels.local")


class UnusableData(Exception):
    """The training cannot continue; the message becomes the version's ``StatusMessage``."""


@attrs.frozen
class TrainingRun:
    """One training in progress."""

    context: Context
    job: Job
    s3: RegionalS3
    folder: Path
    """Folder of the version in the workspace; its ``*.jsonl`` files are removed when training ends."""
    request: Mapping[str, Any]
    """The stored members of the CreateProjectVersion request."""
    result_files: ResultFiles
    images: ImageFetcher

    def fit(self, train_samples: Sequence[Sample], test_samples: Sequence[Sample]) -> TrainingResult:
        """Train a model and test it.

        Raises:
            UnusableImage: An image is damaged.
            InvalidInput: The samples have too few labels, or too few images of one.
        """
        with FeatureCache(self.context.folder / "features.sqlite") as features:
            return train(
                train_samples,
                test_samples,
                seed=self.context.seed,
                features=features,
                progress=self._report,
                engine=self.context.engine,
            )

    def _report(self, stage: str, done: int, total: int) -> None:
        """Log progress at every tenth, and end here if the service is closing."""
        self.context.jobs.check()
        if done == total or done % max(1, -(-total // 10)) == 0:
            _log.info("Training %s: %s, %d of %d.", self.job.arn, stage, done, total)


def run_training(context: Context, job: Job, trainer: Callable[[TrainingRun], None]) -> None:
    """Run the job of CreateProjectVersion.

    Args:
        context: The service.
        job: The registered job.
        trainer: Trains the kind of model that the project is for, and writes the result files.
    """
    with context.store.read() as db:
        version = version_row(db, job.arn)
    request = json.loads(version["request"])
    folder = version_folder(context.folder, version["number"])
    folder.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
    s3 = RegionalS3.of_job(context, job.arn)
    result_files = ResultFiles(s3, request["OutputConfig"], version["project_name"], version["name"])
    run = TrainingRun(context, job, s3, folder, request, result_files, ImageFetcher(s3))
    status, message, billable = "TRAINING_COMPLETED", "The model is ready to run.", None
    try:
        trainer(run)
    except Interrupted:
        raise
    except UnusableData as error:
        status, message = "TRAINING_FAILED", str(error)
    except ManifestFileError as error:
        status, message = "TRAINING_FAILED", message_of(error.code)
    except Exception as error:  # noqa: BLE001 - whatever failed, the version must reach a final status
        context.jobs.check()  # what a closing service breaks is not a failure of the training
        _log.exception("Training of %s failed.", job.arn)
        status, message = "TRAINING_FAILED", _service_issue(error)
    started = version["created"] / 1000
    ended = started + context.durations.training if context.durations.training else context.clock()
    if status == "TRAINING_COMPLETED":
        billable = max(1, math.ceil(ended - started))
    for leftover in folder.glob("*.jsonl"):
        leftover.unlink()
    if status == "TRAINING_FAILED":
        remove_version_folder(context.folder, version["number"])
    with context.store.write() as db:
        db.execute(
            "UPDATE versions SET status = ?, message = ?, ended = ?, billable = ?, results = ? WHERE arn = ?",
            (status, message, int(ended * 1000), billable, json.dumps(result_files.description), job.arn),
        )
        context.jobs.finish(db, job)


def _service_issue(error: Exception) -> str:
    """Return AWS's message for internal errors, followed by the reason, which AWS would not give."""
    if isinstance(error, RekolabelsError):
        reason = str(error)
    elif isinstance(error, (ClientError, BotoCoreError)):
        reason = f"Cannot use an object in S3: {s3_reason(error)}."
    else:
        reason = f"{type(error).__name__}: {error}"
    return f"Amazon Rekognition experienced a service issue. {reason}"
