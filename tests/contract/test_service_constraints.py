"""Every constraint of the service model is enforced; every modelled error can be met."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from conformance_cases import Constraint, body_of, constraints, errors_of, full_request
from service_backends import Backend, open_backend

from rekolabels.local import Fault, FaultPlan
from rekolabels.local._operations import OPERATIONS
from rekolabels.local._wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = "RekognitionService."
ERRORS = [(operation, error) for operation in sorted(OPERATIONS) for error in errors_of(operation)]


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
        wire.read(constraint.operation, body_of(constraint.kept))


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_a_full_request_is_taken(wire: Wire, operation: str) -> None:
    """Every member that the model has is understood."""
    request = full_request(operation)
    assert set(request) == set(wire.read(operation, body_of(request)))


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
