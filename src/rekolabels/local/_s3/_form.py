"""Forms that browsers post (``multipart/form-data``, RFC 7578), read in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from rekolabels.local._s3._body import BLOCK_SIZE, PlainReader
from rekolabels.local._s3._errors import S3Error

if TYPE_CHECKING:
    from rekolabels.local._s3._request import Request

__all__ = ["FileReader", "Form", "read_form"]

_MAX_FIELDS = 20 * 1024  # bytes before the content of the file
_TYPE = re.compile(r"multipart/form-data\s*;(.*)", re.IGNORECASE)
_PARAMETER = re.compile(r';?\s*([a-z*]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))\s*', re.IGNORECASE)
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")


@attrs.frozen
class Form:
    """The fields of a form, and its file."""

    fields: Mapping[str, str]
    """Values by lower-case name; the file is not among them."""
    file_name: str
    """Name of the file without folders; may be empty."""
    file: FileReader


class _Source:
    """The bytes of a form, which are divided by its boundary."""

    def __init__(self, stream: PlainReader, boundary: str) -> None:
        self._stream = stream
        self._delimiter = f"\r\n--{boundary}".encode()
        self._pending = b"\r\n"  # the first delimiter stands at the start of the body
        self._left = _MAX_FIELDS

    def until_delimiter(self) -> bytes:
        """Return what precedes the next delimiter, within the limit for all fields."""
        return self._until(self._delimiter)

    def head(self) -> bytes:
        """Return the header lines of the next part; ``b""`` after the last part."""
        ending = self._take(2)
        if ending == b"--":
            return b""
        if ending != b"\r\n":
            raise S3Error("MalformedPOSTRequest")
        return self._until(b"\r\n\r\n") or b"\r\n"

    def file_block(self, size: int) -> bytes:
        """Return at most ``size`` bytes of a file; ``b""`` at its end."""
        while True:
            end = self._pending.find(self._delimiter)
            # The start of a delimiter may be at the end of what was read.
            ready = end if end >= 0 else len(self._pending) - len(self._delimiter) + 1
            if ready > 0:
                size = min(size, ready)
                block, self._pending = self._pending[:size], self._pending[size:]
                return block
            if end == 0:
                return b""
            self._read()

    def _until(self, end: bytes) -> bytes:
        while (at := self._pending.find(end)) < 0:
            if len(self._pending) > self._left:
                raise S3Error("MaxPostPreDataLengthExceededError")
            self._read()
        self._left -= at + len(end)
        if self._left < 0:
            raise S3Error("MaxPostPreDataLengthExceededError")
        found, self._pending = self._pending[:at], self._pending[at + len(end) :]
        return found

    def _take(self, size: int) -> bytes:
        while len(self._pending) < size:
            self._read()
        taken, self._pending = self._pending[:size], self._pending[size:]
        return taken

    def _read(self) -> None:
        block = self._stream.read(BLOCK_SIZE)
        if not block:
            raise S3Error("MalformedPOSTRequest", "The form ends before its last boundary.")
        self._pending += block


class FileReader:
    """The content of the file of a form, as a stream that ends where the file does.

    Args:
        source: The bytes of the form.

    Attributes:
        smallest: The size that the file must have, in bytes.
        largest: The size that it may have; None for any.
    """

    def __init__(self, source: _Source) -> None:
        self.smallest = 0
        self.largest: int | None = None
        self._source = source
        self._size = 0

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes; ``b""`` at the end.

        Raises:
            S3Error: ``EntityTooLarge`` or ``EntityTooSmall``.
        """
        block = self._source.file_block(size)
        self._size += len(block)
        if self.largest is not None and self._size > self.largest:
            raise S3Error("EntityTooLarge", MaxSizeAllowed=str(self.largest))
        if not block and self._size < self.smallest:
            raise S3Error("EntityTooSmall", ProposedSize=str(self._size), MinSizeAllowed=str(self.smallest))
        return block

    def readline(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes; the lines of a file have no meaning here."""
        return self.read(size)


def read_form(request: Request) -> Form:
    """Read a form up to the content of its file, which must be its last field.

    Raises:
        S3Error: ``PreconditionFailed`` for another content type, ``MalformedPOSTRequest``,
            ``MaxPostPreDataLengthExceededError``, ``IncompleteBody``, or ``InvalidArgument`` for a form
            without a file, or with a field that is given twice.
    """
    source = _Source(PlainReader(request.stream, request.length), _boundary(request))
    if source.until_delimiter():
        raise S3Error("MalformedPOSTRequest")
    fields: dict[str, str] = {}
    while head := source.head():
        name, file_name = _disposition(head)
        if name == "file":
            return Form(fields, file_name, FileReader(source))
        if name in fields:
            raise S3Error("InvalidArgument", "A form field is given twice.", ArgumentName=name)
        try:
            fields[name] = source.until_delimiter().decode()
        except UnicodeDecodeError as error:
            raise S3Error("MalformedPOSTRequest", "A form field is not UTF-8.", FieldName=name) from error
    raise S3Error(
        "InvalidArgument", "POST requires exactly one file upload per request.", ArgumentName="file"
    )


def _boundary(request: Request) -> str:
    match = _TYPE.fullmatch(request.headers.get("content-type", ""))
    if match is None:
        raise S3Error(
            "PreconditionFailed",
            Condition="Bucket POST must be of the enclosure-type multipart/form-data",
        )
    boundary = _parameters(match[1]).get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise S3Error("MalformedPOSTRequest")
    return boundary


def _disposition(head: bytes) -> tuple[str, str]:
    """Return the lower-case name and the file name of a part."""
    try:
        lines = head.decode().split("\r\n")
    except UnicodeDecodeError as error:
        raise S3Error("MalformedPOSTRequest") from error
    for line in lines:
        field, _, value = line.partition(":")
        kind, _, rest = value.partition(";")
        if field.strip().lower() == "content-disposition" and kind.strip().lower() == "form-data":
            parameters = _parameters(rest)
            name = parameters.get("name", "").lower()
            if name:
                return name, re.split(r"[/\\]", parameters.get("filename", ""))[-1]
    raise S3Error("MalformedPOSTRequest")


def _parameters(text: str) -> dict[str, str]:
    """Return the parameters of a header by lower-case name, as far as they are well formed."""
    found: dict[str, str] = {}
    at = 0
    while match := _PARAMETER.match(text, at):
        quoted = match[2]
        found[match[1].lower()] = match[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        at = match.end()
    return found
