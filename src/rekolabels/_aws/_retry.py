"""How calls are repeated: one policy for the whole SDK, composed from tenacity."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

from rekolabels import errors

if TYPE_CHECKING:
    import tenacity

__all__ = ["Retry", "RetryPolicy", "is_in_doubt", "is_transient"]

T = TypeVar("T")

_log = logging.getLogger("rekolabels")


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later: throttling, faults of the service, no connection."""
    return isinstance(error, (errors.Throttled, errors.ServiceFault, errors.ConnectionFailed))


def is_in_doubt(error: BaseException) -> bool:
    """Whether the call may have been carried out all the same: its answer was lost, or says nothing."""
    return isinstance(error, (errors.ServiceFault, errors.ConnectionFailed))


@attrs.frozen
class Retry:
    """A call that is about to be repeated: what ``RetryPolicy(on_retry=...)`` is called with."""

    error: BaseException
    """What the last try ended with."""
    attempt: int
    """Tries so far, from 1."""
    delay: float
    """Seconds until the next one."""


@attrs.frozen
class RetryPolicy:
    """How often and how fast calls are repeated and jobs are asked for their state.

    botocore's own repetitions are switched off, so that this is the only place where a call is repeated:
    after throttling, faults of the service and lost connections. A call that creates, changes or deletes
    something is not repeated blindly: when its answer was lost, the SDK looks whether it was carried out,
    takes up what it finds, and repeats the call only when it finds nothing.

    A ``Retry-After`` of the service is kept. Each repetition is logged (``rekolabels``, level INFO).

    >>> RetryPolicy(attempts=1)  # never repeat a call
    RetryPolicy(attempts=1, first_delay=0.2, max_delay=20.0, budget=120.0, first_poll=0.25, max_poll=30.0,
                patience=900.0, on_retry=None)
    """

    attempts: int = attrs.field(default=6, validator=attrs.validators.ge(1))
    """Tries of one call, the first included; at least 1."""
    first_delay: float = attrs.field(default=0.2, validator=attrs.validators.gt(0))
    """Seconds before the second try; doubles with each further one, with jitter."""
    max_delay: float = attrs.field(default=20.0, validator=attrs.validators.gt(0))
    """Longest pause between two tries, in seconds; only a ``Retry-After`` may ask for more."""
    budget: float = attrs.field(default=120.0, validator=attrs.validators.gt(0))
    """Seconds from the first try of a call after which no further one begins. A try that is under way is
    ended by the time-outs of botocore, 60 s each for connecting and for reading unless ``config`` says
    otherwise."""
    first_poll: float = attrs.field(default=0.25, validator=attrs.validators.gt(0))
    """Seconds before a wait asks for the state a second time; grows by a quarter each time, with jitter."""
    max_poll: float = attrs.field(default=30.0, validator=attrs.validators.gt(0))
    """Longest pause between two questions of a wait, in seconds."""
    patience: float = attrs.field(default=900.0, validator=attrs.validators.ge(0))
    """How long a wait bears transient errors and expired credentials in a row, in seconds."""
    on_retry: Callable[[Retry], object] | None = None
    """Called before each repetition, in the thread that makes the call; for metrics and tests."""
    sleep: Callable[[float], None] = attrs.field(default=time.sleep, repr=False)
    """What sleeps; tests give their own."""
    clock: Callable[[], float] = attrs.field(default=time.monotonic, repr=False)
    """Seconds on a clock that never goes back; tests give their own."""
    time: Callable[[], float] = attrs.field(default=time.time, repr=False)
    """Seconds since the epoch, for what is written on resources; tests give their own."""

    def call(self, function: Callable[[], T]) -> T:
        """Make a call that may be made twice, and again while its error may pass.

        The last error comes through.
        """
        return self._call(function, is_transient)

    def call_once(self, function: Callable[[], T], look_up: Callable[[], T | None]) -> T:
        """Make a call that must not be carried out twice.

        Args:
            function: The call.
            look_up: Called before a repetition when the call may have been carried out all the same: gives
                its result, or None when it was not.
        """
        once = _Once(function, look_up)
        return self._call(once, once.may_repeat)

    def tell(self, retry: Retry) -> None:
        """Make a repetition visible."""
        _log.info("trying again in %.1f s, tries so far %d: %s", retry.delay, retry.attempt, retry.error)
        if self.on_retry is not None:
            self.on_retry(retry)

    def _call(self, function: Callable[[], T], may_repeat: Callable[[BaseException], bool]) -> T:
        # The first try stands outside of tenacity: it is the one that nearly always succeeds, and on
        # DetectCustomLabels the machinery would cost more than all else that the SDK does.
        begun = self.clock()
        try:
            return function()
        except errors.RekolabelsError as error:
            if self.attempts == 1 or not may_repeat(error):
                raise
            first = error
        return self._again(function, may_repeat, first, begun)

    def _again(
        self,
        function: Callable[[], T],
        may_repeat: Callable[[BaseException], bool],
        first: Exception,
        begun: float,
    ) -> T:
        import tenacity

        growing = tenacity.wait_exponential(multiplier=self.first_delay, max=self.max_delay)
        jitter = tenacity.wait_random(0, self.first_delay)
        made = [first]

        def next_try() -> T:
            if made:
                raise made.pop()  # the try that was made already
            return function()

        def pause(state: tenacity.RetryCallState) -> float:
            asked = getattr(_error_of(state), "retry_after", None) or 0.0
            return max(growing(state) + jitter(state), asked)

        def is_over(state: tenacity.RetryCallState) -> bool:
            spent = self.clock() - begun + state.upcoming_sleep
            return state.attempt_number >= self.attempts or spent >= self.budget

        def tell(state: tenacity.RetryCallState) -> None:
            self.tell(Retry(_error_of(state), state.attempt_number, state.upcoming_sleep))

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(may_repeat),
            stop=is_over,
            wait=pause,
            sleep=self.sleep,
            before_sleep=tell,
            reraise=True,
        )(next_try)


@attrs.define
class _Once(Generic[T]):
    """A call that must not be carried out twice, and what is known of its tries."""

    function: Callable[[], T]
    look_up: Callable[[], T | None]
    in_doubt: bool = False

    def __call__(self) -> T:
        if self.in_doubt:
            found = self.look_up()
            if found is not None:
                return found
        try:
            return self.function()
        except errors.RekolabelsError as error:
            self.in_doubt = self.in_doubt or is_in_doubt(error)
            raise

    def may_repeat(self, error: BaseException) -> bool:
        # "It exists" may mean the work of the try whose answer was lost, not yet seen by the look-up.
        exists = isinstance(error, (errors.ResourceInUse, errors.ResourceAlreadyExists))
        return is_transient(error) or (self.in_doubt and exists)


def _error_of(state: tenacity.RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome is not None else None
    assert error is not None  # noqa: S101 -- only a failed try is repeated
    return error
