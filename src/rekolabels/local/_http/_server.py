"""The service behind a socket on 127.0.0.1, for the AWS CLI, other languages and other processes."""

from __future__ import annotations

import contextlib
import errno
import logging
import re
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote_to_bytes

from rekolabels.errors import InvalidInput
from rekolabels.local._core._wsgi import BadRequest, RequestBody, open_body
from rekolabels.local._http._in_process import SECRET

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

__all__ = ["Server"]

_log = logging.getLogger("rekolabels.local")

_IDLE = 120.0
_DRAIN = 1 << 20
_JOIN = 10.0
_NO_BODY = frozenset({204, 304})
# A page in a browser could reach the port under a name of its own (DNS rebinding): only names of this
# machine are answered, with or without a bucket in front.
_OWN_HOST = re.compile(
    r"(?:(?:[a-z\d.-]+\.)?localhost|127(?:\.\d{1,3}){3}|\[::1\])\.?(?::\d+)?", re.IGNORECASE
)

_QUERY = re.compile(r"\?\S*")


def _safe(line: str) -> str:
    """A line for the log: without queries, which hold the signatures of presigned URLs, on one line."""
    return _QUERY.sub("?...", line).encode("unicode_escape").decode()


class Server:
    """A running server.

    Attributes:
        url: The endpoint, such as ``http://127.0.0.1:4900``.
        port: Its port.
        environment: What to set so that AWS SDKs and tools reach the service.
    """

    def __init__(self, app: WSGIApplication, *, port: int, account: str, region: str) -> None:
        try:
            self._listener = _Listener(app, port)
        except (OSError, OverflowError) as error:
            taken = getattr(error, "errno", None) == errno.EADDRINUSE
            reason = "it is taken" if taken else str(error).rstrip(".")
            raise InvalidInput(
                f"Port {port} of 127.0.0.1 cannot be opened: {reason}. Choose another, or 0 for a free one."
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
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.05,), name=f"rekolabels-{self.port}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening and end every connection."""
        self._listener.shutdown()
        self._thread.join(_JOIN)
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
        self._open: dict[socket.socket, threading.Thread] = {}
        self._guard = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open[request] = threading.current_thread()
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._guard:
                self._open.pop(request, None)

    def server_close(self) -> None:
        super().server_close()
        with self._guard:
            waiting = dict(self._open)
        for connection in waiting:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in waiting.values():
            thread.join(_JOIN)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the signature of socketserver
        _log.debug("a connection from %s broke", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "rekolabels"
    sys_version = ""
    timeout = _IDLE
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self._listener = cast("_Listener", self.server)
        self._awaits_go = False

    def handle_expect_100(self) -> bool:
        # The client is told to go on when somebody reads its body; a refused request never sends it.
        self._awaits_go = True
        return True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature of http.server
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("%s", _safe(format % args))

    def __getattr__(self, name: str) -> Any:
        # http.server looks for do_GET and the like: every method goes the same way.
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        try:
            body = open_body(self.headers, self.rfile, self._go_on)
        except BadRequest as error:
            self._refuse(400, str(error))
            return
        if not self._is_own_host() or not self._is_own_origin():
            self._refuse(403, "This service answers to 127.0.0.1 and localhost only.")
            return
        reply = _Reply(self)
        chunks: Iterable[bytes] = ()
        try:
            chunks = self._listener.app(self._environ(body), reply.start)
            body.check()
            reply.send(chunks)
            target = self.headers.get("X-Amz-Target", "")
            self.log_message('"%s" %s %s', self.requestline, reply.status, target)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except BadRequest as error:
            self._refuse(400, str(error))
        except Exception:  # noqa: BLE001 - a fault of the application must not end the connection silently
            _log.exception("%s %s broke", self.command, _safe(self.path))
            self._refuse(500, "The embedded service made a mistake; its log tells more.")
        finally:
            closing = getattr(chunks, "close", None)
            if closing is not None:
                closing()
        # What is left of the body stands before the next request.
        if not self.close_connection and ((self._awaits_go and body.expected) or not body.drain(_DRAIN)):
            self.close_connection = True
        self._awaits_go = False

    def _is_own_host(self) -> bool:
        hosts = self.headers.get_all("Host") or []
        return len(hosts) == 1 and _OWN_HOST.fullmatch(hosts[0].strip()) is not None

    def _is_own_origin(self) -> bool:
        # A page of somebody else's can make a browser send requests here, even if it cannot read the answers.
        origin = self.headers.get("Origin")
        return origin is None or _OWN_HOST.fullmatch(origin.partition("://")[2]) is not None

    def _go_on(self) -> None:
        if self._awaits_go:
            self._awaits_go = False
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.wfile.flush()

    def _refuse(self, status: int, message: str) -> None:
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
        environ: WSGIEnvironment = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(self._listener.server_address[1]),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": body,
            "wsgi.input_terminated": True,
            "wsgi.errors": _Errors(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "rekolabels.headers": self.headers.items(),
        }
        for name, value in self.headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value.strip()
        return environ


class _Errors:
    """``wsgi.errors``: what an application writes there goes to the log."""

    def write(self, text: str) -> int:
        if text.strip():
            _log.error("%s", text.rstrip())
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Nothing is held back."""


class _Reply:
    """Writes an answer: small ones in one piece, those of unknown length in chunks."""

    def __init__(self, handler: _Handler) -> None:
        self._handler = handler
        self.status = ""
        self._headers: list[tuple[str, str]] = []

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
        if exc_info is not None and self.status:
            raise exc_info[1]
        self.status, self._headers = status, headers

    def send(self, chunks: Iterable[bytes]) -> None:
        iterator = iter(chunks)
        first = next(iterator, b"")
        handler = self._handler
        names = {name.lower() for name, _ in self._headers}
        bare = handler.command == "HEAD" or int(self.status[:3]) in _NO_BODY
        framed = "content-length" in names
        chunked = not framed and not bare and handler.request_version != "HTTP/1.0"
        head = [f"HTTP/1.1 {self.status}", *(f"{name}: {value}" for name, value in self._headers)]
        if "date" not in names:
            head.append(f"Date: {handler.date_time_string()}")
        if chunked:
            head.append("Transfer-Encoding: chunked")
        elif not framed and not bare:
            handler.close_connection = True
        if handler.close_connection:
            head.append("Connection: close")
        beginning = "\r\n".join([*head, "", ""]).encode("latin-1")
        if bare:
            handler.wfile.write(beginning)
            return
        handler.wfile.write(beginning + (_chunk(first) if chunked else first))
        for piece in iterator:
            handler.wfile.write(_chunk(piece) if chunked else piece)
        if chunked:
            handler.wfile.write(b"0\r\n\r\n")


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b""
