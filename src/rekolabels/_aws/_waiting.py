"""``wait_until``: poll the service until a job has ended, with intervals that back off."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

from rekolabels import errors
from rekolabels._arguments import check_seconds
from rekolabels._aws._retry import Retry, RetryPolicy, error_of, is_transient, notify_retry

if TYPE_CHECKING:
    import tenacity

__all__ = ["DEFAULT_TIMEOUT", "wait_until"]

S = TypeVar("S")

DEFAULT_TIMEOUT = 72 * 3600.0
"""Seconds. The developer guide says that a training takes up to 24 hours; one of 34 hours is on record."""

_INTERVAL_GROWTH = 1.25
_MAX_UNSEEN_POLLS = 10
"""Polls, over about eight seconds, after which a resource that none of them has returned does not exist."""


def wait_until(
    poll: Callable[[], S],
    reached: Callable[[S], bool],
    *,
    policy: RetryPolicy,
    timeout: float | None,
    timed_out: Callable[[S | None, float], errors.WaitTimedOut],
) -> S:
    """Poll until ``reached`` returns True.

    Transient errors and expired credentials are tolerated for ``policy.patience`` consecutive seconds. Every
    other error ends the wait, including those that ``reached`` raises for a state that cannot lead to the
    goal. A resource that was just created may not be described at once: if no poll has returned it yet, the
    wait goes on for some polls.

    Args:
        poll: Fetches the state; None if the resource does not exist.
        reached: Returns whether the state is the goal; raises if the goal cannot be reached from it.
        policy: Intervals, patience, clock and sleep.
        timeout: Seconds; None for the default of 72 hours.
        timed_out: Makes the error for a wait that timed out, from the last state (None if there was none) and
            the seconds waited.

    Returns:
        The state for which ``reached`` returned True.

    Raises:
        InvalidInput: ``timeout`` is not a number of seconds.
    """
    limit = check_seconds("timeout", timeout)
    return _Wait(
        poll, reached, policy, DEFAULT_TIMEOUT if limit is None else limit, timed_out, policy.clock()
    ).run()


@attrs.define(eq=False, repr=False)
class _Wait(Generic[S]):
    """A wait and what its polls have returned so far."""

    poll: Callable[[], S]
    reached: Callable[[S], bool]
    policy: RetryPolicy
    limit: float
    timed_out: Callable[[S | None, float], errors.WaitTimedOut]
    started: float
    last: S | None = None
    unseen_polls: int = 0
    failing_since: float | None = None

    def run(self) -> S:
        import tenacity

        backoff = tenacity.wait_exponential(
            multiplier=self.policy.first_poll, max=self.policy.max_poll, exp_base=_INTERVAL_GROWTH
        ) + tenacity.wait_random(0, self.policy.first_poll)

        def interval(state: tenacity.RetryCallState) -> float:
            # The last poll is made exactly at the limit, to see a job that ends just before it.
            return min(backoff(state), self.policy.max_poll, max(0.0, self.limit - self.waited()))

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(self.is_tolerable) | tenacity.retry_if_result(self.goes_on),
            stop=lambda _: self.waited() >= self.limit,
            wait=interval,
            sleep=self.policy.sleep,
            before_sleep=self.notify,
            retry_error_callback=self.give_up,
            reraise=False,
        )(self.fetch)

    def waited(self) -> float:
        return self.policy.clock() - self.started

    def fetch(self) -> S:
        self.last = self.poll()
        self.failing_since = None
        self.unseen_polls = self.unseen_polls + 1 if self.last is None else _MAX_UNSEEN_POLLS
        return self.last

    def goes_on(self, state: S) -> bool:
        try:
            return not self.reached(state)
        except errors.UnexpectedStatus:
            if self.unseen_polls >= _MAX_UNSEEN_POLLS:
                raise
            return True

    def is_tolerable(self, error: BaseException) -> bool:
        if not (is_transient(error) or isinstance(error, errors.CredentialsExpired)):
            return False
        if self.failing_since is None:
            self.failing_since = self.policy.clock()
        return self.policy.clock() - self.failing_since < self.policy.patience

    def notify(self, state: tenacity.RetryCallState) -> None:
        error = error_of(state)
        if error is not None:
            notify_retry(self.policy, Retry(error, state.attempt_number, state.upcoming_sleep))

    def give_up(self, state: tenacity.RetryCallState) -> S:
        raise error_of(state) or self.timed_out(self.last, self.waited())
