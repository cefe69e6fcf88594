"""Files that are written on a full disk: the file of yesterday stays, and the error is ours."""

from __future__ import annotations

import csv
import errno
import json
import os
import resource
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evaluations import detector
from rekolabels import Box, Detection
from rekolabels.errors import InvalidInput
from rekolabels.formats import write_coco, write_csv, write_yolo
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.inference import Outcome, save_outcomes
from rekolabels.manifest import write_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


IMAGES = [
    LabelledImage(
        f"s3://bucket/{number:05}.png", boxes=[BoundingBox("dog", 1, 2, 3, 4)], size=ImageSize(10, 10)
    )
    for number in range(3000)
]
OUTCOMES: list[Outcome[Any]] = [
    Outcome(f"{number:05}.png", (Detection("dog", 50.0 + number / 100, Box(0.1, 0.2, 0.3, 0.4)),))
    for number in range(3000)
]


@contextmanager
def full_disk(size: int = 2_000) -> Iterator[None]:
    """Limit the size of the files that this process writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


WRITERS: dict[str, Callable[[Path], object]] = {
    "found.jsonl": lambda path: save_outcomes(OUTCOMES, path),
    "found.csv": lambda path: save_outcomes(OUTCOMES, path),
    "found.parquet": lambda path: save_outcomes(OUTCOMES, path),
    "train.manifest": lambda path: write_manifest(IMAGES, path),
    "labels.csv": lambda path: write_csv(IMAGES, path),
    "labels.json": lambda path: write_coco(IMAGES, path),
    "evaluation.html": lambda path: detector().save(path),
    "evaluation.json": lambda path: detector().save(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_keeps_the_file_of_yesterday(tmp_path: Path, name: str) -> None:
    """The error names the file; only lines of outcomes that were paid for stay beside it."""
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="needs the extra parquet")
    path = tmp_path / name
    path.write_bytes(b"yesterday")
    size = 200 if name.startswith("evaluation") else 2_000
    with full_disk(size), pytest.raises(InvalidInput, match="Cannot be written: File too large") as caught:
        WRITERS[name](path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"yesterday"
    left = [found.name for found in tmp_path.iterdir() if found != path]
    if name in {"found.jsonl", "found.csv"}:
        assert left == [f"{name}.part"]
        assert str(tmp_path / left[0]) in str(caught.value)
        assert (tmp_path / left[0]).stat().st_size > 1000
    else:
        assert left == []


def test_what_a_full_disk_left_is_replaced_by_the_next_run(tmp_path: Path) -> None:
    """The next run writes the whole file."""
    path = tmp_path / "found.jsonl"
    with full_disk(), pytest.raises(InvalidInput):
        save_outcomes(OUTCOMES, path)
    assert save_outcomes(OUTCOMES, path) == len(OUTCOMES)
    assert [found.name for found in tmp_path.iterdir()] == ["found.jsonl"]


@pytest.mark.parametrize(
    "name", ["found.jsonl", "found.csv", "found.parquet", "train.manifest", "labels.csv"]
)
def test_a_folder_that_does_not_exist(tmp_path: Path, name: str) -> None:
    """The error is ours."""
    with pytest.raises(InvalidInput, match="Cannot be written: No such file"):
        WRITERS[name](tmp_path / "nowhere" / name)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_folder_that_is_not_writable(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to do: in a container or a Lambda function, most folders are read-only."""

    def refuse(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "open", refuse)
    path = tmp_path / "labels.csv"
    with pytest.raises(InvalidInput) as caught:
        write_csv(IMAGES[:1], path, boxes=True)
    reason = os.strerror(code)
    assert str(caught.value) == f"{path}: Cannot be written: {reason}. Choose a folder that you can write to."


def test_folders_of_many_files(tmp_path: Path) -> None:
    """A writer of one file for each image has errors of ours, too."""
    write_yolo(IMAGES[:3], tmp_path / "yolo")
    with full_disk(5), pytest.raises(InvalidInput, match="Cannot be written"):
        write_yolo(IMAGES[:3], tmp_path / "yolo")
    assert not [path for path in (tmp_path / "yolo").rglob("*") if "part" in path.name]


def test_links_and_permissions_are_kept(tmp_path: Path) -> None:
    """What a link points to is replaced, a private file stays private, and a planted link is not followed."""
    target, link = tmp_path / "target.jsonl", tmp_path / "link.jsonl"
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    target.touch(0o600)
    link.symlink_to(target)
    (tmp_path / "target.jsonl.part").symlink_to(victim)
    save_outcomes(OUTCOMES[:1], link)
    assert link.is_symlink()
    assert json.loads(target.read_text())["image"] == "00000.png"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert victim.read_text() == "untouched"


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    """A quotation mark is put before texts that a spreadsheet would run; it can be removed again."""
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "'quoted'", "dog", ""]
    path = tmp_path / "found.csv"
    save_outcomes([Outcome(text, (Detection(text, 50.0),)) for text in texts], path)
    with path.open(encoding="utf-8", newline="") as file:
        cells = [(row["image"], row["label"]) for row in csv.DictReader(file)]
    assert [image for image, _ in cells] == [label for _, label in cells]
    for (cell, _), text in zip(cells, texts, strict=True):
        assert cell[:1] not in set("=+-@\t\r")
        assert text in {cell, cell[1:]}
    assert [cell for cell, _ in cells[-3:]] == ["'quoted'", "dog", ""]


def test_outcomes_have_whole_paths(tmp_path: Path) -> None:
    """Images of the same name in two folders are told apart."""
    path = tmp_path / "found.jsonl"
    save_outcomes([Outcome(tmp_path / "a" / "1.png"), Outcome(tmp_path / "b" / "1.png")], path)
    found = [json.loads(line)["image"] for line in path.read_text(encoding="utf-8").splitlines()]
    assert found == [os.fspath(tmp_path / "a" / "1.png"), os.fspath(tmp_path / "b" / "1.png")]


@pytest.mark.parametrize("name", WRITERS)
def test_a_pipe_is_written_to_and_not_replaced(name: str, tmp_path: Path) -> None:
    """Like ``/dev/stdout``, also when a link leads to it: whoever reads it gets the whole file."""
    WRITERS[name](tmp_path / name)
    pipe = tmp_path / f"pipe{Path(name).suffix}"
    os.mkfifo(tmp_path / "fifo")
    pipe.symlink_to(tmp_path / "fifo")
    with ThreadPoolExecutor(1) as threads:
        content = threads.submit((tmp_path / "fifo").read_bytes)
        WRITERS[name](pipe)
        assert len(content.result(20)) == (tmp_path / name).stat().st_size
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["fifo", pipe.name, name])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs this device")
def test_a_device_that_is_full() -> None:
    """The error names it."""
    with pytest.raises(InvalidInput, match="/dev/full: Cannot be written: No space left on device"):
        write_csv(IMAGES, "/dev/full")
