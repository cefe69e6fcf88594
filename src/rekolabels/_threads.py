"""Thread pool that maps a function over any number of items while holding a bounded number of results."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
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
    worker are pending. The first error, and closing the generator, cancel everything that has not begun.

    Args:
        function: Called in the worker threads.
        items: The items; may be endless.
        workers: Number of threads.
        ordered: Yield results in the order of the items, otherwise in the order in which they complete.
        thread_name: Prefix of the threads' names.
        on_stop: Called before the generator waits for its running threads, so that they can give up early.
    """
    pending: _Ordered[R] | _AsCompleted[R] = _Ordered() if ordered else _AsCompleted()
    pool = ThreadPoolExecutor(workers, thread_name_prefix=thread_name)
    try:
        for item in items:
            pending.add(pool.submit(function, item))
            if pending.count >= _PENDING_PER_WORKER * workers:
                yield pending.take()
        while pending.count:
            yield pending.take()
    finally:
        if on_stop is not None:
            on_stop()
        pool.shutdown(cancel_futures=True)


class _Ordered(Generic[R]):
    """Pending results, taken in the order in which they were added."""

    def __init__(self) -> None:
        self._futures: deque[Future[R]] = deque()

    @property
    def count(self) -> int:
        """Number of pending results."""
        return len(self._futures)

    def add(self, future: Future[R]) -> None:
        """Add a result."""
        self._futures.append(future)

    def take(self) -> R:
        """Wait for the oldest result and return it."""
        return self._futures.popleft().result()


class _AsCompleted(Generic[R]):
    """Pending results, taken in the order in which they complete."""

    def __init__(self) -> None:
        self._completed: SimpleQueue[Future[R]] = SimpleQueue()
        self.count = 0

    def add(self, future: Future[R]) -> None:
        """Add a result."""
        self.count += 1
        future.add_done_callback(self._completed.put)

    def take(self) -> R:
        """Wait for the next result to complete and return it."""
        self.count -= 1
        return self._completed.get().result()
