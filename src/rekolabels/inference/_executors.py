"""Where the calls of ``detect_many`` are made: in threads of this process, or by the workers of an executor.

Workers are processes, or machines of a Dask or MPI cluster. They get the location of an image instead of its
bytes, and make a client of their own from the AWS settings of their machine, so that credentials are never
sent. The threads that wait for the workers share one rate limiter in this process, so that all workers
together stay within the throughput of the model.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor
from typing import TYPE_CHECKING

import attrs

from rekolabels._aws._rekognition import Rekognition
from rekolabels._aws._retry import RetryPolicy
from rekolabels._aws._session import SessionSettings, make_client, make_session
from rekolabels.descriptions import Detection, S3Location
from rekolabels.errors import ConnectionFailed, RekolabelsError
from rekolabels.inference._image import ImageSource, image_argument
from rekolabels.inference._video import VideoFrame

if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = ["Call", "Prepare", "WorkerConfig", "prepare_on_executor", "prepare_on_threads"]

Upload: TypeAlias = Callable[[bytes, str], S3Location]
"""Uploads an image to S3 under a name, and returns its location."""

Call: TypeAlias = Callable[[], list[Detection]]
"""Makes one call for one image; may be called again."""

Prepare: TypeAlias = Callable[[ImageSource], Call]
"""Reads an image once, and returns the call for it."""

_SENT_TO_WORKERS = (str, os.PathLike, bytes, S3Location, VideoFrame)
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


def prepare_on_executor(executor: Executor, config: WorkerConfig, upload: Upload | None) -> Prepare:
    """Return a function that prepares calls by the workers of an executor.

    Images that cannot be pickled, such as open files, are read in this process.
    """

    def prepare(image: ImageSource) -> Call:
        content: ImageSource = image
        if not isinstance(image, _SENT_TO_WORKERS):
            content = image_argument(image, upload=upload, shrink=config.shrink)

        def call() -> list[Detection]:
            try:
                return executor.submit(_detect_on_worker, config, content).result()
            except RekolabelsError:
                raise
            except (Exception, CancelledError) as error:
                # Each kind of executor reports a lost worker with an error of its own; all are worth a retry.
                raise ConnectionFailed(
                    f"The executor lost a worker: {type(error).__name__}: {error}"
                ) from error

        return call

    return prepare


def _detect(gateway: Rekognition, config: WorkerConfig, content: bytes | S3Location) -> list[Detection]:
    return gateway.detect_custom_labels(
        config.arn, content, min_confidence=config.min_confidence, max_results=config.max_results
    )


def _detect_on_worker(config: WorkerConfig, image: ImageSource) -> list[Detection]:
    content = image_argument(image, shrink=config.shrink)
    return _detect(_worker_gateway(config.region_name), config, content)


@functools.cache
def _worker_gateway(region_name: str) -> Rekognition:
    session = make_session(SessionSettings(None, region_name))
    client = make_client(session, "rekognition", region_name=region_name)
    return Rekognition(client, RetryPolicy(attempts=1))
