"""Request smuggling: whatever two readers could split differently is refused, and the connection is closed.

The requests are bytes on a socket; the S3 objects that they would create are read through boto3.
"""

from __future__ import annotations

import functools
import re
import socket
import time
from io import BytesIO
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from http_forms import REFUSED, SMUGGLED, VALID
from hypothesis import given, settings
from hypothesis import strategies as st

from rekolabels.local import LocalService
from rekolabels.local._core._wsgi import BadRequest
from rekolabels.local._http._parser import open_body, read_head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rekolabels.local._http._server import Server

LOCALHOST = "127.0.0.1"
_SEPARATORS = [b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x0b", b":", b";", b",", b"\r\n\r\n"]
_WORDS = [b"0", b"5", b"a", b"HTTP/1.0", b"chunked", b"x: y\r\n", b"0\r\n\r\n"]
_LENGTHS = [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"]
PIECES = st.one_of(st.binary(max_size=2), st.sampled_from([*_SEPARATORS, *_WORDS, *_LENGTHS]))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Start a server with a bucket."""
    with LocalService(engine="tiny") as service, service.serve() as running:
        client(running).create_bucket(Bucket="bucket")
        yield running


@functools.cache
def client(server: Server) -> Any:
    """Return an S3 client of the server."""
    return boto3.Session("0" * 12, "x", region_name="us-east-1").client("s3", endpoint_url=server.url)


def exchange(server: Server, request: bytes) -> bytes:
    """Send bytes on a new connection, half-close it, and return all that the server sends."""
    with socket.create_connection((LOCALHOST, server.port), timeout=30) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        parts: list[bytes] = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def statuses(response: bytes) -> list[bytes]:
    """Return the status codes of responses without bodies, or with one line each."""
    return re.findall(rb"HTTP/1\.1 (\d{3}) ", response)


def keys(server: Server) -> list[str]:
    """Return the keys of the bucket, and empty it."""
    s3 = client(server)
    found = [entry["Key"] for entry in s3.list_objects_v2(Bucket="bucket").get("Contents", [])]
    for key in found:
        s3.delete_object(Bucket="bucket", Key=key)
    return found


@pytest.mark.parametrize("form", REFUSED)
def test_malformed_requests_are_refused(server: Server, form: str) -> None:
    """One error response, then the connection ends: neither the request nor what follows it is executed."""
    response = exchange(server, REFUSED[form])

    assert response[:9] == b"HTTP/1.1 "
    assert response[9:12] in {b"400", b"403", b"431", b"505"}
    assert b"\r\nConnection: close\r\n" in response
    assert len(statuses(response)) == 1, "the bytes after the request were answered as well"
    assert keys(server) == []


@pytest.mark.parametrize("form", VALID)
def test_valid_requests_are_accepted(server: Server, form: str) -> None:
    """What RFC 9112 allows is read as it says, and the next request on the connection as well."""
    request, body = VALID[form]

    response = exchange(server, request + SMUGGLED)

    assert statuses(response) == [b"200", b"200"]
    assert client(server).get_object(Bucket="bucket", Key="first")["Body"].read() == body
    assert keys(server) == ["first", "smuggled"]


def test_a_target_with_a_host_replaces_the_host_field(server: Server) -> None:
    """An absolute target is answered for its own host name: a local one is served, a foreign one refused."""
    line = b"GET http://%s/bucket HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"

    assert exchange(server, line % (b"localhost:1", b"evil.example"))[9:12] == b"200"
    assert exchange(server, line % (b"evil.example", b"localhost"))[9:12] == b"403"
    assert exchange(server, line % (b"localhost@evil.example", b"localhost"))[9:12] == b"403"


def test_fields_with_underscores_are_not_those_with_hyphens(server: Server) -> None:
    """``Content_Length`` and ``X_Amz_Target`` have no meaning, as for any proxy before the server."""
    response = exchange(
        server,
        b"PUT /bucket/first HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent_Length: 3\r\n"
        b"X_Amz_Target: RekognitionService.DescribeProjects\r\n\r\nhello" + SMUGGLED,
    )

    assert statuses(response) == [b"200", b"200"]
    assert client(server).get_object(Bucket="bucket", Key="first")["Body"].read() == b"hello"
    assert keys(server) == ["first", "smuggled"]


def test_nothing_is_read_after_an_error(server: Server) -> None:
    """Requests that were sent together with a malformed one get no answer, those before it do."""
    response = exchange(server, SMUGGLED + REFUSED["space before the colon"] + SMUGGLED)

    assert statuses(response) == [b"200", b"400"]
    assert keys(server) == ["smuggled"]


def test_a_long_head_takes_linear_time(server: Server) -> None:
    """White space in the largest head that is read takes milliseconds: no expression backtracks."""
    request = b"GET /bucket HTTP/1.1\r\nHost: localhost\r\nX:" + b" " * 60_000 + b"\x00\r\n\r\n"
    start = time.perf_counter()

    assert exchange(server, request)[9:12] == b"400"
    assert time.perf_counter() - start < 5


def compare_with_h11(data: bytes) -> None:
    """Check that what the server accepts, h11 accepts as well, with the same fields and the same body.

    h11 accepts more: folded lines, bare line feeds, two lengths.
    """
    h11 = pytest.importorskip("h11")
    source = BytesIO(data)
    try:
        head = read_head(source)
        if head is None or len(head.hosts) != 1:  # no request, or refused by its host names
            return
        body = open_body(head, source, lambda: None).read()
    except BadRequest:
        return
    if any(int(length) != len(body) for length in head.fields.get("content-length", ())):
        return  # incomplete
    other = h11.Connection(h11.SERVER)
    other.receive_data(data.removeprefix(b"\r\n"))  # h11 does not skip the empty line that RFC 9112 allows
    request = other.next_event()
    parts: list[bytes] = []
    while type(event := other.next_event()) is h11.Data:
        parts.append(bytes(event.data))

    fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in head.headers]
    coding = b"transfer-encoding"  # h11 writes it in small letters
    fields = [(name, value.lower() if name == coding else value) for name, value in fields]
    assert request.method.decode() == head.method
    assert list(request.headers) == fields
    assert type(event) is h11.EndOfMessage
    assert b"".join(parts) == body


@pytest.mark.parametrize("form", [*REFUSED, *VALID])
def test_another_parser_agrees(form: str) -> None:
    """What the server accepts, h11 accepts as well, with the same meaning."""
    compare_with_h11(REFUSED.get(form) or VALID[form][0])


@given(
    st.sampled_from([request for request, _ in VALID.values()]),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 3), PIECES), min_size=1, max_size=3),
)
@settings(max_examples=500, deadline=None)
def test_another_parser_agrees_on_damaged_requests(data: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    """Bytes that are inserted, replaced and removed anywhere in valid requests change nothing in that."""
    for place, removed, piece in edits:
        start = place % (len(data) + 1)
        data = data[:start] + piece + data[start + removed :]

    compare_with_h11(data)
