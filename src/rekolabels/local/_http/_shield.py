"""``shield``: calls that Ctrl-C does not interrupt."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["shield"]

R = TypeVar("R")

_Calls: TypeAlias = "SimpleQueue[tuple[Callable[[], Any], SimpleQueue[Future[Any]]] | None]"

_idle: dict[int, _Calls] = {}
"""The queue of the thread that waits for calls, by process id: a fork inherits this, but not the thread."""


def shield(function: Callable[[], R]) -> R:
    """Call a function; Ctrl-C ends the wait for its result, but not the function.

    Python raises ``KeyboardInterrupt`` in the main thread, between any two lines. So the main thread lets
    another thread make the call. Like a request to a server, a call that has begun is carried out even if the
    caller no longer waits for it.
    """
    if threading.current_thread() is not threading.main_thread():
        return function()
    calls = _idle.pop(os.getpid(), None) or _start_thread()
    if calls is None:
        return function()
    results: SimpleQueue[Future[R]] = SimpleQueue()
    try:
        calls.put((function, results))
        result = results.get()
        _idle[os.getpid()] = calls
    except BaseException:
        calls.put(None)  # this thread may be busy for a while: the next call gets another one
        raise
    return result.result()


def _start_thread() -> _Calls | None:
    """Start a thread and return its queue; None while the interpreter exits, when no thread can start."""
    calls: _Calls = SimpleQueue()
    try:
        threading.Thread(target=_run, args=(calls,), name="rekolabels-requests", daemon=True).start()
    except RuntimeError:
        return None
    return calls


def _run(calls: _Calls) -> None:
    while (call := calls.get()) is not None:
        function, results = call
        result: Future[Any] = Future()
        try:
            result.set_result(function())
        except BaseException as error:  # noqa: BLE001 -- raised again where the result is awaited
            result.set_exception(error)
        results.put(result)
        del call, function, results, result  # an idle thread must not keep a closed service in memory
