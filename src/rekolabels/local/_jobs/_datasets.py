"""Jobs that create, update, distribute and delete datasets."""

from __future__ import annotations

import logging
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from rekolabels.errors import CannotSplit, InvalidManifest
from rekolabels.local._core._s3_objects import get_object_args, read_lines
from rekolabels.local._jobs._manifests import (
    check_raw_line,
    choose_test_images,
    entry_of,
    manifest_lines,
    message_of,
)
from rekolabels.local._jobs._regional_s3 import RegionalS3
from rekolabels.manifest._dataset_rules import DatasetStatistics, check_dataset
from rekolabels.manifest._line_rules import check_line
from rekolabels.manifest.limits import DETECTION_LABELS, MANIFEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from sqlite3 import Connection

    from rekolabels.local._core._context import Context
    from rekolabels.local._core._job import Job
    from rekolabels.local._jobs._manifests import Entry
    from rekolabels.manifest._line_rules import LineCheck

__all__ = [
    "create_empty",
    "create_from_dataset",
    "create_from_manifest",
    "delete_dataset_row",
    "delete_entries",
    "distribute_entries",
    "set_outcome",
    "update_entries",
]

_log = logging.getLogger("rekolabels.local")

_CHUNK_LINES = 500


class _TerminalError(Exception):
    """A terminal manifest error: the operation fails with AWS's message for the code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.message = message_of(code)


def create_from_manifest(context: Context, job: Job, manifest: dict[str, Any]) -> None:
    """Run the job of CreateDataset with a manifest.

    Args:
        context: The service.
        job: The registered job.
        manifest: The ``S3Object`` of the manifest.
    """
    try:
        _store_manifest(context, job, manifest)
        with context.store.write() as db:
            _check_label_count(db, job.arn)
            message = "The dataset was successfully created from the manifest file."
            _succeed(context, db, job, "CREATE_COMPLETE", message)
    except _TerminalError as failure:
        _fail(context, job, "CREATE", failure)


def create_from_dataset(context: Context, job: Job, source: int) -> None:
    """Run the job of CreateDataset from another dataset.

    Args:
        context: The service.
        job: The registered job.
        source: Database id of the dataset to copy.
    """
    with context.store.write() as db:
        target = _dataset_id(db, job.arn)
        db.execute(
            "INSERT INTO entries (dataset, source_ref, line, labelled, errors) "
            "SELECT ?, source_ref, line, labelled, errors FROM entries WHERE dataset = ? ORDER BY id",
            (target, source),
        )
        db.execute(
            "INSERT INTO entry_labels (dataset, label, entry, boxed, position) "
            "SELECT new.dataset, label.label, new.id, label.boxed, label.position FROM entries old "
            "JOIN entries new ON new.dataset = ? AND new.source_ref = old.source_ref "
            "JOIN entry_labels label ON label.entry = old.id WHERE old.dataset = ?",
            (target, source),
        )
        _succeed(
            context, db, job, "CREATE_COMPLETE", "The dataset was successfully created from the dataset."
        )


def create_empty(context: Context, job: Job) -> None:
    """Run the job of CreateDataset without a source."""
    with context.store.write() as db:
        _succeed(context, db, job, "CREATE_COMPLETE", "The dataset was successfully created.")


def update_entries(context: Context, job: Job, content: bytes) -> None:
    """Run the job of UpdateDatasetEntries: replace entries of the same image, add the others.

    Args:
        context: The service.
        job: The registered job.
        content: The new lines, in UTF-8.
    """
    counts = DatasetStatistics()
    checks = [
        counts.add(check_raw_line(raw, number)) for number, raw in enumerate(read_lines(BytesIO(content)), 1)
    ]
    try:
        _raise_terminal_error(counts)
        with context.store.write() as db:
            dataset = _dataset_id(db, job.arn)
            bucket = _bucket_of(db, dataset)
            if bucket is not None and counts.buckets.keys() - {bucket}:
                raise _TerminalError("ERROR_IMAGES_IN_MULTIPLE_S3_BUCKETS")  # noqa: TRY301 - rolls back the transaction
            _put_entries(db, dataset, checks)
            _check_entry_count(context, db, dataset)
            _check_label_count(db, job.arn)
            _succeed(context, db, job, "UPDATE_COMPLETE", "The dataset was successfully updated.")
    except _TerminalError as failure:
        _fail(context, job, "UPDATE", failure)


def distribute_entries(context: Context, train: Job, test: Job) -> None:
    """Run the job of DistributeDatasetEntries: move 20 % of the training entries to the test dataset.

    Args:
        context: The service.
        train: The registered job of the training dataset.
        test: The registered job of the test dataset.
    """
    with context.store.read() as db:
        rows = db.execute(
            "SELECT id, line FROM entries WHERE dataset = ? ORDER BY id", (_dataset_id(db, train.arn),)
        ).fetchall()
    try:
        chosen = choose_test_images([check_line(row["line"]).image for row in rows], seed=context.seed)
    except CannotSplit:
        too_few = _TerminalError("ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_DISTRIBUTE")
        for job in (train, test):
            _fail(context, job, "UPDATE", too_few)
        return
    with context.store.write() as db:
        target = _dataset_id(db, test.arn)
        moved = [(target, row["id"]) for index, row in enumerate(rows) if index in chosen]
        db.executemany("UPDATE entries SET dataset = ? WHERE id = ?", moved)
        db.executemany("UPDATE entry_labels SET dataset = ? WHERE entry = ?", moved)
        for job in (train, test):
            message = "The dataset entries were successfully distributed."
            _succeed(context, db, job, "UPDATE_COMPLETE", message)


def set_outcome(db: Connection, arn: str, outcome: tuple[str, str, str], now: int) -> None:
    """Store the outcome of an operation, and update the dataset's statistics.

    Args:
        db: A write transaction.
        arn: ARN of the dataset.
        outcome: Status, status message and status message code.
        now: Milliseconds since 1970.
    """
    dataset = _dataset_id(db, arn)
    total, errors = db.execute(
        "SELECT count(*), coalesce(sum(errors), 0) FROM entries WHERE dataset = ?", (dataset,)
    ).fetchone()
    # Only labels and boxes that a training takes are stored, so lines with errors do not count as labelled.
    labels, labelled = db.execute(
        "SELECT count(DISTINCT label), count(DISTINCT entry) FROM entry_labels WHERE dataset = ?", (dataset,)
    ).fetchone()
    db.execute(
        "UPDATE datasets SET status = ?, message = ?, code = ?, updated = ?, total = ?, labelled = ?, "
        "labels = ?, errors = ? WHERE id = ?",
        (*outcome, now, total, labelled, labels, errors, dataset),
    )


def delete_dataset_row(db: Connection, arn: str) -> None:
    """Delete a dataset, its entries and its tags from the database."""
    delete_entries(db, arn)
    db.execute("DELETE FROM datasets WHERE arn = ?", (arn,))
    db.execute("DELETE FROM tags WHERE arn = ?", (arn,))


def delete_entries(db: Connection, arn: str) -> None:
    """Delete all entries of a dataset."""
    dataset = _dataset_id(db, arn)
    db.execute("DELETE FROM entry_labels WHERE dataset = ?", (dataset,))
    db.execute("DELETE FROM entries WHERE dataset = ?", (dataset,))


def _store_manifest(context: Context, job: Job, manifest: dict[str, Any]) -> None:
    try:
        answer = RegionalS3.of_job(context, job.arn).get_object(**get_object_args(manifest))
        with answer["Body"] as body:
            if answer["ContentLength"] > MANIFEST_BYTES:
                raise _TerminalError("ERROR_MANIFEST_SIZE_TOO_LARGE")
            counts = DatasetStatistics()
            lines = enumerate(manifest_lines(body), 1)
            while chunk := list(islice(lines, _CHUNK_LINES)):
                context.jobs.check()
                checks = [counts.add(check_raw_line(raw, number)) for number, raw in chunk]
                if counts.total > context.quotas.images_per_dataset:
                    raise _TerminalError("ERROR_MANIFEST_ROWS_EXCEEDS_MAXIMUM")
                with context.store.write() as db:
                    _put_entries(db, _dataset_id(db, job.arn), checks)
    except (ClientError, BotoCoreError, InvalidManifest):
        uri = f"s3://{manifest['Bucket']}/{manifest['Name']}"
        _log.warning("Cannot read the manifest %s of %s.", uri, job.arn, exc_info=True)
        raise _TerminalError("ERROR_MANIFEST_INACCESSIBLE_OR_UNSUPPORTED_FORMAT") from None
    _raise_terminal_error(counts)


def _raise_terminal_error(counts: DatasetStatistics) -> None:
    for finding in check_dataset(counts):
        raise _TerminalError(finding.code)


def _put_entries(db: Connection, dataset: int, checks: Iterable[LineCheck]) -> None:
    for entry in map(entry_of, checks):
        if entry is not None:
            _put_entry(db, dataset, entry)


def _put_entry(db: Connection, dataset: int, entry: Entry) -> None:
    row = (dataset, entry.source_ref, entry.line, entry.labelled, entry.errors)
    (identity,) = db.execute(
        "INSERT INTO entries (dataset, source_ref, line, labelled, errors) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (dataset, source_ref) DO UPDATE SET line = excluded.line, labelled = excluded.labelled, "
        "errors = excluded.errors RETURNING id",
        row,
    ).fetchone()
    db.execute("DELETE FROM entry_labels WHERE entry = ?", (identity,))
    db.executemany(
        "INSERT INTO entry_labels (dataset, label, entry, boxed, position) VALUES (?, ?, ?, ?, ?)",
        [
            (dataset, label, identity, boxed, position)
            for position, (label, boxed) in enumerate(entry.labels.items())
        ],
    )


def _bucket_of(db: Connection, dataset: int) -> str | None:
    row = db.execute("SELECT source_ref FROM entries WHERE dataset = ? LIMIT 1", (dataset,)).fetchone()
    return None if row is None else str(row["source_ref"])[len("s3://") :].split("/", 1)[0]


def _check_entry_count(context: Context, db: Connection, dataset: int) -> None:
    (count,) = db.execute("SELECT count(*) FROM entries WHERE dataset = ?", (dataset,)).fetchone()
    if count > context.quotas.images_per_dataset:
        raise _TerminalError("ERROR_MANIFEST_ROWS_EXCEEDS_MAXIMUM")


def _check_label_count(db: Connection, arn: str) -> None:
    (count,) = db.execute(
        "SELECT count(DISTINCT label) FROM entry_labels WHERE dataset = ?", (_dataset_id(db, arn),)
    ).fetchone()
    if count > DETECTION_LABELS[1]:
        raise _TerminalError("ERROR_MANIFEST_TOO_MANY_LABELS")


def _succeed(context: Context, db: Connection, job: Job, status: str, message: str) -> None:
    set_outcome(db, job.arn, (status, message, "SUCCESS"), int(context.clock() * 1000))
    context.jobs.finish(db, job)


def _fail(context: Context, job: Job, operation: str, failure: _TerminalError) -> None:
    with context.store.write() as db:
        if operation == "CREATE":
            delete_entries(db, job.arn)
        outcome = (f"{operation}_FAILED", failure.message, "CLIENT_ERROR")
        set_outcome(db, job.arn, outcome, int(context.clock() * 1000))
        context.jobs.finish(db, job)


def _dataset_id(db: Connection, arn: str) -> int:
    (identity,) = db.execute("SELECT id FROM datasets WHERE arn = ?", (arn,)).fetchone()
    return int(identity)
