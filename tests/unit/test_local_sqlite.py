"""The pool of connections that both databases of the embedded service use."""

from __future__ import annotations

import os
import sqlite3
import threading
from typing import TYPE_CHECKING

import pytest

from rekolabels.errors import InvalidInput
from rekolabels.local._core._sqlite import Database, DatabaseClosed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STEPS = ["CREATE TABLE dogs (name TEXT PRIMARY KEY)", "ALTER TABLE dogs ADD COLUMN age INTEGER"]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A new file of the second version."""
    made = Database(tmp_path / "dogs.sqlite", STEPS)
    yield made
    made.close()


def add(database: Database, name: str) -> None:
    """Write one row."""
    with database.write() as db:
        db.execute("INSERT INTO dogs (name) VALUES (?)", (name,))


def names(database: Database) -> list[str]:
    """Read all rows."""
    with database.read() as db:
        return [row["name"] for row in db.execute("SELECT name FROM dogs ORDER BY name")]


def test_an_older_file_gets_what_is_new(tmp_path: Path) -> None:
    """Each step is taken once, and what was there stays."""
    first = Database(tmp_path / "dogs.sqlite", STEPS[:1])
    add(first, "rex")
    first.close()
    second = Database(tmp_path / "dogs.sqlite", STEPS)
    with second.read() as db:
        assert tuple(db.execute("SELECT name, age FROM dogs").fetchone()) == ("rex", None)
    second.close()
    with pytest.raises(
        InvalidInput, match=r"newer version of rekolabels: its schema has version 2.*versions up to 1"
    ):
        Database(tmp_path / "dogs.sqlite", STEPS[:1])


def test_a_write_is_whole_or_not_at_all(database: Database) -> None:
    """An exception undoes the block, and the next one works."""

    def add_twice() -> None:
        with database.write() as db:
            db.execute("INSERT INTO dogs (name) VALUES ('rex')")
            db.execute("INSERT INTO dogs (name) VALUES ('rex')")

    with pytest.raises(sqlite3.IntegrityError):
        add_twice()
    assert names(database) == []
    add(database, "rex")
    assert names(database) == ["rex"]


def test_a_read_sees_one_state(database: Database) -> None:
    """What is written meanwhile is seen by the next one."""
    with database.read() as db:
        before = db.execute("SELECT count(*) FROM dogs").fetchone()[0]
        add(database, "rex")
        assert db.execute("SELECT count(*) FROM dogs").fetchone()[0] == before == 0
    assert names(database) == ["rex"]


def test_threads_write_in_turn(database: Database) -> None:
    """Nothing is lost, and nobody is told that the file is locked."""

    def add_some(first: int) -> None:
        for number in range(25):
            add(database, f"{first}-{number}")

    threads = [threading.Thread(target=add_some, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(database)) == 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_connections_of_its_own(database: Database) -> None:
    """SQLite forbids to carry one across a fork; parent and child both go on."""
    add(database, "parent")
    child = os.fork()
    if child == 0:
        try:
            add(database, "child")
        finally:
            os._exit(0 if names(database) == ["child", "parent"] else 1)
    assert os.waitpid(child, 0)[1] == 0
    add(database, "again")
    assert names(database) == ["again", "child", "parent"]


def test_a_closed_database_says_so(database: Database) -> None:
    """A block that is open comes to its end; no new one begins."""
    with database.read() as db:
        database.close()
        assert db.execute("SELECT count(*) FROM dogs").fetchone()[0] == 0
    with pytest.raises(DatabaseClosed):
        names(database)
    with pytest.raises(DatabaseClosed):
        add(database, "rex")
