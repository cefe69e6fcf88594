"""``detect_many``: parallel detection at the throughput of the model, with one outcome for each image."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sized
from concurrent.futures import CancelledError
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import attrs

from rekolabels import _progress
from rekolabels._arguments import invalid, shown
from rekolabels._aws._retry import Retry, RetryPolicy, is_transient, notify_retry
from rekolabels._display import counted
from rekolabels._threads import map_bounded
from rekolabels.descriptions import Detection
from rekolabels.errors import ExecutorBroken, InvalidInput, RekolabelsError, Throttled
from rekolabels.inference._executors import CallLost, Prepare, Workers
from rekolabels.inference._image import ImageSource, is_one_image
from rekolabels.inference._journal import Journal
from rekolabels.inference._rate_limiter import RateLimiter

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ["Outcome", "check_many", "detect_many"]

ImageT = TypeVar("ImageT", bound=ImageSource)


@attrs.frozen
class Outcome(Generic[ImageT]):
    """The result of ``detect_many`` for one image."""

    image: ImageT = attrs.field(repr=shown)
    """The image, as it was given."""
    detections: tuple[Detection, ...] = attrs.field(default=(), repr=counted("detections"))
    """The detections, most confident first; empty if there are none or an error occurred."""
    error: RekolabelsError | None = None
    """Why the image has no answer; None if it has one."""


def detect_many(
    prepare: Prepare,
    images: Iterable[ImageT],
    *,
    workers: int,
    ordered: bool,
    policy: RetryPolicy,
    journal: Journal | None = None,
    executor: Workers | None = None,
    quota: float = math.inf,
) -> Generator[Outcome[ImageT]]:
    """Yield an outcome for each image.

    Args:
        prepare: Reads an image and returns the call for it, which must not retry by itself.
        images: The images; may be endless.
        workers: Number of threads that make calls.
        ordered: Yield outcomes in the order of the images, otherwise in the order in which they complete.
        policy: How calls are retried.
        journal: Where results are kept; images that have a result in it are not sent again.
        executor: What the calls are made by, if not by the threads; closed at the end.
        quota: Calls per second that an account may make, unless the quota has been raised.

    Raises:
        InvalidInput: The journal belongs to another run.
        JournalFailed: The journal cannot be used; or, after the last outcome, it could not keep some results.
        ExecutorBroken: After the outcomes of the images in progress: the executor cannot be used any more.
    """
    limiter = RateLimiter(policy.clock, policy.sleep, quota=quota)
    source = _UntilError(images)
    run = _Run(prepare, policy, journal, limiter, source)
    total = len(images) if isinstance(images, Sized) else None

    def stop() -> None:
        limiter.close()
        if executor is not None:
            executor.close()

    with (
        journal or nullcontext(),
        executor or nullcontext(),
        _progress.bar("detecting", total=total, unit="image") as bar,
    ):
        outcomes = map_bounded(
            run.detect,
            source,
            workers=workers,
            ordered=ordered,
            thread_name="rekolabels-detect",
            on_stop=stop,
        )
        with closing(outcomes):
            for outcome in outcomes:
                yield outcome
                bar.update(1)
        if journal is not None:
            journal.check()
    if source.error is not None:
        raise source.error


def check_many(images: object) -> None:
    """Check that a value is an iterable of images, and not a single image.

    Raises:
        InvalidInput: It is not.
    """
    given = images
    is_path = isinstance(images, (str, os.PathLike))
    if is_path and os.path.isdir(cast("str", given)):  # noqa: PTH112 -- raises nothing
        path = os.fspath(cast("str", given))
        fix = f"For all images in the folder, use `sorted(Path({path!r}).glob('*.jpg'))`."
        raise invalid("images", given, "several images", fix)
    if is_one_image(given):
        raise InvalidInput(
            f"images is {shown(given)}, a single image; expected several. Use detect(image) or "
            "detect_many([image])."
        )
    if not isinstance(images, Iterable):
        raise invalid("images", given, "an iterable of images, such as a list of paths")


class _UntilError(Generic[ImageT]):
    """The images of an iterable, up to its end or the first error, which is kept."""

    def __init__(self, images: Iterable[ImageT]) -> None:
        self._images = images
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[ImageT]:
        try:
            images = iter(self._images)
            while self.error is None:
                yield next(images)
        except StopIteration:
            return
        except Exception as error:  # noqa: BLE001 -- raised again after the images before it have finished
            self.error = error


@attrs.frozen
class _Run:
    """The calls of one run, made by its threads."""

    prepare: Prepare
    policy: RetryPolicy
    journal: Journal | None
    limiter: RateLimiter
    source: _UntilError[Any]

    def detect(self, image: ImageT) -> Outcome[ImageT]:
        """Return the answer from the journal, or else from the service."""
        outcome = self._find_outcome(image)
        if isinstance(outcome.error, ExecutorBroken):
            self.source.error = outcome.error  # take no more images
        return outcome

    def _find_outcome(self, image: ImageT) -> Outcome[ImageT]:
        journal = self.journal
        if journal is None:
            return self._call_service(image)
        try:
            known = journal.answer(image)
        except RekolabelsError as error:
            return Outcome(image, error=error)
        if known is not None:
            return Outcome(image, known)
        outcome = self._call_service(image)
        if outcome.error is None:
            journal.write(image, outcome.detections)
        return outcome

    def _wait_for_turn(self) -> None:
        self.limiter.wait_for_turn()
        if self.limiter.closed:
            raise CancelledError

    def _call_service(self, image: ImageT) -> Outcome[ImageT]:
        """Repeat the call until it gives an answer or a permanent error."""
        policy = self.policy
        try:
            call = self.prepare(image)
        except RekolabelsError as error:
            return Outcome(image, error=error)
        failures = 0
        throttled_since: float | None = None
        while True:
            self._wait_for_turn()
            try:
                detections = call()
            except CallLost:
                continue
            except Throttled as error:
                self.limiter.record_throttle()
                throttled_since = policy.clock() if throttled_since is None else throttled_since
                if policy.clock() - throttled_since >= policy.patience:
                    return Outcome(image, error=error)
            except RekolabelsError as error:
                failures += 1
                if not is_transient(error):
                    self.limiter.record_answer()
                    return Outcome(image, error=error)
                if failures >= policy.attempts:
                    return Outcome(image, error=error)
                delay = min(policy.max_delay, policy.first_delay * 2**failures)
                notify_retry(policy, Retry(error, failures, delay))
                policy.sleep(delay)
            else:
                self.limiter.record_answer()
                return Outcome(image, tuple(detections))
