"""How sure one can be of a share that was counted on few images."""

from __future__ import annotations

import math

__all__ = ["wilson_interval"]

_NORMAL_95 = 1.959963984540054


def wilson_interval(part: int, whole: int) -> tuple[float, float] | None:
    """The 95 % interval (Wilson's) of a share, each end 0 to 1; None for a share of nothing.

    Examples:
        >>> low, high = wilson_interval(9, 10)
        >>> round(low, 3), round(high, 3)
        (0.596, 0.982)
    """
    if not whole:
        return None
    share, square = part / whole, _NORMAL_95 * _NORMAL_95
    middle = share + square / (2 * whole)
    reach = _NORMAL_95 * math.sqrt(share * (1 - share) / whole + square / (4 * whole * whole))
    below = 1 + square / whole
    return max(0.0, (middle - reach) / below), min(1.0, (middle + reach) / below)
