"""Jobs: what the service does after it has answered, each in a thread of its own.

A job is a row in the store, written in the same transaction as the status that it works under. A row whose
owner no longer lives tells the next service on the workspace what was interrupted.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from typing import TYPE_CHECKING, Literal

import attrs

from rekolabels.local._core._locks import OwnerLock, is_alive
from rekolabels.local._core._memory import give_back

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from rekolabels.local._core._job_delays import Interlude
    from rekolabels.local._core._store import Store

__all__ = ["Interrupted", "Job", "JobKind", "Jobs"]

_log = logging.getLogger("rekolabels.local")

JobKind = Literal[
    "project.create",
    "project.delete",
    "dataset.create",
    "dataset.update",
    "dataset.delete",
    "version.train",
    "version.start",
    "version.stop",
    "version.delete",
    "version.copy",
    "media.run",
]

_GRACE = 20.0
_AT_ONCE = 4
"""Jobs other than trainings that run at the same time."""
_TRAININGS = 2
"""Trainings that run at the same time, of all accounts: each uses all cores, and holds its images."""


class Interrupted(Exception):
    """The service is closing: the job ends here, and is marked as interrupted."""


@attrs.frozen
class Job:
    """One piece of work on one resource."""

    id: int
    kind: JobKind
    arn: str


class Jobs:
    """The workers of one service.

    Args:
        store: Where the jobs are noted.
        folder: Where the locks of the owners lie.
        mend: Brings a resource to the state that an interrupted or broken job leaves it in; called within the
            transaction that removes the job.
        interlude: What stands between the answer and the work.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        mend: Callable[[sqlite3.Connection, Job], None],
        interlude: Interlude,
    ) -> None:
        self._store = store
        self._interlude = interlude
        self._folder = folder
        self._mend = mend
        self._lock = OwnerLock(folder)
        self.closing = threading.Event()
        self._open_gate = threading.Event()
        self._open_gate.set()
        self._slots = threading.Semaphore(_AT_ONCE)
        self._training_slots = threading.Semaphore(_TRAININGS)
        self._threads: set[threading.Thread] = set()
        self._guard = threading.Lock()
        self._unmended: list[Job] = []

    def register(self, db: sqlite3.Connection, kind: JobKind, arn: str) -> Job:
        """Note a job, within the transaction that sets the status it works under."""
        cursor = db.execute(
            "INSERT INTO jobs (kind, arn, owner) VALUES (?, ?, ?)", (kind, arn, self._lock.name)
        )
        return Job(id=cursor.lastrowid or 0, kind=kind, arn=arn)

    def finish(self, db: sqlite3.Connection, job: Job) -> None:
        """Forget a job, within the transaction that sets the status it ends with."""
        db.execute("DELETE FROM jobs WHERE id = ?", (job.id,))

    def launch(self, work: Callable[[], None], *jobs: Job) -> None:
        """Start registered jobs that are one piece of work; call it after the transaction."""
        name = f"rekolabels-{jobs[0].kind}-{jobs[0].id}"
        thread = threading.Thread(target=self._run, args=(work, jobs), name=name, daemon=True)
        self._interlude.expect(thread, jobs)
        with self._guard:
            self._threads.add(thread)
        thread.start()

    def check(self) -> None:
        """A point at which a long job may end.

        Raises:
            Interrupted: The service is closing.
        """
        if self.closing.is_set():
            raise Interrupted

    @contextlib.contextmanager
    def hold(self) -> Generator[None]:
        """Keep new jobs waiting within the block, so that the states in between can be looked at."""
        self._open_gate.clear()
        try:
            yield
        finally:
            self._open_gate.set()

    def wait(self) -> None:
        """Wait until every job that has been launched is done, but for those that wait for the clock."""
        while True:
            with self._guard:
                waiting = [thread for thread in self._threads if not self._interlude.is_waiting(thread)]
            if not waiting:
                return
            for thread in waiting:
                thread.join()

    def catch_up(self) -> None:
        """Wait for work whose time has come by a clock that only tests move, unless jobs are held."""
        for thread in self._interlude.overdue():
            if self._open_gate.is_set():
                thread.join()

    def recover(self) -> None:
        """Mend what a service that no longer lives left unfinished, and what could not be mended before."""
        with self._guard:
            unmended, self._unmended = self._unmended, []
        self._bring_to_rest(unmended)
        with self._store.read() as db:
            rows = db.execute(
                "SELECT DISTINCT owner FROM jobs WHERE owner != ?", (self._lock.name,)
            ).fetchall()
        dead = [owner for (owner,) in rows if not is_alive(self._folder, owner)]
        for owner in dead:
            with self._store.write() as db:
                left = db.execute("SELECT id, kind, arn FROM jobs WHERE owner = ?", (owner,)).fetchall()
                for row in left:
                    job = Job(id=row["id"], kind=row["kind"], arn=row["arn"])
                    _log.warning("%s of %s was interrupted", job.kind, job.arn)
                    self._mend(db, job)
                    self.finish(db, job)

    def close(self) -> None:
        """Interrupt the long jobs, wait for all of them, and give the lock back."""
        self.closing.set()
        self._open_gate.set()
        with self._guard:
            waiting = list(self._threads)
        for thread in waiting:
            thread.join(_GRACE)
        self._lock.release()

    def _run(self, work: Callable[[], None], jobs: Sequence[Job]) -> None:
        try:
            instead = self._interlude.before(jobs, self)
            with self._training_slots if jobs[0].kind == "version.train" else self._slots:
                self._open_gate.wait()
                self._work(instead or work, jobs)
        finally:
            if jobs[0].kind == "version.train":
                give_back()
            self._interlude.after()
            with self._guard:
                self._threads.discard(threading.current_thread())

    def _work(self, work: Callable[[], None], jobs: Sequence[Job]) -> None:
        try:
            work()
        except Interrupted:
            _log.warning("%s of %s was interrupted", jobs[0].kind, jobs[0].arn)
        except Exception:  # noqa: BLE001 - whatever broke, the resource must come to rest
            _log.exception("%s of %s broke", jobs[0].kind, jobs[0].arn)
        else:
            return
        self._bring_to_rest(jobs)

    def _bring_to_rest(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        try:
            with self._store.write() as db:
                for job in jobs:
                    self._mend(db, job)
                    self.finish(db, job)
        except sqlite3.Error:
            # The disk is full, for example: once more at the next look at the resource, or the next start.
            _log.exception("%s of %s stays unfinished for now", jobs[0].kind, jobs[0].arn)
            with self._guard:
                self._unmended += jobs
