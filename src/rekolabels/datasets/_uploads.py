"""Upload of local images to S3: those that are not there yet.

The key of an image contains the SHA-256 of its content. An interrupted upload therefore resumes where it
stopped, and a new version of a dataset uploads only new images. Existing images are found by listing the
bucket, a thousand keys per call.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, cast

import attrs

from rekolabels import _progress
from rekolabels._arguments import check_items, is_url
from rekolabels._files import escape_surrogates
from rekolabels.datasets._conversion import Plan
from rekolabels.datasets._upload_workers import UploadTask, upload_all, worker_processes
from rekolabels.descriptions import S3Location
from rekolabels.errors import InvalidInput
from rekolabels.images import LabelledImage
from rekolabels.manifest._given_images import check_unused, reader_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rekolabels._aws._s3 import S3

__all__ = ["LocalImage", "image_list", "path_error", "remote_buckets", "upload"]

_CONTENT_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
_S3_URI = re.compile(r"s3://([^/]+)/", re.IGNORECASE)
_CONVERSION = "rekolabels-conversion-1"
"""Part of the digest of a converted image; another number when conversions give other images."""

_log = logging.getLogger("rekolabels")


@attrs.frozen
class LocalImage:
    """A local image that meets the limits of the service, or will after its conversion."""

    image: LabelledImage
    """The image; of one to be converted, with its later size and boxes."""
    digest: str
    """SHA-256 of the file and of the kind of conversion, as hexadecimal."""
    bytes: int | None
    """Size in bytes; None for an image to be converted."""
    plan: Plan | None = None
    """What the image is to be converted to; None for one that is uploaded as it is."""

    @classmethod
    def to_convert(cls, image: LabelledImage, digest: str, plan: Plan) -> LocalImage:
        """Return an image to be converted, whose file has this digest."""
        converted = hashlib.sha256(f"{_CONVERSION} {digest}".encode()).hexdigest()
        return cls(image, converted, None, plan)

    @property
    def name(self) -> str:
        """File name after the upload."""
        name = escape_surrogates(Path(self.image.source).name)
        return name if self.plan is None else f"{Path(name).stem}{self.plan.suffix}"

    def key(self, prefix: str) -> str:
        """Return the key in S3: the digest, followed by the file name for readers of the console."""
        return f"{prefix}images/{self.digest[:32]}/{self.name}"

    def remote(self, bucket: str, prefix: str) -> LabelledImage:
        """Return the image with its S3 URI after the upload."""
        return attrs.evolve(self.image, source=S3Location(bucket, self.key(prefix)).uri)


def image_list(images: Iterable[LabelledImage]) -> list[LabelledImage]:
    """Return the images as a list.

    Raises:
        InvalidInput: They are a path or a generator that was used up, or one of them is not a
            :class:`~rekolabels.LabelledImage`.
    """
    given: object = images
    if isinstance(given, (str, os.PathLike)):
        raise path_error(cast("str | os.PathLike[str]", given))
    check_unused(images, "images")
    fix = "Give each image its labels: `LabelledImage('rex.jpg', ['corgi'])`."
    if isinstance(given, LabelledImage):
        fix = "Put it into a list: `[image]`."
    return check_items("images", given, LabelledImage, "labelled images", fix)


def path_error(given: str | os.PathLike[str]) -> InvalidInput:
    """Return the error for a path in place of labelled images, with the call that reads it."""
    path = str(os.fspath(given))
    if is_url(path):
        fix = f"For a manifest in S3, use `project.create_dataset('train', {path!r})`."
    else:
        reader = reader_name(path)
        module = "manifest" if reader == "read_manifest" else "formats"
        fix = f"Read them first: `rekolabels.{module}.{reader}({path!r})`."
    return InvalidInput(f"{path!r} is a path; expected labelled images. {fix}")


def upload(images: Sequence[LocalImage], s3: S3, bucket: str, prefix: str) -> None:
    """Upload the images that are not in the bucket yet, in parallel."""
    existing = dict(s3.sizes(bucket, f"{prefix}images/")) if images else {}
    missing = [local for local in images if not _is_there(local, existing.get(local.key(prefix)))]
    tasks = deque(
        UploadTask(
            S3Location(bucket, local.key(prefix)),
            local.image.source,
            _CONTENT_TYPES.get(Path(local.name).suffix.lower(), "application/octet-stream"),
            converts=local.plan is not None,
        )
        for local in missing
    )
    with _progress.bar("Uploading images", total=len(missing), unit="image") as bar:
        with worker_processes(s3, tasks, on_uploaded=bar.update):
            upload_all(s3, tasks, on_uploaded=bar.update)
        # Upload here what a worker process could not upload, so that its error is raised here.
        upload_all(s3, tasks, on_uploaded=bar.update)
    _log.info("Uploaded %d images; %d were already in S3.", len(missing), len(images) - len(missing))


def _is_there(local: LocalImage, size: int | None) -> bool:
    return size is not None and local.bytes in {None, size}


def remote_buckets(images: Iterable[LabelledImage]) -> list[str]:
    """Return the buckets of the images that are in S3."""
    found = (_S3_URI.match(image.source) for image in images)
    return sorted({match[1] for match in found if match is not None})
