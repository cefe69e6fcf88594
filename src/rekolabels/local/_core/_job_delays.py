"""Delays and failures of jobs: simulated durations, and faults that make jobs fail or hang."""

from __future__ import annotations

import json
import math
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import attrs

from rekolabels.local._core._faults import Fault
from rekolabels.local._core._job import Interrupted, delete_job
from rekolabels.local._core._models import remove_version_folder
from rekolabels.local._core._real_time_waits import RealTimeWaits

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence
    from pathlib import Path
    from sqlite3 import Connection

    from rekolabels.local._core._clock import Durations
    from rekolabels.local._core._fault_injector import FaultInjector
    from rekolabels.local._core._job import Job, JobKind
    from rekolabels.local._core._store import Store

__all__ = ["JobDelays"]

_POLL_SECONDS = 0.005
"""Between two readings of the clock; tests may move it at any time."""
_OPERATIONS: Mapping[JobKind, str] = {
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
_FAILED_STATUS: Mapping[JobKind, str] = {
    "dataset.create": "CREATE_FAILED",
    "dataset.update": "UPDATE_FAILED",
    "version.train": "TRAINING_FAILED",
    "version.copy": "COPYING_FAILED",
    "version.start": "FAILED",
    "version.stop": "FAILED",
}


@attrs.frozen(eq=False)
class _Schedule:
    due: float
    """Seconds since 1970 by the service's clock; infinite for a job that hangs."""
    failure: Fault | None
    """The fault that makes the job fail when it is due."""


class JobDelays:
    """Keeps jobs waiting until they are due, and lets them fail when the fault plan says so.

    Args:
        store: The store of the service.
        folder: The folder of the models.
        clock: The clock of the service.
        durations: How long jobs take.
        injector: Draws from the fault plan; None without one.
        exact: Whether requests wait for jobs that are due; for clocks that only tests move.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        clock: Callable[[], float],
        durations: Durations,
        injector: FaultInjector | None,
        *,
        exact: bool,
    ) -> None:
        self._store = store
        self._folder = folder
        self._clock = clock
        self._injector = injector
        self._exact = exact
        self._schedules: dict[threading.Thread, _Schedule] = {}
        self._lock = threading.Lock()
        self._waits = RealTimeWaits(clock, self._next_due)
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

    def schedule(self, thread: threading.Thread, jobs: Sequence[Job]) -> None:
        """Decide when the jobs of a thread are due, counted from now, and whether they fail."""
        kind = jobs[0].kind
        seconds, failure = self._seconds.get(kind, 0.0), None
        if self._injector is not None:
            operation = _OPERATIONS[kind] if len(jobs) == 1 else "DistributeDatasetEntries"
            for fault in self._injector.select(operation, ("fail", "stick")):
                if fault.kind == "stick":
                    seconds += fault.seconds
                else:
                    failure = fault
        if seconds or failure is not None:
            with self._lock:
                self._schedules[thread] = _Schedule(self._clock() + seconds, failure)

    def wait_until_due(self, jobs: Sequence[Job], closing: threading.Event) -> Callable[[], None] | None:
        """Wait until the jobs of this thread are due, or the service closes.

        Returns:
            What to do in place of the work: fail, or raise `Interrupted`. None to do the work.
        """
        schedule = self._schedules.get(threading.current_thread())
        if schedule is None:
            return None
        while self._clock() < schedule.due:
            if closing.wait(_POLL_SECONDS):
                return _interrupt
        failure = schedule.failure
        return None if failure is None else lambda: self._fail(jobs, failure)

    def forget(self, thread: threading.Thread) -> None:
        """Forget the jobs of a thread, which have ended."""
        with self._lock:
            self._schedules.pop(thread, None)

    def count_poll(self, poll: Hashable) -> None:
        """Count a request that asks for the state of jobs: a client may wait for them in real time."""
        if self._exact:
            self._waits.count(poll)

    def overdue(self) -> list[threading.Thread]:
        """Return the threads whose jobs are due but not done, if requests wait for those."""
        if not self._exact or not self._schedules:
            return []
        return self._split()[0]

    def is_waiting(self, thread: threading.Thread) -> bool:
        """Return whether the jobs of a thread are not due yet."""
        return bool(self._schedules) and thread in self._split()[1]

    def _next_due(self) -> float:
        with self._lock:
            schedules = list(self._schedules.values())
        now = self._clock()
        return min((schedule.due for schedule in schedules if schedule.due > now), default=math.inf)

    def _split(self) -> tuple[list[threading.Thread], list[threading.Thread]]:
        """Return the threads with jobs that are due, and those with jobs that are not."""
        now = self._clock()
        with self._lock:
            schedules = list(self._schedules.items())
        due = [thread for thread, schedule in schedules if schedule.due <= now]
        return due, [thread for thread, schedule in schedules if schedule.due > now]

    def _fail(self, jobs: Sequence[Job], fault: Fault) -> None:
        now = int(self._clock() * 1000)
        with self._store.write() as db:
            for job in jobs:
                _set_failed(db, job, fault, now)
                delete_job(db, job)
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
            remove_version_folder(self._folder, number)


def _interrupt() -> NoReturn:
    raise Interrupted


def _set_failed(db: Connection, job: Job, fault: Fault, now: int) -> None:
    """Store the failure of a job as AWS would report it."""
    if job.kind == "media.run":
        failure: dict[str, Any] = {
            "FailureDetails": {"Code": fault.code or "INTERNAL_ERROR", "Message": fault.message}
        }
        db.execute(
            "UPDATE media_jobs SET status = 'FAILED', ended = ?, results = ? WHERE id = ?",
            (now, json.dumps(failure), job.arn),
        )
        return
    status = _FAILED_STATUS[job.kind]
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
