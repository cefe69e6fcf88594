"""What may be given as an image to analyse."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Union

from rekolabels.descriptions import S3Location
from rekolabels.errors import InvalidImage

if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = ["MAX_BYTES", "ImageSource", "image_argument"]

ImageSource: TypeAlias = Union[str, "os.PathLike[str]", bytes, BinaryIO, S3Location]
"""A path, the bytes of a file, an open binary file, or an ``s3://`` URI."""

MAX_BYTES = 4 * 2**20
"""Largest image that DetectCustomLabels takes in the request itself; from S3 it takes 15 MB."""


def image_argument(image: ImageSource) -> bytes | S3Location:
    """Turn what the caller has into what DetectCustomLabels takes.

    Raises:
        InvalidImage: The file does not exist, cannot be read, or is over 4 MB.
        InvalidInput: The ``s3://`` URI has no bucket.
    """
    if isinstance(image, S3Location):
        return image
    if isinstance(image, str) and image[:5].lower() == "s3://":
        return S3Location.parse(image)
    if isinstance(image, bytes):
        data, name = image, "the image"
    elif isinstance(image, (str, os.PathLike)):
        name = os.fspath(image)
        try:
            data = Path(image).read_bytes()
        except OSError as error:
            raise InvalidImage(f"{name} cannot be read: {error.strerror or error}") from error
    else:
        data, name = image.read(), str(getattr(image, "name", "the image"))
    if len(data) > MAX_BYTES:
        raise InvalidImage(
            f"{name} has {len(data):,} bytes; the service takes at most {MAX_BYTES:,} in a request. Put it "
            "into S3 (up to 15 MB) and give its s3:// URI, or make it smaller."
        )
    if not data:
        raise InvalidImage(f"{name} is empty; expected a JPEG or PNG image.")
    return data
