"""The service in process: a boto3 session whose requests are answered without a socket."""

from __future__ import annotations

import functools
import io
import os
import sys
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote_to_bytes, urlsplit

import boto3
import botocore.handlers
import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES, ConfigValueStore, ConstantProvider
from botocore.exceptions import ConnectionClosedError
from botocore.loaders import Loader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from _typeshed import WriteableBuffer
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

__all__ = ["ENDPOINT", "SECRET", "LocalSession", "make_session"]

ENDPOINT = "http://s3.rekolabels.invalid"
"""The endpoint of every client in process. The name never resolves (RFC 6761), so nothing leaves the process;
its first label tells S3 that buckets stand in the path."""
SECRET = "not-a-secret"  # noqa: S105 - signatures are not verified
_COPIED = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}


class LocalSession(boto3.Session):
    """A session of the embedded service; clients made from it reach the service and nothing else."""

    given_s3: Any = None

    def client(self, service_name: str, *args: Any, **kwargs: Any) -> Any:
        """As ``boto3.Session.client``; the endpoint is the service unless another one is given."""
        if service_name == "s3" and self.given_s3 is not None:
            return self.given_s3
        if kwargs.get("endpoint_url") is None:
            kwargs["endpoint_url"] = ENDPOINT
        kwargs["config"] = _with_path_style(kwargs.get("config"))
        make = cast("Callable[..., Any]", super().client)  # pyright: ignore[reportUnknownMemberType] - hundreds of overloads
        return make(service_name, *args, **kwargs)


def make_session(
    app: WSGIApplication, *, account: str, region: str, given_s3: Any = None, token: str | None = None
) -> LocalSession:
    """A session that neither the environment nor a profile can turn away from the service."""
    core = botocore.session.Session()
    defaults = {name: variable[2] for name, variable in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()}
    sealed = {**defaults, "config_file": os.devnull, "credentials_file": os.devnull, "region": region}
    store = ConfigValueStore({name: ConstantProvider(value) for name, value in sealed.items()})
    core.register_component("config_store", store)
    # Reading botocore's descriptions is most of what a client costs; they are read once for all sessions.
    loader = _loader()
    core.register_component("data_loader", loader)
    core.set_credentials(account, SECRET, token)
    # Others hook themselves into every session (moto does); their handlers have no business here.
    for event, handler, *_ in botocore.handlers.BUILTIN_HANDLERS:
        if event.startswith("before-send"):
            core.unregister(event, handler)
    core.get_component("event_emitter").register_first("before-send", _Answerer(app))
    session = LocalSession(botocore_session=core, region_name=region)
    loader.search_paths[:] = dict.fromkeys(loader.search_paths)  # each session adds the same one
    session.given_s3 = given_s3
    return session


@functools.cache
def _loader() -> Loader:
    return Loader()


def _with_path_style(config: Config | None) -> Config:
    # Buckets in the host name would need a name server; the port of a socket host has none either.
    if config is None:
        return Config(s3={"addressing_style": "path"})
    given: Any = getattr(config, "s3", None) or {}
    settings: Any = {"addressing_style": "path", **given}
    return config.merge(Config(s3=settings))


class _Answerer:
    """The handler of ``before-send``: what it returns is the answer."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        environ = _environ(request)
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
        ) -> Callable[[bytes], object]:
            if exc_info is not None and started:
                raise exc_info[1]
            started[:] = [(status, headers)]
            return _no_write

        try:
            chunks = self._app(environ, start_response)
        except ConnectionError as error:
            raise ConnectionClosedError(endpoint_url=request.url, error=error, request=request) from error
        body = _Body(chunks)
        body.prime()
        ((status, headers),) = started
        return AWSResponse(request.url, int(status[:3]), cast("Any", dict(headers)), body)


def _no_write(_: bytes) -> None:
    raise NotImplementedError("the write callable of WSGI is not offered; return the body instead")


def _environ(request: AWSPreparedRequest) -> WSGIEnvironment:
    parts = urlsplit(request.url)
    body, length = _input(request.body)
    headers = [(name, _text(value)) for name, value in request.headers.items()]
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": request.method.upper(),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(parts.path or "/").decode("latin-1"),
        "QUERY_STRING": parts.query,
        "SERVER_NAME": parts.hostname or "",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": parts.netloc,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": parts.scheme,
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "rekolabels.headers": headers,
    }
    for name, value in headers:
        lowered = name.lower()
        environ[_COPIED.get(lowered) or f"HTTP_{lowered.upper().replace('-', '_')}"] = value
    if length is not None:
        environ["CONTENT_LENGTH"] = str(length)
    return environ


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _input(body: object) -> tuple[io.BufferedIOBase, int | None]:
    """The body of a request as a file, and its length when that is known."""
    if body is None:
        return io.BytesIO(), 0
    if isinstance(body, str):
        body = body.encode()
    if isinstance(body, bytes | bytearray):
        return io.BytesIO(body), len(body)
    return io.BufferedReader(_Reader(body)), None


class _Reader(io.RawIOBase):
    """A file or iterable as a raw stream; what botocore wraps around files can only ``read``."""

    def __init__(self, source: Any) -> None:
        super().__init__()
        self._read: Callable[[int], bytes] = (
            source.read if hasattr(source, "read") else _Body(iter(source)).read
        )

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._read(len(view))
        view[: len(data)] = data
        return len(data)


class _Body(io.RawIOBase):
    """The body of an answer, as botocore wants to read it: in pieces, when it is asked for."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._iterator = iter(chunks)
        self._pending = memoryview(b"")

    def prime(self) -> None:
        """Fetch the first piece: applications may wait with their headers until then."""
        self._pending = memoryview(next(self._iterator, b""))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        while not self._pending:
            piece = next(self._iterator, None)
            if piece is None:
                return 0
            self._pending = memoryview(piece)
        count = min(len(view), len(self._pending))
        view[:count] = self._pending[:count]
        self._pending = self._pending[count:]
        return count

    def read(self, amount: int | None = -1, /) -> bytes:
        if amount is None or amount < 0:
            return b"".join(self.stream())
        return super().read(amount) or b""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        """The rest in pieces; botocore reads what is no stream to the caller this way."""
        if self._pending:
            yield bytes(self._pending)
            self._pending = memoryview(b"")
        yield from self._iterator

    def close(self) -> None:
        closing = getattr(self._chunks, "close", None)
        if closing is not None and not self.closed:
            closing()
        super().close()
