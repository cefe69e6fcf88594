"""Simulated time: a clock for tests, and how long the service's jobs take by its clock."""

from __future__ import annotations

import threading
import time

import attrs

from rekolabels._arguments import check_number

__all__ = ["Durations", "ManualClock"]

_FAR = 10**11
"""Seconds: more than three thousand years, and less than datetime can express."""


class ManualClock:
    """A clock that stands still until it is told to move, for ``LocalService(clock=...)``.

    The waits of ``service.client()`` advance it. So does a client that waits in real time, for example one
    that the tested code makes: when a request for the status of a job is repeated four times while the clock
    stands still, the service moves it to the end of the next job.

    Args:
        start: Seconds since 1970; by default the current time.

    >>> clock = ManualClock(1_000)
    >>> clock.advance(3_600)
    >>> clock()
    4600.0
    """

    def __init__(self, start: float | None = None) -> None:
        if start is not None:
            check_number("start", start, at_least=0, at_most=_FAR, kind="a number of seconds since 1970")
        self._now = float(time.time() if start is None else start)
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Return the time in seconds since 1970."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward.

        Args:
            seconds: How far; 0 or more.

        Raises:
            InvalidInput: ``seconds`` is negative, or not a number.
        """
        check_number("seconds", seconds, at_least=0, at_most=_FAR, kind="a number of seconds")
        with self._lock:
            self._now += seconds

    def sleep(self, seconds: float) -> None:
        """Advance the clock instead of sleeping; a replacement for ``time.sleep``."""
        self.advance(seconds)

    def __repr__(self) -> str:
        return f"<ManualClock {self._now}>"


def _check_seconds(_instance: object, field: attrs.Attribute[float], value: float) -> None:
    check_number(f"Durations.{field.name}", value, at_least=0, kind="a number of seconds")


def _seconds() -> float:
    seconds: float = attrs.field(default=0.0, validator=_check_seconds)
    return seconds


@attrs.frozen
class Durations:
    """How long jobs take by the service's clock, in seconds, for ``LocalService(durations=...)``.

    With 0, the default, a job takes as long as its real work. With more, the status in between
    (``TRAINING_IN_PROGRESS``, ``STARTING``, ...) lasts until the clock has advanced that far. With a clock
    other than ``time.time`` the moment is exact: the first request at or after it sees the job done.
    """

    training: float = _seconds()
    """CreateProjectVersion. The training's end timestamp and billable time follow from it as well."""
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
