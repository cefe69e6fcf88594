"""The service inside moto's ``mock_aws``: the one place that knows how moto finds who answers a call."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from rekolabels.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Generator

    from _typeshed.wsgi import WSGIApplication

__all__ = ["inside_moto"]

_PATH = "{0}/$"
_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def inside_moto(app: WSGIApplication) -> Generator[None]:
    """Answer the Rekognition calls that moto mocks, within the block.

    Raises:
        InvalidInput: moto is not installed.
    """
    try:
        from moto.rekognition import urls
    except ModuleNotFoundError as error:
        raise InvalidInput(
            "moto is not installed, so there is nothing to be inside of: pip install 'moto[s3]'"
        ) from error

    def answer(request: Any, _url: str, _headers: Any) -> tuple[int, dict[str, str], bytes]:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _exc_info: object = None, /) -> Any:
            started.append((status, headers))

        body = b"".join(app(request.environ, start_response))
        ((status, headers),) = started
        return int(status[:3]), dict(headers), body

    paths: dict[str, Any] = urls.url_paths
    with _one_at_a_time:
        before = paths[_PATH]
        paths[_PATH] = answer
        try:
            yield
        finally:
            paths[_PATH] = before
