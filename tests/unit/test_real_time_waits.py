"""A clock that only tests move is moved for clients that wait for it in real time."""

from __future__ import annotations

import math
import threading

import pytest

from rekolabels.local import ManualClock
from rekolabels.local._core._real_time_waits import RealTimeWaits
from virtual_time import VirtualTime

POLL = ("DescribeProjectVersions", b"{}")


class World:
    """A clock, the times at which jobs are due, and real time."""

    def __init__(self, *due: float) -> None:
        self.clock = ManualClock(0)
        self.real = VirtualTime()
        self.due = due
        self.waits = RealTimeWaits(self.clock, self.next_due, self.real.clock)

    def next_due(self) -> float:
        """Return the next time at which a job is due."""
        return min((due for due in self.due if due > self.clock()), default=math.inf)

    def poll(self, times: int, every: float, poll: object = POLL) -> list[float]:
        """Repeat a request, and return the clock after each."""
        seen: list[float] = []
        for _ in range(times):
            self.waits.count(poll)
            seen.append(self.clock())
            self.real.sleep(every)
        return seen


def test_the_fourth_repetition_moves_the_clock_to_the_next_job() -> None:
    """Each job is waited for by itself."""
    world = World(600, 3600)
    assert world.poll(9, 0.25) == [0, 0, 0, 600, 600, 600, 600, 3600, 3600]


@pytest.mark.parametrize(("every", "moved"), [(0.01, 0), (0.1, 0), (0.2, 600), (60, 600)])
def test_requests_in_a_row_are_not_a_wait(every: float, moved: float) -> None:
    """Only repetitions 0.2 seconds apart count."""
    assert World(600).poll(7, every)[-1] == moved


def test_frequent_polls_are_a_wait_too() -> None:
    """Polls ten times a second move the clock after as much real time."""
    assert World(600).poll(9, 0.1)[-1] == 600


def test_a_clock_that_moves_is_left_alone() -> None:
    """A client that sleeps by the clock never makes it jump."""
    world = World(600)
    for _ in range(20):
        world.poll(1, 1)
        world.clock.advance(1)
    assert world.clock() == 20


def test_different_requests_are_not_a_wait() -> None:
    """A test that looks at one resource after another does not wait; each is counted by itself."""
    world = World(600)
    for number in range(50):
        world.poll(1, 1, number)
    assert world.clock() == 0
    assert world.poll(4, 1)[-1] == 600


@pytest.mark.parametrize("due", [(), (math.inf,)])
def test_nothing_is_due(due: tuple[float, ...]) -> None:
    """Without a job, or with one that hangs forever, the clock stands still."""
    assert World(*due).poll(20, 1)[-1] == 0


def test_a_clock_without_sleep_is_never_moved() -> None:
    """Such a clock has its own way to move."""
    waits = RealTimeWaits(lambda: 0.0, lambda: 600.0, iter(range(100)).__next__)
    for _ in range(20):
        waits.count(POLL)


def test_memory_is_bounded() -> None:
    """A test that makes many different requests while the clock stands still keeps few of them."""
    world = World(600)
    for number in range(5000):
        world.waits.count(number)
    assert len(world.waits._polls) <= 1000


def test_threads_move_the_clock_once() -> None:
    """Clients that wait at the same time for the same job do not make the clock jump further."""
    world = World(600, 3600)
    world.poll(3, 1)
    threads = [threading.Thread(target=world.waits.count, args=(POLL,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.clock() == 600
