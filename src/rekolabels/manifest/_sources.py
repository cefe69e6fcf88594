"""The lines of a manifest from wherever they come, in blocks and in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias, cast

import attrs

from rekolabels.errors import InvalidManifest
from rekolabels.images import LabelledImage
from rekolabels.manifest._write import format_line
from rekolabels.manifest.limits import LINE_LENGTH

if TYPE_CHECKING:
    from collections.abc import Callable

    from rekolabels.images import ImageSize

__all__ = [
    "Block",
    "CheckSource",
    "ImageStream",
    "Source",
    "UnreadableLine",
    "UnwritableImage",
    "check_encoding",
    "image_blocks",
    "read_blocks",
    "resolve_source",
    "source_name",
]

Source: TypeAlias = "str | os.PathLike[str] | bytes | IO[bytes] | IO[str] | Iterable[str] | Iterable[bytes]"
"""Where a manifest is read from: a path, its bytes, an open file (binary or text), or its lines."""

_BLOCK: Final = 64 * 1024
"""Bytes or characters after which a block is handed on."""
_LINE_BYTES: Final = 4 * LINE_LENGTH
"""A character has at most four bytes in UTF-8: more bytes than this is too long in any case."""
_UTF8_MARK: Final = b"\xef\xbb\xbf"
_OTHER_MARKS: Final = (b"\xff\xfe", b"\xfe\xff", b"{\x00", b"\x00{")


@attrs.frozen
class Block:
    """Whole lines, parted by newlines, without the last one."""

    line: int
    """The number of the first line, from 1."""
    text: str
    """The lines."""
    count: int
    """How many they are."""
    size: int
    """Bytes that they take in the file."""


@attrs.frozen
class UnreadableLine:
    """A line that cannot be given out as text."""

    line: int
    """Its number, from 1."""
    start: str
    """How it begins."""
    size: int
    """Bytes that it takes in the file."""
    too_long: bool
    """True when it is too long, False when it is not UTF-8."""
    column: int | None = None
    """The first character that is not UTF-8, from 1."""


def source_name(source: object) -> str:
    """How messages call a source: its path where it has one."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "the manifest"


def read_blocks(source: Source, *, marks: list[str] | None = None) -> Iterator[Block | UnreadableLine]:
    """Give out the lines of a source in blocks of about 64 kB.

    A single line can be of any length without filling the memory: what is over the limit is skipped.

    Args:
        source: See ``Source``. Lines end with a newline; a carriage return before it is blank space to JSON.
        marks: Gets ``"BOM"`` appended when the file begins with a byte order mark.

    Raises:
        InvalidManifest: The file is not there, not readable, or not UTF-8 text at all.
    """
    line = 1
    for piece in _lines(_without_bom(_open_chunks(source), source_name(source), marks)):
        if isinstance(piece, tuple):
            start, size = piece
            yield UnreadableLine(line, start.decode("utf-8", "replace"), size, too_long=True)
            line += 1
            continue
        try:
            text = piece.decode("utf-8")
        except UnicodeDecodeError:
            yield from _decode_lines(piece, line)
            line += piece.count(b"\n") + 1
            continue
        if "\r" in text:
            text = text.replace("\r\n", "\n").removesuffix("\r")
        count = text.count("\n") + 1
        yield Block(line, text, count, len(piece) + 1)
        line += count


def _decode_lines(piece: bytes, line: int) -> Iterator[Block | UnreadableLine]:
    for number, raw in enumerate(piece.split(b"\n"), start=line):
        try:
            yield Block(number, raw.decode("utf-8").removesuffix("\r"), 1, len(raw) + 1)
        except UnicodeDecodeError as error:
            column = len(raw[: error.start].decode("utf-8")) + 1
            yield UnreadableLine(
                number, raw[:200].decode("utf-8", "replace"), len(raw) + 1, too_long=False, column=column
            )


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes | tuple[bytes, int]]:
    """Cut chunks at line ends; a line that is too long comes as its beginning and its size."""
    carry = b""
    skipped = 0
    for chunk in chunks:
        rest = chunk
        if skipped:
            end = rest.find(b"\n")
            if end < 0:
                skipped += len(rest)
                continue
            yield carry, skipped + end + 1
            carry, skipped, rest = b"", 0, rest[end + 1 :]
        cut = rest.rfind(b"\n")
        if cut < 0:
            carry += rest
        else:
            whole, carry = carry + rest[:cut], rest[cut + 1 :]
            if len(whole) > _LINE_BYTES:
                yield from _split_long(whole)
            else:
                yield whole
        if len(carry) > _LINE_BYTES:
            carry, skipped = carry[:200], len(carry)
    if skipped:
        yield carry, skipped
    elif carry:
        yield carry


def _split_long(whole: bytes) -> Iterator[bytes | tuple[bytes, int]]:
    """The rare block with more bytes than a line may have: its lines one by one."""
    for raw in whole.split(b"\n"):
        yield raw if len(raw) <= _LINE_BYTES else (raw[:200], len(raw) + 1)


def _without_bom(chunks: Iterator[bytes], name: str, marks: list[str] | None) -> Iterator[bytes]:
    """Look at the beginning of the file."""
    first = next(chunks, b"")
    start = check_encoding(first, name)
    if marks is not None and len(start) < len(first):
        marks.append("BOM")
    yield start
    yield from chunks


def check_encoding(start: bytes, name: str = "the manifest") -> bytes:
    """The beginning of a manifest, without a byte order mark.

    Raises:
        InvalidManifest: It is not UTF-8 text but UTF-16 or binary.
    """
    first = start.removeprefix(_UTF8_MARK)
    if first.startswith(_OTHER_MARKS):
        raise _unsupported(f"{name} is UTF-16 text. Save it as UTF-8.")
    if not first.lstrip().startswith(b"{") and b"\x00" in first[:4096]:
        raise _unsupported(
            f"{name} is a binary file, not JSON Lines. A manifest is UTF-8 text, one object a line."
        )
    return first


def _unsupported(message: str) -> InvalidManifest:
    return InvalidManifest(message, code="ERROR_MANIFEST_INACCESSIBLE_OR_UNSUPPORTED_FORMAT")


def _open_chunks(source: Source) -> Iterator[bytes]:
    if isinstance(source, (bytes, bytearray, memoryview)):
        raw = bytes(source)
        return (raw[at : at + _BLOCK] for at in range(0, len(raw), _BLOCK))
    if isinstance(source, str) and source.lstrip().startswith("{"):
        raise InvalidManifest(
            "A str is taken as the path of a manifest. Give its text as bytes or as a list of lines."
        )
    if isinstance(source, str) and source.lower().startswith("s3://"):
        raise _unsupported(
            f"{source} lies in S3. Download it first, or give an open body (get_object()['Body'])."
        )
    if isinstance(source, (str, os.PathLike)):
        return _file_chunks(Path(source))
    if hasattr(source, "read"):
        return _read_chunks(source)  # type: ignore[arg-type]  # what has a read() is a file
    return _join_lines(source)


def _file_chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(_BLOCK):
                yield chunk
    except OSError as error:
        raise _unsupported(f"{path} cannot be read: {error.strerror or error}.") from error


def _read_chunks(file: IO[bytes] | IO[str]) -> Iterator[bytes]:
    try:
        while chunk := file.read(_BLOCK):
            yield chunk if isinstance(chunk, bytes) else chunk.encode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise _unsupported(
            f"{source_name(file)} is not UTF-8 text ({error.reason} at byte {error.start})."
        ) from error


def _join_lines(lines: Iterable[str] | Iterable[bytes]) -> Iterator[bytes]:
    gathered: list[bytes] = []
    size = 0
    for line in lines:
        if isinstance(line, str):
            raw = line.encode("utf-8", "surrogatepass")
        elif isinstance(line, bytes):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
            raw = line
        else:
            raise InvalidManifest(
                f"A manifest is read from lines of text or bytes, not from {type(line).__name__}."
            )
        gathered.append(raw.removesuffix(b"\n"))
        size += len(raw)
        if size >= _BLOCK:
            yield b"\n".join([*gathered, b""])
            gathered, size = [], 0
    if gathered:
        yield b"\n".join([*gathered, b""])


CheckSource: TypeAlias = "Source | Iterable[LabelledImage]"
"""What can be checked: a manifest (see ``Source``), or the images that are to become one."""


@attrs.frozen
class UnwritableImage:
    """An image that cannot be written as a line."""

    line: int
    """The number that its line would have, from 1."""
    source: str
    """Where the image lies."""
    code: str
    """One of ``CODES``."""
    detail: str
    """What is wrong with it, in words."""


@attrs.frozen
class ImageStream:
    """Images, not a manifest."""

    images: Iterator[Any]
    """The first is a labelled image; the others ought to be."""


def resolve_source(source: CheckSource) -> Source | ImageStream:
    """Tell images from a manifest, by the first element of what is given.

    Raises:
        InvalidManifest: It is neither.
    """
    if isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(source, "read"):
        return cast("Source", source)
    try:
        elements: Iterator[Any] = iter(source)
    except TypeError as error:
        raise InvalidManifest(
            f"A {type(source).__name__} cannot be checked. Give the path of a manifest, its bytes, an open "
            "file, its lines, or labelled images."
        ) from error
    first = list(islice(elements, 1))
    everything = chain(first, elements)
    return ImageStream(everything) if first and isinstance(first[0], LabelledImage) else everything


def image_blocks(
    images: Iterator[Any], size_of: Callable[[str], ImageSize | None] | None
) -> Iterator[Block | UnreadableLine | UnwritableImage]:
    """Write images as blocks of lines, in bounded memory.

    Args:
        images: The images.
        size_of: Looks up the size of an image that has boxes but does not say it.

    Raises:
        InvalidManifest: There is something else among the images.
    """
    texts: list[str] = []
    size = 0
    number = 0
    for number, image in enumerate(images, start=1):
        line = _line(image, number, size_of)
        if isinstance(line, str):
            texts.append(line)
            size += len(line) + 1
        if texts and (size >= _BLOCK or not isinstance(line, str)):
            first = number - len(texts) + isinstance(line, str)
            yield Block(first, "\n".join(texts), len(texts), size)
            texts, size = [], 0
        if not isinstance(line, str):
            yield line
    if texts:
        yield Block(number - len(texts) + 1, "\n".join(texts), len(texts), size)


def _line(
    image: object, number: int, size_of: Callable[[str], ImageSize | None] | None
) -> str | UnwritableImage:
    if not isinstance(image, LabelledImage):
        raise InvalidManifest(f"Among the images, number {number} is a {type(image).__name__}.")
    if image.boxes and image.size is None and size_of is not None:
        image = attrs.evolve(image, size=size_of(image.source))
    try:
        return format_line(image)
    except InvalidManifest as error:
        return UnwritableImage(number, image.source, error.code or "ERROR_INVALID_JSON_LINE", str(error))
