"""Object bodies in files, and the plain files that people look at.

The root folder holds two trees::

    <bucket>/<key>                                plain files, for people and their programs to read
    .rekolabels/bodies/<session>/<xx>/<name>      bodies, named by the index, written once, never changed

A session is the folder of one process, which holds a lock in it while it runs. Each version of an object has
a body of its own. A reader that has opened one keeps reading it while a writer adds the next, and a crash
leaves at worst a body that the index does not refer to; the next start removes it. A plain file is a hard
link to the body that the index holds for its key. The index never reads the plain tree, so a key that cannot
be a file name is stored and served like any other.

Plain files alone would not do: replacing an object would take two renames and a commit in one atomic step,
``a`` and ``a/b`` could not both exist, and a file system that folds case or Unicode would confuse keys.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from rekolabels.local._core._locks import FileLock

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from rekolabels.local._s3._index import StoredObject

__all__ = ["PRIVATE_FOLDER", "Disk", "plain_parts"]

PRIVATE_FOLDER = ".rekolabels"
"""The folder under the root that is not a bucket; bucket names cannot start with a dot."""

_WINDOWS = os.name == "nt"
# A plain file shares its bytes with the object, so it is read-only: an editor that saves in place would
# change the object but not its ETag. Windows cannot remove read-only files.
_MODE = 0o644 if _WINDOWS else 0o444
_MAX_NAME_BYTES = 255
_LOCK = "lock"
_SEPARATORS = re.compile(r"[\x00-\x1f\x7f\\]")
_NOT_ON_WINDOWS = re.compile(r'[<>:"|?*]|[. ]\Z|\A(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?\Z', re.IGNORECASE)


def plain_parts(key: str) -> tuple[str, ...] | None:
    r"""Return the path of a key's plain file below the bucket's folder; None when no file can have it.

    >>> plain_parts("train/dog.jpg")
    ('train', 'dog.jpg')
    >>> [plain_parts(key) for key in ("../dog.jpg", "/dog.jpg", "a//dog.jpg", "a/", "a\\b", "x" * 256)]
    [None, None, None, None, None, None]
    """
    parts = tuple(key.split("/"))
    return parts if all(_is_file_name(part) for part in parts) else None


def _is_file_name(name: str) -> bool:
    if name in {"", ".", ".."} or _SEPARATORS.search(name):
        return False
    if _WINDOWS and _NOT_ON_WINDOWS.search(name):
        return False
    return len(name.encode()) <= _MAX_NAME_BYTES


class Disk:
    """The files of one root folder, as seen by one process.

    Args:
        root: The root folder.
        fsync: Whether bodies are flushed to the disk before they are committed, so that they survive a loss
            of power.
    """

    def __init__(self, root: Path, *, fsync: bool) -> None:
        self.root = root
        self._bodies = root / PRIVATE_FOLDER / "bodies"
        self._fsync = fsync
        self._session = ""
        self._lock: FileLock | None = None

    # -- sessions --------------------------------------------------------------------------------------------

    def start_session(self) -> None:
        """Create the folder for the bodies that this process writes. Call within a write of the index."""
        self._session = secrets.token_hex(6)
        folder = self._bodies / self._session
        folder.mkdir(parents=True)
        self._lock = FileLock.acquire(folder / _LOCK)

    def end_session(self) -> None:
        """Release the folder of this process; the next process that starts cleans it up."""
        if self._lock is not None:
            self._lock.release()

    def remove_leftovers(self, referenced: Callable[[str], set[str]]) -> None:
        """Remove unreferenced bodies of sessions that have ended. Call within a write of the index.

        Args:
            referenced: Returns the bodies that the index refers to, among those with a given prefix.
        """
        for folder in self._bodies.iterdir():
            path = folder / _LOCK
            if folder.name == self._session or not path.exists():
                continue
            lock = FileLock.acquire(path)
            if lock is None:
                continue
            for shard in (entry for entry in folder.iterdir() if entry.is_dir()):
                kept = referenced(f"{folder.name}/{shard.name}/")
                for body in shard.iterdir():
                    if f"{folder.name}/{shard.name}/{body.name}" not in kept:
                        body.unlink(missing_ok=True)
                _remove_if_empty(shard)
            lock.release()
            path.unlink(missing_ok=True)
            _remove_if_empty(folder)

    # -- bodies ----------------------------------------------------------------------------------------------

    def path(self, body: str) -> str:
        """Return the path of a body."""
        return f"{self._bodies}{os.sep}{body}"

    @contextlib.contextmanager
    def new_body(self) -> Generator[tuple[str, int]]:
        """Create a body: yield its name and a file descriptor to write to. Remove it after an exception."""
        body, descriptor = self._create()
        try:
            try:
                yield body, descriptor
                if self._fsync:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except BaseException:
            self.remove(body)
            raise

    def _create(self) -> tuple[str, int]:
        body = self._new_name()
        path = self.path(body)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        while True:
            with contextlib.suppress(FileNotFoundError):
                return body, os.open(path, flags, _MODE)
            # This is the first body of its shard, or another process has just removed the empty shard.
            self._make_shard(body)

    def _new_name(self) -> str:
        name = secrets.token_hex(10)
        return f"{self._session}/{name[:2]}/{name}"

    def _make_shard(self, body: str) -> None:
        Path(self.path(body)).parent.mkdir(parents=True, exist_ok=True)

    def open(self, body: str) -> BinaryIO | None:
        """Open a body for reading; None when it was removed. The caller closes it."""
        try:
            return open(self.path(body), "rb", buffering=0)  # noqa: PTH123 - every GET runs this; pathlib is slower
        except FileNotFoundError:
            return None

    def duplicate(self, body: str) -> str:
        """Create a second body with the same bytes, as a hard link where the file system has them.

        Raises:
            FileNotFoundError: The body was removed, because its object was overwritten or deleted.
        """
        duplicate = self._new_name()
        self._make_shard(duplicate)
        try:
            _link_or_copy(self.path(body), self.path(duplicate))
        except OSError:
            self.remove(duplicate)
            raise
        return duplicate

    def remove(self, body: str) -> bool:
        """Remove a body; False when that must wait (on Windows, while a reader has it open)."""
        path = self.path(body)
        try:
            os.unlink(path)  # noqa: PTH108 - every change runs this
        except FileNotFoundError:
            pass
        except PermissionError:
            return False
        if not body.startswith(self._session):
            shard = Path(path).parent
            _remove_if_empty(shard)
            _remove_if_empty(shard.parent)
        return True

    # -- plain files -----------------------------------------------------------------------------------------

    def is_plain_path_free(self, stored: StoredObject) -> bool:
        """Return whether nothing exists at the path of an object's plain file."""
        parts = plain_parts(stored.key)
        return parts is not None and not os.path.lexists(self.root.joinpath(stored.bucket, *parts))

    def place_plain_file(self, stored: StoredObject, *, owns_path: bool) -> bool:
        """Make the plain file of an object a link to its body. Call within a write of the index.

        Args:
            stored: The object.
            owns_path: Whether a file that is already there was placed for this key. Any other file is left
                alone: it belongs to a key that differs only in case, or to the user.

        Returns:
            Whether the plain file has the object's content now.
        """
        parts = plain_parts(stored.key)
        if parts is None or not _is_file_name(stored.bucket):
            return False
        try:
            folder = self._folder(stored.bucket, parts[:-1], make=True)
            return folder is not None and self._replace(
                f"{folder}{os.sep}{parts[-1]}", self.path(stored.body), owns_path=owns_path
            )
        except OSError:
            # The path is too long for the system, or the disk is full: the object is safe in its body, but
            # a plain file with the old content must not stay.
            if owns_path:
                self.remove_plain_file(stored.bucket, stored.key)
            return False

    def _replace(self, target: str, source: str, *, owns_path: bool) -> bool:
        try:
            existing = os.lstat(target)
        except FileNotFoundError:
            _link_or_copy(source, target)
            return True
        if not owns_path or stat.S_ISDIR(existing.st_mode):
            return False
        if os.path.samestat(existing, os.lstat(source)):
            return True
        temporary = f"{self._bodies}{os.sep}{self._session}{os.sep}{secrets.token_hex(10)}"
        _link_or_copy(source, temporary)
        os.replace(temporary, target)  # noqa: PTH105 - every change runs this
        return True

    def remove_plain_file(self, bucket: str, key: str) -> None:
        """Remove the plain file of a key, and folders that become empty. Call within a write of the index."""
        parts = plain_parts(key)
        if parts is None:
            return
        with contextlib.suppress(OSError):
            folder = self._folder(bucket, parts[:-1], make=False)
            if folder is None:
                return
            target = Path(folder, parts[-1])
            target.unlink(missing_ok=True)
            for parent in list(target.parents)[: len(parts) - 1]:
                parent.rmdir()

    def _folder(self, bucket: str, parts: tuple[str, ...], *, make: bool) -> str | None:
        """Return the folder of a plain file; None when its path is taken. Never follow symbolic links."""
        folder = str(self.root)
        for part in (bucket, *parts):
            folder = f"{folder}{os.sep}{part}"
            try:
                mode = os.lstat(folder).st_mode
            except FileNotFoundError:
                if not make:
                    return None
                os.mkdir(folder)  # noqa: PTH102 - every change runs this
                continue
            if not stat.S_ISDIR(mode):
                return None
        return folder

    def make_bucket_folder(self, bucket: str) -> None:
        """Create the folder of a bucket, if its name can be a folder name."""
        if _is_file_name(bucket):
            with contextlib.suppress(FileExistsError):
                (self.root / bucket).mkdir()

    def remove_bucket_folder(self, bucket: str) -> None:
        """Remove the folder of a bucket, unless it holds other files."""
        if _is_file_name(bucket):
            _remove_if_empty(self.root / bucket)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _link_or_copy(source: str, target: str) -> None:
    """Create a hard link, or a copy where the file system has no links, or no more for this file."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
