"""Jobs that create, start, stop and delete projects and model versions."""

from __future__ import annotations

import logging
import shutil
from sqlite3 import IntegrityError
from typing import TYPE_CHECKING

from rekolabels.errors import RekolabelsError
from rekolabels.local._core._folders import version_folder

if TYPE_CHECKING:
    from sqlite3 import Connection

    from rekolabels.local._core._context import Context
    from rekolabels.local._core._job_runner import Job

__all__ = [
    "delete_row",
    "finish_creation",
    "remove_project",
    "remove_version",
    "set_status",
    "start_version",
    "stop_version",
]

_log = logging.getLogger("rekolabels.local")


def finish_creation(db: Connection, arn: str) -> None:
    """Finish CreateProject, unless the project is being deleted already."""
    db.execute("UPDATE projects SET status = 'CREATED' WHERE arn = ? AND status = 'CREATING'", (arn,))


def remove_project(db: Connection, arn: str) -> None:
    """Finish DeleteProject; keep the project if something was created inside it in the meantime."""
    try:
        db.execute("DELETE FROM projects WHERE arn = ?", (arn,))
    except IntegrityError:
        db.execute("UPDATE projects SET status = 'CREATED' WHERE arn = ?", (arn,))
    else:
        db.execute("DELETE FROM tags WHERE arn = ?", (arn,))


def start_version(context: Context, job: Job) -> None:
    """The work of StartProjectVersion: load the model, so that the first answer is quick."""
    number = _number(context, job.arn)
    status, message = "RUNNING", "The model is running."
    try:
        context.models.load(number)
    except (OSError, ValueError, RekolabelsError) as error:
        _log.exception("the model %s cannot be loaded", job.arn)
        status, message = "FAILED", f"The model could not be started: {error}"
    with context.store.write() as db:
        set_status(db, job.arn, status, message)
        context.jobs.finish(db, job)


def stop_version(context: Context, job: Job) -> None:
    """The work of StopProjectVersion."""
    context.models.forget(_number(context, job.arn))
    with context.store.write() as db:
        set_status(db, job.arn, "STOPPED", "The model has stopped.")
        context.jobs.finish(db, job)


def remove_version(context: Context, job: Job) -> None:
    """The work of DeleteProjectVersion: the row first, so that nothing points at half a model."""
    number = _number(context, job.arn)
    context.models.forget(number)
    with context.store.write() as db:
        delete_row(db, job.arn)
        context.jobs.finish(db, job)
    shutil.rmtree(version_folder(context.folder, number), ignore_errors=True)


def delete_row(db: Connection, arn: str) -> None:
    """Forget a version and its tags."""
    db.execute("DELETE FROM versions WHERE arn = ?", (arn,))
    db.execute("DELETE FROM tags WHERE arn = ?", (arn,))


def set_status(db: Connection, arn: str, status: str, message: str) -> None:
    """Write how an operation on a version ended."""
    db.execute("UPDATE versions SET status = ?, message = ? WHERE arn = ?", (status, message, arn))


def _number(context: Context, arn: str) -> int:
    with context.store.read() as db:
        return int(db.execute("SELECT number FROM versions WHERE arn = ?", (arn,)).fetchone()["number"])
