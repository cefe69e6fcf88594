"""Mending: the state that an interrupted job leaves a resource in, one that the real service could show."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from rekolabels.local._core._folders import version_folder
from rekolabels.local._jobs._datasets import clear, remove_dataset, settle
from rekolabels.local._jobs._lifecycle import delete_row, finish_creation, remove_project, set_status
from rekolabels.local._jobs._media import interrupt_media_job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from sqlite3 import Connection

    from rekolabels.local._core._job_runner import Job, JobKind
    from rekolabels.local._core._store import Store

__all__ = ["mend", "sweep"]


def mend(db: Connection, job: Job, now: int) -> None:
    """Bring the resource of an interrupted job to rest; ``now`` is in milliseconds."""
    _MENDERS[job.kind](db, job.arn, now)


def sweep(store: Store, folder: Path) -> None:
    """Remove the folders of versions that are gone, or whose training or copying came to nothing.

    Within a transaction that writes: folders are made in one too, so none is swept away too early.
    """
    with store.write() as db:
        rows = db.execute(
            "SELECT number FROM versions WHERE status NOT IN ('TRAINING_FAILED', 'COPYING_FAILED')"
        ).fetchall()
        kept = {str(number) for (number,) in rows}
        versions = version_folder(folder, 0).parent
        for path in versions.iterdir() if versions.is_dir() else ():
            if path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)


def _create_project(db: Connection, arn: str, _now: int) -> None:
    finish_creation(db, arn)


def _delete_project(db: Connection, arn: str, _now: int) -> None:
    remove_project(db, arn)


def _create_dataset(db: Connection, arn: str, now: int) -> None:
    clear(db, arn)
    message = "The creation of the dataset was interrupted; delete the dataset and create it again."
    settle(db, arn, ("CREATE_FAILED", message, "SERVICE_ERROR"), now)


def _update_dataset(db: Connection, arn: str, now: int) -> None:
    message = "The update of the dataset was interrupted; nothing was changed, send it again."
    settle(db, arn, ("UPDATE_FAILED", message, "SERVICE_ERROR"), now)


def _delete_dataset(db: Connection, arn: str, _now: int) -> None:
    remove_dataset(db, arn)
    db.execute("DELETE FROM tags WHERE arn = ?", (arn,))


def _train(db: Connection, arn: str, now: int) -> None:
    message = "The training was interrupted; train a new version."
    set_status(db, arn, "TRAINING_FAILED", message)
    db.execute("UPDATE versions SET ended = ? WHERE arn = ?", (now, arn))


def _start(db: Connection, arn: str, _now: int) -> None:
    set_status(db, arn, "RUNNING", "The model is running.")


def _stop(db: Connection, arn: str, _now: int) -> None:
    set_status(db, arn, "STOPPED", "The model has stopped.")


def _copy(db: Connection, arn: str, _now: int) -> None:
    set_status(db, arn, "COPYING_FAILED", "The copying was interrupted; copy the version again.")


def _delete_version(db: Connection, arn: str, _now: int) -> None:
    delete_row(db, arn)


_MENDERS: Mapping[JobKind, Callable[[Connection, str, int], None]] = {
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
