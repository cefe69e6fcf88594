"""The pace of detect_many, against a model of the service in virtual time."""

from __future__ import annotations

import attrs
import pytest

from rekolabels.inference._pace import Pace
from virtual_time import VirtualTime


@attrs.mutable
class Bucket:
    """A service that serves so many calls a second, and throttles the rest."""

    time: VirtualTime
    capacity: float
    tokens: float = 1.0
    filled_at: float = 0.0

    def serves(self) -> bool:
        """Serve a call, or throttle it."""
        now = self.time.clock()
        self.tokens = min(1.0, self.tokens + (now - self.filled_at) * self.capacity)
        self.filled_at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


def run(pace: Pace, service: Bucket, seconds: float) -> tuple[int, int]:
    """Ask for some time; count the calls that were served, and those that were throttled."""
    served = throttled = 0
    end = service.time.clock() + seconds
    while service.time.clock() < end:
        pace.wait_for_turn()
        if service.serves():
            pace.succeeded()
            served += 1
        else:
            pace.throttled()
            throttled += 1
    return served, throttled


@pytest.mark.parametrize("capacity", [5, 20, 50, 500])
def test_the_capacity_is_found_and_used(virtual_time: VirtualTime, capacity: float) -> None:
    """Ten seconds after the start at least 97 % of the capacity is used, with few calls in vain."""
    pace, service = Pace(virtual_time.clock, virtual_time.sleep), Bucket(virtual_time, capacity)
    run(pace, service, 10)
    served, throttled = run(pace, service, 60)
    assert served / 60 >= 0.97 * capacity
    assert throttled <= 0.1 * served


@pytest.mark.parametrize(("before", "after"), [(50, 10), (10, 50), (50, 5)])
def test_a_change_of_capacity_is_followed(virtual_time: VirtualTime, before: float, after: float) -> None:
    """When units come or go, the new capacity is found within ten seconds."""
    pace, service = Pace(virtual_time.clock, virtual_time.sleep), Bucket(virtual_time, before)
    run(pace, service, 20)
    service.capacity = after
    run(pace, service, 10)
    served, _ = run(pace, service, 30)
    assert served / 30 >= 0.97 * after
    assert pace.rate <= 1.3 * after


def test_throttles_that_came_together_count_once(virtual_time: VirtualTime) -> None:
    """A burst of refusals is one message: too much."""
    pace = Pace(virtual_time.clock, virtual_time.sleep)
    before = pace.rate
    virtual_time.now = 1.0
    for _ in range(20):
        pace.throttled()
    assert pace.rate == before * 0.98
