"""Properties of streams: lines and bodies are read completely, however the source splits them."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekolabels.local._core._s3_objects import MAX_LINE_BYTES, read_lines
from rekolabels.local._core._wsgi import BadRequest
from rekolabels.local._http._parser import RequestHead, open_body, read_head


class Trickle(io.BytesIO):
    """A stream that returns at most a few bytes per read."""

    def __init__(self, content: bytes, portion: int) -> None:
        super().__init__(content)
        self._portion = portion

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most ``portion`` bytes."""
        return super().read(min(self._portion, size) if size and size > 0 else self._portion)


def chunked_head() -> RequestHead:
    """Return the head of a request with a chunked body."""
    head = read_head(io.BytesIO(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"))
    assert head is not None
    return head


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line)), st.integers(1, 50))
def test_lines_are_read_completely(lines: list[bytes], portion: int) -> None:
    """All lines, including empty ones, are returned, whatever the portions."""
    wanted = [line.removesuffix(b"\r") for line in lines]
    assert list(read_lines(Trickle(b"".join(line + b"\n" for line in lines), portion))) == wanted


def test_an_endless_line_is_cut() -> None:
    """A line is cut at the maximum, and the next line is complete."""
    long = b"x" * (3 * MAX_LINE_BYTES)
    first, second = read_lines(io.BytesIO(long + b"\nnext\n"))
    assert len(first) == MAX_LINE_BYTES
    assert second == b"next"


@given(st.lists(st.binary(min_size=1, max_size=30)), st.integers(1, 40))
def test_chunks_are_decoded(pieces: list[bytes], portion: int) -> None:
    """A chunked body is the concatenation of its chunks; nothing after it is read from the connection."""
    wire = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\nGET /"
    source = Trickle(wire, portion)
    assert open_body(chunked_head(), source, lambda: None).read() == b"".join(pieces)
    assert source.getvalue()[source.tell() :] == b"GET /"


@given(st.binary(max_size=60))
def test_malformed_chunks_end_in_an_error_or_a_body(wire: bytes) -> None:
    """Arbitrary bytes in place of chunks give a body or a BadRequest, and reading ends."""
    body = open_body(chunked_head(), io.BytesIO(wire), lambda: None)
    try:
        body.read()
    except BadRequest:
        with pytest.raises(BadRequest):
            body.check()
