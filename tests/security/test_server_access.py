"""Access to the HTTP server: it serves this machine only, and no foreign web pages."""

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
    """Start a server."""
    pytest.importorskip("onnxruntime", reason="the extra 'local' is not installed")
    with LocalService() as service, service.serve() as running:
        yield running


def exchange(server: Server, head: str, body: str = "\r\n") -> tuple[int, str]:
    """Send a request on a new connection; return the status and the response head in lower case."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(f"{head}{body}".encode())
        response = connection.recv(65536).decode()
    return int(response.split(" ", 2)[1]), response.partition("\r\n\r\n")[0].lower()


def test_it_listens_on_the_loopback_interface_only(server: Server) -> None:
    """serve() has no option for another address, and the machine's other addresses refuse connections."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; finds the address that other machines would use
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
    """The command cannot serve a network by accident; that takes a proxy with access control of its own."""
    with pytest.raises(SystemExit):
        main([option, "0.0.0.0"])  # noqa: S104 - the option is rejected

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
        ["0.0.0.0"],  # noqa: S104 - a name in a header, not an address to listen on
        ["127.0.0.1", "evil.example"],
        ["evil.example", "127.0.0.1"],
        [""],
        [],
    ],
)
def test_only_local_host_names_are_served(server: Server, hosts: list[str]) -> None:
    """A foreign host name (DNS rebinding) and a missing or doubled Host header get status 403."""
    lines = "".join(f"Host: {host}\r\n" for host in hosts)

    assert exchange(server, f"GET / HTTP/1.1\r\n{lines}")[0] == 403
    assert exchange(server, f"POST / HTTP/1.1\r\n{lines}", DESCRIBE)[0] == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"])
@pytest.mark.parametrize("method", ["OPTIONS", "GET", "POST", "PUT", "DELETE"])
def test_foreign_pages_may_not_call(server: Server, method: str, origin: str) -> None:
    """Whatever a browser sends for a foreign page gets status 403, including the CORS preflight."""
    head = f"{method} /bucket HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n"
    status, response = exchange(server, f"{head}Access-Control-Request-Method: PUT\r\n")

    assert status == 403
    assert "access-control" not in response


def test_no_page_may_read_responses(server: Server) -> None:
    """Even local pages cannot read responses: the server never sends CORS headers."""
    head = "POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:3000\r\n"
    status, response = exchange(server, head, DESCRIBE)

    assert status == 200
    assert "access-control" not in response
