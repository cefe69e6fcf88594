"""Temporary folders that the next process removes when their own process was killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from rekolabels._files._folders import FileLock, Folder, lock_file

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["TemporaryFolder"]

_PREFIX = "rekolabels-"
_LOCK = ".temporary"
"""A file that the owner of the folder holds locked. It contains the folder's name: a copy of the folder, or a
folder that the user made, is never removed."""


class TemporaryFolder:
    """A folder in the system's folder for temporary files, for the user only.

    A context manager. `close` removes the folder, at the end of the process at the latest. A killed process
    cannot do that, so each new folder first removes those of the user's processes that no longer run.

    Attributes:
        path: The folder.
    """

    def __init__(self) -> None:
        _remove_abandoned()
        lock = None
        while lock is None:  # another process may test the lock of the new folder at this moment
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
            with Folder(self.path) as folder:
                lock = lock_file(folder, _LOCK)
            if lock is None:
                shutil.rmtree(self.path, ignore_errors=True)
        os.write(lock.descriptor, self.path.name.encode())
        self._finalizer = weakref.finalize(self, _remove, self.path, lock, os.getpid())

    def close(self) -> None:
        """Remove the folder with everything in it. Idempotent; forks of the process do nothing."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _remove(path: Path, lock: FileLock, process: int) -> None:
    if process == os.getpid():
        with contextlib.suppress(OSError), Folder(path.parent.resolve()) as parent:
            _remove_locked(parent, path.name, lock)


def _remove_locked(parent: Folder, name: str, lock: FileLock) -> None:
    """Remove a folder whose lock is held; the lock's file last, so that an interrupted removal is resumed."""
    with contextlib.suppress(OSError), parent.folder(name) as folder:
        for entry in folder.entries():
            if entry.is_dir(follow_symlinks=False):
                folder.remove_tree(entry.name)
            elif entry.name != _LOCK:
                with contextlib.suppress(OSError):
                    folder.remove_file(entry.name)
        lock.release()  # Windows does not remove open files
        with contextlib.suppress(OSError):
            folder.remove_file(_LOCK)
    lock.release()
    parent.remove_if_empty(name)


def _remove_abandoned() -> None:
    """Remove the folders of this user's processes that were killed."""
    with contextlib.suppress(OSError), Folder(Path(tempfile.gettempdir()).resolve()) as parent:
        for entry in parent.entries():
            if entry.name.startswith(_PREFIX) and entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    _remove_if_abandoned(parent, entry.name)


def _remove_if_abandoned(parent: Folder, name: str) -> None:
    with parent.folder(name) as folder:
        if not folder.is_mine():
            return
        lock = lock_file(folder, _LOCK, create=False)
        if lock is None:
            return
        if os.read(lock.descriptor, 256) == name.encode():
            _remove_locked(parent, name, lock)
        lock.release()
