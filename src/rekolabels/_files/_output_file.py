"""Output files: a file is replaced only by a complete one, and text from outside is valid in it."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from rekolabels.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Generator

    from typing_extensions import Buffer

__all__ = ["escape_surrogates", "printable_name", "replacing", "without_formula"]

_BUFFER = 1 << 16
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""What a spreadsheet would run as a formula, also after the apostrophes that prevent it."""
_FORMULA_STARTS = frozenset("=+-@\t\r'")  # most texts need no match of the pattern
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_PERMISSIONS = 0o666  # less the umask
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def replacing(
    target: str | os.PathLike[str],
    *,
    is_stream: bool = False,
    keep_part: bool = False,
    sync: bool = True,
) -> Generator[BinaryIO]:
    """Write a file beside the target. It replaces the target when it is complete and on the disk.

    If it cannot be written, for example because the disk is full, the target stays as it is.

    Args:
        target: The file to replace or create. Of a symbolic link, the file that it points to is replaced.
            Pipes and devices, such as ``/dev/stdout``, are written to.
        is_stream: Whether the file counts as complete after an error of the block, unless it could not be
            written.
        keep_part: Write to ``<target>.part``, which stays if it cannot be completed, rather than to a hidden
            file.
        sync: Wait until the content is on the disk. False is for many small files: after a power failure some
            may be empty.

    Yields:
        The file.

    Raises:
        InvalidInput: The file cannot be written. Other errors of the block are raised as they are.
    """
    name = printable_name(target)
    if not Path(target).name:
        raise InvalidInput(f"Cannot write {name!r}: it has no file name. Expected the path of a file.")
    if _is_special(target):
        with _open_special(target, name) as stream:
            yield stream
        return
    try:
        final = Path(os.path.realpath(target))
        part = final.with_name(
            f"{final.name}.part" if keep_part else f".{final.name}.{secrets.token_hex(4)}.part"
        )
        part.unlink(missing_ok=True)
        output = _Output(part, name, f" What was written is in {printable_name(part)}." if keep_part else "")
    except (OSError, ValueError) as error:  # ValueError: not a valid name
        raise _failed(name, error) from error
    file = io.BufferedWriter(output, _BUFFER)
    is_complete = False
    try:
        try:
            yield file
            is_complete = True
        finally:
            if is_complete or (is_stream and not output.failed):
                output.replace(file, part, final, sync=sync)
    finally:
        with contextlib.suppress(InvalidInput, ValueError):  # what could not be written before, or was closed
            file.close()
        if not (keep_part and output.failed):
            part.unlink(missing_ok=True)


def _is_special(target: str | os.PathLike[str]) -> bool:
    """Return whether the target is a pipe, a device or a socket, which must not be replaced by a file."""
    try:
        mode = Path(target).stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _open_special(target: str | os.PathLike[str], name: str) -> BinaryIO:
    try:
        return io.BufferedWriter(_Output(Path(target), name, "", os.O_WRONLY), _BUFFER)
    except OSError as error:
        raise _failed(name, error) from error


class _Output(io.FileIO):
    """A file, by default a new one, whose write errors are those of rekolabels."""

    def __init__(self, path: Path, name: str, note: str, flags: int = _NEW_FILE) -> None:
        super().__init__(path, "w", opener=lambda file, _: os.open(file, flags, _PERMISSIONS))
        self.target = name
        self.note = note
        self.failed = False

    def write(self, data: Buffer, /) -> int:
        """Write, or raise InvalidInput."""
        try:
            return super().write(data)
        except OSError as error:
            self.failed = True
            raise _failed(self.target, error, self.note) from error

    def replace(self, file: BinaryIO, part: Path, target: Path, *, sync: bool) -> None:
        """Flush the file, and rename it to the target."""
        file.flush()
        with self._failing():
            with contextlib.suppress(FileNotFoundError):  # a private file stays private
                part.chmod(target.stat().st_mode & 0o7777)
            if sync:
                os.fsync(self.fileno())
            file.close()
            part.replace(target)
            if sync:
                _sync_folder(target.parent)

    @contextlib.contextmanager
    def _failing(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            self.failed = True
            raise _failed(self.target, error, self.note) from error


def _sync_folder(folder: Path) -> None:
    """Write the rename to the disk, where folders can be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _failed(name: str, error: Exception, note: str = "") -> InvalidInput:
    reason = getattr(error, "strerror", None) or error
    if isinstance(error, FileNotFoundError):
        folder = str(Path(name).parent)
        hint = f"The folder {folder!r} does not exist. Make it first: Path({folder!r}).mkdir(parents=True)."
    elif isinstance(error, IsADirectoryError):
        hint = "Expected the path of a file, not of a folder."
    elif getattr(error, "errno", None) in _NOT_WRITABLE:
        hint = f"Choose a folder that you can write to.{note}"
    else:
        hint = f"The file was not changed.{note}"
    return InvalidInput(f"{name}: Cannot be written: {reason}. {hint}")


def printable_name(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> str:
    r"""Return a path as one line of valid text.

    >>> printable_name("caf\udce9.png")
    "'caf\\udce9.png'"
    """
    name = os.fsdecode(path)
    return name if name.isprintable() else repr(name)


def escape_surrogates(text: str) -> str:
    r"""Return text that can be encoded as UTF-8, with escapes for bytes of file names that are not UTF-8.

    >>> escape_surrogates("caf\udce9.png")
    'caf\\udce9.png'
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def without_formula(text: str) -> str:
    """Return text for a cell of a CSV file that no spreadsheet runs as a formula.

    Adds an apostrophe to cells that begin with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return, and
    to those that begin with apostrophes and one of them, so that readers can remove one again.

    >>> [without_formula(text) for text in ("=1+1", "'=1+1", "dog")]
    ["'=1+1", "''=1+1", 'dog']
    """
    return f"'{text}" if text[:1] in _FORMULA_STARTS and _FORMULA.match(text) else text
