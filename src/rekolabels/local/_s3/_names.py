"""Names in the index that lead to files: buckets and bodies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rekolabels.local._core._workspace import refuse

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = ["body_parts", "check_index", "is_bucket_name", "is_session_name", "is_shard_name"]

_BUCKET_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]")
_RESERVED = re.compile(r"\A(?:xn--|sthree-|amzn-s3-demo-)|(?:-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)\Z")
_IP_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_BODY = re.compile(r"[0-9a-f]{12}/[0-9a-f]{2}/[0-9a-f]{20}")
_BODY_BYTES = 36
_BODY_PATTERN = "/".join("[0-9a-f]" * count for count in (12, 2, 20))
_SESSION = re.compile(r"[0-9a-f]{12}")
_SHARD = re.compile(r"[0-9a-f]{2}")


def is_bucket_name(name: str) -> bool:
    """Return whether "General purpose bucket naming rules" of the Amazon S3 User Guide allow a name."""
    return not (_BUCKET_NAME.fullmatch(name) is None or _RESERVED.search(name) or _IP_ADDRESS.fullmatch(name))


def body_parts(body: str) -> tuple[str, str, str]:
    """Return the session, the shard and the file name of a body.

    Raises:
        ValueError: It is not the name of a body.
    """
    if _BODY.fullmatch(body) is None:
        raise ValueError(f"Not the name of a body: {body!r}.")
    return body[:12], body[13:15], body[16:]


def is_session_name(name: str) -> bool:
    """Return whether a folder can be that of a session."""
    return _SESSION.fullmatch(name) is not None


def is_shard_name(name: str) -> bool:
    """Return whether a folder can be a shard of a session."""
    return _SHARD.fullmatch(name) is not None


def check_index(db: Connection, path: str) -> None:
    """Check the names in an index that was written by an unknown program.

    Args:
        db: A connection.
        path: The database, for the error.

    Raises:
        InvalidInput: A name is not of the form that the service writes.
    """
    for (bucket,) in db.execute("SELECT name FROM buckets UNION SELECT bucket FROM stale").fetchall():
        if not isinstance(bucket, str) or not is_bucket_name(bucket):
            raise refuse(path, f"has the bucket {bucket!r}, which is not a valid name")
    for (key,) in db.execute("SELECT key FROM stale").fetchall():
        if not _is_key(key):
            raise refuse(path, f"has the key {key!r}, which is not a valid name")
    for table in ("objects", "parts", "garbage"):
        # The index of the bodies answers this without reading the objects.
        rows = db.execute(
            f"SELECT body FROM {table} WHERE typeof(body) != 'text' OR"  # noqa: S608 - constants
            f" length(CAST(body AS BLOB)) != {_BODY_BYTES} OR body NOT GLOB '{_BODY_PATTERN}' LIMIT 1"
        ).fetchall()
        for (body,) in rows:
            raise refuse(path, f"has the body {body!r}, which is not a valid name")


def _is_key(key: object) -> bool:
    if not isinstance(key, bytes):
        return False
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True
