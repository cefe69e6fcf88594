"""Operations on model versions: create (train), describe, start, stop, copy and delete."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels.local._core._arns import parse_arn
from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._jobs._adapter_training import train_adapter
from rekolabels.local._jobs._lifecycle import (
    copy_version,
    delete_version,
    set_version_status,
    start_version,
    stop_version,
)
from rekolabels.local._jobs._model_training import train_model
from rekolabels.local._jobs._training_data import snapshot_datasets
from rekolabels.local._jobs._training_run import run_training
from rekolabels.local._operations._parameters import PageQuery, check_s3_object
from rekolabels.local._operations.inference import refuse_adapter
from rekolabels.local._operations.policies import denies, permits
from rekolabels.local._operations.projects import (
    CONTENT_MODERATION,
    custom_labels_project,
    existing_project,
)
from rekolabels.local._operations.tags import set_tags

if TYPE_CHECKING:
    from collections.abc import Mapping
    from sqlite3 import Connection, Row

    from rekolabels.local._core._context import Call

__all__ = [
    "copy_project_version",
    "create_project_version",
    "delete_project_version",
    "describe_project_versions",
    "start_project_version",
    "stop_project_version",
]

_STARTABLE = ("TRAINING_COMPLETED", "STOPPED", "COPYING_COMPLETED", "FAILED")
_DELETABLE = (*_STARTABLE, "TRAINING_FAILED", "COPYING_FAILED")
_COPYABLE = (*_STARTABLE, "STARTING", "RUNNING", "STOPPING")
_STORED_MEMBERS = (
    "OutputConfig",
    "TrainingData",
    "TestingData",
    "KmsKeyId",
    "VersionDescription",
    "FeatureConfig",
)
"""Members of a CreateProjectVersion request that training or DescribeProjectVersions needs later."""


def create_project_version(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Train a new version, from the project's datasets or from manifests in S3."""
    context = call.context
    name = parameters["VersionName"]
    with context.store.write() as db:
        project = existing_project(call, db, parameters["ProjectArn"])
        is_adapter = project["feature"] == CONTENT_MODERATION
        has_manifests = _check_sources(parameters, is_adapter=is_adapter)
        if not is_adapter:
            _check_datasets(db, project, has_manifests=has_manifests)
        _check_new_version(call, db, project, name)
        _check_training_quota(call, db)
        arn = call.new_arn(db, project["name"], "version", name)
        if not has_manifests:
            snapshot_datasets(context, db, project["arn"], arn.number)
        request = {member: parameters[member] for member in _STORED_MEMBERS if member in parameters}
        if is_adapter:
            request["Feature"] = CONTENT_MODERATION
        db.execute(
            "INSERT INTO versions (arn, number, project, name, created, status, message, request) "
            "VALUES (?, ?, ?, ?, ?, 'TRAINING_IN_PROGRESS', 'The model is being trained.', ?)",
            (str(arn), arn.number, project["arn"], name, arn.number, json.dumps(request)),
        )
        set_tags(call, db, str(arn), parameters.get("Tags"))
        job = context.jobs.register(db, "version.train", str(arn))
    trainer = train_adapter if is_adapter else train_model
    context.jobs.launch(lambda: run_training(context, job, trainer), job)
    return {"ProjectVersionArn": str(arn)}


def describe_project_versions(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Describe the versions of a project, newest first."""
    call.context.jobs.recover()
    page = PageQuery("DescribeProjectVersions", parameters)
    conditions, values = ["project = ?"], [parameters["ProjectArn"]]
    if parameters.get("VersionNames"):
        conditions.append(f"name IN ({', '.join('?' * len(parameters['VersionNames']))})")
        values += parameters["VersionNames"]
    if page.position is not None:
        conditions.append("created < ?")
        values.append(page.position)
    query = f"SELECT * FROM versions WHERE {' AND '.join(conditions)} ORDER BY created DESC LIMIT ?"  # noqa: S608 - the conditions above; values are bound
    with call.context.store.read() as db:
        call.project(db, parameters["ProjectArn"])
        rows = db.execute(query, (*values, page.size + 1)).fetchall()
    rows, token = page.cut(rows, "created")
    return {"ProjectVersionDescriptions": [_describe(row) for row in rows], "NextToken": token}


def start_project_version(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Start a trained model."""
    context = call.context
    min_units, max_units = parameters["MinInferenceUnits"], parameters.get("MaxInferenceUnits")
    if max_units is not None and max_units < min_units:
        raise ServiceException.invalid(
            f"MaxInferenceUnits ({max_units}) must not be less than MinInferenceUnits ({min_units})."
        )
    with context.store.write() as db:
        version = call.version(db, parameters["ProjectVersionArn"])
        refuse_adapter(version)
        if version["status"] not in _STARTABLE:
            raise ServiceException.in_use(
                f"Cannot start model {version['arn']} while it is {version['status']}."
            )
        quota = context.quotas.inference_units
        if max(min_units, max_units or 0) > quota:
            raise ServiceException.limit(f"A model can have at most {quota} inference units.")
        running = _count_versions(call, db, "STARTING", "RUNNING")
        if running >= context.quotas.running_models:
            raise ServiceException.limit(
                f"The account has reached its quota of running models ({running}). Stop one first."
            )
        db.execute(
            "UPDATE versions SET status = 'STARTING', message = 'The model is starting.', min_units = ?, "
            "max_units = ? WHERE arn = ?",
            (min_units, max_units, version["arn"]),
        )
        job = context.jobs.register(db, "version.start", version["arn"])
    context.jobs.launch(lambda: start_version(context, job), job)
    return {"Status": "STARTING"}


def stop_project_version(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Stop a running model."""
    context = call.context
    with context.store.write() as db:
        version = call.version(db, parameters["ProjectVersionArn"])
        refuse_adapter(version)
        if version["status"] != "RUNNING":
            raise ServiceException.in_use(
                f"Cannot stop model {version['arn']} while it is {version['status']}; it must be RUNNING."
            )
        set_version_status(db, version["arn"], "STOPPING", "The model is stopping.")
        job = context.jobs.register(db, "version.stop", version["arn"])
    context.jobs.launch(lambda: stop_version(context, job), job)
    return {"Status": "STOPPING"}


def copy_project_version(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Copy a trained version into a project of the caller's account.

    A version of another account can be copied if a policy of its project permits it.
    """
    context = call.context
    _check_output(parameters)
    _check_same_region(parameters)
    name = parameters["VersionName"]
    with context.store.write() as db:
        target = custom_labels_project(call, db, parameters["DestinationProjectArn"])
        source = _source_version(call, db, parameters)
        _check_new_version(call, db, target, name)
        _check_copy_quota(call, db)
        arn = call.new_arn(db, target["name"], "version", name)
        request = {
            "OutputConfig": parameters["OutputConfig"],
            "SourceProjectVersionArn": source["arn"],
        }
        if "KmsKeyId" in parameters:
            request["KmsKeyId"] = parameters["KmsKeyId"]
        db.execute(
            "INSERT INTO versions (arn, number, project, name, created, status, message, request) "
            "VALUES (?, ?, ?, ?, ?, 'COPYING_IN_PROGRESS', 'The model version is being copied.', ?)",
            (str(arn), arn.number, target["arn"], name, arn.number, json.dumps(request)),
        )
        set_tags(call, db, str(arn), parameters.get("Tags"))
        job = context.jobs.register(db, "version.copy", str(arn))
    context.jobs.launch(lambda: copy_version(context, job, source["arn"]), job)
    return {"ProjectVersionArn": str(arn)}


def delete_project_version(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Delete a version that is not in use; its result files in S3 stay."""
    context = call.context
    with context.store.write() as db:
        version = call.version(db, parameters["ProjectVersionArn"])
        if version["status"] not in _DELETABLE:
            raise ServiceException.in_use(
                f"Cannot delete model {version['arn']} while it is {version['status']}."
            )
        copied = db.execute(
            "SELECT arn FROM versions WHERE status = 'COPYING_IN_PROGRESS' "
            "AND json_extract(request, '$.SourceProjectVersionArn') = ? LIMIT 1",
            (version["arn"],),
        ).fetchone()
        if copied is not None:
            raise ServiceException.in_use(
                f"Cannot delete model {version['arn']} while it is being copied to {copied['arn']}."
            )
        set_version_status(db, version["arn"], "DELETING", "The model is being deleted.")
        job = context.jobs.register(db, "version.delete", version["arn"])
    context.jobs.launch(lambda: delete_version(context, job), job)
    return {"Status": "DELETING"}


def _check_output(parameters: Mapping[str, Any]) -> None:
    if not parameters["OutputConfig"].get("S3Bucket"):
        raise ServiceException.invalid("OutputConfig.S3Bucket is required.")


def _check_sources(parameters: dict[str, Any], *, is_adapter: bool) -> bool:
    """Check where the data comes from; return whether it comes from manifests and not from datasets."""
    if is_adapter:
        _check_adapter_request(parameters)
    elif "FeatureConfig" in parameters:
        raise ServiceException.invalid("FeatureConfig is supported in content moderation projects only.")
    _check_output(parameters)
    train_data, test_data = parameters.get("TrainingData"), parameters.get("TestingData")
    if train_data is None and test_data is None:
        return False
    if train_data is None or test_data is None:
        raise ServiceException.invalid("Give TrainingData and TestingData together, or neither of them.")
    if not train_data.get("Assets"):
        raise ServiceException.invalid("TrainingData.Assets needs a manifest.")
    if bool(test_data.get("Assets")) == bool(test_data.get("AutoCreate")):
        raise ServiceException.invalid("TestingData needs either Assets or AutoCreate=true.")
    for member, data in (("TrainingData", train_data), ("TestingData", test_data)):
        assets: list[dict[str, Any]] = data.get("Assets") or []
        for asset in assets:
            s3_object: dict[str, Any] = asset.get("GroundTruthManifest", {}).get("S3Object", {})
            check_s3_object(s3_object, f"GroundTruthManifest.S3Object in {member}.Assets")
    return True


def _check_adapter_request(parameters: dict[str, Any]) -> None:
    """Check that the request has manifests: content moderation projects have no datasets."""
    if "TrainingData" not in parameters or "TestingData" not in parameters:
        raise ServiceException.invalid(
            "An adapter needs TrainingData with a manifest, and TestingData with a manifest or AutoCreate."
        )
    if "ContentModeration" not in parameters.get("FeatureConfig", {"ContentModeration": {}}):
        raise ServiceException.invalid("FeatureConfig of an adapter needs ContentModeration.")


def _check_datasets(db: Connection, project: Row, *, has_manifests: bool) -> None:
    rows = db.execute("SELECT * FROM datasets WHERE project = ?", (project["arn"],)).fetchall()
    if has_manifests:
        if rows:
            raise ServiceException.invalid(
                f"Project {project['name']} has datasets ({rows[0]['arn']}), so TrainingData and TestingData "
                "are not allowed. Leave them out, or delete the datasets."
            )
        return
    missing = {"TRAIN", "TEST"} - {row["kind"] for row in rows}
    if missing:
        raise ServiceException.invalid(
            f"Project {project['name']} has no {' and no '.join(sorted(missing))} dataset. "
            "Create it, or give TrainingData and TestingData."
        )
    for row in rows:
        if row["status"].endswith("_IN_PROGRESS"):
            raise ServiceException.in_use(f"Cannot train while dataset {row['arn']} is {row['status']}.")
        if row["status"] == "CREATE_FAILED":
            raise ServiceException.invalid(
                f"Cannot train: creation of dataset {row['arn']} failed. {row['message']}"
            )


def _check_new_version(call: Call, db: Connection, project: Row, name: str) -> None:
    """Check that the name is free in the project, and that the project's quota allows one more version."""
    existing = db.execute(
        "SELECT arn FROM versions WHERE project = ? AND name = ?", (project["arn"], name)
    ).fetchone()
    if existing is not None:
        raise ServiceException.in_use(
            f"Project {project['name']} already has a version named {name}, {existing['arn']}."
        )
    (count,) = db.execute("SELECT count(*) FROM versions WHERE project = ?", (project["arn"],)).fetchone()
    if count >= call.context.quotas.versions_per_project:
        raise ServiceException(
            "ServiceQuotaExceededException",
            f"Project {project['name']} has reached its quota of versions ({count}). Delete one first.",
        )


def _check_training_quota(call: Call, db: Connection) -> None:
    count = _count_versions(call, db, "TRAINING_IN_PROGRESS")
    if count >= call.context.quotas.trainings_in(call.region):
        raise ServiceException.limit(
            f"The account has reached its quota of trainings in progress ({count}). Wait until one ends."
        )


def _check_copy_quota(call: Call, db: Connection) -> None:
    count = _count_versions(call, db, "COPYING_IN_PROGRESS")
    if count >= call.context.quotas.copies:
        raise ServiceException.limit(
            f"The account has reached its quota of copies in progress ({count}). Wait until one ends."
        )


def _count_versions(call: Call, db: Connection, *statuses: str) -> int:
    """Count the versions of the account in the Region that have one of the statuses."""
    query = (
        "SELECT count(*) FROM versions JOIN projects ON versions.project = projects.arn "  # noqa: S608 - only placeholders
        f"WHERE account = ? AND region = ? AND versions.status IN ({', '.join('?' * len(statuses))})"
    )
    (count,) = db.execute(query, (call.account, call.region, *statuses)).fetchone()
    return int(count)


def _check_same_region(parameters: dict[str, Any]) -> None:
    names = ("SourceProjectArn", "SourceProjectVersionArn", "DestinationProjectArn")
    parts = [parse_arn(parameters[name]) for name in names]
    regions = {part.region for part in parts if part is not None}
    if len(regions) > 1:
        raise ServiceException.invalid(
            f"Cannot copy a version to another Region: the ARNs are of {' and '.join(sorted(regions))}."
        )


def _source_version(call: Call, db: Connection, parameters: dict[str, Any]) -> Row:
    """Return the version to copy, from the account that owns it."""
    parts = parse_arn(parameters["SourceProjectArn"])
    owner = call if parts is None else attrs.evolve(call, account=parts.account)
    project = custom_labels_project(owner, db, parameters["SourceProjectArn"])
    version = owner.version(db, parameters["SourceProjectVersionArn"])
    if version["project"] != project["arn"]:
        raise ServiceException.invalid(f"Version {version['arn']} is not in project {project['arn']}.")
    _check_policies(call, db, project, version["arn"])
    if version["status"] not in _COPYABLE:
        raise ServiceException.in_use(f"Cannot copy model {version['arn']} while it is {version['status']}.")
    return version


def _check_policies(call: Call, db: Connection, project: Row, version: str) -> None:
    rows = db.execute("SELECT document FROM policies WHERE project = ?", (project["arn"],)).fetchall()
    documents = [row["document"] for row in rows]
    if project["account"] == call.account:
        # Copies within an account need no policy, but a policy can deny them.
        if denies(documents, call.account, version):
            raise _access_denied(call, version, "a policy of the source project denies it")
    elif not permits(documents, call.account, version):
        raise _access_denied(call, version, "no policy of the source project allows it, or one denies it")


def _access_denied(call: Call, version: str, reason: str) -> ServiceException:
    return ServiceException(
        "AccessDeniedException",
        f"User: {call.user} is not authorized to perform: rekognition:CopyProjectVersion on resource: "
        f"{version}, because {reason}.",
    )


def _describe(row: Row) -> dict[str, Any]:
    request, results = json.loads(row["request"]), json.loads(row["results"])
    train_input = {"Input": request.get("TrainingData", {})}
    test_input = {"Input": {"AutoCreate": False} | request.get("TestingData", {})}
    return {
        "ProjectVersionArn": row["arn"],
        "CreationTimestamp": row["created"] / 1000,
        "MinInferenceUnits": row["min_units"],
        "MaxInferenceUnits": row["max_units"],
        "Status": row["status"],
        "StatusMessage": row["message"] or None,
        "BillableTrainingTimeInSeconds": row["billable"],
        "TrainingEndTimestamp": None if row["ended"] is None else row["ended"] / 1000,
        "OutputConfig": request["OutputConfig"],
        "TrainingDataResult": train_input | results.get("TrainingDataResult", {}),
        "TestingDataResult": test_input | results.get("TestingDataResult", {}),
        "EvaluationResult": results.get("EvaluationResult"),
        "ManifestSummary": results.get("ManifestSummary"),
        "KmsKeyId": request.get("KmsKeyId"),
        "VersionDescription": request.get("VersionDescription"),
        "SourceProjectVersionArn": request.get("SourceProjectVersionArn"),
        "Feature": request.get("Feature"),
        "BaseModelVersion": results.get("BaseModelVersion"),
        "FeatureConfig": request.get("FeatureConfig"),
    }
