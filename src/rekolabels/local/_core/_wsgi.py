"""Bodies of HTTP/1.1 requests: with a length, in chunks, or none."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import Message

    from _typeshed import WriteableBuffer

__all__ = ["BadRequest", "RequestBody", "open_body"]

_LONGEST_LINE = 4096
_MOST_TRAILERS = 64
_SIZE = re.compile(rb"[0-9a-fA-F]{1,15}")


class BadRequest(Exception):
    """A request that breaks the rules of HTTP."""


class _Source(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def readline(self, size: int, /) -> bytes: ...


class RequestBody(io.BufferedReader):
    """A request's body as a file that ends where the body does.

    Attributes:
        expected: Whether the request has a body.
    """

    def __init__(self, raw: _Sized | _Chunked, *, expected: bool) -> None:
        super().__init__(raw)
        self.expected = expected
        self._rest = raw

    def check(self) -> None:
        """See that no reader has run into a mistake, whatever it made of it.

        Raises:
            BadRequest: The chunks are broken.
        """
        if self._rest.mistake is not None:
            raise self._rest.mistake

    def drain(self, most: int) -> bool:
        """Read away what nobody wanted; False when that is more than ``most`` bytes, or it broke."""
        if self._rest.at_end:
            return True
        try:
            while most > 0:
                data = self.read1(1 << 16)
                if not data:
                    return True
                most -= len(data)
        except (BadRequest, OSError):
            return False
        return False


def open_body(headers: Message, source: _Source, begin: Callable[[], None]) -> RequestBody:
    """The body of a request.

    Args:
        headers: The request's headers.
        source: The connection.
        begin: Called before the first byte is read.

    Raises:
        BadRequest: The length of the body is not clear.
    """
    coding = headers.get("Transfer-Encoding")
    lengths = set(headers.get_all("Content-Length") or [])
    if coding is not None:
        if lengths or coding.strip().lower() != "chunked":
            raise BadRequest("Transfer-Encoding must be chunked, without a Content-Length.")
        return RequestBody(_Chunked(source, begin), expected=True)
    if not lengths:
        return RequestBody(_Sized(source, 0, begin), expected=False)
    length = lengths.pop().strip()
    if lengths or not (length.isascii() and length.isdigit()):
        raise BadRequest("Content-Length must be one number.")
    return RequestBody(_Sized(source, int(length), begin), expected=int(length) > 0)


class _Raw(io.RawIOBase):
    """A body as it comes."""

    def __init__(self, source: _Source, begin: Callable[[], None]) -> None:
        super().__init__()
        self._source = source
        self._begin = begin
        self.untouched = True
        self.at_end = False
        self.mistake: BadRequest | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        if self.at_end or not view:
            return 0
        if self.untouched:
            self.untouched = False
            self._begin()
        try:
            data = self._next(len(view))
        except BadRequest as error:
            self.mistake = error
            raise
        view[: len(data)] = data
        return len(data)

    def _next(self, size: int) -> bytes:
        raise NotImplementedError


class _Sized(_Raw):
    def __init__(self, source: _Source, length: int, begin: Callable[[], None]) -> None:
        super().__init__(source, begin)
        self._left = length
        self.at_end = length == 0

    def _next(self, size: int) -> bytes:
        data = self._source.read(min(size, self._left))
        self._left -= len(data)
        # A connection that ends early ends the body; whoever reads it compares the length.
        self.at_end = self._left == 0 or not data
        return data


class _Chunked(_Raw):
    def __init__(self, source: _Source, begin: Callable[[], None]) -> None:
        super().__init__(source, begin)
        self._left = 0
        self._first = True

    def _next(self, size: int) -> bytes:
        if self._left == 0:
            self._begin_chunk()
            if self.at_end:
                return b""
        data = self._source.read(min(size, self._left))
        if not data:
            raise BadRequest("The request ended within a chunk.")
        self._left -= len(data)
        return data

    def _begin_chunk(self) -> None:
        if not self._first and self._line():
            raise BadRequest("A chunk does not end where it should.")
        self._first = False
        text = self._line().partition(b";")[0].strip()
        # int() alone would take signs, underscores and a prefix as well.
        if not _SIZE.fullmatch(text):
            raise BadRequest("A chunk has no valid size.")
        self._left = int(text, 16)
        if self._left == 0:
            for _ in range(_MOST_TRAILERS):
                if not self._line():
                    self.at_end = True
                    return
            raise BadRequest("The request has too many trailers.")

    def _line(self) -> bytes:
        line = self._source.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise BadRequest("The request ended within its chunks.")
        return line.rstrip(b"\r\n")
