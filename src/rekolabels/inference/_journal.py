"""The journal of a long run: what was answered is not asked, and not paid, again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rekolabels.descriptions import Box, Detection, S3Location
from rekolabels.errors import InvalidInput, JournalFailed, RekolabelsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Self

    from rekolabels.inference._image import ImageSource

__all__ = ["Journal"]

R = TypeVar("R")

_log = logging.getLogger("rekolabels")

_PATIENCE = 5.0
"""Seconds to wait for another run that is about to end."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS run (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (image TEXT PRIMARY KEY, detections TEXT NOT NULL) WITHOUT ROWID;
"""


class Journal:
    """Answers by image, in an SQLite file; open as a context manager, by one run at a time.

    Args:
        path: The file; made if it does not exist.
        run: What the answers depend on: the model and the parameters.
    """

    def __init__(self, path: str | os.PathLike[str], run: Mapping[str, str]) -> None:
        self._path = Path(path)
        self._run = run
        self._lock = threading.Lock()
        self._not_kept = 0
        self._last_error: RekolabelsError | None = None

    def __enter__(self) -> Self:
        """Open the file.

        Raises:
            InvalidInput: The file belongs to another run, or is no journal.
            JournalFailed: The file cannot be written, or another run has it open.
        """
        self._db = self._guarded(
            lambda: sqlite3.connect(self._path, timeout=_PATIENCE, check_same_thread=False)
        )
        try:
            self._guarded(self._open)
        except BaseException:
            self._db.close()
            raise
        return self

    def _open(self) -> None:
        # EXCLUSIVE: two runs with one journal would pay for every image twice.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        # WAL and NORMAL: an answer is safe once it is written, also when the process is killed.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)
        found = dict(self._db.execute("SELECT name, value FROM run"))
        if not found:
            self._db.executemany("INSERT INTO run VALUES (?, ?)", self._run.items())
            self._db.commit()
        elif found != dict(self._run):
            differ = [
                f"its {name} is {found.get(name)}, not {value}"
                for name, value in self._run.items()
                if found.get(name) != value
            ]
            raise InvalidInput(
                f"{self._path} is the journal of another run ({'; '.join(differ)}): give another file, "
                "or delete it."
            )

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def answer(self, image: ImageSource) -> tuple[Detection, ...] | None:
        """Return what was found in an image by an earlier run; None when it was not asked yet.

        Raises:
            InvalidInput: The image has no name to know it by.
            JournalFailed: The file cannot be read.
        """
        query = "SELECT detections FROM answers WHERE image = ?"
        name = _name(image)
        row = self._guarded(lambda: self._db.execute(query, (name,)).fetchone())
        return tuple(_detection(item) for item in json.loads(row[0])) if row else None

    def write(self, image: ImageSource, found: Iterable[Detection]) -> None:
        """Keep an answer. One that cannot be kept is counted: it was paid, and must reach the caller."""
        values = _name(image), json.dumps([_item(detection) for detection in found])

        def insert() -> None:
            with self._db:
                self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", values)

        try:
            self._guarded(insert)
        except RekolabelsError as error:
            if not self._not_kept:
                _log.warning("the run goes on without its journal: %s", error)
            self._not_kept += 1
            self._last_error = error

    def check(self) -> None:
        """See that all answers were kept.

        Raises:
            JournalFailed: Some were not.
        """
        if self._last_error is not None:
            raise JournalFailed(
                f"{self._not_kept:,} answers were yielded but could not be kept in the journal {self._path}: "
                f"another run would ask, and pay, for them again. The last reason: {self._last_error}"
            ) from self._last_error

    def _guarded(self, action: Callable[[], R]) -> R:
        try:
            with self._lock:
                return action()
        except sqlite3.DatabaseError as error:
            if "not a database" in str(error):
                raise InvalidInput(f"{self._path} is no journal: give another file.") from error
            if "locked" in str(error):
                raise JournalFailed(
                    f"The journal {self._path} is in use by another run: wait for its end, or give another "
                    "file."
                ) from error
            raise JournalFailed(
                f"The journal {self._path} cannot be used: {error}. What it holds is kept: see that its "
                "folder exists, can be written, and has room; then run it again."
            ) from error


def _name(image: ImageSource) -> str:
    if isinstance(image, S3Location):
        return image.uri
    if isinstance(image, bytes):
        return f"sha256:{hashlib.sha256(image).hexdigest()}"
    if isinstance(image, (str, os.PathLike)):
        return os.fspath(image)
    name = getattr(image, "name", None)
    if not isinstance(name, str):
        raise InvalidInput("A journal knows images by their names: give paths, s3:// URIs or bytes.")
    return name


def _item(found: Detection) -> list[Any]:
    box = found.box
    frame = None if box is None else [box.left, box.top, box.width, box.height]
    return [found.label, found.confidence, frame]


def _detection(item: list[Any]) -> Detection:
    label, confidence, frame = item
    return Detection(label, confidence, None if frame is None else Box(*frame))
