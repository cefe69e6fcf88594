"""``save_outcomes``: outcomes of ``detect_many`` written to JSON Lines, CSV and Parquet files."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, TextIO, cast

from rekolabels._arguments import check_instance, check_path, invalid
from rekolabels._files import escape_surrogates, replacing, without_formula
from rekolabels.descriptions import S3Location
from rekolabels.errors import InvalidInput, MissingExtra
from rekolabels.inference._many import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

__all__ = ["save_outcomes"]

_COLUMNS = ("image", "label", "confidence", "left", "top", "width", "height", "error")
_TEXT_COLUMNS = frozenset({"image", "label", "error"})
_ROWS_PER_GROUP = 10_000


def save_outcomes(outcomes: Iterable[Outcome[Any]], target: str | os.PathLike[str]) -> int:
    r"""Write outcomes to a file as they arrive, and return their number.

    The file is written beside the target, and replaces it when the outcomes end, with or without an error.
    Until then, and if the disk is full, the file of an earlier run stays as it is. JSON Lines and CSV are
    written line by line to ``<target>.part``: a process that is killed leaves all lines written so far there.
    A Parquet file is not readable before it is complete. With the journal of ``detect_many`` the next run
    writes the file without requesting an image twice.

    In CSV files, a quotation mark (``'``) is put before texts that a spreadsheet would run as a formula:
    those that begin with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return. Bytes of file names that are
    not UTF-8 are written as escapes, such as ``\udce9``; in JSON Lines they are read back unchanged.

    Args:
        outcomes: The outcomes of ``detect_many``.
        target: A ``.jsonl`` file, with an object for each image; its detections are those of
            :meth:`Detection.to_dict <rekolabels.Detection.to_dict>`. Or a ``.csv`` or ``.parquet`` file, with
            a row for each detection, and a row with empty columns for an image without detections.

    Returns:
        The number of outcomes.

    Raises:
        InvalidInput: The file extension is not supported, the file cannot be written, or a value is not an
            outcome; what was written before it stays.
        MissingExtra: pyarrow is needed and not installed.
    """
    path = check_path("target", target, "the path of a .jsonl, .csv or .parquet file")
    given = _check_outcomes(outcomes)
    if path.suffix == ".jsonl":
        with _lines(path) as file:
            return sum(_write_line(file, outcome) for outcome in given)
    if path.suffix == ".csv":
        with _lines(path) as file:
            writer: csv.DictWriter[str] = csv.DictWriter(file, _COLUMNS)
            writer.writeheader()
            return sum(_write_rows(writer, outcome) for outcome in given)
    if path.suffix == ".parquet":
        with _parquet(path) as write_group:
            return _write_groups(write_group, given)
    raise InvalidInput(f"Cannot write outcomes to {path}; expected a .jsonl, .csv or .parquet file.")


def _check_outcomes(outcomes: object) -> Iterator[Outcome[Any]]:
    """Return the outcomes, each of which is checked as it arrives."""
    given = outcomes
    expected, fix = "the outcomes of detect_many", "Use `save_outcomes(model.detect_many(images), target)`."
    if isinstance(outcomes, (str, bytes, Mapping, Outcome)) or not isinstance(outcomes, Iterable):
        raise invalid("outcomes", given, expected, fix)
    return _each_checked(cast("Iterable[object]", outcomes), expected, fix)


def _each_checked(outcomes: Iterable[object], expected: str, fix: str) -> Iterator[Outcome[Any]]:
    for outcome in outcomes:
        check_instance("An outcome", outcome, Outcome, expected, fix)
        yield cast("Outcome[Any]", outcome)


@contextmanager
def _lines(path: Path) -> Generator[TextIO]:
    """Open a text file that other processes can read line by line, and rename it at the end."""
    with replacing(path, is_stream=True, keep_part=True) as raw:
        # In JSON, the escapes of backslashreplace are those of JSON.
        file = io.TextIOWrapper(raw, "utf-8", errors="backslashreplace", newline="", line_buffering=True)
        try:
            yield file
        finally:
            file.detach()


@contextmanager
def _parquet(path: Path) -> Generator[Callable[[list[dict[str, Any]]], None]]:
    """Open a Parquet file for groups of rows, and rename it to its final name at the end."""
    try:
        pa: Any = import_module("pyarrow")
        pq: Any = import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtra("parquet", "Writing Parquet") from error
    schema = pa.schema([(name, pa.string() if name in _TEXT_COLUMNS else pa.float64()) for name in _COLUMNS])

    def write(rows: list[dict[str, Any]]) -> None:
        escaped = [{name: _escaped(value) for name, value in row.items()} for row in rows]
        writer.write_table(pa.Table.from_pylist(escaped, schema))

    with replacing(path, is_stream=True) as file, pq.ParquetWriter(file, schema) as writer:
        yield write


def _write_groups(write: Callable[[list[dict[str, Any]]], None], outcomes: Iterable[Outcome[Any]]) -> int:
    """Write rows in groups, including the last group if the outcomes are interrupted."""
    count = 0
    rows: list[dict[str, Any]] = []
    try:
        for outcome in outcomes:
            count += 1
            rows.extend(_rows(outcome))
            if len(rows) >= _ROWS_PER_GROUP:
                write(rows)
                rows = []
    finally:
        write(rows)
    return count


def _write_line(file: Any, outcome: Outcome[Any]) -> int:
    file.write(
        json.dumps(
            {
                "image": _image(outcome),
                "detections": [detection.to_dict() for detection in outcome.detections],
                "error": str(outcome.error) if outcome.error else None,
            },
            ensure_ascii=False,
        )
        + "\n"
    )
    return 1


def _write_rows(writer: csv.DictWriter[str], outcome: Outcome[Any]) -> int:
    rows = _rows(outcome)
    for row in rows:
        for name in _TEXT_COLUMNS & row.keys():
            if row[name]:
                row[name] = without_formula(row[name])
    writer.writerows(rows)
    return 1


def _rows(outcome: Outcome[Any]) -> list[dict[str, Any]]:
    items = list(_items(outcome)) or [{"error": str(outcome.error) if outcome.error else None}]
    return [{"image": _image(outcome), **item} for item in items]


def _items(outcome: Outcome[Any]) -> Iterator[dict[str, Any]]:
    for detection in outcome.detections:
        box = detection.box
        yield {
            "label": detection.label,
            "confidence": detection.confidence,
            "left": box.left if box else None,
            "top": box.top if box else None,
            "width": box.width if box else None,
            "height": box.height if box else None,
        }


def _escaped(value: object) -> object:
    return escape_surrogates(value) if isinstance(value, str) else value


def _image(outcome: Outcome[Any]) -> str:
    image = outcome.image
    if isinstance(image, bytes):
        return f"{len(image)} bytes"
    if isinstance(image, os.PathLike):
        return os.fsdecode(cast("os.PathLike[str]", image))
    return image.uri if isinstance(image, S3Location) else str(getattr(image, "name", image))
