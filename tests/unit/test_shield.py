"""``shield``: Ctrl-C ends the wait for a call, and not the call."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from rekolabels.local._http._shield import shield, wait_for_calls


def test_results_and_errors_come_through() -> None:
    """As from a plain call, which another thread makes."""
    assert shield(lambda: threading.current_thread() is threading.main_thread()) is False
    with pytest.raises(ZeroDivisionError):
        shield(lambda: 1 // 0)


def test_other_threads_make_their_own_calls() -> None:
    """Ctrl-C never interrupts them."""
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(shield(threading.current_thread) is thread))
    thread.start()
    thread.join()
    assert found == [True]


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_ends_the_wait_and_not_the_call() -> None:
    """The call goes on while the main thread makes the next one; the exit of the process waits for it."""
    interrupted, released, ended = threading.Event(), threading.Event(), threading.Event()

    def interrupt_once(*_: object) -> None:
        if not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt

    def call() -> None:
        # Repeated, because Python notices a signal that comes just before a wait only after that wait.
        while not interrupted.wait(0.05):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        assert released.wait(20)
        ended.set()

    handler = signal.signal(signal.SIGINT, interrupt_once)
    try:
        with pytest.raises(KeyboardInterrupt):
            shield(call)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert not ended.is_set()
    assert shield(lambda: 42) == 42
    threading.Timer(0.05, released.set).start()
    wait_for_calls()
    assert ended.is_set()


def test_while_the_interpreter_exits_the_main_thread_makes_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread can start any more."""
    monkeypatch.setattr("rekolabels.local._http._shield._idle", {})

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert shield(threading.current_thread) is threading.main_thread()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_starts_a_thread_of_its_own() -> None:
    """It inherits the queue of its parent's thread, but not the thread."""
    assert shield(os.getpid) == os.getpid()
    child = os.fork()
    if child == 0:
        os._exit(0 if shield(os.getpid) == os.getpid() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
