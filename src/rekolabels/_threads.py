"""Threads that map a function over any number of items while holding a bounded number of results."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

__all__ = ["map_bounded"]

T = TypeVar("T")
R = TypeVar("R")

_PENDING_PER_WORKER = 2
"""One item being processed and one waiting, so that no worker is idle while the caller handles a result."""


def map_bounded(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int,
    ordered: bool = True,
    thread_name: str = "rekolabels",
    on_stop: Callable[[], object] | None = None,
) -> Generator[R]:
    """Yield ``function(item)`` for each item, computed by threads.

    Unlike ``Executor.map``, this takes items only as fast as results are consumed: at most two for each
    worker are pending. The first error, and closing the generator, cancel everything that has not begun, and
    wait for what has. A second Ctrl-C ends that wait; the threads then end with the process.

    Args:
        function: Called in the worker threads.
        items: The items; may be endless.
        workers: Number of threads.
        ordered: Yield results in the order of the items, otherwise in the order in which they complete.
        thread_name: Prefix of the threads' names.
        on_stop: Called before the generator waits for its running threads, so that they can give up early.
    """
    work = _Work(function, ordered=ordered)
    threads: list[threading.Thread] = []
    try:
        for item in items:
            if len(threads) < workers:
                name = f"{thread_name}_{len(threads)}"
                threads.append(threading.Thread(target=work.run, name=name, daemon=True))
                threads[-1].start()
            work.add(item)
            if work.pending >= _PENDING_PER_WORKER * workers:
                yield work.take()
        while work.pending:
            yield work.take()
    finally:
        if on_stop is not None:
            on_stop()
        work.stop(len(threads))
        for thread in threads:
            if thread.is_alive():
                thread.join()


class _Work(Generic[T, R]):
    """The items and results on their way between the caller and the threads.

    Items and results pass through queues, which Ctrl-C cannot leave locked. A thread pool can be left locked:
    its futures and semaphores are locked by Python code, between whose lines the main thread is interrupted.
    """

    def __init__(self, function: Callable[[T], R], *, ordered: bool) -> None:
        self._function = function
        self._ordered = ordered
        self._tasks: SimpleQueue[tuple[int, T] | None] = SimpleQueue()
        self._completed: SimpleQueue[tuple[int, Future[R]]] = SimpleQueue()
        self._early: dict[int, Future[R]] = {}
        self._added = self._taken = 0

    @property
    def pending(self) -> int:
        """Number of results that were not taken yet."""
        return self._added - self._taken

    def add(self, item: T) -> None:
        """Give an item to the threads."""
        self._tasks.put((self._added, item))
        self._added += 1

    def take(self) -> R:
        """Wait for the next result and return it, or raise its error."""
        if self._ordered:
            while self._taken not in self._early:
                index, result = self._completed.get()
                self._early[index] = result
            result = self._early.pop(self._taken)
        else:
            _, result = self._completed.get()
        self._taken += 1
        return result.result()

    def run(self) -> None:
        """Process items until there are no more; runs in each thread."""
        while (task := self._tasks.get()) is not None:
            self._process(*task)
            del task  # an idle thread must not keep an image in memory

    def _process(self, index: int, item: T) -> None:
        result: Future[R] = Future()
        try:
            result.set_result(self._function(item))
        except BaseException as error:  # noqa: BLE001 -- raised again where the result is taken
            result.set_exception(error)
        self._completed.put((index, result))

    def stop(self, threads: int) -> None:
        """Take back the items that no thread has begun, and let the threads end."""
        try:
            while True:
                self._tasks.get_nowait()
        except Empty:
            pass
        for _ in range(threads):
            self._tasks.put(None)
