"""Pages: the tokens that say where the next one begins."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import TYPE_CHECKING, Any

from rekolabels.local._core._exceptions import ServiceException

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_PAGE", "make_token", "read_token"]

DEFAULT_PAGE = 100
"""Results in a page when the caller does not say; also the most that the service gives."""

# Not part of the question that a token belongs to: a caller may change the size of the pages midway.
_PAGING = frozenset({"NextToken", "MaxResults"})


def make_token(operation: str, parameters: Mapping[str, Any], position: int | str) -> str:
    """The token of the page that begins after ``position``."""
    content = json.dumps([_question(operation, parameters), position], separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).decode()


def read_token(operation: str, parameters: Mapping[str, Any]) -> Any:
    """The position after which the page begins; None for the first page (no token, or an empty one).

    Raises:
        ServiceException: ``InvalidPaginationTokenException`` when the token was not given for this question.
    """
    token = parameters.get("NextToken")
    if not token:
        return None
    try:
        question, position = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        question, position = None, None
    if question != _question(operation, parameters) or not isinstance(position, int | str):
        raise ServiceException(
            "InvalidPaginationTokenException",
            "NextToken is not valid: it must come from the previous answer to the same request.",
        )
    return position


def _question(operation: str, parameters: Mapping[str, Any]) -> str:
    asked = {name: value for name, value in parameters.items() if name not in _PAGING}
    text = json.dumps([operation, asked], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
