"""Files that jobs read from and write to S3: images in, result files out."""

from __future__ import annotations

import json
import re
import tempfile
import threading
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from rekolabels.local._core._s3_objects import result_key
from rekolabels.local._engine import UnusableImage, check_image
from rekolabels.local._jobs._manifests import ManifestFileError
from rekolabels.manifest.limits import IMAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from rekolabels.local._jobs._regional_s3 import RegionalS3

__all__ = ["IN_MEMORY_BYTES", "ImageFetcher", "ImageNotFetched", "ResultFiles", "s3_reason"]

IN_MEMORY_BYTES = 8 << 20
"""Size, in bytes, up to which a result file is built in memory; larger ones go to a temporary file."""

_CACHE_BYTES = 256 << 20
_S3_URI = re.compile(r"[sS]3://([^/]+)/(.+)", re.DOTALL)
_REASONS: Mapping[str, str] = {
    # HEAD has no body, and so no code
    "403": "access is denied",
    "404": "it does not exist",
    "AccessDenied": "access is denied",
    "NoSuchBucket": "the bucket does not exist",
    "NoSuchKey": "it does not exist",
    "NoSuchVersion": "this version does not exist",
    "PermanentRedirect": "the bucket is in another Region",
}


def s3_reason(error: Exception) -> str:
    """Return why S3 failed, as the end of a sentence.

    The text of boto3's error is not used: it is about a request that the caller of the service did not make.

    Args:
        error: What boto3 raised.
    """
    if not isinstance(error, ClientError):
        return "S3 did not answer"
    code = str(error.response.get("Error", {}).get("Code", ""))
    if error.operation_name == "HeadBucket" and code == "404":
        return _REASONS["NoSuchBucket"]
    return _REASONS.get(code, f"S3 answered {code}")


class ImageNotFetched(UnusableImage):
    """S3 did not return the image."""


class ImageFetcher:
    """Fetches and caches the images of one job from S3.

    Args:
        s3: The S3 client of the job.
        cache_bytes: Most bytes of images to cache, so that most are fetched only once; 0 for no cache.
    """

    def __init__(self, s3: RegionalS3, *, cache_bytes: int = _CACHE_BYTES) -> None:
        self._s3 = s3
        self._free_bytes = cache_bytes
        self._cache: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def read(self, source: str) -> bytes:
        """Return an encoded image.

        Args:
            source: Its S3 URI.

        Raises:
            UnusableImage: It cannot be fetched, or is too large.
        """
        cached = self._cache.get(source)
        return self._fetch(source) if cached is None else cached

    def problem_with(self, source: str) -> UnusableImage | None:
        """Return why an image cannot be used, judged by its header; None if it can."""
        try:
            data = self._fetch(source)
            check_image(data)
        except UnusableImage as error:
            return error
        with self._lock:
            if source not in self._cache and len(data) <= self._free_bytes:
                self._cache[source] = data
                self._free_bytes -= len(data)
        return None

    def _fetch(self, source: str) -> bytes:
        match = _S3_URI.fullmatch(source)
        if match is None:
            raise UnusableImage(f"{source} is not an S3 URI", reason="unreadable")
        try:
            answer = self._s3.get_object(Bucket=match[1], Key=match[2])
            with answer["Body"] as body:
                if answer["ContentLength"] > IMAGE_BYTES:
                    raise UnusableImage(f"{source} has {answer['ContentLength']} bytes", reason="too large")
                data: bytes = body.read()
        except (ClientError, BotoCoreError) as error:
            raise ImageNotFetched(
                f"Cannot fetch {source}: {s3_reason(error)}", reason="unreadable"
            ) from error
        return data


class ResultFiles:
    """The result files of one version, as they are written to the output bucket.

    Args:
        s3: The S3 client of the job.
        output: The request's ``OutputConfig``.
        project: Name of the project.
        version: Name of the version.
    """

    def __init__(self, s3: RegionalS3, output: Mapping[str, str], project: str, version: str) -> None:
        self._s3 = s3
        self._bucket = output["S3Bucket"]
        self._prefix = output.get("S3KeyPrefix", "")
        self._suffix = f"{project}-{version}.json"
        self.description: dict[str, Any] = {}
        """The members that DescribeProjectVersions returns about the files written so far."""

    def check_bucket(self) -> None:
        """Check that the output bucket can be used, before any work is done.

        Raises:
            ManifestFileError: It does not exist, is in another Region, or cannot be reached.
        """
        try:
            self._s3.check_bucket(self._bucket)
        except (ClientError, BotoCoreError) as error:
            raise ManifestFileError("ERROR_CANNOT_WRITE_OUTPUT_S3_BUCKET") from error

    def write_validation(self, train: Path, test: Path, summary: Mapping[str, Any]) -> None:
        """Write the validation manifests and the manifest summary.

        Args:
            train: The training lines, each with its errors.
            test: The test lines, each with its errors.
            summary: The content of the manifest summary.
        """
        for member, name, path in (
            ("TrainingDataResult", "TrainingManifestWithValidation", train),
            ("TestingDataResult", "TestingManifestWithValidation", test),
        ):
            with path.open("rb") as content:
                s3_object = self._put(name, content)
            self.description.setdefault(member, {})["Validation"] = {"Assets": [_asset(s3_object)]}
        self.description["ManifestSummary"] = self._put("ManifestSummary", _json(summary))

    def write_evaluation(self, summary: Mapping[str, Any], f1: float | None) -> None:
        """Write the evaluation summary."""
        s3_object = self._put("EvaluationResultSummary", _json(summary))
        self.description["EvaluationResult"] = {"F1Score": f1 or 0.0, "Summary": s3_object}

    def write_snapshots(self, train: Iterable[str], test: Iterable[str], *, auto_created: bool) -> None:
        """Write the lines that the model was trained and tested with.

        Args:
            train: The training lines.
            test: The test lines.
            auto_created: Whether the test lines were split from the training lines.
        """
        for member, name, lines in (
            ("TrainingDataResult", "TrainingGroundTruth", train),
            ("TestingDataResult", "TestingGroundTruth", test),
        ):
            with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as content:
                content.writelines(f"{line}\n".encode() for line in lines)
                content.seek(0)
                s3_object = self._put(name, content)
            self.description.setdefault(member, {})["Output"] = {"Assets": [_asset(s3_object)]}
        self.description["TestingDataResult"]["Output"]["AutoCreate"] = auto_created

    def _put(self, name: str, content: Any) -> dict[str, Any]:
        key = result_key(self._prefix, f"{name}-{self._suffix}")
        try:
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=content, ContentType="application/json")
        except (ClientError, BotoCoreError) as error:
            raise ManifestFileError("ERROR_CANNOT_WRITE_OUTPUT_S3_BUCKET") from error
        return {"S3Object": {"Bucket": self._bucket, "Name": key}}


def _asset(s3_object: Mapping[str, Any]) -> dict[str, Any]:
    return {"GroundTruthManifest": dict(s3_object)}


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, indent=2).encode()
