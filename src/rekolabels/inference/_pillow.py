"""Pillow images: decoded, turned upright, and encoded so that the service takes them."""

from __future__ import annotations

import io
from typing import Any

from rekolabels.errors import InvalidImage, MissingExtra

__all__ = ["MAX_BYTES", "encoded", "fitted", "fitting_jpeg", "from_array", "loaded", "opened"]

MAX_BYTES = 4 * 2**20
"""Largest image that DetectCustomLabels takes in the request itself."""

_MAX_SIDE = 4096
"""Most pixels a side that it takes."""

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_QUALITIES = (95, 90, 85, 75)


def from_array(array: Any) -> Any:
    """Make a Pillow image of a NumPy array.

    Raises:
        InvalidImage: Its type or shape is not that of an image.
        MissingExtra: Pillow is not installed.
    """
    try:
        return _pillow().fromarray(array)
    except (TypeError, ValueError) as error:
        raise InvalidImage(
            f"An array of {array.dtype} and shape {array.shape} is no image: expected uint8 values of shape "
            "(height, width), (height, width, 3) or (height, width, 4)."
        ) from error


def opened(data: bytes, name: str) -> Any:
    """Open an encoded image; its pixels are not decoded yet.

    Raises:
        InvalidImage: Its beginning is that of no image.
        MissingExtra: Pillow is not installed.
    """
    pillow = _pillow()
    try:
        return pillow.open(io.BytesIO(data))
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
        raise InvalidImage(f"{name} cannot be decoded: {error}") from error


def loaded(picture: Any, name: str) -> Any:
    """Decode the pixels of a Pillow image.

    Raises:
        InvalidImage: It is damaged or incomplete.
    """
    try:
        picture.load()
    except (OSError, ValueError, SyntaxError) as error:
        raise InvalidImage(f"{name} cannot be decoded: {error}") from error
    return picture


def _upright(picture: Any) -> Any:
    """Turn a picture as its EXIF orientation says: the boxes of the answer are those of the upright image."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(picture)


def encoded(picture: Any) -> bytes:
    """Encode a Pillow image as PNG, which loses nothing."""
    body = io.BytesIO()
    kept = _upright(picture)
    kept = kept if kept.mode in {"RGB", "L"} else kept.convert("RGB")
    kept.save(body, "PNG", compress_level=1)
    return body.getvalue()


def fitted(data: bytes, name: str) -> bytes:
    """Encode an image anew if the service would refuse it for its size, its sides or its format.

    Raises:
        InvalidImage: It cannot be decoded.
        MissingExtra: Pillow is not installed.
    """
    picture = opened(data, name)
    if len(data) <= MAX_BYTES and max(picture.size) <= _MAX_SIDE and data.startswith(_SIGNATURES):
        return data
    return fitting_jpeg(_upright(loaded(picture, name)))


def fitting_jpeg(picture: Any) -> bytes:
    """Encode a Pillow image as a JPEG of at most 4 MB, at a lower quality and then a smaller size.

    Boxes need no correction: they are shares of width and height.
    """
    image = picture.convert("RGB")
    image.thumbnail((_MAX_SIDE, _MAX_SIDE))
    while True:
        for quality in _QUALITIES:
            body = io.BytesIO()
            image.save(body, "JPEG", quality=quality)
            if body.tell() <= MAX_BYTES:
                return body.getvalue()
        image = image.resize((image.width * 3 // 4, image.height * 3 // 4))


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra("images", "Encoding images") from error
    return Image
