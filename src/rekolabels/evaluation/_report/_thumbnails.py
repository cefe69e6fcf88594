"""Small pictures for a page, made with Pillow (the extra ``report``)."""

from __future__ import annotations

import base64
import io
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Thumbnails"]

_SIDE = 360
_QUALITY = 72
_MOST_PIXELS = 64_000_000
"""An image that claims to be larger than the service takes is not decoded."""


class Thumbnails:
    """Makes data URIs of images that are read by their URI.

    Args:
        read: Gives the bytes of an image; None where there is no way to them.
    """

    def __init__(self, read: Callable[[str], bytes] | None) -> None:
        self._read = read
        self._pillow: Any = None
        self.problem: str | None = None
        """Why the last image has no picture."""
        if read is not None:
            try:
                self._pillow = import_module("PIL.Image")
                self._operations: Any = import_module("PIL.ImageOps")
            except ImportError:
                self._read = None
                self.problem = "for pictures, pip install 'rekolabels[report]'"

    def make(self, source: str) -> str | None:
        """A small JPEG as a data URI; None where there is none, for which ``problem`` has the reason."""
        if self._read is None:
            return None
        self.problem = None
        try:
            data = self._read(source)
        except Exception as error:  # noqa: BLE001 - a page without one picture is better than no page
            self.problem = f"the image cannot be read ({type(error).__name__})"
            return None
        try:
            return self._encode(data)
        except Exception:  # noqa: BLE001 - Pillow raises many kinds for damaged images
            self.problem = "this is no image that can be shown"
            return None

    def _encode(self, data: bytes) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged EXIF, of large images
            image = self._pillow.open(io.BytesIO(data), formats=("JPEG", "PNG"))
            if image.width * image.height > _MOST_PIXELS:
                raise ValueError("too large")
            image.draft("RGB", (2 * _SIDE, 2 * _SIDE))
            image = self._operations.exif_transpose(image)
            image = self._flat(image)
            image.thumbnail((_SIDE, _SIDE))
            target = io.BytesIO()
            image.save(target, "JPEG", quality=_QUALITY)
        return f"data:image/jpeg;base64,{base64.b64encode(target.getvalue()).decode('ascii')}"

    def _flat(self, image: Any) -> Any:
        """Without transparency, on white."""
        if image.mode in {"RGBA", "LA", "P"}:
            layered = image.convert("RGBA")
            ground = self._pillow.new("RGBA", layered.size, "white")
            return self._pillow.alpha_composite(ground, layered).convert("RGB")
        return image.convert("RGB")
