"""Pillow images: opened, decoded, turned upright, and encoded within the limits of DetectCustomLabels."""

from __future__ import annotations

import io
from typing import Any

from rekolabels._arguments import shown
from rekolabels._display import to_rgb, upright
from rekolabels._image_header import EncodedImage, image_format
from rekolabels.errors import InvalidImage, MissingExtra

__all__ = [
    "MAX_BYTES",
    "array_to_image",
    "decode",
    "encode_jpeg",
    "encode_png",
    "open_encoded",
    "shrink_file",
]

MAX_BYTES = 4 * 2**20
"""Largest image that DetectCustomLabels accepts in the request itself, in bytes."""

_MAX_SIDE = 4096
"""Largest width and height that DetectCustomLabels accepts, in pixels."""

_QUALITIES = (95, 90, 85, 75)
_RUN_PROGRAMS = frozenset({"EPS"})
"""Formats for which Pillow starts another program (Ghostscript) with the file."""


def array_to_image(array: Any) -> Any:
    """Return a NumPy array as a Pillow image.

    Raises:
        InvalidImage: Its type or shape is not that of an image.
        MissingExtra: Pillow is not installed.
    """
    try:
        return _pillow().fromarray(array)
    except (IndexError, TypeError, ValueError) as error:
        raise InvalidImage(
            f"An array of {array.dtype} and shape {array.shape} is not a valid image; expected uint8 values "
            "of shape (height, width), (height, width, 3) or (height, width, 4)."
        ) from error


def open_encoded(data: bytes, name: str) -> Any:
    """Open an encoded image without decoding its pixels.

    Raises:
        InvalidImage: Pillow does not recognize it as an image.
        MissingExtra: Pillow is not installed.
    """
    pillow = _pillow()
    try:
        image = pillow.open(EncodedImage(data))
    except pillow.UnidentifiedImageError as error:
        raise InvalidImage(f"{name} cannot be decoded: it is in no format that Pillow knows.") from error
    except Exception as error:  # decoders fail in many ways on broken files
        raise InvalidImage(f"{name} cannot be decoded: {error}.") from error
    if image.format in _RUN_PROGRAMS:
        raise InvalidImage(f"{name} is an {image.format} file. Convert it to JPEG or PNG first.")
    return image


def decode(image: Any, name: str) -> Any:
    """Decode the pixels of an opened Pillow image.

    Raises:
        InvalidImage: It is damaged or incomplete.
    """
    try:
        image.load()
    except Exception as error:  # decoders fail in many ways on broken files
        raise InvalidImage(f"{name} cannot be decoded: {error}.") from error
    return image


def encode_png(image: Any) -> bytes:
    """Encode a Pillow image as an upright PNG, without loss.

    Raises:
        InvalidImage: It has no pixels, is closed, or is damaged.
    """
    body = io.BytesIO()
    try:
        turned = upright(image)
        turned = turned if turned.mode in {"RGB", "L"} else to_rgb(turned)
        turned.save(body, "PNG", compress_level=1)
    except Exception as error:  # as for damaged files
        raise InvalidImage(f"The image {shown(image)} cannot be encoded: {error}.") from error
    return body.getvalue()


def shrink_file(data: bytes, name: str) -> bytes:
    """Re-encode an image if the service would reject its size, its sides or its format.

    Raises:
        InvalidImage: It cannot be decoded.
        MissingExtra: Pillow is not installed.
    """
    image = open_encoded(data, name)
    if len(data) <= MAX_BYTES and max(image.size) <= _MAX_SIDE and image_format(data) is not None:
        return data
    decode(image, name)
    try:
        return encode_jpeg(upright(image))
    except Exception as error:  # EXIF data, colour modes and palettes can be damaged, too
        raise InvalidImage(f"{name} cannot be converted to JPEG: {error}.") from error


def encode_jpeg(image: Any) -> bytes:
    """Encode a Pillow image as a JPEG of at most 4 MB, by lower quality first and then by smaller size.

    Boxes need no correction, because they are shares of width and height.
    """
    image = to_rgb(image)
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
