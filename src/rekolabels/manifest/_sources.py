"""Sources of manifest lines: files, bytes, lines and labelled images, read in blocks with bounded memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias, cast

import attrs

from rekolabels._arguments import shown
from rekolabels._files import printable_name
from rekolabels.errors import InvalidInput, InvalidManifest
from rekolabels.images import LabelledImage
from rekolabels.manifest._given_images import IMAGE_FILES, check_unused, is_collection, is_path, reader_for
from rekolabels.manifest._write import format_line
from rekolabels.manifest.limits import LINE_LENGTH

if TYPE_CHECKING:
    from collections.abc import Callable

    from rekolabels.images import ImageSize

__all__ = [
    "Block",
    "CheckSource",
    "ImageStream",
    "Piece",
    "RepeatedImage",
    "Source",
    "UnreadableLine",
    "UnwritableImage",
    "check_encoding",
    "check_source",
    "image_blocks",
    "read_blocks",
    "resolve_source",
    "source_name",
]

Source: TypeAlias = "str | os.PathLike[str] | bytes | IO[bytes] | IO[str] | Iterable[str] | Iterable[bytes]"
"""A manifest to read: its path, its bytes, an open file (binary or text), or its lines."""

_BLOCK: Final = 64 * 1024
"""Approximate size of a block, in bytes or characters."""
_LINE_BYTES: Final = 4 * LINE_LENGTH
"""A line of more bytes is too long in any case: UTF-8 has at most four bytes per character."""
_UTF8_BOM: Final = b"\xef\xbb\xbf"
_UNSUPPORTED: Final = "ERROR_MANIFEST_INACCESSIBLE_OR_UNSUPPORTED_FORMAT"
_EXPECTED: Final = "the path of a manifest, its bytes, an open file, its lines, or labelled images"
_UTF16_STARTS: Final = (b"\xff\xfe", b"\xfe\xff", b"{\x00", b"\x00{")


@attrs.frozen
class Block:
    """Whole lines, separated by newlines, without a trailing one."""

    line: int
    """The number of the first line, from 1."""
    text: str
    """The lines."""
    count: int
    """The number of lines."""
    size: int
    """The size of the lines in the file, in bytes."""


@attrs.frozen
class UnreadableLine:
    """A line that cannot be decoded."""

    line: int
    """The line number, from 1."""
    start: str
    """The beginning of the line."""
    size: int
    """The size of the line in the file, in bytes."""
    too_long: bool
    """True if the line is too long, False if it is not UTF-8."""
    column: int | None = None
    """The position of the first character that is not UTF-8, from 1."""


def source_name(source: object) -> str:
    """Return the name of a source in messages: its path, if it has one."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "the manifest"


def read_blocks(
    source: Source, *, on_byte_order_mark: Callable[[], None] | None = None
) -> Iterator[Block | UnreadableLine]:
    """Read the lines of a manifest in blocks of about 64 kB.

    A line longer than the limit is skipped without keeping it in memory.

    Args:
        source: The manifest. Lines end with a newline, with or without a carriage return before it.
        on_byte_order_mark: Called if the file begins with a byte order mark.

    Raises:
        InvalidManifest: The file does not exist, cannot be read, or is not UTF-8 text.
    """
    line = 1
    for piece in _lines(_without_bom(_open_chunks(source), source_name(source), on_byte_order_mark)):
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
    """Split chunks at line ends; yield a line that is too long as its beginning and its size."""
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
    """Yield the lines one by one of a block that is larger than a line may be, which is rare."""
    for raw in whole.split(b"\n"):
        yield raw if len(raw) <= _LINE_BYTES else (raw[:200], len(raw) + 1)


def _without_bom(
    chunks: Iterator[bytes], name: str, on_byte_order_mark: Callable[[], None] | None
) -> Iterator[bytes]:
    first = next(chunks, b"")
    start = check_encoding(first, name)
    if on_byte_order_mark is not None and len(start) < len(first):
        on_byte_order_mark()
    yield start
    yield from chunks


def check_encoding(start: bytes, name: str = "the manifest") -> bytes:
    """Check that a manifest is UTF-8 text, and remove its byte order mark.

    Args:
        start: The first bytes of the manifest.
        name: The name of the manifest in messages.

    Raises:
        InvalidManifest: The manifest is UTF-16 text or a binary file.
    """
    first = start.removeprefix(_UTF8_BOM)
    if first.startswith(_UTF16_STARTS):
        raise _unsupported(f"{_capitalized(name)} is UTF-16 text. Save it as UTF-8.")
    if not first.lstrip().startswith(b"{") and b"\x00" in first[:4096]:
        raise _unsupported(
            f"{_capitalized(name)} is a binary file. A manifest must be UTF-8 text, one JSON object per line."
        )
    return first


def _capitalized(name: str) -> str:
    """Capitalize a name for the start of a sentence, unless it is a path."""
    return "The manifest" if name == "the manifest" else name


def _unsupported(message: str) -> InvalidManifest:
    return InvalidManifest(message, code=_UNSUPPORTED)


def check_source(source: object, name: str = "source") -> None:
    """Check that an argument can be a manifest, before it is read.

    Raises:
        InvalidManifest: It is something else, such as a folder of images.
    """
    if isinstance(source, (bytes, bytearray, memoryview)) or hasattr(source, "read"):
        return
    if isinstance(source, LabelledImage):
        raise InvalidManifest(f"{name} is one image. Pass a list of images: {name}=[image].")
    if is_path(source):
        _check_path(os.fspath(source), name)
        return
    if not is_collection(source):
        raise InvalidManifest(f"{name} is {shown(source)}; expected {_EXPECTED}.")
    try:
        check_unused(source, name)
    except InvalidInput as error:
        raise InvalidManifest(str(error)) from error


def _check_path(path: object, name: str) -> None:
    if not isinstance(path, str) or not path:
        raise InvalidManifest(f"{name} is {shown(path)}; expected {_EXPECTED}.")
    if path.lstrip().startswith("{"):
        raise InvalidManifest(
            "A str must be the path of a manifest, not its content. Pass the content as bytes: text.encode()."
        )
    if path.lower().startswith("s3://"):
        raise InvalidManifest(
            f"{path} is in S3. Download it first, or pass get_object(...)['Body'] of an S3 client.",
            code=_UNSUPPORTED,
        )
    if os.path.isdir(path):  # noqa: PTH112 - unlike Path.is_dir, it does not raise for invalid names
        raise InvalidManifest(
            f"{name} is {path!r}, a folder; expected {_EXPECTED}. To use the images in the folder, pass "
            f"read_folder({path!r})."
        )


def _open_chunks(source: Source) -> Iterator[bytes]:
    if isinstance(source, (bytes, bytearray, memoryview)):
        raw = bytes(source)
        return (raw[at : at + _BLOCK] for at in range(0, len(raw), _BLOCK))
    if isinstance(source, (str, os.PathLike)):
        return _file_chunks(Path(source))
    if hasattr(source, "read"):
        return _read_chunks(source)  # type: ignore[arg-type]  # an object with read() is a file
    return _join_lines(source)


def _file_chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(_BLOCK):
                yield chunk
    except (OSError, ValueError) as error:  # ValueError: not a valid name
        reason = getattr(error, "strerror", None) or error
        raise _unsupported(f"Cannot read {printable_name(path)}: {reason}.") from error


def _read_chunks(file: IO[bytes] | IO[str]) -> Iterator[bytes]:
    try:
        while chunk := file.read(_BLOCK):
            yield chunk if isinstance(chunk, bytes) else chunk.encode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8."
        raise _unsupported(f"{_capitalized(source_name(file))} {message}") from error


def _join_lines(lines: Iterable[str] | Iterable[bytes]) -> Iterator[bytes]:
    gathered: list[bytes] = []
    size = 0
    for line in lines:
        if isinstance(line, str):
            raw = line.encode("utf-8", "surrogatepass")
        elif isinstance(line, bytes):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may pass anything
            raw = line
        else:
            raise InvalidManifest(_not_a_line(line))
        gathered.append(raw.removesuffix(b"\n"))
        size += len(raw)
        if size >= _BLOCK:
            yield b"\n".join([*gathered, b""])
            gathered, size = [], 0
    if gathered:
        yield b"\n".join([*gathered, b""])


def _not_a_line(line: object) -> str:
    """Say what is wrong with an element of a list that is not a line of a manifest."""
    found = f"The lines of a manifest must be str or bytes, but one is {shown(line)} ({type(line).__name__})."
    if is_path(line):
        return f"{found} For images: {reader_for(line)}"
    if isinstance(line, LabelledImage):
        return f"{found} Write labelled images with write_manifest()."
    return found


CheckSource: TypeAlias = "Source | Iterable[LabelledImage]"
"""An input of the check: a manifest (see ``Source``), or the labelled images to write as one."""


@attrs.frozen
class UnwritableImage:
    """An image that cannot be written as a line."""

    line: int
    """The number of the image, from 1."""
    source: str
    """The path or URI of the image."""
    code: str
    """One of ``CODES``."""
    detail: str
    """The reason."""


@attrs.frozen
class RepeatedImage:
    """An image that is the same as an earlier one, with the same labels and boxes."""

    line: int
    """The number of the image, from 1."""
    source: str
    """The path of the image."""
    earlier: str
    """The path of the earlier image."""


Piece: TypeAlias = Block | UnreadableLine | UnwritableImage | RepeatedImage
"""A part of a manifest, or of the images that would be written as one."""


@attrs.frozen
class ImageStream:
    """Labelled images instead of a manifest."""

    images: Iterator[Any]
    """The images. The first is known to be a labelled image; the others are checked later."""


def resolve_source(source: CheckSource) -> Source | ImageStream:
    """Return whether an input is a manifest or labelled images, according to its first element.

    Raises:
        InvalidManifest: The input is neither.
    """
    if isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(source, "read"):
        return cast("Source", source)
    elements: Iterator[Any] = iter(source)
    first = list(islice(elements, 1))
    if first and isinstance(first[0], str) and first[0].lower().endswith(IMAGE_FILES):
        raise InvalidManifest(
            f"The first element is {shown(first[0])}, not a line of a manifest. {reader_for(first[0])}"
        )
    everything = chain(first, elements)
    return ImageStream(everything) if first and isinstance(first[0], LabelledImage) else everything


def image_blocks(images: Iterator[Any], size_of: Callable[[str], ImageSize | None] | None) -> Iterator[Piece]:
    """Write labelled images as blocks of manifest lines, in bounded memory.

    Args:
        images: The images; repeated ones are yielded as they are.
        size_of: Returns the size of an image that has boxes but no size.

    Raises:
        InvalidManifest: One of the images is not a ``LabelledImage``.
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
) -> str | UnwritableImage | RepeatedImage:
    if isinstance(image, RepeatedImage):
        return image
    if not isinstance(image, LabelledImage):
        raise InvalidManifest(f"Image {number} is {shown(image)}; expected a LabelledImage.")
    if image.boxes and image.size is None and size_of is not None:
        image = attrs.evolve(image, size=size_of(image.source))
    try:
        return format_line(image)
    except InvalidManifest as error:
        return UnwritableImage(number, image.source, error.code or "ERROR_INVALID_JSON_LINE", str(error))
