"""HTTP server for the AWS CLI, other languages and other processes; on 127.0.0.1 unless told otherwise."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import socketserver
import threading
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, cast

from rekolabels._arguments import check_callable, check_integer, check_items, check_text
from rekolabels.errors import InvalidInput
from rekolabels.local._core._credentials import SECRET
from rekolabels.local._core._wsgi import BadRequest, ResponseStart, close_chunks, make_environ
from rekolabels.local._http._access import HostNames, TokenMiddleware, check_exposure, protect_response
from rekolabels.local._http._cors import CorsMiddleware
from rekolabels.local._http._parser import RequestBody, RequestHead, open_body, read_head

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

__all__ = ["Server"]

_log = logging.getLogger("rekolabels.local")

_IDLE_TIMEOUT = 120.0
"""Seconds after which an idle connection is closed."""
_DRAIN_LIMIT = 1 << 20
"""Bytes of an unread body that are discarded to keep a connection open."""
_LINGER_TIMEOUT = 1.0
"""Seconds that the server reads on after a refusal: closing at once could reset the connection, and the
client would lose the response."""
_JOIN_TIMEOUT = 10.0
_MAX_PORT = 65_535
_NO_BODY = frozenset({204, 304})
_REASONS = {
    400: "Bad Request",
    403: "Forbidden",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    505: "HTTP Version Not Supported",
}


def _escape(text: str) -> str:
    """Return a text of a client without control characters, which could forge lines of the log."""
    return text.encode("unicode_escape").decode()


def _redact(line: bytes) -> str:
    """Return the start of a malformed request line, without the query."""
    path, mark, _ = line[:200].decode("latin-1").rstrip("\r\n").partition("?")
    return _escape(path + mark + ("..." if mark else ""))


class _Environment(dict[str, str]):
    """Environment variables; the representation does not show the values."""

    def __repr__(self) -> str:
        return f"<environment variables {', '.join(self)}>"


class Server:
    """A running HTTP server of a service; a context manager.

    Args:
        app: The application.
        port: The port; 0 for a free one.
        account: Account ID of the clients; their access key ID when there is no token.
        region: Region of the clients.
        host: The IP address to listen on.
        token: The access token, which clients send as their access key ID; None for none.
        allowed_hosts: Host names of the service besides those of the loopback interface.
        exposes: What a client can do, for the warning that other machines can reach the server.

    Raises:
        InvalidInput: The address cannot be used, or other machines could reach it without a token.

    Attributes:
        url: The endpoint, such as ``http://127.0.0.1:4900``.
        port: The port.
        environment: Environment variables that make AWS SDKs and tools use the service. With a token, one of
            them is the token.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        port: int,
        account: str,
        region: str,
        host: str = "127.0.0.1",
        token: str | None = None,
        allowed_hosts: Collection[str] = (),
        exposes: str = "everything",
    ) -> None:
        check_callable("app", app, "a WSGI application")
        check_integer("port", port, at_least=0, at_most=_MAX_PORT)
        check_text("account", account, "an account ID")
        check_text("region", region, "a Region")
        names = check_items("allowed_hosts", allowed_hosts, str, "a list of host names")
        exposed = check_exposure(host, token, names)
        if token is not None:
            app = TokenMiddleware(app, token)
        try:
            self._listener = _Listener(CorsMiddleware(app), host, port, HostNames(names))
        except (OSError, OverflowError) as error:
            in_use = getattr(error, "errno", None) == errno.EADDRINUSE
            reason = "the port is in use" if in_use else str(error).rstrip(".")
            raise InvalidInput(
                f"Cannot listen on port {port} of {host}: {reason}. Choose another port, or 0 for a free one."
            ) from error
        self.port: int = self._listener.server_address[1]
        name = names[0] if exposed else f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{self.port}"
        self.environment: Mapping[str, str] = _Environment(
            AWS_ENDPOINT_URL=self.url,
            AWS_ACCESS_KEY_ID=token or account,
            AWS_SECRET_ACCESS_KEY=SECRET,
            AWS_REGION=region,
            AWS_DEFAULT_REGION=region,
            AWS_EC2_METADATA_DISABLED="true",
        )
        if exposed:
            _log.warning(
                "The embedded service listens on %s, port %d. Whoever reaches this port and knows the access "
                "token can %s. Requests are not encrypted, and each contains the token: use a network that "
                "you trust, or a proxy with TLS. Host names: %s and those of the loopback interface.",
                host,
                self.port,
                exposes,
                ", ".join(names),
            )
        self._process = os.getpid()
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.05,), name=f"rekolabels-{self.port}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening and close all connections; in a fork of the process, close its copy of the port."""
        if self._process != os.getpid():
            self._listener.socket.close()  # the thread that listens stayed in the other process
            return
        self._listener.shutdown()
        self._thread.join(_JOIN_TIMEOUT)
        self._listener.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Server {self.url}>"


class _Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, app: WSGIApplication, host: str, port: int, host_names: HostNames) -> None:
        self.app = app
        self.host_names = host_names
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        super().__init__((host, port), _Handler)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections[request] = threading.current_thread()
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._connections.pop(request, None)

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            connections = dict(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in connections.values():
            thread.join(_JOIN_TIMEOUT)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the signature of socketserver
        _log.debug("The connection from %s failed.", client_address, exc_info=True)


class _Handler(socketserver.StreamRequestHandler):
    """A connection: one request after the other, until one of both sides ends it."""

    timeout = _IDLE_TIMEOUT
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self._listener = cast("_Listener", self.server)
        self._keep_alive = True
        self._continue_pending = False
        self._answered = False

    def handle(self) -> None:
        while self._keep_alive:
            self._answered = self._continue_pending = False
            try:
                head = read_head(self.rfile)
                if head is None:
                    return
                self._keep_alive = head.keeps_alive
                self._respond(head, open_body(head, self.rfile, self._send_continue))
            except BadRequest as error:
                self._reject(error.status, str(error), _redact(error.line))
            except (ConnectionError, TimeoutError):
                return

    def _respond(self, head: RequestHead, body: RequestBody) -> None:
        if not self._listener.host_names.accept(head):
            self._reject(
                403, "This service answers neither other host names nor web pages of other sites.", head.line
            )
            return
        # Send "100 Continue" only when the body is read: then the client never sends the body of a request
        # that is rejected.
        self._continue_pending = head.expects_continue
        if not body.expected:
            # Nothing is read, but without this line botocore 1.35 loses the status of the next response.
            self._send_continue()
        start = ResponseStart()
        chunks: Iterable[bytes] = ()
        try:
            chunks = self._listener.app(self._environ(head, body), start)
            body.check()
            self._send(head, start, chunks)
            if _log.isEnabledFor(logging.DEBUG):
                target = " ".join(head.fields.get("x-amz-target", ()))
                _log.debug('"%s" %s %s', head.line, start.status, _escape(target))
        except (ConnectionError, TimeoutError, BadRequest):
            self._keep_alive = False
            raise
        except Exception:  # noqa: BLE001 - a defect of the application must not end the connection silently
            _log.exception("Request %s failed.", head.line)
            self._reject(500, "Internal error in the embedded service; see its log.", head.line)
        finally:
            close_chunks(chunks)
        # Read the rest of the body, which precedes the next request on this connection.
        if self._keep_alive and ((self._continue_pending and body.expected) or not body.drain(_DRAIN_LIMIT)):
            self._keep_alive = False

    def _send_continue(self) -> None:
        if self._continue_pending:
            self._continue_pending = False
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _reject(self, status: int, message: str, line: str) -> None:
        self._keep_alive = False
        _log.debug('"%s" %d %s', line, status, message)
        if self._answered:  # the client sees an incomplete body
            return
        content = f"{message}\n".encode()
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(content)))]
        head = self._encode_head(f"{status} {_REASONS[status]}", headers)
        with contextlib.suppress(OSError):
            self.wfile.write(head if line.startswith("HEAD ") else head + content)
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_LINGER_TIMEOUT)
            for _ in range(_DRAIN_LIMIT >> 16):
                if not self.rfile.read1(1 << 16):
                    break

    def _encode_head(self, status: str, headers: list[tuple[str, str]]) -> bytes:
        """Encode the head of a response, with the headers that every response has.

        Raises:
            ValueError: A header contains a line end, which would begin another header or response.
        """
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in protect_response(headers))]
        lines.append(f"Date: {formatdate(usegmt=True)}")
        if not self._keep_alive:
            lines.append("Connection: close")
        head = "\r\n".join(lines)
        if "\0" in head or not head.count("\r") == head.count("\n") == len(lines) - 1:
            raise ValueError("A response header contains a control character.")
        self._answered = True
        return f"{head}\r\n\r\n".encode("latin-1")

    def _send(self, head: RequestHead, start: ResponseStart, chunks: Iterable[bytes]) -> None:
        """Send a response: head and first chunk at once, chunked encoding when the length is unknown."""
        iterator = iter(chunks)
        first = next(iterator, b"")
        without_body = head.method == "HEAD" or start.status_code in _NO_BODY
        has_length = any(name.lower() == "content-length" for name, _ in start.headers)
        chunked = not has_length and not without_body and head.version != "1.0"
        headers = [*start.headers, ("Transfer-Encoding", "chunked")] if chunked else start.headers
        encoded_head = self._encode_head(start.status, headers)
        if without_body:
            self.wfile.write(encoded_head)
            return
        self.wfile.write(encoded_head + (_encode_chunk(first) if chunked else first))
        for chunk in iterator:
            self.wfile.write(_encode_chunk(chunk) if chunked else chunk)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _environ(self, head: RequestHead, body: RequestBody) -> WSGIEnvironment:
        environ = make_environ(
            head.method,
            head.path,
            head.query,
            head.headers,
            body,
            scheme="http",
            host=str(self._listener.server_address[0]),
            port=self._listener.server_address[1],
            protocol=f"HTTP/{head.version}",
            errors=_ErrorLog(),
        )
        if head.host is not None:
            environ["HTTP_HOST"] = head.host
        environ["REMOTE_ADDR"] = self.client_address[0]
        return environ


class _ErrorLog:
    """``wsgi.errors`` that writes to the log."""

    def write(self, text: str) -> int:
        if text.strip():
            _log.error("%s", text.rstrip())
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Do nothing: lines are not buffered."""


def _encode_chunk(chunk: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(chunk), chunk) if chunk else b""
