"""The images that ``detect`` and ``detect_many`` accept, as the bytes or S3 location of the request."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Union, cast

from rekolabels._files import escape_surrogates, printable_name
from rekolabels.descriptions import S3Location
from rekolabels.errors import InvalidImage, InvalidInput
from rekolabels.inference._pillow import (
    MAX_BYTES,
    array_to_image,
    decode,
    encode_png,
    open_encoded,
    shrink_file,
)
from rekolabels.inference._video import VideoFrame

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias, TypeGuard

__all__ = ["ImageSource", "image_argument", "open_image"]

ImageSource: TypeAlias = Union[str, "os.PathLike[str]", bytes, BinaryIO, S3Location, VideoFrame, Any]
"""A path, the bytes of a file, an open binary file, an ``s3://`` URI, a video frame, a Pillow image, or a
NumPy array (RGB)."""

MAX_STORED_BYTES = 15 * 2**20
"""Largest image that DetectCustomLabels reads from S3, in bytes."""
_MAX_DECODED_BYTES = 100 * 2**20
"""Largest image that is decoded on this machine, in bytes: to shrink it or to draw into it."""


def image_argument(
    image: ImageSource,
    *,
    upload: Callable[[bytes, str], S3Location] | None = None,
    shrink: bool = False,
) -> bytes | S3Location:
    """Return an image as the ``Image`` parameter of DetectCustomLabels: its bytes or its S3 location.

    Args:
        image: The image.
        upload: Uploads an image of more than 4 MB to S3; without it such an image is an error.
        shrink: Re-encode an image that the service would reject.

    Raises:
        InvalidImage: The image cannot be read, or is too large.
        InvalidInput: The ``s3://`` URI has no bucket or key, or the type of the image is not supported.
        MissingExtra: Pillow is needed and not installed.
    """
    if isinstance(image, S3Location):
        return image
    if _is_s3_uri(image):
        location = S3Location.parse(image)
        if not location.key:
            raise InvalidInput(f"{image!r} has no object key; expected s3://bucket/key.")
        return location
    data, name = _read_image(image, _MAX_DECODED_BYTES if shrink else MAX_STORED_BYTES)
    if shrink:
        data = shrink_file(data, name)
    if len(data) <= MAX_BYTES:
        return data
    if upload is not None and len(data) <= MAX_STORED_BYTES:
        return upload(data, name)
    raise InvalidImage(
        f"{name} has {len(data):,} bytes. The service accepts {MAX_BYTES:,} in a request and 15 MB from S3: "
        "make the client with a bucket, give the image's s3:// URI, or use shrink=True."
    )


def open_image(image: ImageSource) -> Any:
    """Return an image on this machine as a Pillow image.

    Raises:
        InvalidImage: It cannot be read or decoded.
        InvalidInput: It is in S3, or its type is not supported.
        MissingExtra: Pillow is not installed.
    """
    if _is_pillow_image(image):
        return image
    if _is_array(image):
        return array_to_image(image)
    if isinstance(image, S3Location) or _is_s3_uri(image):
        raise InvalidInput(f"{image} is in S3; expected an image on this machine. Download it first.")
    data, name = _read_image(image, _MAX_DECODED_BYTES)
    return decode(open_encoded(data, name), name)


def _read_image(image: ImageSource, max_bytes: int) -> tuple[bytes, str]:
    """Return the encoded image and a name for it."""
    if isinstance(image, bytes):
        return _read(io.BytesIO(image), "image.jpg", max_bytes), "image.jpg"
    if isinstance(image, VideoFrame):
        return image.data, "frame.jpg"
    if isinstance(image, str) and image.lower().startswith(("http://", "https://")):
        raise InvalidImage(
            f"{image} is a URL; expected a path, bytes or an s3:// URI. Download the image first."
        )
    if isinstance(image, (str, os.PathLike)):
        path = Path(cast("str", image))
        try:
            with path.open("rb") as file:
                return _read(file, printable_name(path), max_bytes), escape_surrogates(path.name)
        except (OSError, ValueError) as error:
            if isinstance(error, InvalidImage):
                raise
            raise InvalidImage(
                f"{printable_name(path)} cannot be read: {getattr(error, 'strerror', error)}."
            ) from error
    if _is_array(image):
        return encode_png(array_to_image(image)), "image.png"
    if _is_pillow_image(image):
        return encode_png(image), "image.png"
    if hasattr(image, "read"):
        name = str(getattr(image, "name", "image.jpg"))
        return _read(cast("BinaryIO", image), name, max_bytes), Path(name).name
    raise InvalidInput(
        f"A {type(image).__name__} is not a supported image type; expected a path, bytes, an open binary "
        "file, an s3:// URI, a video frame, a Pillow image or a NumPy array."
    )


def _read(file: BinaryIO, name: str, max_bytes: int) -> bytes:
    try:
        data: Any = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise InvalidImage(f"{name} cannot be read: {error}.") from error
    if isinstance(data, str):
        raise InvalidImage(f"{name} is open in text mode: open it with mode 'rb'.")
    if not data:
        raise InvalidImage(f"{name} is empty; expected a JPEG or PNG image.")
    if len(data) > max_bytes:
        if max_bytes > MAX_STORED_BYTES:
            raise InvalidImage(f"{name} has more than {max_bytes >> 20} MB: make it smaller.")
        raise InvalidImage(
            f"{name} has more than 15 MB, the most that the service accepts: make it smaller, or use "
            "shrink=True."
        )
    return bytes(data)


def _is_s3_uri(image: object) -> TypeGuard[str]:
    return isinstance(image, str) and image[:5].lower() == "s3://"


def _is_pillow_image(image: object) -> bool:
    return hasattr(image, "save") and hasattr(image, "mode")


def _is_array(image: object) -> bool:
    return hasattr(image, "__array_interface__") and not _is_pillow_image(image)
