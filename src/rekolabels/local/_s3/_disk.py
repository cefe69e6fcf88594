"""Object bodies in files, and the plain files that people look at.

The root folder holds two trees::

    <bucket>/<key>                                plain files, for people and their programs to read
    .rekolabels/bodies/<session>/<xx>/<name>      bodies, named by the index, written once, never changed

A session is the folder of one process, which holds a lock in it while it runs. Each version of an object has
a body of its own. A reader that has opened one keeps reading it while a writer adds the next, and a crash
leaves at worst a body that the index does not refer to; the next start removes it. A plain file is a hard
link to the body that the index holds for its key. The index never reads the plain tree, so a key that cannot
be a file name is stored and served like any other.

Every step from the root down opens one folder relative to the one above it and follows no link, so nothing
outside of the root is read or changed, whatever the index and the folders contain.

Plain files alone would not do: replacing an object would take two renames and a commit in one atomic step,
``a`` and ``a/b`` could not both exist, and a file system that folds case or Unicode would confuse keys.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import stat
from typing import TYPE_CHECKING, TypeVar

from rekolabels._files import FILE_MODE, FileLock, Folder, lock_file
from rekolabels.local._core._workspace import control_folder, refuse_links
from rekolabels.local._s3._names import body_parts, is_bucket_name, is_session_name, is_shard_name

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from rekolabels.local._s3._index import StoredObject

_T = TypeVar("_T")

__all__ = ["PRIVATE_FOLDER", "Disk", "plain_parts"]

PRIVATE_FOLDER = ".rekolabels"
"""The folder under the root that is not a bucket; bucket names cannot start with a dot."""

_WINDOWS = os.name == "nt"
# A plain file shares its bytes with the object, so it is read-only: an editor that saves in place would
# change the object but not its ETag. Windows cannot remove read-only files.
_MODE = FILE_MODE if _WINDOWS else 0o400
_MAX_NAME_BYTES = 255
_LOCK = "lock"
_CHECKED_LEVELS = 3
"""What is checked for links at the start: the private folder, the sessions and their shards. Bodies are
checked when they are opened, and when a session that has ended is cleaned up."""
_MAX_OPEN_SESSIONS = 8
_ATTEMPTS = 10
"""Tries to create a file in a folder that other processes remove whenever it is empty."""
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

    Raises:
        InvalidInput: A link or a special file is where the service keeps its files.
    """

    def __init__(self, root: Folder, *, fsync: bool) -> None:
        self._root = root
        with control_folder(root, PRIVATE_FOLDER) as private:
            self._bodies = control_folder(private, "bodies")
            refuse_links(private, _CHECKED_LEVELS)
        self._fsync = fsync
        self._session = ""
        self._open_sessions: dict[str, Folder] = {}
        self._lock: FileLock | None = None

    # -- sessions --------------------------------------------------------------------------------------------

    def start_session(self) -> None:
        """Create the folder for the bodies that this process writes. Call within a write of the index."""
        self._session = secrets.token_hex(6)
        with self._bodies.folder(self._session, create=True) as folder:
            self._lock = lock_file(folder, _LOCK)

    def end_session(self) -> None:
        """Release the folder of this process; the next process that starts cleans it up."""
        if self._lock is not None:
            self._lock.release()

    def remove_leftovers(self, referenced: Callable[[str], set[str]]) -> None:
        """Remove unreferenced bodies of sessions that have ended. Call within a write of the index.

        Args:
            referenced: Returns the bodies that the index refers to, among those with a given prefix.

        Raises:
            InvalidInput: A link or a special file is among the bodies.
        """
        for entry in self._bodies.entries():
            session = entry.name
            if session == self._session or not is_session_name(session):
                continue
            with self._bodies.folder(session) as folder:
                if folder.exists(_LOCK):
                    lock = lock_file(folder, _LOCK, create=False)
                    if lock is None:
                        continue
                    _clean_session(folder, session, referenced)
                    lock.release()
                    folder.remove_file(_LOCK)
            # Without a lock as well: a process may have been killed before it created the lock.
            self._bodies.remove_if_empty(session)

    # -- bodies ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def new_body(self) -> Generator[tuple[str, int]]:
        """Create a body: yield its name and a file descriptor to write to. Remove it after an exception."""
        body = self._new_name()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        descriptor = self._in_new_shard(body, lambda shard, name: shard.open(name, flags, _MODE))
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

    def _session_folder(self, session: str) -> Folder:
        """Return the open folder of a session, which the caller does not close: later calls use it again."""
        folder = self._open_sessions.get(session)
        if folder is None:
            if len(self._open_sessions) >= _MAX_OPEN_SESSIONS:
                self._open_sessions.clear()  # those in use close when their users let go of them
            folder = self._open_sessions[session] = self._bodies.folder(session)
        return folder

    def _new_name(self) -> str:
        name = secrets.token_hex(10)
        return f"{self._session}/{name[:2]}/{name}"

    def _in_new_shard(self, body: str, create: Callable[[Folder, str], _T]) -> _T:
        """Create the file of a body, and its shard when that is missing."""
        session, shard_name, name = body_parts(body)
        for _ in range(_ATTEMPTS):
            # Another process may remove the shard at any moment while it is empty.
            with (
                contextlib.suppress(FileNotFoundError),
                self._session_folder(session).folder(shard_name, create=True) as shard,
            ):
                return create(shard, name)
        raise FileNotFoundError(f"The folder for the body {body} in {self._bodies.path} cannot be created.")

    def open(self, body: str) -> io.FileIO | None:
        """Open a body for reading; None when it was removed. The caller closes it."""
        session, shard, name = body_parts(body)
        try:
            return io.FileIO(self._session_folder(session).open_below(shard, name))
        except FileNotFoundError:
            return None

    def duplicate(self, body: str) -> str:
        """Create a second body with the same bytes, as a hard link where the file system has them.

        Raises:
            FileNotFoundError: The body was removed, because its object was overwritten or deleted.
        """
        duplicate = self._new_name()
        with self._shard_of(body) as (source, source_name):
            source.stat(source_name)  # tell a missing body from a missing folder for the new one
            try:
                self._in_new_shard(
                    duplicate, lambda shard, name: source.link(source_name, shard, name, copy_mode=_MODE)
                )
            except OSError:
                self.remove(duplicate)
                raise
        return duplicate

    @contextlib.contextmanager
    def _shard_of(self, body: str) -> Generator[tuple[Folder, str]]:
        """Open the folder of a body, and yield it and the name of the body's file in it."""
        session, shard_name, name = body_parts(body)
        with self._session_folder(session).folder(shard_name) as shard:
            yield shard, name

    def remove(self, body: str) -> bool:
        """Remove a body; False when that must wait (on Windows, while a reader has it open)."""
        session, shard, _ = body_parts(body)
        try:
            with self._shard_of(body) as (folder, name):
                folder.remove_file(name)
        except FileNotFoundError:
            pass
        except PermissionError:
            return False
        if session != self._session:
            with contextlib.suppress(FileNotFoundError):
                self._session_folder(session).remove_if_empty(shard)
            self._bodies.remove_if_empty(session)
        return True

    # -- plain files -----------------------------------------------------------------------------------------

    def is_plain_path_free(self, stored: StoredObject) -> bool:
        """Return whether nothing exists at the path of an object's plain file."""
        parts = plain_parts(stored.key)
        if parts is None:
            return False
        try:
            with self._plain_folder(stored.bucket, parts[:-1]) as folder:
                return not folder.exists(parts[-1])
        except FileNotFoundError:
            return True
        except OSError:  # something that is not a folder is in the way
            return False

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
        if parts is None:
            return False
        try:
            with (
                self._plain_folder(stored.bucket, parts[:-1], create=True) as folder,
                self._shard_of(stored.body) as (shard, name),
            ):
                return self._replace(folder, parts[-1], shard, name, owns_path=owns_path)
        except OSError:
            # Something that is not a folder is in the way, the path is too long for the system, or the disk
            # is full: the object is safe in its body, but a plain file with the old content must not stay.
            if owns_path:
                self.remove_plain_file(stored.bucket, stored.key)
            return False

    def _replace(self, folder: Folder, target: str, shard: Folder, source: str, *, owns_path: bool) -> bool:
        try:
            existing = folder.stat(target)
        except FileNotFoundError:
            shard.link(source, folder, target, copy_mode=_MODE)
            return True
        if not owns_path or stat.S_ISDIR(existing.st_mode):
            return False
        if os.path.samestat(existing, shard.stat(source)):
            return True
        session = self._session_folder(self._session)
        temporary = secrets.token_hex(10)
        shard.link(source, session, temporary, copy_mode=_MODE)
        session.move(temporary, folder, target)
        return True

    def remove_plain_file(self, bucket: str, key: str) -> None:
        """Remove the plain file of a key, and folders that become empty. Call within a write of the index."""
        parts = plain_parts(key)
        if parts is None:
            return
        with contextlib.suppress(OSError):
            with self._plain_folder(bucket, parts[:-1]) as folder, contextlib.suppress(FileNotFoundError):
                folder.remove_file(parts[-1])
            for depth in range(len(parts) - 1, 0, -1):
                with self._plain_folder(bucket, parts[: depth - 1]) as folder:
                    folder.remove_if_empty(parts[depth - 1])

    @contextlib.contextmanager
    def _plain_folder(
        self, bucket: str, parts: tuple[str, ...], *, create: bool = False
    ) -> Generator[Folder]:
        """Open the folder of a plain file.

        Raises:
            OSError: It is missing, or a file or a symbolic link is in the way.
        """
        _check_bucket(bucket)
        folder = self._root.folder(bucket, create=create)
        for part in parts:
            with folder:
                folder = folder.folder(part, create=create)
        with folder:
            yield folder

    def make_bucket_folder(self, bucket: str) -> None:
        """Create the folder of a bucket, if its name can be a folder name."""
        _check_bucket(bucket)
        if _is_file_name(bucket):
            with contextlib.suppress(FileExistsError):
                self._root.make_folder(bucket)

    def remove_bucket_folder(self, bucket: str) -> None:
        """Remove the folder of a bucket, unless it holds other files."""
        _check_bucket(bucket)
        self._root.remove_if_empty(bucket)


def _check_bucket(bucket: str) -> None:
    if not is_bucket_name(bucket):
        raise ValueError(f"Not the name of a bucket: {bucket!r}.")


def _clean_session(folder: Folder, session: str, referenced: Callable[[str], set[str]]) -> None:
    """Remove what the index does not refer to from the folder of a session."""
    for entry in folder.entries():
        if not is_shard_name(entry.name):
            if entry.name != _LOCK and entry.is_file(follow_symlinks=False):
                folder.remove_file(entry.name)  # a plain file that did not reach its place
            continue
        prefix = f"{session}/{entry.name}/"
        kept = referenced(prefix)
        with folder.folder(entry.name) as shard:
            refuse_links(shard, 1)
            for body in shard.entries():
                if f"{prefix}{body.name}" not in kept:
                    shard.remove_file(body.name)
        folder.remove_if_empty(entry.name)
