"""Signals end a process that runs a model in good order, in whatever moment they come."""

from __future__ import annotations

import logging
import os
import signal
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from rekolabels.models._exit_signals import guard, unguard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENDINGS = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: SystemExit,
    signal.SIGHUP: SystemExit,
}


@pytest.fixture(autouse=True)
def _guarded() -> Iterator[None]:
    """A process that has a model to give back; afterwards the signals do what they did."""

    def release() -> None:
        """Nothing runs here."""

    guard(release)
    unguard(release)  # what a watchdog has released in another test could not set them back
    before = [signal.getsignal(number) for number in ENDINGS]
    guard(release)
    yield
    unguard(release)
    assert [signal.getsignal(number) for number in ENDINGS] == before


class Struck:
    """A lock that is taken in the moment in which a signal comes."""

    def __init__(self, number: int) -> None:
        # Of C, as Python's own locks are: so the signal meets the code that takes the lock.
        self.__enter__ = self.acquire = partial(signal.raise_signal, number)
        self.given_back = 0

    def release(self) -> None:
        """Give it back."""
        self.given_back += 1

    def __exit__(self, *_: object) -> None:
        self.release()


def in_a_condition(lock: Any) -> None:
    """Take a lock as the pool of connections does."""
    condition = threading.Condition(lock)
    with condition:
        threading.Event().wait(20)  # until the signal comes again


def in_a_handler(lock: Any) -> None:
    """Take a lock as ``logging`` does."""
    handler = logging.Handler()
    handler.lock = lock
    handler.acquire()
    try:
        threading.Event().wait(20)
    finally:
        handler.release()


@pytest.mark.parametrize("work", [in_a_condition, in_a_handler])
@pytest.mark.parametrize("number", ENDINGS)
def test_no_signal_leaves_a_lock_taken(number: signal.Signals, work: Callable[[Any], None]) -> None:
    """In the moment in which a lock is taken, too: the block ends, and the lock is given back."""
    lock = Struck(number)
    with pytest.raises(ENDINGS[number]):
        work(lock)
    assert lock.given_back == 1


@pytest.mark.parametrize("number", ENDINGS)
def test_a_signal_ends_the_process(number: signal.Signals) -> None:
    """Through every block; the exit status is the one that a shell gives."""
    with pytest.raises(ENDINGS[number]) as ended:
        os.kill(os.getpid(), number)
    if isinstance(ended.value, SystemExit):
        assert ended.value.code == 128 + number


def test_a_handler_of_the_program_is_left_alone() -> None:
    """What the program has set is neither replaced nor taken back."""
    seen: list[int] = []

    def release() -> None:
        """Nothing runs here."""

    def handle(number: int, _: object) -> None:
        seen.append(number)

    before = signal.signal(signal.SIGTERM, handle)
    try:
        guard(release)
        signal.raise_signal(signal.SIGTERM)
        unguard(release)
        assert (seen, signal.getsignal(signal.SIGTERM)) == ([signal.SIGTERM], handle)
    finally:
        signal.signal(signal.SIGTERM, before)
