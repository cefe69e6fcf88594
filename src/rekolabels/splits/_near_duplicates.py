"""Near duplicates among images, found with a perceptual hash."""

from __future__ import annotations

import io
import itertools
import warnings
from typing import TYPE_CHECKING

from rekolabels._image_header import EncodedImage, read_header
from rekolabels.errors import InvalidImage, InvalidInput, MissingExtra
from rekolabels.manifest._collection import is_local
from rekolabels.manifest._image_probe import MAX_DECODED_BYTES, MAX_DECODED_PIXELS, read_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rekolabels.images import LabelledImage

__all__ = ["near_duplicates"]

_BITS = 64
"""Length of a hash."""
_MAX_DISTANCE = 4
"""Bits by which the hashes of near duplicates may differ."""
_BANDS = _MAX_DISTANCE + 1
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
"""Formats that the service takes, or that ``create_datasets`` can convert."""


def near_duplicates(images: Sequence[LabelledImage]) -> list[tuple[int, int]]:
    """Find pairs of images that show the same picture, in another size or compression.

    Two images are near duplicates when their 64-bit hashes (``imagehash.phash``) differ in at most 4 bits.
    Photos of one scene from another angle are not found: group those with ``group_by``.

    Args:
        images: Images in local files.

    Returns:
        Pairs of indices into ``images``.

    Raises:
        MissingExtra: The extra ``dedupe`` is not installed.
        InvalidInput: An image is not a local file.
        InvalidImage: An image cannot be decoded.
    """
    hashes = [_hash(image) for image in images]
    # Hashes that differ in at most 4 bits agree in at least one of 5 bands (pigeonhole principle).
    pairs: set[tuple[int, int]] = set()
    edges = [_BITS * band // _BANDS for band in range(_BANDS + 1)]
    for low, high in itertools.pairwise(edges):
        buckets: dict[int, dict[int, list[int]]] = {}
        for index, value in enumerate(hashes):
            band = (value >> low) & ((1 << (high - low)) - 1)
            buckets.setdefault(band, {}).setdefault(value, []).append(index)
        for bucket in buckets.values():
            for same in bucket.values():
                pairs.update(itertools.pairwise(same))
            for one, other in itertools.combinations(bucket, 2):
                if (one ^ other).bit_count() <= _MAX_DISTANCE:
                    pairs.add((bucket[one][0], bucket[other][0]))
    return sorted(pairs)


def _read(source: str) -> bytes:
    try:
        data = read_file(source, MAX_DECODED_BYTES)
    except (OSError, ValueError) as error:  # ValueError: not a valid file name
        raise InvalidImage(
            f"{source}: Cannot be read: {getattr(error, 'strerror', None) or error}."
        ) from error
    if len(data) > MAX_DECODED_BYTES:
        raise InvalidImage(f"{source}: Has more than {MAX_DECODED_BYTES >> 20} MB. Make it smaller.")
    return data


def _require_size(source: str, size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_DECODED_PIXELS:
        raise InvalidImage(
            f"{source}: {size[0]} x {size[1]} pixels are more than {MAX_DECODED_PIXELS / 1e6:.0f} million. "
            "Make it smaller."
        )


def _hash(image: LabelledImage) -> int:
    try:
        import imagehash
        from PIL import Image
    except ImportError as error:
        raise MissingExtra("dedupe", "near_duplicates=True") from error
    if not is_local(image):
        raise InvalidInput(
            f"{image.source}: Near duplicates can be found in local files only. Split before the upload, or "
            "pass group_by."
        )
    try:
        data = _read(image.source)
        header = read_header(io.BytesIO(data), exif=False)
        _require_size(image.source, (0, 0) if header is None else (header.width, header.height))
        with warnings.catch_warnings(), Image.open(EncodedImage(data), formats=_FORMATS) as opened:
            warnings.simplefilter("ignore")  # about damaged EXIF blocks: only the pixels matter
            _require_size(image.source, opened.size)
            return int(str(imagehash.phash(opened)), 16)
    except InvalidImage:
        raise
    except Exception as error:  # decoders fail in many ways on broken files
        raise InvalidImage(f"{image.source}: Cannot be decoded: {error}.") from error
