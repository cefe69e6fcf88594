"""Waiting for the service: polls that start short and grow, behind tenacity."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from rekolabels import errors
from rekolabels._retry import RetryPolicy, is_transient

if TYPE_CHECKING:
    from collections.abc import Callable

    import tenacity

__all__ = ["DEFAULT_TIMEOUT", "wait_until"]

S = TypeVar("S")

DEFAULT_TIMEOUT = 26 * 3600.0
"""Seconds: a training may take 24 hours, and starts a little after it was asked for."""

_GROWTH = 1.25

_log = logging.getLogger("rekolabels")


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
    nowhere.

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
    import tenacity

    limit = DEFAULT_TIMEOUT if timeout is None else timeout
    started = policy.clock()
    last: S | None = None
    trouble_since: float | None = None

    def ask() -> S:
        nonlocal last, trouble_since
        last = poll()
        trouble_since = None
        return last

    def bearable(error: BaseException) -> bool:
        nonlocal trouble_since
        if not (is_transient(error) or isinstance(error, errors.CredentialsExpired)):
            return False
        if trouble_since is None:
            trouble_since = policy.clock()
        _log.info("waiting on: %s", error)
        return policy.clock() - trouble_since < policy.patience

    def ended(_: tenacity.RetryCallState) -> bool:
        return policy.clock() - started >= limit

    growing = tenacity.wait_exponential(
        multiplier=policy.first_poll, max=policy.max_poll, exp_base=_GROWTH
    ) + tenacity.wait_random(0, policy.first_poll)

    def rest(state: tenacity.RetryCallState) -> float:
        # The last poll falls on the limit itself, so that a job that ends just before it is still seen.
        left = max(0.0, limit - (policy.clock() - started))
        return min(growing(state), policy.max_poll, left)

    def give_up(state: tenacity.RetryCallState) -> S:
        trouble = state.outcome.exception() if state.outcome is not None else None
        raise trouble or timed_out(last, policy.clock() - started)

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(bearable)
        | tenacity.retry_if_result(lambda state: not reached(state)),
        stop=ended,
        wait=rest,
        sleep=policy.sleep,
        retry_error_callback=give_up,
        reraise=False,
    )(ask)
