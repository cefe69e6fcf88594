"""Store of the control plane: the tables of a workspace, in one SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rekolabels.local._core._sqlite import Database

if TYPE_CHECKING:
    from pathlib import Path
    from sqlite3 import Connection

__all__ = ["Store"]

_SCHEMA_1 = """
CREATE TABLE clock (last INTEGER NOT NULL);
INSERT INTO clock VALUES (0);

CREATE TABLE projects (
    arn TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    status TEXT NOT NULL,
    feature TEXT NOT NULL,
    auto_update TEXT,
    UNIQUE (account, region, name)
);

CREATE TABLE datasets (
    id INTEGER PRIMARY KEY,
    arn TEXT NOT NULL UNIQUE,
    project TEXT NOT NULL REFERENCES projects (arn),
    kind TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    status TEXT NOT NULL,
    message TEXT NOT NULL DEFAULT '',
    code TEXT,
    total INTEGER NOT NULL DEFAULT 0,
    labelled INTEGER NOT NULL DEFAULT 0,
    labels INTEGER NOT NULL DEFAULT 0,
    errors INTEGER NOT NULL DEFAULT 0,
    UNIQUE (project, kind)
);

CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    dataset INTEGER NOT NULL,
    source_ref TEXT NOT NULL,
    line TEXT NOT NULL,
    labelled INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    UNIQUE (dataset, source_ref)
);
CREATE INDEX entries_in_order ON entries (dataset, id);

CREATE TABLE entry_labels (
    dataset INTEGER NOT NULL,
    label TEXT NOT NULL,
    entry INTEGER NOT NULL,
    boxed INTEGER NOT NULL,
    PRIMARY KEY (dataset, label, entry)
) WITHOUT ROWID;
CREATE INDEX labels_of_entry ON entry_labels (entry);

CREATE TABLE versions (
    arn TEXT PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE,
    project TEXT NOT NULL REFERENCES projects (arn),
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    ended INTEGER,
    status TEXT NOT NULL,
    message TEXT NOT NULL DEFAULT '',
    min_units INTEGER,
    max_units INTEGER,
    billable INTEGER,
    request TEXT NOT NULL,
    results TEXT NOT NULL DEFAULT '{}',
    UNIQUE (project, name)
);

CREATE TABLE tags (
    arn TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (arn, name)
) WITHOUT ROWID;

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    arn TEXT NOT NULL,
    owner TEXT NOT NULL
);
"""

_SCHEMA_2 = """
CREATE TABLE policies (
    project TEXT NOT NULL REFERENCES projects (arn) ON DELETE CASCADE,
    name TEXT NOT NULL,
    revision TEXT NOT NULL,
    document TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (project, name)
) WITHOUT ROWID;

CREATE TABLE media_jobs (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    created INTEGER NOT NULL,
    ended INTEGER,
    status TEXT NOT NULL,
    token TEXT,
    request TEXT NOT NULL,
    results TEXT NOT NULL DEFAULT '{}',
    UNIQUE (account, region, token)
);
"""

_SCHEMA_3 = """
ALTER TABLE entry_labels ADD COLUMN position INTEGER NOT NULL DEFAULT 0
"""

_MIGRATIONS = (_SCHEMA_1, _SCHEMA_2, _SCHEMA_3)
"""The statements of each schema version. To change the tables, append one; never change a released one."""


class Store(Database):
    """The projects, datasets, versions, policies, tags and jobs of a workspace.

    Args:
        path: The database file; created when missing.

    Raises:
        InvalidInput: The file is not a database, is from a newer version of rekolabels, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, _MIGRATIONS)

    def next_timestamp(self, db: Connection, now: float) -> int:
        """Return the time in milliseconds since 1970, always increasing: it makes ARNs unique.

        Args:
            db: A write transaction.
            now: Seconds since 1970.
        """
        (last,) = db.execute(
            "UPDATE clock SET last = max(last + 1, ?) RETURNING last", (int(now * 1000),)
        ).fetchone()
        return int(last)
