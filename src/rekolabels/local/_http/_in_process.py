"""In-process session: a boto3 session whose requests the service answers without a socket."""

from __future__ import annotations

import functools
import io
import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import boto3
import botocore.handlers
import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES, ConfigValueStore, ConstantProvider
from botocore.exceptions import ConnectionClosedError
from botocore.loaders import Loader

from rekolabels.errors import ServiceClosed
from rekolabels.local._core._credentials import SECRET
from rekolabels.local._core._wsgi import ResponseStart, close_chunks, make_environ
from rekolabels.local._http._shield import shield

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from _typeshed import WriteableBuffer
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

__all__ = ["CLOSED_MESSAGE", "ENDPOINT", "LocalSession", "make_request_environ", "make_session"]

CLOSED_MESSAGE = (
    "The embedded service is closed. Create a new one: `service = LocalService('workspace')`. What is stored "
    "in that folder is still there."
)
ENDPOINT = "http://s3.rekolabels.invalid"
"""Endpoint of all in-process clients. The name never resolves (RFC 6761), so nothing leaves the process. Its
first label makes S3 read bucket names from the path."""


class LocalSession(boto3.Session):
    """A session whose clients reach the embedded service and nothing else."""

    given_s3: Any = None

    def client(self, service_name: str, *args: Any, **kwargs: Any) -> Any:
        """Return a client as ``boto3.Session.client`` does; its endpoint is the service by default."""
        if service_name == "s3" and self.given_s3 is not None:
            return self.given_s3
        if kwargs.get("endpoint_url") is None:
            kwargs["endpoint_url"] = ENDPOINT
        kwargs["config"] = _with_path_style(kwargs.get("config"))
        make = cast("Callable[..., Any]", super().client)  # pyright: ignore[reportUnknownMemberType] - hundreds of overloads
        return make(service_name, *args, **kwargs)


def make_session(
    app: WSGIApplication,
    *,
    account: str,
    region: str,
    given_s3: Any = None,
    token: str | None = None,
    is_closed: Callable[[], bool] = lambda: False,
) -> LocalSession:
    """Return a session of an application, independent of environment variables and profiles.

    Args:
        app: The application that answers the requests.
        account: The account ID, which is the access key ID of the session.
        region: The Region of the session.
        given_s3: The S3 client to return instead of one of the application.
        token: A session token, to distinguish the credentials of sessions.
        is_closed: Returns whether the service is closed. Its requests then raise `ServiceClosed`.
    """
    core = botocore.session.Session()
    defaults = {name: variable[2] for name, variable in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()}
    sealed = {**defaults, "config_file": os.devnull, "credentials_file": os.devnull, "region": region}
    store = ConfigValueStore({name: ConstantProvider(value) for name, value in sealed.items()})
    core.register_component("config_store", store)
    # Reading botocore's service models takes most of the time to make a client: all sessions share one
    # loader.
    loader = _loader()
    core.register_component("data_loader", loader)
    core.set_credentials(account, SECRET, token)
    # Libraries such as moto add handlers to every new session; these requests are not for them.
    for event, handler, *_ in botocore.handlers.BUILTIN_HANDLERS:
        if event.startswith("before-send"):
            core.unregister(event, handler)
    core.get_component("event_emitter").register_first("before-send", _BeforeSend(app, is_closed))
    session = LocalSession(botocore_session=core, region_name=region)
    loader.search_paths[:] = dict.fromkeys(loader.search_paths)  # each session adds the same path
    session.given_s3 = given_s3
    return session


@functools.cache
def _loader() -> Loader:
    return Loader()


def _with_path_style(config: Config | None) -> Config:
    # Host names with buckets would need DNS.
    if config is None:
        return Config(s3={"addressing_style": "path"})
    given: Any = getattr(config, "s3", None) or {}
    settings: Any = {"addressing_style": "path", **given}
    return config.merge(Config(s3=settings))


class _BeforeSend:
    """Handler of ``before-send``; botocore takes what it returns as the response."""

    def __init__(self, app: WSGIApplication, is_closed: Callable[[], bool]) -> None:
        self._app = app
        self._is_closed = is_closed

    def __call__(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        if self._is_closed():
            raise ServiceClosed(CLOSED_MESSAGE)
        start = ResponseStart()
        try:
            body = shield(functools.partial(self._answer, request, start))
        except ConnectionError as error:
            raise ConnectionClosedError(endpoint_url=request.url, error=error, request=request) from error
        if start.status_code >= HTTPStatus.BAD_REQUEST and self._is_closed():
            raise ServiceClosed(CLOSED_MESSAGE)
        return AWSResponse(request.url, start.status_code, cast("Any", dict(start.headers)), body)

    def _answer(self, request: AWSPreparedRequest, start: ResponseStart) -> _ResponseBody:
        body = _ResponseBody(self._app(make_request_environ(request), start))
        body.prime()
        return body


def make_request_environ(request: AWSPreparedRequest) -> WSGIEnvironment:
    """Return the WSGI environ of a request that botocore is about to send."""
    parts = urlsplit(request.url)
    body, length = _open_request_body(request.body)
    environ = make_environ(
        request.method.upper(),
        parts.path or "/",
        parts.query,
        [(name, _text(value)) for name, value in request.headers.items()],
        body,
        scheme=parts.scheme,
        host=parts.hostname or "",
        port=80,
    )
    environ.setdefault("HTTP_HOST", parts.netloc)
    if length is not None:
        environ["CONTENT_LENGTH"] = str(length)
    return environ


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _open_request_body(body: object) -> tuple[io.BufferedIOBase, int | None]:
    """Return the body of a request as a file, and its length if known."""
    if body is None:
        return io.BytesIO(), 0
    if isinstance(body, str):
        body = body.encode()
    if isinstance(body, bytes | bytearray):
        return io.BytesIO(body), len(body)
    return io.BufferedReader(_RequestReader(body)), None


class _RequestReader(io.RawIOBase):
    """A file or iterable as a raw stream; botocore's wrappers of files only have ``read``."""

    def __init__(self, source: Any) -> None:
        super().__init__()
        self._read: Callable[[int], bytes] = (
            source.read if hasattr(source, "read") else _ResponseBody(iter(source)).read
        )

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._read(len(view))
        view[: len(data)] = data
        return len(data)


class _ResponseBody(io.RawIOBase):
    """The body of a response as botocore reads it: in chunks, on demand."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._iterator = iter(chunks)
        self._pending = memoryview(b"")

    def prime(self) -> None:
        """Fetch the first chunk: an application may start its response only then."""
        self._pending = memoryview(next(self._iterator, b""))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        while not self._pending:
            chunk = next(self._iterator, None)
            if chunk is None:
                return 0
            self._pending = memoryview(chunk)
        count = min(len(view), len(self._pending))
        view[:count] = self._pending[:count]
        self._pending = self._pending[count:]
        return count

    def read(self, amount: int | None = -1, /) -> bytes:
        if amount is None or amount < 0:
            return b"".join(self.stream())
        return super().read(amount) or b""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        """Yield the rest in chunks; botocore calls this for responses that it reads as a whole."""
        if self._pending:
            yield bytes(self._pending)
            self._pending = memoryview(b"")
        yield from self._iterator
        self.close()  # while it is garbage collected, a Ctrl-C would be ignored

    def close(self) -> None:
        if not self.closed:
            close_chunks(self._chunks)
        super().close()
