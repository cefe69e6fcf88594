"""Result files of a training, fetched from S3 when they are first read."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from rekolabels._files import TemporaryFolder
from rekolabels.descriptions import S3Location

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rekolabels._aws._s3 import S3
    from rekolabels.evaluation import SnapshotImage, ValidationLine

__all__ = ["ResultFile", "Validation", "read_image", "training_snapshot"]


class ResultFile:
    """Lines of an S3 object, which the first call downloads to a temporary file.

    Args:
        s3: The gateway.
        location: The object.
    """

    def __init__(self, s3: S3, location: S3Location) -> None:
        self._s3 = s3
        self._location = location
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._folder: TemporaryFolder | None = None

    def __repr__(self) -> str:
        return str(self._location)

    def __call__(self) -> Iterator[bytes]:
        """Return the lines from the beginning.

        Raises:
            ObjectNotFound: The object no longer exists.
        """
        with self._lock:
            if self._path is None:
                self._path = self._fetch()
        return _lines_of(self._path, self)

    def _fetch(self) -> Path:
        folder = TemporaryFolder()
        path = folder.path / "lines.jsonl"
        self._s3.get_file(self._location, path)
        self._folder = folder  # removed with this object, or after a kill by the next process
        return path


def _lines_of(path: Path, _owner: ResultFile) -> Iterator[bytes]:
    """Yield the lines; the reference to the owner keeps the temporary file from being deleted."""
    with path.open("rb") as file:
        yield from file


class Validation:
    """Training and test manifest with the errors that the service found in their lines.

    ``model.validation()`` returns one. A manifest is fetched from S3 when its lines are first read.
    """

    def __init__(self, s3: S3, training: S3Location | None, testing: S3Location | None) -> None:
        self._training = None if training is None else ResultFile(s3, training)
        self._testing = None if testing is None else ResultFile(s3, testing)

    def __repr__(self) -> str:
        return f"<Validation of {self._training} and {self._testing}>"

    def training_lines(self) -> Iterator[ValidationLine]:
        """Yield the lines of the training manifest (``TrainingManifestWithValidation-…``)."""
        return _validated(self._training)

    def testing_lines(self) -> Iterator[ValidationLine]:
        """Yield the lines of the test manifest (``TestingManifestWithValidation-…``)."""
        return _validated(self._testing)


def _validated(file: ResultFile | None) -> Iterator[ValidationLine]:
    from rekolabels.evaluation import read_validation

    lines: Iterable[bytes] = () if file is None else file()
    return read_validation(lines, repr(file))


def training_snapshot(s3: S3, location: S3Location) -> Iterator[SnapshotImage]:
    """Yield the images of a training snapshot."""
    from rekolabels.evaluation import read_training_snapshot

    return read_training_snapshot(ResultFile(s3, location)(), str(location))


def read_image(s3: S3, source: str) -> bytes:
    """Return the bytes of a test image, by its S3 URI."""
    return s3.get(S3Location.parse(source))
