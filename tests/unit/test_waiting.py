"""Waiting: polls that grow, trouble that passes, states that lead nowhere, limits."""

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
    """Too many requests."""
    return errors.Throttled("slow down", operation="DescribeDataset", code="ThrottlingException")


def script(*steps: str | Exception) -> Callable[[], str]:
    """A poll that answers or raises what it is told, step by step, and then the last step for ever."""
    left = list(steps)

    def poll() -> str:
        step = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(step, Exception):
            raise step
        return step

    return poll


def timed_out(last: str | None, waited: float) -> errors.WaitTimedOut:
    """The error of a wait that ended early."""
    return errors.WaitTimedOut(f"still {last}", arn="arn", status=last, waited=waited)


def wait(poll: Callable[[], str], policy: RetryPolicy, timeout: float | None = None) -> str:
    """Wait until a poll says DONE."""
    return wait_until(poll, lambda s: s == "DONE", policy=policy, timeout=timeout, timed_out=timed_out)


def test_ends_at_once_when_the_goal_is_reached(
    virtual_policy: RetryPolicy, virtual_time: VirtualTime
) -> None:
    """A wait for what is there already does not sleep."""
    assert wait(script("DONE"), virtual_policy) == "DONE"
    assert virtual_time.naps == []


def test_polls_start_short_and_grow_to_a_cap(virtual_policy: RetryPolicy, virtual_time: VirtualTime) -> None:
    """The first pause is below a second; later ones grow, and none is longer than the cap."""
    assert wait(script(*["BUSY"] * 40, "DONE"), virtual_policy) == "DONE"
    assert virtual_time.naps[0] <= 2 * virtual_policy.first_poll
    assert virtual_time.naps[-1] == virtual_policy.max_poll
    assert max(virtual_time.naps) <= virtual_policy.max_poll
    assert sorted(virtual_time.naps[:12:3]) == virtual_time.naps[:12:3]


def test_transient_errors_are_waited_out(virtual_policy: RetryPolicy) -> None:
    """Throttling, faults of the service, lost connections and expired credentials do not end a wait."""
    trouble = [
        throttled(),
        errors.ServiceFault("500", operation="X", code="InternalServerError"),
        errors.ConnectionFailed("no answer"),
        errors.CredentialsExpired("old", operation="X", code="ExpiredTokenException"),
    ]
    assert wait(script("BUSY", *trouble, "DONE"), virtual_policy) == "DONE"


def test_trouble_that_does_not_pass_comes_through_as_itself(
    virtual_policy: RetryPolicy, virtual_time: VirtualTime
) -> None:
    """After the policy's patience the last error is raised, never tenacity's RetryError."""
    with pytest.raises(errors.Throttled, match="slow down"):
        wait(script(throttled()), virtual_policy)
    assert virtual_policy.patience <= virtual_time.now <= virtual_policy.patience + virtual_policy.max_poll


def test_patience_begins_anew_with_each_answer(virtual_policy: RetryPolicy) -> None:
    """Trouble now and then through a whole day does not add up."""
    steps: list[str | Exception] = ["BUSY", throttled(), throttled()] * 400
    assert wait(script(*steps, "DONE"), virtual_policy) == "DONE"


def test_other_errors_end_the_wait_at_once(virtual_policy: RetryPolicy, virtual_time: VirtualTime) -> None:
    """What will not pass by itself is raised without a pause."""
    denied = errors.AccessDenied("no", operation="DescribeDataset", code="AccessDeniedException")
    with pytest.raises(errors.AccessDenied):
        wait(script(denied), virtual_policy)
    assert virtual_time.naps == []


def test_a_timeout_tells_the_last_state(virtual_policy: RetryPolicy, virtual_time: VirtualTime) -> None:
    """The limit is kept to the second, and the last poll falls on it."""
    with pytest.raises(errors.WaitTimedOut, match="still BUSY") as caught:
        wait(script("BUSY"), virtual_policy, timeout=100)
    assert (caught.value.status, caught.value.waited) == ("BUSY", 100)
    assert virtual_time.now == 100


def test_the_default_limit_covers_the_longest_training(
    virtual_policy: RetryPolicy, virtual_time: VirtualTime
) -> None:
    """A training may take 24 hours; the wait is longer."""
    with pytest.raises(errors.WaitTimedOut):
        wait(script("BUSY"), virtual_policy)
    assert virtual_time.now >= 24 * 3600


def test_a_timeout_in_the_middle_of_trouble_raises_the_trouble(virtual_policy: RetryPolicy) -> None:
    """When the last poll failed, its error says more than a timeout would."""
    with pytest.raises(errors.Throttled):
        wait(script("BUSY", throttled()), virtual_policy, timeout=60)


def vanished() -> errors.UnexpectedStatus:
    """What a wait raises about a resource that is not there."""
    return errors.UnexpectedStatus("gone", arn="arn", status=None)


def wait_for_existing(states: list[str | None], policy: RetryPolicy) -> str | None:
    """Wait until a poll says DONE; None is a resource that is not there."""

    def reached(state: str | None) -> bool:
        if state is None:
            raise vanished()
        return state == "DONE"

    left = iter(states)
    return wait_until(
        lambda: next(left),
        reached,
        policy=policy,
        timeout=None,
        timed_out=lambda _, waited: timed_out("", waited),
    )


def test_what_was_just_created_may_appear_late(virtual_policy: RetryPolicy) -> None:
    """Descriptions lag behind creations: a few polls that see nothing do not end a wait."""
    assert wait_for_existing([None, None, None, "BUSY", "DONE"], virtual_policy) == "DONE"


@pytest.mark.parametrize("states", [["BUSY", None], [None] * 10], ids=["seen before", "never seen"])
def test_what_does_not_exist_ends_the_wait(
    states: list[str | None], virtual_policy: RetryPolicy, virtual_time: VirtualTime
) -> None:
    """What was there and is gone ends the wait at once; what never appears, within some seconds."""
    with pytest.raises(errors.UnexpectedStatus):
        wait_for_existing(states, virtual_policy)
    assert virtual_time.now < 15


def test_trouble_is_visible(virtual_policy: RetryPolicy) -> None:
    """The policy's hook tells of the trouble that a wait bears, not of its ordinary polls."""
    told: list[BaseException] = []
    policy = attrs.evolve(virtual_policy, on_retry=lambda retry: told.append(retry.error))
    trouble = throttled()
    assert wait(script("BUSY", trouble, "DONE"), policy) == "DONE"
    assert told == [trouble]
