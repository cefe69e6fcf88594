"""The SQLite index: what exists, and where its body lies.

A change of the index is the one moment at which a change of S3 happens. SQLite's write-ahead log makes it
whole or not at all, lets readers go on meanwhile, and holds between threads and processes alike.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels.errors import InvalidInput
from rekolabels.local._s3._errors import S3Error

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

_VERSION = 1
_PATIENCE = 60.0  # seconds that a writer waits for the writers of other processes
_IDLE = 8  # connections that are kept for the next call

_SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY, region TEXT NOT NULL, created INTEGER NOT NULL
) WITHOUT ROWID;
-- Keys are UTF-8 bytes: they compare in the order in which S3 lists them, and a NUL is a byte like another.
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL, key BLOB NOT NULL, body TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    modified INTEGER NOT NULL, headers TEXT NOT NULL, checksums TEXT NOT NULL, parts TEXT NOT NULL,
    shown INTEGER NOT NULL, PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS objects_by_body ON objects (body);
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key BLOB NOT NULL, created INTEGER NOT NULL,
    headers TEXT NOT NULL, algorithm TEXT NOT NULL, kind TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS uploads_by_key ON uploads (bucket, key, id);
CREATE TABLE IF NOT EXISTS parts (
    upload TEXT NOT NULL, number INTEGER NOT NULL, body TEXT NOT NULL, size INTEGER NOT NULL,
    etag TEXT NOT NULL, modified INTEGER NOT NULL, checksums TEXT NOT NULL, PRIMARY KEY (upload, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS parts_by_body ON parts (body);
-- What the disk still has to follow after a commit: plain files to bring up to date, bodies to remove.
CREATE TABLE IF NOT EXISTS stale (
    bucket TEXT NOT NULL, key BLOB NOT NULL, shown INTEGER NOT NULL, PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS garbage (body TEXT PRIMARY KEY) WITHOUT ROWID;
"""


@attrs.frozen
class Bucket:
    """A bucket: its name, the Region that it was created for, and when (seconds since 1970)."""

    name: str
    region: str
    created: int


@attrs.frozen
class Stored:
    """An object as the index holds it."""

    bucket: str
    key: str
    body: str
    """The name of its body on the disk; a new one for each version."""
    size: int
    """Bytes."""
    etag: str
    """Without quotation marks; ends in ``-N`` when it was uploaded in N parts."""
    modified: int
    """Seconds since 1970: S3 knows no fractions."""
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])
    """The headers that come back with it, user metadata included; names in lower case."""
    checksums: Mapping[str, str] = attrs.field(factory=dict[str, str])
    """Base64 by algorithm (``crc32``)."""
    parts: tuple[int, ...] = ()
    """The sizes of the parts that it was uploaded in; empty when in one go."""
    shown: bool = False
    """Whether its plain file is there."""


class Index:
    """A pool of connections to the index of one root.

    Args:
        path: The file of the index; made if need be.
        fsync: Whether commits are forced to the disk, against a loss of power.

    Raises:
        InvalidInput: The file is no index, or was written by a newer rekolabels.
    """

    def __init__(self, path: Path, *, fsync: bool) -> None:
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
            self._prepare()
        except sqlite3.DatabaseError as error:
            self.close()
            raise InvalidInput(f"{path} cannot be used as the index of an S3 directory: {error}") from error

    def _prepare(self) -> None:
        with self._connection() as db:
            db.execute("PRAGMA journal_mode = WAL")
            version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            self.close()
            raise InvalidInput(
                f"{self._path} has version {version}, this rekolabels knows up to version {_VERSION}: "
                "update rekolabels, or use another folder"
            )
        if version < _VERSION:
            with self.writing() as db:
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {_VERSION}")

    def _connect(self) -> sqlite3.Connection:
        # Transactions are ours (isolation_level=None). A connection serves one call at a time, of any thread.
        db = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            db.execute(f"PRAGMA synchronous = {self._synchronous}")
        except sqlite3.Error:
            db.close()
            raise
        return db

    @contextlib.contextmanager
    def _connection(self) -> Generator[sqlite3.Connection]:
        with self._guard:
            if self._closed:
                raise S3Error("ServiceUnavailable")
            if self._process != os.getpid():
                # A forked child may neither use nor close its parent's connections.
                self._inherited += self._idle
                self._idle, self._process = [], os.getpid()
            db = self._idle.pop() if self._idle else None
        if db is None:
            db = self._connect()
        try:
            yield db
        finally:
            with self._guard:
                keep = not self._closed and len(self._idle) < _IDLE and not db.in_transaction
                if keep:
                    self._idle.append(db)
            if not keep:
                db.close()

    @contextlib.contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """A connection on which several reads see one state."""
        with self._connection() as db:
            db.execute("BEGIN")
            try:
                yield db
            finally:
                db.execute("ROLLBACK")

    @contextlib.contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """A connection that alone writes, among all processes; commits unless an exception passes."""
        with self._turn, self._connection() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def find(self, bucket: str, key: str) -> Stored | None:
        """One object, read by itself."""
        with self._connection() as db:
            return find_object(db, bucket, key)

    def close(self) -> None:
        """Close the connections; later calls fail with ``ServiceUnavailable``."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()


# -- buckets -------------------------------------------------------------------------------------------------


def find_bucket(db: sqlite3.Connection, name: str) -> Bucket | None:
    """One bucket."""
    row = db.execute("SELECT name, region, created FROM buckets WHERE name = ?", (name,)).fetchone()
    return None if row is None else Bucket(*row)


def all_buckets(db: sqlite3.Connection) -> list[Bucket]:
    """All buckets, by name."""
    return [Bucket(*row) for row in db.execute("SELECT name, region, created FROM buckets ORDER BY name")]


# -- objects -------------------------------------------------------------------------------------------------

_FIELDS = "bucket, key, body, size, etag, modified, headers, checksums, parts, shown"


def stored(row: tuple[Any, ...]) -> Stored:
    """A row of the table of objects as a value."""
    bucket, key, body, size, etag, modified, headers, checksums, parts, shown = row
    return Stored(
        bucket=bucket,
        key=key.decode(),
        body=body,
        size=size,
        etag=etag,
        modified=modified,
        headers=json.loads(headers),
        checksums=json.loads(checksums),
        parts=tuple(json.loads(parts)),
        shown=bool(shown),
    )


def find_object(db: sqlite3.Connection, bucket: str, key: str) -> Stored | None:
    """One object."""
    row = db.execute(
        f"SELECT {_FIELDS} FROM objects WHERE bucket = ? AND key = ?",  # noqa: S608 - constants
        (bucket, key.encode()),
    ).fetchone()
    return None if row is None else stored(row)


def objects_from(db: sqlite3.Connection, bucket: str, first: bytes, end: bytes | None) -> Iterator[Stored]:
    """The objects of a bucket with keys from ``first`` to below ``end`` (None: no end), in order."""
    upper = "" if end is None else " AND key < ?"
    rows = db.execute(
        f"SELECT {_FIELDS} FROM objects WHERE bucket = ? AND key >= ?{upper} ORDER BY key",  # noqa: S608 - the same
        (bucket, first) if end is None else (bucket, first, end),
    )
    return map(stored, rows)


def keep_object(db: sqlite3.Connection, new: Stored, old: Stored | None, *, free: bool) -> None:
    """Put an object in the place of the old one, and note what the disk has to follow.

    Args:
        db: The index.
        new: The object.
        old: What is there now.
        free: Whether there is no file where the plain file would be. Then whatever appears there is ours,
            also when a crash comes between placing it and remembering that.
    """
    db.execute(
        "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            new.bucket,
            new.key.encode(),
            new.body,
            new.size,
            new.etag,
            new.modified,
            json.dumps(dict(new.headers)),
            json.dumps(dict(new.checksums)),
            json.dumps(new.parts),
            False,
        ),
    )
    _note(db, new, old, ours=free)


def drop_object(db: sqlite3.Connection, old: Stored) -> None:
    """Take an object out, and note what the disk has to follow."""
    db.execute("DELETE FROM objects WHERE bucket = ? AND key = ?", (old.bucket, old.key.encode()))
    _note(db, old, old, ours=False)


def _note(db: sqlite3.Connection, about: Stored, old: Stored | None, *, ours: bool) -> None:
    # The note of an earlier change may still wait, and knows more about the plain file than the object does.
    db.execute(
        "INSERT INTO stale VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET shown = max(shown, excluded.shown)",
        (about.bucket, about.key.encode(), ours or (old is not None and old.shown)),
    )
    if old is not None:
        discard(db, old.body)


def discard(db: sqlite3.Connection, body: str) -> None:
    """Note a body that nothing refers to any more."""
    db.execute("INSERT OR IGNORE INTO garbage VALUES (?)", (body,))


def mark_shown(db: sqlite3.Connection, there: Stored, *, shown: bool) -> None:
    """Remember whether the plain file of an object is there."""
    if shown != there.shown:
        db.execute(
            "UPDATE objects SET shown = ? WHERE bucket = ? AND key = ?",
            (shown, there.bucket, there.key.encode()),
        )


def bodies_under(db: sqlite3.Connection, prefix: str) -> set[str]:
    """The bodies that objects and parts refer to, among those whose names start with a prefix."""
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    rows = db.execute(
        "SELECT body FROM objects WHERE body >= ?1 AND body < ?2"
        " UNION ALL SELECT body FROM parts WHERE body >= ?1 AND body < ?2",
        (prefix, end),
    )
    return {row[0] for row in rows}
