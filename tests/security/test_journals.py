"""Journals that are damaged or belong to another program, and images with names that are not UTF-8."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import struct
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from sdk_backends import write_folder

from rekolabels import RetryPolicy, errors
from rekolabels.formats import read_folder
from rekolabels.images import LabelledImage
from rekolabels.inference import save_outcomes
from rekolabels.local import LocalService
from sdk_handles import client_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rekolabels import ModelVersion

QUICK = RetryPolicy(first_poll=0.01, max_poll=0.05, first_delay=0.001)


@pytest.fixture(scope="module")
def image_paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Some images."""
    return sorted(write_folder(tmp_path_factory.mktemp("images")).rglob("*.png"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, image_paths: list[Path]) -> Iterator[ModelVersion]:
    """A running model."""
    with LocalService(tmp_path_factory.mktemp("journals"), engine="tiny") as service:
        project = service.client(bucket="journals", retry=QUICK).create_project("journals")
        project.create_datasets(read_folder(image_paths[0].parents[1]))
        made = project.train("v1")
        made.wait_until_trained()
        made.start()
        made.wait_until_running()
        yield made


@pytest.fixture
def odd_names(image_paths: list[Path], tmp_path: Path) -> list[str]:
    """Copies of three images with names in Latin-1, and with one that looks like an escape."""
    names = [os.fsencode(tmp_path) + name for name in (b"/caf\xe9.png", b"/caf\xe8.png", b"/caf\\udce9.png")]
    for name, path in zip(names, image_paths, strict=False):
        os.link(path, name)
    return [os.fsdecode(name) for name in names]


def calls_of(model: ModelVersion) -> list[str]:
    """Return a list that grows with each call."""
    calls: list[str] = []
    events: Any = model._connection.rekognition.client.meta.events
    events.register("before-call.rekognition.DetectCustomLabels", lambda **_: calls.append("call"))
    return calls


def test_names_that_are_not_utf8_are_journalled(
    model: ModelVersion, odd_names: list[str], tmp_path: Path
) -> None:
    """All are answered, and not requested again; an error of such an image can be printed."""
    images = [*odd_names, odd_names[0] + ".missing"]
    first = list(model.detect_many(images, journal=tmp_path / "journal"))
    assert [type(outcome.error) for outcome in first] == [type(None)] * 3 + [errors.InvalidImage]
    assert str(first[3].error).encode()
    calls = calls_of(model)
    again = list(model.detect_many(images, journal=tmp_path / "journal"))
    assert again[:3] == first[:3]
    assert calls == []


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_names_that_are_not_utf8_are_saved(
    model: ModelVersion, odd_names: list[str], tmp_path: Path, ending: str
) -> None:
    """JSON Lines has exactly the names; the other formats have escapes, and every row."""
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="needs the extra parquet")
    target = tmp_path / f"found.{ending}"
    assert save_outcomes(model.detect_many([*odd_names, odd_names[0] + "x"]), target) == 4
    if ending == "jsonl":
        found = [json.loads(line)["image"] for line in target.read_text(encoding="utf-8").splitlines()]
        assert found == [*odd_names, odd_names[0] + "x"]
    elif ending == "csv":
        with target.open(encoding="utf-8", newline="") as file:
            assert len(list(csv.DictReader(file))) == 4


def test_a_journal_with_such_a_name(model: ModelVersion, image_paths: list[Path], tmp_path: Path) -> None:
    """It works as any other, and its errors can be printed."""
    journal = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.db")
    list(model.detect_many(image_paths[:1], journal=journal))
    with pytest.raises(errors.InvalidInput, match="another run") as caught:
        list(model.detect_many(image_paths[:1], journal=journal, max_results=1))
    assert str(caught.value).encode()
    with pytest.raises(errors.RekolabelsError, match=r"journal is .*; expected the path of a file"):
        list(model.detect_many(image_paths[:1], journal=tmp_path / "null\0"))


def test_datasets_of_images_with_such_names(
    model: ModelVersion, image_paths: list[Path], odd_names: list[str]
) -> None:
    """The images are uploaded and listed, each under a name of its own."""
    project = client_of(model).create_project("odd-names")
    labels = [path.parent.name for path in image_paths]
    images = map(LabelledImage, [*odd_names, *map(str, image_paths[3:])], [[label] for label in labels])
    datasets = project.create_datasets(images)
    entries = [entry.source for dataset in datasets for entry in dataset.entries()]
    assert len(set(entries)) == len(image_paths)
    assert sum("/caf" in entry for entry in entries) == 3
    assert all(entry.encode() for entry in entries)


DAMAGES: list[Any] = [
    "not JSON",
    "null",
    "5",
    '"text"',
    "[5]",
    "[[1, 2]]",
    "[[1, 2, 3]]",
    '[["a", "b", null]]',
    '[["a", true, null]]',
    '[["a", 5, [1, 2]]]',
    '[["a", 5, [1, 2, 3, "4"]]]',
    '[["a", 5, 7]]',
    '{"a": 1}',
    "[" * 100_000,
    b"\xff\xfe\x00",
    b"",
    7,
    1e300,
    "9" * 5000,
]


def test_damaged_answers_are_requested_again(
    model: ModelVersion, image_paths: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No image is without its answer, whatever another program wrote into the rows; a warning names them."""
    copies = [tmp_path / f"{number}.png" for number in range(len(DAMAGES) + 1)]
    for copy in copies:
        os.link(image_paths[0], copy)
    journal = tmp_path / "journal"
    expected = list(model.detect_many(copies, journal=journal))
    with closing(sqlite3.connect(journal)) as db, db:
        for copy, damage in zip(copies, DAMAGES, strict=False):
            db.execute("UPDATE answers SET detections = ? WHERE image = ?", (damage, str(copy)))
    calls = calls_of(model)
    assert list(model.detect_many(copies, journal=journal)) == expected
    assert len(calls) == len(DAMAGES)
    assert f"The answer for {copies[0]} in the journal {journal} is damaged" in caplog.text
    assert list(model.detect_many(copies, journal=journal)) == expected
    assert len(calls) == len(DAMAGES)


def test_a_damaged_file_gives_our_errors(
    model: ModelVersion, image_paths: list[Path], tmp_path: Path
) -> None:
    """Bytes of the file are overwritten; outcomes have errors of ours, or the run ends by one."""
    journal = tmp_path / "journal"
    list(model.detect_many(image_paths, journal=journal))
    whole = journal.read_bytes()
    for begin in range(0, len(whole), 997):
        journal.write_bytes(whole[:begin] + b"\xa5" * 300 + whole[begin + 300 :])
        try:
            outcomes = list(model.detect_many(image_paths, journal=journal))
        except errors.RekolabelsError:
            continue
        finally:
            for left in tmp_path.glob("journal-*"):
                left.unlink()
        assert [outcome.image for outcome in outcomes] == image_paths


FOREIGN = [
    ["CREATE TABLE bookmarks (id, url)", "INSERT INTO bookmarks VALUES (1, 'x')"],
    ["CREATE TABLE run (name, value)", "CREATE TABLE other (a)"],
    ["CREATE TABLE answers (image, detections, more)"],
    ["PRAGMA user_version = 7"],
    ["PRAGMA application_id = 1234"],
    ["PRAGMA journal_mode = WAL", "CREATE TABLE bookmarks (id, url)"],
]


@pytest.mark.parametrize("statements", FOREIGN)
def test_the_database_of_another_program_is_refused_untouched(
    model: ModelVersion, image_paths: list[Path], tmp_path: Path, statements: list[str]
) -> None:
    """Not a byte of it changes, and no file is made beside it."""
    path = tmp_path / "places.sqlite"
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(errors.InvalidInput, match=r"places\.sqlite is the SQLite file of another program"):
        list(model.detect_many(image_paths, journal=path))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def names_a_victim(rollback: Path, database: Path, victim: Path) -> None:
    """Its end names a "super-journal", which SQLite removes after it has played the file back.

    The format is described at https://www.sqlite.org/fileformat2.html#the_rollback_journal; the end is the
    number of an unused page, the name, its length and checksum, and the magic number.
    """
    with closing(sqlite3.connect(f"{database.as_uri()}?immutable=1", uri=True)) as db:
        (page_size,) = db.execute("PRAGMA page_size").fetchone()
        (pages,) = db.execute("PRAGMA page_count").fetchone()
    magic = bytes.fromhex("d9d505f920a163d7")
    header = magic + struct.pack(">IIIII", 0, 1, pages, 512, page_size)
    name = os.fsencode(victim)
    locked_page = (1 << 30) // page_size + 1
    end = struct.pack(">I", locked_page) + name + struct.pack(">II", len(name), sum(name)) + magic
    rollback.write_bytes(header.ljust(512, b"\0") + end)


def is_a_link(rollback: Path, database: Path, victim: Path) -> None:
    """The same, through a link."""
    names_a_victim(rollback.with_name("elsewhere"), database, victim)
    rollback.symlink_to(rollback.with_name("elsewhere"))


def is_a_pipe(rollback: Path, _database: Path, _victim: Path) -> None:
    """Opening it would wait for ever."""
    os.mkfifo(rollback)


@pytest.mark.skipif(os.name == "nt", reason="needs links and pipes")
@pytest.mark.parametrize("used", ["from-elsewhere/journal", "link"])
@pytest.mark.parametrize("attack", [names_a_victim, is_a_link, is_a_pipe])
def test_a_hostile_file_beside_the_journal_is_refused(
    model: ModelVersion,
    image_paths: list[Path],
    tmp_path: Path,
    attack: Callable[[Path, Path, Path], None],
    used: str,
) -> None:
    """A journal and its ``-journal`` came from elsewhere: no other file is deleted, and nothing hangs."""
    folder = tmp_path / "from-elsewhere"
    folder.mkdir()
    journal, victim = folder / "journal", tmp_path / "diary.txt"
    victim.write_text("precious", encoding="utf-8")
    list(model.detect_many(image_paths, journal=journal))
    attack(folder / "journal-journal", journal, victim)
    (tmp_path / "link").symlink_to(journal)
    calls = calls_of(model)
    with pytest.raises(errors.InvalidInput, match="journal-journal beside it"):
        list(model.detect_many(image_paths, journal=tmp_path / used))
    assert victim.read_text(encoding="utf-8") == "precious"
    assert calls == []
    (folder / "journal-journal").unlink()
    assert len(list(model.detect_many(image_paths, journal=tmp_path / used))) == len(image_paths)
    assert calls == []
