"""Operations on media analysis jobs: StartMediaAnalysisJob, GetMediaAnalysisJob, ListMediaAnalysisJobs."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._core._s3_objects import get_object_args
from rekolabels.local._jobs._media import run_media_job
from rekolabels.local._jobs._regional_s3 import RegionalS3
from rekolabels.local._operations._parameters import PageQuery, check_s3_object, unreadable_s3_object
from rekolabels.local._operations.inference import find_adapter

if TYPE_CHECKING:
    from sqlite3 import Connection, Row

    from rekolabels.local._core._context import Call

__all__ = ["get_media_analysis_job", "list_media_analysis_jobs", "start_media_analysis_job"]

_MAX_MANIFEST_BYTES = 1 << 30
_TOKEN = "ClientRequestToken"  # noqa: S105 - the name of a parameter


def start_media_analysis_job(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Start a job that moderates every image of a manifest.

    Idempotent: a request with the same ClientRequestToken and parameters returns the same job.
    """
    context = call.context
    settings = parameters["OperationsConfig"].get("DetectModerationLabels")
    if settings is None:
        raise ServiceException.invalid(
            "OperationsConfig needs DetectModerationLabels, the only operation for media analysis jobs."
        )
    with context.store.read() as db:
        known = _job_with_token(call, db, parameters)
        if known is not None:
            return {"JobId": known}
        adapter = _adapter_number(call, db, settings)
    _check_manifest(call, parameters["Input"]["S3Object"])
    with context.store.write() as db:
        known = _job_with_token(call, db, parameters)
        if known is not None:
            return {"JobId": known}
        _check_quota(call, db)
        job_id = hashlib.sha256(uuid.uuid4().bytes).hexdigest()
        db.execute(
            "INSERT INTO media_jobs (id, account, region, created, status, token, request) "
            "VALUES (?, ?, ?, ?, 'IN_PROGRESS', ?, ?)",
            (
                job_id,
                call.account,
                call.region,
                context.store.next_timestamp(db, context.clock()),
                parameters.get(_TOKEN),
                json.dumps(_without_token(parameters)),
            ),
        )
        job = context.jobs.register(db, "media.run", job_id)
    context.jobs.launch(lambda: run_media_job(context, job, adapter), job)
    return {"JobId": job_id}


def get_media_analysis_job(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Describe one job."""
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
    """List the jobs of the account in the Region, newest first."""
    call.context.jobs.recover()
    page = PageQuery("ListMediaAnalysisJobs", parameters)
    with call.context.store.read() as db:
        rows = db.execute(
            "SELECT * FROM media_jobs WHERE account = ? AND region = ? AND (? IS NULL OR created < ?) "
            "ORDER BY created DESC LIMIT ?",
            (call.account, call.region, page.position, page.position, page.size + 1),
        ).fetchall()
    rows, token = page.cut(rows, "created")
    return {"MediaAnalysisJobs": [_describe(row) for row in rows], "NextToken": token}


def _job_with_token(call: Call, db: Connection, parameters: dict[str, Any]) -> str | None:
    """Return the id of the job that the same request started earlier."""
    row = db.execute(
        "SELECT id, request FROM media_jobs WHERE account = ? AND region = ? AND token = ?",
        (call.account, call.region, parameters.get(_TOKEN)),
    ).fetchone()
    if row is None:
        return None
    if json.loads(row["request"]) != _without_token(parameters):
        raise ServiceException(
            "IdempotentParameterMismatchException",
            f"The ClientRequestToken: {parameters[_TOKEN]} you have supplied is already in use. Job "
            f"{row['id']} was started with it and other parameters. Use a new token.",
        )
    return str(row["id"])


def _without_token(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name != _TOKEN}


def _adapter_number(call: Call, db: Connection, settings: dict[str, Any]) -> int | None:
    arn = settings.get("ProjectVersion")
    return None if arn is None else int(find_adapter(call, db, arn)["number"])


def _check_manifest(call: Call, s3_object: dict[str, Any]) -> None:
    check_s3_object(s3_object, "Input.S3Object")
    try:
        s3 = RegionalS3(call.context.s3, call.region)
        size = s3.head_object(**get_object_args(s3_object))["ContentLength"]
    except (ClientError, BotoCoreError) as error:
        raise unreadable_s3_object("manifest", s3_object, error) from None
    if not 0 < size <= _MAX_MANIFEST_BYTES:
        raise ServiceException(
            "InvalidManifestException",
            f"Manifest s3://{s3_object['Bucket']}/{s3_object['Name']} has {size} bytes; "
            f"1 to {_MAX_MANIFEST_BYTES} are allowed.",
        )


def _check_quota(call: Call, db: Connection) -> None:
    (count,) = db.execute(
        "SELECT count(*) FROM media_jobs WHERE account = ? AND region = ? AND status = 'IN_PROGRESS'",
        (call.account, call.region),
    ).fetchone()
    if count >= call.context.quotas.media_jobs_in(call.region):
        raise ServiceException.limit(
            f"The account has reached its quota of media analysis jobs in progress ({count}). "
            "Wait until one ends."
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
