"""A proxy on the loopback that lets requests through, or does to them what networks and services do."""

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

__all__ = ["FaultyProxy", "Request", "Trouble", "answer", "framed"]

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TARGET = re.compile(rb"\r\nx-amz-target: *[^\r\n.]*\.(\w+)", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect: *100-continue", re.IGNORECASE)
_CONNECTION = re.compile(rb"\r\nconnection:[^\r\n]*", re.IGNORECASE)
_RESET = struct.pack("ii", 1, 0)
_LONGEST = 10.0


@attrs.frozen
class Request:
    """A request that has come in, on a connection of its own."""

    head: bytes
    client: socket.socket
    reader: BufferedReader
    upstream: int
    pass_time: Callable[[float], None]

    @property
    def operation(self) -> str:
        """The operation of Rekognition, or ``S3``."""
        found = _TARGET.search(self.head)
        return "S3" if found is None else found[1].decode()

    def length(self) -> int:
        """Let the client begin with the body, and return its length."""
        if _EXPECT.search(self.head):
            self.client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = _LENGTH.search(self.head)
        return 0 if length is None else int(length[1])

    def body(self) -> bytes:
        """Read the body."""
        return self.reader.read(self.length())

    def pass_on(self) -> bytes:
        """Make the request to the server behind, and return the whole answer."""
        head = _EXPECT.sub(b"", _CONNECTION.sub(b"", self.head))[:-2] + b"Connection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.upstream), timeout=_LONGEST) as server:
            server.sendall(head + self.body())
            return b"".join(iter(lambda: server.recv(1 << 16), b""))

    def stay_silent(self, seconds: float) -> None:
        """Say nothing until the client gives up; by the test's clock it takes that many seconds."""
        self.body()
        self.pass_time(seconds)
        self.reader.read(1)

    def reset(self) -> None:
        """Break the connection off, so that the other side meets ECONNRESET."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


@attrs.frozen
class Trouble:
    """What is done to requests."""

    name: str
    meaning: str
    """In a sentence, for the docs."""
    strike: Callable[[Request], object] | None
    """Deals with a request; None for a port that nobody listens on."""
    applies: Callable[[str], bool] = attrs.field(default=lambda _: True, repr=False)
    """Whether the trouble is for an operation of Rekognition, or for ``S3``."""
    times: int = 1
    """Requests that a short trouble is for."""
    silent: bool = False
    """Whether the client has to give up waiting."""
    hides: bool = False
    """Whether what there is looks as if it were not."""


class FaultyProxy:
    """Stands before a server; one request a connection.

    Attributes:
        url: The endpoint.
        seen: Requests since trouble began.
        struck: Those of them that met it.
    """

    def __init__(self, upstream: int, pass_time: Callable[[float], None]) -> None:
        self._upstream = upstream
        self._pass_time = pass_time
        self._trouble: Trouble | None = None
        self._left = 0.0
        self._guard = threading.Lock()
        self.seen = self.struck = 0
        self._listener = self._listen(0)
        self._port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    def begin(self, trouble: Trouble, *, times: float) -> None:
        """From now on so many requests meet trouble."""
        with self._guard:
            self._trouble, self._left = trouble, times
            self.struck = self.seen = 0
        if trouble.strike is None:
            _stop(self._listener)

    def end(self) -> None:
        """All is well again."""
        with self._guard:
            trouble, self._trouble = self._trouble, None
        if trouble is not None and trouble.strike is None:
            self._listener = self._listen(self._port)

    def on_retry(self, _: object) -> None:
        """A short refusal cannot count what it refuses: it ends when the client tries again."""
        if self._trouble is not None and self._trouble.strike is None and self._left < math.inf:
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
        client.settimeout(_LONGEST)
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
        with self._guard:
            self.seen += 1
            if self._trouble is None or self._left < 1 or not self._trouble.applies(operation):
                return None
            self._left -= 1
            self.struck += 1
            return self._trouble.strike


def answer(status: int, operation: str, code: str, *headers: str) -> bytes:
    """An answer with an error, in the form of Rekognition or of S3."""
    if operation == "S3":
        body = f"<Error><Code>{code}</Code><Message>As the test wants it.</Message></Error>".encode()
    else:
        body = json.dumps({"__type": code, "Message": "As the test wants it."}).encode()
    return framed(status, body, *headers)


def framed(status: int, body: bytes, *headers: str) -> bytes:
    """An answer."""
    lines = [f"HTTP/1.1 {status} Trouble", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _stop(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
    listener.close()
