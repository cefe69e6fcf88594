"""Every error has AWS's status, body and message, and the documentation lists it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from conformance_cases import errors_of
from error_cases import CASES, page
from service_backends import open_backend

from rekolabels.local._core._exceptions import ERRORS, ErrorForm
from rekolabels.local._jobs._s3_files import s3_reason
from rekolabels.local._operations import OPERATIONS


@pytest.mark.parametrize("form", ERRORS, ids=lambda form: f"{form.code}-{form.status}")
def test_an_error(form: ErrorForm) -> None:
    """The status is AWS's, AWS's message comes first, ours follows it, and no text of boto3 is in it."""
    case = CASES[form.code, form.status]
    with open_backend("in process", engine="tiny", **case.options) as backend:
        if "faults" not in case.options:
            backend.s3.create_bucket(Bucket="puppies")
        response = case.request(backend)
    assert (response.status, response.code) == (form.status, form.code)
    body = json.loads(response.body)
    assert body["Code"] == form.code
    assert str(UUID(body["Logref"])) == body["Logref"]
    pattern = re.sub(r"<[^>]*>", ".+", re.escape(form.text.removesuffix(".")))
    pattern = pattern.replace(re.escape("error(s)"), "errors?")
    assert re.match(pattern, response.message, re.DOTALL), response.message
    if form.opening:
        assert len(response.message) > len(form.opening) + 2
    assert "An error occurred" not in response.message


@pytest.mark.parametrize(
    ("bucket", "name", "reason"),
    [
        ("puppies", "missing.png", "it does not exist"),
        ("no-such-bucket", "a.png", "the bucket does not exist"),
        ("far-away", "a.png", "the bucket is in another Region"),
    ],
)
@pytest.mark.parametrize("operation", ["DetectModerationLabels", "StartMediaAnalysisJob"])
def test_objects_that_cannot_be_read(operation: str, bucket: str, name: str, reason: str) -> None:
    """AWS's message does not tell the causes apart, so ours follows it."""
    location = {"S3Object": {"Bucket": bucket, "Name": name}}
    request: dict[str, Any] = {"Image": location}
    kind = "image"
    if operation == "StartMediaAnalysisJob":
        output = {"S3Bucket": "puppies"}
        request = {
            "OperationsConfig": {"DetectModerationLabels": {}},
            "Input": location,
            "OutputConfig": output,
        }
        kind = "manifest"
    with open_backend("in process") as backend:
        backend.s3.create_bucket(Bucket="puppies")
        far = {"LocationConstraint": "eu-west-1"}
        backend.s3.create_bucket(Bucket="far-away", CreateBucketConfiguration=far)
        response = backend.post(f"RekognitionService.{operation}", json.dumps(request).encode())
    assert response.code == "InvalidS3ObjectException"
    assert response.message == (
        "Unable to get object metadata from S3. Check object key, region and/or access permissions. "
        f"Cannot read {kind} s3://{bucket}/{name}: {reason}."
    )


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ClientError({"Error": {"Code": "SlowDown"}}, "GetObject"), "S3 answered SlowDown"),
        (ClientError({"Error": {"Code": "403"}}, "HeadObject"), "access is denied"),
        (EndpointConnectionError(endpoint_url="http://s3.invalid"), "S3 did not answer"),
    ],
)
def test_other_reasons_of_s3(error: Exception, reason: str) -> None:
    """The code is passed on, the text of boto3 is not."""
    assert s3_reason(error) == reason


def test_the_table_is_complete() -> None:
    """Each row has a case, and each error that an operation declares has a row."""
    rows = {(form.code, form.status) for form in ERRORS}
    assert rows == set(CASES)
    declared = {error for operation in OPERATIONS for error in errors_of(operation)}
    assert declared - {form.code for form in ERRORS} == set()


def test_the_page_lists_the_errors() -> None:
    """docs/service-errors.md is up to date."""
    found = Path(__file__).parents[2] / "docs" / "service-errors.md"
    assert found.read_text(encoding="utf-8") == "\n".join(page()) + "\n"
