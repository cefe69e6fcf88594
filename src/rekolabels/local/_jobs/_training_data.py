"""Training and test data of one training: lines checked, images inspected, samples collected."""

from __future__ import annotations

import functools
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels._files import FOLDER_MODE, create_private_file, open_private
from rekolabels._threads import map_bounded
from rekolabels.errors import CannotSplit
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.local._core._models import version_folder
from rekolabels.local._core._s3_objects import read_lines
from rekolabels.local._engine import Sample, UnusableImage, check_image
from rekolabels.local._engine._images import decode
from rekolabels.local._jobs._manifests import (
    ManifestFileError,
    check_raw_line,
    choose_test_images,
    content_error,
)
from rekolabels.local._jobs._s3_files import ImageNotFetched
from rekolabels.manifest._dataset_rules import DatasetStatistics, UseCase, check_training
from rekolabels.manifest._serialize import validation_line
from rekolabels.manifest.codes import CODES
from rekolabels.manifest.limits import LINES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from sqlite3 import Connection

    from rekolabels.local._core._context import Context
    from rekolabels.local._jobs._s3_files import ImageFetcher
    from rekolabels.manifest._line_rules import LineCheck

__all__ = ["CheckedData", "CheckedDataset", "DataReader", "UsableLine", "snapshot_datasets"]

_THREADS = 8


@attrs.frozen
class UsableLine:
    """A valid manifest line with a valid image."""

    number: int
    """Line number in the manifest, from 1."""
    source: str
    """S3 URI of the image."""
    labels: tuple[str, ...]
    boxes: tuple[BoundingBox, ...]
    size: ImageSize | None


@attrs.define
class CheckedDataset:
    """The training or the test dataset, with what is wrong with it."""

    counts: DatasetStatistics
    usable: list[UsableLine]
    annotated: Path
    """File of all lines, each with its errors."""
    fetched: int = 0
    """Number of images that S3 returned."""
    not_fetched: int = 0
    """Number of images that S3 did not return."""
    errors: list[dict[str, str]] = attrs.field(factory=list[dict[str, str]])
    """Content errors of this dataset."""
    use_case: str = "NOT_DETERMINED"

    def summary(self) -> dict[str, Any]:
        """Return this dataset's statistics for the manifest summary."""
        counts = self.counts
        return {
            "use_case": self.use_case,
            "total_json_lines": counts.total,
            "valid_json_lines": counts.valid,
            "invalid_json_lines": counts.invalid,
            "ignored_json_lines": counts.ignored,
            "error_json_line_indices": list(counts.error_lines),
            "errors": self.errors,
        }


@attrs.define
class CheckedData:
    """Both datasets, with what is wrong with them together."""

    train: CheckedDataset
    test: CheckedDataset
    use_case: UseCase
    errors: list[dict[str, str]]
    """Content errors that concern both datasets."""

    @property
    def failure(self) -> str | None:
        """Message of the first content error; None if training can continue."""
        errors = [*self.train.errors, *self.test.errors, *self.errors]
        return errors[0]["message"] if errors else None

    def summary(self) -> dict[str, Any]:
        """Return the content of the manifest summary file."""
        statistics = {"training": self.train.summary(), "testing": self.test.summary()}
        return {"errors": self.errors, "statistics": statistics}

    def samples(self, dataset: CheckedDataset, images: ImageFetcher) -> list[Sample]:
        """Return the samples of a dataset for the engine; lines of the other use case are left out."""
        samples: list[Sample] = []
        for line in self.lines_in_use(dataset):
            labels, boxes = self.annotations(line, dataset)
            if labels and self.use_case == "OBJECT_LOCALIZATION":
                # The detector learns from boxes: give each image-level label one that covers the image.
                size = check_image(images.read(line.source))
                boxes = tuple(BoundingBox(label, 0, 0, size.width, size.height) for label in labels)
                labels = ()
            read = functools.partial(images.read, line.source)
            samples.append(Sample(line.source, read, labels, boxes))
        return samples

    def unused_lines(self) -> list[UsableLine]:
        """Return the valid lines of both datasets whose annotations are for the other use case."""
        return [
            line
            for dataset in (self.train, self.test)
            for line in dataset.usable
            if not any(self.annotations(line, dataset))
        ]

    def lines_in_use(self, dataset: CheckedDataset) -> list[UsableLine]:
        """Return the lines of a dataset that have annotations for the detected use case."""
        return [line for line in dataset.usable if any(self.annotations(line, dataset))]

    def annotations(
        self, line: UsableLine, dataset: CheckedDataset
    ) -> tuple[tuple[str, ...], tuple[BoundingBox, ...]]:
        """Return the labels and boxes of a line that count for the detected use case."""
        if self.use_case != "OBJECT_LOCALIZATION":
            return line.labels, ()
        # In brand detection only the test images have boxes; training uses whole images.
        whole_images = dataset is self.train and not dataset.counts.boxed_lines
        return (line.labels if whole_images else ()), line.boxes


def snapshot_datasets(context: Context, db: Connection, project: str, number: int) -> None:
    """Copy a project's entries into the folder of a version: they may change while it is training."""
    folder = version_folder(context.folder, number)
    folder.mkdir(FOLDER_MODE, parents=True)
    for kind in ("train", "test"):
        rows = db.execute(
            "SELECT line FROM entries WHERE dataset = "
            "(SELECT id FROM datasets WHERE project = ? AND kind = ?) ORDER BY id",
            (project, kind.upper()),
        )
        with open_private(folder / f"{kind}.jsonl", "w") as file:
            file.writelines(f"{row['line']}\n" for row in rows)


class DataReader:
    """Reads the datasets of one training from the folder of its version.

    Args:
        folder: Contains ``train.jsonl`` and ``test.jsonl``; the lines with their errors are written next to
            them.
        images: The images of the training.
        check: Called between lines; raises to interrupt the work.
    """

    def __init__(self, folder: Path, images: ImageFetcher, check: Callable[[], None]) -> None:
        self._folder = folder
        self._images = images
        self._check = check
        self._lock = threading.Lock()
        self._damaged: set[str] = set()
        """S3 URIs of images with a valid header that cannot be decoded."""

    def read(self, split_seed: int | None = None) -> CheckedData:
        """Read both datasets, checking every line and every image's header.

        Args:
            split_seed: Move 20 % of the training lines to the test dataset first, unless that was done
                already; None to keep the datasets as they are. Lines that cannot be split are checked as
                they are.

        Raises:
            ManifestFileError: A dataset has no lines, or too many.
        """
        if split_seed is not None and not self._path("test").exists():
            unsplit = self._split(split_seed)
            if unsplit is not None:
                return unsplit
        return _check_data(self._read_dataset("train"), self._read_dataset("test"))

    def find_damaged_images(self) -> None:
        """Decode every image completely; the next ``read`` reports the damaged ones."""
        for kind in ("train", "test"):
            if self._path(kind).exists():
                self.has_damaged_image(self._read_dataset(kind).usable)

    def has_damaged_image(self, lines: Iterable[UsableLine]) -> bool:
        """Decode the images of lines completely, and return whether one is damaged."""
        found = False
        for line in lines:
            self._check()
            try:
                decode(self._images.read(line.source), side=64)
            except UnusableImage:
                self._damaged.add(line.source)
                found = True
        return found

    def _path(self, kind: str) -> Path:
        return self._folder / f"{kind}.jsonl"

    def _split(self, seed: int) -> CheckedData | None:
        """Split the training lines; return the checked data if they cannot be split."""
        train = self._read_dataset("train")
        empty = CheckedDataset(DatasetStatistics(), [], self._folder / "test-annotated.jsonl")
        create_private_file(empty.annotated)
        data = _check_data(train, empty, auto_split=True)
        if data.failure is not None:
            return data
        try:
            chosen = choose_test_images([_labelled_image(line) for line in train.usable], seed=seed)
        except CannotSplit:
            train.errors.append(content_error("ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_AUTOSPLIT"))
            return data
        self._move_to_test({train.usable[index].number for index in chosen})
        return None

    def _read_dataset(self, kind: str) -> CheckedDataset:
        dataset = CheckedDataset(DatasetStatistics(), [], self._folder / f"{kind}-annotated.jsonl")
        with self._path(kind).open("rb") as file, open_private(dataset.annotated, "w") as annotated:
            lines = (check_raw_line(raw, number) for number, raw in enumerate(read_lines(file), 1))
            check_image = functools.partial(self._check_image, dataset)
            # Not a ThreadPoolExecutor: it refuses work as soon as the interpreter exits, and the training
            # would end with that error before the service can interrupt it.
            with closing(
                map_bounded(check_image, lines, workers=_THREADS, thread_name="rekolabels-images")
            ) as checks:
                for check in checks:
                    self._check()
                    counted = dataset.counts.add(check)
                    annotated.write(validation_line(counted) + "\n")
                    if counted.image is not None:
                        dataset.usable.append(_usable_line(counted.line, counted.image))
                    if dataset.counts.total > LINES:
                        raise ManifestFileError("ERROR_MANIFEST_ROWS_EXCEEDS_MAXIMUM")
        if dataset.counts.total == 0:
            raise ManifestFileError("ERROR_EMPTY_MANIFEST")
        return dataset

    def _check_image(self, dataset: CheckedDataset, check: LineCheck) -> LineCheck:
        """Check the image of a valid line."""
        if check.image is None:
            return check
        source = check.image.source
        problem = self._images.problem_with(source)
        with self._lock:
            dataset.not_fetched += isinstance(problem, ImageNotFetched)
            dataset.fetched += not isinstance(problem, ImageNotFetched)
        if problem is None and source not in self._damaged:
            return check
        return check.with_error("ERROR_INVALID_IMAGE", str(problem or "The image is damaged."))

    def _move_to_test(self, numbers: set[int]) -> None:
        """Move the training lines with these numbers to the test dataset."""
        all_lines, rest = self._path("train"), self._folder / "train-part.jsonl"
        with (
            all_lines.open("rb") as lines,
            open_private(rest, "wb") as train,
            open_private(self._path("test"), "wb") as test,
        ):
            for number, line in enumerate(read_lines(lines), 1):
                (test if number in numbers else train).write(line + b"\n")
        rest.replace(all_lines)


def _check_data(train: CheckedDataset, test: CheckedDataset, *, auto_split: bool = False) -> CheckedData:
    test_counts = None if auto_split else test.counts
    use_case, findings = check_training(train.counts, test_counts, auto_split=auto_split)
    data = CheckedData(train, test, use_case, [])
    errors = {"training": train.errors, "testing": test.errors, None: data.errors}
    for dataset in (train, test):
        dataset.use_case = use_case
        if dataset.not_fetched and not dataset.fetched:
            dataset.errors.append(content_error("ERROR_FAILED_IMAGES_S3_COPY"))
    for finding in findings:
        if CODES[finding.code].level == "CONTENT":
            errors[finding.side].append({"code": finding.code, "message": finding.message})
    return data


def _usable_line(number: int, image: LabelledImage) -> UsableLine:
    # A line may repeat a label; the image has it once. The rest of the line is no longer needed.
    return UsableLine(number, image.source, tuple(dict.fromkeys(image.labels)), image.boxes, image.size)


def _labelled_image(line: UsableLine) -> LabelledImage:
    return LabelledImage(line.source, line.labels, line.boxes)
