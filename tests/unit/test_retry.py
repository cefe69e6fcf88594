"""Which calls are retried, how often and how fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from rekolabels import RetryPolicy, errors
from rekolabels._aws._errors import from_response
from rekolabels._aws._retry import Retry, call_once, call_with_retries, is_transient

if TYPE_CHECKING:
    from virtual_time import VirtualTime

FAULT = errors.ServiceFault("500", operation="CreateProject", code="InternalServerError")
THROTTLED = errors.Throttled("slow", operation="CreateProject", code="ThrottlingException")
EXISTS = errors.ResourceInUse("exists", operation="CreateProject", code="ResourceInUseException")
LOST = errors.ConnectionFailed("reset")


def busy(retry_after: str) -> errors.ServiceError:
    """Return a fault with a ``Retry-After`` header."""
    headers = {"retry-after": retry_after, "date": "Wed, 21 Oct 2015 07:28:00 GMT"}
    answer = {"Error": {"Code": "ServiceUnavailable"}, "ResponseMetadata": {"HTTPHeaders": headers}}
    return from_response(answer, "PutObject")


@attrs.mutable
class Flaky:
    """A call that raises its errors one after another and then succeeds."""

    left: list[Exception]
    calls: int = 0

    def __call__(self) -> str:
        """Raise the next error, or succeed."""
        self.calls += 1
        if self.left:
            raise self.left.pop(0)
        return "done"


def test_a_call_that_succeeds_is_made_once(virtual_policy: RetryPolicy, virtual_time: VirtualTime) -> None:
    """A successful call neither sleeps nor retries."""
    call = Flaky([])
    assert call_with_retries(virtual_policy, call) == "done"
    assert (call.calls, virtual_time.naps) == (1, [])


def test_transient_errors_are_retried(virtual_policy: RetryPolicy, virtual_time: VirtualTime) -> None:
    """Faults, throttling and lost connections are retried with growing delays."""
    call = Flaky([FAULT, THROTTLED, LOST])
    assert call_with_retries(virtual_policy, call) == "done"
    assert call.calls == 4
    assert len(virtual_time.naps) == 3
    assert virtual_time.naps[0] < virtual_time.naps[2]


def test_delays_double(virtual_policy: RetryPolicy, virtual_time: VirtualTime) -> None:
    """Jitter adds at most the first delay; ``max_delay`` bounds the growth."""
    policy = attrs.evolve(virtual_policy, first_delay=0.5, max_delay=2)
    assert call_with_retries(policy, Flaky([FAULT] * 5)) == "done"
    for nap, least in zip(virtual_time.naps, (0.5, 1.0, 2.0, 2.0, 2.0), strict=True):
        assert least <= nap <= least + 0.5


def test_a_permanent_error_ends_the_retries(virtual_policy: RetryPolicy) -> None:
    """A permanent error ends the retries, after a transient one as well."""
    call = Flaky([LOST, EXISTS])
    with pytest.raises(errors.ResourceInUse):
        call_with_retries(virtual_policy, call)
    assert call.calls == 2


def test_the_last_error_is_raised(virtual_policy: RetryPolicy) -> None:
    """After the last attempt its error is raised."""
    call = Flaky([FAULT] * 100)
    with pytest.raises(errors.ServiceFault):
        call_with_retries(virtual_policy, call)
    assert call.calls == virtual_policy.attempts


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_attempts_include_the_first(attempts: int, virtual_policy: RetryPolicy) -> None:
    """``attempts`` is the total number of calls."""
    call = Flaky([FAULT] * 100)
    with pytest.raises(errors.ServiceFault):
        call_with_retries(attrs.evolve(virtual_policy, attempts=attempts), call)
    assert call.calls == attempts


@pytest.mark.parametrize("error", [FAULT, LOST])
def test_a_creation_is_looked_up_before_it_is_repeated(error: Exception, virtual_policy: RetryPolicy) -> None:
    """After a fault or a lost connection, the existing resource is looked up and returned."""
    call = Flaky([error])
    assert call_once(virtual_policy, call, lambda: "found") == "found"
    assert call.calls == 1


def test_a_creation_without_effect_is_repeated(virtual_policy: RetryPolicy) -> None:
    """If the look-up finds nothing, the call is repeated."""
    call = Flaky([LOST])
    assert call_once(virtual_policy, call, lambda: None) == "done"
    assert call.calls == 2


def test_a_throttled_creation_is_repeated_without_a_look_up(virtual_policy: RetryPolicy) -> None:
    """A throttled call had no effect, so nothing is looked up."""
    look_up = Flaky([])
    assert call_once(virtual_policy, Flaky([THROTTLED]), look_up) == "done"
    assert look_up.calls == 0


def test_a_look_up_may_lag_behind(virtual_policy: RetryPolicy) -> None:
    """If the resource exists but is not visible yet, it is looked up again."""
    call = Flaky([LOST, EXISTS, EXISTS])
    seen = iter([None, None, "found"])
    assert call_once(virtual_policy, call, lambda: next(seen)) == "found"


def test_resources_of_others_are_an_error(virtual_policy: RetryPolicy) -> None:
    """A name that is taken is an error at once, or after a lost answer when nothing is found."""
    first, uncertain = Flaky([EXISTS]), Flaky([LOST, *[EXISTS] * 100])
    for call in (first, uncertain):
        with pytest.raises(errors.ResourceInUse):
            call_once(virtual_policy, call, lambda: None)
    assert (first.calls, uncertain.calls) == (1, virtual_policy.attempts)


def test_a_failing_look_up_is_repeated_too(virtual_policy: RetryPolicy) -> None:
    """Errors of the look-up are retried, and the call is not made twice."""
    call = Flaky([LOST])
    assert call_once(virtual_policy, call, Flaky([LOST, THROTTLED])) == "done"
    assert call.calls == 1


def test_the_budget_ends_the_retries(virtual_policy: RetryPolicy, virtual_time: VirtualTime) -> None:
    """No attempt begins after the budget."""
    policy = attrs.evolve(virtual_policy, attempts=1000, budget=30)
    with pytest.raises(errors.ServiceFault):
        call_with_retries(policy, Flaky([FAULT] * 1000))
    assert 10 < virtual_time.now <= 30


def test_slow_attempts_count_against_the_budget(
    virtual_policy: RetryPolicy, virtual_time: VirtualTime
) -> None:
    """Time-outs count against the budget."""
    calls = 0

    def silent() -> str:
        nonlocal calls
        calls += 1
        virtual_time.now += 60
        raise LOST

    with pytest.raises(errors.ConnectionFailed):
        call_with_retries(virtual_policy, silent)
    assert calls == 2


def test_retry_after_is_respected(virtual_policy: RetryPolicy, virtual_time: VirtualTime) -> None:
    """``Retry-After`` is respected, even if it exceeds ``max_delay``."""
    assert call_with_retries(attrs.evolve(virtual_policy, max_delay=1), Flaky([busy("45")])) == "done"
    assert virtual_time.naps == [45]


def test_a_retry_after_beyond_the_budget_is_not_waited_for(
    virtual_policy: RetryPolicy, virtual_time: VirtualTime
) -> None:
    """A ``Retry-After`` beyond the budget is not waited for; the error has its value."""
    with pytest.raises(errors.ServiceFault) as caught:
        call_with_retries(virtual_policy, Flaky([busy("3600")]))
    assert (caught.value.retry_after, virtual_time.naps) == (3600, [])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("0", 0.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
def test_formats_of_retry_after(header: str, expected: float | None) -> None:
    """Seconds, or a date by the clock of the service; other values are ignored."""
    assert expected == busy(header).retry_after


def test_retries_are_visible(
    virtual_policy: RetryPolicy, virtual_time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    """The hook and the log get each retry with its delay."""
    retries: list[Retry] = []
    with caplog.at_level("INFO", logger="rekolabels"):
        call_with_retries(attrs.evolve(virtual_policy, on_retry=retries.append), Flaky([FAULT, LOST]))
    assert retries == [Retry(FAULT, 1, virtual_time.naps[0]), Retry(LOST, 2, virtual_time.naps[1])]
    assert [record.message.rpartition(": ")[2] for record in caplog.records] == ["500", "reset"]


def test_permanent_errors_are_not_retried(virtual_policy: RetryPolicy) -> None:
    """A permanent error is raised at once."""
    call = Flaky([errors.InvalidRequest("bad", operation="X", code="InvalidParameterException")])
    with pytest.raises(errors.InvalidRequest):
        call_with_retries(virtual_policy, call)
    assert call.calls == 1


@pytest.mark.parametrize(
    ("error", "expected"), [(FAULT, True), (THROTTLED, True), (LOST, True), (ValueError(), False)]
)
def test_transient_errors(error: Exception, expected: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    """Faults, throttling and lost connections are transient; other errors are not."""
    assert expected == is_transient(error)


def test_a_policy_needs_an_attempt() -> None:
    """A policy without attempts is an error."""
    with pytest.raises(errors.InvalidInput, match="attempts is 0; expected a whole number, 1 or more"):
        RetryPolicy(attempts=0)


@pytest.mark.parametrize("name", ["first_delay", "max_delay", "budget", "first_poll", "max_poll", "patience"])
def test_times_of_a_policy_are_checked(name: str) -> None:
    """Negative times are errors."""
    with pytest.raises(errors.InvalidInput, match=f"{name} is -1; expected"):
        RetryPolicy(**{name: -1})  # type: ignore[arg-type] # a parameter with a number
