"""Request parameters that several operations share: pages of results, and objects in S3."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import TYPE_CHECKING, Any

from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._jobs._s3_files import s3_reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from sqlite3 import Row

__all__ = [
    "PageQuery",
    "check_s3_object",
    "make_token",
    "read_token",
    "unreadable_s3_object",
]

_DEFAULT_PAGE_SIZE = 100

# A caller may change the page size between two pages, so it does not belong to the token.
_PAGING_MEMBERS = frozenset({"NextToken", "MaxResults"})


def make_token(operation: str, parameters: Mapping[str, Any], position: int | str) -> str:
    """Return the token of the page that begins after ``position``.

    Args:
        operation: Name of the operation.
        parameters: The request, for which alone the token is valid.
        position: Sort key of the last result so far.
    """
    content = json.dumps([_fingerprint(operation, parameters), position], separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).decode()


def read_token(operation: str, parameters: Mapping[str, Any]) -> Any:
    """Return the position after which the page begins; None for the first page.

    An empty token asks for the first page, as no token does.

    Raises:
        ServiceException: ``InvalidPaginationTokenException``: the token belongs to another request.
    """
    token = parameters.get("NextToken")
    if not token:
        return None
    try:
        fingerprint, position = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        fingerprint, position = None, None
    if fingerprint != _fingerprint(operation, parameters) or not isinstance(position, int | str):
        raise ServiceException(
            "InvalidPaginationTokenException",
            "NextToken is not valid: it must come from the previous answer to the same request.",
        )
    return position


class PageQuery:
    """Which page of results a request asks for.

    Args:
        operation: Name of the operation.
        parameters: The request.
        default_size: Results in a page if the request has no ``MaxResults``.

    Attributes:
        size: Most results in the page.
        position: Sort key after which the page begins; None for the first page.

    Raises:
        ServiceException: ``InvalidPaginationTokenException``: the token belongs to another request.
    """

    def __init__(
        self, operation: str, parameters: Mapping[str, Any], *, default_size: int = _DEFAULT_PAGE_SIZE
    ) -> None:
        self._operation = operation
        self._parameters = parameters
        self.size: int = parameters.get("MaxResults", default_size)
        self.position: Any = read_token(operation, parameters)

    def cut(self, rows: list[Row], sort_column: str) -> tuple[list[Row], str | None]:
        """Cut rows to the page.

        Args:
            rows: The sorted rows after the position, one more than ``size`` if there are as many.
            sort_column: The column that they are sorted by.

        Returns:
            The rows of the page, and the token of the next page. The last page has none: programs stop where
            the answer has no ``NextToken``, and some of AWS's own samples stop nowhere else.
        """
        if len(rows) <= self.size:
            return rows, None
        last = rows[self.size - 1][sort_column]
        return rows[: self.size], make_token(self._operation, self._parameters, last)


def check_s3_object(s3_object: Mapping[str, Any], parameter: str) -> None:
    """Check that an S3Object has a bucket and a name.

    Args:
        s3_object: The parameter's value.
        parameter: Its name, for the error message.

    Raises:
        ServiceException: ``InvalidParameterException``.
    """
    if not s3_object.get("Bucket") or not s3_object.get("Name"):
        raise ServiceException.invalid(f"{parameter} needs both Bucket and Name.")


def unreadable_s3_object(kind: str, s3_object: Mapping[str, Any], error: Exception) -> ServiceException:
    """Return the error for an object that S3 does not return.

    Args:
        kind: What the object is, for the error message.
        s3_object: The parameter's value.
        error: What boto3 raised.
    """
    uri = f"s3://{s3_object['Bucket']}/{s3_object['Name']}"
    return ServiceException("InvalidS3ObjectException", f"Cannot read {kind} {uri}: {s3_reason(error)}.")


def _fingerprint(operation: str, parameters: Mapping[str, Any]) -> str:
    query = {name: value for name, value in parameters.items() if name not in _PAGING_MEMBERS}
    text = json.dumps([operation, query], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
