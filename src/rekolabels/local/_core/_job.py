"""Jobs: work that the service does after it has answered a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = ["Interrupted", "Job", "JobKind", "delete_job", "insert_job"]

JobKind = Literal[
    "project.create",
    "project.delete",
    "dataset.create",
    "dataset.update",
    "dataset.delete",
    "version.train",
    "version.start",
    "version.stop",
    "version.delete",
    "version.copy",
    "media.run",
]


class Interrupted(Exception):
    """The service is closing: the job ends here and its resource is recovered."""


@attrs.frozen
class Job:
    """One piece of work on one resource, as its row in the store."""

    id: int
    kind: JobKind
    arn: str
    """ARN of the resource; the job's ID for a media analysis job."""


def insert_job(db: Connection, kind: JobKind, arn: str, owner: str) -> Job:
    """Store a job under the name of its owner's lock."""
    cursor = db.execute("INSERT INTO jobs (kind, arn, owner) VALUES (?, ?, ?)", (kind, arn, owner))
    return Job(id=cursor.lastrowid or 0, kind=kind, arn=arn)


def delete_job(db: Connection, job: Job) -> None:
    """Remove a job that has ended."""
    db.execute("DELETE FROM jobs WHERE id = ?", (job.id,))
