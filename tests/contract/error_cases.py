"""For each error of the embedded service, a request that causes it; and the page that lists them."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
from service_backends import Backend, Response, make_project, picture

from rekolabels.local import Fault, FaultPlan, Quotas, Tps
from rekolabels.local._core._exceptions import ERRORS

__all__ = ["CASES", "Case", "page"]

PREFIX = "RekognitionService."
TOKEN = "a-token-that-nobody-knows-" * 2


@attrs.frozen
class Case:
    """A request that is answered with an error."""

    how: str
    """What the documentation says of it."""
    request: Callable[[Backend], Response]
    """Sends the request, and those before it."""
    options: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    """Options of the service."""


def _post(backend: Backend, operation: str, **parameters: Any) -> Response:
    return backend.post(PREFIX + operation, json.dumps(parameters).encode())


def _request(operation: str, **parameters: Any) -> Callable[[Backend], Response]:
    return lambda backend: _post(backend, operation, **parameters)


def _twice(operation: str, **parameters: Any) -> Callable[[Backend], Response]:
    def send(backend: Backend) -> Response:
        _post(backend, operation, **parameters)
        return _post(backend, operation, **parameters)

    return send


def _in_project(operation: str, **parameters: Any) -> Callable[[Backend], Response]:
    return lambda backend: _post(backend, operation, ProjectArn=make_project(backend), **parameters)


def _image(data: bytes) -> dict[str, Any]:
    return {"Bytes": base64.b64encode(data).decode()}


def _untrained_version(backend: Backend) -> tuple[str, str]:
    """Return a project, and its version whose training failed because it has no manifest."""
    project = make_project(backend)
    manifest = {"GroundTruthManifest": {"S3Object": {"Bucket": "puppies", "Name": "missing.manifest"}}}
    version = backend.rekognition.create_project_version(
        ProjectArn=project,
        VersionName="v1",
        OutputConfig={"S3Bucket": "puppies"},
        TrainingData={"Assets": [manifest]},
        TestingData={"AutoCreate": True},
    )["ProjectVersionArn"]
    backend.settle()
    return project, version


def _copy_what_a_policy_denies(backend: Backend) -> Response:
    project, version = _untrained_version(backend)
    _post(backend, "PutProjectPolicy", ProjectArn=project, PolicyName="p", PolicyDocument=_policy("Deny"))
    return _post(
        backend,
        "CopyProjectVersion",
        SourceProjectArn=project,
        SourceProjectVersionArn=version,
        DestinationProjectArn=project,
        VersionName="v2",
        OutputConfig={"S3Bucket": "puppies"},
    )


def _detect_with_an_untrained_version(backend: Backend) -> Response:
    _, version = _untrained_version(backend)
    return _post(backend, "DetectCustomLabels", ProjectVersionArn=version, Image=_image(picture("dark", 1)))


def _start_media_job(backend: Backend, content: bytes, *names: str) -> Response:
    backend.s3.put_object(Bucket="puppies", Key="images.jsonl", Body=content)
    responses = [
        _post(
            backend,
            "StartMediaAnalysisJob",
            JobName=name,
            ClientRequestToken="token-1",
            OperationsConfig={"DetectModerationLabels": {}},
            Input={"S3Object": {"Bucket": "puppies", "Name": "images.jsonl"}},
            OutputConfig={"S3Bucket": "puppies"},
        )
        for name in names
    ]
    backend.settle()
    return responses[-1]


def _without_the_token(backend: Backend) -> Response:
    server = backend.service.serve(token=TOKEN)
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    try:
        headers = {"X-Amz-Target": PREFIX + "DescribeProjects", "Content-Type": "application/x-amz-json-1.1"}
        connection.request("POST", "/", b"{}", headers)
        response = connection.getresponse()
        return Response(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def _policy(effect: str) -> str:
    statement = {
        "Effect": effect,
        "Principal": "*",
        "Action": "rekognition:CopyProjectVersion",
        "Resource": "*",
    }
    return json.dumps({"Statement": statement})


def _injected(fault: Fault) -> Case:
    name = f"Fault.error({fault.code!r})"
    return Case(f"injected: `{name}`", _request("DescribeProjects"), {"faults": FaultPlan([fault])})


_IMAGE_IN_S3 = {"S3Object": {"Bucket": "puppies", "Name": "missing.png"}}

CASES: Mapping[tuple[str, int], Case] = {
    ("AccessDeniedException", 400): Case(
        "CopyProjectVersion of a version that a project policy protects", _copy_what_a_policy_denies
    ),
    ("ExpiredTokenException", 400): _injected(Fault.error("ExpiredTokenException")),
    ("HumanLoopQuotaExceededException", 402): _injected(Fault.error("HumanLoopQuotaExceededException")),
    ("IdempotentParameterMismatchException", 400): Case(
        "StartMediaAnalysisJob twice with one ClientRequestToken, but two names",
        lambda backend: _start_media_job(backend, b"{}", "j1", "j2"),
    ),
    ("ImageTooLargeException", 400): Case(
        "DetectModerationLabels of an image with more than 4 MB",
        _request("DetectModerationLabels", Image=_image(bytes((4 << 20) + 1))),
    ),
    ("InternalServerError", 500): Case(
        "injected: `Fault.broken()`",
        _request("DescribeProjects"),
        {"faults": FaultPlan([Fault.broken()])},
    ),
    ("InvalidImageFormatException", 400): Case(
        "DetectModerationLabels of a GIF", _request("DetectModerationLabels", Image=_image(b"GIF89a"))
    ),
    ("InvalidManifestException", 400): Case(
        "StartMediaAnalysisJob with an empty manifest",
        lambda backend: _start_media_job(backend, b"", "j1"),
    ),
    ("InvalidPaginationTokenException", 400): Case(
        "DescribeProjects with a NextToken of no answer", _request("DescribeProjects", NextToken="x")
    ),
    ("InvalidParameterException", 400): Case(
        "DetectModerationLabels with an empty Image", _request("DetectModerationLabels", Image={})
    ),
    ("InvalidPolicyRevisionIdException", 400): Case(
        "PutProjectPolicy of a new policy with a PolicyRevisionId",
        _in_project(
            "PutProjectPolicy", PolicyName="p", PolicyDocument=_policy("Allow"), PolicyRevisionId="0a"
        ),
    ),
    ("InvalidS3ObjectException", 400): Case(
        "DetectModerationLabels of a missing object", _request("DetectModerationLabels", Image=_IMAGE_IN_S3)
    ),
    ("LimitExceededException", 400): Case(
        "CreateProject when the quota of projects is reached",
        _request("CreateProject", ProjectName="birds"),
        {"quotas": Quotas(projects=0)},
    ),
    ("MalformedPolicyDocumentException", 400): Case(
        "PutProjectPolicy without a statement",
        _in_project("PutProjectPolicy", PolicyName="p", PolicyDocument='{"Statement": []}'),
    ),
    ("ProvisionedThroughputExceededException", 400): Case(
        "more requests per second than `LocalService(tps=...)` allows",
        _twice("DescribeProjects"),
        {"tps": Tps(control_plane=1)},
    ),
    ("ResourceAlreadyExistsException", 400): Case(
        "CreateDataset twice",
        lambda backend: _twice("CreateDataset", ProjectArn=make_project(backend), DatasetType="TRAIN")(
            backend
        ),
    ),
    ("ResourceInUseException", 400): Case(
        "CreateProject with the name of another project", _twice("CreateProject", ProjectName="birds")
    ),
    ("ResourceNotFoundException", 400): Case(
        "DeleteProject of a project that does not exist",
        _request("DeleteProject", ProjectArn="arn:aws:rekognition:us-east-1:000000000000:project/birds/1"),
    ),
    ("ResourceNotReadyException", 400): Case(
        "DetectCustomLabels with a model that is not running", _detect_with_an_untrained_version
    ),
    ("SerializationException", 400): Case(
        "CreateProject with a number as ProjectName", _request("CreateProject", ProjectName=5)
    ),
    ("ServiceQuotaExceededException", 400): Case(
        "CreateProject with more tags than the quota",
        _request("CreateProject", ProjectName="birds", Tags={"a": "b"}),
        {"quotas": Quotas(tags_per_resource=0)},
    ),
    ("ThrottlingException", 400): Case(
        "injected: `Fault.slowed_down()`",
        _request("DescribeProjects"),
        {"faults": FaultPlan([Fault.slowed_down()])},
    ),
    ("ThrottlingException", 500): Case(
        "injected: `Fault.throttled()`",
        _request("DescribeProjects"),
        {"faults": FaultPlan([Fault.throttled()])},
    ),
    ("UnknownOperationException", 400): Case(
        "an operation that Rekognition does not have", _request("DetectEverything")
    ),
    ("UnrecognizedClientException", 403): Case(
        "any request to `serve(token=...)` without the token", _without_the_token
    ),
    ("ValidationException", 400): Case(
        "CreateProject with a space in ProjectName", _request("CreateProject", ProjectName="a b")
    ),
}
"""A case for each row of ``ERRORS``."""

_HEAD = """# Errors of the embedded service

Every error that the embedded service answers with. `tests/contract/test_service_errors.py` sends the request
of the last column, and checks status, body and message.

* The body is `{"__type": code, "Code": code, "Logref": UUID, "Message": message}`, as AWS documents it.
  Errors that AWS's framework finds before the service sees the request (ValidationException,
  SerializationException, UnknownOperationException) have the message in `message` too, where public logs
  show it.
* Where AWS's message is known, it stands first; what the embedded service adds follows. `<...>` stands for a
  value, and `-` for a message that AWS does not publish.
* The source is the Rekognition developer guide, *Error handling* ("guide"), the service model that AWS
  publishes ("model"), answers of Rekognition in public logs ("logs"), answers of other AWS services with the
  same protocol ("framework"), or AWS's list of errors that all services have in common ("common").
* Errors of S3 are XML, with S3's own codes.

`tools/make_service_errors.py` writes this page from the table that the service itself uses.

| Code | HTTP | AWS's message | Source | A request that causes it |
|---|---|---|---|---|"""


def page() -> Iterator[str]:
    """Yield the lines of ``docs/service-errors.md``."""
    yield _HEAD
    for form in sorted(ERRORS, key=lambda form: (form.code, form.status)):
        text = f"`{form.text}`" if form.text else "-"
        how = CASES[form.code, form.status].how
        yield f"| `{form.code}` | {form.status} | {text} | {form.source} | {how} |"
