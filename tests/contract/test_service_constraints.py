"""Every constraint of the service model is enforced; every modelled error can be met."""

from __future__ import annotations

import base64
import json
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
    least_request,
)
from service_backends import Backend, open_backend, picture

from rekolabels.local import Fault, FaultPlan, ManualClock, Tps
from rekolabels.local._http._wire import Wire
from rekolabels.local._operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = "RekognitionService."
ERRORS = [(operation, error) for operation in sorted(OPERATIONS) for error in errors_of(operation)]

SEARCHING = [operation for operation, error in ERRORS if error == "ResourceNotFoundException"]
IMAGE = {"Bytes": base64.b64encode(picture("dark", 1)).decode()}
NEEDED: dict[str, dict[str, Any]] = {
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
"""What a request needs besides its members that must be given, so that the search is what fails."""


@pytest.fixture(name="service", scope="module")
def service_fixture() -> Iterator[Backend]:
    """An empty service: constraints are looked at before anything else."""
    with open_backend("in process") as backend:
        yield backend


@pytest.fixture(name="wire", scope="module")
def wire_fixture() -> Wire:
    """The reader of requests."""
    return Wire()


@pytest.fixture(name="troubled", scope="module")
def troubled_fixture() -> Iterator[Backend]:
    """A service that answers each operation with each of its errors in turn."""
    plan = FaultPlan([Fault.error(error, operation, times=1) for operation, error in ERRORS])
    with open_backend("socket", faults=plan) as backend:
        yield backend


@pytest.mark.parametrize("constraint", list(constraints()), ids=lambda one: one.name)
def test_a_constraint(service: Backend, wire: Wire, constraint: Constraint) -> None:
    """A request that breaks it is invalid, and the answer names the place; one at its edge is taken."""
    answer = service.post(TARGET + constraint.operation, body_of(constraint.broken))
    assert (answer.status, answer.code) == (400, "InvalidParameterException")
    name = constraint.where.rsplit(".", 1)[-1].partition("[")[0]
    assert name in answer.message
    if constraint.kept is not None:
        wire.parse_request(constraint.operation, body_of(constraint.kept))


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_a_full_request_is_taken(wire: Wire, operation: str) -> None:
    """Every member that the model has is understood."""
    request = full_request(operation)
    assert set(request) == set(wire.parse_request(operation, body_of(request)))


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_the_speed_of_an_operation(operation: str) -> None:
    """Whatever the second request in a moment asks for: it is one too many where one is allowed."""
    clock, tps = ManualClock(), Tps(1, 1, 1, 1, 1)
    with open_backend("in process", clock=clock, tps=tps) as backend:
        target = TARGET + operation
        assert backend.post(target, b"[]").code == "InvalidParameterException"
        assert backend.post(target, b"[]").code == "ProvisionedThroughputExceededException"
        clock.advance(1)
        assert backend.post(target, b"[]").code == "InvalidParameterException"


@pytest.mark.parametrize("operation", SEARCHING)
def test_what_is_not_there(service: Backend, operation: str) -> None:
    """Every operation that can miss something says so."""
    request = least_request(operation) | NEEDED.get(operation, {})
    answer = service.post(TARGET + operation, body_of(request))
    assert (answer.status, answer.code) == (400, "ResourceNotFoundException")
    assert "does not exist" in answer.message


def test_the_page_speaks_of_every_operation() -> None:
    """The page of the documentation was written after the last operation came."""
    page = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
    assert sorted(OPERATIONS) == [line[3:] for line in page.splitlines() if line.startswith("## ")]


@pytest.mark.parametrize(("operation", "error"), ERRORS, ids=lambda part: part)
def test_an_error_on_request(troubled: Backend, operation: str, error: str) -> None:
    """A client can be shown every error that an operation declares, with the status of the service."""
    answer = troubled.post(TARGET + operation, b"{}")
    assert answer.code == error
    expected = {
        "InternalServerError": 500,
        "ThrottlingException": 500,
        "HumanLoopQuotaExceededException": 402,
    }
    assert answer.status == expected.get(error, 400)
