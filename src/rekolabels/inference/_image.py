"""What may be given as an image to analyse."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Union, cast

from rekolabels.descriptions import S3Location
from rekolabels.errors import InvalidImage, InvalidInput
from rekolabels.inference._pillow import MAX_BYTES, encoded, fitted, from_array, loaded, opened
from rekolabels.inference._video import VideoFrame

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

__all__ = ["ImageSource", "image_argument", "open_picture"]

ImageSource: TypeAlias = Union[str, "os.PathLike[str]", bytes, BinaryIO, S3Location, VideoFrame, Any]
"""A path, the bytes of a file, an open binary file, an ``s3://`` URI, a frame of a video, a Pillow image, a
NumPy array (RGB)."""

MAX_STORED_BYTES = 15 * 2**20
"""Largest image that it takes from S3."""


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
        shrink: Whether an image that the service would not take as it is may be encoded anew.

    Raises:
        InvalidImage: The image cannot be read, or is too large.
        InvalidInput: The ``s3://`` URI has no bucket or key, or the image is of no kind that is known.
        MissingExtra: Pillow is needed and not installed.
    """
    if isinstance(image, S3Location):
        return image
    if isinstance(image, str) and image[:5].lower() == "s3://":
        place = S3Location.parse(image)
        if not place.key:
            raise InvalidInput(f"{image!r} names no object: expected s3://bucket/key")
        return place
    data, name = _bytes(image, -1 if shrink else MAX_STORED_BYTES)
    if shrink:
        data = fitted(data, name)
    if len(data) <= MAX_BYTES:
        return data
    if upload is not None and len(data) <= MAX_STORED_BYTES:
        return upload(data, name)
    raise InvalidImage(
        f"{name} has {len(data):,} bytes; the service takes at most {MAX_BYTES:,} in a request, 15 MB from "
        "S3: give the client a bucket, or the image's s3:// URI, or allow shrink=True."
    )


def open_picture(image: ImageSource) -> Any:
    """Open an image on this machine as a Pillow image.

    Raises:
        InvalidImage: It cannot be read or decoded.
        InvalidInput: It lies in S3, or is of no kind that is known.
        MissingExtra: Pillow is not installed.
    """
    if _is_picture(image):
        return image
    if _is_array(image):
        return from_array(image)
    if isinstance(image, S3Location) or (isinstance(image, str) and image[:5].lower() == "s3://"):
        raise InvalidInput(f"{image} lies in S3: give an image on this machine.")
    data, name = _bytes(image)
    return loaded(opened(data, name), name)


def _bytes(image: ImageSource, most: int = -1) -> tuple[bytes, str]:
    """The encoded image, of so many bytes at the most, and a name for it."""
    if isinstance(image, bytes):
        return _read(io.BytesIO(image), "image.jpg", most), "image.jpg"
    if isinstance(image, VideoFrame):
        return image.data, "frame.jpg"
    if isinstance(image, (str, os.PathLike)):
        path = Path(cast("str", image))
        try:
            with path.open("rb") as file:
                return _read(file, str(path), most), path.name
        except (OSError, ValueError) as error:
            if isinstance(error, InvalidImage):
                raise
            raise InvalidImage(f"{path} cannot be read: {getattr(error, 'strerror', error)}.") from error
    if _is_array(image):
        return encoded(from_array(image)), "image.png"
    if _is_picture(image):
        return encoded(image), "image.png"
    if hasattr(image, "read"):
        name = str(getattr(image, "name", "image.jpg"))
        return _read(cast("BinaryIO", image), name, most), Path(name).name
    raise InvalidInput(
        "An image is a path, bytes, an open binary file, an s3:// URI, a frame of a video, a Pillow image or "
        f"a NumPy array, not {type(image).__name__}."
    )


def _read(file: BinaryIO, name: str, most: int) -> bytes:
    try:
        data: Any = file.read(most if most < 0 else most + 1)
    except (OSError, ValueError) as error:
        raise InvalidImage(f"{name} cannot be read: {error}.") from error
    if isinstance(data, str):
        raise InvalidImage(f"{name} is open as text: open it with mode 'rb'.")
    if not data:
        raise InvalidImage(f"{name} is empty; expected a JPEG or PNG image.")
    if 0 <= most < len(data):
        raise InvalidImage(
            f"{name} has more than 15 MB, which the service does not take: make it smaller, or allow "
            "shrink=True."
        )
    return bytes(data)


def _is_picture(image: object) -> bool:
    return hasattr(image, "save") and hasattr(image, "mode")


def _is_array(image: object) -> bool:
    return hasattr(image, "__array_interface__") and not _is_picture(image)
