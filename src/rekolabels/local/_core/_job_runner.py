"""Runner of the service's jobs, each in a thread of its own.

A job is a row in the store, inserted in the transaction that sets the status it works under, and deleted in
the transaction that sets the final status. The rows of an owner that is no longer alive are the jobs that
were interrupted; the next service on the workspace recovers their resources.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import sys
import threading
from typing import TYPE_CHECKING

from rekolabels.local._core._job import Interrupted, Job, JobKind, delete_job, insert_job
from rekolabels.local._core._locks import OwnerLock, is_owner_alive, remove_dead_owners
from rekolabels.local._core._memory import release_free_memory
from rekolabels.local._core._sqlite import DatabaseClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Hashable, Sequence

    from rekolabels._files import Folder
    from rekolabels.local._core._job_delays import JobDelays
    from rekolabels.local._core._store import Store

__all__ = ["JobRunner"]

_log = logging.getLogger("rekolabels.local")

_CLOSE_TIMEOUT = 20.0
"""Seconds that `JobRunner.close` waits for each job."""
_MAX_JOBS = 4
"""Jobs other than trainings that run at the same time."""
_MAX_TRAININGS = 2
"""Trainings that run at the same time, over all accounts: each uses all cores and keeps its images in "
"memory."""


class JobRunner:
    """The jobs of one service.

    Args:
        store: Where the jobs are stored.
        owners: Folder of the owners' lock files.
        recover_resource: Sets a resource to the state in which an interrupted or failed job leaves it. Called
            in the transaction that deletes the job.
        delays: Decides when a job starts, and whether a fault makes it fail.

    Attributes:
        closing: Set when the service closes.
    """

    def __init__(
        self,
        store: Store,
        owners: Folder,
        recover_resource: Callable[[sqlite3.Connection, Job], None],
        delays: JobDelays,
    ) -> None:
        self._store = store
        self._delays = delays
        self._owners = owners
        self._recover_resource = recover_resource
        with store.write():
            remove_dead_owners(owners)
            self._owner = OwnerLock(owners)
        self.closing = threading.Event()
        self._open_gate = threading.Event()
        self._open_gate.set()
        self._slots = threading.Semaphore(_MAX_JOBS)
        self._training_slots = threading.Semaphore(_MAX_TRAININGS)
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._unrecovered: list[Job] = []
        self._closed = False
        self._interrupted_level = logging.WARNING

    def register(self, db: sqlite3.Connection, kind: JobKind, arn: str) -> Job:
        """Store a job, in the transaction that sets the status it works under."""
        return insert_job(db, kind, arn, self._owner.name)

    def finish(self, db: sqlite3.Connection, job: Job) -> None:
        """Delete a job, in the transaction that sets the status it ends with."""
        delete_job(db, job)

    def launch(self, work: Callable[[], None], *jobs: Job) -> None:
        """Run registered jobs that are one piece of work; call this after the transaction."""
        name = f"rekolabels-{jobs[0].kind}-{jobs[0].id}"
        thread = threading.Thread(target=self._run, args=(work, jobs), name=name, daemon=True)
        self._delays.schedule(thread, jobs)
        with self._lock:
            self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError:
            # The interpreter exits, and a model is stopped before it does. No thread can start any more.
            self._forget(thread)
            self._run(work, jobs)

    def check(self) -> None:
        """Let a long job end when the service is closing.

        Raises:
            Interrupted: The service is closing.
        """
        if self.closing.is_set():
            raise Interrupted

    @contextlib.contextmanager
    def hold(self) -> Generator[None]:
        """Keep new jobs from starting within the block, so that a test can observe the states before."""
        self._open_gate.clear()
        try:
            yield
        finally:
            self._open_gate.set()

    def wait(self) -> None:
        """Wait until all launched jobs have ended, except for those whose time has not come by the clock."""
        while True:
            with self._lock:
                running = [thread for thread in self._threads if not self._delays.is_waiting(thread)]
            if not running:
                return
            for thread in running:
                thread.join()

    def catch_up(self, poll: Hashable | None = None) -> None:
        """Wait for jobs that are due by a clock that only tests move, unless jobs are held.

        Args:
            poll: What makes a request for the state of jobs equal to others; None for other requests.
        """
        if poll is not None:
            self._delays.count_poll(poll)
        for thread in self._delays.overdue():
            if self._open_gate.is_set():
                thread.join()

    def recover(self) -> None:
        """Recover the resources of jobs whose service died, or whose end could not be stored."""
        with self._lock:
            unrecovered, self._unrecovered = self._unrecovered, []
        self._end_without_result(unrecovered)
        with self._store.read() as db:
            rows = db.execute(
                "SELECT DISTINCT owner FROM jobs WHERE owner != ?", (self._owner.name,)
            ).fetchall()
        dead = [owner for (owner,) in rows if not is_owner_alive(self._owners, owner)]
        for owner in dead:
            with self._store.write() as db:
                rows = db.execute("SELECT id, kind, arn FROM jobs WHERE owner = ?", (owner,)).fetchall()
                for row in rows:
                    job = Job(id=row["id"], kind=row["kind"], arn=row["arn"])
                    _log.info("Job %s for %s was interrupted.", job.kind, job.arn)
                    self._recover_resource(db, job)
                    self.finish(db, job)

    def close(self) -> None:
        """Interrupt long jobs, wait for all jobs to end, and release the owner's lock. Idempotent.

        A job that takes longer than twenty seconds to end keeps the lock until then.
        """
        if KeyboardInterrupt in (sys.exc_info()[0], getattr(sys, "last_type", None)):
            # The user has just interrupted it, and wants no more lines.
            self._interrupted_level = logging.INFO
        self.closing.set()
        self._open_gate.set()
        with self._lock:
            running = self._threads - {threading.current_thread()}
        for thread in running:
            thread.join(_CLOSE_TIMEOUT)
        with self._lock:
            self._closed = True
            idle = not self._threads
        if idle:
            self._owner.release()

    def _run(self, work: Callable[[], None], jobs: Sequence[Job]) -> None:
        try:
            replacement = self._delays.wait_until_due(jobs, self.closing)
            with self._training_slots if jobs[0].kind == "version.train" else self._slots:
                self._open_gate.wait()
                self._work(replacement or work, jobs)
        finally:
            if jobs[0].kind == "version.train":
                release_free_memory()
            self._forget(threading.current_thread())

    def _forget(self, thread: threading.Thread) -> None:
        self._delays.forget(thread)
        with self._lock:
            self._threads.discard(thread)
            last = self._closed and not self._threads
        if last:  # the job outlasted close(): until now another service would have recovered it
            self._owner.release()

    def _work(self, work: Callable[[], None], jobs: Sequence[Job]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever failed, the resource must reach a final status
            if isinstance(error, Interrupted) or self.closing.is_set():
                _log.log(self._interrupted_level, "Job %s for %s was interrupted.", jobs[0].kind, jobs[0].arn)
            else:
                _log.exception("Job %s for %s failed.", jobs[0].kind, jobs[0].arn)
        else:
            return
        self._end_without_result(jobs)

    def _end_without_result(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        try:
            with self._store.write() as db:
                for job in jobs:
                    self._recover_resource(db, job)
                    self.finish(db, job)
        except DatabaseClosed:
            _log.info("Job %s for %s ended late; the next service recovers it.", jobs[0].kind, jobs[0].arn)
        except sqlite3.Error:
            # For example on a full disk: recover() tries again at the next request or the next start.
            _log.exception(
                "Cannot store the end of job %s for %s. Retrying with the next request for such a resource.",
                jobs[0].kind,
                jobs[0].arn,
            )
            with self._lock:
                self._unrecovered += jobs
