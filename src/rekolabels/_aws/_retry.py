"""``RetryPolicy``, and the functions that retry calls by it with tenacity."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

from rekolabels import errors
from rekolabels._arguments import check_callable, check_integer, check_number

if TYPE_CHECKING:
    import tenacity

__all__ = [
    "Retry",
    "RetryPolicy",
    "call_once",
    "call_with_retries",
    "error_of",
    "is_transient",
    "notify_retry",
]

T = TypeVar("T")

_log = logging.getLogger("rekolabels")


def is_transient(error: BaseException) -> bool:
    """Return whether the same call may succeed later: throttling, service faults, lost connections."""
    return isinstance(error, (errors.Throttled, errors.ServiceFault, errors.ConnectionFailed))


def _is_uncertain(error: BaseException) -> bool:
    """Return whether the service may have carried out the call in spite of the error."""
    return isinstance(error, (errors.ServiceFault, errors.ConnectionFailed))


@attrs.frozen
class Retry:
    """A call that is about to be retried; the argument of ``RetryPolicy(on_retry=...)``."""

    error: BaseException
    """The error of the last attempt."""
    attempt: int
    """Number of attempts so far, from 1."""
    delay: float
    """Seconds until the next attempt."""


@attrs.frozen
class RetryPolicy:
    """How often and how fast calls are retried, and jobs are polled.

    The SDK retries calls after throttling, service faults and lost connections. botocore's own retries are
    switched off. A call that creates, changes or deletes something is not simply repeated: if its answer was
    lost, the SDK looks up whether it was carried out, and repeats it only if it was not.

    A ``Retry-After`` header of the service is respected. Each retry is logged (logger ``rekolabels``, level
    INFO).

    >>> RetryPolicy(attempts=1)  # never retry a call
    RetryPolicy(attempts=1, first_delay=0.2, max_delay=20.0, budget=120.0, first_poll=0.25, max_poll=30.0,
                patience=900.0, on_retry=None)
    """

    attempts: int = 6
    """Attempts of one call, including the first; at least 1."""
    first_delay: float = 0.2
    """Seconds before the second attempt. The delay doubles with each further attempt, plus jitter."""
    max_delay: float = 20.0
    """Longest delay between two attempts, in seconds, unless ``Retry-After`` asks for more."""
    budget: float = 120.0
    """Seconds after the first attempt of a call in which further attempts may begin. An attempt that has
    begun is ended by botocore's time-outs: 60 s for connecting and 60 s for reading, unless ``config`` says
    otherwise."""
    first_poll: float = 0.25
    """Seconds between the first two polls of a wait. The interval grows by a quarter each time, plus
    jitter."""
    max_poll: float = 30.0
    """Longest interval between two polls of a wait, in seconds."""
    patience: float = 900.0
    """Seconds for which a wait tolerates consecutive transient errors or expired credentials; 0 or more."""
    on_retry: Callable[[Retry], object] | None = None
    """Called before each retry, in the thread that makes the call; for metrics and tests."""
    sleep: Callable[[float], None] = attrs.field(default=time.sleep, repr=False)
    """Sleeps for a number of seconds; replace it in tests."""
    clock: Callable[[], float] = attrs.field(default=time.monotonic, repr=False)
    """Returns seconds of a monotonic clock; replace it in tests."""
    time: Callable[[], float] = attrs.field(default=time.time, repr=False)
    """Returns seconds since the epoch, for times that are written to AWS; replace it in tests."""

    def __attrs_post_init__(self) -> None:
        check_integer("attempts", self.attempts, at_least=1)
        check_number("patience", self.patience, at_least=0, kind="a number of seconds")
        for name in ("first_delay", "max_delay", "budget", "first_poll", "max_poll"):
            check_number(name, getattr(self, name), above=0, kind="a number of seconds")
        for name in ("sleep", "clock", "time"):
            check_callable(name, getattr(self, name), "a function, as in the module time")
        if self.on_retry is not None:
            check_callable("on_retry", self.on_retry, "a function that accepts a Retry, or None")


def call_with_retries(policy: RetryPolicy, function: Callable[[], T]) -> T:
    """Call a function that may be repeated, until it succeeds, its error is permanent, or the policy ends.

    Raises:
        RekolabelsError: The error of the last attempt.
    """
    return _call(policy, function, is_transient)


def call_once(policy: RetryPolicy, function: Callable[[], T], look_up: Callable[[], T | None]) -> T:
    """Call a function whose effect must not happen twice, such as the creation of a resource.

    Args:
        policy: Number and delays of the attempts.
        function: The call.
        look_up: Called before a repetition if an earlier attempt may have been carried out. Returns the
            result of that attempt, or None if it had no effect.

    Raises:
        RekolabelsError: The error of the last attempt.
    """
    once = _Once(function, look_up)
    return _call(policy, once, once.may_repeat)


def notify_retry(policy: RetryPolicy, retry: Retry) -> None:
    """Log a retry and call ``on_retry``."""
    _log.info("Retrying in %.1f s after attempt %d failed: %s", retry.delay, retry.attempt, retry.error)
    if policy.on_retry is not None:
        policy.on_retry(retry)


def error_of(state: tenacity.RetryCallState) -> BaseException | None:
    """Return the error of tenacity's last attempt; None if it returned a result."""
    return state.outcome.exception() if state.outcome is not None else None


def _call(policy: RetryPolicy, function: Callable[[], T], may_repeat: Callable[[BaseException], bool]) -> T:
    # The first attempt, which nearly always succeeds, is made without tenacity: for DetectCustomLabels its
    # overhead would exceed all other work of the SDK.
    began = policy.clock()
    try:
        return function()
    except errors.RekolabelsError as error:
        if policy.attempts == 1 or not may_repeat(error):
            raise
        first = error
    return _retry(policy, function, may_repeat, first, began)


def _retry(
    policy: RetryPolicy,
    function: Callable[[], T],
    may_repeat: Callable[[BaseException], bool],
    first: Exception,
    began: float,
) -> T:
    """Continue with tenacity after the first attempt has failed."""
    import tenacity

    backoff = tenacity.wait_exponential(multiplier=policy.first_delay, max=policy.max_delay)
    jitter = tenacity.wait_random(0, policy.first_delay)
    failed = [first]

    def attempt() -> T:
        if failed:
            raise failed.pop()  # let tenacity count the first attempt, which was already made
        return function()

    def delay(state: tenacity.RetryCallState) -> float:
        requested = getattr(error_of(state), "retry_after", None) or 0.0
        return max(backoff(state) + jitter(state), requested)

    def stop(state: tenacity.RetryCallState) -> bool:
        elapsed = policy.clock() - began + state.upcoming_sleep
        return state.attempt_number >= policy.attempts or elapsed >= policy.budget

    def notify(state: tenacity.RetryCallState) -> None:
        error = error_of(state)
        assert error is not None  # noqa: S101 -- only failed attempts are retried
        notify_retry(policy, Retry(error, state.attempt_number, state.upcoming_sleep))

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(may_repeat),
        stop=stop,
        wait=delay,
        sleep=policy.sleep,
        before_sleep=notify,
        reraise=True,
    )(attempt)


@attrs.define
class _Once(Generic[T]):
    """A call whose effect must not happen twice, with what is known about its attempts."""

    function: Callable[[], T]
    look_up: Callable[[], T | None]
    uncertain: bool = False
    """Whether an earlier attempt may have been carried out."""

    def __call__(self) -> T:
        if self.uncertain:
            found = self.look_up()
            if found is not None:
                return found
        try:
            return self.function()
        except errors.RekolabelsError as error:
            self.uncertain = self.uncertain or _is_uncertain(error)
            raise

    def may_repeat(self, error: BaseException) -> bool:
        # "Already exists" may be the effect of our own attempt, which the look-up does not see yet.
        exists = isinstance(error, (errors.ResourceInUse, errors.ResourceAlreadyExists))
        return is_transient(error) or (self.uncertain and exists)
