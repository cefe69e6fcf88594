"""Pages of keys in order, those with a common beginning rolled up into one entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from rekolabels.local._s3._index import Stored, objects_from

if TYPE_CHECKING:
    import sqlite3


@attrs.frozen
class Page:
    """One page of a listing."""

    objects: tuple[Stored, ...]
    prefixes: tuple[str, ...]
    following: bytes | None
    """The key at which the next page may begin; None when this is the last."""
    last: str
    """The last entry of this page, an object's key or a common prefix; empty when there is none."""


def after_key(key: bytes) -> bytes:
    """The smallest key that is greater than a key."""
    return key + b"\0"


def after_prefix(prefix: bytes) -> bytes:
    """The smallest key that is greater than all keys with a beginning: UTF-8 has no byte 0xFF to overflow."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


@attrs.frozen
class Wish:
    """Which keys a listing is to show."""

    prefix: str = ""
    """Only keys that start so."""
    delimiter: str = ""
    """Keys that have it after the prefix are rolled up to it, itself included; empty for no rolling."""
    first: bytes = b""
    """The smallest key to list."""
    limit: int = 1000
    """The most entries, objects and common prefixes together."""


def list_page(db: sqlite3.Connection, bucket: str, wish: Wish) -> Page:
    """One page of the keys of a bucket."""
    start, mark = wish.prefix.encode(), wish.delimiter.encode()
    end = after_prefix(start) if start else None
    cursor = max(wish.first, start)
    objects: list[Stored] = []
    prefixes: list[str] = []
    last = ""
    again = wish.limit > 0
    while again:
        again = False
        for found in objects_from(db, bucket, cursor, end):
            key = found.key.encode()
            if key < cursor:
                # Inside a common prefix that is listed already: look for what comes after it.
                again = True
                break
            if len(objects) + len(prefixes) == wish.limit:
                return Page(tuple(objects), tuple(prefixes), cursor, last)
            at = key.find(mark, len(start)) if mark else -1
            if at < 0:
                objects.append(found)
                last = found.key
                cursor = after_key(key)
            else:
                common = key[: at + len(mark)]
                last = common.decode()
                prefixes.append(last)
                cursor = after_prefix(common)
    return Page(tuple(objects), tuple(prefixes), None, last)
