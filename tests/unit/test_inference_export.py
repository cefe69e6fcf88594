"""``save_outcomes`` to JSON Lines, CSV and Parquet."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest

from rekolabels import Box, Detection, S3Location
from rekolabels.errors import InvalidImage, InvalidInput
from rekolabels.inference import Outcome, save_outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OUTCOMES: list[Outcome[Any]] = [
    Outcome("a.png", (Detection("x, y", 50.0, Box(0.1, 0.2, 0.3, 0.4)), Detection("z", 40.0))),
    Outcome(S3Location("bucket", "b.png")),
    Outcome("c.png", error=InvalidImage("c.png is empty")),
]
ROWS = [
    ("a.png", "x, y", 50.0, 0.1, 0.2, 0.3, 0.4, None),
    ("a.png", "z", 40.0, None, None, None, None, None),
    ("s3://bucket/b.png", None, None, None, None, None, None, None),
    ("c.png", None, None, None, None, None, None, "c.png is empty"),
]


def interrupted(count: int) -> Iterator[Outcome[str]]:
    """Yield some outcomes, then raise KeyboardInterrupt."""
    yield from (Outcome(f"{number}.png") for number in range(count))
    raise KeyboardInterrupt


def test_json_lines_have_an_object_for_each_image(tmp_path: Path) -> None:
    """Detections are as in ``Detection.to_dict()``."""
    assert save_outcomes(OUTCOMES, tmp_path / "found.jsonl") == 3
    lines = (tmp_path / "found.jsonl").read_text(encoding="utf-8").splitlines()
    first, second, third = map(json.loads, lines)
    place = {"left": 0.1, "top": 0.2, "width": 0.3, "height": 0.4}
    box = {"label": "x, y", "confidence": 50.0, "box": place}
    label = {"label": "z", "confidence": 40.0, "box": None}
    assert first == {"image": "a.png", "detections": [box, label], "error": None}
    assert second == {"image": "s3://bucket/b.png", "detections": [], "error": None}
    assert third == {"image": "c.png", "detections": [], "error": "c.png is empty"}


def test_csv_has_a_row_for_each_detection(tmp_path: Path) -> None:
    """An image without detections has one row too."""
    assert save_outcomes(OUTCOMES, tmp_path / "found.csv") == 3
    with (tmp_path / "found.csv").open(newline="", encoding="utf-8") as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    assert rows == [tuple("" if value is None else str(value) for value in row) for row in ROWS]


def test_parquet_has_the_same_rows_with_types(tmp_path: Path) -> None:
    """Columns are strings or doubles even when empty, and rows are written in groups."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    assert save_outcomes(OUTCOMES, tmp_path / "found.parquet") == 3
    table = parquet.read_table(tmp_path / "found.parquet")
    assert [tuple(row.values()) for row in table.to_pylist()] == ROWS
    assert {field.name: str(field.type) for field in table.schema} == {
        **dict.fromkeys(["image", "label", "error"], "string"),
        **dict.fromkeys(["confidence", "left", "top", "width", "height"], "double"),
    }
    many = (Outcome(f"{number}.png") for number in range(25_000))
    assert save_outcomes(many, tmp_path / "many.parquet") == 25_000
    assert parquet.ParquetFile(tmp_path / "many.parquet").num_row_groups == 3
    assert parquet.read_table(tmp_path / "many.parquet").num_rows == 25_000
    assert save_outcomes([], tmp_path / "none.parquet") == 0
    assert parquet.read_table(tmp_path / "none.parquet").num_rows == 0


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_an_interrupted_run_keeps_its_outcomes(tmp_path: Path, ending: str) -> None:
    """The file is readable after any error, and no other file is left."""
    parquet = (
        pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
        if ending == "parquet"
        else None
    )
    path = tmp_path / f"found.{ending}"
    with pytest.raises(KeyboardInterrupt):
        save_outcomes(interrupted(12_345), path)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    if parquet is not None:
        assert parquet.read_table(path)["image"].to_pylist() == [f"{n}.png" for n in range(12_345)]
    else:
        header = ending == "csv"
        assert len(path.read_text(encoding="utf-8").splitlines()) == 12_345 + header


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_lines_are_flushed_at_once(tmp_path: Path, ending: str) -> None:
    """Other processes see each outcome at once, so that a kill loses none."""
    path, part = tmp_path / f"found.{ending}", tmp_path / f"found.{ending}.part"
    seen: list[int] = []

    def outcomes() -> Iterator[Outcome[str]]:
        for number in range(3):
            yield Outcome(f"{number}.png")
            seen.append(part.read_text(encoding="utf-8").count(".png"))

    save_outcomes(outcomes(), path)
    assert seen == [1, 2, 3]


def test_a_parquet_file_is_replaced_when_the_new_one_is_complete(tmp_path: Path) -> None:
    """Until then the old file stays readable."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    path = tmp_path / "found.parquet"
    save_outcomes(OUTCOMES[:1], path)

    def outcomes() -> Iterator[Outcome[str]]:
        assert parquet.read_table(path).num_rows == 2
        yield Outcome("new.png")

    save_outcomes(outcomes(), path)
    assert parquet.read_table(path)["image"].to_pylist() == ["new.png"]


def test_other_file_extensions_are_rejected(tmp_path: Path) -> None:
    """The error lists the supported ones."""
    with pytest.raises(InvalidInput, match=r"\.jsonl, \.csv or \.parquet"):
        save_outcomes([], tmp_path / "found.xml")
