"""Model versions: CreateProjectVersion, DescribeProjectVersions, Start, Stop and DeleteProjectVersion."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._jobs._adapter_training import train_adapter
from rekolabels.local._jobs._lifecycle import (
    delete_version,
    set_version_status,
    start_version,
    stop_version,
)
from rekolabels.local._jobs._model_training import train_model
from rekolabels.local._jobs._training_data import snapshot_datasets
from rekolabels.local._jobs._training_run import run_training
from rekolabels.local._operations._pages import DEFAULT_PAGE, make_token, read_token
from rekolabels.local._operations.adapters import (
    MODERATION,
    check_adapter_request,
    project_for_training,
    refuse_adapter,
)
from rekolabels.local._operations.tags import set_tags

if TYPE_CHECKING:
    from sqlite3 import Connection, Row

    from rekolabels.local._core._context import Call

__all__ = [
    "check_output",
    "check_version_room",
    "create_project_version",
    "delete_project_version",
    "describe_project_versions",
    "start_project_version",
    "stop_project_version",
]

_STARTABLE = ("TRAINING_COMPLETED", "STOPPED", "COPYING_COMPLETED", "FAILED")
_DELETABLE = (*_STARTABLE, "TRAINING_FAILED", "COPYING_FAILED")
_KEPT = ("OutputConfig", "TrainingData", "TestingData", "KmsKeyId", "VersionDescription", "FeatureConfig")


def create_project_version(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Start a training, from the project's datasets or from manifests in S3."""
    context = call.context
    with context.store.write() as db:
        project = project_for_training(call, db, parameters["ProjectArn"])
        adapter = project["feature"] == MODERATION
        external = _check_sources(parameters, adapter=adapter)
        if not adapter:
            _check_datasets(db, project, external=external)
        check_version_room(call, db, project, parameters["VersionName"])
        _check_trainings(call, db)
        arn = call.new_arn(db, project["name"], "version", parameters["VersionName"])
        if not external:
            snapshot_datasets(context, db, project["arn"], arn.number)
        db.execute(
            "INSERT INTO versions (arn, number, project, name, created, status, message, request) "
            "VALUES (?, ?, ?, ?, ?, 'TRAINING_IN_PROGRESS', 'The model is being trained.', ?)",
            (
                str(arn),
                arn.number,
                project["arn"],
                parameters["VersionName"],
                arn.number,
                json.dumps(_kept(parameters, adapter=adapter)),
            ),
        )
        set_tags(call, db, str(arn), parameters.get("Tags"))
        job = context.jobs.register(db, "version.train", str(arn))
    train_kind = train_adapter if adapter else train_model
    context.jobs.launch(lambda: run_training(context, job, train_kind), job)
    return {"ProjectVersionArn": str(arn)}


def describe_project_versions(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """The versions of a project, newest first."""
    call.context.jobs.recover()
    most = parameters.get("MaxResults", DEFAULT_PAGE)
    position = read_token("DescribeProjectVersions", parameters)
    conditions, values = ["project = ?"], [parameters["ProjectArn"]]
    if parameters.get("VersionNames"):
        conditions.append(f"name IN ({', '.join('?' * len(parameters['VersionNames']))})")
        values += parameters["VersionNames"]
    if position is not None:
        conditions.append("created < ?")
        values.append(position)
    query = f"SELECT * FROM versions WHERE {' AND '.join(conditions)} ORDER BY created DESC LIMIT ?"  # noqa: S608 - the conditions above
    with call.context.store.read() as db:
        call.project(db, parameters["ProjectArn"])
        rows = db.execute(query, (*values, most + 1)).fetchall()
    more = len(rows) > most
    token = make_token("DescribeProjectVersions", parameters, rows[most - 1]["created"]) if more else ""
    # An empty token on the last page, as recorded.
    return {"ProjectVersionDescriptions": [_describe(row) for row in rows[:most]], "NextToken": token}


def start_project_version(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Make a trained model ready to answer."""
    context = call.context
    least, most = parameters["MinInferenceUnits"], parameters.get("MaxInferenceUnits")
    if most is not None and most < least:
        raise ServiceException.invalid(
            f"MaxInferenceUnits ({most}) is smaller than MinInferenceUnits ({least})."
        )
    with context.store.write() as db:
        version = call.version(db, parameters["ProjectVersionArn"])
        refuse_adapter(version)
        if version["status"] not in _STARTABLE:
            raise ServiceException.in_use(
                f"The model {version['arn']} is {version['status']} and cannot be started now."
            )
        units = context.quotas.inference_units
        if max(least, most or 0) > units:
            raise ServiceException.limit(f"A model can have at most {units} inference units.")
        (running,) = db.execute(
            "SELECT count(*) FROM versions JOIN projects ON versions.project = projects.arn "
            "WHERE account = ? AND region = ? AND versions.status IN ('STARTING', 'RUNNING')",
            (call.account, call.region),
        ).fetchone()
        if running >= context.quotas.running_models:
            raise ServiceException.limit(
                f"{running} models are already running; more are not allowed. Stop one first."
            )
        db.execute(
            "UPDATE versions SET status = 'STARTING', message = 'The model is starting.', min_units = ?, "
            "max_units = ? WHERE arn = ?",
            (least, most, version["arn"]),
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
                f"The model {version['arn']} is {version['status']}; only a running one stops."
            )
        set_version_status(db, version["arn"], "STOPPING", "The model is stopping.")
        job = context.jobs.register(db, "version.stop", version["arn"])
    context.jobs.launch(lambda: stop_version(context, job), job)
    return {"Status": "STOPPING"}


def delete_project_version(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Delete a version that is neither training nor running; its result files in S3 stay."""
    context = call.context
    with context.store.write() as db:
        version = call.version(db, parameters["ProjectVersionArn"])
        if version["status"] not in _DELETABLE:
            raise ServiceException.in_use(
                f"The model {version['arn']} is {version['status']} and cannot be deleted now."
            )
        copied = db.execute(
            "SELECT arn FROM versions WHERE status = 'COPYING_IN_PROGRESS' "
            "AND json_extract(request, '$.SourceProjectVersionArn') = ? LIMIT 1",
            (version["arn"],),
        ).fetchone()
        if copied is not None:
            raise ServiceException.in_use(f"The model {version['arn']} is being copied to {copied['arn']}.")
        set_version_status(db, version["arn"], "DELETING", "The model is being deleted.")
        job = context.jobs.register(db, "version.delete", version["arn"])
    context.jobs.launch(lambda: delete_version(context, job), job)
    return {"Status": "DELETING"}


def check_output(parameters: dict[str, Any]) -> None:
    """See that a request says where the results go.

    Raises:
        ServiceException: It does not.
    """
    if not parameters["OutputConfig"].get("S3Bucket"):
        raise ServiceException.invalid("OutputConfig.S3Bucket must be given.")


def _kept(parameters: dict[str, Any], *, adapter: bool) -> dict[str, Any]:
    """What is remembered of a request."""
    kept = {name: parameters[name] for name in _KEPT if name in parameters}
    return kept | {"Feature": MODERATION} if adapter else kept


def _check_sources(parameters: dict[str, Any], *, adapter: bool) -> bool:
    """Check how the data is named; True when it is by manifests of the caller's own."""
    if adapter:
        check_adapter_request(parameters)
    elif "FeatureConfig" in parameters:
        raise ServiceException.invalid("FeatureConfig is for content moderation projects only.")
    check_output(parameters)
    training, testing = parameters.get("TrainingData"), parameters.get("TestingData")
    if training is None and testing is None:
        return False
    if training is None or testing is None:
        raise ServiceException.invalid(
            "TrainingData and TestingData must be given together, or neither of them."
        )
    if not training.get("Assets"):
        raise ServiceException.invalid("TrainingData.Assets must name a manifest.")
    if bool(testing.get("Assets")) == bool(testing.get("AutoCreate")):
        raise ServiceException.invalid("TestingData needs either Assets or AutoCreate=true.")
    for name, data in (("TrainingData", training), ("TestingData", testing)):
        assets: list[dict[str, Any]] = data.get("Assets") or []
        for asset in assets:
            place: dict[str, Any] = asset.get("GroundTruthManifest", {}).get("S3Object", {})
            if not place.get("Bucket") or not place.get("Name"):
                raise ServiceException.invalid(
                    f"{name}.Assets needs a GroundTruthManifest.S3Object with Bucket and Name."
                )
    return True


def _check_datasets(db: Connection, project: Row, *, external: bool) -> None:
    rows = db.execute("SELECT * FROM datasets WHERE project = ?", (project["arn"],)).fetchall()
    if external:
        if rows:
            raise ServiceException.invalid(
                f"The project has datasets ({rows[0]['arn']}); TrainingData and TestingData cannot be given."
            )
        return
    missing = {"TRAIN", "TEST"} - {row["kind"] for row in rows}
    if missing:
        raise ServiceException.invalid(
            f"The project has no {' and no '.join(sorted(missing))} dataset. Create it, or give TrainingData "
            "and TestingData."
        )
    for row in rows:
        if row["status"].endswith("_IN_PROGRESS"):
            raise ServiceException.in_use(f"The dataset {row['arn']} is {row['status']}.")
        if row["status"] == "CREATE_FAILED":
            raise ServiceException.invalid(f"The dataset {row['arn']} could not be created: {row['message']}")


def check_version_room(call: Call, db: Connection, project: Row, name: str) -> None:
    """See that a project can take one more version of this name.

    Raises:
        ServiceException: The name is taken, or the quota reached.
    """
    quotas = call.context.quotas
    taken = db.execute(
        "SELECT arn FROM versions WHERE project = ? AND name = ?", (project["arn"], name)
    ).fetchone()
    if taken is not None:
        raise ServiceException.in_use(f"The project already has a version named {name}, {taken['arn']}.")
    (count,) = db.execute("SELECT count(*) FROM versions WHERE project = ?", (project["arn"],)).fetchone()
    if count >= quotas.versions_per_project:
        raise ServiceException(
            "ServiceQuotaExceededException",
            f"The project already has {count} versions; more are not allowed.",
        )


def _check_trainings(call: Call, db: Connection) -> None:
    (training,) = db.execute(
        "SELECT count(*) FROM versions JOIN projects ON versions.project = projects.arn "
        "WHERE account = ? AND region = ? AND versions.status = 'TRAINING_IN_PROGRESS'",
        (call.account, call.region),
    ).fetchone()
    if training >= call.context.quotas.trainings:
        raise ServiceException.limit(
            f"{training} trainings are already in progress; wait until one has ended."
        )


def _describe(row: Row) -> dict[str, Any]:
    request, results = json.loads(row["request"]), json.loads(row["results"])
    testing = request.get("TestingData", {})
    training_result = {"Input": request.get("TrainingData", {})}
    testing_result = {"Input": {"AutoCreate": False} | testing}
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
        "TrainingDataResult": training_result | results.get("TrainingDataResult", {}),
        "TestingDataResult": testing_result | results.get("TestingDataResult", {}),
        "EvaluationResult": results.get("EvaluationResult"),
        "ManifestSummary": results.get("ManifestSummary"),
        "KmsKeyId": request.get("KmsKeyId"),
        "VersionDescription": request.get("VersionDescription"),
        "SourceProjectVersionArn": request.get("SourceProjectVersionArn"),
        "Feature": request.get("Feature"),
        "BaseModelVersion": results.get("BaseModelVersion"),
        "FeatureConfig": request.get("FeatureConfig"),
    }
