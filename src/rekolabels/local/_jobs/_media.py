"""The work of a media analysis job: every image of a manifest, once a line."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

import attrs
from botocore.exceptions import BotoCoreError, ClientError

from rekolabels.local._core._context import Context
from rekolabels.local._core._jsonl import read_lines
from rekolabels.local._core._places import object_of, result_key
from rekolabels.local._engine import UnusableImage
from rekolabels.local._jobs._images import Images, NotFetched
from rekolabels.local._jobs._moderation import BASE_MODEL, moderate

if TYPE_CHECKING:
    from collections.abc import Iterable
    from sqlite3 import Connection

    from rekolabels.local._core._job_runner import Job
from rekolabels.manifest._json import is_object

__all__ = ["interrupt_media_job", "run_media_job"]

_SPOOLED = 8 << 20
_LEAST = 50.0


class _Failed(Exception):
    """The whole job ends with this code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@attrs.define
class _Analysis:
    """One run over a manifest."""

    context: Context
    adapter: int | None
    settings: Mapping[str, Any]
    total: int = 0
    errors: list[dict[str, Any]] = attrs.field(factory=list[dict[str, Any]])

    def look_at_all(self, lines: Iterable[bytes], output: IO[bytes]) -> None:
        """Write a line for each image that can be looked at, and note the others."""
        images = Images(self.context.s3, kept=0)
        for number, raw in enumerate(lines, 1):
            self.context.jobs.check()
            if not raw.strip():
                continue
            self.total += 1
            source = _source(raw)
            if source is None:
                self._note(number, "", "INVALID_JSON_LINE", "The line has no source-ref.")
                continue
            try:
                answer = self._moderate(images.read(source))
            except UnusableImage as error:
                code = "INVALID_S3_OBJECT" if isinstance(error, NotFetched) else "INVALID_IMAGE"
                self._note(number, source, code, str(error))
                continue
            line = {"source-ref": source, "detect-moderation-labels": answer}
            output.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def _moderate(self, data: bytes) -> dict[str, Any]:
        least = self.settings.get("MinConfidence", _LEAST)
        answer: dict[str, Any] = {
            "ModerationLabels": moderate(self.context.models, self.adapter, data, least),
            "ModerationModelVersion": BASE_MODEL,
            "ContentTypes": [],
        }
        if "ProjectVersion" in self.settings:
            answer["ProjectVersion"] = self.settings["ProjectVersion"]
        return answer

    def _note(self, number: int, source: str, code: str, message: str) -> None:
        self.errors.append({"line-number": number, "source-ref": source, "code": code, "message": message})

    def summary(self) -> dict[str, Any]:
        """The content of the manifest summary file; its keys are hyphenated."""
        return {
            "version": "1.0",
            "statistics": {
                "total-json-lines": self.total,
                "valid-json-lines": self.total - len(self.errors),
                "invalid-json-lines": len(self.errors),
            },
            "errors": self.errors,
        }


def run_media_job(context: Context, job: Job, adapter: int | None) -> None:
    """The work of StartMediaAnalysisJob; ``adapter`` is the number of a version, None the base model."""
    with context.store.read() as db:
        row = db.execute("SELECT request FROM media_jobs WHERE id = ?", (job.arn,)).fetchone()
    request = json.loads(row["request"])
    try:
        status, results = "SUCCEEDED", _run(context, job, adapter, request)
    except _Failed as failed:
        status = "FAILED"
        results = {"FailureDetails": {"Code": failed.code, "Message": str(failed)}}
    with context.store.write() as db:
        _end(db, job.arn, status, results, int(context.clock() * 1000))
        context.jobs.finish(db, job)


def interrupt_media_job(db: Connection, identity: str, now: int) -> None:
    """What an interrupted job is left as."""
    details = {"Code": "INTERNAL_ERROR", "Message": "The job was interrupted; start it again."}
    _end(db, identity, "FAILED", {"FailureDetails": details}, now)


def _end(db: Connection, identity: str, status: str, results: dict[str, Any], now: int) -> None:
    db.execute(
        "UPDATE media_jobs SET status = ?, results = ?, ended = ? WHERE id = ?",
        (status, json.dumps(results), now, identity),
    )


def _run(context: Context, job: Job, adapter: int | None, request: dict[str, Any]) -> dict[str, Any]:
    s3 = context.s3()
    analysis = _Analysis(context, adapter, request["OperationsConfig"]["DetectModerationLabels"])
    with tempfile.SpooledTemporaryFile(_SPOOLED) as output:
        try:
            with s3.get_object(**object_of(request["Input"]["S3Object"]))["Body"] as body:
                analysis.look_at_all(read_lines(body), output)
        except (ClientError, BotoCoreError) as error:
            raise _Failed("INVALID_S3_OBJECT", f"The manifest cannot be read: {error}") from error
        if analysis.total == 0:
            raise _Failed("INVALID_MANIFEST", "The manifest has no lines.")
        output.seek(0)
        where = request["OutputConfig"]
        prefix, bucket = where.get("S3KeyPrefix", ""), where["S3Bucket"]
        files: dict[str, tuple[str, Any]] = {
            "Results": (f"{job.arn}-results.jsonl", output),
            "ManifestSummary": (f"{job.arn}-manifest-summary.json", json.dumps(analysis.summary()).encode()),
        }
        answer: dict[str, Any] = {}
        for member, (name, content) in files.items():
            key = result_key(prefix, name)
            try:
                s3.put_object(Bucket=bucket, Key=key, Body=content, ContentType="application/json")
            except (ClientError, BotoCoreError) as error:
                raise _Failed("INVALID_OUTPUT_CONFIG", f"The results cannot be written: {error}") from error
            answer[member] = {"S3Object": {"Bucket": bucket, "Name": key}}
    return answer


def _source(raw: bytes) -> str | None:
    try:
        members: object = json.loads(raw.decode())
    except (ValueError, RecursionError):
        return None
    source: object = members.get("source-ref") if is_object(members) else None
    return source if isinstance(source, str) else None
