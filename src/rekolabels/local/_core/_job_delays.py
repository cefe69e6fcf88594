"""What stands between the answer to a request and its work: time that passes, and faults."""

from __future__ import annotations

import json
import shutil
import threading
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels.local._core._faults import Fault
from rekolabels.local._core._models import version_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from sqlite3 import Connection

    from rekolabels.local._core._clock import Durations
    from rekolabels.local._core._fault_injector import Chance
    from rekolabels.local._core._job_runner import Job, JobKind, Jobs
    from rekolabels.local._core._store import Store

__all__ = ["Interlude"]

_STEP = 0.005
"""Seconds between two looks at a clock that may be moved at any time."""
_TOUCH: Mapping[JobKind, str] = {
    "project.create": "CreateProject",
    "project.delete": "DeleteProject",
    "dataset.create": "CreateDataset",
    "dataset.update": "UpdateDatasetEntries",
    "dataset.delete": "DeleteDataset",
    "version.train": "CreateProjectVersion",
    "version.copy": "CopyProjectVersion",
    "version.start": "StartProjectVersion",
    "version.stop": "StopProjectVersion",
    "version.delete": "DeleteProjectVersion",
    "media.run": "StartMediaAnalysisJob",
}
_ENDS: Mapping[JobKind, str] = {
    "dataset.create": "CREATE_FAILED",
    "dataset.update": "UPDATE_FAILED",
    "version.train": "TRAINING_FAILED",
    "version.copy": "COPYING_FAILED",
    "version.start": "FAILED",
    "version.stop": "FAILED",
}


@attrs.frozen(eq=False)
class _Wait:
    due: float
    """By the service's clock; infinite for work that is stuck."""
    fault: Fault | None
    """The failure that the work ends with."""


class Interlude:
    """Keeps work waiting until its time has come, and lets it fail when the plan says so.

    Args:
        store: The service's memory.
        folder: Where models lie.
        clock: The service's clock.
        durations: How long the work takes.
        chance: Draws from the plan of faults; None for none.
        exact: Whether requests wait for work that is due; for clocks that only tests move.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        clock: Callable[[], float],
        durations: Durations,
        chance: Chance | None,
        *,
        exact: bool,
    ) -> None:
        self._store = store
        self._folder = folder
        self._clock = clock
        self._chance = chance
        self._exact = exact
        self._waits: dict[threading.Thread, _Wait] = {}
        self._guard = threading.Lock()
        self._seconds: Mapping[JobKind, float] = {
            "version.train": durations.training,
            "version.copy": durations.copying,
            "version.start": durations.starting,
            "version.stop": durations.stopping,
            "dataset.create": durations.datasets,
            "dataset.update": durations.datasets,
            "project.delete": durations.deleting,
            "dataset.delete": durations.deleting,
            "version.delete": durations.deleting,
            "media.run": durations.media_jobs,
        }

    def expect(self, thread: threading.Thread, jobs: Sequence[Job]) -> None:
        """Note work that is about to begin in a thread; its time starts now."""
        kind = jobs[0].kind
        seconds, failing = self._seconds.get(kind, 0.0), None
        if self._chance is not None:
            operation = _TOUCH[kind] if len(jobs) == 1 else "DistributeDatasetEntries"
            for fault in self._chance.strike(operation, ("fail", "stick")):
                if fault.kind == "stick":
                    seconds += fault.seconds
                else:
                    failing = fault
        if seconds or failing is not None:
            with self._guard:
                self._waits[thread] = _Wait(self._clock() + seconds, failing)

    def before(self, jobs: Sequence[Job], service: Jobs) -> Callable[[], None] | None:
        """Wait until the work of this thread is due.

        Returns:
            What is to be done in place of the work; None for the work itself.
        """
        wait = self._waits.get(threading.current_thread())
        if wait is None:
            return None
        while self._clock() < wait.due:
            if service.closing.wait(_STEP):
                return service.check
        fault = wait.fault
        return None if fault is None else lambda: self._fail(jobs, service, fault)

    def after(self) -> None:
        """Forget the work of this thread; it is done."""
        with self._guard:
            self._waits.pop(threading.current_thread(), None)

    def overdue(self) -> list[threading.Thread]:
        """Work that is due and not yet done, as far as requests wait for it."""
        if not self._exact or not self._waits:
            return []
        return self._split()[0]

    def is_waiting(self, thread: threading.Thread) -> bool:
        """Whether work waits for a moment that has not come."""
        return bool(self._waits) and thread in self._split()[1]

    def _split(self) -> tuple[list[threading.Thread], list[threading.Thread]]:
        now = self._clock()
        with self._guard:
            waits = list(self._waits.items())
        due = [thread for thread, wait in waits if wait.due <= now]
        return due, [thread for thread, wait in waits if wait.due > now]

    def _fail(self, jobs: Sequence[Job], service: Jobs, fault: Fault) -> None:
        now = int(self._clock() * 1000)
        with self._store.write() as db:
            for job in jobs:
                _end(db, job, fault, now)
                service.finish(db, job)
            numbers = [
                row["number"]
                for job in jobs
                for row in db.execute(
                    "SELECT number FROM versions WHERE arn = ? AND status IN "
                    "('TRAINING_FAILED', 'COPYING_FAILED')",
                    (job.arn,),
                )
            ]
        for number in numbers:
            shutil.rmtree(version_folder(self._folder, number), ignore_errors=True)


def _end(db: Connection, job: Job, fault: Fault, now: int) -> None:
    """Write the failure that the service would show."""
    if job.kind == "media.run":
        failure: dict[str, Any] = {
            "FailureDetails": {"Code": fault.code or "INTERNAL_ERROR", "Message": fault.message}
        }
        db.execute(
            "UPDATE media_jobs SET status = 'FAILED', ended = ?, results = ? WHERE id = ?",
            (now, json.dumps(failure), job.arn),
        )
        return
    status = _ENDS[job.kind]
    if job.kind.startswith("dataset."):
        code = "CLIENT_ERROR" if fault.code else "SERVICE_ERROR"
        db.execute(
            "UPDATE datasets SET status = ?, message = ?, code = ?, updated = ? WHERE arn = ?",
            (status, fault.message, code, now, job.arn),
        )
        return
    db.execute("UPDATE versions SET status = ?, message = ? WHERE arn = ?", (status, fault.message, job.arn))
    if status == "TRAINING_FAILED":
        db.execute("UPDATE versions SET ended = ? WHERE arn = ?", (now, job.arn))
