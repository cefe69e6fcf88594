"""Manifest lines as the service reads, checks and stores them, by the rules of ``rekolabels.manifest``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

import attrs
from botocore.exceptions import BotoCoreError, ClientError

from rekolabels import splits
from rekolabels._files import open_private
from rekolabels.errors import InvalidManifest
from rekolabels.local._core._s3_objects import get_object_args, read_lines
from rekolabels.manifest._line_rules import LineCheck, check_line
from rekolabels.manifest._serialize import dataset_entry
from rekolabels.manifest._sources import check_encoding
from rekolabels.manifest.codes import CODES
from rekolabels.manifest.limits import MANIFEST_BYTES, TEST_SHARE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from rekolabels.images import LabelledImage
    from rekolabels.local._core._s3_objects import Readable

__all__ = [
    "Entry",
    "ManifestFileError",
    "check_raw_line",
    "choose_test_images",
    "content_error",
    "entry_of",
    "fetch_manifest",
    "manifest_lines",
    "message_of",
]

_START_BYTES = 1 << 16


class ManifestFileError(Exception):
    """A terminal manifest file error: training ends before a single line is checked.

    Attributes:
        code: AWS's code, such as ``ERROR_EMPTY_MANIFEST``.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@attrs.frozen
class Entry:
    """A manifest line as a dataset stores it."""

    source_ref: str
    line: str
    labels: Mapping[str, bool]
    """The valid labels in the order of the line, each with whether it has a bounding box."""
    labelled: bool
    errors: bool


class _PushedBack:
    """A stream whose first bytes have already been read."""

    def __init__(self, start: bytes, rest: Readable) -> None:
        self._start = start
        self._rest = rest

    def read(self, amount: int, /) -> bytes:
        start, self._start = self._start, b""
        return start or self._rest.read(amount)


def manifest_lines(body: Readable) -> Iterator[bytes]:
    """Stream the lines of a manifest, without its byte order mark.

    Raises:
        InvalidManifest: The content is UTF-16 or binary, not UTF-8 text.
    """
    return read_lines(_PushedBack(check_encoding(body.read(_START_BYTES)), body))


def fetch_manifest(s3: Any, assets: Iterable[Mapping[str, Any]], target: Path) -> None:
    """Download the manifests of a request from S3 into one file.

    Args:
        s3: The boto3 S3 client.
        assets: The request's ``Assets``.
        target: The file to write.

    Raises:
        ManifestFileError: A manifest cannot be read or is too large, or all of them are empty.
    """
    with open_private(target, "wb") as file:
        try:
            size = sum(_append(s3, asset["GroundTruthManifest"]["S3Object"], file) for asset in assets)
        except (ClientError, BotoCoreError, InvalidManifest) as error:
            raise ManifestFileError("ERROR_MANIFEST_INACCESSIBLE_OR_UNSUPPORTED_FORMAT") from error
    if size == 0:
        raise ManifestFileError("ERROR_EMPTY_MANIFEST")


def check_raw_line(raw: bytes, number: int) -> LineCheck:
    """Check one line by itself; bytes that are not UTF-8 count as invalid JSON."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = ""
    return check_line(text, line=number)


def entry_of(check: LineCheck) -> Entry | None:
    """Return the entry that a line becomes, or None if datasets silently skip the line."""
    line, source, image = dataset_entry(check), check.source, check.image
    if line is None or source is None:
        return None
    return Entry(
        source_ref=source,
        line=line,
        labels=_labels_of(image) if image else {},
        labelled=check.labelled,
        errors=any(CODES[finding.code].in_dataset for finding in check.findings),
    )


def message_of(code: str) -> str:
    """Return AWS's message for a manifest error code.

    >>> message_of("ERROR_EMPTY_MANIFEST")
    'The manifest file is empty.'
    """
    return CODES[code].message


def content_error(code: str) -> dict[str, str]:
    """Return a content error as the manifest summary lists it."""
    return {"code": code, "message": message_of(code)}


def choose_test_images(images: Sequence[LabelledImage | None], *, seed: int) -> frozenset[int]:
    """Choose 20 % of the images for the test dataset, stratified by label.

    Args:
        images: The image of each line; None for a line without a valid one.
        seed: The same seed gives the same choice.

    Returns:
        The indices of the chosen images.

    Raises:
        CannotSplit: A label has too few images.
    """
    usable = [
        attrs.evolve(image, source=str(index))
        for index, image in enumerate(images)
        if image is not None and (image.labels or image.boxes)
    ]
    chosen = splits.split(usable, test=TEST_SHARE, seed=seed)
    return frozenset(int(image.source) for image in chosen.test)


def _labels_of(image: LabelledImage) -> dict[str, bool]:
    labels = dict.fromkeys(image.labels, False)
    return labels | dict.fromkeys((box.label for box in image.boxes), True)


def _append(s3: Any, s3_object: Mapping[str, Any], file: IO[bytes]) -> int:
    """Append a manifest's lines to a file and return its size in S3, in bytes."""
    answer = s3.get_object(**get_object_args(s3_object))
    with answer["Body"] as body:
        size: int = answer["ContentLength"]
        if size > MANIFEST_BYTES:
            raise ManifestFileError("ERROR_MANIFEST_SIZE_TOO_LARGE")
        file.writelines(line + b"\n" for line in manifest_lines(body))
    return size
