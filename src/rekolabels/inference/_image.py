"""What may be given as an image to analyse."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Union, cast

from rekolabels.descriptions import S3Location
from rekolabels.errors import InvalidImage, InvalidInput, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

__all__ = ["MAX_BYTES", "ImageSource", "image_argument"]

ImageSource: TypeAlias = Union[str, "os.PathLike[str]", bytes, BinaryIO, S3Location, Any]
"""A path, the bytes of a file, an open binary file, an ``s3://`` URI, a Pillow image, a NumPy array (RGB)."""

MAX_BYTES = 4 * 2**20
"""Largest image that DetectCustomLabels takes in the request itself."""

MAX_STORED_BYTES = 15 * 2**20
"""Largest image that it takes from S3."""

_QUALITIES = (95, 90, 85, 75)


def image_argument(
    image: ImageSource,
    *,
    upload: Callable[[bytes, str], S3Location] | None = None,
    shrink: bool = False,
) -> bytes | S3Location:
    """Turn what the caller has into what DetectCustomLabels takes.

    Args:
        image: The image.
        upload: Puts an image of more than 4 MB into S3; without it such an image is an error.
        shrink: Whether an image of more than 4 MB may be encoded anew, and made smaller, instead.

    Raises:
        InvalidImage: The image cannot be read, or is too large.
        InvalidInput: The ``s3://`` URI has no bucket, or the image is of no kind that is known.
        MissingExtra: Pillow is needed and not installed.
    """
    if isinstance(image, S3Location):
        return image
    if isinstance(image, str) and image[:5].lower() == "s3://":
        return S3Location.parse(image)
    data, name = _bytes(image)
    if not data:
        raise InvalidImage(f"{name} is empty; expected a JPEG or PNG image.")
    if len(data) <= MAX_BYTES:
        return data
    if shrink:
        return _shrunk(data, name)
    if upload is not None and len(data) <= MAX_STORED_BYTES:
        return upload(data, name)
    raise InvalidImage(
        f"{name} has {len(data):,} bytes; the service takes at most {MAX_BYTES:,} in a request, 15 MB from "
        "S3: give the client a bucket, or the image's s3:// URI, or allow shrink=True."
    )


def _bytes(image: ImageSource) -> tuple[bytes, str]:
    if isinstance(image, bytes):
        return image, "image.jpg"
    if isinstance(image, (str, os.PathLike)):
        path = Path(cast("str", image))
        try:
            if path.stat().st_size > MAX_STORED_BYTES:
                raise InvalidImage(
                    f"{path} has more than 15 MB, which the service does not take. Make it smaller."
                )
            return path.read_bytes(), path.name
        except OSError as error:
            raise InvalidImage(f"{path} cannot be read: {error.strerror or error}") from error
    if hasattr(image, "__array_interface__") and not hasattr(image, "save"):
        image = _pillow().fromarray(image)
    if hasattr(image, "save") and hasattr(image, "mode"):
        return _encoded(image), "image.png"
    if hasattr(image, "read"):
        file = cast("BinaryIO", image)
        return file.read(), Path(str(getattr(image, "name", "image.jpg"))).name
    raise InvalidInput(
        f"An image is a path, bytes, an open binary file, an s3:// URI, a Pillow image or a NumPy array, not "
        f"{type(image).__name__}."
    )


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra("images", "Encoding images") from error
    return Image


def _encoded(image: Any) -> bytes:
    """Encode a Pillow image as PNG, which loses nothing."""
    body = io.BytesIO()
    kept = image if image.mode in {"RGB", "L"} else image.convert("RGB")
    kept.save(body, "PNG", compress_level=1)
    return body.getvalue()


def _shrunk(data: bytes, name: str) -> bytes:
    """Encode an image as JPEG, at a lower quality and then a smaller size, until it fits.

    Boxes need no correction: they are shares of width and height.
    """
    pillow = _pillow()
    try:
        with pillow.open(io.BytesIO(data)) as opened:
            exif = opened.info.get("exif", b"")  # keeps the orientation
            image = opened.convert("RGB")
    except (OSError, ValueError) as error:
        raise InvalidImage(f"{name} cannot be decoded: {error}") from error
    while True:
        for quality in _QUALITIES:
            body = io.BytesIO()
            image.save(body, "JPEG", quality=quality, exif=exif)
            if body.tell() <= MAX_BYTES:
                return body.getvalue()
        image = image.resize((image.width * 3 // 4, image.height * 3 // 4))
