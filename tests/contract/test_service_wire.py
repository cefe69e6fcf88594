"""The wire: what comes in is checked against the service model, what goes out is always modelled JSON."""

from __future__ import annotations

import json
import logging

import pytest
from service_backends import (
    Backend,
    backend_fixture,  # noqa: F401 - fixtures
    make_project,
)

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
    """Each breach of the model is an InvalidParameterException that names it."""
    answer = backend.post(PREFIX + operation, body)
    assert (answer.status, answer.code) == (400, "InvalidParameterException")
    assert part in answer.message
    assert len(answer.message) < 500


def test_errors_are_dressed_as_the_service_does(backend: Backend) -> None:
    """Code in header and body, JSON 1.1, a request id that differs each time."""
    answers = [backend.post(PREFIX + "DeleteProject", b"{}") for _ in range(2)]
    assert answers[0].headers["x-amzn-errortype"] == "InvalidParameterException"
    assert answers[0].headers["content-type"] == "application/x-amz-json-1.1"
    assert answers[0].headers["x-amzn-requestid"] != answers[1].headers["x-amzn-requestid"]


@pytest.mark.parametrize(
    ("target", "code", "part"),
    [
        (PREFIX + "DetectFaces", "AccessDeniedException", "rekognition:DetectFaces"),
        (PREFIX + "DetectEverything", "UnknownOperationException", "DetectEverything"),
        ("DynamoDB_20120810.ListTables", "UnknownOperationException", "ListTables"),
        ("", "UnknownOperationException", ""),
    ],
)
def test_operations_that_are_not_served(backend: Backend, target: str, code: str, part: str) -> None:
    """An operation of Rekognition that is not ours is denied, as each one declares; others are unknown."""
    answer = backend.post(target, b"{}")
    assert (400, code) == (answer.status, answer.code)
    assert part in answer.message


def test_only_post_calls_an_operation(backend: Backend) -> None:
    """Any other method is refused in JSON too."""
    answer = backend.post(PREFIX + "DescribeProjects", b"{}", method="PUT")
    assert (answer.status, answer.code) == (400, "InvalidParameterException")


def test_a_fault_of_ours_is_an_internal_server_error(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A broken operation answers 500 in JSON and keeps its inside to the log, under the request id."""

    def broken(*_: object) -> dict[str, object]:
        raise ZeroDivisionError("secret inside")

    operations = {**OPERATIONS, "DescribeProjects": broken}
    monkeypatch.setattr("rekolabels.local._http._app.OPERATIONS", operations)
    with caplog.at_level(logging.ERROR, "rekolabels.local"):
        answer = backend.post(PREFIX + "DescribeProjects", b"{}")
    assert (answer.status, answer.code) == (500, "InternalServerError")
    assert "secret" not in answer.message
    assert answer.headers["x-amzn-requestid"] in caplog.text
    assert "secret inside" in caplog.text


def test_the_empty_answer_is_an_empty_object(backend: Backend) -> None:
    """Operations without an output return {}."""
    arn = make_project(backend)
    answer = backend.post(
        PREFIX + "TagResource", json.dumps({"ResourceArn": arn, "Tags": {"a": "b"}}).encode()
    )
    assert (answer.status, answer.body) == (200, b"{}")


def test_timestamps_are_epoch_seconds(backend: Backend) -> None:
    """On the wire a timestamp is a number with milliseconds."""
    arn = make_project(backend)
    body = json.loads(backend.post(PREFIX + "DescribeProjects", b"{}").body)
    assert int(arn.rsplit("/", 1)[1]) / 1000 == body["ProjectDescriptions"][0]["CreationTimestamp"]
