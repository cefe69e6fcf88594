"""The data of a training: its lines checked, its images looked at, its samples gathered."""

from __future__ import annotations

import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import attrs
from botocore.exceptions import BotoCoreError, ClientError

from rekolabels.errors import CannotSplit, InvalidManifest
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.local._core._jsonl import read_lines
from rekolabels.local._core._places import object_of
from rekolabels.local._engine import Sample, UnusableImage, check_image
from rekolabels.local._engine._images import decode
from rekolabels.local._jobs._images import NotFetched
from rekolabels.local._jobs._manifests import (
    CODES,
    LINES,
    MANIFEST_BYTES,
    DatasetStatistics,
    UseCase,
    check_content,
    check_raw_line,
    choose_tests,
    manifest_lines,
    message_of,
    validation_line,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rekolabels.local._jobs._images import Images
    from rekolabels.local._jobs._manifests import LineCheck

__all__ = ["Data", "FileProblem", "Reader", "Side", "Usable", "fetch_manifest"]

_CHUNK = 64
_THREADS = 8


class FileProblem(Exception):
    """A manifest that cannot be taken at all; the training ends before any line is looked at.

    Attributes:
        code: The service's code.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@attrs.frozen
class Usable:
    """A line that can be used."""

    line: int
    source: str
    labels: tuple[str, ...]
    boxes: tuple[BoundingBox, ...]
    size: ImageSize | None


@attrs.define
class Side:
    """The training or the test dataset of one training."""

    counts: DatasetStatistics
    usable: list[Usable]
    annotated: Path
    """The lines with what is wrong with them."""
    fetched: int = 0
    """Images that S3 gave."""
    missing: int = 0
    """Images that S3 did not give."""
    problems: list[dict[str, str]] = attrs.field(factory=list[dict[str, str]])
    """Content errors of this dataset."""
    use_case: str = "NOT_DETERMINED"

    def summary(self) -> dict[str, Any]:
        """Its part of the manifest summary."""
        counts = self.counts
        return {
            "use_case": self.use_case,
            "total_json_lines": counts.total,
            "valid_json_lines": counts.valid,
            "invalid_json_lines": counts.invalid,
            "ignored_json_lines": counts.ignored,
            "error_json_line_indices": list(counts.error_lines),
            "errors": self.problems,
        }


@attrs.define
class Data:
    """Both datasets, and what is wrong with them together."""

    training: Side
    testing: Side
    use_case: UseCase
    problems: list[dict[str, str]]
    """Content errors that span both."""

    @property
    def failure(self) -> str | None:
        """The message of the first content error; None when the training can go on."""
        found = [*self.training.problems, *self.testing.problems, *self.problems]
        return found[0]["message"] if found else None

    def summary(self) -> dict[str, Any]:
        """The content of the manifest summary file."""
        statistics = {"training": self.training.summary(), "testing": self.testing.summary()}
        return {"errors": self.problems, "statistics": statistics}

    def samples(self, side: Side, images: Images) -> list[Sample]:
        """What the engine learns from or is tested with: lines of the other kind are left out."""
        samples: list[Sample] = []
        for one in self.used(side):
            labels, boxes = self.kept(one, side)
            if labels and self.use_case == "OBJECT_LOCALIZATION":
                # The engine learns where things are: here each fills its image.
                size = check_image(images.read(one.source))
                boxes = tuple(BoundingBox(label, 0, 0, size.width, size.height) for label in labels)
                labels = ()
            samples.append(Sample(one.source, functools.partial(images.read, one.source), labels, boxes))
        return samples

    def used(self, side: Side) -> list[Usable]:
        """The lines of a dataset that have labels of the kind that was chosen."""
        return [one for one in side.usable if any(self.kept(one, side))]

    def kept(self, one: Usable, side: Side) -> tuple[tuple[str, ...], tuple[BoundingBox, ...]]:
        """The labels and boxes of a line that are of the kind that was chosen."""
        if self.use_case != "OBJECT_LOCALIZATION":
            return one.labels, ()
        # A detector of brands learns from whole images; only its test images have boxes.
        whole = side is self.training and not side.counts.boxed_lines
        return (one.labels if whole else ()), one.boxes


def fetch_manifest(s3: Any, assets: Iterable[Mapping[str, Any]], target: Path) -> None:
    """Copy the manifests of a request from S3 into one file.

    Raises:
        FileProblem: One cannot be read, is empty, or is too large.
    """
    with target.open("wb") as file:
        try:
            size = sum(_copy(s3, asset["GroundTruthManifest"]["S3Object"], file) for asset in assets)
        except (ClientError, BotoCoreError, InvalidManifest) as error:
            raise FileProblem("ERROR_MANIFEST_INACCESSIBLE_OR_UNSUPPORTED_FORMAT") from error
    if size == 0:
        raise FileProblem("ERROR_EMPTY_MANIFEST")


def _copy(s3: Any, place: Mapping[str, Any], file: IO[bytes]) -> int:
    answer = s3.get_object(**object_of(place))
    with answer["Body"] as body:
        size: int = answer["ContentLength"]
        if size > MANIFEST_BYTES:
            raise FileProblem("ERROR_MANIFEST_SIZE_TOO_LARGE")
        file.writelines(line + b"\n" for line in manifest_lines(body))
    return size


class Reader:
    """Reads the datasets of one training from its folder.

    Args:
        folder: Where ``train.jsonl`` and ``test.jsonl`` lie; the lines with their errors are written beside.
        images: Brings the images.
        check: Called between the lines; may end the work by an exception.
    """

    def __init__(self, folder: Path, images: Images, check: Callable[[], None]) -> None:
        self._folder = folder
        self._images = images
        self._check = check
        self._guard = threading.Lock()
        self.damaged: set[str] = set()
        """Images that were found unusable later than their header tells."""

    def read(self, split_seed: int | None = None) -> Data:
        """Both datasets, every line checked and every image looked at.

        Args:
            split_seed: Move a fifth of the training lines to the test dataset first, if there is none yet.
                Lines that are not fit to be divided are judged as they are.

        Raises:
            FileProblem: A dataset has no lines, or too many.
        """
        if split_seed is not None and not self._path("test").exists():
            unfit = self._split(split_seed)
            if unfit is not None:
                return unfit
        return _judge(self._side("train"), self._side("test"))

    def verify(self) -> None:
        """Decode every image to its end, and note those that break."""
        for kind in ("train", "test"):
            for one in self._side(kind).usable if self._path(kind).exists() else ():
                self._check()
                try:
                    decode(self._images.read(one.source), side=64)
                except UnusableImage:
                    self.damaged.add(one.source)

    def _path(self, kind: str) -> Path:
        return self._folder / f"{kind}.jsonl"

    def _split(self, seed: int) -> Data | None:
        """Divide the training lines; the judged data when they are not fit for it."""
        whole = self._side("train")
        nothing = Side(DatasetStatistics(), [], self._folder / "test-annotated.jsonl")
        nothing.annotated.touch()
        data = _judge(whole, nothing, auto_split=True)
        if data.failure is not None:
            return data
        try:
            chosen = choose_tests([_as_image(one) for one in whole.usable], seed=seed)
        except CannotSplit:
            whole.problems.append(_problem("ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_AUTOSPLIT"))
            return data
        self._divide({whole.usable[index].line for index in chosen})
        return None

    def _side(self, kind: str) -> Side:
        side = Side(DatasetStatistics(), [], self._folder / f"{kind}-annotated.jsonl")
        with (
            self._path(kind).open("rb") as file,
            side.annotated.open("w", encoding="utf-8") as annotated,
            ThreadPoolExecutor(_THREADS, thread_name_prefix="rekolabels-images") as pool,
        ):
            lines = enumerate(read_lines(file), 1)
            while chunk := list(islice(lines, _CHUNK)):
                self._check()
                checks = [check_raw_line(raw, number) for number, raw in chunk]
                for check in pool.map(functools.partial(self._look, side), checks):
                    counted = side.counts.add(check)
                    annotated.write(validation_line(counted) + "\n")
                    if counted.image is not None:
                        side.usable.append(_usable(counted.line, counted.image))
                if side.counts.total > LINES:
                    raise FileProblem("ERROR_MANIFEST_ROWS_EXCEEDS_MAXIMUM")
        if side.counts.total == 0:
            raise FileProblem("ERROR_EMPTY_MANIFEST")
        return side

    def _look(self, side: Side, check: LineCheck) -> LineCheck:
        """Hold a good line against its image."""
        if check.image is None:
            return check
        source = check.image.source
        flaw = self._images.flaw_of(source)
        with self._guard:
            side.missing += isinstance(flaw, NotFetched)
            side.fetched += not isinstance(flaw, NotFetched)
        if flaw is None and source not in self.damaged:
            return check
        return check.failed("ERROR_INVALID_IMAGE", str(flaw or "It is damaged."))

    def _divide(self, chosen: set[int]) -> None:
        whole, part = self._path("train"), self._folder / "train-part.jsonl"
        with (
            whole.open("rb") as lines,
            part.open("wb") as train,
            self._path("test").open("wb") as test,
        ):
            for number, line in enumerate(read_lines(lines), 1):
                (test if number in chosen else train).write(line + b"\n")
        part.replace(whole)


def _judge(training: Side, testing: Side, *, auto_split: bool = False) -> Data:
    others = None if auto_split else testing.counts
    use_case, found = check_content(training.counts, others, auto_split=auto_split)
    data = Data(training, testing, use_case, [])
    lists = {"training": training.problems, "testing": testing.problems, None: data.problems}
    for side in (training, testing):
        side.use_case = use_case
        if side.missing and not side.fetched:
            side.problems.append(_problem("ERROR_FAILED_IMAGES_S3_COPY"))
    for one in found:
        if CODES[one.code].level == "CONTENT":
            lists[one.side].append({"code": one.code, "message": one.message})
    return data


def _problem(code: str) -> dict[str, str]:
    return {"code": code, "message": message_of(code)}


def _usable(line: int, image: LabelledImage) -> Usable:
    # Labels stand once for each image, whatever the line says; the rest of the line is not needed any more.
    return Usable(line, image.source, tuple(dict.fromkeys(image.labels)), image.boxes, image.size)


def _as_image(one: Usable) -> LabelledImage:
    return LabelledImage(one.source, one.labels, one.boxes)
