"""Detecting in many images at once: as fast as the model serves, nothing lost, nothing raised midway."""

from __future__ import annotations

from collections import deque
from collections.abc import Sized
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from typing import TYPE_CHECKING

import attrs

from rekolabels import _progress
from rekolabels._retry import RetryPolicy, is_transient
from rekolabels.descriptions import Detection
from rekolabels.errors import RekolabelsError, Throttled
from rekolabels.inference._image import ImageSource
from rekolabels.inference._pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from rekolabels.inference._journal import Journal

__all__ = ["Outcome", "detect_many"]


@attrs.frozen
class Outcome:
    """What became of one image."""

    image: ImageSource
    """The image, as it was given."""
    detections: tuple[Detection, ...] = ()
    """What was found, most confident first; empty when nothing was, or when there was an error."""
    error: RekolabelsError | None = None
    """Why there is no answer; None when there is one."""


def detect_many(
    detect: Callable[[ImageSource], list[Detection]],
    images: Iterable[ImageSource],
    *,
    workers: int,
    ordered: bool,
    policy: RetryPolicy,
    journal: Journal | None = None,
) -> Generator[Outcome]:
    """Yield an outcome for each image; ``detect`` makes one call, and does not repeat it."""
    pace = Pace(clock=policy.clock, sleep=policy.sleep)

    def answer(image: ImageSource) -> Outcome:
        known = journal.answer(image) if journal is not None else None
        if known is not None:
            return Outcome(image, known)
        outcome = _answer(detect, image, pace, policy)
        if journal is not None and outcome.error is None:
            journal.write(image, list(outcome.detections))
        return outcome

    take = _in_order if ordered else _as_completed
    total = len(images) if isinstance(images, Sized) else None
    with (
        journal or nullcontext(),
        _progress.bar("detecting", total=total, unit="image") as bar,
        ThreadPoolExecutor(workers, thread_name_prefix="rekolabels-detect") as pool,
    ):
        under_way: deque[Future[Outcome]] = deque()
        try:
            for image in images:
                under_way.append(pool.submit(answer, image))
                if len(under_way) >= 2 * workers:
                    bar.update(1)
                    yield take(under_way)
            while under_way:
                bar.update(1)
                yield take(under_way)
        finally:
            for waiting in under_way:
                waiting.cancel()


def _in_order(under_way: deque[Future[Outcome]]) -> Outcome:
    return under_way.popleft().result()


def _as_completed(under_way: deque[Future[Outcome]]) -> Outcome:
    done = next(iter(wait(under_way, return_when=FIRST_COMPLETED).done))
    under_way.remove(done)
    return done.result()


def _answer(
    detect: Callable[[ImageSource], list[Detection]], image: ImageSource, pace: Pace, policy: RetryPolicy
) -> Outcome:
    """Ask until there is an answer, or an error that will not pass."""
    failures = 0
    throttled_since: float | None = None
    while True:
        pace.wait_for_turn()
        try:
            found = detect(image)
        except Throttled as error:
            pace.throttled()
            throttled_since = policy.clock() if throttled_since is None else throttled_since
            if policy.clock() - throttled_since >= policy.patience:
                return Outcome(image, error=error)
        except RekolabelsError as error:
            failures += 1
            if not is_transient(error) or failures >= policy.attempts:
                return Outcome(image, error=error)
            policy.sleep(min(policy.max_delay, policy.first_delay * 2**failures))
        else:
            pace.succeeded()
            return Outcome(image, tuple(found))
