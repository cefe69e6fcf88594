"""HTTP server: keep-alive, bodies, host checks, shutdown, and the command that starts it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from rekolabels.errors import InvalidInput
from rekolabels.local import LocalService
from rekolabels.local._http._server import Server

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

TARGET = {"X-Amz-Target": "RekognitionService.DescribeProjects", "Content-Type": "application/x-amz-json-1.1"}


@pytest.fixture
def server() -> Iterator[Server]:
    """Start a server with a bucket."""
    with LocalService() as service:
        service.session().client("s3").create_bucket(Bucket="bucket")
        with service.serve() as running:
            yield running


def exchange(server: Server, request: bytes) -> bytes:
    """Send raw bytes and return everything until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request)
        parts: list[bytes] = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_environment_variables_configure_a_client(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """With these variables, a plain boto3 session reaches the service for Rekognition and S3."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    session = boto3.Session()
    rekognition: Any = session.client("rekognition")
    assert rekognition.create_project(ProjectName="birds")["ProjectArn"].startswith(
        "arn:aws:rekognition:us-east-1:"
    )
    assert [bucket["Name"] for bucket in session.client("s3").list_buckets()["Buckets"]] == ["bucket"]
    assert server.environment["AWS_ENDPOINT_URL"] == server.url
    assert server.url in repr(server)


def test_a_connection_is_kept_alive(server: Server) -> None:
    """One connection serves many requests, including failing ones."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.connect()
    first = connection.sock
    for body in (b"{}", b"not json", b"{}"):
        connection.request("POST", "/", body, TARGET)
        connection.getresponse().read()
    connection.request("GET", "/bucket/none")
    assert connection.getresponse().read().startswith(b"<?xml")
    assert first is connection.sock
    connection.close()


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "169.254.169.254", ""])
def test_foreign_host_names_are_rejected(server: Server, host: str) -> None:
    """A host name that is not local (DNS rebinding) gets status 403 and no data."""
    response = exchange(server, f"GET /bucket HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert response.startswith(b"HTTP/1.1 403")
    assert b"<?xml" not in response


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
def test_foreign_origins_are_rejected(server: Server, origin: str) -> None:
    """Requests from foreign pages (cross-site request forgery) are rejected; local pages are served."""
    head = f"POST /bucket?delete HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nContent-Length: 0\r\n\r\n"
    assert exchange(server, head.encode()).startswith(b"HTTP/1.1 403")
    own = head.replace(origin, "http://localhost:3000").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
    assert not exchange(server, own.encode()).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "LOCALHOST", "bucket.localhost", "[::1]:80"])
def test_local_host_names_are_served(server: Server, host: str) -> None:
    """Local host names are served, with or without a port or a bucket."""
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    assert exchange(server, request.encode()).startswith(b"HTTP/1.1 200")


def test_expect_100_continue(server: Server) -> None:
    """The server sends 100 Continue before it reads the body, and not at all when it rejects the request."""
    head = b"PUT /%s/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head % b"bucket")
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(b"hello")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    response = exchange(server, (head % b"bucket").replace(b"localhost", b"evil.example"))
    assert response.startswith(b"HTTP/1.1 403")


def test_expect_100_continue_with_an_empty_body(server: Server) -> None:
    """An empty body is answered like any other: botocore 1.35 relies on it."""
    request = b"PUT /bucket/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nExpect: 100-continue\r\n"
    response = exchange(server, request + b"Connection: close\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_chunked_request_bodies(server: Server) -> None:
    """The server decodes chunked bodies and then reads the next request correctly."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    for key, pieces in (("a", [b"he", b"llo" * 1000, b"!"]), ("b", [])):
        connection.request("PUT", f"/bucket/{key}", iter(pieces), encode_chunked=True)
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"")
        connection.request("GET", f"/bucket/{key}")
        assert b"".join(pieces) == connection.getresponse().read()
    connection.close()


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: -5",
        "Content-Length: 5x",
        "Transfer-Encoding: gzip",
    ],
)
def test_ambiguous_lengths_are_rejected(server: Server, lines: str) -> None:
    """Ambiguous lengths allow request smuggling: status 400, and the connection is closed."""
    response = exchange(server, f"PUT /bucket/a HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n\r\nhello".encode())
    assert response.startswith(b"HTTP/1.1 400")
    assert response.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("chunks", [b"-5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"5\r\nhelloXX0\r\n\r\n"])
def test_malformed_chunks_are_rejected(server: Server, chunks: bytes) -> None:
    """A malformed chunk fails the request, and nothing is stored."""
    head = b"PUT /bucket/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    response = exchange(server, head + chunks)
    assert response.startswith(b"HTTP/1.1 400")
    found = exchange(server, b"HEAD /bucket/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize("target", ["", "X-Amz-Target: RekognitionService.DescribeProjects\r\n"])
def test_malformed_chunks_are_client_errors(
    server: Server, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Rekognition and S3 requests alike get status 400, and nothing is logged as an error."""
    head = f"POST /bucket?delete HTTP/1.1\r\nHost: localhost\r\n{target}Transfer-Encoding: chunked\r\n\r\n"
    assert exchange(server, head.encode() + b"zz\r\n").startswith(b"HTTP/1.1 400")
    assert not caplog.records


def test_unread_body_is_not_parsed_as_a_request(server: Server) -> None:
    """The unread body of a failed request is not treated as the next request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("PUT", "/no-such-bucket/a", b"GET /bucket HTTP/1.1\r\n\r\n" * 100)
    assert connection.getresponse().status == 404
    connection.close()


def test_head_and_range_responses(server: Server) -> None:
    """HEAD returns a length without a body; the next response on the connection is complete."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("PUT", "/bucket/a", b"0123456789")
    connection.getresponse().read()
    connection.request("HEAD", "/bucket/a")
    response = connection.getresponse()
    assert (response.getheader("Content-Length"), response.read()) == ("10", b"")
    connection.request("GET", "/bucket/a", headers={"Range": "bytes=2-4"})
    assert connection.getresponse().read() == b"234"
    connection.close()


@contextmanager
def serving(headers: list[tuple[str, str]], body: Iterable[bytes]) -> Iterator[Server]:
    """Start a server of an application that answers every request in the same way."""

    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", headers)
        return body

    with Server(app, port=0, account="0" * 12, region="us-east-1") as running:
        yield running


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\0b"])
def test_no_header_ends_early(value: str) -> None:
    """An application that puts a line end into a header, a defect, gets status 500 and no second header."""
    with serving([("X-Broken", value), ("Content-Length", "0")], []) as server:
        response = exchange(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")

    assert response.startswith(b"HTTP/1.1 500 ")
    assert b"X-Broken" not in response


def test_a_failure_within_a_body_is_an_incomplete_body() -> None:
    """After the head, an error must not look like a part of the body: the connection ends."""

    def fail() -> Iterator[bytes]:
        yield b"begin"
        raise RuntimeError

    with serving([("Content-Length", "1000")], fail()) as server:
        response = exchange(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")

    assert response.startswith(b"HTTP/1.1 200 ")
    assert response.endswith(b"\r\n\r\nbegin")


def test_a_refusal_of_head_has_no_body(server: Server) -> None:
    """It has the length of the message and not the message."""
    response = exchange(server, b"HEAD / HTTP/1.1\r\nHost: evil.example\r\n\r\n")

    assert response.startswith(b"HTTP/1.1 403 ")
    assert response.endswith(b"\r\n\r\n")


def test_many_clients_at_once(server: Server) -> None:
    """The server handles sixteen connections in parallel."""
    failures: list[object] = []

    def work(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        for turn in range(10):
            connection.request("PUT", f"/bucket/{number}/{turn}", b"x" * 1000)
            stored = connection.getresponse()
            stored.read()
            connection.request("POST", "/", b"{}", TARGET)
            listing = connection.getresponse()
            if stored.status != 200 or "ProjectDescriptions" not in json.loads(listing.read()):
                failures.append((number, turn))
        connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_close_stops_connections_and_threads() -> None:
    """close() ends all threads and idle connections and frees the port."""
    before = set(threading.enumerate())
    with LocalService() as service:
        other = service.serve()
        connection = http.client.HTTPConnection("127.0.0.1", other.port)
        connection.request("POST", "/", b"{}", TARGET)
        connection.getresponse().read()
        other.close()
        assert connection.sock.recv(1) == b""
        connection.close()
        service.serve(other.port).close()
    assert set(threading.enumerate()) <= before


def test_a_port_in_use(server: Server) -> None:
    """The error names the port and says what to do."""
    with LocalService() as service, pytest.raises(InvalidInput, match=f"{server.port}.*in use"):
        service.serve(server.port)
    with LocalService() as service, pytest.raises(InvalidInput, match="70000"):
        service.serve(70_000)


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send signals to another process")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_command(tmp_path: Path, name: str) -> None:
    """The command prints its endpoint and variables, stops on a signal, and keeps the workspace."""
    command = [
        sys.executable,
        "-m",
        "rekolabels",
        "serve",
        "--port",
        "0",
        "--workspace",
        str(tmp_path / "ws"),
    ]
    environment = dict(os.environ)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:  # noqa: S603 - our own command
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        line = process.stdout.readline()
        assert f"export AWS_ENDPOINT_URL={url}\n" == line
        client: Any = boto3.Session("0" * 12, "x", region_name="us-east-1").client(
            "rekognition", endpoint_url=url
        )
        client.create_project(ProjectName="birds")
        client.close()
        process.send_signal(getattr(signal, name))
        process.stdout.read()
        assert process.wait(timeout=30) == 0
    with LocalService(tmp_path / "ws") as service:
        found = service.session().client("rekognition").describe_projects()["ProjectDescriptions"]
        assert [project["ProjectArn"].split("/")[1] for project in found] == ["birds"]


def test_the_command_reports_a_bad_workspace(tmp_path: Path) -> None:
    """For an unusable workspace the command exits with status 2 and one line, without a traceback."""
    (tmp_path / "file").write_text("x")
    command = [sys.executable, "-m", "rekolabels", "serve", "--workspace", str(tmp_path / "file")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - our own command
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert str(tmp_path / "file") in done.stderr
