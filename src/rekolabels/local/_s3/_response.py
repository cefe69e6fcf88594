"""Responses, and the elements and headers that several operations put into them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import formatdate

import attrs

from rekolabels.local._core._s3_xml import Children, render

__all__ = [
    "OWNER",
    "Response",
    "checksum_elements",
    "checksum_headers",
    "checksum_type",
    "http_date",
    "timestamp",
    "xml_response",
]

OWNER: Children = [("ID", "0" * 64), ("DisplayName", "rekolabels")]
"""The one account, which owns every bucket and object."""


@attrs.frozen
class Response:
    """An HTTP response."""

    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])
    body: Iterable[bytes] = ()


def xml_response(
    root: str, children: str | Children, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a response whose body is an XML document; see `render` for the arguments."""
    body = render(root, children)
    return Response(
        status,
        {"Content-Type": "application/xml", "Content-Length": str(len(body)), **(headers or {})},
        [body],
    )


def timestamp(seconds: int) -> str:
    """Format seconds since 1970 as S3's XML documents do.

    >>> timestamp(0)
    '1970-01-01T00:00:00.000Z'
    """
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def http_date(seconds: int) -> str:
    """Format seconds since 1970 as HTTP headers do.

    >>> http_date(0)
    'Thu, 01 Jan 1970 00:00:00 GMT'
    """
    return formatdate(seconds, usegmt=True)


def checksum_type(checksums: Mapping[str, str]) -> str:
    """Return ``COMPOSITE`` for a checksum of the parts' checksums (``...-N``), else ``FULL_OBJECT``."""
    return "COMPOSITE" if any("-" in value for value in checksums.values()) else "FULL_OBJECT"


def checksum_headers(checksums: Mapping[str, str]) -> dict[str, str]:
    """Return the headers for an object's checksums (Base64 by algorithm)."""
    if not checksums:
        return {}
    named = {f"x-amz-checksum-{name}": value for name, value in checksums.items()}
    return {**named, "x-amz-checksum-type": checksum_type(checksums)}


def checksum_elements(checksums: Mapping[str, str]) -> Children:
    """Return the XML elements for an object's checksums (Base64 by algorithm)."""
    if not checksums:
        return []
    named = [(f"Checksum{name.upper()}", value) for name, value in checksums.items()]
    return [*named, ("ChecksumType", checksum_type(checksums))]
