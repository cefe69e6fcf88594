"""What can be asked of a running model, said once for a model version and for a ``running`` block."""

from __future__ import annotations

import hashlib
from pathlib import PurePath
from typing import TYPE_CHECKING

import attrs

from rekolabels.descriptions import S3Location
from rekolabels.errors import ImageRejected, ResourceNotReady
from rekolabels.inference._executors import Errand, elsewhere, here
from rekolabels.inference._image import image_argument
from rekolabels.inference._journal import Journal
from rekolabels.inference._many import detect_many
from rekolabels.inference._policed import asked_with, keep, keep_each

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor

    from rekolabels.client import Client
    from rekolabels.descriptions import Detection
    from rekolabels.evaluation import ThresholdPolicy
    from rekolabels.inference._executors import Call
    from rekolabels.inference._image import ImageSource
    from rekolabels.inference._many import ImageT, Outcome

__all__ = ["Detects"]


class Detects:
    """A model that finds custom labels in images."""

    __slots__ = ()

    client: Client
    arn: str

    def _before_call(self) -> None:
        """Called before each call; an error of ours that it raises ends that image."""

    def detect(
        self,
        image: ImageSource,
        *,
        min_confidence: float | None = None,
        max_results: int | None = None,
        policy: ThresholdPolicy | None = None,
        shrink: bool = False,
    ) -> list[Detection]:
        """Find custom labels in an image (DetectCustomLabels); the model must be running.

        An image of up to 4 MB is sent in the request; one of up to 15 MB goes by way of the client's bucket,
        where it stays under its content's name. Boxes are shares of the upright image, as viewers show it:
        the service turns a JPEG by its EXIF orientation (so it is documented for its other image operations),
        and what is encoded here, Pillow images and what ``shrink`` encodes anew, is turned here.

        Args:
            image: A path, the bytes of a file, an open binary file, an ``s3://`` URI in the Region of the
                model, a Pillow image, a NumPy array of uint8 (height, width, RGB), or a frame of
                :func:`~rekolabels.inference.video_frames`.
            min_confidence: 0 to 100. By default each label counts from its own assumed threshold; 0 asks for
                everything.
            max_results: Only so many, the most confident ones.
            policy: Thresholds of your own, instead of ``min_confidence``.
            shrink: Encode an image anew, as a JPEG, where the service would not take it as it is: more than
                4 MB, more than 4,096 pixels a side, or neither JPEG nor PNG. Needs the extra ``images``.

        Returns:
            What was found, most confident first; empty when nothing was.

        Raises:
            InvalidInput: The policy is for another model, or ``min_confidence`` is given with it.
            ResourceNotReady: The model is not running.
            InvalidImage: The file cannot be read or is too large.
            ImageRejected: The service refused the image.
            Throttled: More calls than the model's inference units can serve.
            LeaseEnded: A limit of the ``running`` block was reached, and the model was stopped.
        """
        least, most = asked_with(policy, self.arn, min_confidence, max_results)
        self._before_call()
        content = image_argument(image, upload=self._uploader(), shrink=shrink)
        try:
            found = self.client.api.detect_custom_labels(
                self.arn, content, min_confidence=least, max_results=most
            )
        except ResourceNotReady as error:
            raise error.explained(
                "The model does not run. This starts it, waits, and stops it again whatever happens: "
                "with model.running() as running: running.detect(...)"
            ) from error
        except ImageRejected as error:
            raise error.explained(f"{_name(image)} is refused by the service.") from error
        return keep(policy, found, max_results)

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
        executor: Executor | None = None,
    ) -> Iterator[Outcome[ImageT]]:
        """Find custom labels in many images at once; the model must be running.

        Finds out by itself how many calls a second the model can serve, and stays just there: throttled calls
        are made again, and no image is lost. Nothing is raised midway: an image that cannot be read, or that
        the service refuses, is an outcome with an error. Images are taken from the iterable as they are
        needed, so that it may be as long as it likes; when it raises an error itself, the images before are
        finished first.

        Args:
            images: Whatever :meth:`detect` takes.
            min_confidence: 0 to 100; by default each label counts from its own assumed threshold.
            max_results: Only so many for each image, the most confident ones.
            policy: Thresholds of your own, instead of ``min_confidence``; a journal keeps what the model
                found, whatever the policy.
            shrink: Encode images anew that the service would not take, as :meth:`detect` does.
            ordered: Yield outcomes in the order of the images; otherwise as they come.
            workers: Calls under way at once, at the most.
            journal: A file that keeps the answers. A run that was broken off is run again with the same file,
                and asks only for what has no answer yet. It belongs to this model and these parameters.
            executor: Any ``concurrent.futures.Executor`` whose workers make the calls: processes, or the
                machines of a Dask cluster (``distributed.Client.get_executor()``). Workers get paths or URIs,
                not bytes, and use the AWS settings of their machine. A worker that dies costs no image.

        Yields:
            For each image an outcome: ``image``, ``detections``, ``error``. In a ``running`` block a limit
            that is reached makes every further outcome one with :class:`~rekolabels.errors.LeaseEnded`.

        Raises:
            InvalidInput: The journal belongs to another run, or the policy is for another model, or
                ``min_confidence`` is given with it.
            JournalFailed: The journal cannot be used at the beginning; or, after the last outcome, some
                answers could not be kept in it.
            LeaseEnded: A limit of the ``running`` block was reached before the first image.
        """
        least, most = asked_with(policy, self.arn, min_confidence, max_results)
        self._before_call()
        errand = Errand(self.arn, self.client.region_name, least, most, shrink)
        once = attrs.evolve(self.client.api, policy=attrs.evolve(self.client.retry, attempts=1))
        upload = self._uploader()
        ask = here(once, errand, upload) if executor is None else elsewhere(executor, errand, upload)

        def prepare(image: ImageSource) -> Call:
            self._before_call()  # nobody waits for a turn, or reads an image, that is not asked for
            call = ask(image)

            def checked() -> list[Detection]:
                self._before_call()
                return call()

            return checked

        run = {"model": self.arn, "min_confidence": str(least), "max_results": str(most)}
        outcomes = detect_many(
            prepare,
            images,
            workers=workers,
            ordered=ordered,
            policy=self.client.retry,
            journal=None if journal is None else Journal(journal, run),
        )
        return outcomes if policy is None else keep_each(policy, outcomes, max_results)

    def _uploader(self) -> Callable[[bytes, str], S3Location] | None:
        """What puts a large image into the client's bucket; None when it has none."""
        bucket = self.client.bucket
        if bucket is None:
            return None

        def upload(data: bytes, name: str) -> S3Location:
            digest = hashlib.sha256(data).hexdigest()[:32]
            place = S3Location(bucket, f"{self.client.prefix}images/{digest}/{name}")
            self.client.storage.put(place, data, content_type="application/octet-stream")
            return place

        return upload


def _name(image: ImageSource) -> str:
    return str(image) if isinstance(image, (str, PurePath, S3Location)) else "The image"
