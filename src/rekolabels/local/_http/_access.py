"""Access to the server: host names, web pages of other sites, active content, and the access token."""

from __future__ import annotations

import hmac
import ipaddress
import re
import uuid
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qsl

from rekolabels._arguments import check_text, invalid
from rekolabels.errors import InvalidInput
from rekolabels.local._core._s3_xml import error_document
from rekolabels.local._http._cors import is_loopback_origin
from rekolabels.local._http._error_response import CONTENT_TYPE, error_response
from rekolabels.local._http._sts import find_caller, sts_error

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from rekolabels.local._http._parser import RequestHead

__all__ = ["HostNames", "TokenMiddleware", "check_exposure", "protect_response"]

_MIN_TOKEN = 32
_HOW_TO = "Make one with `python -c 'import secrets; print(secrets.token_urlsafe(32))'`."
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,128}")
_HOST_NAME = re.compile(r"[a-z\d](?:[a-z\d.-]{0,251}[a-z\d])?", re.ASCII)
_PORT = re.compile(r":\d{1,5}", re.ASCII)
# With or without a bucket as the first label.
_LOOPBACK_NAME = re.compile(r"(?:(?:[a-z\d.-]+\.)?localhost|127(?:\.\d{1,3}){3}|\[::1\])\.?", re.ASCII)
_PAGE = re.compile(r"https?://(?P<host>[^/?#]*)(?:[/?#].*)?", re.IGNORECASE)
_SAME_SITE = frozenset({"same-origin", "same-site", "none"})
_CREDENTIAL = re.compile(r"(?:Credential=|\AAWS )([^/:,\s]+)")
# Types that a browser shows without running anything, or downloads.
_INERT = frozenset(
    {
        "application/json",
        "application/octet-stream",
        "binary/octet-stream",  # the default of S3
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "text/csv",
        "text/plain",
    }
)
_ATTACHMENT = re.compile(r"\s*attachment\s*(?:;.*)?", re.IGNORECASE)
# "same-site" rather than "same-origin": an application page at http://localhost:3000 may show stored images
# by presigned URLs of http://localhost:4900, as on AWS. (Chromium counts no two ports of an IP address as one
# site here.) Whoever can serve such a page runs a program on this machine.
_PROTECTION = [
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Resource-Policy", "same-site"),
]


def check_exposure(host: str, token: str | None, allowed_hosts: Collection[str]) -> bool:
    """Check that a server may listen on an address.

    Args:
        host: The IP address to listen on.
        token: The access token of the clients; None for none.
        allowed_hosts: The host names that clients use.

    Returns:
        Whether other machines can reach the address.

    Raises:
        InvalidInput: The address, the token or a host name is invalid, or other machines can reach the
            address and the token or the host names are missing. No message contains the token.
    """
    expected = "an IP address, such as '127.0.0.1' or '0.0.0.0'"
    check_text("host", host, expected)
    try:
        exposed = not ipaddress.ip_address(host).is_loopback
    except ValueError as error:
        fix = "Use '127.0.0.1'." if host == "localhost" else ""
        raise invalid("host", host, expected, fix) from error
    for name in allowed_hosts:
        if not _HOST_NAME.fullmatch(name.lower()):
            raise InvalidInput(
                f"Invalid host name {name!r} in allowed_hosts: expected a name or an IPv4 address without a "
                "port, such as 'rekolabels.internal'."
            )
    if token is not None and not isinstance(cast("object", token), str):
        raise InvalidInput(f"The access token is of type {type(token).__name__}; expected text. {_HOW_TO}")
    if token is not None and len(token) < _MIN_TOKEN:
        raise InvalidInput(
            f"The access token has {len(token)} characters; at least {_MIN_TOKEN} are required. {_HOW_TO}"
        )
    if token is not None and not _TOKEN.fullmatch(token):
        raise InvalidInput(
            "The access token is not a valid access key ID: expected up to 128 letters, digits, hyphens and "
            f"underscores. {_HOW_TO}"
        )
    if exposed and (token is None or not allowed_hosts):
        missing = "an access token" if token is None else "the host names of the service"
        raise InvalidInput(
            f"Cannot listen on {host} without {missing}: other machines can reach this address. Give "
            "`token=` and `allowed_hosts=` (--token-file and --allow-host), or listen on 127.0.0.1."
        )
    return exposed


class HostNames:
    """The host names that the server answers to: those of the loopback interface, and allowed ones.

    A page in a browser could reach the port through a host name of its own (DNS rebinding), and can make the
    browser send requests whose responses it cannot read (cross-site request forgery).

    Args:
        allowed: Further host names, without ports.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = frozenset(name.lower() for name in allowed)

    def accept(self, head: RequestHead) -> bool:
        """Return whether a request is for this server and not from a web page of another site.

        Requests of programs have none of the fields ``Sec-Fetch-Site``, ``Origin`` and ``Referer``.
        """
        fields = head.fields
        hosts = head.hosts
        return (
            len(hosts) == 1
            and self._is_own(hosts[0])
            and (
                # To a browser, two ports of an IP address are two sites. Pages cannot choose their Origin.
                all(value.lower() in _SAME_SITE for value in fields.get("sec-fetch-site", ()))
                or any(is_loopback_origin(value) for value in fields.get("origin", ()))
            )
            and all(self._is_own_page(value) for value in fields.get("origin", ()))
            and all(self._is_own_page(value) for value in fields.get("referer", ()))
        )

    def _is_own(self, host: str) -> bool:
        name, colon, port = host.lower().rpartition(":")
        if not colon or port.endswith("]"):
            name = host.lower()
        elif not _PORT.fullmatch(colon + port):
            return False
        return name in self._allowed or _LOOPBACK_NAME.fullmatch(name) is not None

    def _is_own_page(self, url: str) -> bool:
        page = _PAGE.fullmatch(url)
        return page is not None and self._is_own(page["host"])


def protect_response(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers of a response with those that keep its content from acting in a browser.

    Nothing is a document of the service's origin: content types are not guessed, documents have neither
    scripts nor an origin, other sites embed nothing, and all but a few inert types are downloads.
    """
    kept = list(headers)
    types = [value for name, value in kept if name.lower() == "content-type"]
    if len(types) != 1 or types[0].partition(";")[0].strip().lower() not in _INERT:
        given = [value for name, value in kept if name.lower() == "content-disposition"]
        download = given[0] if len(given) == 1 and _ATTACHMENT.fullmatch(given[0]) else "attachment"
        kept = [(name, value) for name, value in kept if name.lower() != "content-disposition"]
        kept.append(("Content-Disposition", download))
    return kept + _PROTECTION


class TokenMiddleware:
    """An application for those who know the access token, which they send as the access key ID.

    Args:
        app: The application.
        token: The access token.
    """

    def __init__(self, app: WSGIApplication, token: str) -> None:
        self._app = app
        self._token = token.encode()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._is_known(environ):
            return self._app(environ, start_response)
        message = "The access key ID is not the access token of this service."
        if environ.get("HTTP_X_AMZ_TARGET") is not None:
            _, extra, body = error_response("UnrecognizedClientException", message)
            headers = [("Content-Type", CONTENT_TYPE), *extra.items()]
        elif find_caller(environ) is not None:
            body = sts_error("InvalidClientTokenId", message, str(uuid.uuid4()))
            headers = [("Content-Type", "text/xml")]
        else:
            body = error_document("InvalidAccessKeyId", message)
            headers = [("Content-Type", "application/xml")]
        start_response("403 Forbidden", [*headers, ("Content-Length", str(len(body)))])
        return [body]

    def __repr__(self) -> str:
        return "<TokenMiddleware>"

    def _is_known(self, environ: WSGIEnvironment) -> bool:
        """Return whether the header or the query (of a presigned URL) has the token, and no other key."""
        keys = _CREDENTIAL.findall(environ.get("HTTP_AUTHORIZATION", ""))
        for name, value in parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True):
            if name == "X-Amz-Credential":
                keys.append(value.partition("/")[0])
            elif name == "AWSAccessKeyId":
                keys.append(value)
        matches = [hmac.compare_digest(key.encode(), self._token) for key in keys]
        return bool(matches) and all(matches)
