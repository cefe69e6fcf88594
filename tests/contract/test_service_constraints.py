"""Every constraint of the service model is enforced, and every modelled error can be produced."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conformance_cases import (
    VALID,
    Constraint,
    body_of,
    constraints,
    errors_of,
    full_request,
    minimal_request,
)
from service_backends import Backend, open_backend, picture

from rekolabels.local import Fault, FaultPlan, ManualClock, Tps
from rekolabels.local._http._wire import Wire
from rekolabels.local._operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = "RekognitionService."
ERRORS = [(operation, error) for operation in sorted(OPERATIONS) for error in errors_of(operation)]

WITH_RESOURCE = [operation for operation, error in ERRORS if error == "ResourceNotFoundException"]
IMAGE = {"Bytes": base64.b64encode(picture("dark", 1)).decode()}
MORE_MEMBERS: dict[str, dict[str, Any]] = {
    "CopyProjectVersion": {"OutputConfig": {"S3Bucket": "puppies"}},
    "CreateProjectVersion": {"OutputConfig": {"S3Bucket": "puppies"}},
    "DetectCustomLabels": {"Image": IMAGE},
    "DetectModerationLabels": {"Image": IMAGE, "ProjectVersion": VALID["ProjectVersionId"]},
    "DistributeDatasetEntries": {
        "Datasets": [
            {"Arn": VALID["DatasetArn"]},
            {"Arn": VALID["DatasetArn"].replace("/train/", "/test/")},
        ]
    },
    "PutProjectPolicy": {
        "PolicyDocument": json.dumps(
            {
                "Statement": {
                    "Effect": "Allow",
                    "Principal": "*",
                    "Action": "rekognition:CopyProjectVersion",
                    "Resource": "*",
                }
            }
        )
    },
    "StartMediaAnalysisJob": {
        "OperationsConfig": {"DetectModerationLabels": {"ProjectVersion": VALID["ProjectVersionId"]}}
    },
    "UpdateDatasetEntries": {
        "Changes": {"GroundTruth": base64.b64encode(b'{"source-ref": "s3://a/b"}').decode()}
    },
}
"""Members that a request needs besides the required ones, so that only the missing resource fails."""


@pytest.fixture(name="service", scope="module")
def service_fixture() -> Iterator[Backend]:
    """Open an empty service; constraints are checked before anything else."""
    with open_backend("in process") as backend:
        yield backend


@pytest.fixture(name="wire", scope="module")
def wire_fixture() -> Wire:
    """Return the parser of requests."""
    return Wire()


@pytest.mark.parametrize("constraint", list(constraints()), ids=lambda one: one.name)
def test_a_constraint(service: Backend, wire: Wire, constraint: Constraint) -> None:
    """A request that violates it is invalid and the error names the member; one at the limit is valid.

    A member that the model does not have is not an error: it is ignored.
    """
    if constraint.code is None:
        parsed = wire.parse_request(constraint.operation, body_of(constraint.invalid))
        assert parsed == wire.parse_request(constraint.operation, body_of(full_request(constraint.operation)))
        return
    response = service.post(TARGET + constraint.operation, body_of(constraint.invalid))
    assert (response.status, response.code) == (400, constraint.code)
    if constraint.code == "SerializationException":
        assert f"{constraint.path!r} must be " in response.message or not constraint.path
    else:
        assert re.match(r"(1 validation error|2 validation errors) detected: Value ", response.message)
        assert f" at '{constraint.location}' failed to satisfy constraint: M" in response.message
        assert text_of(constraint) in response.message
    if constraint.valid is not None:
        wire.parse_request(constraint.operation, body_of(constraint.valid))


def text_of(constraint: Constraint) -> str:
    """What AWS's message says of a constraint."""
    texts = {
        "required": "Member must not be null",
        "at least": f"greater than or equal to {constraint.rule}",
        "at most": f"less than or equal to {constraint.rule}",
        "pattern": f"Member must satisfy regular expression pattern: {constraint.rule}",
        "one of": f"Member must satisfy enum value set: [{constraint.rule}]",
    }
    return texts[constraint.kind]


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_a_full_request_is_valid(wire: Wire, operation: str) -> None:
    """Every member in the model is accepted."""
    request = full_request(operation)
    assert set(request) == set(wire.parse_request(operation, body_of(request)))


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_the_rate_limit_of_an_operation(operation: str) -> None:
    """With a limit of one per second, the second request is throttled, whatever its body."""
    clock, tps = ManualClock(), Tps(1, 1, 1, 1, 1)
    with open_backend("in process", clock=clock, tps=tps) as backend:
        target = TARGET + operation
        assert backend.post(target, b"[]").code == "SerializationException"
        assert backend.post(target, b"[]").code == "ProvisionedThroughputExceededException"
        clock.advance(1)
        assert backend.post(target, b"[]").code == "SerializationException"


@pytest.mark.parametrize("operation", WITH_RESOURCE)
def test_a_missing_resource(service: Backend, operation: str) -> None:
    """Every operation on a resource reports that it does not exist."""
    request = minimal_request(operation) | MORE_MEMBERS.get(operation, {})
    response = service.post(TARGET + operation, body_of(request))
    assert (response.status, response.code) == (400, "ResourceNotFoundException")
    assert "does not exist" in response.message


def test_the_page_lists_every_operation() -> None:
    """docs/conformance.md is up to date with the list of operations."""
    page = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
    assert sorted(OPERATIONS) == [line[3:] for line in page.splitlines() if line.startswith("## ")]


@pytest.mark.parametrize(("operation", "error"), ERRORS, ids=lambda part: part)
def test_an_injected_error(operation: str, error: str) -> None:
    """Every error that an operation declares can be injected, with its HTTP status."""
    plan = FaultPlan([Fault.error(error, operation, times=1)])
    with open_backend("in process", faults=plan) as backend:
        response = backend.post(TARGET + operation, b"{}")
    assert response.code == error
    expected = {
        "InternalServerError": 500,
        "ThrottlingException": 500,
        "HumanLoopQuotaExceededException": 402,
    }
    assert response.status == expected.get(error, 400)
