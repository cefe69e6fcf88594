"""``map_bounded``: order, bounds, errors and the end of its threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from rekolabels._threads import map_bounded

if TYPE_CHECKING:
    from collections.abc import Iterator


def running_threads() -> list[threading.Thread]:
    """Return the threads of ``map_bounded`` in these tests."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("mapping")]


def test_results_keep_the_order_of_the_items() -> None:
    """The first item completes last, and its result is still the first."""
    others_done = threading.Event()

    def function(number: int) -> int:
        if number == 0:
            assert others_done.wait(20)
        elif number == 3:
            others_done.set()
        return 10 * number

    assert list(map_bounded(function, range(4), workers=4)) == [0, 10, 20, 30]


def test_results_can_come_as_they_complete() -> None:
    """Without order, the first item does not hold up the others."""
    taken = threading.Event()

    def function(number: int) -> int:
        if number == 0:
            assert taken.wait(20)
        return number

    results = map_bounded(function, range(3), workers=2, ordered=False)
    assert {next(results), next(results)} == {1, 2}
    taken.set()
    assert list(results) == [0]


@pytest.mark.parametrize("ordered", [True, False])
def test_items_are_taken_on_demand(ordered: bool) -> None:  # noqa: FBT001 -- a case
    """An endless iterable is read at most two items for each worker ahead."""
    taken: list[int] = []

    def items() -> Iterator[int]:
        while True:
            taken.append(len(taken))
            yield taken[-1]

    results = map_bounded(abs, items(), workers=3, ordered=ordered)
    for count in range(5):
        next(results)
        assert len(taken) <= count + 2 * 3
    results.close()


@pytest.mark.parametrize("ordered", [True, False])
def test_an_error_stops_the_threads(ordered: bool) -> None:  # noqa: FBT001 -- a case
    """The error is raised after ``on_stop`` was called and all running calls have ended."""
    stopped = threading.Event()

    def function(number: int) -> None:
        if number == 0:
            raise LookupError
        assert stopped.wait(20)

    results = map_bounded(
        function, range(100), workers=2, ordered=ordered, thread_name="mapping", on_stop=stopped.set
    )
    with pytest.raises(LookupError):
        list(results)
    assert running_threads() == []
