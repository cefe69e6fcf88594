"""WSGI for the hosts of the service: environ and start of the response."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed.wsgi import ErrorStream, InputStream, WSGIEnvironment

__all__ = ["BadRequest", "ResponseStart", "close_chunks", "make_environ"]

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
        if "_" in name:  # would be the same variable as the name with a hyphen
            continue
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
    """A request violates HTTP; the host answers with its status.

    Args:
        message: What is wrong.
        status: The status of the response.
        line: The line that is malformed, for the log.
    """

    def __init__(self, message: str, *, status: int = 400, line: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.line = line
