"""Features by the content of the image, kept between trainings."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

__all__ = ["FeatureCache"]


class FeatureCache:
    """Keeps what was computed from an image, by the SHA-256 of its content and the engine that computed it.

    Safe between threads and processes. A cache only saves time: a file that cannot be opened, is damaged or
    is on a full disk is worked around, never an error.

    Args:
        path: An SQLite file, made when missing (its folder too); None keeps the features in memory.

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
        """Look up a value; None when it is not there."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            row = self._connection.execute("SELECT value FROM features WHERE key = ?", (key,)).fetchone()
            if row is not None and isinstance(row[0], bytes):
                return row[0]
        return None

    def put(self, key: str, value: bytes) -> None:
        """Store a value; an older one of the same key is replaced."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._connection.execute("INSERT OR REPLACE INTO features VALUES (?, ?)", (key, value))

    def close(self) -> None:
        """Close the file; afterwards nothing is found and nothing is kept."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _connect(path: Path | None) -> sqlite3.Connection:
    """Open the file; a damaged one is replaced, an impossible one gives way to memory."""
    if path is None:
        return _prepare(":memory:")
    with contextlib.suppress(OSError, sqlite3.Error):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _prepare(str(path))
        except sqlite3.OperationalError:
            raise  # locked, read-only or full: the file itself may be sound
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            return _prepare(str(path))
    return _prepare(":memory:")


def _prepare(name: str) -> sqlite3.Connection:
    connection = sqlite3.connect(name, timeout=10, isolation_level=None, check_same_thread=False)
    try:
        # After a crash of the machine the last features may be missing; they are computed again.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("CREATE TABLE IF NOT EXISTS features (key TEXT PRIMARY KEY, value BLOB)")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
