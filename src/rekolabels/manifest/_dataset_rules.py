"""Rules for a dataset, or a training dataset with its test dataset, and the statistics they need."""

from __future__ import annotations

import unicodedata
from array import array
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import attrs

from rekolabels._arguments import check_choice
from rekolabels.manifest._line_rules import SOURCE_REF
from rekolabels.manifest.codes import CODES
from rekolabels.manifest.limits import (
    ADVISED_IMAGES,
    CLASSIFICATION_LABELS,
    DETECTION_LABELS,
    IMAGES_PER_TEST_LABEL,
    INVALID_SHARE,
    LABEL_OVERLAP,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rekolabels.manifest._fast_path import CleanBlock
    from rekolabels.manifest._line_rules import LineCheck

__all__ = [
    "ContentFinding",
    "DatasetStatistics",
    "Side",
    "UseCase",
    "check_dataset",
    "check_side",
    "check_training",
    "list_names",
    "similar_labels",
]

_MAX_NAMES: Final = 10_000
"""Number of different labels and buckets that are counted: far beyond every limit, but bounded."""


class DatasetStatistics:
    """Running statistics of a dataset. Call ``add`` for every line in order.

    Attributes:
        total: Number of lines so far, blank and invalid ones included.
        invalid: Number of lines that are not used because of errors.
        ignored: Number of well-formed lines without labels or boxes.
        dropped: Number of lines that a dataset leaves out without reporting them.
        error_lines: The numbers of lines with errors, from 1, including valid lines with one bad box of
            several.
        label_images: Number of valid lines for each image-level label.
        box_images: Number of valid lines for each label of boxes.
        labelled_lines: Number of valid lines with image-level labels.
        boxed_lines: Number of valid lines with boxes.
        both_lines: Number of valid lines with both.
        buckets: Number of lines for each S3 bucket.
        local_images: Number of lines whose image is a local file, before its upload.
        size: Size of the manifest so far, in bytes.
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
        self.local_images = 0
        self.size = 0
        # Maps 64-bit hashes instead of sources to line numbers, to save memory. The probability of a
        # collision among 250,000 images is 1 in 600 million.
        self._seen: dict[int, int] = {}

    @property
    def valid(self) -> int:
        """Number of usable lines."""
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
        """Return all labels of valid lines, of images and of boxes."""
        return self.label_images.keys() | self.box_images.keys()

    def count_shared_images(self, other: DatasetStatistics) -> int:
        """Return the number of images that are also in another dataset."""
        return len(self._seen.keys() & other._seen.keys())

    def add(self, check: LineCheck) -> LineCheck:
        """Count a line.

        Returns:
            The line, marked as invalid if an earlier line has the same image.
        """
        source = check.source
        if source is not None:
            first = self._seen.setdefault(_source_hash(source), check.line)
            if first != check.line:
                check = check.with_error("DUPLICATE_SOURCE_REF", f"{source!r} is in line {first}.")
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
            self._add_labels(frozenset(check.image.labels), box_labels)
        return check

    def add_block(self, clean: CleanBlock, line: int) -> bool:
        """Count a block of valid lines at once.

        Args:
            clean: The lines.
            line: The number of the first line.

        Returns:
            False if an image occurs twice, in this block or before. Nothing is counted then; add the lines
            one by one instead.
        """
        hashes = list(map(hash, clean.sources))  # as _source_hash: all schemes are in lower case
        if len(set(hashes)) != len(hashes) or not self._seen.keys().isdisjoint(hashes):
            return False
        if len(self.label_images) + len(self.box_images) > _MAX_NAMES:
            return False
        self._seen.update(zip(hashes, range(line, line + len(hashes)), strict=True))
        self.total += len(hashes)
        self.buckets[clean.bucket] += len(hashes)
        self.labelled_lines += len(clean.labels)
        self.label_images.update(chain.from_iterable(clean.labels))
        self.boxed_lines += len(clean.box_labels)
        self.box_images.update(chain.from_iterable(clean.box_labels))
        return True

    def _add_bucket(self, source: str) -> None:
        match = SOURCE_REF.match(source)
        self.local_images += match is None
        if match is not None and (len(self.buckets) < _MAX_NAMES or match[1] in self.buckets):
            self.buckets[match[1]] += 1

    def _add_labels(self, labels: frozenset[str], box_labels: frozenset[str]) -> None:
        if labels:
            self.labelled_lines += 1
            _count(self.label_images, labels)
        if box_labels:
            self.boxed_lines += 1
            _count(self.box_images, box_labels)
        if labels and box_labels:
            self.both_lines += 1


def _count(counter: Counter[str], names: frozenset[str]) -> None:
    for name in names:
        if name in counter or len(counter) < _MAX_NAMES:
            counter[name] += 1


def _source_hash(source: str) -> int:
    """Return the hash that identifies an image; the scheme may be in either case."""
    return hash("s" + source[1:] if source.startswith("S3://") else source)


UseCase: TypeAlias = Literal["IMAGE_LEVEL_LABELS", "OBJECT_LOCALIZATION", "NOT_DETERMINED"]
"""The kind of model, as the manifest summary names it."""
Side: TypeAlias = Literal["training", "testing"]
"""The training or the test dataset, as the manifest summary names them."""
_SIDES: Final[tuple[Side, ...]] = ("training", "testing")
_SIDE_SYNONYMS: Final[dict[str, Side]] = {"train": "training", "test": "testing"}

_MIN_IMAGES_TO_SPLIT: Final = 2
"""Images that each label needs for a split. The service does not publish its number."""


@attrs.frozen
class ContentFinding:
    """A rule violation or piece of advice for a dataset, or for both datasets together."""

    code: str
    """One of ``CODES``."""
    side: Side | None
    """The dataset; None if the finding concerns both."""
    detail: str = ""
    """What is wrong, with the numbers or names."""

    @property
    def message(self) -> str:
        """The service's message, with its placeholder filled in."""
        return CODES[self.code].message.format(round(LABEL_OVERLAP * 100))


def choose_use_case(training: DatasetStatistics, testing: DatasetStatistics | None) -> UseCase:
    """Return the kind of model that the service would train.

    The service does not publish how it chooses for mixed data. This function chooses detection if usable test
    lines (without a test dataset, training lines) have boxes, otherwise classification.
    """
    deciding = training if testing is None else testing
    return "OBJECT_LOCALIZATION" if deciding.boxed_lines else "IMAGE_LEVEL_LABELS"


def check_training(
    training: DatasetStatistics, testing: DatasetStatistics | None = None, *, auto_split: bool = False
) -> tuple[UseCase, tuple[ContentFinding, ...]]:
    """Check the datasets of a training.

    The rules run in three groups: first the share of invalid lines and the buckets, then the labels, then
    the labels of the chosen kind. A group that finds a fatal error is the last one that runs.

    Args:
        training: The statistics of the training dataset.
        testing: The statistics of the test dataset.
        auto_split: Whether the service is to split off a test dataset.

    Returns:
        The kind of model (``NOT_DETERMINED`` if the training ends before it is chosen), and the findings.
    """
    sides: dict[Side, DatasetStatistics] = {"training": training}
    if testing is not None:
        sides["testing"] = testing
    advice = _advice(sides)
    found = [finding for side, counts in sides.items() for finding in _check_lines(side, counts)]
    if found:
        return "NOT_DETERMINED", (*found, *advice)
    use_case = choose_use_case(training, testing)
    found = _check_labels(sides, use_case)
    if auto_split and testing is None:
        found += _check_auto_split(training)
    return use_case, (*(found or _check_usable_labels(sides, use_case)), *advice)


def check_dataset(counts: DatasetStatistics, side: Side = "training") -> tuple[ContentFinding, ...]:
    """Check whether a dataset can be created; each finding prevents it."""
    found: list[ContentFinding] = []
    if counts.too_many_dropped:
        detail = f"{counts.dropped} of {counts.total} lines would be left out."
        found.append(ContentFinding("ERROR_TOO_MANY_RECORDS_IN_ERROR", side, detail))
    found += _check_buckets(side, counts)
    if len(counts.labels()) > DETECTION_LABELS[1]:
        detail = f"Found {len(counts.labels())}; at most {DETECTION_LABELS[1]} allowed."
        found.append(ContentFinding("ERROR_MANIFEST_TOO_MANY_LABELS", side, detail))
    return tuple(found)


def _check_lines(side: Side, counts: DatasetStatistics) -> list[ContentFinding]:
    found: list[ContentFinding] = []
    if counts.too_many_invalid:
        detail = f"{counts.invalid} of {counts.total} lines are invalid."
        found.append(ContentFinding("ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST", side, detail))
    return found + _check_buckets(side, counts)


def _check_buckets(side: Side, counts: DatasetStatistics) -> list[ContentFinding]:
    if len(counts.buckets) <= 1:
        return []
    names = ", ".join(f"{name} ({count:,})" for name, count in counts.buckets.most_common(5))
    return [ContentFinding("ERROR_IMAGES_IN_MULTIPLE_S3_BUCKETS", side, f"Images per bucket: {names}.")]


def _check_labels(sides: Mapping[Side, DatasetStatistics], use_case: UseCase) -> list[ContentFinding]:
    minimum, maximum = _label_limits(use_case)
    found: list[ContentFinding] = []
    for side, counts in sides.items():
        labels = len(counts.labels())
        if labels < minimum:
            detail = f"Found {labels}; at least {minimum} required."
            found.append(ContentFinding("ERROR_MANIFEST_TOO_FEW_LABELS", side, detail))
        elif labels > maximum:
            detail = f"Found {labels}; at most {maximum} allowed."
            found.append(ContentFinding("ERROR_MANIFEST_TOO_MANY_LABELS", side, detail))
    every: dict[Side, set[str]] = {side: counts.labels() for side, counts in sides.items()}
    return found + _check_overlap("ERROR_INSUFFICIENT_LABEL_OVERLAP", every)


def _check_usable_labels(sides: Mapping[Side, DatasetStatistics], use_case: UseCase) -> list[ContentFinding]:
    minimum, _ = _label_limits(use_case)
    usable: dict[Side, set[str]] = {side: _usable_labels(use_case, counts) for side, counts in sides.items()}
    found: list[ContentFinding] = []
    for side, labels in usable.items():
        if len(labels) < minimum:
            detail = f"Found {len(labels)} for {use_case}; at least {minimum} required."
            found.append(ContentFinding("ERROR_MANIFEST_TOO_FEW_USABLE_LABELS", side, detail))
    return found + _check_overlap("ERROR_INSUFFICIENT_USABLE_LABEL_OVERLAP", usable)


def _label_limits(use_case: UseCase) -> tuple[int, int]:
    return DETECTION_LABELS if use_case == "OBJECT_LOCALIZATION" else CLASSIFICATION_LABELS


def _check_auto_split(training: DatasetStatistics) -> list[ContentFinding]:
    images: dict[str, int] = dict(training.label_images)
    for label, count in training.box_images.items():
        images[label] = max(count, images.get(label, 0))
    rare = [label for label, count in images.items() if count < _MIN_IMAGES_TO_SPLIT]
    if not rare:
        return []
    detail = f"Labels with a single image: {list_names(rare)}."
    return [ContentFinding("ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_AUTOSPLIT", "training", detail)]


def _check_overlap(code: str, labels: Mapping[Side, set[str]]) -> list[ContentFinding]:
    if "testing" not in labels:
        return []
    training = labels["training"]
    missing = training - labels["testing"]
    if len(missing) <= len(training) * (1 - LABEL_OVERLAP):
        return []
    names = list_names(sorted(missing))
    return [
        ContentFinding(
            code, None, f"{len(missing)} of {len(training)} training labels have no test image: {names}."
        )
    ]


def _usable_labels(use_case: UseCase, counts: DatasetStatistics) -> set[str]:
    """Return the labels that a model of this kind learns.

    Detection can learn brands from image-level labels alone; a dataset with boxes uses only their labels.
    """
    if use_case == "OBJECT_LOCALIZATION" and counts.box_images:
        return set(counts.box_images)
    return set(counts.label_images)


def _advice(sides: Mapping[Side, DatasetStatistics]) -> list[ContentFinding]:
    found: list[ContentFinding] = []
    for side, counts in sides.items():
        if counts.valid < ADVISED_IMAGES:
            found.append(ContentFinding("FEW_IMAGES", side, f"Usable images: {counts.valid}."))
        labels_only = counts.labelled_lines - counts.both_lines
        if counts.boxed_lines and labels_only:
            detail = (
                f"Lines with only image-level labels: {labels_only}; lines with boxes: {counts.boxed_lines}."
            )
            found.append(ContentFinding("MIXED_LABEL_KINDS", side, detail))
    alike = similar_labels({label for counts in sides.values() for label in counts.labels()})
    if alike:
        detail = "; ".join(" and ".join(names) for names in alike[:5])
        more = f"; and {len(alike) - 5} more" if len(alike) > 5 else ""  # noqa: PLR2004 - those shown
        found.append(ContentFinding("SIMILAR_LABELS", None, f"{detail}{more}."))
    testing = sides.get("testing")
    if testing is not None:
        over_limit = [
            label for label in testing.labels() if _count_images(testing, label) > IMAGES_PER_TEST_LABEL
        ]
        if over_limit:
            detail = f"Labels over the limit: {list_names(sorted(over_limit))}."
            found.append(ContentFinding("TOO_MANY_TEST_IMAGES_FOR_LABEL", "testing", detail))
        shared = sides["training"].count_shared_images(testing)
        if shared:
            found.append(ContentFinding("IMAGE_IN_BOTH_DATASETS", None, f"{shared:,} images are in both."))
    return found


def similar_labels(labels: Iterable[str]) -> list[list[str]]:
    r"""Return the labels that differ only in upper and lower case, in spaces or in their Unicode form.

    macOS writes the accents of folder names as characters of their own. Names that look the same are shown
    with escapes.

    >>> similar_labels(["corgi", "husky", "Corgi "])
    [["'Corgi '", "'corgi'"]]
    >>> similar_labels(["caf\xe9", "cafe\u0301"])
    [["'cafe\\u0301'", "'caf\\xe9'"]]
    """
    alike: dict[str, list[str]] = {}
    for label in labels:
        key = unicodedata.normalize("NFKC", "".join(label.split()).casefold())
        alike.setdefault(key, []).append(label)
    return sorted(_distinct_names(sorted(names)) for names in alike.values() if len(names) > 1)


def _distinct_names(names: list[str]) -> list[str]:
    looks = {unicodedata.normalize("NFC", name) for name in names}
    return [repr(name) if len(looks) == len(names) else ascii(name) for name in names]


def _count_images(counts: DatasetStatistics, label: str) -> int:
    return max(counts.label_images[label], counts.box_images[label])


def list_names(labels: list[str], limit: int = 5) -> str:
    """Return labels for a message: the first few, and the number of the others."""
    shown_labels = ", ".join(repr(label[:60]) for label in labels[:limit])
    return shown_labels if len(labels) <= limit else f"{shown_labels} and {len(labels) - limit} more"


def check_side(side: object) -> Side:
    """Check that an argument names the training or the test dataset."""
    return check_choice("side", side, _SIDES, _SIDE_SYNONYMS)
