"""Conditional requests and ranges, as RFC 9110 defines them and S3 applies them."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import attrs

from rekolabels.local._s3._errors import S3Error, not_implemented
from rekolabels.local._s3._request import parse_part_number
from rekolabels.local._s3._response import http_date

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rekolabels.local._s3._index import StoredObject
    from rekolabels.local._s3._request import Request

__all__ = [
    "Preconditions",
    "check_copy_conditions",
    "check_read_conditions",
    "requested_copy_range",
    "requested_part",
    "requested_range",
]

_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")
_COPY_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]+)")
_MAX_OFFSET = 10**18
"""Beyond the end of every object; offsets with more digits mean the same."""


@attrs.frozen
class Preconditions:
    """Conditions of a write, checked against the existing object within the commit."""

    if_match: str | None = None
    if_none_match: str | None = None

    @classmethod
    def of(cls, request: Request) -> Preconditions:
        """Return the conditions in the headers of a request.

        Raises:
            S3Error: ``NotImplemented`` for an ``If-None-Match`` other than ``*``, as in S3.
        """
        if_none_match = request.header("if-none-match")
        if if_none_match not in {None, "*"}:
            raise not_implemented("If-None-Match with an ETag, for a write,")
        return cls(request.header("if-match"), if_none_match)

    def check(self, existing: StoredObject | None) -> None:
        """Raise unless the conditions hold for the existing object.

        Raises:
            S3Error: ``PreconditionFailed``, or ``NoSuchKey`` when ``If-Match`` has no object to match.
        """
        if self.if_none_match is not None and existing is not None:
            raise S3Error("PreconditionFailed", Condition="If-None-Match")
        if self.if_match is None:
            return
        if existing is None:
            raise S3Error("NoSuchKey")
        if not _matches(self.if_match, existing.etag):
            raise S3Error("PreconditionFailed", Condition="If-Match")


def check_read_conditions(request: Request, stored: StoredObject) -> None:
    """Check the conditions of a GET or HEAD.

    Raises:
        S3Error: ``PreconditionFailed``, or ``NotModified``, which is sent without a document.
    """
    failed = _failed_condition(request.headers, stored, "")
    if failed in {"If-None-Match", "If-Modified-Since"}:
        raise S3Error(
            "NotModified", headers={"ETag": f'"{stored.etag}"', "Last-Modified": http_date(stored.modified)}
        )
    if failed:
        raise S3Error("PreconditionFailed", Condition=failed)


def check_copy_conditions(request: Request, source: StoredObject) -> None:
    """Check the conditions that a copy has for its source.

    Raises:
        S3Error: ``PreconditionFailed``.
    """
    failed = _failed_condition(request.headers, source, "x-amz-copy-source-")
    if failed:
        raise S3Error("PreconditionFailed", Condition=f"x-amz-copy-source-{failed}")


def _failed_condition(headers: Mapping[str, str], stored: StoredObject, prefix: str) -> str:
    """Return the condition that fails; ETags take precedence over dates (RFC 9110, 13.2.2)."""
    match = headers.get(f"{prefix}if-match")
    if match:
        if not _matches(match, stored.etag):
            return "If-Match"
    elif _modified_since(headers.get(f"{prefix}if-unmodified-since"), stored) is True:
        return "If-Unmodified-Since"
    none_match = headers.get(f"{prefix}if-none-match")
    if none_match:
        return "If-None-Match" if _matches(none_match, stored.etag) else ""
    unmodified = _modified_since(headers.get(f"{prefix}if-modified-since"), stored) is False
    return "If-Modified-Since" if unmodified else ""


def _matches(condition: str, etag: str) -> bool:
    """Return whether a list of ETags contains this one; ``*`` matches any."""
    names = [name.strip().removeprefix("W/").strip('"') for name in condition.split(",")]
    return "*" in names or etag in names


def _modified_since(date: str | None, stored: StoredObject) -> bool | None:
    """Return whether the object was modified after a date; None without a valid date."""
    if not date:
        return None
    try:
        parsed = parsedate_to_datetime(date)
        if parsed.tzinfo is None:
            parsed = parsed.replace(tzinfo=UTC)
        return stored.modified > parsed.timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):  # depending on what is wrong with the date
        return None


def requested_range(request: Request, stored: StoredObject) -> tuple[int, int] | None:
    """Return the byte range of a GET or HEAD: start, and one past the end; None for the whole object.

    An invalid range, or several ranges, are ignored, as RFC 9110 allows.

    Raises:
        S3Error: ``InvalidRange`` when the range starts beyond the object.
    """
    match = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if match is None or match.groups() == ("", ""):
        return None
    if_range = request.header("if-range")
    if if_range and not _matches(if_range, stored.etag) and _modified_since(if_range, stored) is not False:
        return None
    if not match[1]:
        start, end = max(0, stored.size - _offset(match[2])), stored.size
    else:
        start, last = _offset(match[1]), _offset(match[2]) if match[2] else _MAX_OFFSET
        end = min(last + 1, stored.size)
        if last < start:
            return None
    if start >= stored.size:
        raise S3Error(
            "InvalidRange", RangeRequested=request.headers["range"], ActualObjectSize=str(stored.size)
        )
    return start, end


def _offset(digits: str) -> int:
    """Return an offset of any number of digits, of which Python converts at most 4,300."""
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) < len(str(_MAX_OFFSET)) else _MAX_OFFSET


def requested_part(number: str, stored: StoredObject) -> tuple[int, int] | None:
    """Return the byte range of the part that ``partNumber`` names; None for an object without parts.

    Raises:
        S3Error: ``InvalidPartNumber`` when the object has fewer parts, ``InvalidArgument`` for an invalid
            number.
    """
    wanted = parse_part_number(number)
    if wanted > max(1, len(stored.parts)):
        raise S3Error("InvalidPartNumber", PartNumberRequested=number, ActualPartCount=str(len(stored.parts)))
    if not stored.parts:
        return None
    start = sum(stored.parts[: wanted - 1])
    return start, start + stored.parts[wanted - 1]


def requested_copy_range(request: Request, source: StoredObject) -> tuple[int, int]:
    """Return the byte range of the source that UploadPartCopy asks for: start, and one past the end.

    Raises:
        S3Error: ``InvalidArgument`` unless the range is ``bytes=first-last`` and inside the source.
    """
    text = request.header("x-amz-copy-source-range")
    if text is None:
        return 0, source.size
    match = _COPY_RANGE.fullmatch(text)
    if match is None:
        raise S3Error(
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are"
            " the zero-based offsets of the first and last bytes to copy",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=text,
        )
    first, last = _offset(match[1]), _offset(match[2])
    if first > last or last >= source.size:
        raise S3Error(
            "InvalidArgument",
            f"Range specified is not valid for source object of size: {source.size}",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=text,
        )
    return first, last + 1
