"""How calls are repeated: one policy for the whole SDK, composed from tenacity."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import attrs

from rekolabels import errors

if TYPE_CHECKING:
    import tenacity

__all__ = ["RetryPolicy", "is_transient", "was_refused"]

T = TypeVar("T")

_log = logging.getLogger("rekolabels")


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later: throttling, faults of the service, no connection."""
    return isinstance(error, (errors.Throttled, errors.ServiceFault, errors.ConnectionFailed))


def was_refused(error: BaseException) -> bool:
    """Whether the call certainly did nothing, so that even one that creates something may be repeated."""
    return isinstance(error, errors.Throttled)


@attrs.frozen
class RetryPolicy:
    """How often and how fast calls are repeated and jobs are asked for their state.

    botocore's own repetitions are switched off, so that this is the only place where a call is repeated:
    reads and calls that may safely be made twice after throttling, faults of the service and lost
    connections; calls that create something only when the service refused them outright.

    >>> RetryPolicy(attempts=1)  # never repeat a call
    RetryPolicy(attempts=1, first_delay=0.2, max_delay=20.0, first_poll=0.25, max_poll=30.0, patience=900.0)
    """

    attempts: int = attrs.field(default=6, validator=attrs.validators.ge(1))
    """Tries of one call, the first included; at least 1."""
    first_delay: float = attrs.field(default=0.2, validator=attrs.validators.gt(0))
    """Seconds before the second try; doubles with each further one, with jitter."""
    max_delay: float = attrs.field(default=20.0, validator=attrs.validators.gt(0))
    """Longest pause between two tries, in seconds."""
    first_poll: float = attrs.field(default=0.25, validator=attrs.validators.gt(0))
    """Seconds before a wait asks for the state a second time; grows by a quarter each time, with jitter."""
    max_poll: float = attrs.field(default=30.0, validator=attrs.validators.gt(0))
    """Longest pause between two questions of a wait, in seconds."""
    patience: float = attrs.field(default=900.0, validator=attrs.validators.ge(0))
    """How long a wait bears transient errors and expired credentials in a row, in seconds."""
    sleep: Callable[[float], None] = attrs.field(default=time.sleep, repr=False)
    """What sleeps; tests give their own."""
    clock: Callable[[], float] = attrs.field(default=time.monotonic, repr=False)
    """Seconds on a clock that never goes back; tests give their own."""
    time: Callable[[], float] = attrs.field(default=time.time, repr=False)
    """Seconds since the epoch, for what is written on resources; tests give their own."""

    def call(
        self,
        function: Callable[[], T],
        *,
        may_repeat: Callable[[BaseException], bool] = is_transient,
    ) -> T:
        """Call a function, and again while its error may be repeated; the last error comes through.

        The first try stands outside of tenacity: it is the one that nearly always succeeds, and on
        DetectCustomLabels the machinery would cost more than all else that the SDK does.
        """
        try:
            return function()
        except errors.RekolabelsError as error:
            if self.attempts == 1 or not may_repeat(error):
                raise
            _log.info("trying again: %s", error)
        return self._again(function, may_repeat)

    def _again(self, function: Callable[[], T], may_repeat: Callable[[BaseException], bool]) -> T:
        import tenacity

        def log(state: tenacity.RetryCallState) -> None:
            _log.info("trying again: %s", state.outcome.exception() if state.outcome else "")

        self.sleep(self.first_delay)
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(may_repeat),
            stop=tenacity.stop_after_attempt(self.attempts - 1),
            wait=tenacity.wait_exponential(multiplier=2 * self.first_delay, max=self.max_delay)
            + tenacity.wait_random(0, self.first_delay),
            sleep=self.sleep,
            before_sleep=log,
            reraise=True,
        )(function)
