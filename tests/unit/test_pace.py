"""The pace of detect_many, against a model of the service in virtual time."""

from __future__ import annotations

import heapq

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekolabels.inference._rate_limiter import Pace
from virtual_time import VirtualTime


@attrs.mutable
class Bucket:
    """A service that serves so many calls a second, and throttles the rest; it saves up those of 0.1 s."""

    time: VirtualTime
    capacity: float
    tokens: float = 1.0
    filled_at: float = 0.0

    def serves(self) -> bool:
        """Serve a call, or throttle it."""
        now = self.time.clock()
        self.tokens = min(max(1.0, self.capacity / 10), self.tokens + (now - self.filled_at) * self.capacity)
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
            pace.served()
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


@attrs.mutable
class Workers:
    """Threads that share a pace, in virtual time: answers come while others wait for their turn."""

    capacity: float
    latency: float
    count: int = 32
    now: float = 0.0
    tokens: float = 0.0
    filled_at: float = 0.0
    pace: Pace = attrs.field(
        default=attrs.Factory(lambda self: Pace(self.clock, self.sleep), takes_self=True)
    )
    under_way: list[tuple[float, bool]] = attrs.field(factory=list[tuple[float, bool]])
    served_at: list[float] = attrs.field(factory=list[float])
    refused: int = 0

    def clock(self) -> float:
        """Tell the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass; what is answered meanwhile is noted."""
        end = self.now + seconds
        while self.under_way and self.under_way[0][0] <= end:
            self.now, served = heapq.heappop(self.under_way)
            if served:
                self.served_at.append(self.now)
                self.pace.served()
            else:
                self.refused += 1
                self.pace.throttled()
        self.now = end

    def send(self) -> None:
        """Send a call to a service that lets through what it has saved up in a second, at the most."""
        self.tokens = min(self.capacity, self.tokens + (self.now - self.filled_at) * self.capacity)
        self.filled_at = self.now
        served = self.tokens >= 1
        self.tokens -= served
        heapq.heappush(self.under_way, (self.now + (self.latency if served else 0.02), served))

    def run(self, seconds: float) -> None:
        """Ask for some time."""
        end = self.now + seconds
        while self.now < end:
            self.sleep(0)
            if len(self.under_way) == self.count:
                self.sleep(self.under_way[0][0] - self.now)
            self.pace.wait_for_turn()
            self.send()

    def served(self, begin: float, end: float) -> float:
        """Calls a second that were answered in a time."""
        return sum(begin <= at < end for at in self.served_at) / (end - begin)


@settings(deadline=None, max_examples=30)
@given(capacity=st.floats(5, 200), latency=st.floats(0.01, 1.0))
def test_many_workers_use_the_capacity(capacity: float, latency: float) -> None:
    """Whatever capacity and latency: ten seconds after the start 97 % of what can be had is had."""
    workers = Workers(capacity, latency)
    workers.run(40)
    assert workers.served(10, 40) >= 0.97 * min(capacity, workers.count / latency)


@settings(deadline=None, max_examples=30)
@given(before=st.floats(5, 50), after=st.floats(5, 50), latency=st.floats(0.01, 0.3))
def test_many_workers_follow_a_change(before: float, after: float, latency: float) -> None:
    """Turns that were promised at the old rate hold nobody up: ten seconds later the new one is used."""
    workers = Workers(before, latency)
    workers.run(20)
    workers.capacity = after
    workers.run(30)
    assert workers.served(30, 50) >= 0.97 * after


@settings(deadline=None, max_examples=30)
@given(capacity=st.floats(5, 500), latency=st.floats(0.001, 0.1), count=st.integers(4, 64))
def test_a_start_wastes_few_calls(capacity: float, latency: float, count: int) -> None:
    """While the service serves what it has saved up the rate outgrows the capacity, and is soon back."""
    workers = Workers(capacity, latency, count)
    workers.run(20)
    assert workers.refused <= 0.1 * len(workers.served_at) + 50


def test_the_rate_stays_near_what_is_asked(virtual_time: VirtualTime) -> None:
    """While something else is the limit the rate does not grow away, so that one throttle is felt at once."""
    pace = Pace(virtual_time.clock, virtual_time.sleep)
    for _ in range(1000):
        pace.wait_for_turn()
        virtual_time.now += 1  # one slow call after the other
        pace.served()
    assert pace.rate <= 50


def test_throttles_that_came_together_count_once(virtual_time: VirtualTime) -> None:
    """A burst of refusals is one message: too much."""
    pace = Pace(virtual_time.clock, virtual_time.sleep)
    before = pace.rate
    virtual_time.now = 1.0
    for _ in range(20):
        pace.throttled()
    assert pace.rate == before * 0.98
