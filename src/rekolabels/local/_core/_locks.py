"""File locks that the operating system releases when their process ends, however it ends."""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FileLock", "OwnerLock", "is_owner_alive"]

if sys.platform == "win32":  # pragma: no cover - the operating system decides
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """An exclusive lock on a file, held until it is released or the process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, path: Path, *, create: bool = True) -> FileLock | None:
        """Lock a file without waiting.

        Args:
            path: The file.
            create: Whether to create the file when it is missing.

        Returns:
            The lock; None when another holder has it.

        Raises:
            OSError: The file cannot be opened.
        """
        descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
        try:
            _lock(descriptor)
        except OSError:
            os.close(descriptor)
            return None
        return cls(descriptor)

    def release(self) -> None:
        """Release the lock and keep the file. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)


class OwnerLock:
    """Proof that a service is alive: a locked file with a unique name, which its jobs are stored under.

    Args:
        folder: The folder of these files; created when missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = uuid.uuid4().hex
        self._path = folder / self.name
        self._lock = FileLock.acquire(self._path)

    def release(self) -> None:
        """Release the lock and remove its file. Idempotent."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None
            with contextlib.suppress(OSError):
                self._path.unlink()


def is_owner_alive(folder: Path, name: str) -> bool:
    """Return whether the owner with this name still holds its lock; remove the file of a dead owner."""
    path = folder / name
    try:
        lock = FileLock.acquire(path, create=False)
    except OSError:
        return False
    if lock is None:
        return True
    lock.release()
    with contextlib.suppress(OSError):
        path.unlink()
    return False
