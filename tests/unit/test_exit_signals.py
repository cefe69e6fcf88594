"""Signals end a process through its ``with`` blocks, at whatever moment they arrive."""

from __future__ import annotations

import logging
import os
import signal
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from rekolabels.models._exit_signals import deferring_signals, register, unregister

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

if os.name == "nt":
    pytest.skip("Windows has no POSIX signals", allow_module_level=True)

ENDINGS = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: SystemExit,
    signal.SIGHUP: SystemExit,
}


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    """Register a callback for the test; check that the signal handlers are restored after it."""

    def release() -> None:
        """Do nothing."""

    register(release)
    unregister(release)  # the watchdog thread of another test could not restore the handlers
    before = [signal.getsignal(number) for number in ENDINGS]
    register(release)
    yield
    unregister(release)
    assert [signal.getsignal(number) for number in ENDINGS] == before


class SignallingLock:
    """A lock that raises a signal while it is being acquired."""

    def __init__(self, number: int) -> None:
        # A C function, as Python's own locks are, so that the signal interrupts the caller of the lock.
        self.__enter__ = self.acquire = partial(signal.raise_signal, number)
        self.released = 0

    def release(self) -> None:
        """Count the release."""
        self.released += 1

    def __exit__(self, *_: object) -> None:
        self.release()


def in_a_condition(lock: Any) -> None:
    """Acquire a lock as the connection pool does."""
    condition = threading.Condition(lock)
    with condition:
        threading.Event().wait(20)  # until the signal is sent again


def in_a_handler(lock: Any) -> None:
    """Acquire a lock as ``logging`` does."""
    handler = logging.Handler()
    handler.lock = lock
    handler.acquire()
    try:
        threading.Event().wait(20)
    finally:
        handler.release()


@pytest.mark.parametrize("work", [in_a_condition, in_a_handler])
@pytest.mark.parametrize("number", ENDINGS)
def test_no_signal_leaves_a_lock_acquired(number: signal.Signals, work: Callable[[Any], None]) -> None:
    """A signal during the acquisition ends the block, and the lock is released."""
    lock = SignallingLock(number)
    with pytest.raises(ENDINGS[number]):
        work(lock)
    assert lock.released == 1


@pytest.mark.parametrize("number", ENDINGS)
def test_no_signal_interrupts_a_deferring_function_itself(number: signal.Signals) -> None:
    """A signal between two of its calls is raised in the next one."""
    begun: list[str] = []

    def next_call() -> None:
        begun.append("next call")
        threading.Event().wait(20)

    @deferring_signals
    def function() -> None:
        signal.raise_signal(number)
        next_call()

    with pytest.raises(ENDINGS[number]):
        function()
    assert begun == ["next call"]


@pytest.mark.parametrize("number", ENDINGS)
def test_a_signal_ends_the_process(number: signal.Signals) -> None:
    """The exit status is the one that a shell reports."""
    with pytest.raises(ENDINGS[number]) as ended:
        os.kill(os.getpid(), number)
    if isinstance(ended.value, SystemExit):
        assert ended.value.code == 128 + number


def test_a_handler_of_the_program_is_kept() -> None:
    """A handler that the program has installed is neither replaced nor removed."""
    seen: list[int] = []

    def release() -> None:
        """Do nothing."""

    def handle(number: int, _: object) -> None:
        seen.append(number)

    before = signal.signal(signal.SIGTERM, handle)
    try:
        register(release)
        signal.raise_signal(signal.SIGTERM)
        unregister(release)
        assert (seen, signal.getsignal(signal.SIGTERM)) == ([signal.SIGTERM], handle)
    finally:
        signal.signal(signal.SIGTERM, before)
