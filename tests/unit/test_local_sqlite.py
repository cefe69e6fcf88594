"""Connection pool of the embedded service's databases."""

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

MIGRATIONS = ["CREATE TABLE dogs (name TEXT PRIMARY KEY)", "ALTER TABLE dogs ADD COLUMN age INTEGER"]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Create a database with the latest schema."""
    database = Database(tmp_path / "dogs.sqlite", MIGRATIONS)
    yield database
    database.close()


def add(database: Database, name: str) -> None:
    """Insert a row."""
    with database.write() as db:
        db.execute("INSERT INTO dogs (name) VALUES (?)", (name,))


def names(database: Database) -> list[str]:
    """Return the names of all rows."""
    with database.read() as db:
        return [row["name"] for row in db.execute("SELECT name FROM dogs ORDER BY name")]


def test_an_older_file_is_migrated(tmp_path: Path) -> None:
    """Each migration runs once and keeps the data; a file from a newer version is an error."""
    first = Database(tmp_path / "dogs.sqlite", MIGRATIONS[:1])
    add(first, "rex")
    first.close()
    second = Database(tmp_path / "dogs.sqlite", MIGRATIONS)
    with second.read() as db:
        assert tuple(db.execute("SELECT name, age FROM dogs").fetchone()) == ("rex", None)
    second.close()
    with pytest.raises(
        InvalidInput, match=r"newer version of rekolabels: its schema has version 2.*versions up to 1"
    ):
        Database(tmp_path / "dogs.sqlite", MIGRATIONS[:1])


def test_a_write_is_atomic(database: Database) -> None:
    """An exception rolls the block back, and the next block works."""

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
    """A write during a read is visible only to the next read."""
    with database.read() as db:
        before = db.execute("SELECT count(*) FROM dogs").fetchone()[0]
        add(database, "rex")
        assert db.execute("SELECT count(*) FROM dogs").fetchone()[0] == before == 0
    assert names(database) == ["rex"]


def test_threads_write_in_turn(database: Database) -> None:
    """No row is lost, and no thread gets a "database is locked" error."""

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
def test_a_forked_process_opens_its_own_connections(database: Database) -> None:
    """SQLite connections must not be used across a fork; parent and child both keep working."""
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


def test_a_closed_database(database: Database) -> None:
    """A block that is open can finish; a new one is an error."""
    with database.read() as db:
        database.close()
        assert db.execute("SELECT count(*) FROM dogs").fetchone()[0] == 0
    with pytest.raises(DatabaseClosed):
        names(database)
    with pytest.raises(DatabaseClosed):
        add(database, "rex")
