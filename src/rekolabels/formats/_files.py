"""Reading and writing files, with errors that name the file and say what was expected."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rekolabels._arguments import check_instance, is_url
from rekolabels._files import replacing
from rekolabels._image_header import image_format, read_header
from rekolabels.errors import InvalidImage, InvalidInput
from rekolabels.formats._problems import printable, shown
from rekolabels.images import ImageSize

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from rekolabels._image_header import Header

__all__ = [
    "exists",
    "image_size",
    "is_file",
    "is_folder",
    "is_within",
    "make_folder",
    "open_text",
    "read_image_header",
    "read_text",
    "reading",
    "writing",
]

_CHUNK = 1 << 16
_SNIPPET = 20
"""Bytes around those that are not text, for the message."""
_SIGNATURES = {
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF file",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
_WORKBOOK = (b"[Content_Types].xml", b"xl/", b"opendocument.spreadsheet")
"""Names in the first entry of the ZIP archives that are workbooks."""


@contextlib.contextmanager
def reading(
    path: str | os.PathLike[str],
    expected: str = "",
    *,
    encoding: str = "utf-8",
    fix: str = "Save it as UTF-8.",
) -> Generator[str]:
    """Turn what goes wrong while a file is read into an ``InvalidInput`` that names the file.

    Args:
        path: The file.
        expected: What the file should be, such as ``"a data.yaml"``; empty when the reader's name says it.
        encoding: Encoding of its text.
        fix: What to do when the file is in another encoding.

    Yields:
        The file's name as messages show it.

    Raises:
        InvalidInput: The file does not exist, is not readable or not UTF-8, or the path is not valid.
    """
    name = printable(os.fspath(path))
    hint = f" Expected {expected}." if expected else ""
    try:
        yield name
    except InvalidInput:
        raise
    except OSError as error:
        raise InvalidInput(f"{name}: Cannot be read: {error.strerror or error}.{hint}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name}: {_not_text(path, encoding)}.{hint} {fix}") from error
    except RecursionError as error:
        raise InvalidInput(f"{name}: Nested too deeply for image labels.{hint}") from error
    except ValueError as error:  # a NUL character in the path, or a number with more digits than Python reads
        raise InvalidInput(f"{name}: Cannot be read: {error}.{hint}") from error


def _not_text(path: str | os.PathLike[str], encoding: str) -> str:
    """Describe the first bytes of a file that are not text, with their line."""
    described = f"Not {encoding.upper()} text"
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    with contextlib.suppress(OSError), Path(path).open("rb") as file:
        chunk = b" "
        while chunk:
            chunk = file.read(_CHUNK)
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                content, start = error.object, error.start
                line += content.count(b"\n", 0, start)
                before = content[max(0, start - _SNIPPET) : start].rpartition(b"\n")[2]
                after = content[start : start + _SNIPPET].partition(b"\n")[0]
                return f"{described} in line {line:,}, at {before + after!r}"
            line += chunk.count(b"\n")
    return described


@contextlib.contextmanager
def open_text(
    path: str | os.PathLike[str],
    expected: str,
    *,
    encoding: str = "utf-8",
    fix: str = "Save it as UTF-8.",
    fixes: Mapping[str, str] | None = None,
) -> Generator[TextIO]:
    """Open a text file for reading, unless its first bytes are those of another kind of file.

    Args:
        path: The file.
        expected: What the file should be, such as ``"CSV text"``.
        encoding: Its encoding; a byte order mark is skipped.
        fix: What to do when the file is in another encoding.
        fixes: What to do with other kinds of files, such as ``"an Excel workbook"``.

    Raises:
        InvalidInput: The file cannot be read, is not text in this encoding, or is of another kind.
    """
    utf_8 = codecs.lookup(encoding).name == "utf-8"
    with reading(path, encoding=encoding, fix=fix) as name, Path(path).open("rb") as raw:
        kind = _kind(raw.peek(_CHUNK))
        if kind is not None and (utf_8 or kind != "UTF-16 text"):
            advice = (fixes or {}).get(kind) or ("Unpack it." if "archive" in kind else "")
            raise InvalidInput(f"{name}: Is {kind}. Expected {expected}.{f' {advice}' if advice else ''}")
        with io.TextIOWrapper(raw, encoding="utf-8-sig" if utf_8 else encoding, newline="") as file:
            yield file


def _kind(start: bytes) -> str | None:
    """Return what a file is by its first bytes; None when it may be text in UTF-8."""
    kind = next((kind for signature, kind in _SIGNATURES.items() if start.startswith(signature)), None)
    if kind == "a ZIP archive" and any(name in start[:_CHUNK] for name in _WORKBOOK):
        return "an Excel workbook"
    return kind


@contextlib.contextmanager
def writing(target: str | os.PathLike[str], *, sync: bool = True) -> Generator[TextIO]:
    """Open a text file for writing; it replaces the target only when the block ends without an error.

    Args:
        target: The file.
        sync: Wait until the content is on the disk; False for each of many small files.

    Raises:
        InvalidInput: The file cannot be written.
    """
    try:
        with replacing(target, sync=sync) as raw:
            file = io.TextIOWrapper(raw, encoding="utf-8", newline="")
            try:
                yield file
            finally:
                file.detach()
    except OSError as error:
        raise InvalidInput(f"{printable(target)}: Cannot be written: {error}.") from error
    except UnicodeEncodeError as error:
        text = error.object[max(0, error.start - 20) : error.end + 20]
        raise InvalidInput(
            f"{printable(target)}: Cannot be written: {shown(text)} is not valid Unicode text."
        ) from error


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        InvalidInput: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{printable(path)}: Cannot be created: {printable(error)}.") from error


def read_text(path: str | os.PathLike[str], expected: str, *, limit: int = 1 << 20) -> str:
    """Read a text file.

    Args:
        path: The file.
        expected: What the file should be, for messages.
        limit: Largest size in bytes.

    Raises:
        InvalidInput: The file does not exist, is not readable, is too large, or is not UTF-8.
    """
    with reading(path, expected) as name:
        with Path(path).open("rb") as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            most = f"{limit >> 20} MB" if limit >= 1 << 20 else f"{limit >> 10} kB"
            raise InvalidInput(f"{name}: Larger than {most}. Expected {expected}.")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"{name}: Not UTF-8 text at byte {error.start}. Expected {expected}."
            ) from error


def image_size(path: str | os.PathLike[str]) -> ImageSize:
    """Read the size of a JPEG or PNG file from its header, without decoding it.

    The format is recognized by content, not by name. The size is that of the upright image, as viewers show
    it: the EXIF orientation is applied, because boxes are relative to the upright image. ``depth`` is the
    number of channels.

    Args:
        path: The image file.

    Raises:
        InvalidInput: The path is not one.
        InvalidImage: The file cannot be read, is neither JPEG nor PNG, or is damaged before its size.
    """
    header = read_image_header(path)
    return ImageSize(*header.upright_size, header.channels)


def read_image_header(path: str | os.PathLike[str]) -> Header:
    """Read the header of a JPEG or PNG file, which states a size; arguments and errors of `image_size`."""
    check_instance("path", path, (str, os.PathLike), "the path of an image file")
    name = printable(os.fspath(path))
    try:
        # A pipe or device would block or never end: only regular files hold images.
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - also takes the strings of os.scandir
            raise InvalidImage(f"{name}: Not a regular file.")
        with open(path, "rb") as file:  # noqa: PTH123 - the same
            header = read_header(file)
            if header is None:
                file.seek(0)
                raise InvalidImage(f"{name}: {_image_fault(file.read(8))}")
    except OSError as error:
        if is_url(path):
            raise InvalidImage(f"{name}: A URL, not a file on this machine. Download it first.") from error
        raise InvalidImage(f"{name}: Cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        if isinstance(error, InvalidImage):
            raise
        # A NUL character in the path.
        raise InvalidImage(f"{name}: Not a valid file name: {error}.") from error
    if header.width < 1 or header.height < 1:
        raise InvalidImage(f"{name}: Its header states the size {header.width} x {header.height}.")
    return header


def _image_fault(start: bytes) -> str:
    found = image_format(start)
    if found is not None:
        return f"A {found} file that is truncated or damaged before its size."
    if not start:
        return "The file is empty. Expected a JPEG or PNG image."
    return "Neither JPEG nor PNG. The service accepts no other format."


def exists(path: str | os.PathLike[str]) -> bool:
    """Return whether a file or folder exists; False for names that the system rejects."""
    return os.path.exists(path)  # noqa: PTH110 - unlike Path.exists, it does not raise for names that are too long


def is_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a file exists; False for names that the system rejects."""
    return os.path.isfile(path)  # noqa: PTH113 - as above


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Return whether a folder exists; False for names that the system rejects."""
    return os.path.isdir(path)  # noqa: PTH112 - as above


def is_within(path: Path, folder: Path) -> bool:
    """Return whether a path is inside a folder after all links and ``..`` are resolved."""
    real, start = os.path.realpath(path), os.path.realpath(folder)
    return Path(real).is_relative_to(start)
