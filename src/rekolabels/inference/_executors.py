"""Where the calls of ``detect_many`` are made: in threads of this process, or by the workers of an executor.

Workers are processes, or machines of a Dask or MPI cluster. They get the location of an image instead of its
bytes, and make a client of their own from the AWS settings of their machine, so that credentials are never
sent. The threads that wait for the workers share one rate limiter in this process, so that all workers
together stay within the throughput of the model.

A process pool breaks as a whole when one of its processes dies: every call in it is lost, and none of them
shows which image was the cause. So each of these images is requested again alone, in a second pool. There, an
image that ends its worker affects no other image.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from typing import TYPE_CHECKING, TypeVar, cast

import attrs

from rekolabels._arguments import invalid
from rekolabels._aws._rekognition import Rekognition
from rekolabels._aws._retry import RetryPolicy
from rekolabels._aws._session import SessionSettings, make_client, make_session
from rekolabels.descriptions import Detection, S3Location
from rekolabels.errors import ConnectionFailed, ExecutorBroken, RekolabelsError, WorkerLost
from rekolabels.inference._image import ImageSource, image_argument
from rekolabels.inference._video import VideoFrame

if TYPE_CHECKING:
    from concurrent.futures import Future
    from typing import Self, TypeAlias

__all__ = [
    "Call",
    "CallLost",
    "Prepare",
    "WorkerConfig",
    "Workers",
    "prepare_on_threads",
    "prepare_on_workers",
]

R = TypeVar("R")

Upload: TypeAlias = Callable[[bytes, str], S3Location]
"""Uploads an image to S3 under a name, and returns its location."""

Call: TypeAlias = Callable[[], list[Detection]]
"""Makes one call for one image; may be called again."""

Prepare: TypeAlias = Callable[[ImageSource], Call]
"""Reads an image once, and returns the call for it."""

_MAX_DEATHS = 3
"""How often a pool may break while it processes an image: once among other images, and twice alone."""

_SENT_TO_WORKERS: tuple[type, ...] = (str, os.PathLike, bytes, S3Location, VideoFrame)
"""Types of images that are pickled as they are; all others are encoded first."""


@attrs.frozen
class WorkerConfig:
    """What a worker needs to make calls; small, and without credentials."""

    arn: str
    """ARN of the model version."""
    region_name: str
    """AWS Region of the model version."""
    min_confidence: float | None
    """0 to 100; None for each label's assumed threshold."""
    max_results: int | None
    """Most detections for each image; None for no limit."""
    shrink: bool
    """Whether to re-encode images that the service would reject."""


def prepare_on_threads(gateway: Rekognition, config: WorkerConfig, upload: Upload | None) -> Prepare:
    """Return a function that prepares calls from the threads of this process."""

    def prepare(image: ImageSource) -> Call:
        content = image_argument(image, upload=upload, shrink=config.shrink)
        return functools.partial(_detect, gateway, config, content)

    return prepare


def prepare_on_workers(workers: Workers, config: WorkerConfig, upload: Upload | None) -> Prepare:
    """Return a function that prepares calls by the workers of an executor.

    Images that cannot be pickled, such as open files, are read in this process.
    """

    def prepare(image: ImageSource) -> Call:
        content: ImageSource = image
        if not isinstance(image, _SENT_TO_WORKERS):
            content = image_argument(image, upload=upload, shrink=config.shrink)
        deaths = 0

        def call() -> list[Detection]:
            nonlocal deaths
            try:
                return workers.run(_detect_on_worker, config, content, alone=deaths > 0)
            except RekolabelsError:
                raise
            except BrokenExecutor as error:
                deaths += 1
                if deaths < _MAX_DEATHS:
                    raise CallLost from error
                name = _describe(cast("object", image))
                raise WorkerLost(
                    f"The worker process died {deaths} times while it processed {name}, even "
                    "when it had no other image. Check that the image is intact, and that the machine has "
                    "enough memory."
                ) from error
            except (Exception, CancelledError) as error:
                # Executors other than process pools report a lost worker with an error of their own.
                raise ConnectionFailed(
                    f"The executor lost a worker: {type(error).__name__}: {error}"
                ) from error

        return call

    return prepare


class CallLost(Exception):
    """A call was lost with its worker, and can be made again at once."""


class Workers:
    """The executor of one run, which is made again if it breaks. A context manager.

    Args:
        executor: An executor; or a function that returns a new one, which the run then owns.

    Raises:
        InvalidInput: The argument is neither.
    """

    def __init__(self, executor: Executor | Callable[[], Executor]) -> None:
        is_executor = hasattr(executor, "submit") and not isinstance(executor, type)
        if not is_executor and not callable(executor):
            raise invalid(
                "executor", executor, "a concurrent.futures.Executor, or a function that returns one"
            )
        self._given = cast("Executor", executor) if is_executor else None
        make = cast("Callable[[], Executor]", executor)
        self._shared, self._single = _Pool(make), _Pool(make)
        self._turn = threading.Lock()  # held by the one call that runs alone
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._shared.shutdown()
        self._single.shutdown()

    def close(self) -> None:
        """End all waits for a call that runs alone."""
        self._closed = True

    def run(self, function: Callable[..., R], *arguments: object, alone: bool) -> R:
        """Return what a worker returns for a function, or raise what it raises.

        Args:
            function: A function that can be pickled.
            arguments: Its arguments.
            alone: Run it while no other function runs in the same executor.

        Raises:
            BrokenExecutor: The executor broke during the call. The next call gets a new one.
            ExecutorBroken: The executor cannot be used any more and cannot be made again.
        """
        if self._given is not None:
            try:
                return _submit(self._given, function, *arguments).result()
            except BrokenExecutor as error:
                raise ExecutorBroken(
                    f"The executor of detect_many cannot be used any more ({type(error).__name__}: {error}). "
                    "Give a function, so that it can be made again: "
                    "executor=lambda: ProcessPoolExecutor(4). With a journal, the next run requests only "
                    "images without an answer."
                ) from error
        if not alone:
            return self._shared.run(function, *arguments)
        with self._turn:
            if self._closed:
                raise CancelledError
            return self._single.run(function, *arguments)


class _Pool:
    """An executor that is made when it is needed, and again after it broke."""

    def __init__(self, make: Callable[[], Executor]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._executor: Executor | None = None
        self._broke = False

    def run(self, function: Callable[..., R], *arguments: object) -> R:
        """Return what a worker returns."""
        with self._lock:
            if self._executor is None:
                self._executor = self._made()
            executor = self._executor
        try:
            return _submit(executor, function, *arguments).result()
        except BrokenExecutor:
            with self._lock:
                if self._executor is executor:
                    self._executor, self._broke = None, True
                    executor.shutdown(wait=False)
            raise

    def shutdown(self) -> None:
        """Shut the executor down, and wait for its processes."""
        with self._lock:
            if self._executor is not None:
                self._executor.shutdown(cancel_futures=True)

    def _made(self) -> Executor:
        """Return a new executor. After a broken one, check that its workers live without any image."""
        try:
            executor = self._make()
            submit = executor.submit
        except Exception as error:
            raise ExecutorBroken(
                f"The function given as executor failed ({type(error).__name__}: {error}); expected a "
                "concurrent.futures.Executor."
            ) from error
        if self._broke:
            try:
                submit(_do_nothing).result()
            except BrokenExecutor as error:
                raise ExecutorBroken(
                    f"The executor of detect_many broke, and the workers of a new one die without an answer "
                    f"({type(error).__name__}: {error}). Check that its initializer works, and that the "
                    "machine has enough memory."
                ) from error
        return executor


def _submit(executor: Executor, function: Callable[..., R], *arguments: object) -> Future[R]:
    try:
        return executor.submit(function, *arguments)
    except BrokenExecutor:
        raise
    except RuntimeError as error:  # it was shut down
        raise BrokenExecutor(str(error)) from error


def _do_nothing() -> None:
    """Show that a worker lives."""


def _describe(image: object) -> str:
    if isinstance(image, (S3Location, str)):
        return str(image)
    if isinstance(image, os.PathLike):
        return str(os.fspath(cast("os.PathLike[str]", image)))
    return str(getattr(image, "name", None) or f"an image given as {type(image).__name__}")


def _detect(gateway: Rekognition, config: WorkerConfig, content: bytes | S3Location) -> list[Detection]:
    return gateway.detect_custom_labels(
        config.arn, content, min_confidence=config.min_confidence, max_results=config.max_results
    )


def _detect_on_worker(config: WorkerConfig, image: ImageSource) -> list[Detection]:
    _ignore_ctrl_c()
    content = image_argument(image, shrink=config.shrink)
    return _detect(_worker_gateway(config.region_name), config, content)


@functools.cache
def _ignore_ctrl_c() -> None:
    """Leave Ctrl-C to the process that started this one: a terminal sends it to both."""
    from multiprocessing import parent_process

    if parent_process() is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@functools.cache
def _worker_gateway(region_name: str) -> Rekognition:
    session = make_session(SessionSettings(None, region_name))
    client = make_client(session, "rekognition", region_name=region_name)
    return Rekognition(client, RetryPolicy(attempts=1))
