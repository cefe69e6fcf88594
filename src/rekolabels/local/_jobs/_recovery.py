"""Recovery: put resources of interrupted jobs into a status that AWS could show, and remove leftovers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rekolabels._files import Folder
from rekolabels.local._core._models import version_folder
from rekolabels.local._jobs._datasets import delete_dataset_row, delete_entries, set_outcome
from rekolabels.local._jobs._lifecycle import (
    delete_project_row,
    delete_version_row,
    mark_project_created,
    set_version_status,
)
from rekolabels.local._jobs._media import interrupt_media_job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from sqlite3 import Connection

    from rekolabels.local._core._job import Job, JobKind
    from rekolabels.local._core._store import Store

__all__ = ["recover_resource", "remove_orphaned_folders"]


def recover_resource(db: Connection, job: Job, now: int) -> None:
    """Put the resource of an interrupted job into a final status.

    Args:
        db: The transaction that also removes the job.
        job: The interrupted job.
        now: Milliseconds since 1970.
    """
    _RECOVERIES[job.kind](db, job.arn, now)


def remove_orphaned_folders(store: Store, folder: Path) -> None:
    """Remove the folders of deleted versions, and of those whose training or copy failed.

    Args:
        store: The state of the service.
        folder: The service's folder in the workspace.
    """
    # In a write transaction: new folders are created in one too, so none is removed by mistake.
    with store.write() as db:
        rows = db.execute(
            "SELECT number FROM versions WHERE status NOT IN ('TRAINING_FAILED', 'COPYING_FAILED')"
        ).fetchall()
        kept = {str(number) for (number,) in rows}
        with Folder(version_folder(folder, 0).parent) as versions:
            for entry in versions.entries():
                if entry.name not in kept and entry.is_dir(follow_symlinks=False):
                    versions.remove_tree(entry.name)


def _create_project(db: Connection, arn: str, _now: int) -> None:
    mark_project_created(db, arn)


def _delete_project(db: Connection, arn: str, _now: int) -> None:
    delete_project_row(db, arn)


def _create_dataset(db: Connection, arn: str, now: int) -> None:
    delete_entries(db, arn)
    message = "Creation of the dataset was interrupted. Delete the dataset and create it again."
    set_outcome(db, arn, ("CREATE_FAILED", message, "SERVICE_ERROR"), now)


def _update_dataset(db: Connection, arn: str, now: int) -> None:
    message = "The update of the dataset was interrupted and changed nothing. Send it again."
    set_outcome(db, arn, ("UPDATE_FAILED", message, "SERVICE_ERROR"), now)


def _delete_dataset(db: Connection, arn: str, _now: int) -> None:
    delete_dataset_row(db, arn)


def _train(db: Connection, arn: str, now: int) -> None:
    message = "The training was interrupted."
    set_version_status(db, arn, "TRAINING_FAILED", message)
    db.execute("UPDATE versions SET ended = ? WHERE arn = ?", (now, arn))


def _start(db: Connection, arn: str, _now: int) -> None:
    set_version_status(db, arn, "RUNNING", "The model is running.")


def _stop(db: Connection, arn: str, _now: int) -> None:
    set_version_status(db, arn, "STOPPED", "The model has stopped.")


def _copy(db: Connection, arn: str, _now: int) -> None:
    set_version_status(db, arn, "COPYING_FAILED", "The copy was interrupted. Copy the version again.")


def _delete_version(db: Connection, arn: str, _now: int) -> None:
    delete_version_row(db, arn)


_RECOVERIES: Mapping[JobKind, Callable[[Connection, str, int], None]] = {
    "project.create": _create_project,
    "project.delete": _delete_project,
    "dataset.create": _create_dataset,
    "dataset.update": _update_dataset,
    "dataset.delete": _delete_dataset,
    "version.train": _train,
    "version.start": _start,
    "version.stop": _stop,
    "version.delete": _delete_version,
    "version.copy": _copy,
    "media.run": interrupt_media_job,
}
