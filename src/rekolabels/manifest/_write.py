"""Write labelled images as a manifest."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from io import TextIOBase
from itertools import islice
from typing import IO, TYPE_CHECKING, Final, TypeAlias

from rekolabels._arguments import check_optional_text, check_path, invalid
from rekolabels._files import replacing
from rekolabels.errors import InvalidManifest
from rekolabels.images import LabelledImage
from rekolabels.manifest._given_images import check_images
from rekolabels.manifest._json import short_repr
from rekolabels.manifest._label_attributes import LineAttributes
from rekolabels.manifest._serialize import (
    BOX_ATTRIBUTE,
    format_boxes,
    format_date,
    format_labels,
    json_string,
    merge_edits,
    required_size,
    unused_key,
)
from rekolabels.manifest.limits import LINE_LENGTH

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from datetime import datetime

__all__ = ["Target", "check_target", "format_line", "open_target", "write_manifest"]

Target: TypeAlias = "str | os.PathLike[str] | IO[bytes]"
"""A target for a manifest: a path, or a file that is open for writing bytes."""

_BATCH: Final = 500


def format_line(
    image: LabelledImage, *, created: datetime | str | None = None, job_name: str | None = None
) -> str:
    """Format an image as one line of a manifest, without a newline.

    An unchanged image that was read from a line gives that line again, byte for byte after ``source-ref``. If
    labels, boxes or size were changed, the changes are written, and what the line says about the remaining
    labels and boxes is kept. Each new label becomes an attribute named after it, with the value 1.

    Args:
        image: The image. Its ``size`` is written only beside boxes: manifests have no other place for it.
        created: The ``creation-date`` of new labels: a datetime, written in UTC (without a time zone, it is
            treated as UTC), or a string, written unchanged. Defaults to ``1970-01-01T00:00:00``, which the
            service accepts; this function does not read the clock.
        job_name: The ``job-name`` of new labels. Defaults to ``labeling-job/`` and the key of the attribute.

    Raises:
        InvalidManifest: The image has boxes but no size, a number is not finite, an attribute is not a JSON
            value, or the line is longer than the service's limit of 100,000 characters.

    >>> from rekolabels.images import LabelledImage
    >>> print(format_line(LabelledImage("s3://puppies/1.jpg", ["puppy"]), created="2024-03-01T09:30:00"))
    {"source-ref":"s3://puppies/1.jpg","puppy":1,"puppy-metadata":{"class-name":"puppy","confidence":1,\
"type":"groundtruth/image-classification","human-annotated":"yes","creation-date":"2024-03-01T09:30:00",\
"job-name":"labeling-job/puppy"}}
    """
    if not isinstance(image, LabelledImage):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
        raise invalid("image", image, "a LabelledImage")
    check_optional_text("job_name", job_name, "the name of a labeling job")
    return _line(image, format_date(created), job_name)


def write_manifest(
    images: Iterable[LabelledImage],
    target: Target,
    *,
    created: datetime | str | None = None,
    job_name: str | None = None,
) -> int:
    """Write images as a manifest, one line each, in bounded memory.

    A file given by its path is written atomically: after an error, the previous file is unchanged.

    Args:
        images: The images.
        target: A path, or a file that is open for writing bytes.
        created: The ``creation-date`` of new labels; see ``format_line``.
        job_name: The ``job-name`` of new labels; see ``format_line``.

    Returns:
        The number of lines.

    Raises:
        InvalidManifest: An image cannot be written; see ``format_line``.
        InvalidInput: The file cannot be written.
    """
    checked = check_images(images)
    check_target(target)
    check_optional_text("job_name", job_name, "the name of a labeling job")
    date = format_date(created)
    lines = (_line(image, date, job_name) for image in checked)
    with open_target(target) as file:
        return _write(lines, file)


def check_target(target: object) -> None:
    """Check that an argument is a path or a file that is open for writing bytes."""
    expected = "the path of a manifest, or a file that is open for writing bytes"
    if isinstance(target, TextIOBase):
        raise invalid("target", target, expected, "Open the file with mode 'wb'.")
    if hasattr(target, "write"):
        return
    check_path("target", target, expected)


@contextmanager
def open_target(target: Target) -> Generator[IO[bytes], None, None]:
    """Open a target for writing. A path gets its new content atomically, at the end of the block.

    Raises:
        InvalidInput: The path is not that of a file.
    """
    if not isinstance(target, (str, os.PathLike)):
        yield target
        return
    with replacing(target) as file:
        yield file


def _write(lines: Iterator[str], file: IO[bytes]) -> int:
    count = 0
    while batch := list(islice(lines, _BATCH)):
        batch.append("")
        file.write("\n".join(batch).encode("utf-8"))
        count += len(batch) - 1
    return count


def _line(image: LabelledImage, created: str, job_name: str | None) -> str:
    known = image.attributes
    if isinstance(known, LineAttributes) and _is_unchanged(image, known):
        rest = known.text
    elif known:
        rest = _format_edited(image, created, job_name)
    else:
        rest = _format_new(image, created, job_name)
    text = (
        f'{{"source-ref":{json_string(image.source)},{rest}}}'
        if rest
        else f'{{"source-ref":{json_string(image.source)}}}'
    )
    if len(text) > LINE_LENGTH:
        message = f"would have {len(text):,} characters; at most {LINE_LENGTH:,} are allowed"
        raise InvalidManifest(f"The line of {short_repr(image.source)} {message}.", code="LINE_TOO_LONG")
    return text


def _is_unchanged(image: LabelledImage, known: LineAttributes) -> bool:
    if image.labels is not known.labels and image.labels != known.labels:
        return False
    if image.boxes is not known.boxes and image.boxes != known.boxes:
        return False
    return image.size is known.size or image.size == known.size


def _format_new(image: LabelledImage, created: str, job_name: str | None) -> str:
    labels = format_labels(image.labels, created, job_name) if image.labels else ""
    if not image.boxes:
        return labels
    key = BOX_ATTRIBUTE
    if BOX_ATTRIBUTE in labels:
        key = unused_key(BOX_ATTRIBUTE, json.loads(f"{{{labels}}}"))
    boxes = format_boxes(key, image.boxes, required_size(image), created, job_name)
    return f"{labels},{boxes}" if labels else boxes


def _format_edited(image: LabelledImage, created: str, job_name: str | None) -> str:
    members = merge_edits(image, created=created, job_name=job_name)
    try:
        return json.dumps(members, separators=(",", ":"), allow_nan=False)[1:-1]
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidManifest(
            f"An attribute of {short_repr(image.source)} is not a JSON value: {error}.",
            code="ERROR_INVALID_JSON_LINE",
        ) from error
