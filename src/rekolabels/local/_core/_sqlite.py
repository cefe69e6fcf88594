"""Connection pool for a SQLite file that threads and processes share."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import weakref
from typing import TYPE_CHECKING

from rekolabels._files import create_private_file
from rekolabels.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

__all__ = ["Database", "DatabaseClosed"]

_BUSY_TIMEOUT = 60.0
"""Seconds that a writer waits for the writers of other processes."""
_LONGEST_PAUSE = 0.05
"""Seconds between two attempts where SQLite itself does not wait."""
_MAX_IDLE = 8
"""Connections kept open for later calls."""
_FOREIGN = (
    "SELECT type, name FROM sqlite_master WHERE type NOT IN ('table', 'index') OR ifnull(rootpage, 0) = 0"
)
"""Views, triggers and virtual tables would do more than is asked of a table."""


_FORK_TIMEOUT = 5.0
"""Seconds that a fork waits for each transaction; only a fork from within one waits in vain."""
_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_paused: list[threading.Lock] = []
"""Write locks that are held while the process forks."""


class DatabaseClosed(sqlite3.ProgrammingError):
    """The database is closed because its service has ended."""


class Database:
    """A pool of connections to one file.

    Transactions are atomic, and readers do not block on writers, between threads and processes alike
    (SQLite's write-ahead log).

    Args:
        path: The file; created when missing.
        migrations: For each version of the schema, the statements that lead to it from the version before.
        fsync: Whether each commit is flushed to the disk, which protects it from a power failure.

    Raises:
        InvalidInput: The file is not a database, is from a newer version of rekolabels, or cannot be written.
        OSError: The file cannot be created.
    """

    def __init__(self, path: Path, migrations: Sequence[str], *, fsync: bool = False) -> None:
        self._path = path
        self._synchronous = "FULL" if fsync else "NORMAL"
        # The writers of one process queue here because SQLite itself waits by sleeping and trying again.
        self.write_lock = threading.Lock()
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._inherited: list[sqlite3.Connection] = []
        self._process = os.getpid()
        self._closed = False
        _databases.add(self)
        create_private_file(path)
        try:
            self._migrate(migrations)
        except sqlite3.Error as error:
            self.close()
            raise InvalidInput(
                f"Cannot use the database {path}: {error}. Expected an intact SQLite file in a writable "
                "folder. Make the folder writable, or choose another one."
            ) from error
        except InvalidInput:
            self.close()
            raise

    @contextlib.contextmanager
    def read(self) -> Generator[sqlite3.Connection]:
        """Open a read transaction, whose queries all see the same state.

        Raises:
            DatabaseClosed: The database is closed.
        """
        with self._connection() as db:
            db.execute("BEGIN")
            try:
                yield db
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    @contextlib.contextmanager
    def write(self) -> Generator[sqlite3.Connection]:
        """Open a write transaction, one at a time among all processes; an exception rolls it back.

        Raises:
            DatabaseClosed: The database is closed.
        """
        with self.write_lock, self._connection() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                # SQLite may have rolled back already, for example on a full disk.
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def is_closed(self) -> bool:
        """Return whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """Close the idle connections now, and those in use when they are returned."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()

    @contextlib.contextmanager
    def _connection(self) -> Generator[sqlite3.Connection]:
        db = self._check_out() or self._connect()
        try:
            yield db
        finally:
            with self._lock:
                keep = not self._closed and len(self._idle) < _MAX_IDLE and not db.in_transaction
                if keep:
                    self._idle.append(db)
            if not keep:
                db.close()

    def _check_out(self) -> sqlite3.Connection | None:
        with self._lock:
            if self._closed:
                raise DatabaseClosed("The database is closed.")
            if self._process != os.getpid():
                # A forked child must neither use nor close the connections of its parent.
                self._inherited += self._idle
                self._idle, self._process = [], os.getpid()
            return self._idle.pop() if self._idle else None

    def _connect(self) -> sqlite3.Connection:
        # isolation_level=None: read() and write() manage the transactions. check_same_thread=False: a
        # connection serves one call at a time, but any thread.
        db = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            db.row_factory = sqlite3.Row
            db.execute(f"PRAGMA synchronous = {self._synchronous}")
            db.execute("PRAGMA foreign_keys = ON")
            # The file may come from another user: its schema calls no function that could do harm.
            db.execute("PRAGMA trusted_schema = OFF")
        except sqlite3.Error:
            db.close()
            raise
        return db

    def _migrate(self, migrations: Sequence[str]) -> None:
        import tenacity

        # SQLite's own time-out does not apply to a change of the mode.
        wait = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_locked),
            wait=tenacity.wait_random(0, _LONGEST_PAUSE),
            stop=tenacity.stop_after_delay(_BUSY_TIMEOUT),
            reraise=True,
        )
        with self._connection() as db:
            wait(db.execute, "PRAGMA journal_mode = WAL")
        # Even without anything to migrate: report now that a file cannot be written.
        with self.write() as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > len(migrations):
                raise InvalidInput(
                    f"The database {self._path} is from a newer version of rekolabels: its schema has "
                    f"version {version}, this release supports versions up to {len(migrations)}. Update "
                    "rekolabels, or choose another folder."
                )
            foreign = db.execute(_FOREIGN).fetchone()
            if foreign is not None:
                raise InvalidInput(
                    f"Cannot use the database {self._path}: rekolabels did not create the {foreign['type']} "
                    f"{foreign['name']!r} in it. Choose another folder."
                )
            for statement in ";".join(migrations[version:]).split(";"):
                db.execute(statement)
            if version < len(migrations):
                db.execute(f"PRAGMA user_version = {len(migrations)}")


def _is_locked(error: BaseException) -> bool:
    return (
        isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    )


def _pause_writers() -> None:
    """Wait until no write transaction is open: in a forked child it would never end, and SQLite counts it."""
    for database in list(_databases):
        lock = database.write_lock
        if lock.acquire(timeout=_FORK_TIMEOUT):
            _paused.append(lock)


def _resume_writers() -> None:
    while _paused:
        _paused.pop().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_pause_writers, after_in_parent=_resume_writers, after_in_child=_resume_writers
    )
