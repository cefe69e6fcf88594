"""Callbacks that release models before the interpreter exits, also when a signal ends the process."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, FunctionType

__all__ = ["deferring_signals", "register", "unregister"]

F = TypeVar("F", bound="Callable[..., Any]")

_DEFAULT_HANDLERS: dict[int, Any] = {
    getattr(signal, name): handler
    for name, handler in {
        "SIGINT": signal.default_int_handler,
        "SIGTERM": signal.SIG_DFL,
        "SIGHUP": signal.SIG_DFL,  # sent when a terminal or SSH connection ends; Windows does not have it
    }.items()
    if hasattr(signal, name)
}
"""The signals that end a process, and Python's default handlers of them."""

_DEFERRING_CODE = {
    function.__code__
    for function in (
        threading.Condition.__enter__,
        threading.Condition.__exit__,
        logging.Handler.acquire,
        logging.Handler.release,
    )
}
"""Code that holds a lock, or a model, outside of the ``with`` or ``try`` that releases it."""

_RESEND_INTERVAL = 0.25
"""Seconds to wait for a resent signal to be handled before sending it again. Python handles a signal within
this time unless it arrives just before the main thread blocks. It must not be shorter: a signal that is sent
once too often would interrupt the release that the first one has begun."""

_callbacks: list[Callable[[], None]] = []
_resenders: dict[int, _Resender] = {}
"""The resender of each process, by process id: a fork inherits this dictionary but not the threads."""


class _Resender(threading.Thread):
    """Sends signals again that arrived while the main thread was acquiring or releasing a lock."""

    def __init__(self) -> None:
        super().__init__(name="rekolabels-signals", daemon=True)
        self.handled = 0
        # Of all queues, only SimpleQueue may be used in a signal handler, because its put() is reentrant.
        self._deferred: SimpleQueue[int] = SimpleQueue()

    def send_later(self, number: int) -> None:
        """Send a signal to the main thread again, a moment later."""
        self._deferred.put(number)

    def run(self) -> None:
        """Send each deferred signal until the handler has run, or another handler was installed."""
        main = threading.main_thread().ident or 0
        while True:
            number, handled = self._deferred.get(), self.handled
            while True:
                signal.pthread_kill(main, number)  # unlike raise_signal, it wakes a blocked main thread
                time.sleep(_RESEND_INTERVAL)
                if self.handled != handled or signal.getsignal(number) is not _exit_through_blocks:
                    break


def register(callback: Callable[[], None]) -> None:
    """Call a function when the interpreter exits, and make signals end the process through its blocks.

    Only the main thread can install signal handlers. A handler that the program has installed is kept.
    """
    atexit.register(callback)
    _callbacks.append(callback)
    if threading.current_thread() is threading.main_thread():
        process = os.getpid()
        if process not in _resenders and hasattr(signal, "pthread_kill"):
            _resenders[process] = _Resender()
            _resenders[process].start()
        for number, default in _DEFAULT_HANDLERS.items():
            if signal.getsignal(number) is default:
                signal.signal(number, _exit_through_blocks)


def unregister(callback: Callable[[], None]) -> None:
    """Remove a function, and restore the default signal handlers after the last one."""
    atexit.unregister(callback)
    if callback in _callbacks:
        _callbacks.remove(callback)
    if not _callbacks and threading.current_thread() is threading.main_thread():
        for number, default in _DEFAULT_HANDLERS.items():
            if signal.getsignal(number) is _exit_through_blocks:
                signal.signal(number, default)


def deferring_signals(function: F) -> F:
    """Decorate a function so that signals interrupt the calls that it makes, but not what is between them.

    The function must not wait by itself, for example for a lock.
    """
    _DEFERRING_CODE.add(cast("FunctionType", function).__code__)
    return function


def _exit_through_blocks(number: int, frame: FrameType | None) -> None:
    """Signal handler that ends the process by an exception, so that every ``with`` block is left.

    An exception while a lock is being acquired or released would leave it locked for good. The connection
    pool has such a lock, and stopping the model would wait for it forever. So in that moment the signal is
    deferred and sent again.
    """
    resender = _resenders.get(os.getpid())
    if resender is not None:
        resender.handled += 1
        if frame is not None and frame.f_code in _DEFERRING_CODE:
            resender.send_later(number)
            return
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)  # the exit status that a shell reports for a signal
