"""SQLite index of buckets, objects and uploads, and the listings made from it.

Every change takes effect with one commit of the index; the files on the disk follow it.
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

__all__ = [
    "Bucket",
    "Index",
    "ListPage",
    "ListQuery",
    "ObjectPart",
    "StoredObject",
    "add_garbage",
    "all_buckets",
    "bodies_with_prefix",
    "find_bucket",
    "find_object",
    "key_after",
    "key_after_prefix",
    "list_page",
    "put_object",
    "remove_object",
    "set_headers",
    "set_plain_file",
    "set_setting",
]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY, region TEXT NOT NULL, created INTEGER NOT NULL
) WITHOUT ROWID;
-- Keys are UTF-8 bytes: they sort in the order of S3's listings, and may hold NUL.
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
-- What remains to be done on the disk after a commit: plain files to update, bodies to remove.
CREATE TABLE IF NOT EXISTS stale (
    bucket TEXT NOT NULL, key BLOB NOT NULL, shown INTEGER NOT NULL, PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS garbage (body TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_SETTINGS_AND_PARTS = """
CREATE TABLE settings (
    bucket TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (bucket, name)
) WITHOUT ROWID;
-- Uploads that were completed: a client that lost the response repeats its request.
CREATE TABLE completed (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key BLOB NOT NULL, etag TEXT NOT NULL, checksums TEXT NOT NULL,
    headers TEXT NOT NULL, time INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX completed_by_time ON completed (time);
-- Each part was its size, and is now its size and its checksums.
UPDATE objects SET parts = (
    SELECT json_group_array(json_array(value, json('{}'))) FROM json_each(objects.parts)
) WHERE parts != '[]';
"""


@attrs.frozen
class Bucket:
    """A bucket."""

    name: str
    region: str
    """Region that it was created in."""
    created: int
    """Seconds since 1970."""


@attrs.frozen
class ObjectPart:
    """A part of an object that was uploaded in parts."""

    size: int
    """Bytes."""
    checksums: Mapping[str, str] = attrs.field(factory=dict[str, str])
    """Base64 by algorithm."""


@attrs.frozen
class StoredObject:
    """An object in the index."""

    bucket: str
    key: str
    body: str
    """Name of its body on the disk; each version of an object has a body of its own."""
    size: int
    """Bytes."""
    etag: str
    """Unquoted; ends in ``-N`` after an upload in N parts."""
    modified: int
    """Whole seconds since 1970, as in S3."""
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])
    """Headers of the request that are kept, user metadata, tags and the ACL included; by lower-case name."""
    checksums: Mapping[str, str] = attrs.field(factory=dict[str, str])
    """Base64 by algorithm (``crc32``)."""
    parts: tuple[ObjectPart, ...] = ()
    """Empty unless it was uploaded in parts."""
    has_plain_file: bool = False
    """Whether its plain file exists."""


class Index(Database):
    """The index of one root folder.

    Args:
        path: The SQLite file; created when missing.
        fsync: Whether every commit is flushed to the disk, so that it survives a loss of power.

    Raises:
        InvalidInput: The file is not an index, or a newer version of rekolabels wrote it.
    """

    def __init__(self, path: Path, *, fsync: bool) -> None:
        super().__init__(path, [_SCHEMA, _SETTINGS_AND_PARTS], fsync=fsync)

    def find(self, bucket: str, key: str) -> StoredObject | None:
        """Return an object, or None; one read without a transaction."""
        with self._connection() as db:
            return find_object(db, bucket, key)


# -- buckets -------------------------------------------------------------------------------------------------


def find_bucket(db: Connection, name: str) -> Bucket | None:
    """Return a bucket, or None."""
    row = db.execute("SELECT name, region, created FROM buckets WHERE name = ?", (name,)).fetchone()
    return None if row is None else Bucket(*row)


def all_buckets(db: Connection) -> list[Bucket]:
    """Return all buckets, sorted by name."""
    return [Bucket(*row) for row in db.execute("SELECT name, region, created FROM buckets ORDER BY name")]


def set_setting(db: Connection, bucket: str, name: str, value: str) -> None:
    """Set or replace a setting of a bucket."""
    db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?, ?)", (bucket, name, value))


# -- objects -------------------------------------------------------------------------------------------------

_FIELDS = "bucket, key, body, size, etag, modified, headers, checksums, parts, shown"


def _object_from_row(row: Row) -> StoredObject:
    bucket, key, body, size, etag, modified, headers, checksums, parts, shown = row
    return StoredObject(
        bucket=bucket,
        key=key.decode(),
        body=body,
        size=size,
        etag=etag,
        modified=modified,
        headers=json.loads(headers),
        checksums=json.loads(checksums),
        parts=() if parts == "[]" else tuple(ObjectPart(*part) for part in json.loads(parts)),
        has_plain_file=bool(shown),
    )


def find_object(db: Connection, bucket: str, key: str) -> StoredObject | None:
    """Return an object, or None."""
    row = db.execute(
        f"SELECT {_FIELDS} FROM objects WHERE bucket = ? AND key = ?",  # noqa: S608 - constants
        (bucket, key.encode()),
    ).fetchone()
    return None if row is None else _object_from_row(row)


def put_object(db: Connection, new: StoredObject, old: StoredObject | None, *, path_is_free: bool) -> None:
    """Insert or replace an object, and record what is left to do on the disk.

    Args:
        db: A connection with a write transaction.
        new: The object.
        old: The object that it replaces.
        path_is_free: Whether nothing exists at the path of the plain file. Then any file that appears there
            later is ours, even if a crash prevents us from recording that we placed it.
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
            json.dumps([(part.size, dict(part.checksums)) for part in new.parts]),
            False,
        ),
    )
    _record_change(db, new, old, owns_path=path_is_free)


def set_headers(db: Connection, stored: StoredObject, headers: Mapping[str, str]) -> None:
    """Replace the kept headers of an object."""
    db.execute(
        "UPDATE objects SET headers = ? WHERE bucket = ? AND key = ?",
        (json.dumps(dict(headers)), stored.bucket, stored.key.encode()),
    )


def remove_object(db: Connection, old: StoredObject) -> None:
    """Remove an object, and record what is left to do on the disk."""
    db.execute("DELETE FROM objects WHERE bucket = ? AND key = ?", (old.bucket, old.key.encode()))
    _record_change(db, old, old, owns_path=False)


def _record_change(
    db: Connection, changed: StoredObject, old: StoredObject | None, *, owns_path: bool
) -> None:
    # A pending record of an earlier change may know that the plain file is ours when the object does not.
    db.execute(
        "INSERT INTO stale VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET shown = max(shown, excluded.shown)",
        (changed.bucket, changed.key.encode(), owns_path or (old is not None and old.has_plain_file)),
    )
    if old is not None:
        add_garbage(db, old.body)


def add_garbage(db: Connection, body: str) -> None:
    """Record that a body is no longer referenced and can be removed."""
    db.execute("INSERT OR IGNORE INTO garbage VALUES (?)", (body,))


def set_plain_file(db: Connection, stored: StoredObject, *, exists: bool) -> None:
    """Record whether the plain file of an object exists."""
    if exists != stored.has_plain_file:
        db.execute(
            "UPDATE objects SET shown = ? WHERE bucket = ? AND key = ?",
            (exists, stored.bucket, stored.key.encode()),
        )


def bodies_with_prefix(db: Connection, prefix: str) -> set[str]:
    """Return the names of the referenced bodies (of objects and parts) that start with a prefix."""
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    rows = db.execute(
        "SELECT body FROM objects WHERE body >= ?1 AND body < ?2"
        " UNION ALL SELECT body FROM parts WHERE body >= ?1 AND body < ?2",
        (prefix, end),
    )
    return {row[0] for row in rows}


# -- listings ------------------------------------------------------------------------------------------------


@attrs.frozen
class ListQuery:
    """Parameters of a listing of keys."""

    prefix: str = ""
    """Only list keys with this prefix."""
    delimiter: str = ""
    """Group keys that contain it after the prefix into one common prefix; empty for no grouping."""
    first: bytes = b""
    """Smallest key to list."""
    limit: int = 1000
    """Maximum number of entries: objects and common prefixes together."""


@attrs.frozen
class ListPage:
    """One page of a listing."""

    objects: tuple[StoredObject, ...]
    prefixes: tuple[str, ...]
    """Common prefixes."""
    next_key: bytes | None
    """Smallest key of the next page; None on the last page."""
    last: str
    """Last entry of this page, a key or a common prefix; empty when the page is empty."""


def key_after(key: bytes) -> bytes:
    """Return the smallest key greater than this one."""
    return key + b"\0"


def key_after_prefix(prefix: bytes) -> bytes:
    """Return the smallest key greater than all keys with this prefix; UTF-8 has no byte 0xFF to overflow."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


def list_page(db: Connection, bucket: str, query: ListQuery) -> ListPage:
    """Return one page of the keys of a bucket, in the order of their UTF-8 bytes."""
    prefix, delimiter = query.prefix.encode(), query.delimiter.encode()
    end = key_after_prefix(prefix) if prefix else None
    cursor = max(query.first, prefix)
    objects: list[StoredObject] = []
    prefixes: list[str] = []
    last = ""
    scanning = query.limit > 0
    while scanning:
        scanning = False
        for found in _iter_objects(db, bucket, cursor, end):
            key = found.key.encode()
            if key < cursor:
                # Within a common prefix that is listed already: query again from the first key after it.
                scanning = True
                break
            if len(objects) + len(prefixes) == query.limit:
                return ListPage(tuple(objects), tuple(prefixes), cursor, last)
            at = key.find(delimiter, len(prefix)) if delimiter else -1
            if at < 0:
                objects.append(found)
                last = found.key
                cursor = key_after(key)
            else:
                common = key[: at + len(delimiter)]
                last = common.decode()
                prefixes.append(last)
                cursor = key_after_prefix(common)
    return ListPage(tuple(objects), tuple(prefixes), None, last)


def _iter_objects(db: Connection, bucket: str, first: bytes, end: bytes | None) -> Iterator[StoredObject]:
    """Iterate over the objects with ``first <= key < end`` (None: no end), in order."""
    upper = "" if end is None else " AND key < ?"
    rows = db.execute(
        f"SELECT {_FIELDS} FROM objects WHERE bucket = ? AND key >= ?{upper} ORDER BY key",  # noqa: S608 - the same
        (bucket, first) if end is None else (bucket, first, end),
    )
    return map(_object_from_row, rows)
