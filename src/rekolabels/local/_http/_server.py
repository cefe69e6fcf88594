"""HTTP server on 127.0.0.1, for the AWS CLI, other languages and other processes."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, cast

from rekolabels.errors import InvalidInput
from rekolabels.local._core._wsgi import (
    BadRequest,
    RequestBody,
    ResponseStart,
    close_chunks,
    make_environ,
    open_body,
)
from rekolabels.local._http._in_process import SECRET

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

__all__ = ["Server"]

_log = logging.getLogger("rekolabels.local")

_IDLE_TIMEOUT = 120.0
"""Seconds after which an idle connection is closed."""
_DRAIN_LIMIT = 1 << 20
"""Bytes of an unread body that are discarded to keep a connection open."""
_JOIN_TIMEOUT = 10.0
_NO_BODY = frozenset({204, 304})
# A page in a browser could reach the port through a host name of its own (DNS rebinding): answer only names
# of this machine, with or without a bucket as the first label.
_LOCAL_HOST = re.compile(
    r"(?:(?:[a-z\d.-]+\.)?localhost|127(?:\.\d{1,3}){3}|\[::1\])\.?(?::\d+)?", re.IGNORECASE
)
_QUERY = re.compile(r"\?\S*")


def _redact(line: str) -> str:
    """Remove query strings, which hold the signatures of presigned URLs, and escape control characters."""
    return _QUERY.sub("?...", line).encode("unicode_escape").decode()


class Server:
    """A running HTTP server of a service; a context manager.

    Attributes:
        url: The endpoint, such as ``http://127.0.0.1:4900``.
        port: The port.
        environment: Environment variables that make AWS SDKs and tools use the service.
    """

    def __init__(self, app: WSGIApplication, *, port: int, account: str, region: str) -> None:
        try:
            self._listener = _Listener(app, port)
        except (OSError, OverflowError) as error:
            in_use = getattr(error, "errno", None) == errno.EADDRINUSE
            reason = "the port is in use" if in_use else str(error).rstrip(".")
            raise InvalidInput(
                f"Cannot listen on port {port} of 127.0.0.1: {reason}. Choose another port, or 0 for a free "
                "one."
            ) from error
        self.port: int = self._listener.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment: Mapping[str, str] = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": account,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
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

    def __init__(self, app: WSGIApplication, port: int) -> None:
        self.app = app
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

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


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "rekolabels"
    sys_version = ""
    timeout = _IDLE_TIMEOUT
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self._listener = cast("_Listener", self.server)
        self._continue_pending = False

    def handle_expect_100(self) -> bool:
        # Send "100 Continue" only when the body is read: then the client never sends the body of a request
        # that is rejected.
        self._continue_pending = True
        return True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature of http.server
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("%s", _redact(format % args))

    def __getattr__(self, name: str) -> Any:
        # http.server looks up do_GET and so on: one method handles them all.
        if name.startswith("do_"):
            return self._respond
        raise AttributeError(name)

    def _respond(self) -> None:
        try:
            body = open_body(self.headers, self.rfile, self._send_continue)
        except BadRequest as error:
            self._reject(400, str(error))
            return
        if not self._has_local_host() or not self._has_local_origin():
            self._reject(403, "This service answers requests to 127.0.0.1 and localhost only.")
            return
        response = _ResponseWriter(self)
        chunks: Iterable[bytes] = ()
        try:
            chunks = self._listener.app(self._environ(body), response.start)
            body.check()
            response.send(chunks)
            target = self.headers.get("X-Amz-Target", "")
            self.log_message('"%s" %s %s', self.requestline, response.start.status, target)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except BadRequest as error:
            self._reject(400, str(error))
        except Exception:  # noqa: BLE001 - a defect of the application must not end the connection silently
            _log.exception("Request %s %s failed.", self.command, _redact(self.path))
            self._reject(500, "Internal error in the embedded service; see its log.")
        finally:
            close_chunks(chunks)
        # Read the rest of the body, which precedes the next request on this connection.
        if not self.close_connection and (
            (self._continue_pending and body.expected) or not body.drain(_DRAIN_LIMIT)
        ):
            self.close_connection = True
        self._continue_pending = False

    def _has_local_host(self) -> bool:
        hosts = self.headers.get_all("Host") or []
        return len(hosts) == 1 and _LOCAL_HOST.fullmatch(hosts[0].strip()) is not None

    def _has_local_origin(self) -> bool:
        # A foreign page can make a browser send requests here, even if it cannot read the responses.
        origin = self.headers.get("Origin")
        return origin is None or _LOCAL_HOST.fullmatch(origin.partition("://")[2]) is not None

    def _send_continue(self) -> None:
        if self._continue_pending:
            self._continue_pending = False
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.wfile.flush()

    def _reject(self, status: int, message: str) -> None:
        self.close_connection = True
        content = f"{message}\n".encode()
        with contextlib.suppress(ConnectionError, TimeoutError):
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)

    def _environ(self, body: RequestBody) -> WSGIEnvironment:
        path, _, query = self.path.partition("?")
        environ = make_environ(
            self.command,
            path,
            query,
            self.headers.items(),
            body,
            scheme="http",
            host="127.0.0.1",
            port=self._listener.server_address[1],
            protocol=self.request_version,
            errors=_ErrorLog(),
        )
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


class _ResponseWriter:
    """Writes a response: head and first chunk at once, chunked encoding when the length is unknown."""

    def __init__(self, handler: _Handler) -> None:
        self._handler = handler
        self.start = ResponseStart()

    def send(self, chunks: Iterable[bytes]) -> None:
        iterator = iter(chunks)
        first = next(iterator, b"")
        handler, start = self._handler, self.start
        names = {name.lower() for name, _ in start.headers}
        without_body = handler.command == "HEAD" or start.status_code in _NO_BODY
        has_length = "content-length" in names
        chunked = not has_length and not without_body and handler.request_version != "HTTP/1.0"
        head = [f"HTTP/1.1 {start.status}", *(f"{name}: {value}" for name, value in start.headers)]
        if "date" not in names:
            head.append(f"Date: {handler.date_time_string()}")
        if chunked:
            head.append("Transfer-Encoding: chunked")
        elif not has_length and not without_body:
            handler.close_connection = True
        if handler.close_connection:
            head.append("Connection: close")
        encoded_head = "\r\n".join([*head, "", ""]).encode("latin-1")
        if without_body:
            handler.wfile.write(encoded_head)
            return
        handler.wfile.write(encoded_head + (_encode_chunk(first) if chunked else first))
        for chunk in iterator:
            handler.wfile.write(_encode_chunk(chunk) if chunked else chunk)
        if chunked:
            handler.wfile.write(b"0\r\n\r\n")


def _encode_chunk(chunk: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(chunk), chunk) if chunk else b""
