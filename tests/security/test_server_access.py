"""Access to the HTTP server: it serves this machine only, and no foreign web pages."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from rekolabels.local import LocalService

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


def test_it_listens_on_the_loopback_interface_by_default(server: Server) -> None:
    """The machine's other addresses refuse connections."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; finds the address that other machines would use
        outer = str(probe.getsockname()[0])

    assert server.url == f"http://127.0.0.1:{server.port}"
    if not outer.startswith("127."):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((outer, server.port), timeout=10)


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


OWN_ORIGINS = [
    "http://localhost",
    "http://localhost:3000",
    "https://localhost:8443",
    "http://127.0.0.1:5173",
    "http://127.1.2.3",
    "http://[::1]:80",
]
FOREIGN_ORIGINS = [
    "https://evil.example",
    "null",
    "",
    "http://localhost.evil.example",
    "http://evil.example:80#http://localhost",
    "http://localhost@evil.example",
    "http://localhost:3000.evil.example",
    "http://localhost:123456",
    "http://127.0.0.1.evil.example",
    "http://127.0.0.1:80:80",
    "http://10.0.0.1",
    "http://[::2]",
    "ftp://localhost",
    "http://localhost http://evil.example",
    "*",
]


@pytest.mark.parametrize("site", ["", "Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n"])
@pytest.mark.parametrize("origin", OWN_ORIGINS)
def test_local_pages_may_call(server: Server, origin: str, site: str) -> None:
    """The preflight and the answer name the page's origin; to a browser, two ports may be two sites."""
    head = f"OPTIONS /bucket/key HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n{site}"
    asked = "Access-Control-Request-Method: POST\r\n"
    names = "authorization,content-type,x-amz-target"
    status, answer = exchange(server, f"{head}{asked}Access-Control-Request-Headers: {names}\r\n")

    assert status == 204
    lines = answer.split("\r\n")
    assert f"access-control-allow-origin: {origin}" in lines
    assert "access-control-allow-methods: delete, get, head, post, put" in lines
    assert f"access-control-allow-headers: {names}" in lines
    assert "vary: origin" in lines
    assert "access-control-allow-credentials" not in answer

    head = f"POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n{site}"
    status, answer = exchange(server, head, DESCRIBE)
    assert status == 200
    assert f"access-control-allow-origin: {origin}" in answer.split("\r\n")
    assert "access-control-expose-headers: *" in answer.split("\r\n")


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_no_answer_is_shared_with_other_pages(server: Server, origin: str) -> None:
    """Neither by a preflight, nor by a request that a browser sends without one."""
    for method, more in (("OPTIONS", "Access-Control-Request-Method: GET\r\n"), ("GET", "")):
        head = f"{method} / HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n{more}"
        status, answer = exchange(server, head)
        assert status == 403
        assert "access-control" not in answer


@pytest.mark.parametrize(
    "names", ["x\tevil", "a: b", "a,,b", f"x-{'y' * 200}", ",".join(["x"] * 200), "a\x7fb", "a;b"]
)
def test_odd_header_names_of_a_preflight_are_not_repeated(server: Server, names: str) -> None:
    """The page then may not send them."""
    head = f"OPTIONS / HTTP/1.1\r\n{SERVED}Origin: http://localhost\r\n"
    asked = f"Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: {names}\r\n"
    status, answer = exchange(server, head + asked)

    assert status in {204, 400}
    assert "access-control-allow-headers" not in answer


def test_the_origin_of_a_page_does_not_replace_the_host(server: Server) -> None:
    """A local page that calls a foreign name, which resolves to this machine, is refused as before."""
    head = "POST / HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://localhost\r\n"
    assert exchange(server, head, DESCRIBE)[0] == 403
    two = "Origin: http://localhost\r\nOrigin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n"
    assert exchange(server, f"POST / HTTP/1.1\r\nHost: localhost\r\n{two}", DESCRIBE)[0] == 403


SERVED = "Host: localhost\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    "fields",
    [
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: Cross-Site",
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document",
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image",
        "Sec-Fetch-Site: unknown",
        "Sec-Fetch-Site:",
        "Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site",
        "Origin: https://evil.example",
        "Origin: null",
        "Origin:",
        "Origin: http://localhost\r\nOrigin: https://evil.example",
        "Origin: http://localhost@evil.example",
        "Origin: ftp://localhost",
        "Referer: https://evil.example/page",
        "Referer: https://evil.example/?http://localhost/",
        "Referer: http://localhost:80@evil.example/",
        "Referer: http://localhost.evil.example",
        "Referer: about:blank",
        "Referer: //localhost/",
    ],
)
def test_fetches_of_foreign_pages_are_refused(server: Server, fields: str) -> None:
    """Whatever they fetch, and however: status 403."""
    assert exchange(server, f"GET / HTTP/1.1\r\n{SERVED}{fields}\r\n")[0] == 403


@pytest.mark.parametrize(
    "fields",
    [
        "X: a program",
        "Sec-Fetch-Site: none",
        "Sec-Fetch-Site: same-origin",
        "Sec-Fetch-Site: same-site\r\nReferer: http://localhost:3000/page?a=b",
        "Referer: http://127.0.0.1:3000",
        "Referer: https://app.localhost/",
        "Origin: http://[::1]:80",
    ],
)
def test_programs_and_local_pages_are_answered(server: Server, fields: str) -> None:
    """SDKs send none of these fields; what the user opens is "none", and local pages are of the same site."""
    assert exchange(server, f"GET / HTTP/1.1\r\n{SERVED}{fields}\r\n")[0] == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (f"GET / HTTP/1.1\r\n{SERVED}", 200),
        (f"HEAD / HTTP/1.1\r\n{SERVED}", 405),
        (f"GET /none/none HTTP/1.1\r\n{SERVED}", 404),
        (f"POST / HTTP/1.1\r\n{SERVED}X-Amz-Target: none\r\nContent-Length: 0\r\n", 400),
        (
            (
                f"POST / HTTP/1.1\r\n{SERVED}X-Amz-Target: RekognitionService.DescribeProjects\r\n"
                "Content-Length: 4\r\n\r\n{}"
            ),  # and the last line end
            200,
        ),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n", 403),
        (f"GET / HTTP/1.1\r\n{SERVED}Origin: null\r\n", 403),
        (f"GET / HTTP/1.1\r\n{SERVED}broken\r\n", 400),
        (f"GET / HTTP/1.1\r\n{SERVED}X: {'a' * 70_000}\r\n", 431),
        (f"GET / HTTP/3.0\r\n{SERVED}", 505),
    ],
)
def test_no_response_acts_in_a_browser(server: Server, head: str, status: int) -> None:
    """Every answer, refusals included, has the headers that take its content all rights."""
    answered, response = exchange(server, head)

    lines = response.split("\r\n")
    assert answered == status
    assert lines.count("x-content-type-options: nosniff") == 1
    assert lines.count("content-security-policy: sandbox; default-src 'none'; frame-ancestors 'none'") == 1
    assert lines.count("cross-origin-resource-policy: same-site") == 1
    assert "content-type: text/plain; charset=utf-8" in lines or "content-disposition: attachment" in lines


@pytest.mark.parametrize(
    "stored", ["text/html", "image/svg+xml", "application/xhtml+xml", "TEXT/HTML; a=b", "a"]
)
@pytest.mark.parametrize(
    "query", ["", "?response-content-disposition=inline", "?response-content-type=text/xml"]
)
def test_active_objects_are_downloads(server: Server, stored: str, query: str) -> None:
    """Whatever type an object was stored with or is asked for, a browser does not show it."""
    put = f"PUT /active/a HTTP/1.1\r\n{SERVED}Content-Length: 0\r\n"
    exchange(server, f"PUT /active HTTP/1.1\r\n{SERVED}Content-Length: 0\r\n")
    assert exchange(server, f"{put}Content-Type: {stored}\r\nContent-Disposition: inline\r\n")[0] == 200

    status, response = exchange(server, f"GET /active/a{query} HTTP/1.1\r\n{SERVED}")

    assert status == 200
    assert [line for line in response.split("\r\n") if line.startswith("content-disposition")] == [
        "content-disposition: attachment"
    ]


@pytest.mark.parametrize(
    ("stored", "asked", "sent"),
    [
        ("image/jpeg", "", []),
        ("image/png", "?response-content-disposition=inline", ["inline"]),
        ("text/plain; charset=utf-8", "", []),
        ("binary/octet-stream", "", []),
        ("image/png", "?response-content-type=text/html", ["attachment"]),
        ("text/html", "?response-content-type=image/png", []),
        ("text/html", "?response-content-disposition=attachment;filename=a", ["attachment;filename=a"]),
        ("text/html", "?response-content-disposition=attachments", ["attachment"]),
        ("text/html", "?response-content-disposition=,attachment", ["attachment"]),
    ],
)
def test_inert_objects_are_shown(server: Server, stored: str, asked: str, sent: list[str]) -> None:
    """Images and text keep the disposition that they were asked for; other types are downloads."""
    exchange(server, f"PUT /inert HTTP/1.1\r\n{SERVED}Content-Length: 0\r\n")
    put = f"PUT /inert/a HTTP/1.1\r\n{SERVED}Content-Type: {stored}\r\nContent-Length: 0\r\n"
    assert exchange(server, put)[0] == 200

    _, response = exchange(server, f"GET /inert/a{asked} HTTP/1.1\r\n{SERVED}")

    assert [
        line.partition(": ")[2] for line in response.split("\r\n") if line.startswith("content-disposition")
    ] == sent


def test_pages_of_names_below_localhost_may_not_read(server: Server) -> None:
    """They may show images, as before; CORS headers are for localhost itself and loopback addresses."""
    head = "POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://app.localhost:3000\r\n"
    status, response = exchange(server, head, DESCRIBE)

    assert status == 200
    assert "access-control" not in response
