"""Time that does not pass by itself."""

from __future__ import annotations

import attrs


@attrs.mutable
class VirtualTime:
    """A clock that moves when somebody sleeps, and remembers how long they slept."""

    now: float = 0.0
    naps: list[float] = attrs.field(factory=list[float])

    def clock(self) -> float:
        """Tell the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.naps.append(seconds)
        self.now += seconds
