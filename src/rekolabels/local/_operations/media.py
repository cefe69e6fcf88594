"""Media analysis jobs: StartMediaAnalysisJob, GetMediaAnalysisJob, ListMediaAnalysisJobs."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._core._s3_objects import get_object_args
from rekolabels.local._jobs._media import run_media_job
from rekolabels.local._operations._pages import DEFAULT_PAGE, make_token, read_token
from rekolabels.local._operations.moderation import find_adapter

if TYPE_CHECKING:
    from sqlite3 import Connection, Row

    from rekolabels.local._core._context import Call

__all__ = ["get_media_analysis_job", "list_media_analysis_jobs", "start_media_analysis_job"]

_LARGEST = 1 << 30
_TOKEN = "ClientRequestToken"  # noqa: S105 - the name of a parameter


def start_media_analysis_job(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Look at every image of a manifest. The same token with the same parameters is the same job."""
    context = call.context
    settings = parameters["OperationsConfig"].get("DetectModerationLabels")
    if settings is None:
        raise ServiceException.invalid(
            "OperationsConfig needs DetectModerationLabels; nothing else is offered."
        )
    with context.store.read() as db:
        known = _known(call, db, parameters)
        if known is not None:
            return {"JobId": known}
        adapter = _adapter(call, db, settings)
    _check_manifest(call, parameters["Input"]["S3Object"])
    with context.store.write() as db:
        known = _known(call, db, parameters)
        if known is not None:
            return {"JobId": known}
        _check_room(call, db)
        identity = hashlib.sha256(uuid.uuid4().bytes).hexdigest()
        db.execute(
            "INSERT INTO media_jobs (id, account, region, created, status, token, request) "
            "VALUES (?, ?, ?, ?, 'IN_PROGRESS', ?, ?)",
            (
                identity,
                call.account,
                call.region,
                context.store.next_timestamp(db, context.clock()),
                parameters.get(_TOKEN),
                json.dumps(_kept(parameters)),
            ),
        )
        job = context.jobs.register(db, "media.run", identity)
    context.jobs.launch(lambda: run_media_job(context, job, adapter), job)
    return {"JobId": identity}


def get_media_analysis_job(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """One job."""
    call.context.jobs.recover()
    with call.context.store.read() as db:
        row = db.execute(
            "SELECT * FROM media_jobs WHERE id = ? AND account = ? AND region = ?",
            (parameters["JobId"], call.account, call.region),
        ).fetchone()
    if row is None:
        raise ServiceException.not_found("media analysis job", parameters["JobId"])
    return _describe(row)


def list_media_analysis_jobs(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """The jobs of the account in the Region, newest first."""
    call.context.jobs.recover()
    most = parameters.get("MaxResults", DEFAULT_PAGE)
    position = read_token("ListMediaAnalysisJobs", parameters)
    with call.context.store.read() as db:
        rows = db.execute(
            "SELECT * FROM media_jobs WHERE account = ? AND region = ? AND (? IS NULL OR created < ?) "
            "ORDER BY created DESC LIMIT ?",
            (call.account, call.region, position, position, most + 1),
        ).fetchall()
    answer: dict[str, Any] = {"MediaAnalysisJobs": [_describe(row) for row in rows[:most]]}
    if len(rows) > most:
        answer["NextToken"] = make_token("ListMediaAnalysisJobs", parameters, rows[most - 1]["created"])
    return answer


def _known(call: Call, db: Connection, parameters: dict[str, Any]) -> str | None:
    """The job that the same request has started before."""
    row = db.execute(
        "SELECT id, request FROM media_jobs WHERE account = ? AND region = ? AND token = ?",
        (call.account, call.region, parameters.get(_TOKEN)),
    ).fetchone()
    if row is None:
        return None
    if json.loads(row["request"]) != _kept(parameters):
        raise ServiceException(
            "IdempotentParameterMismatchException",
            f"The ClientRequestToken was used for the job {row['id']} with other parameters.",
        )
    return str(row["id"])


def _kept(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name != _TOKEN}


def _adapter(call: Call, db: Connection, settings: dict[str, Any]) -> int | None:
    arn = settings.get("ProjectVersion")
    return None if arn is None else int(find_adapter(call, db, arn)["number"])


def _check_manifest(call: Call, place: dict[str, Any]) -> None:
    if not place.get("Bucket") or not place.get("Name"):
        raise ServiceException.invalid("Input.S3Object needs both Bucket and Name.")
    name = f"s3://{place['Bucket']}/{place['Name']}"
    try:
        size = call.context.s3().head_object(**get_object_args(place))["ContentLength"]
    except (ClientError, BotoCoreError) as error:
        raise ServiceException(
            "InvalidS3ObjectException", f"The manifest {name} cannot be read: {error}"
        ) from None
    if not 0 < size <= _LARGEST:
        raise ServiceException(
            "InvalidManifestException", f"The manifest {name} has {size} bytes; 1 to {_LARGEST} are allowed."
        )


def _check_room(call: Call, db: Connection) -> None:
    (count,) = db.execute(
        "SELECT count(*) FROM media_jobs WHERE account = ? AND region = ? AND status = 'IN_PROGRESS'",
        (call.account, call.region),
    ).fetchone()
    if count >= call.context.quotas.media_jobs:
        raise ServiceException.limit(
            f"{count} media analysis jobs are already in progress; wait until one has ended."
        )


def _describe(row: Row) -> dict[str, Any]:
    request, results = json.loads(row["request"]), json.loads(row["results"])
    return {
        "JobId": row["id"],
        "JobName": request.get("JobName"),
        "OperationsConfig": request["OperationsConfig"],
        "Status": row["status"],
        "FailureDetails": results.get("FailureDetails"),
        "CreationTimestamp": row["created"] / 1000,
        "CompletionTimestamp": None if row["ended"] is None else row["ended"] / 1000,
        "Input": request["Input"],
        "OutputConfig": request["OutputConfig"],
        "KmsKeyId": request.get("KmsKeyId"),
        "Results": results.get("Results"),
        "ManifestSummary": results.get("ManifestSummary"),
    }
