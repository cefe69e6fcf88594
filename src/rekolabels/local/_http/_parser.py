"""Strict parser of HTTP/1.1 requests: the head by the grammar of RFC 9112, and the body that it announces.

A request that another reader of the standard could split differently is refused, because such requests hide a
second one from a proxy (request smuggling). So the parser takes none of the freedoms that RFC 9112 gives a
recipient: no bare line feeds, no folded lines, no second length.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Protocol

import attrs

from rekolabels.local._core._wsgi import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer

__all__ = ["RequestBody", "RequestHead", "open_body", "read_head"]

_MAX_HEAD_BYTES = 1 << 16
_MAX_FIELDS = 100
_MAX_LINE_BYTES = 4096
"""Limit for the line before a chunk, and for a trailer."""
_MAX_TRAILERS = 64

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Characters that RFC 3986 forbids but clients send (such as "|") are harmless; "#" would start a fragment.
_REQUEST_LINE = re.compile(
    rb"(?P<method>%s) (?:(?i:http)://(?P<host>[^/?#\s]+))?(?P<path>/[!-\"$->@-~]*)(?:\?(?P<query>[!-\"$-~]*))?"
    rb" HTTP/(?P<version>[0-9]\.[0-9])\r\n" % _TOKEN
)
# White space around the value is stripped afterwards: an expression for it would backtrack.
_FIELD = re.compile(rb"(%s):([\t\x20-\x7e\x80-\xff]*)\r\n" % _TOKEN)
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[\t ]*;[\t\x20-\x7e\x80-\xff]*)?\r\n")


@attrs.frozen
class RequestHead:
    """The request line and the fields of a request."""

    method: str
    path: str
    """Percent-encoded; begins with a slash."""
    query: str
    version: str
    """``1.0`` or ``1.1``."""
    host: str | None
    """Host name and port of an absolute target, which replaces the ``Host`` field."""
    headers: list[tuple[str, str]]
    """Names as the client wrote them; values without surrounding white space."""
    fields: dict[str, list[str]]
    """Values by lower-case name."""

    @property
    def line(self) -> str:
        """The request line without the query, which holds the signatures of presigned URLs."""
        return f"{self.method} {self.path}{'?...' if self.query else ''} HTTP/{self.version}"

    @property
    def hosts(self) -> list[str]:
        """The host names that the request is for; a valid request has exactly one."""
        return self.fields.get("host", []) if self.host is None else [self.host]

    @property
    def keeps_alive(self) -> bool:
        """Whether the client may send another request on the connection."""
        options = ",".join(self.fields.get("connection", ())).lower().split(",")
        return self.version == "1.1" and "close" not in (option.strip() for option in options)

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for ``100 Continue`` before it sends the body."""
        expected = self.fields.get("expect", ())
        return self.version == "1.1" and any(value.lower() == "100-continue" for value in expected)


class Source(Protocol):
    """The connection, as a buffered file."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; ``b""`` at the end."""
        ...

    def readline(self, size: int, /) -> bytes:
        """Return one line, or the first ``size`` bytes of a longer one."""
        ...


def read_head(source: Source) -> RequestHead | None:
    """Read the head of the next request.

    Args:
        source: The connection.

    Returns:
        The head; None when the client has closed the connection before it.

    Raises:
        BadRequest: The head is malformed (status 400), too large (431) or of another HTTP version (505).
    """
    line = source.readline(_MAX_HEAD_BYTES)
    if line == b"\r\n":  # RFC 9112, 2.2: clients may send an empty line after the last request
        line = source.readline(_MAX_HEAD_BYTES)
    if not line:
        return None
    left = _MAX_HEAD_BYTES - len(line)
    request = _REQUEST_LINE.fullmatch(line)
    if request is None:
        if left <= 0:
            raise _too_large()
        raise BadRequest("The request line is not valid HTTP/1.1.", line=line)
    version = request["version"].decode()
    if version not in {"1.0", "1.1"}:
        raise BadRequest("The server speaks HTTP/1.0 and HTTP/1.1 only.", status=505)
    headers: list[tuple[str, str]] = []
    fields: dict[str, list[str]] = {}
    while (line := source.readline(max(left, 2))) != b"\r\n":
        left -= len(line)
        field = _FIELD.fullmatch(line)
        if left <= 0 or len(headers) >= _MAX_FIELDS:
            raise _too_large()
        if field is None:
            raise BadRequest("A header line is not valid HTTP/1.1: expected 'name: value' and CR LF.")
        name, value = field[1].decode(), field[2].strip(b" \t").decode("latin-1")
        headers.append((name, value))
        fields.setdefault(name.lower(), []).append(value)
    host = request["host"]
    return RequestHead(
        method=request["method"].decode(),
        path=request["path"].decode(),
        query=(request["query"] or b"").decode(),
        version=version,
        host=None if host is None else host.decode("latin-1"),
        headers=headers,
        fields=fields,
    )


def _too_large() -> BadRequest:
    return BadRequest(
        f"The head of the request is larger than {_MAX_HEAD_BYTES} bytes or {_MAX_FIELDS} fields.", status=431
    )


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


def open_body(head: RequestHead, source: Source, on_first_read: Callable[[], None]) -> RequestBody:
    """Return the body of a request.

    Args:
        head: Head of the request.
        source: The connection.
        on_first_read: Called before the first byte is read.

    Raises:
        BadRequest: The head does not define one length of the body.
    """
    lengths, codings = head.fields.get("content-length", []), head.fields.get("transfer-encoding", [])
    if codings:
        if lengths or head.version != "1.1" or [coding.lower() for coding in codings] != ["chunked"]:
            raise BadRequest("Transfer-Encoding must be 'chunked', once and without a Content-Length.")
        return RequestBody(_Chunked(source, on_first_read), expected=True)
    if not lengths:
        return RequestBody(_Sized(source, 0, on_first_read), expected=False)
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise BadRequest("Content-Length must be one number of at most 18 digits.")
    length = int(lengths[0])
    return RequestBody(_Sized(source, length, on_first_read), expected=length > 0)


class _Raw(io.RawIOBase):
    """A body as it arrives from the connection."""

    def __init__(self, source: Source, on_first_read: Callable[[], None]) -> None:
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

    def __init__(self, source: Source, length: int, on_first_read: Callable[[], None]) -> None:
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

    def __init__(self, source: Source, on_first_read: Callable[[], None]) -> None:
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
        if not self._first and self._line() != b"\r\n":
            raise BadRequest("A chunk is longer than its size.")
        self._first = False
        start = _CHUNK.fullmatch(self._line())
        if start is None:
            raise BadRequest("A chunk has no valid size.")
        self._left = int(start[1], 16)
        if self._left == 0:
            for _ in range(_MAX_TRAILERS):
                line = self._line()
                if line == b"\r\n":
                    self.at_end = True
                    return
                if not _FIELD.fullmatch(line):
                    raise BadRequest("A trailer is not valid HTTP/1.1: expected 'name: value' and CR LF.")
            raise BadRequest(f"The request has more than {_MAX_TRAILERS - 1} trailers.")

    def _line(self) -> bytes:
        line = self._source.readline(_MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            reason = "has a line that is too long" if len(line) == _MAX_LINE_BYTES else "is incomplete"
            raise BadRequest(f"The chunked body {reason}.")
        return line
