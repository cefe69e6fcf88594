"""Laws of the streams: lines and bodies arrive whole, however they are cut on the way."""

from __future__ import annotations

import io
from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekolabels.local._core._s3_objects import MAX_LINE_BYTES, read_lines
from rekolabels.local._core._wsgi import BadRequest, open_body


class Trickle(io.BytesIO):
    """A stream that gives as few bytes as it likes."""

    def __init__(self, content: bytes, portion: int) -> None:
        super().__init__(content)
        self._portion = portion

    def read(self, size: int | None = -1, /) -> bytes:
        """At most a portion."""
        return super().read(min(self._portion, size) if size and size > 0 else self._portion)


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line)), st.integers(1, 50))
def test_lines_are_read_whole(lines: list[bytes], portion: int) -> None:
    """Lines written one after the other come back, blank ones too, whatever the portions are."""
    wanted = [line.removesuffix(b"\r") for line in lines]
    assert list(read_lines(Trickle(b"".join(line + b"\n" for line in lines), portion))) == wanted


def test_a_line_without_end_is_cut() -> None:
    """A line of a gigabyte takes no more memory than a long one, and the next line is itself again."""
    long = b"x" * (3 * MAX_LINE_BYTES)
    first, second = read_lines(io.BytesIO(long + b"\nnext\n"))
    assert len(first) == MAX_LINE_BYTES
    assert second == b"next"


@given(st.lists(st.binary(min_size=1, max_size=30)), st.integers(1, 40))
def test_chunks_are_undone(pieces: list[bytes], portion: int) -> None:
    """A chunked body is the pieces put together; what follows it on the connection is not touched."""
    wire = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\nGET /"
    headers = Message()
    headers["Transfer-Encoding"] = "chunked"
    source = Trickle(wire, portion)
    assert open_body(headers, source, lambda: None).read() == b"".join(pieces)
    assert source.getvalue()[source.tell() :] == b"GET /"


@given(st.binary(max_size=60))
def test_broken_chunks_end_in_an_error_or_a_body(wire: bytes) -> None:
    """Any bytes in place of chunks give a body or a BadRequest, nothing else, and they end."""
    headers = Message()
    headers["Transfer-Encoding"] = "chunked"
    body = open_body(headers, io.BytesIO(wire), lambda: None)
    try:
        body.read()
    except BadRequest:
        with pytest.raises(BadRequest):
            body.check()
