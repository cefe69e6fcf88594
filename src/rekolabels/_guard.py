"""What a process must still do before it ends: give back the models that it runs."""

from __future__ import annotations

import atexit
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["guard", "unguard"]

# SIGHUP is what the end of a terminal or an SSH connection sends; Windows has none.
_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

_guarded: list[Callable[[], None]] = []


def guard(release: Callable[[], None]) -> None:
    """Call a function when the interpreter ends, and let signals end it in good order.

    Handlers of signals can be set by the main thread alone, and one that the program has set itself is left
    as it is.
    """
    atexit.register(release)
    _guarded.append(release)
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _leave_in_good_order)


def unguard(release: Callable[[], None]) -> None:
    """Take a function back; with the last one the signals do again what they did."""
    atexit.unregister(release)
    if release in _guarded:
        _guarded.remove(release)
    if not _guarded and threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is _leave_in_good_order:
                signal.signal(number, signal.SIG_DFL)


def _leave_in_good_order(number: int, _: FrameType | None) -> None:
    """End the process as ``sys.exit`` does, through every ``with`` block."""
    raise SystemExit(128 + number)
