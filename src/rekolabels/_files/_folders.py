"""Private files: readable by the user only, reached without following links, locked until a process ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import threading
import weakref
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

__all__ = [
    "FILE_MODE",
    "FOLDER_MODE",
    "FileLock",
    "Folder",
    "create_private_file",
    "lock_file",
    "open_private",
]

FILE_MODE = 0o600
FOLDER_MODE = 0o700

_HAS_HANDLES = os.open in os.supports_dir_fd
"""Whether the system opens files relative to an open folder; Windows does not."""
# O_NONBLOCK: opening a pipe that was put there must not wait for a writer.
_SAFE = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_READ = os.O_RDONLY | _SAFE
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _SAFE

if sys.platform == "win32":  # pragma: no cover - the operating system decides
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Folder:
    """An open folder. What is done through it stays in it, even when its path later leads elsewhere.

    Every name is a single component, and a symbolic link is never followed: opening one raises `OSError`.
    On Windows, which does not open files relative to a folder, the folder's path is used.

    Args:
        path: The folder. Links above it are followed, but it is not one itself.
        descriptor: An open descriptor of it, which this object closes; None to open the path.

    Raises:
        OSError: The folder is missing, is a symbolic link, or cannot be opened.
    """

    def __init__(self, path: str | Path, descriptor: int | None = None) -> None:
        self.path = str(path)
        self._descriptor = -1
        if descriptor is not None:
            self._descriptor = descriptor
        elif _HAS_HANDLES:
            self._descriptor = os.open(path, _FOLDER)
        elif not stat.S_ISDIR(os.lstat(path).st_mode):
            raise NotADirectoryError(f"Not a folder: {path}")

    def folder(self, name: str, *, create: bool = False) -> Folder:
        """Open a folder in this one.

        Args:
            name: Its name.
            create: Whether to create it when it is missing, for the user only.
        """
        try:
            return self._open_folder(name)
        except FileNotFoundError:
            if not create:
                raise
        with contextlib.suppress(FileExistsError):
            self.make_folder(name)
        return self._open_folder(name)

    def _open_folder(self, name: str) -> Folder:
        path = f"{self.path}{os.sep}{name}"
        if _HAS_HANDLES:
            return Folder(path, os.open(name, _FOLDER, dir_fd=self._descriptor))
        return Folder(path)

    def make_folder(self, name: str) -> None:
        """Create a folder, for the user only."""
        os.mkdir(self._at(name), FOLDER_MODE, **self._here)  # noqa: PTH102 - relative to the folder

    def open(self, name: str, flags: int, mode: int = FILE_MODE) -> int:
        """Return a descriptor of a file, as `os.open` does."""
        if not _HAS_HANDLES and self.is_link(name):
            raise OSError(f"A symbolic link: {self._at(name)}")
        return os.open(self._at(name), flags | _SAFE, mode, **self._here)

    def open_below(self, folder: str, name: str) -> int:
        """Return a descriptor for reading of a file in a folder of this one."""
        if not _HAS_HANDLES:
            with self.folder(folder) as below:
                return below.open(name, os.O_RDONLY)
        # Without an object for the folder in between: every GET of an object comes here.
        descriptor = os.open(folder, _FOLDER, dir_fd=self._descriptor)
        try:
            return os.open(name, _READ, dir_fd=descriptor)
        finally:
            os.close(descriptor)

    def stat(self, name: str) -> os.stat_result:
        """Return the properties of a file, folder or link."""
        return os.lstat(self._at(name), **self._here)

    def exists(self, name: str) -> bool:
        """Return whether there is a file, folder or link with this name."""
        try:
            self.stat(name)
        except FileNotFoundError:
            return False
        return True

    def is_link(self, name: str) -> bool:
        """Return whether a symbolic link has this name."""
        try:
            return stat.S_ISLNK(self.stat(name).st_mode)
        except FileNotFoundError:
            return False

    def entries(self) -> list[os.DirEntry[str]]:
        """Return what is in the folder."""
        with os.scandir(self._descriptor if _HAS_HANDLES else self.path) as entries:
            return list(entries)

    def remove_file(self, name: str) -> None:
        """Remove a file or a link."""
        os.unlink(self._at(name), **self._here)

    def remove_if_empty(self, name: str) -> None:
        """Remove a folder unless something is in it."""
        with contextlib.suppress(OSError):
            os.rmdir(self._at(name), **self._here)

    def remove_tree(self, name: str) -> None:
        """Remove a folder with everything in it, as far as possible. Links in it are not followed."""
        if _HAS_HANDLES:
            shutil.rmtree(name, ignore_errors=True, dir_fd=self._descriptor)
        elif not self.is_link(name):
            shutil.rmtree(self._at(name), ignore_errors=True)

    def link(self, name: str, target: Folder, target_name: str, *, copy_mode: int) -> None:
        """Give a file a second name, in another folder; copy it where the file system has no hard links.

        Args:
            name: The file.
            target: The folder of the second name.
            target_name: The second name, which must be free.
            copy_mode: The mode of a copy.
        """
        here: dict[str, Any] = {}
        if _HAS_HANDLES:
            here = {
                "src_dir_fd": self._descriptor,
                "dst_dir_fd": target._descriptor,
                "follow_symlinks": False,
            }
        try:
            os.link(self._at(name), target._at(target_name), **here)
        except FileNotFoundError:
            raise
        except OSError:
            with (
                open(self.open(name, os.O_RDONLY), "rb") as source,  # noqa: PTH123 - a descriptor
                open(  # noqa: PTH123 - a descriptor
                    target.open(target_name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, copy_mode), "wb"
                ) as copy,
            ):
                shutil.copyfileobj(source, copy)

    def move(self, name: str, target: Folder, target_name: str) -> None:
        """Move a file into another folder; replace the file that is there."""
        here: dict[str, int] = {}
        if _HAS_HANDLES:
            here = {"src_dir_fd": self._descriptor, "dst_dir_fd": target._descriptor}
        os.replace(self._at(name), target._at(target_name), **here)  # noqa: PTH105 - relative to the folders

    def is_mine(self) -> bool:
        """Return whether the folder belongs to the user of this process."""
        return not _HAS_HANDLES or os.fstat(self._descriptor).st_uid == os.geteuid()

    def close(self) -> None:
        """Close the folder. Idempotent; it also happens when the object is collected."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            self.close()

    def _at(self, name: str) -> str:
        return name if _HAS_HANDLES else f"{self.path}{os.sep}{name}"

    @property
    def _here(self) -> dict[str, Any]:
        return {"dir_fd": self._descriptor} if _HAS_HANDLES else {}


# -- locks ---------------------------------------------------------------------------------------------------


class FileLock:
    """An exclusive lock on a file, held until it is released or the process ends. Forks do not share it.

    Args:
        descriptor: The locked file.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        _locks.add(self)

    def release(self) -> None:
        """Release the lock and keep the file. Idempotent."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)


_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _forget_locks() -> None:
    # A child would keep the locks of its parent alive after the parent's death. The descriptors are copies:
    # closing them releases nothing in the parent.
    for lock in list(_locks):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)


def lock_file(folder: Folder, name: str, *, create: bool = True) -> FileLock | None:
    """Lock a file without waiting.

    Args:
        folder: The folder of the file.
        name: The name of the file.
        create: Whether to create the file when it is missing.

    Returns:
        The lock; None when another holder has it.

    Raises:
        OSError: The file cannot be opened.
    """
    descriptor = folder.open(name, os.O_RDWR | (os.O_CREAT if create else 0))
    try:
        _lock(descriptor)
    except OSError:
        os.close(descriptor)
        return None
    return FileLock(descriptor)


# -- files by path -------------------------------------------------------------------------------------------

_creation = threading.Lock()


def create_private_file(path: Path) -> None:
    """Create an empty file that only the user can read, unless it exists.

    For SQLite, which gives the files next to a database the mode of the database.

    Raises:
        OSError: It cannot be created.
    """
    # Closing any descriptor of a file drops the process's SQLite locks on it: no thread may have opened the
    # file before it is closed here, and a file that exists is not touched.
    with _creation, contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE, FILE_MODE))


def open_private(path: Path, mode: str) -> IO[Any]:
    """Open a file as `open` does, but not through a link; only the user can read a new one. Text is UTF-8."""
    encoding = None if "b" in mode else "utf-8"
    return open(path, mode, encoding=encoding, opener=_open_private)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | _SAFE, FILE_MODE)
