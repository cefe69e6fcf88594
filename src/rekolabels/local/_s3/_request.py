"""Parsed requests, the expiry of presigned URLs, and the parameters that several operations share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, quote, unquote

import attrs

from rekolabels.local._s3._errors import S3Error, not_implemented

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed.wsgi import WSGIEnvironment

__all__ = [
    "MAX_KEY_BYTES",
    "MAX_PAGE_SIZE",
    "MAX_PARTS",
    "ByteStream",
    "Request",
    "check_expiry",
    "check_key_length",
    "check_version",
    "copy_source",
    "key_encoder",
    "page_size",
    "parse_part_number",
    "parse_request",
]

MAX_KEY_BYTES = 1024
"""Limit for a key in UTF-8, in bytes."""
MAX_PAGE_SIZE = 1000
"""Limit for the entries of one listing, and for the keys of one DeleteObjects."""
MAX_PARTS = 10_000
"""Limit for the parts of a multipart upload."""
_MAX_LIFETIME = 7 * 24 * 3600  # seconds that a presigned URL may be valid
_RAW_HEADERS = "rekolabels.headers"
_IP_ADDRESS = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}|\[.*\]")
_S3_LABEL = re.compile(r"(?:\A|\.)s3(?:[.-]|\Z)")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class ByteStream(Protocol):
    """The methods of ``wsgi.input`` that are used."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; ``b""`` at the end."""
        ...

    def readline(self, size: int, /) -> bytes:
        """Return one line, or the first ``size`` bytes of a longer one."""
        ...


@attrs.frozen
class Request:
    """A parsed request."""

    method: str
    bucket: str
    """Empty for operations on the service (ListBuckets)."""
    key: str
    """Empty for operations on the bucket."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By lower-case name."""
    stream: ByteStream
    length: int | None
    """Length of the body in bytes; None when unknown, and ``stream`` ends where the body does."""

    def header(self, name: str) -> str | None:
        """Return a header; None when it is missing or empty."""
        return self.headers.get(name) or None


def parse_request(environ: WSGIEnvironment, bucket_exists: Callable[[str], bool]) -> Request:
    """Parse a WSGI request.

    Args:
        environ: The WSGI environment. The host may add ``rekolabels.headers``, the raw pairs of name and
            value: WSGI's variables do not distinguish ``x-amz-meta-my_name`` from ``x-amz-meta-my-name``.
        bucket_exists: Returns whether a bucket exists; needed to interpret unknown host names.

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
    bucket = _bucket_from_host(headers.get("host", ""), bucket_exists)
    if bucket:
        key = path
    else:
        bucket, _, key = path.partition("/")
    check_key_length(key)
    return Request(
        method=environ["REQUEST_METHOD"].upper(),
        bucket=bucket,
        key=key,
        query=query,
        headers=headers,
        stream=environ["wsgi.input"],
        length=_content_length(environ),
    )


def check_key_length(key: str) -> None:
    """Check that a key is not too long.

    Raises:
        S3Error: ``KeyTooLongError``.
    """
    size = len(key.encode())
    if size > MAX_KEY_BYTES:
        raise S3Error("KeyTooLongError", Size=str(size), MaxSizeAllowed=str(MAX_KEY_BYTES))


def _headers(environ: WSGIEnvironment) -> dict[str, str]:
    raw: Iterable[tuple[str, str]] | None = environ.get(_RAW_HEADERS)
    if raw is None:
        raw = (
            (name.removeprefix("HTTP_").replace("_", "-"), value)
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in {"CONTENT_TYPE", "CONTENT_LENGTH"}
        )
    headers = {name.lower(): _to_latin_1(value) for name, value in raw}
    headers.setdefault("host", environ.get("HTTP_HOST", ""))
    for name, value in headers.items():
        if _CONTROL.search(value):
            raise S3Error("InvalidArgument", "A header holds a control character.", ArgumentName=name)
    return headers


def _to_latin_1(value: str) -> str:
    """Return a header as WSGI has it: bytes decoded as Latin-1. In process it may hold any character."""
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        value = value.encode().decode("latin-1")
    return value.strip()


def _content_length(environ: WSGIEnvironment) -> int | None:
    text = environ.get("CONTENT_LENGTH") or ""
    if re.fullmatch("[0-9]{1,18}", text):
        return int(text)
    if text:
        raise S3Error(
            "InvalidArgument",
            "Content-Length is not a number of at most 18 digits.",
            ArgumentName="Content-Length",
        )
    return None if environ.get("wsgi.input_terminated") else 0


def _bucket_from_host(host: str, bucket_exists: Callable[[str], bool]) -> str:
    """Return the bucket that the host name of a virtual-hosted request holds; empty for path style.

    >>> exists = {"dogs"}.__contains__
    >>> [_bucket_from_host(host, exists) for host in ("127.0.0.1:4900", "localhost", "s3.test.invalid")]
    ['', '', '']
    >>> _bucket_from_host("my.cats.s3.eu-west-1.amazonaws.com", exists)
    'my.cats'
    >>> [_bucket_from_host(host, exists) for host in ("dogs.localhost:80", "dogs.lan", "cats.lan")]
    ['dogs', 'dogs', '']
    """
    name = host.lower()
    if _IP_ADDRESS.match(name):
        return ""
    name = name.partition(":")[0].rstrip(".")
    s3_labels = list(_S3_LABEL.finditer(name))
    if s3_labels:
        return name[: s3_labels[-1].start()]
    if name.endswith(".localhost"):
        return name.removesuffix(".localhost")
    # For any other endpoint (storage.lan) the first label is the bucket only if such a bucket exists.
    first, dot, _ = name.partition(".")
    return first if dot and bucket_exists(first) else ""


# -- presigned URLs ------------------------------------------------------------------------------------------


def check_expiry(query: Mapping[str, str], now: float) -> None:
    """Reject an expired presigned URL. The signature is not verified.

    Args:
        query: Query of the request, with signature version 4 (``X-Amz-Date``, ``X-Amz-Expires``) or 2
            (``Expires``), or neither.
        now: Seconds since 1970.

    Raises:
        S3Error: ``AccessDenied`` when the URL has expired, ``AuthorizationQueryParametersError`` when its
            date or lifetime is invalid.
    """
    if "X-Amz-Algorithm" in query or "X-Amz-Signature" in query:
        end = _signed_at(query) + _lifetime(query)
    elif "Signature" in query:
        expires = query.get("Expires", "")
        if not re.fullmatch("[0-9]{1,12}", expires):
            raise S3Error("AccessDenied", f"Invalid date (should be seconds since epoch): {expires}")
        end = float(expires)
    else:
        return
    if now > end:
        text = datetime.fromtimestamp(end, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        raise S3Error("AccessDenied", "Request has expired", Expires=text)


def _signed_at(query: Mapping[str, str]) -> float:
    try:
        # A literal Z: %z alone would accept other time zones as well.
        signed = datetime.strptime(query.get("X-Amz-Date", "") + "+0000", "%Y%m%dT%H%M%SZ%z")
    except ValueError as error:
        raise S3Error(
            "AuthorizationQueryParametersError",
            "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"",
        ) from error
    return signed.timestamp()


def _lifetime(query: Mapping[str, str]) -> int:
    text = query.get("X-Amz-Expires", "")
    if not re.fullmatch("[0-9]{1,12}", text):
        raise S3Error("AuthorizationQueryParametersError", "X-Amz-Expires should be a number")
    if int(text) > _MAX_LIFETIME:
        raise S3Error(
            "AuthorizationQueryParametersError",
            f"X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be"
            f" less than {_MAX_LIFETIME} seconds",
        )
    return int(text)


# -- parameters that several operations share ----------------------------------------------------------------


def page_size(request: Request, name: str) -> int:
    """Return the page size that the query parameter ``name`` asks for, at most `MAX_PAGE_SIZE`.

    Raises:
        S3Error: ``InvalidArgument``.
    """
    text = request.query.get(name, "")
    if not text:
        return MAX_PAGE_SIZE
    if not re.fullmatch("[0-9]{1,10}", text) or int(text) >= 2**31:
        raise S3Error(
            "InvalidArgument",
            f"Provided {name} not an integer or within integer range",
            ArgumentName=name,
            ArgumentValue=text,
        )
    return min(int(text), MAX_PAGE_SIZE)


def key_encoder(request: Request) -> Callable[[str], str]:
    """Return the function that encodes keys in the response as ``encoding-type`` asks.

    Raises:
        S3Error: ``InvalidArgument`` for an encoding other than ``url``.
    """
    encoding = request.query.get("encoding-type")
    if encoding not in {None, "url"}:
        raise S3Error(
            "InvalidArgument", "Invalid Encoding Method specified in Request", ArgumentName="encoding-type"
        )
    return (lambda text: quote(text, safe="/")) if encoding else str


def parse_part_number(text: str) -> int:
    """Parse a part number, 1 to `MAX_PARTS`.

    Raises:
        S3Error: ``InvalidArgument``.
    """
    number = int(text) if re.fullmatch("[0-9]{1,5}", text) else 0
    if not 1 <= number <= MAX_PARTS:
        raise S3Error(
            "InvalidArgument",
            f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive",
            ArgumentName="partNumber",
            ArgumentValue=text,
        )
    return number


def check_version(version: str | None) -> None:
    """Reject any version id except ``null``, the only one in unversioned buckets.

    Raises:
        S3Error: ``InvalidArgument``.
    """
    if version not in {None, "null"}:
        raise S3Error(
            "InvalidArgument",
            "Invalid version id specified",
            ArgumentName="versionId",
            ArgumentValue=version or "",
        )


def copy_source(request: Request) -> tuple[str, str]:
    """Return the bucket and the key in ``x-amz-copy-source``.

    Raises:
        S3Error: ``InvalidArgument``, or ``NotImplemented`` for access points.
    """
    text, _, version = request.headers["x-amz-copy-source"].partition("?versionId=")
    check_version(version or None)
    try:
        path = unquote(text, errors="strict").removeprefix("/")
    except UnicodeDecodeError as error:
        raise S3Error("InvalidArgument", "Copy Source must be URL-encoded UTF-8.") from error
    if path.startswith("arn:"):
        raise not_implemented("Copying from an access point")
    bucket, _, key = path.partition("/")
    if not bucket or not key:
        raise S3Error(
            "InvalidArgument",
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            ArgumentName="x-amz-copy-source",
            ArgumentValue=text,
        )
    return bucket, key
