"""Upload of local images to S3: check them, and upload those that are not there yet.

The key of an image contains the SHA-256 of its content. An interrupted upload therefore resumes where it
stopped, and a new version of a dataset uploads only new images. Existing images are found by listing the
bucket, a thousand keys per call.
"""

from __future__ import annotations

import hashlib
import logging
import os
import reprlib
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, cast

import attrs

from rekolabels import _progress
from rekolabels._files import escape_surrogates
from rekolabels._threads import map_bounded
from rekolabels.datasets._upload_workers import UploadTask, upload_all, worker_processes
from rekolabels.descriptions import S3Location
from rekolabels.errors import InvalidImage, InvalidInput
from rekolabels.formats import image_size
from rekolabels.images import ImageSize, LabelledImage
from rekolabels.manifest import limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rekolabels._aws._s3 import S3

__all__ = ["LocalImage", "check_images", "image_list", "is_remote", "upload"]

_READ_THREADS = 4
_MAX_SHOWN = 10
_CONTENT_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}

_log = logging.getLogger("rekolabels")


@attrs.frozen
class LocalImage:
    """A local image that meets the limits of the service."""

    image: LabelledImage
    digest: str
    """SHA-256 of the file, as hexadecimal."""
    bytes: int
    """Size of the file in bytes."""

    def key(self, prefix: str) -> str:
        """Return the key in S3: the digest, followed by the file name for readers of the console."""
        name = escape_surrogates(Path(self.image.source).name)
        return f"{prefix}images/{self.digest[:32]}/{name}"

    def remote(self, bucket: str, prefix: str) -> LabelledImage:
        """Return the image with its S3 URI after the upload."""
        return attrs.evolve(self.image, source=S3Location(bucket, self.key(prefix)).uri)


def image_list(images: Iterable[LabelledImage]) -> list[LabelledImage]:
    """Return the images as a list.

    Raises:
        InvalidInput: They are a path, or one of them is not a :class:`~rekolabels.LabelledImage`.
    """
    given: object = images
    if isinstance(given, (str, os.PathLike)):
        path = str(os.fspath(cast("os.PathLike[str]", given)))
        raise InvalidInput(
            f"{path!r} is a path; expected labelled images. Read them first: "
            f"`rekolabels.formats.read_folder({path!r})`."
        )
    wanted: list[object] = list(images)
    for image in wanted:
        if not isinstance(image, LabelledImage):
            raise InvalidInput(
                f"Expected labelled images, not {reprlib.repr(image)}. Give each image its labels: "
                "`LabelledImage('rex.jpg', ['corgi'])`."
            )
    return cast("list[LabelledImage]", wanted)


def is_remote(image: LabelledImage) -> bool:
    """Return whether the image is in S3."""
    return image.source[:5].lower() == "s3://"


def check_images(images: Iterable[LabelledImage]) -> list[LocalImage]:
    """Read each local image, and check it against the limits of the service.

    Files with the same content, name and labels are returned once.

    Raises:
        InvalidImage: The service would reject some of the images; the message names the first ten.
        InvalidInput: The same file is given twice with different labels.
    """
    valid: dict[str, LocalImage] = {}
    problems: list[str] = []
    wanted = list(images)
    with _progress.bar("Checking images", total=len(wanted), unit="image") as bar:
        for found in map_bounded(_check, wanted, workers=_READ_THREADS):
            bar.update(1)
            if isinstance(found, str):
                problems.append(found)
                continue
            first = valid.setdefault(found.key(""), found)
            if first is not found:
                _require_same_labels(first, found)
    if problems:
        more = f"\n  and {len(problems) - _MAX_SHOWN} more" if len(problems) > _MAX_SHOWN else ""
        raise InvalidImage(
            f"The service would reject {len(problems)} of {len(wanted)} images. Nothing was uploaded. Fix "
            "these files or leave them out:\n  " + "\n  ".join(problems[:_MAX_SHOWN]) + more
        )
    return list(valid.values())


def upload(images: Sequence[LocalImage], s3: S3, bucket: str, prefix: str) -> None:
    """Upload the images that are not in the bucket yet, in parallel."""
    existing = dict(s3.sizes(bucket, f"{prefix}images/")) if images else {}
    missing = [local for local in images if existing.get(local.key(prefix)) != local.bytes]
    tasks = deque(
        UploadTask(
            S3Location(bucket, local.key(prefix)),
            local.image.source,
            _CONTENT_TYPES.get(Path(local.image.source).suffix.lower(), "application/octet-stream"),
        )
        for local in missing
    )
    with _progress.bar("Uploading images", total=len(missing), unit="image") as bar:
        with worker_processes(s3, tasks, on_uploaded=bar.update):
            upload_all(s3, tasks, on_uploaded=bar.update)
        # Upload here what a worker process could not upload, so that its error is raised here.
        upload_all(s3, tasks, on_uploaded=bar.update)
    _log.info("Uploaded %d images; %d were already in S3.", len(missing), len(images) - len(missing))


def _check(image: LabelledImage) -> LocalImage | str:
    """Return the checked image, or a message with the reason to reject it."""
    path = Path(image.source)
    try:
        size = image_size(path)
        length = path.stat().st_size
        reason = _rejection(size, length)
        if reason is not None:
            return f"{path}: {reason}"
        # At most 15 MB, because of the check above.
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except InvalidImage as error:
        return str(error)
    except OSError as error:
        return f"{path}: cannot read the file: {error.strerror or error}"
    if image.size is None:
        image = attrs.evolve(image, size=size)
    return LocalImage(image, digest, length)


def _rejection(size: ImageSize, length: int) -> str | None:
    """Return why the service would reject an image of this size; None if it would accept it."""
    short, long = sorted((size.width, size.height))
    smallest, largest = limits.IMAGE_SIDE
    pixels = f"{size.width} x {size.height} pixels"
    if length > limits.IMAGE_BYTES:
        return f"{length / 2**20:.1f} MB; at most 15 MB are allowed. Compress it or scale it down"
    if short < smallest:
        return f"{pixels}; at least {smallest} per side are required. Scale it up"
    if long > largest:
        return f"{pixels}; at most {largest} per side are allowed. Scale it down"
    if long > limits.IMAGE_ASPECT * short:
        return f"{pixels}; an aspect ratio of at most {limits.IMAGE_ASPECT:g}:1 is allowed. Crop it"
    return None


def _require_same_labels(first: LocalImage, second: LocalImage) -> None:
    one, two = first.image, second.image
    if one.labels == two.labels and one.boxes == two.boxes:
        _log.warning("%s and %s are the same file; it is used once.", one.source, two.source)
        return
    raise InvalidInput(
        f"{one.source} and {two.source} are the same file with different labels ({_label_list(one)} and "
        f"{_label_list(two)}). Keep one of them, or give one image with all of its labels."
    )


def _label_list(image: LabelledImage) -> str:
    return ", ".join(dict.fromkeys((*image.labels, *(box.label for box in image.boxes)))) or "none"
