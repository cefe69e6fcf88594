"""Repeating calls: which, how often, how fast."""

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
    """A fault with a Retry-After header."""
    headers = {"retry-after": retry_after, "date": "Wed, 21 Oct 2015 07:28:00 GMT"}
    answer = {"Error": {"Code": "ServiceUnavailable"}, "ResponseMetadata": {"HTTPHeaders": headers}}
    return from_response(answer, "PutObject")


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
    assert call_with_retries(virtual_policy, call) == "done"
    assert (call.calls, virtual_time.naps) == (1, [])


def test_transient_errors_are_repeated(virtual_policy: RetryPolicy, virtual_time: VirtualTime) -> None:
    """A read goes on through faults, throttling and lost connections, with growing pauses."""
    call = Flaky([FAULT, THROTTLED, LOST])
    assert call_with_retries(virtual_policy, call) == "done"
    assert call.calls == 4
    assert len(virtual_time.naps) == 3
    assert virtual_time.naps[0] < virtual_time.naps[2]


def test_pauses_double_and_are_never_shorter_than_that(
    virtual_policy: RetryPolicy, virtual_time: VirtualTime
) -> None:
    """The jitter lengthens a pause, by the first delay at the most; the longest pause bounds the growth."""
    policy = attrs.evolve(virtual_policy, first_delay=0.5, max_delay=2)
    assert call_with_retries(policy, Flaky([FAULT] * 5)) == "done"
    for nap, least in zip(virtual_time.naps, (0.5, 1.0, 2.0, 2.0, 2.0), strict=True):
        assert least <= nap <= least + 0.5


def test_an_error_for_good_ends_the_repetitions(virtual_policy: RetryPolicy) -> None:
    """Also when an error that passes came before it."""
    call = Flaky([LOST, EXISTS])
    with pytest.raises(errors.ResourceInUse):
        call_with_retries(virtual_policy, call)
    assert call.calls == 2


def test_the_last_error_comes_through(virtual_policy: RetryPolicy) -> None:
    """After the last try the error itself is raised."""
    call = Flaky([FAULT] * 100)
    with pytest.raises(errors.ServiceFault):
        call_with_retries(virtual_policy, call)
    assert call.calls == virtual_policy.attempts


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_attempts_count_the_first_try(attempts: int, virtual_policy: RetryPolicy) -> None:
    """``attempts`` is the number of calls in all."""
    call = Flaky([FAULT] * 100)
    with pytest.raises(errors.ServiceFault):
        call_with_retries(attrs.evolve(virtual_policy, attempts=attempts), call)
    assert call.calls == attempts


@pytest.mark.parametrize("doubt", [FAULT, LOST])
def test_what_creates_is_looked_up_before_it_is_repeated(
    doubt: Exception, virtual_policy: RetryPolicy
) -> None:
    """After a fault or a lost connection a create may have happened: what is found is taken up."""
    call = Flaky([doubt])
    assert call_once(virtual_policy, call, lambda: "found") == "found"
    assert call.calls == 1


def test_what_creates_is_repeated_when_nothing_is_found(virtual_policy: RetryPolicy) -> None:
    """The look-up found nothing, so the call was not carried out."""
    call = Flaky([LOST])
    assert call_once(virtual_policy, call, lambda: None) == "done"
    assert call.calls == 2


def test_what_was_refused_is_repeated_without_a_look(virtual_policy: RetryPolicy) -> None:
    """A throttled call did nothing."""
    look_up = Flaky([])
    assert call_once(virtual_policy, Flaky([THROTTLED]), look_up) == "done"
    assert look_up.calls == 0


def test_a_look_up_may_lag_behind(virtual_policy: RetryPolicy) -> None:
    """Refused because it exists, but not seen yet: it is looked for again, and taken up."""
    call = Flaky([LOST, EXISTS, EXISTS])
    seen = iter([None, None, "found"])
    assert call_once(virtual_policy, call, lambda: next(seen)) == "found"


def test_what_exists_without_our_doing_is_an_error(virtual_policy: RetryPolicy) -> None:
    """Without a doubt, a name that is taken is refused at once; in doubt, once nothing of ours is found."""
    first, doubtful = Flaky([EXISTS]), Flaky([LOST, *[EXISTS] * 100])
    for call in (first, doubtful):
        with pytest.raises(errors.ResourceInUse):
            call_once(virtual_policy, call, lambda: None)
    assert (first.calls, doubtful.calls) == (1, virtual_policy.attempts)


def test_a_failing_look_up_is_repeated_too(virtual_policy: RetryPolicy) -> None:
    """Trouble may go on; nothing is made twice for that."""
    call = Flaky([LOST])
    assert call_once(virtual_policy, call, Flaky([LOST, THROTTLED])) == "done"
    assert call.calls == 1


def test_the_budget_ends_the_repetitions(virtual_policy: RetryPolicy, virtual_time: VirtualTime) -> None:
    """However many attempts are allowed, none begins after the budget is spent."""
    policy = attrs.evolve(virtual_policy, attempts=1000, budget=30)
    with pytest.raises(errors.ServiceFault):
        call_with_retries(policy, Flaky([FAULT] * 1000))
    assert 10 < virtual_time.now <= 30


def test_slow_tries_count_against_the_budget(virtual_policy: RetryPolicy, virtual_time: VirtualTime) -> None:
    """A service that is silent until the time-out is not asked six times."""
    calls = 0

    def silent() -> str:
        nonlocal calls
        calls += 1
        virtual_time.now += 60
        raise LOST

    with pytest.raises(errors.ConnectionFailed):
        call_with_retries(virtual_policy, silent)
    assert calls == 2


def test_retry_after_is_kept(virtual_policy: RetryPolicy, virtual_time: VirtualTime) -> None:
    """The service knows best when to come back, also when it is later than our longest pause."""
    assert call_with_retries(attrs.evolve(virtual_policy, max_delay=1), Flaky([busy("45")])) == "done"
    assert virtual_time.naps == [45]


def test_a_retry_after_beyond_the_budget_is_not_waited_for(
    virtual_policy: RetryPolicy, virtual_time: VirtualTime
) -> None:
    """Nobody sleeps for an hour in a call; the error tells how long it would be."""
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
def test_retry_after_in_its_forms(header: str, expected: float | None) -> None:
    """Seconds, or a date by the clock of the service; anything else is not there."""
    assert expected == busy(header).retry_after


def test_repetitions_are_visible(
    virtual_policy: RetryPolicy, virtual_time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    """The hook and the log tell of each repetition, with the pause before it."""
    told: list[Retry] = []
    with caplog.at_level("INFO", logger="rekolabels"):
        call_with_retries(attrs.evolve(virtual_policy, on_retry=told.append), Flaky([FAULT, LOST]))
    assert told == [Retry(FAULT, 1, virtual_time.naps[0]), Retry(LOST, 2, virtual_time.naps[1])]
    assert [record.message.rpartition(": ")[2] for record in caplog.records] == ["500", "reset"]


def test_errors_that_do_not_pass_are_not_repeated(virtual_policy: RetryPolicy) -> None:
    """A refusal for good is raised at once."""
    call = Flaky([errors.InvalidRequest("bad", operation="X", code="InvalidParameterException")])
    with pytest.raises(errors.InvalidRequest):
        call_with_retries(virtual_policy, call)
    assert call.calls == 1


@pytest.mark.parametrize(
    ("error", "expected"), [(FAULT, True), (THROTTLED, True), (LOST, True), (ValueError(), False)]
)
def test_what_is_transient(error: Exception, expected: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    """Faults, throttling and lost connections pass; the rest does not."""
    assert expected == is_transient(error)


def test_a_policy_is_checked_when_it_is_made() -> None:
    """A policy without a single try is refused."""
    with pytest.raises(errors.InvalidInput, match="attempts is 0; expected 1 or more"):
        RetryPolicy(attempts=0)


@pytest.mark.parametrize("name", ["first_delay", "max_delay", "budget", "first_poll", "max_poll", "patience"])
def test_times_of_a_policy_are_checked(name: str) -> None:
    """Times below zero are rejected with an error of ours."""
    with pytest.raises(errors.InvalidInput, match=f"{name} is -1; expected"):
        attrs.evolve(RetryPolicy(), **{name: -1})
