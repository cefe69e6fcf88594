"""A clock that only advances when something sleeps."""

from __future__ import annotations

import attrs


@attrs.mutable
class VirtualTime:
    """A clock that advances with each sleep, and records the sleeps."""

    now: float = 0.0
    naps: list[float] = attrs.field(factory=list[float])

    def clock(self) -> float:
        """Return the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Advance the clock at once."""
        self.naps.append(seconds)
        self.now += seconds
