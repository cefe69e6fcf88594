"""Cross-origin resource sharing (CORS): web pages of this machine may call the server; no others may."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["CorsMiddleware", "is_loopback_origin"]

_ORIGIN = re.compile(
    r"https?://(?P<host>localhost|127(?:\.\d{1,3}){3}|\[[\da-f:]{2,45}\])(?::\d{1,5})?", re.ASCII
)
_METHODS = ("DELETE", "GET", "HEAD", "POST", "PUT")
_HEADER_NAMES = re.compile(r"[A-Za-z\d-]{1,100}(?:[ \t]*,[ \t]*[A-Za-z\d-]{1,100}){0,99}", re.ASCII)
_MAX_AGE = "600"


def is_loopback_origin(origin: str) -> bool:
    """Return whether an ``Origin`` is that of a page of this machine: ``localhost`` or a loopback address.

    >>> is_loopback_origin("http://localhost:3000"), is_loopback_origin("https://[::1]")
    (True, True)
    >>> is_loopback_origin("http://localhost.example"), is_loopback_origin("null")
    (False, False)
    """
    match = _ORIGIN.fullmatch(origin)
    if match is None or match["host"] == "localhost":
        return match is not None
    try:
        return ipaddress.ip_address(match["host"].strip("[]")).is_loopback
    except ValueError:
        return False


class CorsMiddleware:
    """An application that pages of this machine may call, and whose responses they may read.

    It answers their preflight requests, which have no credentials. Other requests pass through; those of
    pages of other machines get no header that lets the page read the response.

    Args:
        app: The application.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        origin = environ.get("HTTP_ORIGIN", "")
        if not is_loopback_origin(origin):
            return self._app(environ, start_response)
        shared = [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]
        wanted = environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD")
        if environ["REQUEST_METHOD"] == "OPTIONS" and wanted is not None:
            names = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
            shared.append(("Access-Control-Allow-Methods", ", ".join(_METHODS)))
            if _HEADER_NAMES.fullmatch(names):
                shared.append(("Access-Control-Allow-Headers", names))
            start_response("204 No Content", [*shared, ("Access-Control-Max-Age", _MAX_AGE)])
            return ()
        # Without cookies, "*" stands for all headers, such as ETag and x-amzn-RequestId.
        shared.append(("Access-Control-Expose-Headers", "*"))

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
        ) -> Callable[[bytes], object]:
            return start_response(status, [*headers, *shared], exc_info)

        return self._app(environ, start)
