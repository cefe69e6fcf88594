"""The rules that concern a dataset, or a training and a test dataset, as a whole."""

from __future__ import annotations

from array import array
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import attrs

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
    from collections.abc import Mapping

    from rekolabels.manifest._fast_path import CleanBlock
    from rekolabels.manifest._line_rules import LineCheck

__all__ = ["ContentFinding", "DatasetStatistics", "Side", "UseCase", "check_dataset", "check_training"]

_MAX_NAMES: Final = 10_000
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

    def count_shared_images(self, other: DatasetStatistics) -> int:
        """How many images another dataset has too."""
        return len(self._seen.keys() & other._seen.keys())

    def add(self, check: LineCheck) -> LineCheck:
        """Count a line.

        Returns:
            The line as it stands among the others: found invalid when an earlier line has the same image.
        """
        source = check.source
        if source is not None:
            first = self._seen.setdefault(_source_hash(source), check.line)
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

    def add_block(self, clean: CleanBlock, line: int) -> bool:
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
        if len(self.label_images) + len(self.box_images) > _MAX_NAMES:
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
        if match is not None and (len(self.buckets) < _MAX_NAMES or match[1] in self.buckets):
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
        if name in counter or len(counter) < _MAX_NAMES:
            counter[name] += count


def _source_hash(source: str) -> int:
    """What stands for an image: the scheme may be written in either case."""
    return hash("s" + source[1:] if source.startswith("S3://") else source)


UseCase: TypeAlias = Literal["IMAGE_LEVEL_LABELS", "OBJECT_LOCALIZATION", "NOT_DETERMINED"]
"""The kind of model, in the words of the manifest summary."""
Side: TypeAlias = Literal["training", "testing"]

_MIN_IMAGES_TO_SPLIT: Final = 2
"""Images that a label needs to be on both sides of a split; the service's number is not known."""


@attrs.frozen
class ContentFinding:
    """Something that is wrong with a dataset, or with both together."""

    code: str
    """One of ``CODES``."""
    side: Side | None
    """The dataset; None when both are meant."""
    detail: str = ""
    """What is wrong here, in words."""

    @property
    def message(self) -> str:
        """The service's message, its placeholder filled."""
        return CODES[self.code].message.format(round(LABEL_OVERLAP * 100))


def choose_use_case(training: DatasetStatistics, testing: DatasetStatistics | None) -> UseCase:
    """Which kind of model the service would choose.

    How it chooses for mixed data is not published. Here: detection when usable test lines have boxes
    (training lines, when there is no test dataset), else classification.
    """
    deciding = training if testing is None else testing
    return "OBJECT_LOCALIZATION" if deciding.boxed_lines else "IMAGE_LEVEL_LABELS"


def check_training(
    training: DatasetStatistics, testing: DatasetStatistics | None = None, *, auto_split: bool = False
) -> tuple[UseCase, tuple[ContentFinding, ...]]:
    """Hold the datasets of a training against the rules for their content.

    The rules come in three rounds, and a round in which something ends the training is the last: first the
    share of invalid lines and the buckets, then the labels, then the labels of the kind that was chosen.

    Args:
        training: The training dataset, every line added.
        testing: The test dataset.
        auto_split: Whether the service is to split a test dataset off.

    Returns:
        The kind of model, ``NOT_DETERMINED`` when the training ends before that, and what was found.
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
    """Hold a dataset against the rules for its making; it fails when something is found."""
    found: list[ContentFinding] = []
    if counts.too_many_dropped:
        detail = f"{counts.dropped} of {counts.total} lines would be left out."
        found.append(ContentFinding("ERROR_TOO_MANY_RECORDS_IN_ERROR", side, detail))
    found += _check_buckets(side, counts)
    if len(counts.labels()) > DETECTION_LABELS[1]:
        detail = f"There are {len(counts.labels())}."
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
            detail = f"There are {labels}, at least {minimum} are needed."
            found.append(ContentFinding("ERROR_MANIFEST_TOO_FEW_LABELS", side, detail))
        elif labels > maximum:
            found.append(ContentFinding("ERROR_MANIFEST_TOO_MANY_LABELS", side, f"There are {labels}."))
    every: dict[Side, set[str]] = {side: counts.labels() for side, counts in sides.items()}
    return found + _check_overlap("ERROR_INSUFFICIENT_LABEL_OVERLAP", every)


def _check_usable_labels(sides: Mapping[Side, DatasetStatistics], use_case: UseCase) -> list[ContentFinding]:
    minimum, _ = _label_limits(use_case)
    usable: dict[Side, set[str]] = {side: _usable_labels(use_case, counts) for side, counts in sides.items()}
    found: list[ContentFinding] = []
    for side, labels in usable.items():
        if len(labels) < minimum:
            detail = f"There are {len(labels)} for {use_case}, at least {minimum} are needed."
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
    detail = f"Labels with a single image: {_list_names(rare)}."
    return [ContentFinding("ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_AUTOSPLIT", "training", detail)]


def _check_overlap(code: str, labels: Mapping[Side, set[str]]) -> list[ContentFinding]:
    if "testing" not in labels:
        return []
    training = labels["training"]
    missing = training - labels["testing"]
    if len(missing) <= len(training) * (1 - LABEL_OVERLAP):
        return []
    names = _list_names(sorted(missing))
    return [
        ContentFinding(
            code, None, f"{len(missing)} of {len(training)} training labels have no test image: {names}."
        )
    ]


def _usable_labels(use_case: UseCase, counts: DatasetStatistics) -> set[str]:
    """Detection can be taught by image-level labels alone (brands); among boxes they are not used."""
    if use_case == "OBJECT_LOCALIZATION" and counts.box_images:
        return set(counts.box_images)
    return set(counts.label_images)


def _advice(sides: Mapping[Side, DatasetStatistics]) -> list[ContentFinding]:
    found: list[ContentFinding] = []
    for side, counts in sides.items():
        if counts.valid < ADVISED_IMAGES:
            found.append(ContentFinding("FEW_IMAGES", side, f"There are {counts.valid} usable ones."))
        labels_only = counts.labelled_lines - counts.both_lines
        if counts.boxed_lines and labels_only:
            detail = f"{labels_only} lines have image-level labels only, {counts.boxed_lines} have boxes."
            found.append(ContentFinding("MIXED_LABEL_KINDS", side, detail))
    testing = sides.get("testing")
    if testing is not None:
        crowded = [
            label for label in testing.labels() if _count_images(testing, label) > IMAGES_PER_TEST_LABEL
        ]
        if crowded:
            detail = f"{_list_names(sorted(crowded))}."
            found.append(ContentFinding("TOO_MANY_TEST_IMAGES_FOR_LABEL", "testing", detail))
        shared = sides["training"].count_shared_images(testing)
        if shared:
            found.append(ContentFinding("IMAGE_IN_BOTH_DATASETS", None, f"This concerns {shared:,} images."))
    return found


def _count_images(counts: DatasetStatistics, label: str) -> int:
    return max(counts.label_images[label], counts.box_images[label])


def _list_names(labels: list[str], limit: int = 5) -> str:
    shown_labels = ", ".join(repr(label[:60]) for label in labels[:limit])
    return shown_labels if len(labels) <= limit else f"{shown_labels} and {len(labels) - limit} more"
