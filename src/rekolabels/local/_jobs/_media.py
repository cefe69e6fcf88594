"""Media analysis jobs: moderate every image of a manifest, and write the results to S3."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

import attrs
from botocore.exceptions import BotoCoreError, ClientError

from rekolabels.local._core._context import Context
from rekolabels.local._core._s3_objects import get_object_args, read_lines, result_key
from rekolabels.local._engine import UnusableImage
from rekolabels.local._jobs._moderation import BASE_MODEL, DEFAULT_MIN_CONFIDENCE, detect_labels
from rekolabels.local._jobs._regional_s3 import RegionalS3
from rekolabels.local._jobs._s3_files import IN_MEMORY_BYTES, ImageFetcher, ImageNotFetched, s3_reason
from rekolabels.manifest._json import is_object

if TYPE_CHECKING:
    from collections.abc import Iterable
    from sqlite3 import Connection

    from rekolabels.local._core._job import Job

__all__ = ["interrupt_media_job", "run_media_job"]


class _JobFailed(Exception):
    """The job as a whole fails.

    Attributes:
        code: One of AWS's ``FailureDetails`` codes.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@attrs.define
class _Analysis:
    """One pass over a manifest."""

    context: Context
    s3: RegionalS3
    adapter: int | None
    """Number of the adapter's version; None for the base model."""
    settings: Mapping[str, Any]
    """The request's ``DetectModerationLabels`` settings."""
    total: int = 0
    """Number of lines so far, blank ones left out."""
    errors: list[dict[str, Any]] = attrs.field(factory=list[dict[str, Any]])

    def analyze(self, lines: Iterable[bytes], output: IO[bytes]) -> None:
        """Write a result line for each valid image, and note the errors of the others."""
        images = ImageFetcher(self.s3, cache_bytes=0)
        for number, raw in enumerate(lines, 1):
            self.context.jobs.check()
            if not raw.strip():
                continue
            self.total += 1
            source = _source(raw)
            if source is None:
                self._add_error(number, "", "INVALID_JSON_LINE", "The line has no source-ref.")
                continue
            try:
                answer = self._moderate(images.read(source))
            except UnusableImage as error:
                code = "INVALID_S3_OBJECT" if isinstance(error, ImageNotFetched) else "INVALID_IMAGE"
                self._add_error(number, source, code, str(error))
                continue
            line = {"source-ref": source, "detect-moderation-labels": answer}
            output.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def _moderate(self, data: bytes) -> dict[str, Any]:
        min_confidence = self.settings.get("MinConfidence", DEFAULT_MIN_CONFIDENCE)
        answer: dict[str, Any] = {
            "ModerationLabels": detect_labels(self.context.models, self.adapter, data, min_confidence),
            "ModerationModelVersion": BASE_MODEL,
            "ContentTypes": [],
        }
        if "ProjectVersion" in self.settings:
            answer["ProjectVersion"] = self.settings["ProjectVersion"]
        return answer

    def _add_error(self, number: int, source: str, code: str, message: str) -> None:
        self.errors.append({"line-number": number, "source-ref": source, "code": code, "message": message})

    def summary(self) -> dict[str, Any]:
        """Return the content of the manifest summary file; unlike in training, its keys have hyphens."""
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
    """Run the job of StartMediaAnalysisJob.

    Args:
        context: The service.
        job: The registered job.
        adapter: Number of the adapter's version; None for the base model.
    """
    with context.store.read() as db:
        row = db.execute("SELECT region, request FROM media_jobs WHERE id = ?", (job.arn,)).fetchone()
    request = json.loads(row["request"])
    s3 = RegionalS3(context.s3, row["region"])
    analysis = _Analysis(context, s3, adapter, request["OperationsConfig"]["DetectModerationLabels"])
    try:
        status, results = "SUCCEEDED", _run(analysis, job, request)
    except _JobFailed as failed:
        status = "FAILED"
        results = {"FailureDetails": {"Code": failed.code, "Message": str(failed)}}
    with context.store.write() as db:
        _finish(db, job.arn, status, results, int(context.clock() * 1000))
        context.jobs.finish(db, job)


def interrupt_media_job(db: Connection, identity: str, now: int) -> None:
    """Mark an interrupted job as failed; ``now`` is in milliseconds since 1970."""
    details = {"Code": "INTERNAL_ERROR", "Message": "The job was interrupted. Start it again."}
    _finish(db, identity, "FAILED", {"FailureDetails": details}, now)


def _finish(db: Connection, identity: str, status: str, results: dict[str, Any], now: int) -> None:
    db.execute(
        "UPDATE media_jobs SET status = ?, results = ?, ended = ? WHERE id = ?",
        (status, json.dumps(results), now, identity),
    )


def _run(analysis: _Analysis, job: Job, request: dict[str, Any]) -> dict[str, Any]:
    s3 = analysis.s3
    with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as output:
        try:
            with s3.get_object(**get_object_args(request["Input"]["S3Object"]))["Body"] as body:
                analysis.analyze(read_lines(body), output)
        except (ClientError, BotoCoreError) as error:
            reason = f"Cannot read the manifest: {s3_reason(error)}."
            raise _JobFailed("INVALID_S3_OBJECT", reason) from error
        if analysis.total == 0:
            raise _JobFailed("INVALID_MANIFEST", "The manifest has no lines.")
        output.seek(0)
        output_config = request["OutputConfig"]
        prefix, bucket = output_config.get("S3KeyPrefix", ""), output_config["S3Bucket"]
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
                reason = f"Cannot write the results to s3://{bucket}/{key}: {s3_reason(error)}."
                raise _JobFailed("INVALID_OUTPUT_CONFIG", reason) from error
            answer[member] = {"S3Object": {"Bucket": bucket, "Name": key}}
    return answer


def _source(raw: bytes) -> str | None:
    try:
        members: object = json.loads(raw.decode())
    except (ValueError, RecursionError):
        return None
    source: object = members.get("source-ref") if is_object(members) else None
    return source if isinstance(source, str) else None
