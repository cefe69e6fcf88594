"""Manifest lines as the service takes them: all contact with the rules of ``rekolabels.manifest`` is here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from rekolabels import splits
from rekolabels.local._core._jsonl import read_lines
from rekolabels.manifest._dataset_rules import DatasetStatistics, UseCase, check_content, check_dataset
from rekolabels.manifest._line_rules import LineCheck, check_line
from rekolabels.manifest._serialize import dataset_entry, validation_line
from rekolabels.manifest._sources import text_start
from rekolabels.manifest.codes import CODES
from rekolabels.manifest.limits import DETECTION_LABELS, LINES, MANIFEST_BYTES, TEST_SHARE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rekolabels.images import LabelledImage
    from rekolabels.local._core._jsonl import Readable

__all__ = [
    "CODES",
    "DETECTION_LABELS",
    "LINES",
    "MANIFEST_BYTES",
    "DatasetStatistics",
    "Entry",
    "LineCheck",
    "UseCase",
    "check_content",
    "check_dataset",
    "check_line",
    "check_raw_line",
    "choose_tests",
    "entry_of",
    "manifest_lines",
    "message_of",
    "validation_line",
]

_START = 1 << 16


@attrs.frozen
class Entry:
    """A line as a dataset keeps it."""

    source_ref: str
    line: str
    labels: frozenset[str]
    """Image-level labels that can be used."""
    boxed: frozenset[str]
    """Labels on boxes that can be used."""
    labelled: bool
    errors: bool


class _Body:
    """A body whose beginning was read already."""

    def __init__(self, start: bytes, rest: Readable) -> None:
        self._start = start
        self._rest = rest

    def read(self, amount: int, /) -> bytes:
        start, self._start = self._start, b""
        return start or self._rest.read(amount)


def manifest_lines(body: Readable) -> Iterator[bytes]:
    """The lines of a manifest, behind a byte order mark if there is one.

    Raises:
        InvalidManifest: It is not UTF-8 text but UTF-16 or binary.
    """
    return read_lines(_Body(text_start(body.read(_START)), body))


def check_raw_line(raw: bytes, number: int) -> LineCheck:
    """What the rules for single lines say; a line that is no UTF-8 is no JSON either."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = ""
    return check_line(text, line=number)


def entry_of(check: LineCheck) -> Entry | None:
    """The entry that a line becomes; None when the dataset leaves it out without a word."""
    line, source, image = dataset_entry(check), check.source, check.image
    if line is None or source is None:
        return None
    return Entry(
        source_ref=source,
        line=line,
        labels=frozenset(image.labels if image else ()),
        boxed=frozenset(box.label for box in image.boxes) if image else frozenset(),
        labelled=check.labelled,
        errors=any(CODES[finding.code].in_dataset for finding in check.findings),
    )


def message_of(code: str) -> str:
    """The service's message for a code.

    >>> message_of("ERROR_EMPTY_MANIFEST")
    'The manifest file is empty.'
    """
    return CODES[code].message


def choose_tests(images: Sequence[LabelledImage | None], *, seed: int) -> frozenset[int]:
    """The indices of the fifth of the images that becomes the test dataset, label by label.

    Args:
        images: The image of each line; None where a line has none that can be used.
        seed: Makes the choice repeatable.

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
