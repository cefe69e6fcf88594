"""Local images into S3: checked first, named by content, never sent twice.

The key of an image holds the SHA-256 of its content. So an upload that was broken off continues where it
stopped, the next version of a dataset sends only what is new, and what is already there is known from a
listing, a thousand keys a call.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from rekolabels import _progress
from rekolabels._threads import map_bounded
from rekolabels.datasets._upload_workers import Parcel, helped, send_all
from rekolabels.descriptions import S3Location
from rekolabels.errors import InvalidImage, InvalidInput
from rekolabels.formats import image_size
from rekolabels.images import ImageSize, LabelledImage
from rekolabels.manifest import limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rekolabels._aws._s3 import S3

__all__ = ["LocalImage", "check_images", "is_remote", "upload"]

_READERS = 4
_SHOWN = 10
_CONTENT_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}

_log = logging.getLogger("rekolabels")


@attrs.frozen
class LocalImage:
    """An image on this machine that the service will take, and its name in S3."""

    image: LabelledImage
    digest: str
    """SHA-256 of the file, hexadecimal."""
    bytes: int
    """Size of the file."""

    def key(self, prefix: str) -> str:
        """Key in S3: the content's digest, and the file's own name for those who read the console."""
        return f"{prefix}images/{self.digest[:32]}/{Path(self.image.source).name}"

    def remote(self, bucket: str, prefix: str) -> LabelledImage:
        """Return the image as it lies in S3 once it is uploaded."""
        return attrs.evolve(self.image, source=S3Location(bucket, self.key(prefix)).uri)


def is_remote(image: LabelledImage) -> bool:
    """Whether the image lies in S3 already."""
    return image.source[:5].lower() == "s3://"


def check_images(images: Iterable[LabelledImage]) -> list[LocalImage]:
    """Read each local image once: digest, size, and whether the service would take it.

    A file that is given twice with the same labels is taken once.

    Raises:
        InvalidImage: One or more would be refused by the service; the message names the first of them.
        InvalidInput: The same file is given twice, with different labels.
    """
    good: dict[str, LocalImage] = {}
    bad: list[str] = []
    wanted = list(images)
    with _progress.bar("checking images", total=len(wanted), unit="image") as bar:
        for found in map_bounded(_check, wanted, workers=_READERS):
            bar.update(1)
            if isinstance(found, str):
                bad.append(found)
                continue
            first = good.setdefault(found.key(""), found)
            if first is not found:
                _same_labels(first, found)
    if bad:
        more = f"\n  and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise InvalidImage(
            f"{len(bad)} of {len(wanted)} images would be refused by the service; nothing was uploaded. "
            "Mend them or leave them out:\n  " + "\n  ".join(bad[:_SHOWN]) + more
        )
    return list(good.values())


def upload(images: Sequence[LocalImage], s3: S3, bucket: str, prefix: str) -> None:
    """Send the images that are not in the bucket yet, several at once."""
    there = dict(s3.sizes(bucket, f"{prefix}images/")) if images else {}
    missing = [local for local in images if there.get(local.key(prefix)) != local.bytes]
    parcels = deque(
        Parcel(
            S3Location(bucket, local.key(prefix)),
            local.image.source,
            _CONTENT_TYPES.get(Path(local.image.source).suffix.lower(), "application/octet-stream"),
        )
        for local in missing
    )
    with _progress.bar("uploading images", total=len(missing), unit="image") as bar:
        with helped(s3, parcels, on_sent=bar.update):
            send_all(s3, parcels, on_sent=bar.update)
        # What a helper could not send, for whatever reason, is sent here: its error is seen here, too.
        send_all(s3, parcels, on_sent=bar.update)
    _log.info("%d images uploaded, %d were there already", len(missing), len(images) - len(missing))


def _check(image: LabelledImage) -> LocalImage | str:
    """Return the checked image, or what is wrong with it."""
    path = Path(image.source)
    try:
        size = image_size(path)
        length = path.stat().st_size
        reason = _refusal(size, length)
        if reason is not None:
            return f"{path}: {reason}"
        # Bounded by the check above: at most 15 MB.
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except InvalidImage as error:
        return str(error)
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror or error}"
    if image.size is None:
        image = attrs.evolve(image, size=size)
    return LocalImage(image, digest, length)


def _refusal(size: ImageSize, length: int) -> str | None:
    """Why the service would refuse an image of this size; None when it would not."""
    short, long = sorted((size.width, size.height))
    smallest, largest = limits.IMAGE_SIDE
    what = f"{size.width} x {size.height} pixels"
    if length > limits.IMAGE_BYTES:
        return f"{length / 2**20:.1f} MB; the service takes at most 15 MB. Save it smaller"
    if short < smallest:
        return f"{what}; the service asks for at least {smallest} a side. Enlarge it"
    if long > largest:
        return f"{what}; the service takes at most {largest} a side. Scale it down"
    if long > limits.IMAGE_ASPECT * short:
        return f"{what}; the service takes at most {limits.IMAGE_ASPECT:g} to 1. Crop it"
    return None


def _same_labels(first: LocalImage, again: LocalImage) -> None:
    one, two = first.image, again.image
    if one.labels == two.labels and one.boxes == two.boxes:
        _log.warning("%s and %s are the same file; it is taken once", one.source, two.source)
        return
    raise InvalidInput(
        f"{one.source} and {two.source} are the same picture with different labels "
        f"({_labels(one)} and {_labels(two)}): keep one of them, or give one image with all of its labels."
    )


def _labels(image: LabelledImage) -> str:
    return ", ".join(dict.fromkeys((*image.labels, *(box.label for box in image.boxes)))) or "none"
