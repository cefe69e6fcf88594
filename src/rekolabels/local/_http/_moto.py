"""Bridge into moto: Custom Labels calls inside ``mock_aws`` reach the service."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from rekolabels.errors import InvalidInput
from rekolabels.local._core._wsgi import ResponseStart
from rekolabels.local._http._in_process import make_request_environ
from rekolabels.local._operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Generator

    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

__all__ = ["inside_moto"]

_PATH = "{0}/$"
_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def inside_moto(app: WSGIApplication) -> Generator[None]:
    """Answer the Custom Labels calls that moto mocks, within the block; moto answers the other operations.

    Only this module knows how moto routes requests: its table of URL paths is replaced for the time being.

    Raises:
        InvalidInput: moto is not installed.
    """
    try:
        from moto.rekognition import urls
        from moto.rekognition.responses import RekognitionResponse
    except ModuleNotFoundError as error:
        raise InvalidInput(
            "Cannot use inside_moto(): moto is not installed. Run: pip install 'moto[s3]'"
        ) from error

    paths: dict[str, Any] = urls.url_paths

    def respond(request: Any, url: str, headers: Any) -> Any:
        operation = str(headers.get("X-Amz-Target", "")).rpartition(".")[2]
        if operation not in OPERATIONS:
            return before(request, url, headers)
        environ = _environ(request)
        environ["rekolabels.account"] = _account(RekognitionResponse(), headers)
        start = ResponseStart()
        body = b"".join(app(environ, start))
        return start.status_code, dict(start.headers), body

    with _one_at_a_time:
        before = paths[_PATH]
        paths[_PATH] = respond
        try:
            yield
        finally:
            paths[_PATH] = before


def _environ(request: Any) -> WSGIEnvironment:
    """Return the environ of a request of moto: botocore's own before moto 5.2.4, werkzeug's since."""
    environ: WSGIEnvironment | None = getattr(request, "environ", None)
    return make_request_environ(request) if environ is None else environ


def _account(response: Any, headers: Any) -> str:
    """Return the account to which moto assigns a request."""
    response.headers = headers
    response.querystring = {}
    return str(response.get_current_account())
