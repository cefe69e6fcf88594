"""Bridge into moto: Rekognition calls inside ``mock_aws`` reach the service."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from rekolabels.errors import InvalidInput
from rekolabels.local._core._wsgi import ResponseStart

if TYPE_CHECKING:
    from collections.abc import Generator

    from _typeshed.wsgi import WSGIApplication

__all__ = ["inside_moto"]

_PATH = "{0}/$"
_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def inside_moto(app: WSGIApplication) -> Generator[None]:
    """Answer the Rekognition calls that moto mocks, within the block.

    Only this function knows how moto routes requests: its table of URL paths is replaced for the time being.

    Raises:
        InvalidInput: moto is not installed.
    """
    try:
        from moto.rekognition import urls
    except ModuleNotFoundError as error:
        raise InvalidInput(
            "Cannot use inside_moto(): moto is not installed. Run: pip install 'moto[s3]'"
        ) from error

    def respond(request: Any, _url: str, _headers: Any) -> tuple[int, dict[str, str], bytes]:
        start = ResponseStart()
        body = b"".join(app(request.environ, start))
        return start.status_code, dict(start.headers), body

    paths: dict[str, Any] = urls.url_paths
    with _one_at_a_time:
        before = paths[_PATH]
        paths[_PATH] = respond
        try:
            yield
        finally:
            paths[_PATH] = before
