"""``detect`` and ``detect_many``, shared by model versions and ``running`` blocks."""

from __future__ import annotations

import hashlib
import os
from contextlib import nullcontext
from pathlib import PurePath
from typing import TYPE_CHECKING

import attrs

from rekolabels._arguments import (
    check_flag,
    check_instance,
    check_integer,
    check_limit,
    check_path,
    check_percentage,
)
from rekolabels._aws._arns import parse_version_arn
from rekolabels.descriptions import S3Location
from rekolabels.errors import ImageRejected, InvalidInput, ResourceNotReady
from rekolabels.inference._executors import WorkerConfig, Workers, prepare_on_threads, prepare_on_workers
from rekolabels.inference._image import image_argument, s3_location
from rekolabels.inference._journal import Journal
from rekolabels.inference._many import check_many, detect_many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager

    from rekolabels._aws._connection import Connection
    from rekolabels.descriptions import Detection
    from rekolabels.evaluation import ThresholdPolicy
    from rekolabels.inference._executors import Call
    from rekolabels.inference._image import ImageSource
    from rekolabels.inference._many import ImageT, Outcome

__all__ = ["Detects"]

_REJECTION_FIXES = {
    "ImageTooLargeException": "Use at most 4,096 pixels a side; shrink=True scales local images down.",
    "InvalidImageFormatException": "Save it again as JPEG or PNG.",
    "InvalidS3ObjectException": "Check that the object exists in the Region of the model and can be read.",
}
"""What to do, by AWS's error code."""


class Detects:
    """A model that detects custom labels in images."""

    __slots__ = ()

    _connection: Connection
    arn: str

    def _before_call(self) -> None:
        """Check before each call; a ``RekolabelsError`` raised here becomes the error of that image."""

    def _during_call(self) -> AbstractContextManager[None]:
        """Return a context manager that is entered during each call, after the same check."""
        return nullcontext()

    def detect(
        self,
        image: ImageSource,
        *,
        min_confidence: float | None = None,
        max_results: int | None = None,
        policy: ThresholdPolicy | None = None,
        shrink: bool = False,
    ) -> list[Detection]:
        """Detect custom labels in an image (DetectCustomLabels). The model must be running.

        An image of up to 4 MB is sent in the request. A larger one, of up to 15 MB, is uploaded to the
        client's bucket under the hash of its content, and stays there.

        Boxes are relative to the upright image, as viewers show it. The service applies the EXIF orientation
        of a JPEG file (AWS documents this for its other image operations). Pillow images, and images that
        ``shrink`` re-encodes, are turned upright before they are sent.

        Args:
            image: A path, the bytes of a file, an open binary file, an ``s3://`` URI in the Region of the
                model, a Pillow image, a NumPy array of uint8 (height, width, RGB), or a frame of
                :func:`~rekolabels.inference.video_frames`.
            min_confidence: Lowest confidence, 0 to 100. By default each label has its own assumed threshold;
                0 returns everything.
            max_results: Return at most this many detections, the most confident ones.
            policy: Thresholds of your own, instead of ``min_confidence``.
            shrink: Re-encode the image as a JPEG if the service would reject it: more than 4 MB, more than
                4,096 pixels a side, or neither JPEG nor PNG. Needs the extra ``images``.

        Returns:
            The detections, most confident first; empty if there are none.

        Raises:
            InvalidInput: An argument is not valid, the policy is for another model, or ``min_confidence`` is
                given with it.
            ResourceNotReady: The model is not running.
            InvalidImage: The file cannot be read or is too large.
            ImageRejected: The service rejected the image.
            WrongRegion: The image is in a bucket of another Region than the client.
            Throttled: The calls exceed the throughput of the model's inference units.
            LeaseEnded: A limit of the ``running`` block was reached, and the model was stopped.
        """
        check_flag("shrink", shrink)
        least, limit = _request_limits(policy, self.arn, min_confidence, max_results)
        try:
            with self._during_call():
                self._check_bucket(image)
                content = image_argument(image, upload=self._uploader(), shrink=shrink)
                detections = self._connection.rekognition.detect_custom_labels(
                    self.arn, content, min_confidence=least, max_results=limit
                )
        except ResourceNotReady as error:
            raise error.explained(
                f"Model version {parse_version_arn(self.arn)[1]!r} is not running. To start it, and to stop "
                "it whatever happens, use `with model.running() as running: running.detect(image)`."
            ) from error
        except ImageRejected as error:
            raise error.explained(
                f"The service rejected {_describe(image)}. {_REJECTION_FIXES.get(error.code, '')}".rstrip()
            ) from error
        return detections if policy is None else policy.apply(detections)[:max_results]

    def detect_many(
        self,
        images: Iterable[ImageT],
        *,
        min_confidence: float | None = None,
        max_results: int | None = None,
        policy: ThresholdPolicy | None = None,
        shrink: bool = False,
        ordered: bool = True,
        workers: int = 32,
        journal: str | os.PathLike[str] | None = None,
        executor: Executor | Callable[[], Executor] | None = None,
    ) -> Iterator[Outcome[ImageT]]:
        """Detect custom labels in many images in parallel. The model must be running.

        Adapts the rate of calls to the throughput of the model, and to AWS's quota of 50 calls per second for
        an account, and retries throttled calls, so that no image is lost. Errors do not interrupt the run: an
        image that cannot be read, or that the service rejects, gives an outcome with an error. Images are
        taken from the iterable as they are needed, so it may be endless. If the iterable itself raises an
        error, the images before it are finished first.

        Args:
            images: Images as for :meth:`detect`.
            min_confidence: Lowest confidence, 0 to 100. By default each label has its own assumed threshold.
            max_results: Return at most this many detections for each image, the most confident ones.
            policy: Thresholds of your own, instead of ``min_confidence``. A journal keeps what the model
                returned, before the policy is applied.
            shrink: Re-encode images that the service would reject, as :meth:`detect` does.
            ordered: Yield outcomes in the order of the images, otherwise in the order in which they complete.
            workers: Largest number of concurrent calls.
            journal: A file that keeps the answers. To resume a run that was interrupted, run it again with
                the same file; only images without an answer are requested. The file belongs to this model and
                these parameters.
            executor: Any ``concurrent.futures.Executor`` whose workers make the calls: processes, or the
                machines of a Dask cluster (``distributed.Client.get_executor()``). Workers get paths or URIs
                rather than bytes, and use the AWS settings of their machine. Calls of a worker that dies are
                retried. A ``ProcessPoolExecutor`` breaks when one of its processes dies: give a function that
                returns one, and the run makes a new one each time, and shuts it down at the end.

        Yields:
            An outcome for each image: ``image``, ``detections``, ``error``. In a ``running`` block, all
            outcomes after a limit was reached have the error :class:`~rekolabels.errors.LeaseEnded`.

        Raises:
            InvalidInput: An argument is not valid, ``images`` is a single image, the journal belongs to
                another run, the policy is for another model, or ``min_confidence`` is given with a policy.
            JournalFailed: The journal cannot be opened; or, after the last outcome, some answers could not be
                saved.
            ExecutorBroken: The executor cannot be used any more, and cannot be made again.
            LeaseEnded: A limit of the ``running`` block was reached before the first image.
        """
        check_flag("shrink", shrink)
        check_flag("ordered", ordered)
        check_integer("workers", workers, at_least=1)
        check_many(images)
        if journal is not None:
            check_path("journal", journal)
        least, limit = _request_limits(policy, self.arn, min_confidence, max_results)
        self._before_call()
        config = WorkerConfig(self.arn, self._connection.region_name, least, limit, shrink)
        # detect_many retries by itself, because it shares the rate of all calls.
        single_try = attrs.evolve(
            self._connection.rekognition, policy=attrs.evolve(self._connection.retry, attempts=1)
        )
        upload = self._uploader()
        pool = None if executor is None else Workers(executor)
        prepare = (
            prepare_on_threads(single_try, config, upload)
            if pool is None
            else prepare_on_workers(pool, config, upload)
        )

        def prepare_checked(image: ImageSource) -> Call:
            with self._during_call():  # after the lease has ended, do not read the image or wait for a turn
                self._check_bucket(image)
                call = prepare(image)

            def checked_call() -> list[Detection]:
                with self._during_call():
                    return call()

            return checked_call

        # Stored in the journal, so that a run with another model or other parameters cannot use it.
        run = {"model": self.arn, "min_confidence": str(least), "max_results": str(limit)}
        outcomes = detect_many(
            prepare_checked,
            images,
            workers=workers,
            ordered=ordered,
            policy=self._connection.retry,
            journal=None if journal is None else Journal(journal, run),
            executor=pool,
            quota=self._connection.rekognition.account_rate,
        )
        return outcomes if policy is None else _apply_policy(policy, outcomes, max_results)

    def _check_bucket(self, image: ImageSource) -> None:
        """Check that an image in S3 is in the Region of the client."""
        location = s3_location(image)
        if location is not None:
            self._connection.check_buckets(location.bucket)

    def _uploader(self) -> Callable[[bytes, str], S3Location] | None:
        """Return a function that uploads a large image to the client's bucket; None without a bucket."""
        bucket = self._connection.bucket
        if bucket is None:
            return None

        def upload(data: bytes, name: str) -> S3Location:
            digest = hashlib.sha256(data).hexdigest()[:32]
            location = S3Location(bucket, f"{self._connection.prefix}images/{digest}/{name}")
            self._connection.s3.put(location, data, content_type="application/octet-stream")
            return location

        return upload


def _request_limits(
    policy: ThresholdPolicy | None, arn: str, min_confidence: float | None, max_results: int | None
) -> tuple[float | None, int | None]:
    """Return the ``MinConfidence`` and ``MaxResults`` of the request.

    With a policy, the request asks for everything that the policy may keep, and the policy chooses among it.

    Raises:
        InvalidInput: The policy is for another model, or ``min_confidence`` is given with it.
    """
    limit = check_limit("max_results", max_results)
    if policy is None:
        least = None if min_confidence is None else check_percentage("min_confidence", min_confidence)
        return least, limit
    from rekolabels.evaluation import ThresholdPolicy

    fix = "Use `ThresholdPolicy.load(path)`." if isinstance(policy, (str, os.PathLike)) else ""
    check_instance("policy", policy, ThresholdPolicy, "a ThresholdPolicy, or None", fix)
    if min_confidence is not None:
        raise InvalidInput(
            "Give either policy or min_confidence, not both: the policy has a threshold for each label."
        )
    policy.check_model(arn)
    return policy.min_confidence, None


def _apply_policy(
    policy: ThresholdPolicy, outcomes: Iterable[Outcome[ImageT]], max_results: int | None
) -> Iterator[Outcome[ImageT]]:
    for outcome in outcomes:
        kept = policy.apply(outcome.detections)[:max_results]
        yield attrs.evolve(outcome, detections=tuple(kept))


def _describe(image: ImageSource) -> str:
    return str(image) if isinstance(image, (str, PurePath, S3Location)) else "the image"
