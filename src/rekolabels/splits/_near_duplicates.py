"""Near duplicates among images, found with a perceptual hash."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from rekolabels._image_header import EncodedImage
from rekolabels.errors import InvalidImage, InvalidInput, MissingExtra
from rekolabels.formats import image_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rekolabels.images import LabelledImage

__all__ = ["near_duplicates"]

_BITS = 64
"""Length of a hash."""
_MAX_DISTANCE = 4
"""Bits by which the hashes of near duplicates may differ."""
_BANDS = _MAX_DISTANCE + 1
_MAX_SIDE = 4096
"""The service's limit in pixels; larger images are not decoded."""
_MAX_BYTES = 15 * 2**20
"""The service's limit; a larger file is not read."""


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
    with Path(source).open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise InvalidImage(f"{source}: Has more than 15 MB, the service's limit.")
    return data


def _hash(image: LabelledImage) -> int:
    try:
        import imagehash
        from PIL import Image
    except ImportError as error:
        raise MissingExtra("dedupe", "near_duplicates=True") from error
    if image.source.lower().startswith("s3://"):
        raise InvalidInput(
            f"{image.source}: Near duplicates can be found in local files only. Split before the upload, or "
            "pass group_by."
        )
    size = image_size(image.source)
    if size.width * size.height > _MAX_SIDE * _MAX_SIDE:
        raise InvalidImage(
            f"{image.source}: {size.width} x {size.height} pixels exceed the service's limit of "
            f"{_MAX_SIDE} x {_MAX_SIDE}."
        )
    try:
        data = _read(image.source)
        with warnings.catch_warnings(), Image.open(EncodedImage(data), formats=("JPEG", "PNG")) as opened:
            warnings.simplefilter("ignore")  # about damaged EXIF blocks: only the pixels matter
            return int(str(imagehash.phash(opened)), 16)
    except InvalidImage:
        raise
    except Exception as error:  # decoders fail in many ways on broken files
        raise InvalidImage(f"{image.source}: Cannot be decoded: {error}.") from error
