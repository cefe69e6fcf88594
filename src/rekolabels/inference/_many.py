"""Detecting in many images at once: as fast as the model serves, nothing lost, nothing raised midway."""

from __future__ import annotations

from collections import deque
from collections.abc import Sized
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import nullcontext
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

from rekolabels import _progress
from rekolabels._aws._retry import Retry, RetryPolicy, is_transient
from rekolabels.descriptions import Detection
from rekolabels.errors import InvalidInput, RekolabelsError, Throttled
from rekolabels.inference._executors import Prepare
from rekolabels.inference._image import ImageSource
from rekolabels.inference._journal import Journal
from rekolabels.inference._rate_limiter import Pace

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

__all__ = ["Outcome", "detect_many"]

ImageT = TypeVar("ImageT", bound=ImageSource)

_AHEAD = 2
"""Images taken for each worker: one that is asked for, and one that waits."""


@attrs.frozen
class Outcome(Generic[ImageT]):
    """What became of one image."""

    image: ImageT
    """The image, as it was given."""
    detections: tuple[Detection, ...] = ()
    """What was found, most confident first; empty when nothing was, or when there was an error."""
    error: RekolabelsError | None = None
    """Why there is no answer; None when there is one."""


def detect_many(
    prepare: Prepare,
    images: Iterable[ImageT],
    *,
    workers: int,
    ordered: bool,
    policy: RetryPolicy,
    journal: Journal | None = None,
) -> Generator[Outcome[ImageT]]:
    """Yield an outcome for each image; what ``prepare`` makes of it is one call, which it does not repeat.

    Raises:
        InvalidInput: ``workers`` is less than 1; or the journal belongs to another run.
        JournalFailed: The journal cannot be used; after the last outcome, it could not keep some answers.
    """
    if workers < 1:
        raise InvalidInput(f"workers is {workers}; expected 1 or more.")
    calls = _Calls(prepare, policy, journal, Pace(policy.clock, policy.sleep))
    taken = _Taken(images)
    total = len(images) if isinstance(images, Sized) else None
    pool = ThreadPoolExecutor(workers, thread_name_prefix="rekolabels-detect")
    under_way: _Ordered[ImageT] | _AsCompleted[ImageT] = _Ordered() if ordered else _AsCompleted()
    with journal or nullcontext(), _progress.bar("detecting", total=total, unit="image") as bar:
        try:
            for image in taken:
                under_way.add(pool.submit(calls.answer, image))
                if under_way.count >= _AHEAD * workers:
                    yield under_way.take()
                    bar.update(1)
            while under_way.count:
                yield under_way.take()
                bar.update(1)
        finally:
            calls.pace.closed = True
            pool.shutdown(cancel_futures=True)
        if journal is not None:
            journal.check()
    if taken.error is not None:
        raise taken.error


class _Taken(Generic[ImageT]):
    """The images of an iterable, up to its end or its own error."""

    def __init__(self, images: Iterable[ImageT]) -> None:
        self._images = images
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[ImageT]:
        try:
            yield from self._images
        except Exception as error:  # noqa: BLE001 -- raised again, when the images before it are finished
            self.error = error


class _Ordered(Generic[ImageT]):
    """Calls under way, taken in the order in which they were added."""

    def __init__(self) -> None:
        self._line: deque[Future[Outcome[ImageT]]] = deque()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._line)

    def add(self, call: Future[Outcome[ImageT]]) -> None:
        """Add one."""
        self._line.append(call)

    def take(self) -> Outcome[ImageT]:
        """Wait for the oldest."""
        return self._line.popleft().result()


class _AsCompleted(Generic[ImageT]):
    """Calls under way, taken as they end."""

    def __init__(self) -> None:
        self._ended: SimpleQueue[Future[Outcome[ImageT]]] = SimpleQueue()
        self.count = 0

    def add(self, call: Future[Outcome[ImageT]]) -> None:
        """Add one."""
        self.count += 1
        call.add_done_callback(self._ended.put)

    def take(self) -> Outcome[ImageT]:
        """Wait for the next that ends."""
        self.count -= 1
        return self._ended.get().result()


@attrs.frozen
class _Calls:
    """The calls of one run, made by its threads."""

    prepare: Prepare
    policy: RetryPolicy
    journal: Journal | None
    pace: Pace

    def answer(self, image: ImageT) -> Outcome[ImageT]:
        """Get the answer from the journal, or from the service."""
        journal = self.journal
        if journal is None:
            return self._ask(image)
        try:
            known = journal.answer(image)
        except RekolabelsError as error:
            return Outcome(image, error=error)
        if known is not None:
            return Outcome(image, known)
        outcome = self._ask(image)
        if outcome.error is None:
            journal.write(image, outcome.detections)
        return outcome

    def _ask(self, image: ImageT) -> Outcome[ImageT]:
        """Ask until there is an answer, or an error that will not pass."""
        policy = self.policy
        try:
            call = self.prepare(image)
        except RekolabelsError as error:
            return Outcome(image, error=error)
        failures = 0
        throttled_since: float | None = None
        while True:
            self.pace.wait_for_turn()
            if self.pace.closed:
                raise CancelledError
            try:
                found = call()
            except Throttled as error:
                self.pace.throttled()
                throttled_since = policy.clock() if throttled_since is None else throttled_since
                if policy.clock() - throttled_since >= policy.patience:
                    return Outcome(image, error=error)
            except RekolabelsError as error:
                failures += 1
                if not is_transient(error):
                    self.pace.served()
                    return Outcome(image, error=error)
                if failures >= policy.attempts:
                    return Outcome(image, error=error)
                delay = min(policy.max_delay, policy.first_delay * 2**failures)
                policy.tell(Retry(error, failures, delay))
                policy.sleep(delay)
            else:
                self.pace.served()
                return Outcome(image, tuple(found))
