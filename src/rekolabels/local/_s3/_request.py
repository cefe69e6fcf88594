"""A request taken apart, and an answer put together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl

import attrs

from rekolabels.local._core._s3_xml import Children, render
from rekolabels.local._s3._errors import S3Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed.wsgi import WSGIEnvironment

LONGEST_KEY = 1024  # bytes of UTF-8
_RAW_HEADERS = "rekolabels.headers"
_ADDRESS = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}|\[.*\]")
_S3_LABEL = re.compile(r"(?:\A|\.)s3(?:[.-]|\Z)")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Input(Protocol):
    """What is read of ``wsgi.input``."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        ...

    def readline(self, size: int, /) -> bytes:
        """One line, or its first so many bytes."""
        ...


@attrs.frozen
class Request:
    """One request."""

    method: str
    bucket: str
    """Empty for the service itself."""
    key: str
    """Empty for the bucket itself."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    stream: Input
    length: int | None
    """Bytes of the body; None when nobody said, and the host marks its end."""

    def wants(self, header: str) -> str | None:
        """A header; None when it is missing or empty."""
        return self.headers.get(header) or None


@attrs.frozen
class Answer:
    """One answer."""

    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])
    body: Iterable[bytes] = ()


def document(
    root: str, children: str | Children, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Answer:
    """An answer that is an XML document."""
    body = render(root, children)
    return Answer(
        status,
        {"Content-Type": "application/xml", "Content-Length": str(len(body)), **(headers or {})},
        [body],
    )


def read_request(environ: WSGIEnvironment, bucket_exists: Callable[[str], bool]) -> Request:
    """Take a request apart.

    Args:
        environ: As WSGI has it. A host may add ``rekolabels.headers``, the pairs of name and value as they
            came: WSGI's own form cannot tell ``x-amz-meta-my_name`` from ``x-amz-meta-my-name``.
        bucket_exists: Whether there is a bucket of a name; settles what an unknown host name means.

    Raises:
        S3Error: ``InvalidURI``, ``KeyTooLongError`` or ``InvalidArgument``.
    """
    headers = _headers(environ)
    try:
        path = environ.get("PATH_INFO", "").encode("latin-1").decode()
        query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True, errors="strict"))
    except ValueError as error:
        raise S3Error("InvalidURI") from error
    path = path.removeprefix("/")
    bucket = _bucket_of_host(headers.get("host", ""), bucket_exists)
    if bucket:
        key = path
    else:
        bucket, _, key = path.partition("/")
    if len(key.encode()) > LONGEST_KEY:
        raise S3Error("KeyTooLongError", Size=str(len(key.encode())), MaxSizeAllowed=str(LONGEST_KEY))
    return Request(
        method=environ["REQUEST_METHOD"].upper(),
        bucket=bucket,
        key=key,
        query=query,
        headers=headers,
        stream=environ["wsgi.input"],
        length=_length(environ),
    )


def _headers(environ: WSGIEnvironment) -> dict[str, str]:
    raw: Iterable[tuple[str, str]] | None = environ.get(_RAW_HEADERS)
    if raw is None:
        raw = (
            (name.removeprefix("HTTP_").replace("_", "-"), value)
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in {"CONTENT_TYPE", "CONTENT_LENGTH"}
        )
    headers = {name.lower(): _as_received(value) for name, value in raw}
    headers.setdefault("host", environ.get("HTTP_HOST", ""))
    for name, value in headers.items():
        if _CONTROL.search(value):
            raise S3Error("InvalidArgument", "A header holds a control character.", ArgumentName=name)
    return headers


def _as_received(value: str) -> str:
    """A header as it comes over the wire, bytes read as Latin-1: in process it may hold any character."""
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        value = value.encode().decode("latin-1")
    return value.strip()


def _length(environ: WSGIEnvironment) -> int | None:
    text = environ.get("CONTENT_LENGTH") or ""
    if text.isascii() and text.isdigit():
        return int(text)
    if text:
        raise S3Error("InvalidArgument", "Content-Length is not a number.", ArgumentName="Content-Length")
    return None if environ.get("wsgi.input_terminated") else 0


def _bucket_of_host(host: str, bucket_exists: Callable[[str], bool]) -> str:
    """The bucket that a virtual-hosted request names before the endpoint's host; empty for path style.

    >>> exists = {"dogs"}.__contains__
    >>> [_bucket_of_host(host, exists) for host in ("127.0.0.1:4900", "localhost", "s3.test.invalid")]
    ['', '', '']
    >>> _bucket_of_host("my.cats.s3.eu-west-1.amazonaws.com", exists)
    'my.cats'
    >>> [_bucket_of_host(host, exists) for host in ("dogs.localhost:80", "dogs.lan", "cats.lan")]
    ['dogs', 'dogs', '']
    """
    name = host.lower()
    if _ADDRESS.match(name):
        return ""
    name = name.partition(":")[0].rstrip(".")
    marks = list(_S3_LABEL.finditer(name))
    if marks:
        return name[: marks[-1].start()]
    if name.endswith(".localhost"):
        return name.removesuffix(".localhost")
    # An endpoint of any other name (storage.lan): nothing tells where the bucket ends, but that it exists.
    first, dot, _ = name.partition(".")
    return first if dot and bucket_exists(first) else ""


def http_date(seconds: int) -> str:
    """A point in time as HTTP writes it."""
    return formatdate(seconds, usegmt=True)
