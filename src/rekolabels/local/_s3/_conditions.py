"""Conditional requests and ranges, as RFC 9110 defines them and S3 applies them."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import attrs

from rekolabels.local._s3._errors import S3Error
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
    """Conditions of a write or a deletion, checked against the existing object within the commit."""

    if_match: str | None = None
    if_none_match: str | None = None
    modified: int | None = None
    """When the object must have been modified last, in seconds since 1970."""
    size: int | None = None
    """Size that the object must have, in bytes."""

    @classmethod
    def of_write(cls, request: Request) -> Preconditions:
        """Return the conditions in the headers of a request that writes an object."""
        return cls(request.header("if-match"), request.header("if-none-match"))

    @classmethod
    def of_deletion(cls, etag: str | None, modified: str | None, size: str | None) -> Preconditions:
        """Return the conditions of a deletion.

        Args:
            etag: The ETag, or ``*``.
            modified: The date of the last modification, as in HTTP headers or in XML.
            size: The size in bytes.

        Raises:
            S3Error: ``InvalidArgument`` for a date or a size that is none.
        """
        return cls(
            if_match=etag or None,
            modified=_date_condition(modified) if modified else None,
            size=_size_condition(size) if size else None,
        )

    def check(self, existing: StoredObject | None) -> None:
        """Raise unless the conditions hold for the existing object.

        Raises:
            S3Error: ``PreconditionFailed``, or ``NoSuchKey`` without an object to match.
        """
        if self.if_none_match is not None and existing is not None and _matches(self.if_none_match, existing):
            raise S3Error("PreconditionFailed", Condition="If-None-Match")
        if self.if_match is None and self.modified is None and self.size is None:
            return
        if existing is None:
            raise S3Error("NoSuchKey")
        if self.if_match is not None and not _matches(self.if_match, existing):
            raise S3Error("PreconditionFailed", Condition="If-Match")
        if self.modified not in {None, existing.modified}:
            raise S3Error("PreconditionFailed", Condition="x-amz-if-match-last-modified-time")
        if self.size not in {None, existing.size}:
            raise S3Error("PreconditionFailed", Condition="x-amz-if-match-size")


def _date_condition(text: str) -> int:
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        with contextlib.suppress(ValueError, TypeError, OverflowError, IndexError):
            return int(_in_utc(parse(text)).timestamp())
    raise S3Error(
        "InvalidArgument",
        "The last modified time is not a date.",
        ArgumentName="x-amz-if-match-last-modified-time",
    )


def _size_condition(text: str) -> int:
    if not re.fullmatch("[0-9]{1,18}", text):
        raise S3Error("InvalidArgument", "The size is not a number.", ArgumentName="x-amz-if-match-size")
    return int(text)


def _in_utc(date: datetime) -> datetime:
    """Return a date with a time zone: without one it is in UTC."""
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date


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
        if not _matches(match, stored):
            return "If-Match"
    elif _modified_since(headers.get(f"{prefix}if-unmodified-since"), stored) is True:
        return "If-Unmodified-Since"
    none_match = headers.get(f"{prefix}if-none-match")
    if none_match:
        return "If-None-Match" if _matches(none_match, stored) else ""
    unmodified = _modified_since(headers.get(f"{prefix}if-modified-since"), stored) is False
    return "If-Modified-Since" if unmodified else ""


def _matches(condition: str, stored: StoredObject) -> bool:
    """Return whether a list of ETags contains that of the object; ``*`` matches any."""
    names = [name.strip().removeprefix("W/").strip('"') for name in condition.split(",")]
    return "*" in names or stored.etag in names


def _modified_since(date: str | None, stored: StoredObject) -> bool | None:
    """Return whether the object was modified after a date; None without a valid date."""
    if not date:
        return None
    try:
        return stored.modified > _in_utc(parsedate_to_datetime(date)).timestamp()
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
    if if_range and not _matches(if_range, stored) and _modified_since(if_range, stored) is not False:
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
    """Return the byte range of the part that ``partNumber`` names; None for an empty object.

    An object that was not uploaded in parts is its own part 1.

    Raises:
        S3Error: ``InvalidPartNumber`` when the object has fewer parts, ``InvalidArgument`` for an invalid
            number.
    """
    wanted = parse_part_number(number)
    if wanted > max(1, len(stored.parts)):
        raise S3Error("InvalidPartNumber", PartNumberRequested=number, ActualPartCount=str(len(stored.parts)))
    if not stored.size:
        return None  # Content-Range cannot express an empty range
    if not stored.parts:
        return 0, stored.size
    start = sum(part.size for part in stored.parts[: wanted - 1])
    return start, start + stored.parts[wanted - 1].size


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
