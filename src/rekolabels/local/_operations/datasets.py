"""Operations on datasets and their entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._core._s3_objects import get_object_args
from rekolabels.local._jobs._datasets import (
    create_empty,
    create_from_dataset,
    create_from_manifest,
    delete_dataset_row,
    distribute_entries,
    update_entries,
)
from rekolabels.local._jobs._regional_s3 import RegionalS3
from rekolabels.local._operations._parameters import (
    PageQuery,
    check_s3_object,
    unreadable_s3_object,
)
from rekolabels.local._operations.projects import custom_labels_project
from rekolabels.local._operations.tags import set_tags

if TYPE_CHECKING:
    from sqlite3 import Connection, Row

    from rekolabels.local._core._context import Call
    from rekolabels.local._core._job import Job

__all__ = [
    "create_dataset",
    "delete_dataset",
    "describe_dataset",
    "distribute_dataset_entries",
    "list_dataset_entries",
    "list_dataset_labels",
    "update_dataset_entries",
]

_READABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_FAILED")
"""Statuses in which a dataset has entries and no operation is in progress."""


def create_dataset(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Create a dataset from a manifest, from another dataset, or empty."""
    context = call.context
    manifest, source_arn = _parse_source(parameters.get("DatasetSource"))
    kind = parameters["DatasetType"]
    with context.store.read() as db:
        _check_no_dataset(db, custom_labels_project(call, db, parameters["ProjectArn"]), kind)
        if source_arn is not None:
            _source_id(call.dataset(db, source_arn))
    # S3 is asked outside of any transaction; what was checked above is checked again afterwards.
    if manifest is not None:
        _check_manifest_exists(call, manifest)
    with context.store.write() as db:
        project = custom_labels_project(call, db, parameters["ProjectArn"])
        _check_no_dataset(db, project, kind)
        source_id = None if source_arn is None else _source_id(call.dataset(db, source_arn))
        arn = call.new_arn(db, project["name"], "dataset", kind.lower())
        db.execute(
            "INSERT INTO datasets (arn, project, kind, created, updated, status, message) "
            "VALUES (?, ?, ?, ?, ?, 'CREATE_IN_PROGRESS', 'The dataset is being created.')",
            (str(arn), project["arn"], kind, arn.number, arn.number),
        )
        set_tags(call, db, str(arn), parameters.get("Tags"))
        job = context.jobs.register(db, "dataset.create", str(arn))

    def work() -> None:
        if manifest is not None:
            create_from_manifest(context, job, manifest)
        elif source_id is not None:
            create_from_dataset(context, job, source_id)
        else:
            create_empty(context, job)

    context.jobs.launch(work, job)
    return {"DatasetArn": str(arn)}


def describe_dataset(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Describe a dataset: the status of its last operation, and its statistics."""
    call.context.jobs.recover()
    with call.context.store.read() as db:
        dataset = call.dataset(db, parameters["DatasetArn"])
    return {
        "DatasetDescription": {
            "CreationTimestamp": dataset["created"] / 1000,
            "LastUpdatedTimestamp": dataset["updated"] / 1000,
            "Status": dataset["status"],
            "StatusMessage": dataset["message"] or None,
            "StatusMessageCode": dataset["code"],
            "DatasetStats": {
                "LabeledEntries": dataset["labelled"],
                "TotalEntries": dataset["total"],
                "TotalLabels": dataset["labels"],
                "ErrorEntries": dataset["errors"],
            },
        }
    }


def delete_dataset(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Delete a dataset; images and manifests in S3 stay."""
    context = call.context
    with context.store.write() as db:
        dataset = call.dataset(db, parameters["DatasetArn"])
        arn = dataset["arn"]
        if dataset["status"].endswith("_IN_PROGRESS"):
            raise ServiceException.in_use(f"Cannot delete dataset {arn} while it is {dataset['status']}.")
        # AWS does not document what happens if a training uses the dataset; here it cannot be deleted.
        version = db.execute(
            "SELECT arn FROM versions WHERE project = ? AND status = 'TRAINING_IN_PROGRESS' LIMIT 1",
            (dataset["project"],),
        ).fetchone()
        if version is not None:
            raise ServiceException.in_use(
                f"Cannot delete dataset {arn} while {version['arn']} is training with it."
            )
        db.execute(
            "UPDATE datasets SET status = 'DELETE_IN_PROGRESS', message = 'The dataset is being deleted.', "
            "code = NULL WHERE arn = ?",
            (arn,),
        )
        job = context.jobs.register(db, "dataset.delete", arn)

    def work() -> None:
        with context.store.write() as db:
            delete_dataset_row(db, job.arn)
            context.jobs.finish(db, job)

    context.jobs.launch(work, job)
    return {}


def update_dataset_entries(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Add entries to a dataset, or replace those of the same image."""
    content = parameters["Changes"]["GroundTruth"]
    try:
        content.decode()
    except UnicodeDecodeError:
        raise ServiceException.invalid("Changes.GroundTruth is not valid UTF-8.") from None
    context = call.context
    with context.store.write() as db:
        dataset = call.dataset(db, parameters["DatasetArn"])
        if dataset["status"] not in _READABLE:
            raise ServiceException.in_use(
                f"Cannot update dataset {dataset['arn']} while it is {dataset['status']}."
            )
        job = _begin_update(call, db, dataset["arn"])
    context.jobs.launch(lambda: update_entries(context, job, content), job)
    return {}


def list_dataset_entries(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """List the entries that match all filters of the request, in the order in which they were added."""
    call.context.jobs.recover()
    page = PageQuery("ListDatasetEntries", parameters)
    conditions = ["dataset = ?", "id > ?"]
    values: list[Any] = []
    if "Labeled" in parameters:
        conditions.append("labelled = ?")
        values.append(parameters["Labeled"])
    # AWS's sample code sends HasErrors=False to list every entry, so it is not a filter.
    if parameters.get("HasErrors"):
        conditions.append("errors")
    if "SourceRefContains" in parameters:
        conditions.append("instr(source_ref, ?) > 0")
        values.append(parameters["SourceRefContains"])
    if "ContainsLabels" in parameters:
        labels = parameters["ContainsLabels"]
        placeholders = ", ".join("?" * len(labels))
        conditions.append(
            f"EXISTS (SELECT 1 FROM entry_labels WHERE entry = entries.id AND label IN ({placeholders}))"  # noqa: S608 - only placeholders
        )
        values += labels
    query = f"SELECT id, line FROM entries WHERE {' AND '.join(conditions)} ORDER BY id LIMIT ?"  # noqa: S608 - the conditions above; values are bound
    with call.context.store.read() as db:
        dataset = _readable_dataset(call, db, parameters["DatasetArn"])
        rows = db.execute(query, (dataset["id"], page.position or 0, *values, page.size + 1)).fetchall()
    rows, token = page.cut(rows, "id")
    return {"DatasetEntries": [row["line"] for row in rows], "NextToken": token}


def list_dataset_labels(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """List the labels of a dataset as they first appear, with the number of images that have them."""
    call.context.jobs.recover()
    page = PageQuery("ListDatasetLabels", parameters)
    with call.context.store.read() as db:
        dataset = _readable_dataset(call, db, parameters["DatasetArn"])
        rows = db.execute(
            # In AWS's recorded answer the labels are not sorted by name. The last number is larger than any
            # position: a line has at most 100,000 characters.
            "SELECT label, count(*) AS entries, sum(boxed) AS boxed, min(entry * 100000 + position) AS first "
            "FROM entry_labels WHERE dataset = ? GROUP BY label HAVING first > ? ORDER BY first LIMIT ?",
            (dataset["id"], -1 if page.position is None else page.position, page.size + 1),
        ).fetchall()
    rows, token = page.cut(rows, "first")
    return {"DatasetLabelDescriptions": [_describe_label(row) for row in rows], "NextToken": token}


def distribute_dataset_entries(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Move 20 % of the training entries to the empty test dataset of the same project."""
    context = call.context
    with context.store.write() as db:
        by_kind = {
            row["kind"]: row for row in (call.dataset(db, item["Arn"]) for item in parameters["Datasets"])
        }
        if set(by_kind) != {"TRAIN", "TEST"}:
            raise ServiceException.invalid("Datasets must be one training dataset and one test dataset.")
        train, test = by_kind["TRAIN"], by_kind["TEST"]
        if train["project"] != test["project"]:
            raise ServiceException.invalid("Datasets must be of the same project.")
        for dataset in (train, test):
            if dataset["status"] not in _READABLE:
                raise ServiceException.not_ready(
                    f"Cannot distribute entries while dataset {dataset['arn']} is {dataset['status']}."
                )
        if test["total"]:
            raise ServiceException.invalid(
                f"Cannot distribute entries: test dataset {test['arn']} is not empty."
            )
        jobs = [_begin_update(call, db, row["arn"]) for row in (train, test)]
    context.jobs.launch(lambda: distribute_entries(context, *jobs), *jobs)
    return {}


def _parse_source(source: dict[str, Any] | None) -> tuple[dict[str, Any] | None, str | None]:
    """Return the ``S3Object`` of the manifest, or the ARN of the dataset to copy; two Nones for neither."""
    if source is None:
        return None, None
    manifest, dataset_arn = source.get("GroundTruthManifest"), source.get("DatasetArn")
    if (manifest is None) == (dataset_arn is None):
        raise ServiceException.invalid("DatasetSource needs either GroundTruthManifest or DatasetArn.")
    if manifest is None:
        return None, dataset_arn
    s3_object: dict[str, Any] = manifest.get("S3Object") or {}
    check_s3_object(s3_object, "GroundTruthManifest.S3Object")
    return s3_object, None


def _check_no_dataset(db: Connection, project: Row, kind: str) -> None:
    existing = db.execute(
        "SELECT arn FROM datasets WHERE project = ? AND kind = ?", (project["arn"], kind)
    ).fetchone()
    if existing is not None:
        raise ServiceException(
            "ResourceAlreadyExistsException",
            f"Project {project['name']} already has a {kind} dataset, {existing['arn']}. Delete it first.",
        )


def _source_id(source: Row) -> int:
    if source["status"] not in _READABLE:
        raise ServiceException.invalid(f"Cannot copy dataset {source['arn']} while it is {source['status']}.")
    return int(source["id"])


def _check_manifest_exists(call: Call, s3_object: dict[str, Any]) -> None:
    try:
        RegionalS3(call.context.s3, call.region).head_object(**get_object_args(s3_object))
    except (ClientError, BotoCoreError) as error:
        raise unreadable_s3_object("manifest", s3_object, error) from None


def _begin_update(call: Call, db: Connection, arn: str) -> Job:
    db.execute(
        "UPDATE datasets SET status = 'UPDATE_IN_PROGRESS', message = 'The dataset is being updated.', "
        "code = NULL WHERE arn = ?",
        (arn,),
    )
    return call.context.jobs.register(db, "dataset.update", arn)


def _readable_dataset(call: Call, db: Connection, arn: str) -> Row:
    dataset = call.dataset(db, arn)
    status = dataset["status"]
    message = f"Cannot list the content of dataset {arn} while it is {status}."
    if status in ("CREATE_IN_PROGRESS", "CREATE_FAILED"):
        raise ServiceException.not_ready(message)
    if status not in _READABLE:
        raise ServiceException.in_use(message)
    return dataset


def _describe_label(row: Row) -> dict[str, Any]:
    # In AWS's recorded answers a label without boxes has no BoundingBoxCount.
    stats = {"EntryCount": row["entries"], "BoundingBoxCount": row["boxed"] or None}
    return {"LabelName": row["label"], "LabelStats": stats}
