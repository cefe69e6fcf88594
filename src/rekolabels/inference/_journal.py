"""Journal of ``detect_many``: keeps answers, so that no image is requested, and billed, twice."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from rekolabels._files import escape_surrogates, names_another_file, open_private, printable_name
from rekolabels.descriptions import Box, Detection, S3Location
from rekolabels.errors import InvalidInput, JournalFailed, RekolabelsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Self

    from rekolabels.inference._image import ImageSource

__all__ = ["Journal"]

R = TypeVar("R")

_log = logging.getLogger("rekolabels")

_LOCK_TIMEOUT = 5.0
"""Seconds to wait for another run to close the file."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS run (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (image TEXT PRIMARY KEY, detections TEXT NOT NULL) WITHOUT ROWID;
"""


_TABLES = {"run": ("name", "value"), "answers": ("image", "detections")}
"""Columns of the tables of a journal."""


class Journal:
    """Answers by image in an SQLite file. A context manager; one run at a time can open a file.

    Args:
        path: The file; created if it does not exist.
        run: What the answers depend on, by name: the model and the parameters.
    """

    def __init__(self, path: str | os.PathLike[str], run: Mapping[str, str]) -> None:
        self._path = Path(path)
        self._run = run
        self._lock = threading.Lock()
        self._unsaved = 0
        self._last_error: RekolabelsError | None = None

    def __enter__(self) -> Self:
        """Open the file.

        Raises:
            InvalidInput: The file belongs to another run, is not a journal, or has a file of SQLite beside it
                that cannot be trusted.
            JournalFailed: The file cannot be written, or another run has it open.
        """
        self._run_sql(self._require_safe_rollback)
        self._run_sql(self._require_journal)
        self._db = self._run_sql(
            lambda: sqlite3.connect(self._path, timeout=_LOCK_TIMEOUT, check_same_thread=False)
        )
        try:
            self._run_sql(self._open)
        except BaseException:
            self._db.close()
            raise
        return self

    def _require_safe_rollback(self) -> None:
        """Reject a file beside the journal by which SQLite would delete another one."""
        # SQLite resolves links in the name of a database before it adds the ending.
        rollback = Path(f"{os.path.realpath(self._path)}-journal")
        try:
            with open_private(rollback, "rb") as file:
                if not names_another_file(file):
                    return
            problem = "would make SQLite delete another file"
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:  # a link, a pipe, or no permission
            problem = f"cannot be read ({error.strerror or error})"
        raise InvalidInput(
            f"Cannot use the journal {printable_name(self._path)}: {printable_name(rollback)} beside it "
            f"{problem}. Use another journal, or get this one from a source that you trust."
        )

    def _require_journal(self) -> None:
        """Reject the database of another program, without changing its files."""
        try:
            if not self._path.stat().st_size:
                return
        except OSError:
            return  # it does not exist, or opening it will give the reason
        # immutable: neither locks nor recovery
        uri = f"{self._path.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(uri, uri=True)) as db:
            self._require_own_tables(db)

    def _require_own_tables(self, db: sqlite3.Connection) -> None:
        found = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        tables = {
            name: tuple(column for _, column, *_ in db.execute("SELECT * FROM pragma_table_info(?)", (name,)))
            for (name,) in found
        }
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (application,) = db.execute("PRAGMA application_id").fetchone()
        if version or application or any(_TABLES.get(name) != columns for name, columns in tables.items()):
            raise InvalidInput(
                f"{printable_name(self._path)} is the SQLite file of another program, not a journal. Use "
                "another file."
            )

    def _open(self) -> None:
        # EXCLUSIVE: two runs with the same journal would both pay for every image.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._require_own_tables(self._db)  # with what is only in the write-ahead log
        # WAL and NORMAL: a written answer survives the death of the process.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)
        found = dict(self._db.execute("SELECT name, value FROM run"))
        if not found:
            self._db.executemany("INSERT INTO run VALUES (?, ?)", self._run.items())
            self._db.commit()
        elif found != dict(self._run):
            differences = [
                f"{name} was {found.get(name)} and is now {value}"
                for name, value in self._run.items()
                if found.get(name) != value
            ]
            raise InvalidInput(
                f"{printable_name(self._path)} is the journal of another run ({'; '.join(differences)}). Use "
                "another file, or delete this one."
            )

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def answer(self, image: ImageSource) -> tuple[Detection, ...] | None:
        """Return the detections that an earlier run got for an image; None if there is no answer yet.

        Raises:
            InvalidInput: The image has no name to look it up by.
            JournalFailed: The file cannot be read.
        """
        # CAST: sqlite3 itself would refuse a text that is not UTF-8.
        query = "SELECT CAST(detections AS BLOB) FROM answers WHERE image = ?"
        key = _key(image)
        row = self._run_sql(lambda: self._db.execute(query, (key,)).fetchone())
        if row is None:
            return None
        try:
            return tuple(_detection(item) for item in json.loads(row[0]))
        except (ValueError, TypeError, RecursionError):
            _log.warning(
                "The answer for %s in the journal %s is damaged. The image is requested again.",
                escape_surrogates(_name(image)),
                printable_name(self._path),
            )
            return None

    def write(self, image: ImageSource, detections: Iterable[Detection]) -> None:
        """Save an answer. A failure is only counted, because the caller has paid for the answer."""
        values = _key(image), json.dumps([_item(detection) for detection in detections])

        def insert() -> None:
            with self._db:
                self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", values)

        try:
            self._run_sql(insert)
        except RekolabelsError as error:
            if not self._unsaved:
                _log.warning("Could not save an answer in the journal; the run continues. %s", error)
            self._unsaved += 1
            self._last_error = error

    def check(self) -> None:
        """Raise an error if an answer could not be saved.

        Raises:
            JournalFailed: Some answers could not be saved.
        """
        if self._last_error is not None:
            raise JournalFailed(
                f"{self._unsaved:,} answers could not be saved in the journal {printable_name(self._path)}. "
                "They were yielded, but another run would request and pay for them again. Last error: "
                f"{self._last_error}"
            ) from self._last_error

    def _run_sql(self, action: Callable[[], R]) -> R:
        try:
            with self._lock:
                return action()
        except (sqlite3.Error, ValueError) as error:  # ValueError: not a valid file name
            if isinstance(error, RekolabelsError):
                raise
            path = printable_name(self._path)
            if "not a database" in str(error):
                raise InvalidInput(f"{path} is not a journal. Use another file.") from error
            if "locked" in str(error):
                raise JournalFailed(
                    f"The journal {path} is in use by another run. Wait until that run ends, or use "
                    "another file."
                ) from error
            raise JournalFailed(
                f"The journal {path} cannot be used: {error}. The results in it are kept. Check that "
                "its folder exists, is writable and has free space; then run again."
            ) from error


def _key(image: ImageSource) -> str | bytes:
    """Return what identifies an image in the file: its name; bytes if that is not valid Unicode text."""
    name = _name(image)
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogatepass")
    return name


def _name(image: ImageSource) -> str:
    if isinstance(image, S3Location):
        return image.uri
    if isinstance(image, bytes):
        return f"sha256:{hashlib.sha256(image).hexdigest()}"
    if isinstance(image, (str, os.PathLike)):
        return os.fsdecode(cast("str | os.PathLike[str]", image))
    name = getattr(image, "name", None)
    if not isinstance(name, str):
        raise InvalidInput(
            f"A {type(image).__name__} has no name. A journal identifies images by name; expected a path, an "
            "s3:// URI or bytes."
        )
    return name


def _item(detection: Detection) -> list[Any]:
    box = detection.box
    sides = None if box is None else [box.left, box.top, box.width, box.height]
    return [detection.label, detection.confidence, sides]


def _detection(item: Any) -> Detection:
    """Return the detection that ``_item`` wrote.

    Raises:
        ValueError: It is damaged.
        TypeError: The same.
    """
    label, confidence, sides = item
    numbers = [confidence, *(sides or ())]
    if not isinstance(label, str) or not all(type(number) in {int, float} for number in numbers):
        raise ValueError
    return Detection(label, confidence, None if sides is None else Box(*sides))
