"""What happens to a dataset after the answer: reading manifests, updating, copying, dividing, removing."""

from __future__ import annotations

import logging
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from rekolabels.errors import CannotSplit, InvalidManifest
from rekolabels.local._core._jsonl import read_lines
from rekolabels.local._core._places import object_of
from rekolabels.local._jobs._manifests import (
    DETECTION_LABELS,
    MANIFEST_BYTES,
    DatasetStatistics,
    check_dataset,
    check_line,
    check_raw_line,
    choose_tests,
    entry_of,
    manifest_lines,
    message_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from sqlite3 import Connection

    from rekolabels.local._core._context import Context
    from rekolabels.local._core._job_runner import Job
    from rekolabels.local._jobs._manifests import Entry, LineCheck

__all__ = [
    "clear",
    "copy_dataset",
    "distribute",
    "fill_empty",
    "read_manifest_into",
    "remove_dataset",
    "settle",
    "update_entries",
]

_log = logging.getLogger("rekolabels.local")

_CHUNK = 500


class _Failure(Exception):
    """A terminal error of the content; the dataset fails with its message."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.message = message_of(code)


def read_manifest_into(context: Context, job: Job, place: dict[str, Any]) -> None:
    """The work of CreateDataset with a manifest."""
    try:
        _stream_manifest(context, job, place)
        with context.store.write() as db:
            _check_labels(db, job.arn)
            message = "The dataset was successfully created from the manifest file."
            _succeed(context, db, job, "CREATE_COMPLETE", message)
    except _Failure as failure:
        _fail(context, job, "CREATE", failure)


def copy_dataset(context: Context, job: Job, origin: int) -> None:
    """The work of CreateDataset from another dataset."""
    with context.store.write() as db:
        target = _id(db, job.arn)
        db.execute(
            "INSERT INTO entries (dataset, source_ref, line, labelled, errors) "
            "SELECT ?, source_ref, line, labelled, errors FROM entries WHERE dataset = ? ORDER BY id",
            (target, origin),
        )
        db.execute(
            "INSERT INTO entry_labels (dataset, label, entry, boxed) "
            "SELECT new.dataset, label.label, new.id, label.boxed FROM entries old "
            "JOIN entries new ON new.dataset = ? AND new.source_ref = old.source_ref "
            "JOIN entry_labels label ON label.entry = old.id WHERE old.dataset = ?",
            (target, origin),
        )
        _succeed(
            context, db, job, "CREATE_COMPLETE", "The dataset was successfully created from the dataset."
        )


def fill_empty(context: Context, job: Job) -> None:
    """The work of CreateDataset without a source."""
    with context.store.write() as db:
        _succeed(context, db, job, "CREATE_COMPLETE", "The dataset was successfully created.")


def update_entries(context: Context, job: Job, content: bytes) -> None:
    """The work of UpdateDatasetEntries: replace the entries of the same image, add the others."""
    counts = DatasetStatistics()
    checks = [
        counts.add(check_raw_line(raw, number)) for number, raw in enumerate(read_lines(BytesIO(content)), 1)
    ]
    try:
        _judge(counts)
        with context.store.write() as db:
            dataset = _id(db, job.arn)
            bucket = _bucket_of(db, dataset)
            if bucket is not None and counts.buckets.keys() - {bucket}:
                raise _Failure("ERROR_IMAGES_IN_MULTIPLE_S3_BUCKETS")  # noqa: TRY301 - it ends the transaction
            _put_all(db, dataset, checks)
            _check_count(context, db, dataset)
            _check_labels(db, job.arn)
            _succeed(context, db, job, "UPDATE_COMPLETE", "The dataset was successfully updated.")
    except _Failure as failure:
        _fail(context, job, "UPDATE", failure)


def distribute(context: Context, train: Job, test: Job) -> None:
    """The work of DistributeDatasetEntries: a fifth of the training entries move to the test dataset."""
    with context.store.read() as db:
        rows = db.execute(
            "SELECT id, line FROM entries WHERE dataset = ? ORDER BY id", (_id(db, train.arn),)
        ).fetchall()
    try:
        chosen = choose_tests([check_line(row["line"]).image for row in rows], seed=context.seed)
    except CannotSplit:
        for job in (train, test):
            _fail(context, job, "UPDATE", _Failure("ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_DISTRIBUTE"))
        return
    with context.store.write() as db:
        target = _id(db, test.arn)
        moved = [(target, row["id"]) for index, row in enumerate(rows) if index in chosen]
        db.executemany("UPDATE entries SET dataset = ? WHERE id = ?", moved)
        db.executemany("UPDATE entry_labels SET dataset = ? WHERE entry = ?", moved)
        for job in (train, test):
            message = "The dataset entries were successfully distributed."
            _succeed(context, db, job, "UPDATE_COMPLETE", message)


def settle(db: Connection, arn: str, outcome: tuple[str, str, str], now: int) -> None:
    """Write how an operation ended (status, message, code), with the counts as they are now."""
    dataset = _id(db, arn)
    total, labelled, errors = db.execute(
        "SELECT count(*), coalesce(sum(labelled), 0), coalesce(sum(errors), 0) FROM entries "
        "WHERE dataset = ?",
        (dataset,),
    ).fetchone()
    (labels,) = db.execute(
        "SELECT count(DISTINCT label) FROM entry_labels WHERE dataset = ?", (dataset,)
    ).fetchone()
    db.execute(
        "UPDATE datasets SET status = ?, message = ?, code = ?, updated = ?, total = ?, labelled = ?, "
        "labels = ?, errors = ? WHERE id = ?",
        (*outcome, now, total, labelled, labels, errors, dataset),
    )


def remove_dataset(db: Connection, arn: str) -> None:
    """The end of DeleteDataset."""
    clear(db, arn)
    db.execute("DELETE FROM datasets WHERE arn = ?", (arn,))


def clear(db: Connection, arn: str) -> None:
    """Drop all entries of a dataset."""
    dataset = _id(db, arn)
    db.execute("DELETE FROM entry_labels WHERE dataset = ?", (dataset,))
    db.execute("DELETE FROM entries WHERE dataset = ?", (dataset,))


def _stream_manifest(context: Context, job: Job, place: dict[str, Any]) -> None:
    try:
        answer = context.s3().get_object(**object_of(place))
        with answer["Body"] as body:
            if answer["ContentLength"] > MANIFEST_BYTES:
                raise _Failure("ERROR_MANIFEST_SIZE_TOO_LARGE")
            counts = DatasetStatistics()
            lines = enumerate(manifest_lines(body), 1)
            while chunk := list(islice(lines, _CHUNK)):
                context.jobs.check()
                checks = [counts.add(check_raw_line(raw, number)) for number, raw in chunk]
                if counts.total > context.quotas.images_per_dataset:
                    raise _Failure("ERROR_MANIFEST_ROWS_EXCEEDS_MAXIMUM")
                with context.store.write() as db:
                    _put_all(db, _id(db, job.arn), checks)
    except (ClientError, BotoCoreError, InvalidManifest):
        _log.warning("the manifest s3://%s/%s cannot be read", place["Bucket"], place["Name"], exc_info=True)
        raise _Failure("ERROR_MANIFEST_INACCESSIBLE_OR_UNSUPPORTED_FORMAT") from None
    _judge(counts)


def _judge(counts: DatasetStatistics) -> None:
    for finding in check_dataset(counts):
        raise _Failure(finding.code)


def _put_all(db: Connection, dataset: int, checks: Iterable[LineCheck]) -> None:
    for entry in map(entry_of, checks):
        if entry is not None:
            _put(db, dataset, entry)


def _put(db: Connection, dataset: int, entry: Entry) -> None:
    row = (dataset, entry.source_ref, entry.line, entry.labelled, entry.errors)
    (identity,) = db.execute(
        "INSERT INTO entries (dataset, source_ref, line, labelled, errors) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (dataset, source_ref) DO UPDATE SET line = excluded.line, labelled = excluded.labelled, "
        "errors = excluded.errors RETURNING id",
        row,
    ).fetchone()
    db.execute("DELETE FROM entry_labels WHERE entry = ?", (identity,))
    db.executemany(
        "INSERT INTO entry_labels (dataset, label, entry, boxed) VALUES (?, ?, ?, ?)",
        [(dataset, label, identity, label in entry.boxed) for label in sorted(entry.labels | entry.boxed)],
    )


def _bucket_of(db: Connection, dataset: int) -> str | None:
    row = db.execute("SELECT source_ref FROM entries WHERE dataset = ? LIMIT 1", (dataset,)).fetchone()
    return None if row is None else str(row["source_ref"])[len("s3://") :].split("/", 1)[0]


def _check_count(context: Context, db: Connection, dataset: int) -> None:
    (count,) = db.execute("SELECT count(*) FROM entries WHERE dataset = ?", (dataset,)).fetchone()
    if count > context.quotas.images_per_dataset:
        raise _Failure("ERROR_MANIFEST_ROWS_EXCEEDS_MAXIMUM")


def _check_labels(db: Connection, arn: str) -> None:
    (count,) = db.execute(
        "SELECT count(DISTINCT label) FROM entry_labels WHERE dataset = ?", (_id(db, arn),)
    ).fetchone()
    if count > DETECTION_LABELS[1]:
        raise _Failure("ERROR_MANIFEST_TOO_MANY_LABELS")


def _succeed(context: Context, db: Connection, job: Job, status: str, message: str) -> None:
    settle(db, job.arn, (status, message, "SUCCESS"), int(context.clock() * 1000))
    context.jobs.finish(db, job)


def _fail(context: Context, job: Job, operation: str, failure: _Failure) -> None:
    with context.store.write() as db:
        if operation == "CREATE":
            clear(db, job.arn)
        outcome = (f"{operation}_FAILED", failure.message, "CLIENT_ERROR")
        settle(db, job.arn, outcome, int(context.clock() * 1000))
        context.jobs.finish(db, job)


def _id(db: Connection, arn: str) -> int:
    (identity,) = db.execute("SELECT id FROM datasets WHERE arn = ?", (arn,)).fetchone()
    return int(identity)
