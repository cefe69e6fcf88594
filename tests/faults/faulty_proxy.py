"""A local HTTP proxy that forwards requests, or causes faults of networks and services."""

from __future__ import annotations

import contextlib
import json
import math
import re
import socket
import struct
import threading
from collections.abc import Callable
from io import BufferedReader
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["FaultyProxy", "ProxyFault", "Request", "answer", "framed"]

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TARGET = re.compile(rb"\r\nx-amz-target: *[^\r\n.]*\.(\w+)", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect: *100-continue", re.IGNORECASE)
_CONNECTION = re.compile(rb"\r\nconnection:[^\r\n]*", re.IGNORECASE)
_RESET = struct.pack("ii", 1, 0)
_SOCKET_TIMEOUT = 10.0


@attrs.frozen
class Request:
    """A request, on its own connection."""

    head: bytes
    client: socket.socket
    reader: BufferedReader
    upstream: int
    pass_time: Callable[[float], None]

    @property
    def operation(self) -> str:
        """Name of the Rekognition operation, or ``S3``."""
        found = _TARGET.search(self.head)
        return "S3" if found is None else found[1].decode()

    def length(self) -> int:
        """Let the client send the body, and return its length."""
        if _EXPECT.search(self.head):
            self.client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = _LENGTH.search(self.head)
        return 0 if length is None else int(length[1])

    def body(self) -> bytes:
        """Read the body."""
        return self.reader.read(self.length())

    def pass_on(self) -> bytes:
        """Forward the request to the server, and return the complete response."""
        head = _EXPECT.sub(b"", _CONNECTION.sub(b"", self.head))[:-2] + b"Connection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.upstream), timeout=_SOCKET_TIMEOUT) as server:
            server.sendall(head + self.body())
            return b"".join(iter(lambda: server.recv(1 << 16), b""))

    def time_out(self, seconds: float) -> None:
        """Do not respond until the client gives up, which takes this many seconds of the test's clock."""
        self.body()
        self.pass_time(seconds)
        self.reader.read(1)

    def reset(self) -> None:
        """Reset the connection, so that the client gets ECONNRESET."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


@attrs.frozen
class ProxyFault:
    """What happens to requests."""

    name: str
    meaning: str
    """Description for the docs."""
    strike: Callable[[Request], object] | None
    """Handles a request; None to close the port."""
    applies: Callable[[str], bool] = attrs.field(default=lambda _: True, repr=False)
    """Whether the fault concerns an operation of Rekognition, or ``S3``."""
    times: int = 1
    """Number of requests that a fault concerns, if it ends."""
    silent: bool = False
    """Whether the client gets no response."""
    hides: bool = False
    """Whether existing resources are hidden."""


class FaultyProxy:
    """Proxy for a server, with one request per connection.

    Attributes:
        url: The endpoint.
        seen: Number of requests since the fault began.
        struck: Number of those that it concerned.
    """

    def __init__(self, upstream: int, pass_time: Callable[[float], None]) -> None:
        self._upstream = upstream
        self._pass_time = pass_time
        self._fault: ProxyFault | None = None
        self._remaining = 0.0
        self._lock = threading.Lock()
        self.seen = self.struck = 0
        self._listener = self._listen(0)
        self._port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    def begin(self, fault: ProxyFault, *, times: float) -> None:
        """Start a fault for a number of requests."""
        with self._lock:
            self._fault, self._remaining = fault, times
            self.struck = self.seen = 0
        if fault.strike is None:
            _stop(self._listener)

    def end(self) -> None:
        """End the fault."""
        with self._lock:
            fault, self._fault = self._fault, None
        if fault is not None and fault.strike is None:
            self._listener = self._listen(self._port)

    def on_retry(self, _: object) -> None:
        """Open the port again when the client retries: a closed port cannot count requests."""
        if self._fault is not None and self._fault.strike is None and self._remaining < math.inf:
            self.end()

    def close(self) -> None:
        """Stop listening."""
        _stop(self._listener)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(_SOCKET_TIMEOUT)
        with client, client.makefile("rb") as reader, contextlib.suppress(OSError):
            head = b"".join(iter(reader.readline, b"\r\n"))
            if not head:
                return
            request = Request(head + b"\r\n", client, reader, self._upstream, self._pass_time)
            strike = self._strike_for(request.operation)
            if strike is None:
                client.sendall(request.pass_on())
            else:
                strike(request)

    def _strike_for(self, operation: str) -> Callable[[Request], object] | None:
        with self._lock:
            self.seen += 1
            if self._fault is None or self._remaining < 1 or not self._fault.applies(operation):
                return None
            self._remaining -= 1
            self.struck += 1
            return self._fault.strike


def answer(status: int, operation: str, code: str, *headers: str) -> bytes:
    """Return an error response of Rekognition or S3."""
    if operation == "S3":
        body = f"<Error><Code>{code}</Code><Message>A fault of the test.</Message></Error>".encode()
    else:
        body = json.dumps({"__type": code, "Message": "A fault of the test."}).encode()
    return framed(status, body, *headers)


def framed(status: int, body: bytes, *headers: str) -> bytes:
    """Return a response with status line and headers."""
    lines = [f"HTTP/1.1 {status} Fault", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _stop(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
    listener.close()
