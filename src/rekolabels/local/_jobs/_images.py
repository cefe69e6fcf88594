"""Images of a training: fetched from S3, looked at, kept as far as memory allows, given to the engine."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from rekolabels.local._engine import UnusableImage, check_image
from rekolabels.manifest.limits import IMAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Images", "NotFetched"]

_KEPT = 256 << 20
_URI = re.compile(r"[sS]3://([^/]+)/(.+)", re.DOTALL)


class NotFetched(UnusableImage):
    """An image that S3 does not give."""


class Images:
    """The images of one training.

    Args:
        s3: Brings the S3 client.
        kept: Bytes of images that are held, so that most are fetched only once.
    """

    def __init__(self, s3: Callable[[], Any], *, kept: int = _KEPT) -> None:
        self._s3 = s3
        self._room = kept
        self._held: dict[str, bytes] = {}
        self._guard = threading.Lock()

    def read(self, source: str) -> bytes:
        """The encoded image.

        Raises:
            UnusableImage: It cannot be fetched (any more), or is too large.
        """
        held = self._held.get(source)
        return self._fetch(source) if held is None else held

    def flaw_of(self, source: str) -> UnusableImage | None:
        """Why an image cannot be used, as far as its header tells; None when it can."""
        try:
            data = self._fetch(source)
            check_image(data)
        except UnusableImage as error:
            return error
        with self._guard:
            if source not in self._held and len(data) <= self._room:
                self._held[source] = data
                self._room -= len(data)
        return None

    def _fetch(self, source: str) -> bytes:
        match = _URI.fullmatch(source)
        if match is None:
            raise UnusableImage(f"{source} is no place in S3", reason="unreadable")
        try:
            answer = self._s3().get_object(Bucket=match[1], Key=match[2])
            with answer["Body"] as body:
                if answer["ContentLength"] > IMAGE_BYTES:
                    raise UnusableImage(f"{source} has {answer['ContentLength']} bytes", reason="too large")
                data: bytes = body.read()
        except (ClientError, BotoCoreError) as error:
            raise NotFetched(f"{source} cannot be fetched: {error}", reason="unreadable") from error
        return data
