"""Time in tests: a clock that moves when it is told to, and how long the service's work takes by it."""

from __future__ import annotations

import threading
import time

import attrs

from rekolabels.errors import InvalidInput

__all__ = ["Durations", "ManualClock"]


class ManualClock:
    """A clock that stands still until it is moved, for ``LocalService(clock=...)``.

    The same clock serves the SDK: with ``RetryPolicy(clock=clock, sleep=clock.sleep)`` a wait moves it.

    Args:
        start: Seconds since 1970; now when not given.

    >>> clock = ManualClock(1_000)
    >>> clock.advance(3_600)
    >>> clock()
    4600.0
    """

    def __init__(self, start: float | None = None) -> None:
        self._now = float(time.time() if start is None else start)
        self._guard = threading.Lock()

    def __call__(self) -> float:
        """The time, in seconds since 1970."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward.

        Raises:
            InvalidInput: The number is negative; time does not run backwards.
        """
        if not seconds >= 0:
            raise InvalidInput(f"seconds is {seconds!r}; a clock only moves forward (0 or more).")
        with self._guard:
            self._now += seconds

    def sleep(self, seconds: float) -> None:
        """The same in the words of ``time.sleep``: who sleeps by this clock moves it."""
        self.advance(seconds)

    def __repr__(self) -> str:
        return f"<ManualClock {self._now}>"


def _not_negative(_instance: object, field: attrs.Attribute[float], value: float) -> None:
    if not value >= 0:
        raise InvalidInput(f"Durations.{field.name} is {value!r}; expected seconds, 0 or more.")


def _seconds() -> float:
    seconds: float = attrs.field(default=0.0, validator=_not_negative)
    return seconds


@attrs.frozen
class Durations:
    """How long the service's work takes by the service's clock, in seconds.

    0, the default, is as long as it really takes. With more, the state in between (``TRAINING_IN_PROGRESS``,
    ``STARTING``, ...) stays until the clock has moved on that far. Under a clock of the caller's own the
    state is exact: the first request after that moment sees the work done.
    """

    training: float = _seconds()
    """CreateProjectVersion. It is also what the end of the training and the billed time are counted from."""
    starting: float = _seconds()
    """StartProjectVersion."""
    stopping: float = _seconds()
    """StopProjectVersion."""
    copying: float = _seconds()
    """CopyProjectVersion."""
    datasets: float = _seconds()
    """CreateDataset, UpdateDatasetEntries and DistributeDatasetEntries."""
    deleting: float = _seconds()
    """DeleteProject, DeleteDataset and DeleteProjectVersion."""
    media_jobs: float = _seconds()
    """StartMediaAnalysisJob."""
