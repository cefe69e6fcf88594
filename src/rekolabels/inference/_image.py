"""The images that ``detect`` and ``detect_many`` accept, as the bytes or S3 location of the request."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Union, cast

from rekolabels._arguments import check_flag, invalid, is_url, shown
from rekolabels._aws._s3 import check_location
from rekolabels._files import escape_surrogates, printable_name
from rekolabels._image_header import image_format, other_format
from rekolabels.descriptions import S3Location
from rekolabels.errors import InvalidImage, InvalidInput
from rekolabels.images import LabelledImage
from rekolabels.inference._pillow import (
    MAX_BYTES,
    array_to_image,
    decode,
    encode_png,
    open_encoded,
    shrink_file,
)
from rekolabels.inference._video import VideoFrame
from rekolabels.manifest._given_images import is_path
from rekolabels.manifest._image_probe import MAX_DECODED_BYTES
from rekolabels.manifest.limits import IMAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias, TypeGuard

__all__ = ["ImageSource", "image_argument", "is_one_image", "open_image", "s3_location"]

ImageSource: TypeAlias = Union[str, "os.PathLike[str]", bytes, BinaryIO, S3Location, VideoFrame, Any]
"""A path, the bytes of a file, an open binary file, an ``s3://`` URI, a video frame, a Pillow image, or a
NumPy array (RGB)."""

_IMAGE_DIMENSIONS = 3
_BASE64 = ("/9j/", "iVBORw0KGgo")
"""How JPEG and PNG files begin in Base64."""


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
    location = s3_location(image)
    if location is not None:
        return location
    max_bytes = MAX_DECODED_BYTES if check_flag("shrink", shrink) else IMAGE_BYTES
    data, name = _read_image(image, max_bytes)
    if shrink:
        data = shrink_file(data, name)
    elif image_format(data) is None:
        raise _unsupported(data, name)
    if len(data) <= MAX_BYTES:
        return data
    if upload is not None and len(data) <= IMAGE_BYTES:
        return upload(data, _key_name(image))
    raise InvalidImage(
        f"{name} has {len(data):,} bytes. The service accepts {MAX_BYTES:,} in a request and 15 MB from S3: "
        "make the client with a bucket, give the image's s3:// URI, or use shrink=True."
    )


def s3_location(image: ImageSource) -> S3Location | None:
    """Return where an image is in S3; None for other images.

    Raises:
        InvalidInput: The ``s3://`` URI has no bucket or key.
    """
    if isinstance(image, S3Location) or _is_s3_uri(image):
        return check_location("image", image, needs_key=True)
    return None


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
    data, name = _read_image(image, MAX_DECODED_BYTES)
    return decode(open_encoded(data, name), name)


def _read_image(image: ImageSource, max_bytes: int) -> tuple[bytes, str]:
    """Return the encoded image and a name for messages."""
    if isinstance(image, bytes):
        name = f"Image {shown(image)}"
        return _read(io.BytesIO(image), name, max_bytes), name
    if isinstance(image, VideoFrame):
        return image.data, image.name
    if is_path(image):
        return _read_path(image, max_bytes)
    if _is_array(image):
        return encode_png(array_to_image(image)), "The array"
    if _is_pillow_image(image):
        return encode_png(image), "The image"
    if hasattr(image, "read"):
        name = printable_name(str(getattr(image, "name", "The open file")))
        return _read(cast("BinaryIO", image), name, max_bytes), name
    given, fix = image, ""
    if isinstance(image, LabelledImage):
        fix = f"Use {shown(image.source)}, its source."
    elif isinstance(image, (list, tuple, set, frozenset)):
        fix = "For several images, use detect_many(images)."
    raise invalid(
        "image",
        given,
        "a path, the bytes of a file, an open binary file, an s3:// URI, a video frame, a Pillow image or a "
        "NumPy array",
        fix,
    )


def _read_path(given: str | os.PathLike[str], max_bytes: int) -> tuple[bytes, str]:
    if is_url(given):
        raise InvalidImage(
            f"{given} is a URL; expected a path, bytes or an s3:// URI. Download the image first."
        )
    path = Path(given)
    name = printable_name(path)
    try:
        with path.open("rb") as file:
            return _read(file, name, max_bytes), name
    except (OSError, ValueError) as error:
        if isinstance(error, InvalidImage):
            raise
        if isinstance(given, str) and _is_base64(given):
            raise InvalidImage(
                f"image is Base64 text ({given[:20]}...); expected a path or bytes. Use "
                "`base64.b64decode(image)`."
            ) from error
        if not given:
            raise InvalidImage("image is ''; expected the path of an image.") from error
        if isinstance(error, (IsADirectoryError, PermissionError)) and path.is_dir():
            raise InvalidImage(
                f"{name} is a folder; expected an image. For all images in it, use "
                f"`detect_many(sorted(Path({str(path)!r}).glob('*.jpg')))`."
            ) from error
        reason = getattr(error, "strerror", None) or error
        raise InvalidImage(f"{name} cannot be read: {reason}.") from error


def _is_base64(text: str) -> bool:
    return text.startswith(("data:image/", *_BASE64)) and "." not in text


def _unsupported(data: bytes, name: str) -> InvalidImage:
    """Return the error for a file that the service does not accept, with the way to convert it."""
    if data.startswith(tuple(start.encode() for start in _BASE64)):
        return InvalidImage(
            f"{name} is Base64 text; expected the bytes of a JPEG or PNG image. Use "
            "`base64.b64decode(image)`."
        )
    kind = other_format(data[:12])
    if kind is not None:
        fix = "Save it as JPEG." if kind == "HEIC" else "To convert it, use shrink=True."
        return InvalidImage(f"{name} is a {kind} image; expected JPEG or PNG. {fix}")
    return InvalidImage(f"{name} is not an image; expected a JPEG or PNG image.")


def _key_name(image: ImageSource) -> str:
    """Return the last part of the key in S3 of an image that is uploaded."""
    if isinstance(image, VideoFrame):
        return "frame.jpg"
    if _is_array(image) or _is_pillow_image(image):
        return "image.png"
    given: object = image if is_path(image) else getattr(image, "name", "image.jpg")
    return escape_surrogates(Path(str(given)).name)


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
        if max_bytes > IMAGE_BYTES:
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
    return not _is_pillow_image(image) and hasattr(image, "__array_interface__")


def is_one_image(value: object) -> bool:
    """Return whether a value is one image, although it may be iterable like several."""
    if _is_array(value):
        return len(getattr(value, "shape", ())) <= _IMAGE_DIMENSIONS
    kinds = (str, os.PathLike, bytes, bytearray, S3Location, VideoFrame, LabelledImage)
    return isinstance(value, kinds) or _is_pillow_image(value) or hasattr(value, "read")
