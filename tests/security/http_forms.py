"""Malformed HTTP/1.1 requests, as bytes: what two readers of RFC 9112 may understand in two ways.

Each form ends with bytes that a lenient reader treats as a second request (`SMUGGLED`), or as part of one. A
strict server refuses the first request and closes the connection, so nothing after it is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["REFUSED", "SMUGGLED", "VALID"]

SMUGGLED = b"PUT /bucket/smuggled HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"


def _put(*lines: bytes, body: bytes = SMUGGLED) -> bytes:
    """Return a PutObject request with additional header lines."""
    fields = b"".join(line + b"\r\n" for line in lines)
    return b"PUT /bucket/first HTTP/1.1\r\nHost: localhost\r\n%s\r\n%s" % (fields, body)


def _chunked(body: bytes) -> bytes:
    return _put(b"Transfer-Encoding: chunked", body=body + SMUGGLED)


def _line(line: bytes) -> bytes:
    """Return a request with another request line."""
    return line + b"Host: localhost\r\nContent-Length: 0\r\n\r\n" + SMUGGLED


_SIZE = b"Content-Length: %d" % len(SMUGGLED)
_LAST = b"0\r\n\r\n"

REFUSED: Mapping[str, bytes] = {
    # field names and lines
    "space before the colon": _put(b"Content-Length : %d" % len(SMUGGLED)),
    "tab before the colon": _put(b"Content-Length\t: %d" % len(SMUGGLED)),
    "line without a colon": _put(b"x", _SIZE),
    "line without a colon, last": _put(_SIZE, b"x"),
    "empty field name": _put(b": x", _SIZE),
    "space in a field name": _put(b"Content Length: %d" % len(SMUGGLED)),
    "control in a field name": _put(b"Content-Length\x01: %d" % len(SMUGGLED)),
    "byte over 127 in a field name": _put(b"\xa0Content-Length: %d" % len(SMUGGLED)),
    "separator in a field name": _put(b"Content(Length): 1", _SIZE),
    "folded line": _put(b"X-Folded: a", b" b", _SIZE),
    "folded Transfer-Encoding": _put(b"Transfer-Encoding:", b" chunked", body=_LAST + SMUGGLED),
    "space before the first field": b"PUT /bucket/first HTTP/1.1\r\n Host: localhost\r\n\r\n" + SMUGGLED,
    "bare LF after a field": _put(b"X: a\n" + _SIZE),
    "bare LF after the request line": b"PUT /bucket/first HTTP/1.1\nHost: localhost\r\n\r\n" + SMUGGLED,
    "bare LF ends the head": b"PUT /bucket/first HTTP/1.1\r\nHost: localhost\r\n\n" + SMUGGLED,
    "bare CR in a value": _put(b"X: a\r" + _SIZE),
    "CR before CR LF": _put(b"X: a\r", _SIZE),
    "NUL in a value": _put(b"X: a\x00b", _SIZE),
    "control in a value": _put(b"X: a\x0bb", _SIZE),
    # framing
    "second Transfer-Encoding": _put(
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=_LAST + SMUGGLED
    ),
    "Transfer-Encoding twice": _put(
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=_LAST + SMUGGLED
    ),
    "vertical tab before chunked": _put(b"Transfer-Encoding: \x0bchunked", body=_LAST + SMUGGLED),
    "no-break space before chunked": _put(b"Transfer-Encoding: \xa0chunked", body=_LAST + SMUGGLED),
    "next line after chunked": _put(b"Transfer-Encoding: chunked\x85", body=_LAST + SMUGGLED),
    "quoted chunked": _put(b'Transfer-Encoding: "chunked"', body=_LAST + SMUGGLED),
    "unknown coding": _put(b"Transfer-Encoding: xchunked", body=_LAST + SMUGGLED),
    "identity": _put(b"Transfer-Encoding: identity", body=SMUGGLED),
    "chunked twice": _put(b"Transfer-Encoding: chunked, chunked", body=_LAST + SMUGGLED),
    "gzip and chunked": _put(b"Transfer-Encoding: gzip, chunked", body=_LAST + SMUGGLED),
    "empty Transfer-Encoding": _put(b"Transfer-Encoding:", _SIZE),
    "Content-Length and Transfer-Encoding": _put(_SIZE, b"Transfer-Encoding: chunked", body=_LAST + SMUGGLED),
    "Transfer-Encoding and Content-Length": _put(b"Transfer-Encoding: chunked", _SIZE, body=_LAST + SMUGGLED),
    "Transfer-Encoding in HTTP/1.0": b"PUT /bucket/first HTTP/1.0\r\nHost: localhost\r\n"
    b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + _LAST + SMUGGLED,
    "two Content-Lengths": _put(b"Content-Length: 0", _SIZE),
    "Content-Length twice": _put(_SIZE, _SIZE),
    "list of Content-Lengths": _put(b"Content-Length: %d, %d" % (len(SMUGGLED), len(SMUGGLED))),
    "signed Content-Length": _put(b"Content-Length: +%d" % len(SMUGGLED)),
    "negative Content-Length": _put(b"Content-Length: -1"),
    "Content-Length with underscore": _put(b"Content-Length: 1_0"),
    "hexadecimal Content-Length": _put(b"Content-Length: 0x10"),
    "Content-Length in other digits": _put("Content-Length: ٣".encode()),
    "empty Content-Length": _put(b"Content-Length:"),
    "vertical tab in Content-Length": _put(b"Content-Length: \x0b%d" % len(SMUGGLED)),
    "Content-Length of 25 digits": _put(b"Content-Length: " + b"9" * 25),
    "Content-Length of 5000 digits": _put(b"Content-Length: " + b"9" * 5000),
    # chunks
    "chunk size with sign": _chunked(b"+5\r\nhello\r\n0\r\n\r\n"),
    "negative chunk size": _chunked(b"-5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with underscore": _chunked(b"0_5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with prefix": _chunked(b"0x5\r\nhello\r\n0\r\n\r\n"),
    "space before the chunk size": _chunked(b" 5\r\nhello\r\n0\r\n\r\n"),
    "vertical tab before the chunk size": _chunked(b"\x0b5\r\nhello\r\n0\r\n\r\n"),
    "vertical tab after the chunk size": _chunked(b"5\x0b\r\nhello\r\n0\r\n\r\n"),
    "no chunk size": _chunked(b"\r\nhello\r\n0\r\n\r\n"),
    "only an extension": _chunked(b";a=b\r\nhello\r\n0\r\n\r\n"),
    "chunk size of 20 digits": _chunked(b"f" * 20 + b"\r\nhello\r\n0\r\n\r\n"),
    "bare LF after the chunk size": _chunked(b"5\nhello\r\n0\r\n\r\n"),
    "bare LF after an extension": _chunked(b"5;a\nhello\r\n0\r\n\r\n"),
    "CR in an extension": _chunked(b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    "NUL in an extension": _chunked(b"5;a=\x00\r\nhello\r\n0\r\n\r\n"),
    "endless extension": _chunked(b"5;" + b"a" * 70_000 + b"\r\nhello\r\n0\r\n\r\n"),
    "bare LF after a chunk": _chunked(b"5\r\nhello\n0\r\n\r\n"),
    "CR CR LF after a chunk": _chunked(b"5\r\nhello\r\r\n0\r\n\r\n"),
    "two bytes after a chunk": _chunked(b"5\r\nhelloXX0\r\n\r\n"),
    "chunk longer than its size": _chunked(b"4\r\nhello\r\n0\r\n\r\n"),
    "trailer without a colon": _chunked(b"0\r\nx\r\n\r\n"),
    "trailer with space before the colon": _chunked(b"0\r\nX : a\r\n\r\n"),
    "folded trailer": _chunked(b"0\r\nX: a\r\n b\r\n\r\n"),
    "bare LF after a trailer": _chunked(b"0\r\nX: a\n\r\n"),
    "bare LF after the trailers": _chunked(b"0\r\nX: a\r\n\n"),
    "NUL in a trailer": _chunked(b"0\r\nX: \x00\r\n\r\n"),
    "1000 trailers": _chunked(b"0\r\n" + b"X: a\r\n" * 1000 + b"\r\n"),
    # request line
    "no version": _line(b"PUT /bucket/first\r\n"),
    "HTTP/0.9 with headers": _line(b"GET /bucket/first HTTP/0.9\r\n"),
    "version 2": _line(b"PUT /bucket/first HTTP/2.0\r\n"),
    "version with zeros": _line(b"PUT /bucket/first HTTP/01.1\r\n"),
    "version in other digits": _line("PUT /bucket/first HTTP/1.\u0661\r\n".encode()),
    "version in small letters": _line(b"PUT /bucket/first http/1.1\r\n"),
    "two spaces": _line(b"PUT  /bucket/first HTTP/1.1\r\n"),
    "tab in the request line": _line(b"PUT\t/bucket/first\tHTTP/1.1\r\n"),
    "vertical tab in the request line": _line(b"PUT\x0b/bucket/first\x0bHTTP/1.1\r\n"),
    "space in the target": _line(b"PUT /bucket/a b HTTP/1.1\r\n"),
    "no-break space in the request line": _line(b"PUT\xa0/bucket/first HTTP/1.1\r\n"),
    "NUL in the target": _line(b"PUT /bucket/a\x00b HTTP/1.1\r\n"),
    "byte over 127 in the target": _line(b"PUT /bucket/\xff HTTP/1.1\r\n"),
    "space before the method": _line(b" PUT /bucket/first HTTP/1.1\r\n"),
    "separator in the method": _line(b"P(UT /bucket/first HTTP/1.1\r\n"),
    "CR in the request line": _line(b"PUT /bucket/\rfirst HTTP/1.1\r\n"),
    "only a method": _line(b"PUT\r\n"),
    "target without a slash": _line(b"PUT bucket/first HTTP/1.1\r\n"),
    "fragment in the target": _line(b"PUT /bucket/first#part HTTP/1.1\r\n"),
    "foreign host in the target": _line(b"PUT http://evil.example/bucket/first HTTP/1.1\r\n"),
    "authority as the target": _line(b"CONNECT localhost:1 HTTP/1.1\r\n"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n" + SMUGGLED,
    "two Host fields": _put(b"Host: localhost", _SIZE),
    # sizes
    "request line of 100,000 bytes": _line(b"PUT /bucket/" + b"a" * 100_000 + b" HTTP/1.1\r\n"),
    "field of 100,000 bytes": _put(b"X: " + b"a" * 100_000, _SIZE),
    "1000 fields": _put(*[b"X%d: a" % number for number in range(1000)], _SIZE),
}
"""Requests that the server refuses, by what is wrong with them."""

VALID: Mapping[str, tuple[bytes, bytes]] = {
    "plain": (_put(b"Content-Length: 5", body=b"hello"), b"hello"),
    "small letters": (_put(b"content-length: 5", body=b"hello"), b"hello"),
    "no space after the colon": (_put(b"Content-Length:5", body=b"hello"), b"hello"),
    "white space around a value": (_put(b"Content-Length: \t 5 \t ", body=b"hello"), b"hello"),
    "leading zeros": (_put(b"Content-Length: 0005", body=b"hello"), b"hello"),
    "empty value": (_put(b"X:", b"Content-Length: 5", body=b"hello"), b"hello"),
    "Latin-1 in a value": (_put(b"X: caf\xe9", b"Content-Length: 5", body=b"hello"), b"hello"),
    "blank line before the request": (b"\r\n" + _put(b"Content-Length: 5", body=b"hello"), b"hello"),
    "chunked": (_put(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"), b"hello"),
    "Chunked": (_put(b"TRANSFER-ENCODING: Chunked", body=b"5\r\nhello\r\n0\r\n\r\n"), b"hello"),
    "two chunks": (_put(b"Transfer-Encoding: chunked", body=b"2\r\nhe\r\n03\r\nllo\r\n0\r\n\r\n"), b"hello"),
    "chunk extension": (
        _put(b"Transfer-Encoding: chunked", body=b'5;a=b;c="d e"\r\nhello\r\n0;z\r\n\r\n'),
        b"hello",
    ),
    "trailers": (
        _put(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nX: a\r\nY: b\r\n\r\n"),
        b"hello",
    ),
}
"""Requests that the server accepts, with the body that it stores."""
