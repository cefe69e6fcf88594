"""Cache of image features on the disk, shared by trainings."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from typing import TYPE_CHECKING

from rekolabels._files import FOLDER_MODE, create_private_file

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

__all__ = ["FeatureCache"]


class FeatureCache:
    """Cache of features, by the image's SHA-256 and the network that computed them.

    Safe to use from several threads and processes. The cache only saves time, so a file that cannot be
    opened, is damaged, or is on a full disk is never an error.

    Args:
        path: An SQLite file; it and its folder are created when missing. None keeps the features in memory.

    Examples:
        >>> with FeatureCache(None) as cache:
        ...     cache.put("a", b"1")
        ...     cache.get("a"), cache.get("b")
        (b'1', None)
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._connection = _connect(path)

    def get(self, key: str) -> bytes | None:
        """Return a value; None when it is missing."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            row = self._connection.execute("SELECT value FROM features WHERE key = ?", (key,)).fetchone()
            if row is not None and isinstance(row[0], bytes):
                return row[0]
        return None

    def put(self, key: str, value: bytes) -> None:
        """Store a value, or replace it."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._connection.execute("INSERT OR REPLACE INTO features VALUES (?, ?)", (key, value))

    def close(self) -> None:
        """Close the file; afterwards `get` returns None and `put` does nothing."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _connect(path: Path | None) -> sqlite3.Connection:
    """Open the file. Replace a damaged one; use memory when the file cannot be used."""
    if path is None:
        return _open(":memory:")
    with contextlib.suppress(OSError, sqlite3.Error):
        path.parent.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        create_private_file(path)
        try:
            return _open(str(path))
        except sqlite3.OperationalError:
            raise  # locked, read-only or full: the file itself may be intact
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            create_private_file(path)
            return _open(str(path))
    return _open(":memory:")


def _open(name: str) -> sqlite3.Connection:
    connection = sqlite3.connect(name, timeout=10, isolation_level=None, check_same_thread=False)
    try:
        # Losing the last features in a crash of the machine is harmless, so never wait for the disk.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("CREATE TABLE IF NOT EXISTS features (key TEXT PRIMARY KEY, value BLOB)")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
