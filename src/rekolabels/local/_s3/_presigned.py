"""Presigned URLs: the signature is not verified, the time they expire at is honoured."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rekolabels.local._s3._errors import S3Error

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST = 7 * 24 * 3600  # seconds


def check_expiry(query: Mapping[str, str], now: float) -> None:
    """Refuse a presigned URL whose time is over.

    Args:
        query: The query of the request: version 4 (``X-Amz-Date``, ``X-Amz-Expires``) or 2 (``Expires``).
        now: Seconds since 1970.

    Raises:
        S3Error: ``AccessDenied`` when it has expired, ``AuthorizationQueryParametersError`` when it cannot
            be told.
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
        moment = datetime.fromtimestamp(end, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        raise S3Error("AccessDenied", "Request has expired", Expires=moment)


def _signed_at(query: Mapping[str, str]) -> float:
    try:
        # %z would take other zones as well; S3 has Z alone.
        moment = datetime.strptime(query.get("X-Amz-Date", "") + "+0000", "%Y%m%dT%H%M%SZ%z")
    except ValueError as error:
        raise S3Error(
            "AuthorizationQueryParametersError",
            "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"",
        ) from error
    return moment.timestamp()


def _lifetime(query: Mapping[str, str]) -> int:
    text = query.get("X-Amz-Expires", "")
    if not re.fullmatch("[0-9]{1,12}", text):
        raise S3Error("AuthorizationQueryParametersError", "X-Amz-Expires should be a number")
    if int(text) > _LONGEST:
        raise S3Error(
            "AuthorizationQueryParametersError",
            f"X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be"
            f" less than {_LONGEST} seconds",
        )
    return int(text)
