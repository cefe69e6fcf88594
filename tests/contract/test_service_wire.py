"""Wire format: requests are validated by the service model, responses are modelled JSON."""

from __future__ import annotations

import json
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from service_backends import (
    Backend,
    backend_fixture,  # noqa: F401 - fixtures
    make_dataset,
    make_project,
    manifest_line,
)

from rekolabels.local._http._shapes import ServiceModel
from rekolabels.local._http._wire import Wire
from rekolabels.local._operations import OPERATIONS

PREFIX = "RekognitionService."


@pytest.mark.parametrize(
    ("operation", "body", "part"),
    [
        ("CreateProject", b"not json", "not valid JSON"),
        ("CreateProject", b"\xff\xfe", "not valid JSON"),
        ("CreateProject", b'{"ProjectName": NaN}', "NaN"),
        ("CreateProject", b"[" * 500_000, "not valid JSON"),
        ("CreateProject", b"[]", "an object"),
        ("CreateProject", b"", "ProjectName"),
        ("CreateProject", b'{"ProjectName": null}', "ProjectName"),
        ("CreateProject", b'{"ProjectName": 5}', "a string, not an integer"),
        ("CreateProject", b'{"ProjectName": ""}', "at least 1"),
        ("CreateProject", b'{"ProjectName": "a b"}', "pattern"),
        ("CreateProject", json.dumps({"ProjectName": "a" * 256}).encode(), "at most 255"),
        ("CreateProject", b'{"ProjectName": "a", "Colour": 1}', "Unknown parameter 'Colour'"),
        ("CreateProject", b'{"ProjectName": "a", "Feature": "BIRDS"}', "CONTENT_MODERATION, CUSTOM_LABELS"),
        ("CreateProject", b'{"ProjectName": "a", "Tags": []}', "an object, not a list"),
        ("CreateProject", b'{"ProjectName": "a", "Tags": {"k": "\\ud800"}}', "Unicode"),
        ("DescribeProjects", b'{"MaxResults": 101}', "at most 100"),
        ("DescribeProjects", b'{"MaxResults": 0}', "at least 1"),
        ("DescribeProjects", b'{"MaxResults": true}', "an integer, not a boolean"),
        ("DescribeProjects", b'{"MaxResults": 1.5}', "an integer, not a number"),
        ("DescribeProjects", b'{"MaxResults": 99999999999999999999}', "range"),
        ("DescribeProjects", b'{"ProjectNames": []}', "at least 1"),
        ("DescribeProjects", b'{"ProjectNames": ["a", 1]}', "ProjectNames[1]"),
        ("DeleteProject", b'{"ProjectArn": "arn:aws:rekognition:us-east-1:1:project/a/1"}', "pattern"),
        ("ListDatasetEntries", b'{"DatasetArn": 1}', "DatasetArn"),
        (
            "UpdateDatasetEntries",
            (
                b'{"DatasetArn": "arn:aws:rekognition:us-east-1:000000000000:project/a/dataset/train/1", '
                b'"Changes": {"GroundTruth": "%%%"}}'
            ),
            "base64",
        ),
    ],
)
def test_malformed_requests(backend: Backend, operation: str, body: bytes, part: str) -> None:
    """Each violation of the model is an InvalidParameterException that names it."""
    response = backend.post(PREFIX + operation, body)
    assert (response.status, response.code) == (400, "InvalidParameterException")
    assert part in response.message
    assert len(response.message) < 500


def test_error_responses_have_the_headers_of_aws(backend: Backend) -> None:
    """An error has its code in header and body, content type JSON 1.1, and a unique request ID."""
    responses = [backend.post(PREFIX + "DeleteProject", b"{}") for _ in range(2)]
    assert responses[0].headers["x-amzn-errortype"] == "InvalidParameterException"
    assert responses[0].headers["content-type"] == "application/x-amz-json-1.1"
    assert responses[0].headers["x-amzn-requestid"] != responses[1].headers["x-amzn-requestid"]


@pytest.mark.parametrize(
    ("target", "code", "part"),
    [
        (PREFIX + "DetectFaces", "AccessDeniedException", "rekognition:DetectFaces"),
        (PREFIX + "DetectEverything", "UnknownOperationException", "DetectEverything"),
        ("DynamoDB_20120810.ListTables", "UnknownOperationException", "ListTables"),
        ("", "UnknownOperationException", ""),
    ],
)
def test_operations_that_are_not_implemented(backend: Backend, target: str, code: str, part: str) -> None:
    """Other Rekognition operations are AccessDeniedException, which each declares; the rest is unknown."""
    response = backend.post(target, b"{}")
    assert (400, code) == (response.status, response.code)
    assert part in response.message


def test_other_methods_than_post(backend: Backend) -> None:
    """Any method other than POST is an InvalidParameterException."""
    response = backend.post(PREFIX + "DescribeProjects", b"{}", method="PUT")
    assert (response.status, response.code) == (400, "InvalidParameterException")


def test_a_defect_is_an_internal_server_error(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A failing operation returns status 500; only the log has the details, under the request ID."""

    def broken(*_: object) -> dict[str, object]:
        raise ZeroDivisionError("secret inside")

    operations = {**OPERATIONS, "DescribeProjects": broken}
    monkeypatch.setattr("rekolabels.local._http._app.OPERATIONS", operations)
    with caplog.at_level(logging.ERROR, "rekolabels.local"):
        response = backend.post(PREFIX + "DescribeProjects", b"{}")
    assert (response.status, response.code) == (500, "InternalServerError")
    assert "secret" not in response.message
    assert response.headers["x-amzn-requestid"] in caplog.text
    assert "secret inside" in caplog.text


def test_an_empty_response_is_an_empty_object(backend: Backend) -> None:
    """Operations without output return {}."""
    arn = make_project(backend)
    response = backend.post(
        PREFIX + "TagResource", json.dumps({"ResourceArn": arn, "Tags": {"a": "b"}}).encode()
    )
    assert (response.status, response.body) == (200, b"{}")


def test_the_last_page_has_no_token(backend: Backend) -> None:
    """AWS's samples read pages until NextToken is missing; an empty one would let them loop for ever."""
    project = make_project(backend)
    dataset = make_dataset(backend, project, "TRAIN", [manifest_line("s3://puppies/1.png", "corgi")])
    requests: dict[str, dict[str, str]] = {
        "DescribeProjects": {},
        "DescribeProjectVersions": {"ProjectArn": project},
        "ListDatasetEntries": {"DatasetArn": dataset},
        "ListDatasetLabels": {"DatasetArn": dataset},
        "ListMediaAnalysisJobs": {},
        "ListProjectPolicies": {"ProjectArn": project},
    }
    paged = {name for name in OPERATIONS if "NextToken" in ServiceModel().output_of(name).members}
    assert set(requests) == paged
    for name, request in requests.items():
        body = json.dumps(request | {"NextToken": "", "MaxResults": 1}).encode()
        response = backend.post(PREFIX + name, body)
        assert (response.status, "NextToken" in json.loads(response.body)) == (200, False)


def test_timestamps_are_epoch_seconds(backend: Backend) -> None:
    """Timestamps are seconds since 1970 with milliseconds."""
    arn = make_project(backend)
    body = json.loads(backend.post(PREFIX + "DescribeProjects", b"{}").body)
    assert int(arn.rsplit("/", 1)[1]) / 1000 == body["ProjectDescriptions"][0]["CreationTimestamp"]


def test_the_first_requests_of_many_threads() -> None:
    """No request meets a part of the service model that another thread has only begun to read."""
    request = {"ProjectName": "birds", "Tags": {"kind": "test"}}
    interval = sys.getswitchinterval()
    try:
        sys.setswitchinterval(1e-6)
        for _ in range(10):
            wire, barrier = Wire(), Barrier(8)

            def parse(_number: int, wire: Wire = wire, barrier: Barrier = barrier) -> dict[str, Any]:
                barrier.wait()
                return wire.parse_request("CreateProject", json.dumps(request).encode())

            with ThreadPoolExecutor(8) as threads:
                assert list(threads.map(parse, range(8))) == [request] * 8
    finally:
        sys.setswitchinterval(interval)
