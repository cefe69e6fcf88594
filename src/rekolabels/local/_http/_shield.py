"""``shield``: calls that Ctrl-C does not interrupt."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["shield", "wait_for_calls"]

R = TypeVar("R")

_Calls: TypeAlias = "SimpleQueue[tuple[Callable[[], Any], SimpleQueue[Future[Any]]] | None]"
_Caller: TypeAlias = tuple[threading.Thread, _Calls]

_EXIT_TIMEOUT = 5.0
"""Seconds to wait for each call: a fault can let one hang for longer."""

_idle: dict[int, _Caller] = {}
"""The thread that waits for calls, and its queue, by process id: a fork inherits this, but not the thread."""
_abandoned: set[threading.Thread] = set()
"""Threads whose callers no longer wait for them."""


def shield(function: Callable[[], R]) -> R:
    """Call a function; Ctrl-C ends the wait for its result, but not the function.

    Python raises ``KeyboardInterrupt`` in the main thread, between any two lines. So the main thread lets
    another thread make the call. Like a request to a server, a call that has begun is carried out even if the
    caller no longer waits for it.
    """
    if threading.current_thread() is not threading.main_thread():
        return function()
    caller = _idle.pop(os.getpid(), None) or _start_thread()
    if caller is None:
        return function()
    thread, calls = caller
    results: SimpleQueue[Future[R]] = SimpleQueue()
    try:
        calls.put((function, results))
        result = results.get()
        _idle[os.getpid()] = caller
    except BaseException:
        _abandoned.add(thread)
        calls.put(None)  # this thread may be busy for a while: the next call gets another one
        raise
    return result.result()


def wait_for_calls() -> None:
    """Wait for the calls whose callers were interrupted, before the interpreter exits.

    If the process ended in the middle of one, the native threads of onnxruntime would abort it.
    """
    for thread in tuple(_abandoned):
        thread.join(_EXIT_TIMEOUT)


def _start_thread() -> _Caller | None:
    """Start a thread and return it with its queue; None if none can start, as while the interpreter exits."""
    calls: _Calls = SimpleQueue()
    try:
        thread = threading.Thread(target=_run, args=(calls,), name="rekolabels-requests", daemon=True)
        thread.start()
    except RuntimeError:
        return None
    return thread, calls


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
    _abandoned.discard(threading.current_thread())
