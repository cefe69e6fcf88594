"""Conditional requests and ranges, as RFC 9110 has them and S3 applies them."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import attrs

from rekolabels.local._s3._errors import S3Error, not_implemented
from rekolabels.local._s3._request import Request, http_date

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rekolabels.local._s3._index import Stored

MOST_PARTS = 10_000
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_COPY_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


@attrs.frozen
class Guard:
    """The conditions of a write: what must hold for the object that is there at the moment of the commit."""

    if_match: str | None = None
    if_none_match: str | None = None

    @classmethod
    def of(cls, request: Request) -> Guard:
        """The conditions that a request brings.

        Raises:
            S3Error: ``NotImplemented`` for an ``If-None-Match`` other than ``*``, as S3 does.
        """
        if_none_match = request.wants("if-none-match")
        if if_none_match not in {None, "*"}:
            raise not_implemented("If-None-Match with an ETag, for a write,")
        return cls(request.wants("if-match"), if_none_match)

    def check(self, there: Stored | None) -> None:
        """Refuse the write unless the conditions hold.

        Raises:
            S3Error: ``PreconditionFailed``, or ``NoSuchKey`` when there is nothing that could match.
        """
        if self.if_none_match is not None and there is not None:
            raise S3Error("PreconditionFailed", Condition="If-None-Match")
        if self.if_match is None:
            return
        if there is None:
            raise S3Error("NoSuchKey")
        if not _matches(self.if_match, there.etag):
            raise S3Error("PreconditionFailed", Condition="If-Match")


def check_read(request: Request, there: Stored) -> None:
    """Apply the conditions of a GET or HEAD.

    Raises:
        S3Error: ``PreconditionFailed``, or ``NotModified``, which has no document.
    """
    failed = _failed(request.headers, there, "")
    if failed in {"If-None-Match", "If-Modified-Since"}:
        raise S3Error(
            "NotModified", headers={"ETag": f'"{there.etag}"', "Last-Modified": http_date(there.modified)}
        )
    if failed:
        raise S3Error("PreconditionFailed", Condition=failed)


def check_copy_source(request: Request, source: Stored) -> None:
    """Apply the conditions that a copy has for its source.

    Raises:
        S3Error: ``PreconditionFailed``.
    """
    failed = _failed(request.headers, source, "x-amz-copy-source-")
    if failed:
        raise S3Error("PreconditionFailed", Condition=f"x-amz-copy-source-{failed}")


def _failed(headers: Mapping[str, str], there: Stored, prefix: str) -> str:
    """The condition that does not hold; an ETag counts more than a date (RFC 9110, 13.2.2)."""
    match = headers.get(f"{prefix}if-match")
    if match:
        if not _matches(match, there.etag):
            return "If-Match"
    elif _since(headers.get(f"{prefix}if-unmodified-since"), there) is True:
        return "If-Unmodified-Since"
    none_match = headers.get(f"{prefix}if-none-match")
    if none_match:
        return "If-None-Match" if _matches(none_match, there.etag) else ""
    return "If-Modified-Since" if _since(headers.get(f"{prefix}if-modified-since"), there) is False else ""


def _matches(condition: str, etag: str) -> bool:
    """Whether one of the ETags of a condition is the given one; ``*`` is any."""
    names = [name.strip().removeprefix("W/").strip('"') for name in condition.split(",")]
    return "*" in names or etag in names


def _since(date: str | None, there: Stored) -> bool | None:
    """Whether an object was modified after a date; None when there is no date to speak of."""
    if not date:
        return None
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return there.modified > moment.timestamp()


def read_range(request: Request, there: Stored) -> tuple[int, int] | None:
    """The bytes that a GET or HEAD asks for: first, and one past the last; None for all.

    A range that is not understood, or several at once, are ignored, as RFC 9110 allows.

    Raises:
        S3Error: ``InvalidRange`` when the object has no such bytes.
    """
    match = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if match is None or match.groups() == ("", ""):
        return None
    if_range = request.wants("if-range")
    if if_range and not _matches(if_range, there.etag) and _since(if_range, there) is not False:
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, there.size - int(last)), there.size
    else:
        start, end = int(first), there.size if not last else min(int(last) + 1, there.size)
        if last and int(last) < int(first):
            return None
    if start >= there.size:
        raise S3Error(
            "InvalidRange", RangeRequested=request.headers["range"], ActualObjectSize=str(there.size)
        )
    return start, end


def read_part(number: str, there: Stored) -> tuple[int, int] | None:
    """The bytes of a part that a GET or HEAD asks for by ``partNumber``; None when the object has no parts.

    Raises:
        S3Error: ``InvalidPartNumber`` when the object has not so many parts, ``InvalidArgument`` for no
            number.
    """
    wanted = part_number(number)
    if wanted > max(1, len(there.parts)):
        raise S3Error("InvalidPartNumber", PartNumberRequested=number, ActualPartCount=str(len(there.parts)))
    if not there.parts:
        return None
    start = sum(there.parts[: wanted - 1])
    return start, start + there.parts[wanted - 1]


def copy_range(request: Request, source: Stored) -> tuple[int, int]:
    """The bytes of the source that a part is copied from: first, and one past the last.

    Raises:
        S3Error: ``InvalidArgument`` for a range that is not ``bytes=first-last``, or not inside the source.
    """
    text = request.wants("x-amz-copy-source-range")
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
    first, last = int(match[1]), int(match[2])
    if first > last or last >= source.size:
        raise S3Error(
            "InvalidArgument",
            f"Range specified is not valid for source object of size: {source.size}",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=text,
        )
    return first, last + 1


def part_number(text: str) -> int:
    """The number of a part, 1 to 10,000.

    Raises:
        S3Error: ``InvalidArgument``.
    """
    number = int(text) if re.fullmatch("[0-9]{1,5}", text) else 0
    if not 1 <= number <= MOST_PARTS:
        raise S3Error(
            "InvalidArgument",
            f"Part number must be an integer between 1 and {MOST_PARTS}, inclusive",
            ArgumentName="partNumber",
            ArgumentValue=text,
        )
    return number
