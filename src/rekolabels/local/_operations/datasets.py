"""Datasets: CreateDataset, DescribeDataset, DeleteDataset."""

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
)
from rekolabels.local._operations.tags import set_tags

if TYPE_CHECKING:
    from sqlite3 import Connection, Row

    from rekolabels.local._core._context import Call

__all__ = ["create_dataset", "delete_dataset", "describe_dataset", "usable_project"]

_READABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_FAILED")


def create_dataset(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Make a dataset from a manifest, from another dataset, or empty."""
    context = call.context
    source = parameters.get("DatasetSource")
    manifest, origin = _source(source)
    with context.store.read() as db:
        _check_free(db, usable_project(call, db, parameters["ProjectArn"]), parameters["DatasetType"])
        if origin is not None:
            _check_readable(call.dataset(db, origin))
    if manifest is not None:
        _check_object(call, manifest)
    kind = parameters["DatasetType"]
    with context.store.write() as db:
        project = usable_project(call, db, parameters["ProjectArn"])
        _check_free(db, project, kind)
        from_id = None if origin is None else _check_readable(call.dataset(db, origin))
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
        elif from_id is not None:
            create_from_dataset(context, job, from_id)
        else:
            create_empty(context, job)

    context.jobs.launch(work, job)
    return {"DatasetArn": str(arn)}


def describe_dataset(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """The state of a dataset's last operation, and its counts."""
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
    """Delete a dataset that nothing works on; images and manifests in S3 stay."""
    context = call.context
    with context.store.write() as db:
        dataset = call.dataset(db, parameters["DatasetArn"])
        if dataset["status"].endswith("_IN_PROGRESS"):
            raise ServiceException.in_use(
                f"The dataset {dataset['arn']} is {dataset['status']} and cannot be deleted now."
            )
        # The service says nothing about a training that uses the dataset; here it keeps the dataset.
        training = db.execute(
            "SELECT arn FROM versions WHERE project = ? AND status = 'TRAINING_IN_PROGRESS' LIMIT 1",
            (dataset["project"],),
        ).fetchone()
        if training is not None:
            raise ServiceException.in_use(
                f"The dataset {dataset['arn']} is used by the training of {training['arn']}."
            )
        db.execute(
            "UPDATE datasets SET status = 'DELETE_IN_PROGRESS', message = 'The dataset is being deleted.', "
            "code = NULL WHERE arn = ?",
            (dataset["arn"],),
        )
        job = context.jobs.register(db, "dataset.delete", dataset["arn"])

    def work() -> None:
        with context.store.write() as db:
            delete_dataset_row(db, job.arn)
            context.jobs.finish(db, job)

    context.jobs.launch(work, job)
    return {}


def usable_project(call: Call, db: Connection, arn: str) -> Row:
    """A project that datasets can be made in.

    Raises:
        ServiceException: It does not exist, is being deleted, or is one for content moderation.
    """
    project = call.project(db, arn)
    if project["status"] == "DELETING":
        raise ServiceException.not_found("project", arn)
    if project["feature"] != "CUSTOM_LABELS":
        raise ServiceException.invalid(
            f"The project {arn} has the feature {project['feature']}; it takes no datasets."
        )
    return project


def _source(source: dict[str, Any] | None) -> tuple[dict[str, Any] | None, str | None]:
    if source is None:
        return None, None
    manifest, origin = source.get("GroundTruthManifest"), source.get("DatasetArn")
    if (manifest is None) == (origin is None):
        raise ServiceException.invalid(
            "DatasetSource needs exactly one of GroundTruthManifest and DatasetArn."
        )
    if manifest is None:
        return None, origin
    place: dict[str, Any] = manifest.get("S3Object") or {}
    if not place.get("Bucket") or not place.get("Name"):
        raise ServiceException.invalid("GroundTruthManifest.S3Object needs both Bucket and Name.")
    return place, None


def _check_free(db: Connection, project: Row, kind: str) -> None:
    taken = db.execute(
        "SELECT arn FROM datasets WHERE project = ? AND kind = ?", (project["arn"], kind)
    ).fetchone()
    if taken is not None:
        raise ServiceException(
            "ResourceAlreadyExistsException",
            f"The project already has a {kind} dataset, {taken['arn']}. Delete it first.",
        )


def _check_readable(origin: Row) -> int:
    if origin["status"] not in _READABLE:
        raise ServiceException.invalid(
            f"The source dataset {origin['arn']} is {origin['status']} and cannot be copied now."
        )
    return int(origin["id"])


def _check_object(call: Call, place: dict[str, Any]) -> None:
    try:
        call.context.s3().head_object(**get_object_args(place))
    except (ClientError, BotoCoreError) as error:
        raise ServiceException(
            "InvalidS3ObjectException",
            f"The manifest s3://{place['Bucket']}/{place['Name']} cannot be read: {error}",
        ) from None
