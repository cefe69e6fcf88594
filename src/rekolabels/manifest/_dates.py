"""The form of ``creation-date``. The rooms that use it have no clock: the date comes from the caller."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

__all__ = ["UNKNOWN_DATE", "date_text"]

UNKNOWN_DATE: Final = "1970-01-01T00:00:00"
"""Written where the caller gives no date: the service asks for one but does not look at it."""


def date_text(created: datetime | str | None) -> str:
    """The date as a manifest writes it, in UTC; a text is taken as it is.

    >>> date_text(datetime(2024, 3, 1, 9, 30, tzinfo=timezone.utc))
    '2024-03-01T09:30:00.000Z'
    """
    if created is None:
        return UNKNOWN_DATE
    if isinstance(created, str):
        return created
    moment = created if created.tzinfo is None else created.astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
