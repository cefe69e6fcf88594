"""Rollback journals of SQLite that came from elsewhere."""

from __future__ import annotations

import os
from typing import IO

__all__ = ["names_another_file"]

_MAGIC = bytes.fromhex("d9d505f920a163d7")


def names_another_file(journal: IO[bytes]) -> bool:
    """Return whether a rollback journal names a super-journal, a file that SQLite would delete.

    SQLite plays the journal back when it next opens the database, and deletes that file, wherever it is. Only
    transactions over several databases write such journals; none of ours does.
    """
    journal.seek(max(0, journal.seek(0, os.SEEK_END) - len(_MAGIC)))
    return journal.read() == _MAGIC
