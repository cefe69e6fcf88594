"""The SQLite index: what exists, and where its body lies.

A commit of the index is the one moment at which a change of S3 happens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from rekolabels.local._core._sqlite import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from sqlite3 import Connection, Row

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


class Index(Database):
    """The index of one root.

    Args:
        path: The file of the index; made if need be.
        fsync: Whether commits are forced to the disk, against a loss of power.

    Raises:
        InvalidInput: The file is no index, or was written by a newer rekolabels.
    """

    def __init__(self, path: Path, *, fsync: bool) -> None:
        super().__init__(path, [_SCHEMA], fsync=fsync)

    def find(self, bucket: str, key: str) -> Stored | None:
        """One object, read by itself."""
        with self._connection() as db:
            return find_object(db, bucket, key)


# -- buckets -------------------------------------------------------------------------------------------------


def find_bucket(db: Connection, name: str) -> Bucket | None:
    """One bucket."""
    row = db.execute("SELECT name, region, created FROM buckets WHERE name = ?", (name,)).fetchone()
    return None if row is None else Bucket(*row)


def all_buckets(db: Connection) -> list[Bucket]:
    """All buckets, by name."""
    return [Bucket(*row) for row in db.execute("SELECT name, region, created FROM buckets ORDER BY name")]


# -- objects -------------------------------------------------------------------------------------------------

_FIELDS = "bucket, key, body, size, etag, modified, headers, checksums, parts, shown"


def stored(row: Row) -> Stored:
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


def find_object(db: Connection, bucket: str, key: str) -> Stored | None:
    """One object."""
    row = db.execute(
        f"SELECT {_FIELDS} FROM objects WHERE bucket = ? AND key = ?",  # noqa: S608 - constants
        (bucket, key.encode()),
    ).fetchone()
    return None if row is None else stored(row)


def objects_from(db: Connection, bucket: str, first: bytes, end: bytes | None) -> Iterator[Stored]:
    """The objects of a bucket with keys from ``first`` to below ``end`` (None: no end), in order."""
    upper = "" if end is None else " AND key < ?"
    rows = db.execute(
        f"SELECT {_FIELDS} FROM objects WHERE bucket = ? AND key >= ?{upper} ORDER BY key",  # noqa: S608 - the same
        (bucket, first) if end is None else (bucket, first, end),
    )
    return map(stored, rows)


def keep_object(db: Connection, new: Stored, old: Stored | None, *, free: bool) -> None:
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


def drop_object(db: Connection, old: Stored) -> None:
    """Take an object out, and note what the disk has to follow."""
    db.execute("DELETE FROM objects WHERE bucket = ? AND key = ?", (old.bucket, old.key.encode()))
    _note(db, old, old, ours=False)


def _note(db: Connection, about: Stored, old: Stored | None, *, ours: bool) -> None:
    # The note of an earlier change may still wait, and knows more about the plain file than the object does.
    db.execute(
        "INSERT INTO stale VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET shown = max(shown, excluded.shown)",
        (about.bucket, about.key.encode(), ours or (old is not None and old.shown)),
    )
    if old is not None:
        discard(db, old.body)


def discard(db: Connection, body: str) -> None:
    """Note a body that nothing refers to any more."""
    db.execute("INSERT OR IGNORE INTO garbage VALUES (?)", (body,))


def mark_shown(db: Connection, there: Stored, *, shown: bool) -> None:
    """Remember whether the plain file of an object is there."""
    if shown != there.shown:
        db.execute(
            "UPDATE objects SET shown = ? WHERE bucket = ? AND key = ?",
            (shown, there.bucket, there.key.encode()),
        )


def bodies_under(db: Connection, prefix: str) -> set[str]:
    """The bodies that objects and parts refer to, among those whose names start with a prefix."""
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    rows = db.execute(
        "SELECT body FROM objects WHERE body >= ?1 AND body < ?2"
        " UNION ALL SELECT body FROM parts WHERE body >= ?1 AND body < ?2",
        (prefix, end),
    )
    return {row[0] for row in rows}
