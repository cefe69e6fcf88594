"""Detecting in many images at once: as fast as the model serves, nothing lost, nothing raised midway."""

from __future__ import annotations

from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import attrs

from rekolabels._retry import RetryPolicy, is_transient
from rekolabels.descriptions import Detection
from rekolabels.errors import RekolabelsError, Throttled
from rekolabels.inference._image import ImageSource
from rekolabels.inference._pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

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
) -> Generator[Outcome]:
    """Yield an outcome for each image; ``detect`` makes one call, and does not repeat it."""
    pace = Pace(clock=policy.clock, sleep=policy.sleep)

    def answer(image: ImageSource) -> Outcome:
        return _answer(detect, image, pace, policy)

    take = _in_order if ordered else _as_completed
    with ThreadPoolExecutor(workers, thread_name_prefix="rekolabels-detect") as pool:
        under_way: deque[Future[Outcome]] = deque()
        try:
            for image in images:
                under_way.append(pool.submit(answer, image))
                if len(under_way) >= 2 * workers:
                    yield take(under_way)
            while under_way:
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
