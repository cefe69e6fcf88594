"""The socket server is for this machine alone: where it listens, whom it answers, what browsers may do."""

from __future__ import annotations

import inspect
import socket
from typing import TYPE_CHECKING

import pytest

from rekolabels.local import LocalService
from rekolabels.local.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rekolabels.local._http._server import Server

DESCRIBE = "X-Amz-Target: RekognitionService.DescribeProjects\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A running server."""
    pytest.importorskip("onnxruntime", reason="the extra 'local' is not installed")
    with LocalService() as service, service.serve() as running:
        yield running


def exchange(server: Server, head: str, body: str = "\r\n") -> tuple[int, str]:
    """Send a request on a connection of its own; the status, and the head in lower case."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(f"{head}{body}".encode())
        reply = connection.recv(65536).decode()
    return int(reply.split(" ", 2)[1]), reply.partition("\r\n\r\n")[0].lower()


def test_it_listens_on_the_loopback_interface_alone(server: Server) -> None:
    """There is no option to listen elsewhere, and other addresses of the machine find no listener."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; tells the address that other machines would use
        outer = str(probe.getsockname()[0])

    assert server.url == f"http://127.0.0.1:{server.port}"
    assert list(inspect.signature(LocalService.serve).parameters) == ["self", "port"]
    if not outer.startswith("127."):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((outer, server.port), timeout=10)


@pytest.mark.parametrize("option", ["--host", "--bind", "--address"])
def test_the_command_has_no_option_for_other_interfaces(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody opens it to a network by accident; who must, puts a proxy with its own guard in front."""
    with pytest.raises(SystemExit):
        main([option, "0.0.0.0"])  # noqa: S104 - it is refused

    assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize(
    "hosts",
    [
        ["evil.example"],
        ["evil.example:4900"],
        ["127.0.0.1.evil.example"],
        ["localhost.evil.example"],
        ["localhost@evil.example"],
        ["10.0.0.1"],
        ["0.0.0.0"],  # noqa: S104 - a name in a header, no address to listen on
        ["127.0.0.1", "evil.example"],
        ["evil.example", "127.0.0.1"],
        [""],
        [],
    ],
)
def test_only_names_of_this_machine_are_answered(server: Server, hosts: list[str]) -> None:
    """A page whose name was made to point here (DNS rebinding) gets 403, and so does who is not clear."""
    lines = "".join(f"Host: {host}\r\n" for host in hosts)

    assert exchange(server, f"GET / HTTP/1.1\r\n{lines}")[0] == 403
    assert exchange(server, f"POST / HTTP/1.1\r\n{lines}", DESCRIBE)[0] == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"])
@pytest.mark.parametrize("method", ["OPTIONS", "GET", "POST", "PUT", "DELETE"])
def test_no_page_of_others_may_call(server: Server, method: str, origin: str) -> None:
    """Whatever a browser sends for another's page is refused, the question beforehand (CORS) included."""
    head = f"{method} /bucket HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n"
    status, reply = exchange(server, f"{head}Access-Control-Request-Method: PUT\r\n")

    assert status == 403
    assert "access-control" not in reply


def test_no_page_at_all_may_read(server: Server) -> None:
    """Not even pages of this machine are given the answers: no header of CORS is ever sent."""
    head = "POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:3000\r\n"
    status, reply = exchange(server, head, DESCRIBE)

    assert status == 200
    assert "access-control" not in reply
