"""The journal of a long run: what was answered is not asked, and not paid, again."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rekolabels.descriptions import Box, Detection, S3Location
from rekolabels.errors import InvalidInput, JournalFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

    from rekolabels.inference._image import ImageSource

__all__ = ["Journal"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS run (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (image TEXT PRIMARY KEY, detections TEXT NOT NULL) WITHOUT ROWID;
"""


class Journal:
    """Answers by image, in an SQLite file; a context manager.

    Args:
        path: The file; made if it does not exist.
        run: What the answers depend on: the model and the parameters.

    Raises:
        InvalidInput: The file belongs to another run, or is no journal.
        JournalFailed: The file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], run: Mapping[str, str]) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._db = self._guarded(lambda: sqlite3.connect(self._path, check_same_thread=False))
        try:
            self._guarded(lambda: self._open(run))
        except BaseException:
            self._db.close()
            raise

    def _open(self, run: Mapping[str, str]) -> None:
        # WAL and NORMAL: an answer is safe once it is written, also when the process is killed.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)
        found = dict(self._db.execute("SELECT name, value FROM run"))
        if not found:
            self._db.executemany("INSERT INTO run VALUES (?, ?)", run.items())
            self._db.commit()
        elif found != dict(run):
            differ = [f"{name} {found.get(name)!r}" for name in run if found.get(name) != run[name]]
            raise InvalidInput(
                f"{self._path} is the journal of another run ({', '.join(differ)}): give another file, "
                "or delete it."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def answer(self, image: ImageSource) -> tuple[Detection, ...] | None:
        """Return what was found in an image by an earlier run; None when it was not asked yet."""
        query = "SELECT detections FROM answers WHERE image = ?"
        row = self._guarded(lambda: self._db.execute(query, (_name(image),)).fetchone())
        return tuple(_detection(item) for item in json.loads(row[0])) if row else None

    def write(self, image: ImageSource, found: list[Detection]) -> None:
        """Keep an answer."""
        text = json.dumps([_item(detection) for detection in found])

        def insert() -> None:
            self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (_name(image), text))
            self._db.commit()

        self._guarded(insert)

    def _guarded(self, action: Callable[[], Any]) -> Any:
        try:
            with self._lock:
                return action()
        except sqlite3.DatabaseError as error:
            if "not a database" in str(error):
                raise InvalidInput(f"{self._path} is no journal: give another file.") from error
            raise JournalFailed(
                f"The journal {self._path} cannot be used: {error}. What it holds is kept: make room, and "
                "run it again."
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
