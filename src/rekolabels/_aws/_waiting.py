"""Waiting for the service: polls that start short and grow, behind tenacity."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

from rekolabels import errors
from rekolabels._aws._retry import Retry, RetryPolicy, is_transient

if TYPE_CHECKING:
    import tenacity

__all__ = ["DEFAULT_TIMEOUT", "wait_until"]

S = TypeVar("S")

DEFAULT_TIMEOUT = 26 * 3600.0
"""Seconds: a training may take 24 hours, and starts a little after it was asked for."""

_GROWTH = 1.25
_APPEARING = 10
"""Polls, some eight seconds, after which what none of them has seen is taken for not existing."""


def wait_until(
    poll: Callable[[], S],
    reached: Callable[[S], bool],
    *,
    policy: RetryPolicy,
    timeout: float | None,
    timed_out: Callable[[S | None, float], errors.WaitTimedOut],
) -> S:
    """Poll until ``reached`` says so.

    Transient errors and expired credentials are waited out, for ``policy.patience`` seconds in a row at the
    most; every other error ends the wait, as does one that ``reached`` raises about a state that leads
    nowhere. What was just created may not be described at once: a resource that no poll has seen yet is
    given some polls to appear.

    Args:
        poll: Fetches the state.
        reached: Whether the state is the one that is waited for; raises when it can no longer become it.
        policy: Pace, patience, clock and sleep.
        timeout: Seconds; None for the default of 26 hours.
        timed_out: Makes the error for a wait that ended before the job: takes the last state (None when
            there was none) and the seconds waited.

    Returns:
        The state that was waited for.
    """
    limit = DEFAULT_TIMEOUT if timeout is None else timeout
    return _Wait(poll, reached, policy, limit, timed_out, policy.clock()).run()


@attrs.define(eq=False, repr=False)
class _Wait(Generic[S]):
    """A wait, and what it has seen so far."""

    poll: Callable[[], S]
    reached: Callable[[S], bool]
    policy: RetryPolicy
    limit: float
    timed_out: Callable[[S | None, float], errors.WaitTimedOut]
    started: float
    last: S | None = None
    unseen: int = 0
    trouble_since: float | None = None

    def run(self) -> S:
        import tenacity

        growing = tenacity.wait_exponential(
            multiplier=self.policy.first_poll, max=self.policy.max_poll, exp_base=_GROWTH
        ) + tenacity.wait_random(0, self.policy.first_poll)

        def rest(state: tenacity.RetryCallState) -> float:
            # The last poll falls on the limit itself, so that a job that ends just before it is still seen.
            return min(growing(state), self.policy.max_poll, max(0.0, self.limit - self.waited()))

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(self.is_bearable) | tenacity.retry_if_result(self.goes_on),
            stop=lambda _: self.waited() >= self.limit,
            wait=rest,
            sleep=self.policy.sleep,
            before_sleep=self.tell,
            retry_error_callback=self.give_up,
            reraise=False,
        )(self.ask)

    def waited(self) -> float:
        return self.policy.clock() - self.started

    def ask(self) -> S:
        self.last = self.poll()
        self.trouble_since = None
        self.unseen = self.unseen + 1 if self.last is None else _APPEARING
        return self.last

    def goes_on(self, state: S) -> bool:
        try:
            return not self.reached(state)
        except errors.UnexpectedStatus:
            if self.unseen >= _APPEARING:
                raise
            return True

    def is_bearable(self, error: BaseException) -> bool:
        if not (is_transient(error) or isinstance(error, errors.CredentialsExpired)):
            return False
        if self.trouble_since is None:
            self.trouble_since = self.policy.clock()
        return self.policy.clock() - self.trouble_since < self.policy.patience

    def tell(self, state: tenacity.RetryCallState) -> None:
        trouble = _error_of(state)
        if trouble is not None:
            self.policy.tell(Retry(trouble, state.attempt_number, state.upcoming_sleep))

    def give_up(self, state: tenacity.RetryCallState) -> S:
        raise _error_of(state) or self.timed_out(self.last, self.waited())


def _error_of(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
