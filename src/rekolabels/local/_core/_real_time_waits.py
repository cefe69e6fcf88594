"""Clients that wait in real time for a clock that stands still: the clock is moved for them."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["RealTimeWaits"]

_log = logging.getLogger("rekolabels.local")

_POLLS = 4
"""Repetitions of a request by which a wait is recognized."""
_MIN_INTERVAL = 0.2
"""Seconds between two repetitions that count, so that assertions in a row are not a wait."""
_MAX_REQUESTS = 1000
"""Requests that are remembered while the clock stands still."""


class RealTimeWaits:
    """Moves a clock that only tests move, when a client waits for it in real time.

    A client that sleeps by the service's clock moves it. Another one, such as a client that the tested code
    makes, or that of another process, would poll forever: it repeats the same request while the clock stands
    still.

    Args:
        clock: The clock of the service. One without a ``sleep`` method is never moved.
        next_due: Returns when the next job is due, by that clock; infinity if there is none.
        real_time: Returns seconds of real time.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        next_due: Callable[[], float],
        real_time: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._move: Callable[[float], None] | None = getattr(clock, "sleep", None)
        self._next_due = next_due
        self._real_time = real_time
        self._lock = threading.Lock()
        self._read_at = -math.inf
        self._polls: dict[Hashable, tuple[int, float]] = {}

    def count(self, poll: Hashable) -> None:
        """Count a request that polls, and move the clock to the next job that is due if it is a wait.

        Args:
            poll: What makes the request equal to others.
        """
        if self._move is None:
            return
        with self._lock:
            due = self._next_due()
            if due == math.inf:
                return
            now = self._clock()
            if now != self._read_at or len(self._polls) >= _MAX_REQUESTS:
                self._read_at = now
                self._polls.clear()
            count, last = self._polls.get(poll, (0, -math.inf))
            moment = self._real_time()
            if moment - last < _MIN_INTERVAL:
                return
            self._polls[poll] = (count + 1, moment)
            if count + 1 < _POLLS or due <= now:
                return
            _log.info("A client waits in real time; the clock is moved forward by %.0f s.", due - now)
            self._move(due - now)
