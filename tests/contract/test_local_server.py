"""The service behind a socket: HTTP as clients of any language speak it, on this machine only."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from rekolabels.errors import InvalidInput
from rekolabels.local import LocalService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rekolabels.local._http._server import Server

TARGET = {"X-Amz-Target": "RekognitionService.DescribeProjects", "Content-Type": "application/x-amz-json-1.1"}


@pytest.fixture
def server() -> Iterator[Server]:
    """A running server with a bucket."""
    with LocalService() as service:
        service.session().client("s3").create_bucket(Bucket="bucket")
        with service.serve() as running:
            yield running


def exchange(server: Server, request: bytes) -> bytes:
    """Send raw bytes and read until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request)
        parts: list[bytes] = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_the_environment_is_all_that_a_client_needs(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variables set, a plain boto3 client reaches the service, S3 included."""
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
    """Many requests travel over one connection, errors among them."""
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
def test_foreign_hosts_are_refused(server: Server, host: str) -> None:
    """A name that is not this machine's (DNS rebinding) gets 403 and no data."""
    reply = exchange(server, f"GET /bucket HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert reply.startswith(b"HTTP/1.1 403")
    assert b"<?xml" not in reply


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
def test_pages_of_others_are_refused(server: Server, origin: str) -> None:
    """What a browser sends for somebody else's page (cross-site request forgery) changes nothing."""
    head = f"POST /bucket?delete HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nContent-Length: 0\r\n\r\n"
    assert exchange(server, head.encode()).startswith(b"HTTP/1.1 403")
    own = head.replace(origin, "http://localhost:3000").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
    assert not exchange(server, own.encode()).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "LOCALHOST", "bucket.localhost", "[::1]:80"])
def test_own_hosts_are_answered(server: Server, host: str) -> None:
    """Names of this machine are served, with or without a port or a bucket."""
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    assert exchange(server, request.encode()).startswith(b"HTTP/1.1 200")


def test_it_says_when_to_go_on(server: Server) -> None:
    """Expect: 100-continue is answered before the body is read; a refused request never gets to send it."""
    head = b"PUT /%s/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head % b"bucket")
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(b"hello")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    reply = exchange(server, (head % b"bucket").replace(b"localhost", b"evil.example"))
    assert reply.startswith(b"HTTP/1.1 403")


def test_chunked_bodies_arrive_whole(server: Server) -> None:
    """Transfer-Encoding: chunked is undone, and the connection stays in step."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    for key, pieces in (("a", [b"he", b"llo" * 1000, b"!"]), ("b", [])):
        connection.request("PUT", f"/bucket/{key}", iter(pieces), encode_chunked=True)
        reply = connection.getresponse()
        assert (reply.status, reply.read()) == (200, b"")
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
def test_lengths_that_are_not_clear_are_refused(server: Server, lines: str) -> None:
    """Two lengths in one request are how requests are smuggled: 400, and the connection ends."""
    reply = exchange(server, f"PUT /bucket/a HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n\r\nhello".encode())
    assert reply.startswith(b"HTTP/1.1 400")
    assert reply.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("chunks", [b"-5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"5\r\nhelloXX0\r\n\r\n"])
def test_broken_chunks_are_refused(server: Server, chunks: bytes) -> None:
    """A chunk that is not well formed ends the request with an error, and stores nothing."""
    head = b"PUT /bucket/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    reply = exchange(server, head + chunks)
    assert reply.startswith(b"HTTP/1.1 400")
    found = exchange(server, b"HEAD /bucket/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize("target", ["", "X-Amz-Target: RekognitionService.DescribeProjects\r\n"])
def test_broken_chunks_are_the_callers_mistake(
    server: Server, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Both halves of the service leave them to HTTP: 400, and no fault of the service in its log."""
    head = f"POST /bucket?delete HTTP/1.1\r\nHost: localhost\r\n{target}Transfer-Encoding: chunked\r\n\r\n"
    assert exchange(server, head.encode() + b"zz\r\n").startswith(b"HTTP/1.1 400")
    assert not caplog.records


def test_a_body_nobody_read_does_not_become_a_request(server: Server) -> None:
    """What is left of a refused request's body is not taken for the next request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("PUT", "/no-such-bucket/a", b"GET /bucket HTTP/1.1\r\n\r\n" * 100)
    assert connection.getresponse().status == 404
    connection.close()


def test_head_and_ranges_have_no_more_than_they_say(server: Server) -> None:
    """HEAD has a length and no body; the next answer on the connection is whole."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("PUT", "/bucket/a", b"0123456789")
    connection.getresponse().read()
    connection.request("HEAD", "/bucket/a")
    reply = connection.getresponse()
    assert (reply.getheader("Content-Length"), reply.read()) == ("10", b"")
    connection.request("GET", "/bucket/a", headers={"Range": "bytes=2-4"})
    assert connection.getresponse().read() == b"234"
    connection.close()


def test_many_clients_at_once(server: Server) -> None:
    """Sixteen connections are served side by side."""
    failures: list[object] = []

    def work(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        for turn in range(10):
            connection.request("PUT", f"/bucket/{number}/{turn}", b"x" * 1000)
            reply = connection.getresponse()
            reply.read()
            connection.request("POST", "/", b"{}", TARGET)
            answer = connection.getresponse()
            if reply.status != 200 or "ProjectDescriptions" not in json.loads(answer.read()):
                failures.append((number, turn))
        connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_close_ends_connections_and_threads() -> None:
    """A closed server has no thread left, idle connections end, and its port is free again."""
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


def test_a_taken_port_is_told(server: Server) -> None:
    """The error names the port and what to do."""
    with LocalService() as service, pytest.raises(InvalidInput, match=f"{server.port}.*in use"):
        service.serve(server.port)
    with LocalService() as service, pytest.raises(InvalidInput, match="70000"):
        service.serve(70_000)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_command(tmp_path: Path, name: str) -> None:
    """The first line is the endpoint, the variables follow; a signal ends it, and the workspace stays."""
    command = [sys.executable, "-m", "rekolabels.local", "--port", "0", "--workspace", str(tmp_path / "ws")]
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


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    """A workspace that cannot be used ends the command with status 2 and one line, no traceback."""
    (tmp_path / "file").write_text("x")
    command = [sys.executable, "-m", "rekolabels.local", "--workspace", str(tmp_path / "file")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - our own command
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert str(tmp_path / "file") in done.stderr
