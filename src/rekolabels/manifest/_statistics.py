"""What a dataset is as a whole: its lines, labels and buckets, gathered line by line."""

from __future__ import annotations

from array import array
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Final

from rekolabels.manifest._rules import SOURCE_REF
from rekolabels.manifest.limits import INVALID_SHARE

if TYPE_CHECKING:
    from rekolabels.manifest._fast_path_parts import Clean
    from rekolabels.manifest._rules import LineCheck

__all__ = ["DatasetStatistics"]

_MOST_NAMES: Final = 10_000
"""So many different labels and buckets are counted: far beyond every limit, but bounded."""


class DatasetStatistics:
    """The running count of a dataset. Feed it every line in order with ``add``.

    Attributes:
        total: Lines so far, blank and invalid ones included.
        invalid: Lines with errors that are not used.
        ignored: Lines of the right form without labels or boxes.
        dropped: Lines that a dataset leaves out without a word.
        error_lines: The numbers of lines with errors, from 1; a line with one bad box of several is in here
            without being invalid.
        label_images: For each image-level label the number of valid lines with it.
        box_images: For each label of boxes the number of valid lines with it.
        labelled_lines: Valid lines with image-level labels.
        boxed_lines: Valid lines with boxes.
        both_lines: Valid lines with both.
        buckets: For each S3 bucket the number of lines with an image in it.
        local: Lines with an image on this machine, as there may be before the upload.
        size: Bytes of the file.
    """

    def __init__(self) -> None:
        self.total = 0
        self.invalid = 0
        self.ignored = 0
        self.dropped = 0
        self.error_lines = array("L")
        self.label_images: Counter[str] = Counter()
        self.box_images: Counter[str] = Counter()
        self.labelled_lines = 0
        self.boxed_lines = 0
        self.both_lines = 0
        self.buckets: Counter[str] = Counter()
        self.local = 0
        self.size = 0
        # 64 bits of a source stand for it, for the sake of memory: two of 250,000 images would be taken for
        # one in one of 600 million manifests.
        self._seen: dict[int, int] = {}

    @property
    def valid(self) -> int:
        """Usable lines."""
        return self.total - self.invalid - self.ignored

    @property
    def too_many_invalid(self) -> bool:
        """Whether more than 20 % of all lines are invalid."""
        return self.invalid > self.total * INVALID_SHARE

    @property
    def too_many_dropped(self) -> bool:
        """Whether a dataset would leave out more than 20 % of the lines."""
        return self.dropped > self.total * INVALID_SHARE

    def labels(self) -> set[str]:
        """All labels of valid lines, of images and of boxes."""
        return self.label_images.keys() | self.box_images.keys()

    def sources_in(self, other: DatasetStatistics) -> int:
        """How many images another dataset has too."""
        return len(self._seen.keys() & other._seen.keys())

    def add(self, check: LineCheck) -> LineCheck:
        """Count a line.

        Returns:
            The line as it stands among the others: found invalid when an earlier line has the same image.
        """
        source = check.source
        if source is not None:
            first = self._seen.setdefault(_token(source), check.line)
            if first != check.line:
                check = check.failed("DUPLICATE_SOURCE_REF", f"{source!r} is in line {first}.")
            else:
                self._add_bucket(source)
        self.total += 1
        if check.state == "invalid":
            self.invalid += 1
            self.dropped += check.dropped
        elif check.state == "ignored":
            self.ignored += 1
        if check.has_errors:
            self.error_lines.append(check.line)
        if check.image is not None:
            box_labels = frozenset([box.label for box in check.image.boxes])
            self._add_labels(frozenset(check.image.labels), box_labels, 1)
        return check

    def add_all(self, clean: Clean, line: int) -> bool:
        """Count lines that were all found valid at once.

        Args:
            clean: The lines.
            line: The number of the first.

        Returns:
            False when an image occurs twice, in here or before; then nothing is counted, and the lines must
            be added one by one.
        """
        tokens = list(map(hash, clean.sources))  # as _token: their scheme is in lower case
        if len(set(tokens)) != len(tokens) or not self._seen.keys().isdisjoint(tokens):
            return False
        if len(self.label_images) + len(self.box_images) > _MOST_NAMES:
            return False
        self._seen.update(zip(tokens, range(line, line + len(tokens)), strict=True))
        self.total += len(tokens)
        self.buckets[clean.bucket] += len(tokens)
        self.labelled_lines += len(clean.labels)
        self.label_images.update(chain.from_iterable(clean.labels))
        self.boxed_lines += len(clean.box_labels)
        self.box_images.update(chain.from_iterable(clean.box_labels))
        return True

    def _add_bucket(self, source: str) -> None:
        match = SOURCE_REF.match(source)
        self.local += match is None
        if match is not None and (len(self.buckets) < _MOST_NAMES or match[1] in self.buckets):
            self.buckets[match[1]] += 1

    def _add_labels(self, labels: frozenset[str], box_labels: frozenset[str], count: int) -> None:
        if labels:
            self.labelled_lines += count
            _count(self.label_images, labels, count)
        if box_labels:
            self.boxed_lines += count
            _count(self.box_images, box_labels, count)
        if labels and box_labels:
            self.both_lines += count


def _count(counter: Counter[str], names: frozenset[str], count: int) -> None:
    for name in names:
        if name in counter or len(counter) < _MOST_NAMES:
            counter[name] += count


def _token(source: str) -> int:
    """What stands for an image: the scheme may be written in either case."""
    return hash("s" + source[1:] if source.startswith("S3://") else source)
