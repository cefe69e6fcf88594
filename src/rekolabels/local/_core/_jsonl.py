"""Lines of a file in S3, read as a stream: a manifest of a gigabyte never lies in memory as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LONGEST_LINE", "Readable", "read_lines"]

LONGEST_LINE = 400_001
"""Bytes that are kept of a line: more than 100,000 characters have in UTF-8; the rest is passed over."""

_CHUNK = 1 << 16


class Readable(Protocol):
    """Something that gives bytes, such as a body from S3."""

    def read(self, amount: int, /) -> bytes:
        """The next bytes, at most so many; none at the end."""
        ...


def read_lines(body: Readable) -> Iterator[bytes]:
    r"""The lines of a file without their ends; a line that is far too long comes cut.

    >>> import io
    >>> list(read_lines(io.BytesIO(b"one\r\n\ntwo")))
    [b'one', b'', b'two']
    """
    pending = b""
    while chunk := body.read(_CHUNK):
        first, *rest = chunk.split(b"\n")
        pending = (pending + first)[:LONGEST_LINE]
        for part in rest:
            yield pending.removesuffix(b"\r")
            pending = part
    if pending:
        yield pending.removesuffix(b"\r")
