"""Labelled images into manifest lines."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, TypeAlias

from rekolabels.errors import InvalidManifest
from rekolabels.manifest._json import short_repr
from rekolabels.manifest._label_attributes import LineAttributes
from rekolabels.manifest._serialize import (
    BOX_ATTRIBUTE,
    format_boxes,
    format_date,
    format_labels,
    json_string,
    merge_edits,
    size_of,
    unused_key,
)
from rekolabels.manifest.limits import LINE_LENGTH

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from datetime import datetime

    from rekolabels.images import LabelledImage

__all__ = ["Target", "format_line", "open_target", "write_manifest"]

Target: TypeAlias = "str | os.PathLike[str] | IO[bytes]"
"""Where a manifest is written to: a path, or a file that is open for writing bytes."""

_BATCH: Final = 500


def format_line(
    image: LabelledImage, *, created: datetime | str | None = None, job_name: str | None = None
) -> str:
    """Write an image as one line of a manifest, without a newline.

    An image that was read from a line and not changed gives that line again, byte for byte behind
    ``source-ref``. Where labels, boxes or size were changed, they win, and what the line said of those that
    are still there is kept. Each new label becomes an attribute that is named after it, with the value 1.

    Args:
        image: The image. Its ``size`` is written beside boxes only: a manifest has no other place for it.
        created: The ``creation-date`` of labels that the line does not have yet. A datetime is written in UTC
            (one without a time zone is taken as UTC), a text as it is. There is no clock in here: without it,
            ``1970-01-01T00:00:00`` is written, which the service accepts.
        job_name: The ``job-name`` of new labels; by default ``labeling-job/`` and the name of the attribute.

    Raises:
        InvalidManifest: There are boxes but no size, a number that is not finite, an attribute that is no
            JSON value, or the line gets longer than the service's 100,000 characters.

    >>> from rekolabels.images import LabelledImage
    >>> print(format_line(LabelledImage("s3://puppies/1.jpg", ["puppy"]), created="2024-03-01T09:30:00"))
    {"source-ref":"s3://puppies/1.jpg","puppy":1,"puppy-metadata":{"class-name":"puppy","confidence":1,\
"type":"groundtruth/image-classification","human-annotated":"yes","creation-date":"2024-03-01T09:30:00",\
"job-name":"labeling-job/puppy"}}
    """
    return _line(image, format_date(created), job_name)


def write_manifest(
    images: Iterable[LabelledImage],
    target: Target,
    *,
    created: datetime | str | None = None,
    job_name: str | None = None,
) -> int:
    """Write images as a manifest, one line each, in bounded memory.

    A file that is given by its path appears at once and whole: where something goes wrong midway, it is not
    touched.

    Args:
        images: The images.
        target: A path, or a file that is open for writing bytes.
        created: See ``format_line``.
        job_name: See ``format_line``.

    Returns:
        The number of lines.

    Raises:
        InvalidManifest: See ``format_line``.
    """
    date = format_date(created)
    lines = (_line(image, date, job_name) for image in images)
    with open_target(target) as file:
        return _write(lines, file)


@contextmanager
def open_target(target: Target) -> Generator[IO[bytes], None, None]:
    """Open a target; a path gets its new content at the end and at once, or not at all."""
    if not isinstance(target, (str, os.PathLike)):
        yield target
        return
    path = Path(target)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


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
        rest = _edited_text(image, created, job_name)
    else:
        rest = _checked_text(image, created, job_name)
    text = (
        f'{{"source-ref":{json_string(image.source)},{rest}}}'
        if rest
        else f'{{"source-ref":{json_string(image.source)}}}'
    )
    if len(text) > LINE_LENGTH:
        length = f"{len(text):,} characters long; the limit is {LINE_LENGTH:,}"
        raise InvalidManifest(
            f"The line of {short_repr(image.source)} would be {length}.", code="LINE_TOO_LONG"
        )
    return text


def _is_unchanged(image: LabelledImage, known: LineAttributes) -> bool:
    if image.labels is not known.labels and image.labels != known.labels:
        return False
    if image.boxes is not known.boxes and image.boxes != known.boxes:
        return False
    return image.size is known.size or image.size == known.size


def _checked_text(image: LabelledImage, created: str, job_name: str | None) -> str:
    try:
        return _new_text(image, created, job_name)
    except (TypeError, AttributeError) as error:  # the types say so, but data from elsewhere has None in it
        raise InvalidManifest(
            f"The labels of {short_repr(image.source)} must be texts: {error}.",
            code="ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT",
        ) from error


def _new_text(image: LabelledImage, created: str, job_name: str | None) -> str:
    labels = format_labels(image.labels, created, job_name) if image.labels else ""
    if not image.boxes:
        return labels
    name = (
        unused_key(BOX_ATTRIBUTE, json.loads(f"{{{labels}}}")) if BOX_ATTRIBUTE in labels else BOX_ATTRIBUTE
    )
    boxes = format_boxes(name, image.boxes, size_of(image), created, job_name)
    return f"{labels},{boxes}" if labels else boxes


def _edited_text(image: LabelledImage, created: str, job_name: str | None) -> str:
    members = merge_edits(image, created=created, job_name=job_name)
    try:
        return json.dumps(members, separators=(",", ":"), allow_nan=False)[1:-1]
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidManifest(
            f"An attribute of {short_repr(image.source)} is not a JSON value: {error}.",
            code="ERROR_INVALID_JSON_LINE",
        ) from error
