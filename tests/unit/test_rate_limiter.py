"""The rate limiter of detect_many against a simulated service, in virtual time."""

from __future__ import annotations

import heapq
import math

import attrs
import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekolabels import RetryPolicy
from rekolabels._aws._rekognition import Rekognition
from rekolabels.inference._rate_limiter import RateLimiter
from virtual_time import VirtualTime


@attrs.mutable
class Bucket:
    """A token bucket that serves ``capacity`` calls per second and holds 0.1 s of tokens."""

    time: VirtualTime
    capacity: float
    tokens: float = 1.0
    filled_at: float = 0.0

    def serves(self) -> bool:
        """Return whether a call is served rather than throttled."""
        now = self.time.clock()
        self.tokens = min(max(1.0, self.capacity / 10), self.tokens + (now - self.filled_at) * self.capacity)
        self.filled_at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


def run(limiter: RateLimiter, service: Bucket, seconds: float) -> tuple[int, int]:
    """Make calls for a number of seconds; return how many were served and how many throttled."""
    served = throttled = 0
    end = service.time.clock() + seconds
    while service.time.clock() < end:
        limiter.wait_for_turn()
        if service.serves():
            limiter.record_answer()
            served += 1
        else:
            limiter.record_throttle()
            throttled += 1
    return served, throttled


@pytest.mark.parametrize("capacity", [5, 20, 50, 500])
def test_the_rate_converges_to_the_capacity(virtual_time: VirtualTime, capacity: float) -> None:
    """From ten seconds after the start, at least 97 % of the capacity is used and few calls are throttled."""
    limiter, service = RateLimiter(virtual_time.clock, virtual_time.sleep), Bucket(virtual_time, capacity)
    run(limiter, service, 10)
    served, throttled = run(limiter, service, 60)
    assert served / 60 >= 0.97 * capacity
    assert throttled <= 0.1 * served


def test_the_quota_of_an_account_is_not_run_into(virtual_time: VirtualTime) -> None:
    """Hardly a call is throttled, also at the beginning; where the quota was raised, all of it is used."""
    usual, raised = (
        (RateLimiter(virtual_time.clock, virtual_time.sleep, quota=50), Bucket(virtual_time, capacity))
        for capacity in (50, 400)
    )
    served, throttled = run(*usual, 20)
    assert served >= 0.85 * 50 * 20
    assert throttled <= 0.015 * served

    run(*raised, 15)
    served, throttled = run(*raised, 60)
    assert served / 60 >= 0.97 * 400
    assert throttled <= 0.1 * served


@pytest.mark.parametrize(("before", "after"), [(50, 10), (10, 50), (50, 5)])
def test_the_rate_follows_a_change_of_capacity(
    virtual_time: VirtualTime, before: float, after: float
) -> None:
    """When inference units are added or removed, the rate adapts within ten seconds."""
    limiter, service = RateLimiter(virtual_time.clock, virtual_time.sleep), Bucket(virtual_time, before)
    run(limiter, service, 20)
    service.capacity = after
    run(limiter, service, 10)
    served, _ = run(limiter, service, 30)
    assert served / 30 >= 0.97 * after
    assert limiter.rate <= 1.3 * after


@attrs.mutable
class Workers:
    """Threads that share a limiter, in virtual time: answers arrive while other threads wait for a turn."""

    capacity: float
    latency: float
    count: int = 32
    now: float = 0.0
    tokens: float = 0.0
    filled_at: float = 0.0
    limiter: RateLimiter = attrs.field(
        default=attrs.Factory(lambda self: RateLimiter(self.clock, self.sleep), takes_self=True)
    )
    under_way: list[tuple[float, bool]] = attrs.field(factory=list[tuple[float, bool]])
    served_at: list[float] = attrs.field(factory=list[float])
    throttled: int = 0

    def clock(self) -> float:
        """Return the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass, and record the answers that arrive meanwhile."""
        end = self.now + seconds
        while self.under_way and self.under_way[0][0] <= end:
            self.now, served = heapq.heappop(self.under_way)
            if served:
                self.served_at.append(self.now)
                self.limiter.record_answer()
            else:
                self.throttled += 1
                self.limiter.record_throttle()
        self.now = end

    def send(self) -> None:
        """Send a call to a service that saves up at most one second of capacity."""
        self.tokens = min(self.capacity, self.tokens + (self.now - self.filled_at) * self.capacity)
        self.filled_at = self.now
        served = self.tokens >= 1
        self.tokens -= served
        heapq.heappush(self.under_way, (self.now + (self.latency if served else 0.02), served))

    def run(self, seconds: float) -> None:
        """Make calls for a number of seconds."""
        end = self.now + seconds
        while self.now < end:
            self.sleep(0)
            if len(self.under_way) == self.count:
                self.sleep(self.under_way[0][0] - self.now)
            self.limiter.wait_for_turn()
            self.send()

    def served(self, begin: float, end: float) -> float:
        """Return the calls per second that were answered in an interval."""
        return sum(begin <= at < end for at in self.served_at) / (end - begin)


@settings(deadline=None, max_examples=30)
@given(capacity=st.floats(5, 200), latency=st.floats(0.01, 1.0))
def test_many_workers_use_the_capacity(capacity: float, latency: float) -> None:
    """For any capacity and latency, 97 % of the possible rate is reached ten seconds after the start."""
    workers = Workers(capacity, latency)
    workers.run(40)
    assert workers.served(10, 40) >= 0.97 * min(capacity, workers.count / latency)


@settings(deadline=None, max_examples=30)
@given(before=st.floats(5, 50), after=st.floats(5, 50), latency=st.floats(0.01, 0.3))
def test_many_workers_follow_a_change(before: float, after: float, latency: float) -> None:
    """Turns assigned at the old rate delay no thread: ten seconds later the new capacity is used."""
    workers = Workers(before, latency)
    workers.run(20)
    workers.capacity = after
    workers.run(30)
    assert workers.served(30, 50) >= 0.97 * after


@settings(deadline=None, max_examples=30)
@given(capacity=st.floats(5, 500), latency=st.floats(0.001, 0.1), count=st.integers(4, 64))
def test_a_start_wastes_few_calls(capacity: float, latency: float, count: int) -> None:
    """While the service uses up its tokens, the rate exceeds the capacity, but it soon falls again."""
    workers = Workers(capacity, latency, count)
    workers.run(20)
    assert workers.throttled <= 0.1 * len(workers.served_at) + 50


def test_the_rate_stays_near_the_rate_of_calls(virtual_time: VirtualTime) -> None:
    """While something else limits the calls the rate does not grow, so that a cut takes effect at once."""
    limiter = RateLimiter(virtual_time.clock, virtual_time.sleep)
    for _ in range(1000):
        limiter.wait_for_turn()
        virtual_time.now += 1  # one slow call after another
        limiter.record_answer()
    assert limiter.rate <= 50


def test_a_burst_of_throttled_calls_counts_once(virtual_time: VirtualTime) -> None:
    """Calls that were throttled together cut the rate only once."""
    limiter = RateLimiter(virtual_time.clock, virtual_time.sleep)
    before = limiter.rate
    virtual_time.now = 1.0
    for _ in range(20):
        limiter.record_throttle()
    assert limiter.rate == before * 0.98


@pytest.mark.parametrize(
    ("endpoint", "rate"),
    [
        (None, 50.0),
        ("https://rekognition-fips.us-east-1.amazonaws.com", 50.0),
        ("https://rekognition.us-east-1.api.aws", 50.0),
        ("http://localhost:4900", math.inf),
        ("https://amazonaws.com.example", math.inf),
    ],
)
def test_only_aws_has_a_quota_of_calls(endpoint: str | None, rate: float) -> None:
    """Other endpoints are emulators."""
    session = boto3.Session("x", "x", region_name="us-east-1")
    client = session.client("rekognition", endpoint_url=endpoint)
    assert Rekognition(client, RetryPolicy()).account_rate == rate
