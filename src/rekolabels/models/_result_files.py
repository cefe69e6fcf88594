"""The result files of a training in S3, fetched when somebody reads them and not before."""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from rekolabels.descriptions import S3Location

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rekolabels._aws._s3 import S3
    from rekolabels.evaluation import SnapshotImage, ValidationLine

__all__ = ["ResultFile", "Validation", "read_image", "training_snapshot"]


class ResultFile:
    """The lines of an object in S3: fetched at the first call into a temporary file, read from there.

    Args:
        s3: Where the object lies.
        location: The object.
    """

    def __init__(self, s3: S3, location: S3Location) -> None:
        self._s3 = s3
        self._location = location
        self._guard = threading.Lock()
        self._path: Path | None = None

    def __repr__(self) -> str:
        return f"<ResultFile {self._location}>"

    def __call__(self) -> Iterator[bytes]:
        """Give the lines from the beginning.

        Raises:
            ObjectNotFound: The object is gone from S3.
        """
        with self._guard:
            if self._path is None:
                self._path = self._fetch()
        return _lines_of(self._path, self)

    def _fetch(self) -> Path:
        handle, name = tempfile.mkstemp(prefix="rekolabels-", suffix=".jsonl")
        os.close(handle)
        path = Path(name)
        weakref.finalize(self, path.unlink, missing_ok=True)
        self._s3.get_file(self._location, path)
        return path


def _lines_of(path: Path, _owner: ResultFile) -> Iterator[bytes]:
    """Read the file; whoever reads keeps its owner, and so the file, alive."""
    with path.open("rb") as file:
        yield from file


class Validation:
    """The training and the test manifest with what the service found wrong with their lines.

    Each is streamed from S3 when it is read.
    """

    def __init__(self, s3: S3, training: S3Location | None, testing: S3Location | None) -> None:
        self._training = None if training is None else ResultFile(s3, training)
        self._testing = None if testing is None else ResultFile(s3, testing)

    def __repr__(self) -> str:
        return f"<Validation {self._training} {self._testing}>"

    @property
    def training(self) -> Iterator[ValidationLine]:
        """The lines of ``TrainingManifestWithValidation-…``."""
        return _validated(self._training)

    @property
    def testing(self) -> Iterator[ValidationLine]:
        """The lines of ``TestingManifestWithValidation-…``."""
        return _validated(self._testing)


def _validated(file: ResultFile | None) -> Iterator[ValidationLine]:
    from rekolabels.evaluation import read_validation

    lines: Iterable[bytes] = () if file is None else file()
    return read_validation(lines, repr(file))


def training_snapshot(s3: S3, location: S3Location) -> Iterator[SnapshotImage]:
    """Stream what a model was trained with."""
    from rekolabels.evaluation import read_training_snapshot

    return read_training_snapshot(ResultFile(s3, location)(), str(location))


def read_image(s3: S3, source: str) -> bytes:
    """Read a test image by its URI."""
    return s3.get(S3Location.parse(source))
