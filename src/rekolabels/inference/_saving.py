"""Outcomes into files, as they come."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rekolabels.descriptions import S3Location
from rekolabels.errors import InvalidInput

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from rekolabels.inference._many import Outcome

__all__ = ["save_outcomes"]

_COLUMNS = ("image", "label", "confidence", "left", "top", "width", "height", "error")


def save_outcomes(outcomes: Iterable[Outcome], target: str | os.PathLike[str]) -> int:
    """Write outcomes to a file, each as soon as it is there, and return how many there were.

    Args:
        outcomes: What ``detect_many`` yields.
        target: A ``.jsonl`` file, with an object for each image; or a ``.csv`` file, with a row for each
            detection, and one with empty columns for an image without any.

    Raises:
        InvalidInput: Another ending.
    """
    path = Path(target)
    if path.suffix == ".jsonl":
        with path.open("w", encoding="utf-8") as file:
            return sum(_write_line(file, outcome) for outcome in outcomes)
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer: csv.DictWriter[str] = csv.DictWriter(file, _COLUMNS)
            writer.writeheader()
            return sum(_write_rows(writer, outcome) for outcome in outcomes)
    raise InvalidInput(f"{path}: outcomes are written to .jsonl or .csv files.")


def _write_line(file: Any, outcome: Outcome) -> int:
    file.write(
        json.dumps(
            {
                "image": _image(outcome),
                "detections": [_without_none(item) for item in _items(outcome)],
                "error": str(outcome.error) if outcome.error else None,
            },
            ensure_ascii=False,
        )
        + "\n"
    )
    return 1


def _write_rows(writer: csv.DictWriter[str], outcome: Outcome) -> int:
    for item in list(_items(outcome)) or [{"error": str(outcome.error) if outcome.error else None}]:
        writer.writerow({"image": _image(outcome), **item})
    return 1


def _items(outcome: Outcome) -> Iterator[dict[str, Any]]:
    for found in outcome.detections:
        box = found.box
        yield {
            "label": found.label,
            "confidence": found.confidence,
            "left": box.left if box else None,
            "top": box.top if box else None,
            "width": box.width if box else None,
            "height": box.height if box else None,
        }


def _without_none(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if value is not None}


def _image(outcome: Outcome) -> str:
    image = outcome.image
    if isinstance(image, bytes):
        return f"{len(image)} bytes"
    return image.uri if isinstance(image, S3Location) else str(getattr(image, "name", image))
