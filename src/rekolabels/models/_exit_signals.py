"""What a process must still do before it ends: give back the models that it runs."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["guard", "unguard"]

# SIGHUP is what the end of a terminal or an SSH connection sends; Windows has none.
_SIGNALS: dict[int, Any] = {
    getattr(signal, name): usual
    for name, usual in {
        "SIGINT": signal.default_int_handler,
        "SIGTERM": signal.SIG_DFL,
        "SIGHUP": signal.SIG_DFL,
    }.items()
    if hasattr(signal, name)
}
"""The signals that end a process, and what Python does with them."""

_WITH_A_LOCK = frozenset(
    function.__code__
    for function in (
        threading.Condition.__enter__,
        threading.Condition.__exit__,
        logging.Handler.acquire,
        logging.Handler.release,
    )
)
"""Code that holds a lock outside of the ``with`` or ``try`` that gives it back."""

_HEARD_IN = 0.25
"""Seconds in which a signal is heard, unless it comes just before the main thread begins to wait. One that is
sent once too often would break off what the first has begun."""

_guarded: list[Callable[[], None]] = []
_senders: dict[int, _Sender] = {}


class _Sender(threading.Thread):
    """Sends signals once more that came in an untimely moment."""

    def __init__(self) -> None:
        super().__init__(name="rekolabels-signals", daemon=True)
        self.heard = 0
        self._untimely: SimpleQueue[int] = SimpleQueue()  # the one queue that a handler of signals may use

    def send_again(self, number: int) -> None:
        """Send it to the main thread, a moment later."""
        self._untimely.put(number)

    def run(self) -> None:
        """Send until the handler has heard it."""
        main = threading.main_thread().ident or 0
        while True:
            number, heard = self._untimely.get(), self.heard
            while True:
                signal.pthread_kill(main, number)  # it wakes the thread, whatever that waits for
                time.sleep(_HEARD_IN)
                if self.heard != heard or signal.getsignal(number) is not _leave_in_good_order:
                    break


def guard(release: Callable[[], None]) -> None:
    """Call a function when the interpreter ends, and let signals end it in good order.

    Handlers of signals can be set by the main thread alone, and one that the program has set itself is left
    as it is.
    """
    atexit.register(release)
    _guarded.append(release)
    if threading.current_thread() is threading.main_thread():
        process = os.getpid()  # a fork has no other threads, and needs a sender of its own
        if process not in _senders and hasattr(signal, "pthread_kill"):
            _senders[process] = _Sender()
            _senders[process].start()
        for number, usual in _SIGNALS.items():
            if signal.getsignal(number) is usual:
                signal.signal(number, _leave_in_good_order)


def unguard(release: Callable[[], None]) -> None:
    """Take a function back; with the last one the signals do again what they did."""
    atexit.unregister(release)
    if release in _guarded:
        _guarded.remove(release)
    if not _guarded and threading.current_thread() is threading.main_thread():
        for number, usual in _SIGNALS.items():
            if signal.getsignal(number) is _leave_in_good_order:
                signal.signal(number, usual)


def _leave_in_good_order(number: int, frame: FrameType | None) -> None:
    """End the process as Ctrl-C and ``sys.exit`` do, through every ``with`` block.

    An exception in the moment in which a lock is taken or given back would leave it taken for good. The pool
    of connections has such a lock, and the stop of the model would wait for it: so the signal is sent again,
    a moment later.
    """
    sender = _senders.get(os.getpid())
    if sender is not None:
        sender.heard += 1
        if frame is not None and frame.f_code in _WITH_A_LOCK:
            sender.send_again(number)
            return
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
