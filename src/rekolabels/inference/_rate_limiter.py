"""The rate at which a model is asked: found by asking, and kept just at what it can serve.

The service tells its capacity in one way only: it throttles what is too much. So the rate grows while nothing
is throttled, slowly at first and then faster, and falls when something is: by the share of the last calls
that came too early. Around the capacity this swings by some per cent; when the capacity changes, it is found
again within seconds. A service serves more at the start, from what it has saved up: when this is used up the
rate may be several times too high, and has to fall fast, or most calls would be made in vain.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import attrs

__all__ = ["Pace"]

_FIRST = 25.0  # calls a second: what five inference units, the usual quota, were once said to serve
_LEAST = 0.2
_MOST_CUT = 0.5
_COUNTED = 50  # calls that the share of the throttled ones is told from: a single throttle is 2 % of them
_GROWTH = (0.002, 1.0)  # a second, after a throttle and at the most; triples each second in between
_AGAIN = 0.1  # of a turn
_CALM = 0.1  # seconds, or a turn if that is longer: throttles within it are one
_GLANCE = 0.05  # seconds that a thread sleeps before it looks whether its turn comes earlier now
_TOGETHER = 0.01  # seconds; turns that are closer are taken together: waking up costs more than a pace gains
_LATE = 0.1  # seconds that a turn may be late, and the next ones still come in time


@attrs.mutable
class Pace:
    """A rate shared by the threads of one run."""

    clock: Callable[[], float]
    sleep: Callable[[float], None]
    rate: float = _FIRST
    """Calls a second."""
    closed: bool = False
    """Set when the run has ended: nobody waits for a turn any more."""
    _growth: float = _GROWTH[1]
    _refused: float = 0.0  # share of the last calls; halved once the rate has fallen by it
    _next: float = float("-inf")
    _held: bool = False
    _grown_at: float | None = None
    _cut_at: float = float("-inf")
    _door: threading.Lock = attrs.field(factory=threading.Lock)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    def wait_for_turn(self) -> None:
        """Sleep until the next call may go out.

        One thread sleeps, the others stand behind it: so a new rate holds from the next turn on, and not
        after all turns that were promised at the old one. It looks up often, as the turn may come earlier.
        """
        with self._door:
            self._held = self._next > self.clock()
            while not self.closed and (ahead := self._next - self.clock()) > max(
                0.0, _TOGETHER - 1 / self.rate
            ):
                self.sleep(min(ahead, _GLANCE))
            with self._lock:
                self._next = max(self._next, self.clock() - _LATE) + 1 / self.rate

    def served(self) -> None:
        """Note that a call was answered, be it by a refusal of the image: the rate may grow.

        It grows with the time that has passed, but not while no call has to wait for its turn: something else
        is the limit then, and the rate would be far above what the model serves by the time that it matters.
        """
        with self._lock:
            now = self.clock()
            passed = min(1.0, now - self._grown_at) if self._grown_at is not None else 0.0
            self._grown_at = now
            self._refused -= self._refused / _COUNTED
            if self._held:
                self.rate *= 1 + self._growth * passed
                self._growth = min(_GROWTH[1], self._growth * 3**passed)

    def throttled(self) -> None:
        """Note that a call was too much: the rate falls, once for calls that went out together."""
        with self._lock:
            now = self.clock()
            self._refused += (1 - self._refused) / _COUNTED
            if now - self._cut_at < max(_CALM, 1 / self.rate):
                return
            self.rate = max(_LEAST, self.rate * (1 - min(_MOST_CUT, self._refused)))
            self._refused /= 2
            self._cut_at = self._grown_at = now
            self._growth = _GROWTH[0]
            # What was throttled used nothing up: ask again soon, not a whole turn later.
            self._next = min(self._next, now + _AGAIN / self.rate)
