"""Jobs that create, start, stop, copy and delete projects and model versions."""

from __future__ import annotations

import copy
import json
import logging
import shutil
from sqlite3 import IntegrityError
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from rekolabels.errors import RekolabelsError
from rekolabels.local._core._models import remove_version_folder, version_folder
from rekolabels.local._core._s3_objects import get_object_args, result_key
from rekolabels.local._jobs._regional_s3 import RegionalS3
from rekolabels.local._jobs._s3_files import s3_reason
from rekolabels.manifest._json import is_list, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator
    from sqlite3 import Connection, Row

    from rekolabels.local._core._context import Context
    from rekolabels.local._core._job import Job

__all__ = [
    "copy_version",
    "delete_project_row",
    "delete_version",
    "delete_version_row",
    "mark_project_created",
    "set_version_status",
    "start_version",
    "stop_version",
    "version_row",
]

_log = logging.getLogger("rekolabels.local")


def mark_project_created(db: Connection, arn: str) -> None:
    """Finish CreateProject, unless the project is being deleted already."""
    db.execute("UPDATE projects SET status = 'CREATED' WHERE arn = ? AND status = 'CREATING'", (arn,))


def delete_project_row(db: Connection, arn: str) -> None:
    """Finish DeleteProject; keep the project if something was created inside it in the meantime."""
    try:
        db.execute("DELETE FROM projects WHERE arn = ?", (arn,))
    except IntegrityError:
        db.execute("UPDATE projects SET status = 'CREATED' WHERE arn = ?", (arn,))
    else:
        db.execute("DELETE FROM tags WHERE arn = ?", (arn,))


def start_version(context: Context, job: Job) -> None:
    """Run the job of StartProjectVersion: load the model, so that the first request is fast."""
    number = _number_of(context, job.arn)
    status, message = "RUNNING", "The model is running."
    try:
        context.models.load(number)
    except (OSError, ValueError, RekolabelsError) as error:
        _log.exception("Cannot load the model of %s.", job.arn)
        status, message = "FAILED", f"The model could not be started: {error}"
    with context.store.write() as db:
        set_version_status(db, job.arn, status, message)
        context.jobs.finish(db, job)


def stop_version(context: Context, job: Job) -> None:
    """Run the job of StopProjectVersion: unload the model."""
    context.models.forget(_number_of(context, job.arn))
    with context.store.write() as db:
        set_version_status(db, job.arn, "STOPPED", "The model has stopped.")
        context.jobs.finish(db, job)


def delete_version(context: Context, job: Job) -> None:
    """Run the job of DeleteProjectVersion."""
    number = _number_of(context, job.arn)
    context.models.forget(number)
    # The row goes first, so that no version refers to a half-deleted model.
    with context.store.write() as db:
        delete_version_row(db, job.arn)
        context.jobs.finish(db, job)
    remove_version_folder(context.folder, number)


def copy_version(context: Context, job: Job, source: str) -> None:
    """Run the job of CopyProjectVersion: copy the model in the workspace and the result files in S3.

    Args:
        context: The service.
        job: The registered job, whose ARN is that of the copy.
        source: ARN of the version to copy.
    """
    with context.store.read() as db:
        original, target = version_row(db, source), version_row(db, job.arn)
    status, message = "COPYING_COMPLETED", "The model version was copied and is ready to run."
    results: dict[str, Any] = {}
    folder = version_folder(context.folder, target["number"])
    try:
        results = _copy_result_files(RegionalS3.of_job(context, job.arn), original, target)
        shutil.copytree(version_folder(context.folder, original["number"]), folder, symlinks=True)
    except (ClientError, BotoCoreError, OSError) as error:
        context.jobs.check()
        _log.warning("Cannot copy %s to %s.", source, job.arn, exc_info=True)
        reason = str(error) if isinstance(error, OSError) else s3_reason(error)
        bucket = json.loads(target["request"])["OutputConfig"]["S3Bucket"]
        status, message = "COPYING_FAILED", f"The model version could not be copied to {bucket}: {reason}."
        remove_version_folder(context.folder, target["number"])
    with context.store.write() as db:
        db.execute(
            "UPDATE versions SET status = ?, message = ?, results = ? WHERE arn = ?",
            (status, message, json.dumps(results), job.arn),
        )
        context.jobs.finish(db, job)


def version_row(db: Connection, arn: str) -> Row:
    """Return a version, with the name of its project as ``project_name``."""
    row: Row = db.execute(
        "SELECT versions.*, projects.name AS project_name FROM versions "
        "JOIN projects ON versions.project = projects.arn WHERE versions.arn = ?",
        (arn,),
    ).fetchone()
    return row


def delete_version_row(db: Connection, arn: str) -> None:
    """Delete a version and its tags from the database."""
    db.execute("DELETE FROM versions WHERE arn = ?", (arn,))
    db.execute("DELETE FROM tags WHERE arn = ?", (arn,))


def set_version_status(db: Connection, arn: str, status: str, message: str) -> None:
    """Set the status and the status message of a version."""
    db.execute("UPDATE versions SET status = ?, message = ? WHERE arn = ?", (status, message, arn))


def _number_of(context: Context, arn: str) -> int:
    with context.store.read() as db:
        return int(db.execute("SELECT number FROM versions WHERE arn = ?", (arn,)).fetchone()["number"])


def _copy_result_files(s3: RegionalS3, original: Row, target: Row) -> dict[str, Any]:
    """Copy the result files to the output location of the copy, and return its description of them.

    The copied files are named after the new project and version, so that two copies with the same output
    location never overwrite each other.
    """
    output = json.loads(target["request"])["OutputConfig"]
    old_name = f"{original['project_name']}-{original['name']}"
    new_name = f"{target['project_name']}-{target['name']}"
    results: dict[str, Any] = copy.deepcopy(json.loads(original["results"]))
    for s3_object in _s3_objects(results):
        file_kind = s3_object["Name"].rsplit("/", 1)[-1].removesuffix(f"-{old_name}.json")
        key = result_key(output.get("S3KeyPrefix", ""), f"{file_kind}-{new_name}.json")
        s3.copy_object(CopySource=get_object_args(s3_object), Bucket=output["S3Bucket"], Key=key)
        s3_object.update({"Bucket": output["S3Bucket"], "Name": key})
    return results


def _s3_objects(value: object) -> Iterator[dict[str, Any]]:
    """Find every ``S3Object`` in an answer."""
    if is_object(value):
        for name, inner in value.items():
            if name == "S3Object":
                yield inner
            else:
                yield from _s3_objects(inner)
    elif is_list(value):
        for inner in value:
            yield from _s3_objects(inner)
