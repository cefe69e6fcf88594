"""WSGI for the hosts of the service: environ, start of the response, bodies of HTTP/1.1 requests."""

from __future__ import annotations

import io
import re
import sys
from typing import TYPE_CHECKING, Any, NoReturn, Protocol
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from email.message import Message

    from _typeshed import WriteableBuffer
    from _typeshed.wsgi import ErrorStream, InputStream, WSGIEnvironment

__all__ = ["BadRequest", "RequestBody", "ResponseStart", "close_chunks", "make_environ", "open_body"]

_MAX_LINE_BYTES = 4096
_MAX_TRAILERS = 64
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,15}")
_WITHOUT_PREFIX = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})


def make_environ(
    method: str,
    path: str,
    query: str,
    headers: list[tuple[str, str]],
    body: InputStream,
    *,
    scheme: str,
    host: str,
    port: int,
    protocol: str = "HTTP/1.1",
    errors: ErrorStream | None = None,
) -> WSGIEnvironment:
    """Return the WSGI environ of a request.

    Args:
        method: The HTTP method, in capitals.
        path: The path, percent-encoded.
        query: The query string.
        headers: All headers; the application finds them unchanged under ``rekolabels.headers``.
        body: A stream that ends where the body ends.
        scheme: ``http`` or ``https``.
        host: Name of the server.
        port: Port of the server.
        protocol: HTTP version of the request.
        errors: Stream for the application's error output; stderr by default.
    """
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": protocol,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": errors or sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "rekolabels.headers": headers,
    }
    for name, value in headers:
        key = name.upper().replace("-", "_")
        environ[key if key in _WITHOUT_PREFIX else f"HTTP_{key}"] = value.strip()
    return environ


class ResponseStart:
    """The ``start_response`` of a host: keeps the status and headers.

    Attributes:
        status: Status code and reason, such as ``200 OK``; empty until the application calls.
        headers: The response headers.
    """

    def __init__(self) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        """Store what the application starts its response with."""
        if exc_info is not None and self.status:
            raise exc_info[1]
        self.status, self.headers = status, headers
        return _no_write

    @property
    def status_code(self) -> int:
        """The HTTP status."""
        return int(self.status[:3])


def _no_write(_data: bytes) -> NoReturn:
    raise NotImplementedError("WSGI's write() is not supported: return the body instead.")


def close_chunks(chunks: Iterable[bytes]) -> None:
    """Call the ``close`` method of a WSGI response body, if it has one."""
    close = getattr(chunks, "close", None)
    if close is not None:
        close()


class BadRequest(Exception):
    """A request violates HTTP; the host answers with status 400."""


class _Source(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def readline(self, size: int, /) -> bytes: ...


class RequestBody(io.BufferedReader):
    """The body of a request, as a file that ends where the body ends.

    Attributes:
        expected: Whether the request has a body.
    """

    def __init__(self, raw: _Sized | _Chunked, *, expected: bool) -> None:
        super().__init__(raw)
        self.expected = expected
        self._raw_body = raw

    def check(self) -> None:
        """Raise the error that a reader met, even if that reader has handled it.

        Raises:
            BadRequest: The chunked encoding is malformed.
        """
        if self._raw_body.error is not None:
            raise self._raw_body.error

    def drain(self, limit: int) -> bool:
        """Read and discard the rest of the body, up to ``limit`` bytes.

        Returns:
            Whether the end was reached: the next request on the connection can be read.
        """
        if self._raw_body.at_end:
            return True
        try:
            while limit > 0:
                data = self.read1(1 << 16)
                if not data:
                    return True
                limit -= len(data)
        except (BadRequest, OSError):
            return False
        return False


def open_body(headers: Message, source: _Source, on_first_read: Callable[[], None]) -> RequestBody:
    """Return the body of a request.

    Args:
        headers: Headers of the request.
        source: The connection.
        on_first_read: Called before the first byte is read.

    Raises:
        BadRequest: The headers do not define one length of the body.
    """
    coding = headers.get("Transfer-Encoding")
    lengths = set(headers.get_all("Content-Length") or [])
    if coding is not None:
        if lengths or coding.strip().lower() != "chunked":
            raise BadRequest("Transfer-Encoding must be 'chunked', without a Content-Length.")
        return RequestBody(_Chunked(source, on_first_read), expected=True)
    if not lengths:
        return RequestBody(_Sized(source, 0, on_first_read), expected=False)
    length = lengths.pop().strip()
    if lengths or not (length.isascii() and length.isdigit()):
        raise BadRequest("Content-Length must be one number.")
    return RequestBody(_Sized(source, int(length), on_first_read), expected=int(length) > 0)


class _Raw(io.RawIOBase):
    """A body as it arrives from the connection."""

    def __init__(self, source: _Source, on_first_read: Callable[[], None]) -> None:
        super().__init__()
        self._source = source
        self._on_first_read = on_first_read
        self._started = False
        self.at_end = False
        self.error: BadRequest | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        if self.at_end or not view:
            return 0
        if not self._started:
            self._started = True
            self._on_first_read()
        try:
            data = self._next(len(view))
        except BadRequest as error:
            self.error = error
            raise
        view[: len(data)] = data
        return len(data)

    def _next(self, size: int) -> bytes:
        raise NotImplementedError


class _Sized(_Raw):
    """A body with a Content-Length."""

    def __init__(self, source: _Source, length: int, on_first_read: Callable[[], None]) -> None:
        super().__init__(source, on_first_read)
        self._left = length
        self.at_end = length == 0

    def _next(self, size: int) -> bytes:
        data = self._source.read(min(size, self._left))
        self._left -= len(data)
        # A connection that closes early ends the body; the reader compares the length.
        self.at_end = self._left == 0 or not data
        return data


class _Chunked(_Raw):
    """A body in chunked transfer encoding."""

    def __init__(self, source: _Source, on_first_read: Callable[[], None]) -> None:
        super().__init__(source, on_first_read)
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
            raise BadRequest("A chunk is longer than its size.")
        self._first = False
        text = self._line().partition(b";")[0].strip()
        # int() alone would also accept signs, underscores and a prefix.
        if not _CHUNK_SIZE.fullmatch(text):
            raise BadRequest("A chunk has no valid size.")
        self._left = int(text, 16)
        if self._left == 0:
            for _ in range(_MAX_TRAILERS):
                if not self._line():
                    self.at_end = True
                    return
            raise BadRequest(f"The request has more than {_MAX_TRAILERS - 1} trailers.")

    def _line(self) -> bytes:
        line = self._source.readline(_MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise BadRequest("The request ended before its last chunk.")
        return line.rstrip(b"\r\n")
