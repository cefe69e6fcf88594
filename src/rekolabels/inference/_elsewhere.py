"""Detecting by the workers of an executor: processes, or machines of a Dask, Ray or MPI cluster.

Workers get the location of an image, not its bytes, and make a client of their own from the settings of their
machine: credentials are never sent. The pace is kept here, by the threads that wait for the workers, so that
all of them share one budget.
"""

from __future__ import annotations

import functools
from concurrent.futures import CancelledError, Executor
from typing import TYPE_CHECKING

import attrs

from rekolabels._api import Rekognition
from rekolabels._retry import RetryPolicy
from rekolabels._session import SessionSettings, make_client, make_session
from rekolabels.errors import ConnectionFailed, RekolabelsError
from rekolabels.inference._image import ImageSource, image_argument

if TYPE_CHECKING:
    from collections.abc import Callable

    from rekolabels.descriptions import Detection, S3Location

__all__ = ["Errand", "elsewhere", "run_errand"]


@attrs.frozen
class Errand:
    """What a worker needs to know; small, and without secrets."""

    arn: str
    region_name: str
    min_confidence: float | None
    max_results: int | None
    shrink: bool


def elsewhere(executor: Executor, errand: Errand) -> Callable[[ImageSource], list[Detection]]:
    """Return a ``detect`` whose calls are made by the workers of an executor."""

    def detect(image: ImageSource) -> list[Detection]:
        try:
            return executor.submit(_run_on_worker, errand, image).result()
        except RekolabelsError:
            raise
        except (Exception, CancelledError) as error:
            # The ways in which a worker dies are as many as there are executors; each is worth another try.
            raise ConnectionFailed(f"A worker was lost: {type(error).__name__}: {error}") from error

    return detect


def run_errand(
    api: Rekognition,
    errand: Errand,
    image: ImageSource,
    *,
    upload: Callable[[bytes, str], S3Location] | None = None,
) -> list[Detection]:
    """Make the call."""
    return api.detect_custom_labels(
        errand.arn,
        image_argument(image, upload=upload, shrink=errand.shrink),
        min_confidence=errand.min_confidence,
        max_results=errand.max_results,
    )


def _run_on_worker(errand: Errand, image: ImageSource) -> list[Detection]:
    return run_errand(_api_of_worker(errand.region_name), errand, image)


@functools.cache
def _api_of_worker(region_name: str) -> Rekognition:
    session = make_session(SessionSettings(None, region_name))
    client = make_client(session, "rekognition", region_name=region_name)
    return Rekognition(client, RetryPolicy(attempts=1))
