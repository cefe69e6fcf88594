"""The control plane's memory: one SQLite file (WAL) in the workspace, safe between threads and processes."""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
from typing import TYPE_CHECKING

from rekolabels.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

__all__ = ["SCHEMA_VERSION", "Store"]

SCHEMA_VERSION = 2
"""Raised with every change of the tables; a workspace with a higher one is refused."""

_WAIT_FOR_LOCK = 30.0

_SCHEMA = """
CREATE TABLE clock (last INTEGER NOT NULL);
INSERT INTO clock VALUES (0);

CREATE TABLE projects (
    arn TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    status TEXT NOT NULL,
    feature TEXT NOT NULL,
    auto_update TEXT,
    UNIQUE (account, region, name)
);

CREATE TABLE datasets (
    id INTEGER PRIMARY KEY,
    arn TEXT NOT NULL UNIQUE,
    project TEXT NOT NULL REFERENCES projects (arn),
    kind TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    status TEXT NOT NULL,
    message TEXT NOT NULL DEFAULT '',
    code TEXT,
    total INTEGER NOT NULL DEFAULT 0,
    labelled INTEGER NOT NULL DEFAULT 0,
    labels INTEGER NOT NULL DEFAULT 0,
    errors INTEGER NOT NULL DEFAULT 0,
    UNIQUE (project, kind)
);

CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    dataset INTEGER NOT NULL,
    source_ref TEXT NOT NULL,
    line TEXT NOT NULL,
    labelled INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    UNIQUE (dataset, source_ref)
);
CREATE INDEX entries_in_order ON entries (dataset, id);

CREATE TABLE entry_labels (
    dataset INTEGER NOT NULL,
    label TEXT NOT NULL,
    entry INTEGER NOT NULL,
    boxed INTEGER NOT NULL,
    PRIMARY KEY (dataset, label, entry)
) WITHOUT ROWID;
CREATE INDEX labels_of_entry ON entry_labels (entry);

CREATE TABLE versions (
    arn TEXT PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE,
    project TEXT NOT NULL REFERENCES projects (arn),
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    ended INTEGER,
    status TEXT NOT NULL,
    message TEXT NOT NULL DEFAULT '',
    min_units INTEGER,
    max_units INTEGER,
    billable INTEGER,
    request TEXT NOT NULL,
    results TEXT NOT NULL DEFAULT '{}',
    UNIQUE (project, name)
);

CREATE TABLE tags (
    arn TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (arn, name)
) WITHOUT ROWID;

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    arn TEXT NOT NULL,
    owner TEXT NOT NULL
);
"""

_SCHEMA_2 = """
CREATE TABLE policies (
    project TEXT NOT NULL REFERENCES projects (arn) ON DELETE CASCADE,
    name TEXT NOT NULL,
    revision TEXT NOT NULL,
    document TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (project, name)
) WITHOUT ROWID;

CREATE TABLE media_jobs (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    created INTEGER NOT NULL,
    ended INTEGER,
    status TEXT NOT NULL,
    token TEXT,
    request TEXT NOT NULL,
    results TEXT NOT NULL DEFAULT '{}',
    UNIQUE (account, region, token)
);
"""

_STEPS = (_SCHEMA, _SCHEMA_2)
"""What each version of the schema adds to the one before it."""


class Store:
    """A pool of connections to the workspace's database.

    Args:
        path: The database file; made when missing.

    Raises:
        InvalidInput: The file is no database of ours, comes from a newer version, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._closed = False
        # One writer at a time within the process: threads then queue up fairly instead of polling SQLite.
        self._writing = threading.Lock()
        try:
            self._prepare()
        except sqlite3.Error as error:
            self.close()
            raise InvalidInput(
                f"The workspace database {path} cannot be used: {error}. Mend it, or choose another folder."
            ) from error

    @contextlib.contextmanager
    def read(self) -> Generator[sqlite3.Connection]:
        """A connection for reading; what it sees stays the same until the block ends."""
        with self._connection() as db:
            db.execute("BEGIN")
            try:
                yield db
            finally:
                db.execute("ROLLBACK")

    @contextlib.contextmanager
    def write(self) -> Generator[sqlite3.Connection]:
        """A transaction that writes: everything in the block happens, or nothing when it raises."""
        with self._writing, self._connection() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def tick(self, db: sqlite3.Connection, now: float) -> int:
        """The time in milliseconds, never twice the same: ARNs are told apart by it."""
        (last,) = db.execute(
            "UPDATE clock SET last = max(last + 1, ?) RETURNING last", (int(now * 1000),)
        ).fetchone()
        return int(last)

    def close(self) -> None:
        """Close every idle connection; those in use close when they come back."""
        self._closed = True
        while True:
            try:
                db = self._idle.get_nowait()
            except queue.Empty:
                return
            db.close()

    @contextlib.contextmanager
    def _connection(self) -> Generator[sqlite3.Connection]:
        try:
            db = self._idle.get_nowait()
        except queue.Empty:
            db = self._open()
        try:
            yield db
        finally:
            if self._closed or db.in_transaction:
                db.close()
            else:
                self._idle.put(db)

    def _open(self) -> sqlite3.Connection:
        if self._closed:
            raise sqlite3.ProgrammingError("the workspace is closed")
        db = sqlite3.connect(
            self._path, timeout=_WAIT_FOR_LOCK, isolation_level=None, check_same_thread=False
        )
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA foreign_keys = ON")
        return db

    def _prepare(self) -> None:
        with self._connection() as db:
            db.execute("PRAGMA journal_mode = WAL")
        with self.write() as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise InvalidInput(
                    f"The workspace database {self._path} comes from a newer version of rekolabels (its "
                    f"schema is {version}, this version knows {SCHEMA_VERSION}). Update it, or choose "
                    "another folder."
                )
            if version < SCHEMA_VERSION:
                for statement in ";".join(_STEPS[version:]).split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
