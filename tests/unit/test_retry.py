"""Repeating calls: which, how often, how fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from rekolabels import RetryPolicy, errors
from rekolabels._retry import is_transient, was_refused

if TYPE_CHECKING:
    from virtual_time import VirtualTime

FAULT = errors.ServiceFault("500", operation="CreateProject", code="InternalServerError")
THROTTLED = errors.Throttled("slow", operation="CreateProject", code="ThrottlingException")
LOST = errors.ConnectionFailed("reset")


@attrs.mutable
class Flaky:
    """A call that raises its errors one after the other, and then succeeds."""

    left: list[Exception]
    calls: int = 0

    def __call__(self) -> str:
        """Be called."""
        self.calls += 1
        if self.left:
            raise self.left.pop(0)
        return "done"


def test_a_call_that_succeeds_is_made_once(virtual_policy: RetryPolicy, virtual_time: VirtualTime) -> None:
    """The happy path neither sleeps nor repeats."""
    call = Flaky([])
    assert virtual_policy.call(call) == "done"
    assert (call.calls, virtual_time.naps) == (1, [])


def test_transient_errors_are_repeated(virtual_policy: RetryPolicy, virtual_time: VirtualTime) -> None:
    """A read goes on through faults, throttling and lost connections, with growing pauses."""
    call = Flaky([FAULT, THROTTLED, LOST])
    assert virtual_policy.call(call) == "done"
    assert call.calls == 4
    assert len(virtual_time.naps) == 3
    assert virtual_time.naps[0] < virtual_time.naps[2]


def test_the_last_error_comes_through(virtual_policy: RetryPolicy) -> None:
    """After the last try the error itself is raised."""
    call = Flaky([FAULT] * 100)
    with pytest.raises(errors.ServiceFault):
        virtual_policy.call(call)
    assert call.calls == virtual_policy.attempts


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_attempts_count_the_first_try(attempts: int, virtual_policy: RetryPolicy) -> None:
    """``attempts`` is the number of calls in all."""
    call = Flaky([FAULT] * 100)
    with pytest.raises(errors.ServiceFault):
        attrs.evolve(virtual_policy, attempts=attempts).call(call)
    assert call.calls == attempts


def test_what_creates_is_repeated_only_when_it_was_refused(virtual_policy: RetryPolicy) -> None:
    """After a fault or a lost connection a create may have happened: it is not made twice."""
    call = Flaky([THROTTLED, FAULT])
    with pytest.raises(errors.ServiceFault):
        virtual_policy.call(call, may_repeat=was_refused)
    assert call.calls == 2


def test_errors_that_do_not_pass_are_not_repeated(virtual_policy: RetryPolicy) -> None:
    """A refusal for good is raised at once."""
    call = Flaky([errors.InvalidRequest("bad", operation="X", code="InvalidParameterException")])
    with pytest.raises(errors.InvalidRequest):
        virtual_policy.call(call)
    assert call.calls == 1


@pytest.mark.parametrize(
    ("error", "expected"), [(FAULT, True), (THROTTLED, True), (LOST, True), (ValueError(), False)]
)
def test_what_is_transient(error: Exception, expected: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    """Faults, throttling and lost connections pass; the rest does not."""
    assert expected == is_transient(error)


def test_a_policy_is_checked_when_it_is_made() -> None:
    """A policy without a single try is refused."""
    with pytest.raises(ValueError, match="attempts"):
        RetryPolicy(attempts=0)
