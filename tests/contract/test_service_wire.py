"""Wire format: requests are validated by the service model, responses are modelled JSON."""

from __future__ import annotations

import json
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID

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


LIST, OBJECT = "Start of list found where not expected", "Start of structure or map found where not expected"
CANNOT = "can not be converted to"
ODD_LENGTH = "Base64 encoded length is expected a multiple of 4 bytes but found"
VERSION = "arn:aws:rekognition:us-east-1:000000000000:project/a/version/v1/1"
DATASET = "arn:aws:rekognition:us-east-1:000000000000:project/a/dataset/train/1"


@pytest.mark.parametrize(
    ("operation", "body", "message"),
    [
        ("CreateProject", b"[]", f"{LIST}. The request must be an object."),
        ("CreateProject", b'"a"', "The request must be an object."),
        ("CreateProject", b"null", "The request must be an object."),
        (
            "CreateProject",
            b'{"ProjectName": 5}',
            "NUMBER_VALUE can not be converted to a String. 'ProjectName' must be a string.",
        ),
        (
            "CreateProject",
            b'{"ProjectName": true}',
            "TRUE_VALUE can not be converted to a String. 'ProjectName' must be a string.",
        ),
        ("CreateProject", b'{"ProjectName": [1]}', f"{LIST}. 'ProjectName' must be a string."),
        ("CreateProject", b'{"ProjectName": {}}', f"{OBJECT}. 'ProjectName' must be a string."),
        ("CreateProject", b'{"ProjectName": "a", "Tags": []}', f"{LIST}. 'Tags' must be an object."),
        (
            "CreateProject",
            b'{"ProjectName": "a", "Tags": 1}',
            "Expected map or null. 'Tags' must be an object.",
        ),
        (
            "CreateProject",
            b'{"ProjectName": "a", "Tags": {"k": "\\ud800"}}',
            "'Tags.k' must be valid Unicode text.",
        ),
        (
            "DescribeProjects",
            b'{"MaxResults": false}',
            "FALSE_VALUE can not be converted to an Integer. 'MaxResults' must be an integer.",
        ),
        (
            "DescribeProjects",
            b'{"MaxResults": "1"}',
            "STRING_VALUE can not be converted to an Integer. 'MaxResults' must be an integer.",
        ),
        (
            "DescribeProjects",
            b'{"MaxResults": 1.5}',
            "NUMBER_VALUE can not be converted to an Integer. 'MaxResults' must be an integer.",
        ),
        (
            "DescribeProjects",
            b'{"ProjectNames": "a"}',
            "Expected list or null. 'ProjectNames' must be a list.",
        ),
        ("DescribeProjects", b'{"ProjectNames": {}}', f"{OBJECT}. 'ProjectNames' must be a list."),
        (
            "DescribeProjects",
            b'{"ProjectNames": ["a", 1]}',
            "NUMBER_VALUE can not be converted to a String. 'ProjectNames[1]' must be a string.",
        ),
        (
            "ListDatasetEntries",
            b'{"Labeled": "yes"}',
            "STRING_VALUE can not be converted to a Boolean. 'Labeled' must be true or false.",
        ),
        (
            "DetectCustomLabels",
            b'{"MinConfidence": "80"}',
            "STRING_VALUE can not be converted to a Float. 'MinConfidence' must be a number.",
        ),
        (
            "DetectCustomLabels",
            b'{"MinConfidence": 1e999}',
            f"NUMBER_VALUE {CANNOT} a Float. 'MinConfidence' must be a number that a double can hold.",
        ),
        ("DetectCustomLabels", b'{"Image": "x"}', "Expected null. 'Image' must be an object."),
        (
            "DetectCustomLabels",
            b'{"Image": {"Bytes": "23456"}}',
            f"'23456' {CANNOT} a Blob: {ODD_LENGTH}: 5. 'Image.Bytes' must be base64 text.",
        ),
        (
            "DetectCustomLabels",
            b'{"Image": {"Bytes": "ab%d"}}',
            f"'ab%d' {CANNOT} a Blob: Invalid Base64 character: '%'. 'Image.Bytes' must be base64 text.",
        ),
        (
            "DetectCustomLabels",
            b'{"Image": {"Bytes": 1}}',
            "NUMBER_VALUE can not be converted to a Blob. 'Image.Bytes' must be base64 text.",
        ),
    ],
)
def test_wrong_json_types(backend: Backend, operation: str, body: bytes, message: str) -> None:
    """A value of another JSON type is a SerializationException, before any constraint is checked."""
    response = backend.post(PREFIX + operation, body)
    assert (response.status, response.code) == (400, "SerializationException")
    assert message == response.message


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"", "Expecting value"),
        (b"not json", "Expecting value"),
        (b'{"ProjectName": "\xff"}', "codec can't decode"),
        (b'{"ProjectName": NaN}', "NaN is not a JSON number"),
        (b'{"ProjectName": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
        (b"[" * 500_000, "recursion"),
    ],
)
def test_malformed_json(backend: Backend, body: bytes, part: str) -> None:
    """A body that is not JSON is a SerializationException that says where."""
    response = backend.post(PREFIX + "CreateProject", body)
    assert (response.status, response.code) == (400, "SerializationException")
    assert response.message.startswith("The request body is not valid JSON: ")
    assert part in response.message
    assert len(response.message) < 200


def breach(value: str, location: str, constraint: str) -> str:
    """A breach as AWS's message lists it."""
    return f"Value {value} at '{location}' failed to satisfy constraint: {constraint}"


PATTERN = r"Member must satisfy regular expression pattern: [a-zA-Z0-9_.\-]+"
AT_MOST, AT_LEAST = (f"Member must have length {than} than or equal to" for than in ("less", "greater"))
AT_LEAST_1 = f"{AT_LEAST} 1"
ONE = f"DistributeDataset(arn={DATASET})"
NULL = "Member must not be null"


@pytest.mark.parametrize(
    ("operation", "request_", "breaches"),
    [
        ("CreateProject", {}, [breach("null", "projectName", NULL)]),
        ("CreateProject", {"ProjectName": None}, [breach("null", "projectName", NULL)]),
        (
            "CreateProject",
            {"ProjectName": ""},
            [breach("''", "projectName", AT_LEAST_1), breach("''", "projectName", PATTERN)],
        ),
        ("CreateProject", {"ProjectName": "a b"}, [breach("'a b'", "projectName", PATTERN)]),
        (
            "CreateProject",
            {"ProjectName": "a" * 256, "Feature": "BIRDS", "Colour": 1},
            [
                breach(f"'{'a' * 256}'", "projectName", f"{AT_MOST} 255"),
                breach(
                    "'BIRDS'",
                    "feature",
                    "Member must satisfy enum value set: [CONTENT_MODERATION, CUSTOM_LABELS]",
                ),
            ],
        ),
        (
            "CreateProject",
            {"ProjectName": "a", "Tags": {"aws:x": "é", "b": "\t"}},
            [
                breach(
                    "'{aws:x=é, b=\t}'",
                    "tags",
                    f"Map keys must satisfy constraint: [{AT_MOST} 128, {AT_LEAST_1}, Member must satisfy "
                    r"regular expression pattern: ^(?!aws:)[\p{L}\p{Z}\p{N}_.:/=+\-@]*$]",
                ),
                breach(
                    "'{aws:x=é, b=\t}'",
                    "tags",
                    f"Map value must satisfy constraint: [{AT_MOST} 256, {AT_LEAST} 0, Member must satisfy "
                    r"regular expression pattern: ^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$]",
                ),
            ],
        ),
        (
            "CreateProject",
            {"ProjectName": "a", "Tags": {"k": None}},
            [breach("null", "tags.k.member", NULL)],
        ),
        (
            "DescribeProjects",
            {"ProjectNames": ["a", "b c"], "MaxResults": 101},
            [
                breach("'101'", "maxResults", "Member must have value less than or equal to 100"),
                breach(
                    "'[a, b c]'",
                    "projectNames",
                    f"Member must satisfy constraint: [{AT_MOST} 255, {AT_LEAST_1}, {PATTERN}]",
                ),
            ],
        ),
        (
            "DescribeProjects",
            {"ProjectNames": [None], "MaxResults": -(10**20)},
            [
                breach("'-2147483648'", "maxResults", "Member must have value greater than or equal to 1"),
                breach("null", "projectNames.1.member", NULL),
            ],
        ),
        (
            "DistributeDatasetEntries",
            {"Datasets": [{"Arn": DATASET}, {}, {"Arn": DATASET}]},
            [
                breach(
                    f"'[{ONE}, DistributeDataset(), {ONE}]'",
                    "datasets",
                    f"{AT_MOST} 2",
                ),
                breach("null", "datasets.2.member.arn", NULL),
            ],
        ),
        (
            "DetectCustomLabels",
            {
                "ProjectVersionArn": VERSION,
                "Image": {"Bytes": "", "S3Object": {"Name": ""}},
                "MinConfidence": 101,
            },
            [
                breach("'java.nio.HeapByteBuffer[pos=0 lim=0 cap=0]'", "image.bytes", AT_LEAST_1),
                breach("''", "image.s3Object.name", AT_LEAST_1),
                breach("'101.0'", "minConfidence", "Member must have value less than or equal to 100"),
            ],
        ),
        (
            "CreateProjectVersion",
            {
                "ProjectArn": "arn:aws:rekognition:us-east-1:000000000000:project/a/1",
                "VersionName": "v1",
                "OutputConfig": {},
                "TrainingData": {"Assets": [{}, {"GroundTruthManifest": {"S3Object": {"Bucket": "x"}}}]},
            },
            [
                breach(
                    "'x'",
                    "trainingData.assets.2.member.groundTruthManifest.s3Object.bucket",
                    f"{AT_LEAST} 3",
                )
            ],
        ),
    ],
)
def test_breaches_of_constraints(
    backend: Backend, operation: str, request_: dict[str, Any], breaches: list[str]
) -> None:
    """A ValidationException lists all of them, in the order of the model, and nothing is done."""
    response = backend.post(PREFIX + operation, json.dumps(request_).encode())
    assert (response.status, response.code) == (400, "ValidationException")
    errors = "error" if len(breaches) == 1 else "errors"
    assert response.message == f"{len(breaches)} validation {errors} detected: {'; '.join(breaches)}"
    assert backend.rekognition.describe_projects()["ProjectDescriptions"] == []


def test_a_message_is_bounded(backend: Backend) -> None:
    """At most ten breaches are listed, long values are cut, and a pattern is not tried on a huge value."""
    datasets = [{"Arn": "x" * 3_000_000}] * 2 + [{}] * 20
    response = backend.post(PREFIX + "DistributeDatasetEntries", json.dumps({"Datasets": datasets}).encode())
    assert response.message.startswith("10 validation errors detected: ")
    assert response.message.count("failed to satisfy constraint") == 10
    assert len(response.message) < 5_000
    # Backtracking through the second pattern of this operation would take hours.
    query = {
        "DatasetArn": DATASET,
        "SourceRefContains": "a" * 1_000_000 + "\n",
        "ContainsLabels": ["a" * 9_000_000],
    }
    response = backend.post(PREFIX + "ListDatasetEntries", json.dumps(query).encode())
    assert response.message.count("failed to satisfy constraint") == 2
    assert len(response.message) < 5_000


def test_what_is_not_an_error(backend: Backend) -> None:
    """Unknown members are ignored, null is the same as absent, and 1.0 is a whole number."""
    body = {"MaxResults": 1.0, "NextToken": None, "Colour": {"deep": [1]}}
    response = backend.post(PREFIX + "DescribeProjects", json.dumps(body).encode())
    assert (response.status, json.loads(response.body)) == (200, {"ProjectDescriptions": []})


@pytest.mark.parametrize(
    ("operation", "body", "members"),
    [
        ("DeleteProject", b"{}", {"__type", "Code", "Logref", "Message", "message"}),
        ("DeleteProject", b"[]", {"__type", "Code", "Logref", "Message", "message"}),
        ("DescribeProjects", b'{"NextToken": "x"}', {"__type", "Code", "Logref", "Message"}),
    ],
)
def test_error_bodies(backend: Backend, operation: str, body: bytes, members: set[str]) -> None:
    """An error says its code twice, and has a Logref of its own; SDKs find the message in any case."""
    responses = [backend.post(PREFIX + operation, body) for _ in range(2)]
    first, second = (json.loads(response.body) for response in responses)
    assert set(first) == members
    assert first["__type"] == first["Code"] == responses[0].headers["x-amzn-errortype"]
    assert str(UUID(first["Logref"])) == first["Logref"]
    assert len({first["Logref"], second["Logref"], responses[0].headers["x-amzn-requestid"]}) == 3
    assert first.get("message", first["Message"]) == first["Message"]


def test_error_responses_have_the_headers_of_aws(backend: Backend) -> None:
    """An error has its code in header and body, content type JSON 1.1, and a unique request ID."""
    responses = [backend.post(PREFIX + "DeleteProject", b"{}") for _ in range(2)]
    assert responses[0].headers["x-amzn-errortype"] == "ValidationException"
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
