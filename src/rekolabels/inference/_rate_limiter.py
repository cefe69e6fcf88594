"""Rate limiter that adapts to the throughput of a model.

The service does not report the throughput of a model; it only throttles calls that exceed it. So the rate
grows while no call is throttled, slowly at first and then faster, and falls when one is, by the share of
recent calls that were throttled. Near the throughput the rate swings by a few per cent. When the throughput
changes, the rate follows within seconds.

A service serves more at the beginning, from tokens that it has accumulated. When those are used up, the rate
may be several times too high and has to fall fast, or most calls would be throttled.

AWS also limits the calls of an account, of all its models together. From this quota on the rate grows as
carefully as after a throttled call: it may have been raised, but few accounts have.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import attrs

__all__ = ["RateLimiter"]

_INITIAL_RATE = 25.0
"""Calls per second: about what five inference units, the usual quota, are reported to serve."""
_MIN_RATE = 0.2
"""Calls per second."""
_MAX_CUT = 0.5
"""Largest share by which one cut lowers the rate."""
_WINDOW = 50
"""Number of recent calls over which the share of throttled calls is averaged."""
_SLOWEST_GROWTH = 0.002
"""Relative growth per second right after a throttled call; triples with every second without another."""
_FASTEST_GROWTH = 1.0
"""Largest relative growth per second."""
_RETRY_INTERVAL = 0.1
"""Share of the interval between two turns after which the next call may follow a throttled one."""
_BURST = 0.1
"""Seconds (or one interval between turns, if longer) within which throttled calls count as one."""
_MAX_SLEEP = 0.05
"""Seconds that a thread sleeps before it checks whether its turn has moved forward."""
_TIMER_RESOLUTION = 0.01
"""Seconds; turns closer together are taken at once, because waking a thread costs more than it gains."""
_MAX_LATENESS = 0.1
"""Seconds by which a turn may be late without delaying the turns after it."""


@attrs.mutable
class RateLimiter:
    """A rate that is shared by the threads of one run."""

    clock: Callable[[], float]
    """Seconds on a monotonic clock."""
    sleep: Callable[[float], None]
    """Sleeps for a number of seconds."""
    rate: float = _INITIAL_RATE
    """Calls per second."""
    quota: float = math.inf
    """Calls per second that an account may make, unless the quota has been raised."""
    closed: bool = False
    """Whether the run has ended, so that threads no longer wait for their turns."""
    _growth: float = _FASTEST_GROWTH
    _throttled_share: float = 0.0  # of the recent calls; halved once the rate has been cut for it
    _next_turn: float = float("-inf")
    _is_limiting: bool = False  # whether the last call had to wait for its turn
    _grown_at: float | None = None
    _cut_at: float = float("-inf")
    _queue: threading.Lock = attrs.field(factory=threading.Lock)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    def wait_for_turn(self) -> None:
        """Sleep until the next call may be made.

        One thread sleeps while the others queue behind it. So a new rate takes effect with the next turn, not
        after all turns that were assigned at the old rate. The thread wakes up often, because its turn may
        move forward.
        """
        with self._queue:
            self._is_limiting = self._next_turn > self.clock()
            while not self.closed and (ahead := self._next_turn - self.clock()) > max(
                0.0, _TIMER_RESOLUTION - 1 / self.rate
            ):
                self.sleep(min(ahead, _MAX_SLEEP))
            with self._lock:
                self._next_turn = max(self._next_turn, self.clock() - _MAX_LATENESS) + 1 / self.rate

    def record_answer(self) -> None:
        """Record a call that was not throttled, and raise the rate if the rate is what limits the calls.

        The growth depends on the time that has passed. While no call has to wait for its turn, something else
        limits the calls; the rate stays, or it would be far above the model's throughput once it matters.
        """
        with self._lock:
            now = self.clock()
            passed = min(1.0, now - self._grown_at) if self._grown_at is not None else 0.0
            self._grown_at = now
            self._throttled_share -= self._throttled_share / _WINDOW
            if self._is_limiting:
                rate = self.rate * (1 + self._growth * passed)
                if self.rate < self.quota <= rate:
                    self.rate, self._growth = self.quota, _SLOWEST_GROWTH
                else:
                    self.rate, self._growth = rate, min(_FASTEST_GROWTH, self._growth * 3**passed)

    def record_throttle(self) -> None:
        """Record a throttled call, and cut the rate, once for calls that were made together."""
        with self._lock:
            now = self.clock()
            self._throttled_share += (1 - self._throttled_share) / _WINDOW
            if now - self._cut_at < max(_BURST, 1 / self.rate):
                return
            self.rate = max(_MIN_RATE, self.rate * (1 - min(_MAX_CUT, self._throttled_share)))
            self._throttled_share /= 2
            self._cut_at = self._grown_at = now
            self._growth = _SLOWEST_GROWTH
            # A throttled call has used no capacity, so the next one need not wait for a whole interval.
            self._next_turn = min(self._next_turn, now + _RETRY_INTERVAL / self.rate)

    def close(self) -> None:
        """End all waits for turns."""
        self.closed = True
