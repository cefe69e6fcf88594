"""The files of a training in S3: their names, how they are written, and how an answer names them."""

from __future__ import annotations

import json
import tempfile
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from rekolabels.local._core._places import result_key
from rekolabels.local._jobs._training_data import FileProblem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["Results"]

_SPOOLED = 8 << 20


class Results:
    """The result files of one version.

    Args:
        s3: The boto3 S3 client.
        output: The request's ``OutputConfig``.
        project: Name of the project.
        version: Name of the version.
    """

    def __init__(self, s3: Any, output: Mapping[str, str], project: str, version: str) -> None:
        self._s3 = s3
        self._bucket = output["S3Bucket"]
        self._prefix = output.get("S3KeyPrefix", "")
        self._names = f"{project}-{version}.json"
        self.answer: dict[str, Any] = {}
        """What DescribeProjectVersions says about the files that were written."""

    def check_bucket(self) -> None:
        """See that the output bucket is there before any work is done.

        Raises:
            FileProblem: It is not.
        """
        try:
            self._s3.head_bucket(Bucket=self._bucket)
        except (ClientError, BotoCoreError) as error:
            raise FileProblem("ERROR_CANNOT_WRITE_OUTPUT_S3_BUCKET") from error

    def write_validation(self, training: Path, testing: Path, summary: Mapping[str, Any]) -> None:
        """Write the manifests with what is wrong in them, and the manifest summary."""
        for member, name, path in (
            ("TrainingDataResult", "TrainingManifestWithValidation", training),
            ("TestingDataResult", "TestingManifestWithValidation", testing),
        ):
            with path.open("rb") as content:
                place = self._put(name, content)
            self.answer.setdefault(member, {})["Validation"] = {"Assets": [_asset(place)]}
        self.answer["ManifestSummary"] = self._put("ManifestSummary", _json(summary))

    def write_evaluation(self, summary: Mapping[str, Any], score: float | None) -> None:
        """Write the evaluation summary."""
        place = self._put("EvaluationResultSummary", _json(summary))
        self.answer["EvaluationResult"] = {"F1Score": score or 0.0, "Summary": place}

    def write_snapshots(self, training: Iterable[str], testing: Iterable[str], *, auto_created: bool) -> None:
        """Write the lines that were trained and tested with."""
        for member, name, lines in (
            ("TrainingDataResult", "TrainingGroundTruth", training),
            ("TestingDataResult", "TestingGroundTruth", testing),
        ):
            with tempfile.SpooledTemporaryFile(_SPOOLED) as content:
                content.writelines(f"{line}\n".encode() for line in lines)
                content.seek(0)
                place = self._put(name, content)
            self.answer.setdefault(member, {})["Output"] = {"Assets": [_asset(place)]}
        self.answer["TestingDataResult"]["Output"]["AutoCreate"] = auto_created

    def _put(self, name: str, content: Any) -> dict[str, Any]:
        key = result_key(self._prefix, f"{name}-{self._names}")
        try:
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=content, ContentType="application/json")
        except (ClientError, BotoCoreError) as error:
            raise FileProblem("ERROR_CANNOT_WRITE_OUTPUT_S3_BUCKET") from error
        return {"S3Object": {"Bucket": self._bucket, "Name": key}}


def _asset(place: Mapping[str, Any]) -> dict[str, Any]:
    return {"GroundTruthManifest": dict(place)}


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, indent=2).encode()
