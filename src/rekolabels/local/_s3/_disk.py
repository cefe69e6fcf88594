"""Bodies in files, and the plain files that people look at.

Two trees lie under the root::

    <bucket>/<key>                                the plain files: for people and their programs, to be read
    .rekolabels/bodies/<session>/<xx>/<name>      the bodies: for the index, written once, never changed

A body gets a name of its own for every version of an object, so a reader who has opened one keeps it whole
while a writer puts the next one beside it, and a crash leaves at worst a body that the index does not know
(removed on the next start). A plain file is a second name (a hard link) of the body that the index holds for
its key. The index never looks at the plain tree; a key that cannot be a plain file there is stored and
served like any other.

Why not the plain files alone: then two renames and a commit would have to be one step, ``a`` and ``a/b``
could not both exist, and a file system that folds case or Unicode would mix up two keys.
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

    from rekolabels.local._s3._index import Stored

PRIVATE = ".rekolabels"
"""The folder under the root that is not a bucket; no bucket's name can start with a dot."""

_WINDOWS = os.name == "nt"
# A plain file shares its bytes with the object, so it is written read-only: an editor that saves in place
# would otherwise change an object behind the back of its ETag. Windows cannot remove read-only files.
_MODE = 0o644 if _WINDOWS else 0o444
_LONGEST_NAME = 255
_LOCK = "lock"
_SEPARATORS = re.compile(r"[\x00-\x1f\x7f\\]")
_NOT_ON_WINDOWS = re.compile(r'[<>:"|?*]|[. ]\Z|\A(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?\Z', re.IGNORECASE)


def plain_parts(key: str) -> tuple[str, ...] | None:
    r"""The path of the plain file of a key, below its bucket's folder; None when it cannot be one.

    >>> plain_parts("train/dog.jpg")
    ('train', 'dog.jpg')
    >>> [plain_parts(key) for key in ("../dog.jpg", "/dog.jpg", "a//dog.jpg", "a/", "a\\b", "x" * 256)]
    [None, None, None, None, None, None]
    """
    parts = tuple(key.split("/"))
    return parts if all(_is_plain(part) for part in parts) else None


def _is_plain(name: str) -> bool:
    if name in {"", ".", ".."} or _SEPARATORS.search(name):
        return False
    if _WINDOWS and _NOT_ON_WINDOWS.search(name):
        return False
    return len(name.encode()) <= _LONGEST_NAME


class Disk:
    """The files of one root, as one process uses them.

    Args:
        root: The folder that holds everything.
        fsync: Whether bodies are forced to the disk before they are committed, against a loss of power.
    """

    def __init__(self, root: Path, *, fsync: bool) -> None:
        self.root = root
        self._bodies = root / PRIVATE / "bodies"
        self._fsync = fsync
        self._session = ""
        self._lock: FileLock | None = None

    # -- sessions --------------------------------------------------------------------------------------------

    def open_session(self) -> None:
        """Make a folder for the bodies that this process writes. Called under the index's lock."""
        self._session = secrets.token_hex(6)
        folder = self._bodies / self._session
        folder.mkdir(parents=True)
        self._lock = FileLock.acquire(folder / _LOCK)

    def close_session(self) -> None:
        """Let go of the folder; the next process that starts tidies it."""
        if self._lock is not None:
            self._lock.release()

    def tidy(self, known: Callable[[str], set[str]]) -> None:
        """Remove what sessions that have ended left behind. Called under the index's lock.

        Args:
            known: Gives the bodies that the index holds among those whose names start with a prefix.
        """
        for folder in self._bodies.iterdir():
            lock = folder / _LOCK
            if folder.name == self._session or not lock.exists():
                continue
            held = FileLock.acquire(lock)
            if held is None:
                continue
            for shard in (entry for entry in folder.iterdir() if entry.is_dir()):
                kept = known(f"{folder.name}/{shard.name}/")
                for body in shard.iterdir():
                    if f"{folder.name}/{shard.name}/{body.name}" not in kept:
                        body.unlink(missing_ok=True)
                _prune(shard)
            held.release()
            lock.unlink(missing_ok=True)
            _prune(folder)

    # -- bodies ----------------------------------------------------------------------------------------------

    def path(self, body: str) -> str:
        """Where a body lies."""
        return f"{self._bodies}{os.sep}{body}"

    @contextlib.contextmanager
    def new_body(self) -> Generator[tuple[str, int]]:
        """Make a body: its name and a file descriptor to write to. An exception inside removes it again."""
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
            # The first body of its shard; or another process has just removed the emptied shard.
            self._make_shard(body)

    def _new_name(self) -> str:
        name = secrets.token_hex(10)
        return f"{self._session}/{name[:2]}/{name}"

    def _make_shard(self, body: str) -> None:
        Path(self.path(body)).parent.mkdir(parents=True, exist_ok=True)

    def open(self, body: str) -> BinaryIO | None:
        """A body to read; None when it is gone. The caller closes it."""
        try:
            return open(self.path(body), "rb", buffering=0)  # noqa: PTH123 - the hot path of every GET
        except FileNotFoundError:
            return None

    def twin(self, body: str) -> str:
        """A second body with the same bytes; shares them where the file system has hard links.

        Raises:
            FileNotFoundError: The body is gone, because its object was overwritten or deleted meanwhile.
        """
        twin = self._new_name()
        self._make_shard(twin)
        try:
            _link_or_copy(self.path(body), self.path(twin))
        except OSError:
            self.remove(twin)
            raise
        return twin

    def remove(self, body: str) -> bool:
        """Remove a body; False when the system does not let go of it yet (Windows, while somebody reads)."""
        path = self.path(body)
        try:
            os.unlink(path)  # noqa: PTH108 - see above
        except FileNotFoundError:
            pass
        except PermissionError:
            return False
        if not body.startswith(self._session):
            shard = Path(path).parent
            _prune(shard)
            _prune(shard.parent)
        return True

    # -- plain files -----------------------------------------------------------------------------------------

    def is_free(self, stored: Stored) -> bool:
        """Whether there is no file where the plain file of an object would be."""
        parts = plain_parts(stored.key)
        return parts is not None and not os.path.lexists(self.root.joinpath(stored.bucket, *parts))

    def show(self, stored: Stored, *, ours: bool) -> bool:
        """Let the plain file of an object be its body. Called under the index's lock.

        Args:
            stored: The object.
            ours: Whether a plain file that is already there was put there for this key. Any other is left
                alone: it belongs to a key that differs in case only, or to a person.

        Returns:
            Whether the plain file shows the body now.
        """
        parts = plain_parts(stored.key)
        if parts is None or not _is_plain(stored.bucket):
            return False
        try:
            folder = self._folder(stored.bucket, parts[:-1], make=True)
            return folder is not None and self._place(
                f"{folder}{os.sep}{parts[-1]}", self.path(stored.body), ours=ours
            )
        except OSError:
            # A path too long for the system, a full disk: the object is safe in its body, and no stale plain
            # file may stay.
            if ours:
                self.hide(stored.bucket, stored.key)
            return False

    def _place(self, target: str, source: str, *, ours: bool) -> bool:
        try:
            there = os.lstat(target)
        except FileNotFoundError:
            _link_or_copy(source, target)
            return True
        if not ours or stat.S_ISDIR(there.st_mode):
            return False
        if os.path.samestat(there, os.lstat(source)):
            return True
        fresh = f"{self._bodies}{os.sep}{self._session}{os.sep}{secrets.token_hex(10)}"
        _link_or_copy(source, fresh)
        os.replace(fresh, target)  # noqa: PTH105 - see above
        return True

    def hide(self, bucket: str, key: str) -> None:
        """Remove the plain file of a key, and folders that it leaves empty. Called under the index's lock."""
        parts = plain_parts(key)
        if parts is None:
            return
        with contextlib.suppress(OSError):
            folder = self._folder(bucket, parts[:-1], make=False)
            if folder is None:
                return
            target = Path(folder, parts[-1])
            target.unlink(missing_ok=True)
            for above in list(target.parents)[: len(parts) - 1]:
                above.rmdir()

    def _folder(self, bucket: str, parts: tuple[str, ...], *, make: bool) -> str | None:
        """The folder of a plain file; None when something else is in the way. Never follows a link out."""
        folder = str(self.root)
        for part in (bucket, *parts):
            folder = f"{folder}{os.sep}{part}"
            try:
                mode = os.lstat(folder).st_mode
            except FileNotFoundError:
                if not make:
                    return None
                os.mkdir(folder)  # noqa: PTH102 - see above
                continue
            if not stat.S_ISDIR(mode):
                return None
        return folder

    def show_bucket(self, bucket: str) -> None:
        """Make the folder of a bucket, if the system can have one of that name."""
        if _is_plain(bucket):
            with contextlib.suppress(FileExistsError):
                (self.root / bucket).mkdir()

    def hide_bucket(self, bucket: str) -> None:
        """Remove the folder of a bucket, unless somebody has put files of their own there."""
        if _is_plain(bucket):
            _prune(self.root / bucket)


def _prune(folder: Path) -> None:
    """Remove a folder if it is empty."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _link_or_copy(source: str, target: str) -> None:
    """Give a file a second name, or copy it where the file system has no links, or no more of them."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
