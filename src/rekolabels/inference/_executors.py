"""Who makes the calls: the threads of this process, or the workers of an executor.

Workers are processes, or machines of a Dask or MPI cluster. They get the location of an image, not its
bytes, and make a client of their own from the settings of their machine: credentials are never sent. The pace
is kept here, by the threads that wait for the workers, so that all of them share one budget.
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

__all__ = ["Call", "Errand", "Prepare", "elsewhere", "here"]

Upload: TypeAlias = Callable[[bytes, str], S3Location]
"""Puts an image into S3, under a name."""

Call: TypeAlias = Callable[[], list[Detection]]
"""One call for one image."""

Prepare: TypeAlias = Callable[[ImageSource], Call]
"""Reads an image, and makes the call for it that can be repeated."""

_PORTABLE = (str, os.PathLike, bytes, S3Location, VideoFrame)


@attrs.frozen
class Errand:
    """What a worker needs to know; small, and without secrets."""

    arn: str
    region_name: str
    min_confidence: float | None
    max_results: int | None
    shrink: bool


def here(api: Rekognition, errand: Errand, upload: Upload | None) -> Prepare:
    """Make the calls in the threads of this process. An image is read once, however often it is asked for."""

    def prepare(image: ImageSource) -> Call:
        content = image_argument(image, upload=upload, shrink=errand.shrink)
        return functools.partial(_ask, api, errand, content)

    return prepare


def elsewhere(executor: Executor, errand: Errand, upload: Upload | None) -> Prepare:
    """Let the workers of an executor make the calls; read here what cannot travel, such as an open file."""

    def prepare(image: ImageSource) -> Call:
        content: ImageSource = image
        if not isinstance(image, _PORTABLE):
            content = image_argument(image, upload=upload, shrink=errand.shrink)

        def call() -> list[Detection]:
            try:
                return executor.submit(_run_on_worker, errand, content).result()
            except RekolabelsError:
                raise
            except (Exception, CancelledError) as error:
                # The ways in which a worker dies are as many as there are executors; each is worth another
                # try.
                raise ConnectionFailed(f"A worker was lost: {type(error).__name__}: {error}") from error

        return call

    return prepare


def _ask(api: Rekognition, errand: Errand, content: bytes | S3Location) -> list[Detection]:
    return api.detect_custom_labels(
        errand.arn, content, min_confidence=errand.min_confidence, max_results=errand.max_results
    )


def _run_on_worker(errand: Errand, image: ImageSource) -> list[Detection]:
    content = image_argument(image, shrink=errand.shrink)
    return _ask(_api_of_worker(errand.region_name), errand, content)


@functools.cache
def _api_of_worker(region_name: str) -> Rekognition:
    session = make_session(SessionSettings(None, region_name))
    client = make_client(session, "rekognition", region_name=region_name)
    return Rekognition(client, RetryPolicy(attempts=1))
