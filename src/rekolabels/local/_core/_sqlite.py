"""One SQLite file for the threads and processes that share a workspace: a pool of connections."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from typing import TYPE_CHECKING

from rekolabels.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

__all__ = ["Closed", "Database"]

_PATIENCE = 60.0
"""Seconds that a writer waits for the writers of other processes."""
_IDLE = 8
"""Connections that are kept for the next call."""


class Closed(sqlite3.ProgrammingError):
    """The database was closed; its service has ended."""


class Database:
    """A pool of connections to one file.

    A change is whole or not at all, and readers go on meanwhile, between threads and processes alike: that is
    SQLite's write-ahead log.

    Args:
        path: The file; made when missing.
        steps: What each version of the schema adds to the one before it, as statements.
        fsync: Whether commits are forced to the disk, against a loss of power.

    Raises:
        InvalidInput: The file is no database, comes from a newer version of rekolabels, or cannot be written.
    """

    def __init__(self, path: Path, steps: Sequence[str], *, fsync: bool = False) -> None:
        self._path = path
        self._synchronous = "FULL" if fsync else "NORMAL"
        # Threads of one process queue here: SQLite's own waiting is by sleeping and trying again.
        self._turn = threading.Lock()
        self._guard = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._inherited: list[sqlite3.Connection] = []
        self._process = os.getpid()
        self._closed = False
        try:
            self._prepare(steps)
        except sqlite3.Error as error:
            self.close()
            raise InvalidInput(
                f"The database {path} cannot be used: {error}. It must be intact, in a folder that can be "
                "written; or choose another folder."
            ) from error
        except InvalidInput:
            self.close()
            raise

    @contextlib.contextmanager
    def read(self) -> Generator[sqlite3.Connection]:
        """A connection on which several reads see one state.

        Raises:
            Closed: The database was closed.
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
        """A connection that alone writes, among all processes; commits unless an exception passes.

        Raises:
            Closed: The database was closed.
        """
        with self._turn, self._connection() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                # SQLite may have ended the transaction by itself, for example on a full disk.
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connections; those in use close when they come back."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()

    @contextlib.contextmanager
    def _connection(self) -> Generator[sqlite3.Connection]:
        db = self._take() or self._connect()
        try:
            yield db
        finally:
            with self._guard:
                keep = not self._closed and len(self._idle) < _IDLE and not db.in_transaction
                if keep:
                    self._idle.append(db)
            if not keep:
                db.close()

    def _take(self) -> sqlite3.Connection | None:
        with self._guard:
            if self._closed:
                raise Closed("the database is closed")
            if self._process != os.getpid():
                # A forked child may neither use nor close its parent's connections.
                self._inherited += self._idle
                self._idle, self._process = [], os.getpid()
            return self._idle.pop() if self._idle else None

    def _connect(self) -> sqlite3.Connection:
        # Transactions are ours (isolation_level=None). A connection serves one call at a time, of any thread.
        db = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            db.row_factory = sqlite3.Row
            db.execute(f"PRAGMA synchronous = {self._synchronous}")
            db.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error:
            db.close()
            raise
        return db

    def _prepare(self, steps: Sequence[str]) -> None:
        with self._connection() as db:
            db.execute("PRAGMA journal_mode = WAL")
        # Also where nothing is to be done: a file that cannot be written shall be told of now.
        with self.write() as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > len(steps):
                raise InvalidInput(
                    f"The database {self._path} comes from a newer version of rekolabels: its schema is "
                    f"version {version}, this one knows up to version {len(steps)}. Update rekolabels, or "
                    "choose another folder."
                )
            for statement in ";".join(steps[version:]).split(";"):
                db.execute(statement)
            if version < len(steps):
                db.execute(f"PRAGMA user_version = {len(steps)}")
