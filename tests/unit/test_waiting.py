"""Waiting: intervals, transient errors, wrong statuses and time limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from rekolabels import RetryPolicy, errors
from rekolabels._aws._waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from virtual_time import VirtualTime


def throttled() -> errors.Throttled:
    """Return a throttling error."""
    return errors.Throttled("slow down", operation="DescribeDataset", code="ThrottlingException")


def script(*steps: str | Exception) -> Callable[[], str]:
    """Return a poll that returns or raises each step in turn, and then repeats the last one."""
    remaining = list(steps)

    def poll() -> str:
        step = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        if isinstance(step, Exception):
            raise step
        return step

    return poll


def timed_out(last: str | None, waited: float) -> errors.WaitTimedOut:
    """Return the error for a wait that timed out."""
    return errors.WaitTimedOut(f"still {last}", arn="arn", status=last, waited=waited)


def wait(poll: Callable[[], str], policy: RetryPolicy, timeout: float | None = None) -> str:
    """Wait until a poll returns DONE."""
    return wait_until(poll, lambda s: s == "DONE", policy=policy, timeout=timeout, timed_out=timed_out)


def test_ends_at_once_when_the_goal_is_reached(
    virtual_policy: RetryPolicy, virtual_time: VirtualTime
) -> None:
    """A wait whose goal is reached does not sleep."""
    assert wait(script("DONE"), virtual_policy) == "DONE"
    assert virtual_time.naps == []


def test_intervals_back_off(virtual_policy: RetryPolicy, virtual_time: VirtualTime) -> None:
    """The first interval is less than a second; later ones grow up to a maximum."""
    assert wait(script(*["BUSY"] * 40, "DONE"), virtual_policy) == "DONE"
    assert virtual_time.naps[0] <= 2 * virtual_policy.first_poll
    assert virtual_time.naps[-1] == virtual_policy.max_poll
    assert max(virtual_time.naps) <= virtual_policy.max_poll
    assert sorted(virtual_time.naps[:12:3]) == virtual_time.naps[:12:3]


def test_transient_errors_are_tolerated(virtual_policy: RetryPolicy) -> None:
    """Throttling, service faults, lost connections and expired credentials do not end a wait."""
    transient = [
        throttled(),
        errors.ServiceFault("500", operation="X", code="InternalServerError"),
        errors.ConnectionFailed("no answer"),
        errors.CredentialsExpired("old", operation="X", code="ExpiredTokenException"),
    ]
    assert wait(script("BUSY", *transient, "DONE"), virtual_policy) == "DONE"


def test_lasting_errors_are_raised(virtual_policy: RetryPolicy, virtual_time: VirtualTime) -> None:
    """After the policy's patience the last error itself is raised."""
    with pytest.raises(errors.Throttled, match="slow down"):
        wait(script(throttled()), virtual_policy)
    assert virtual_policy.patience <= virtual_time.now <= virtual_policy.patience + virtual_policy.max_poll


def test_patience_restarts_with_each_answer(virtual_policy: RetryPolicy) -> None:
    """Errors between successful polls do not add up."""
    steps: list[str | Exception] = ["BUSY", throttled(), throttled()] * 400
    assert wait(script(*steps, "DONE"), virtual_policy) == "DONE"


def test_other_errors_end_the_wait_at_once(virtual_policy: RetryPolicy, virtual_time: VirtualTime) -> None:
    """Permanent errors are raised without a pause."""
    denied = errors.AccessDenied("no", operation="DescribeDataset", code="AccessDeniedException")
    with pytest.raises(errors.AccessDenied):
        wait(script(denied), virtual_policy)
    assert virtual_time.naps == []


def test_a_timeout_has_the_last_state(virtual_policy: RetryPolicy, virtual_time: VirtualTime) -> None:
    """The last poll is made exactly at the limit."""
    with pytest.raises(errors.WaitTimedOut, match="still BUSY") as caught:
        wait(script("BUSY"), virtual_policy, timeout=100)
    assert (caught.value.status, caught.value.waited) == ("BUSY", 100)
    assert virtual_time.now == 100


def test_the_default_limit_covers_the_longest_training(
    virtual_policy: RetryPolicy, virtual_time: VirtualTime
) -> None:
    """The default limit exceeds the 34 hours that a training is reported to have taken."""
    with pytest.raises(errors.WaitTimedOut):
        wait(script("BUSY"), virtual_policy)
    assert virtual_time.now == 72 * 3600


def test_a_timeout_after_a_failed_poll(virtual_policy: RetryPolicy) -> None:
    """If the last poll failed, its error is raised instead of a time-out."""
    with pytest.raises(errors.Throttled):
        wait(script("BUSY", throttled()), virtual_policy, timeout=60)


def not_found() -> errors.UnexpectedStatus:
    """Return the error for a resource that does not exist."""
    return errors.UnexpectedStatus("gone", arn="arn", status=None)


def wait_for_existing(states: list[str | None], policy: RetryPolicy) -> str | None:
    """Wait until a poll returns DONE; None is a resource that does not exist."""

    def reached(state: str | None) -> bool:
        if state is None:
            raise not_found()
        return state == "DONE"

    remaining = iter(states)
    return wait_until(
        lambda: next(remaining),
        reached,
        policy=policy,
        timeout=None,
        timed_out=lambda _, waited: timed_out("", waited),
    )


def test_new_resources_may_appear_late(virtual_policy: RetryPolicy) -> None:
    """A new resource that some polls do not return yet does not end a wait."""
    assert wait_for_existing([None, None, None, "BUSY", "DONE"], virtual_policy) == "DONE"


@pytest.mark.parametrize("states", [["BUSY", None], [None] * 10], ids=["seen before", "never seen"])
def test_missing_resources_end_the_wait(
    states: list[str | None], virtual_policy: RetryPolicy, virtual_time: VirtualTime
) -> None:
    """A deleted resource ends the wait at once; one that never appears, after several seconds."""
    with pytest.raises(errors.UnexpectedStatus):
        wait_for_existing(states, virtual_policy)
    assert virtual_time.now < 15


def test_tolerated_errors_are_visible(virtual_policy: RetryPolicy) -> None:
    """The policy's hook gets the errors that a wait tolerates, and no ordinary polls."""
    reported: list[BaseException] = []
    policy = attrs.evolve(virtual_policy, on_retry=lambda retry: reported.append(retry.error))
    error = throttled()
    assert wait(script("BUSY", error, "DONE"), policy) == "DONE"
    assert reported == [error]
