"""Datasets: the labelled images that a project trains and tests with."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import attrs

from rekolabels import _progress
from rekolabels._aws._arns import parse_dataset_arn
from rekolabels._aws._connection import Connection
from rekolabels._aws._waiting import wait_until
from rekolabels._tags import TaggedResource
from rekolabels.descriptions import EntryError
from rekolabels.errors import DatasetFailed, ResourceNotFound, UnexpectedStatus, WaitTimedOut

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rekolabels.descriptions import DatasetDescription, DatasetKind, LabelCount
    from rekolabels.images import LabelledImage

__all__ = ["Dataset"]

_MAX_CHANGE = 5 * 2**20 - 1
"""Bytes of one change; the service asks for less than 5 MB."""

_BUSY = frozenset({"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"})
_READY = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})
_FAILED = frozenset({"CREATE_FAILED", "UPDATE_FAILED"})


@attrs.frozen
class Dataset(TaggedResource):
    """A training or test dataset: a handle that holds client and ARN, and asks the service for the rest."""

    _connection: Connection
    arn: str
    """ARN of the dataset."""

    def __repr__(self) -> str:
        return f"client.dataset({self.arn!r})"

    @property
    def kind(self) -> DatasetKind:
        """``train`` or ``test``; part of the ARN."""
        return parse_dataset_arn(self.arn)[1]

    def describe(self) -> DatasetDescription:
        """Return a new snapshot of status and counts (DescribeDataset).

        Raises:
            ResourceNotFound: The dataset no longer exists.
        """
        return self._connection.rekognition.describe_dataset(self.arn)

    def entries(
        self,
        *,
        labels: Sequence[str] | None = None,
        labelled: bool | None = None,
        has_errors: bool | None = None,
        source_contains: str | None = None,
    ) -> Iterator[LabelledImage]:
        """Yield the images, fetched page by page as they are asked for (ListDatasetEntries).

        Args:
            labels: Only images with at least one of these labels; up to 10.
            labelled: True for labelled images only, False for unlabelled ones only.
            has_errors: True for images whose line has an error only. False filters nothing.
            source_contains: Only images whose ``s3://`` URI holds this text.

        Raises:
            ResourceNotReady: The dataset is still being created.
        """
        from rekolabels.manifest import parse_line

        lines = self._connection.rekognition.list_dataset_entries(
            self.arn,
            labels=labels,
            labelled=labelled,
            has_errors=has_errors,
            source_contains=source_contains,
        )
        for line in lines:
            yield parse_line(line)

    def labels(self) -> Iterator[LabelCount]:
        """Yield the labels and how many images use them (ListDatasetLabels)."""
        return self._connection.rekognition.list_dataset_labels(self.arn)

    def update(self, images: Iterable[LabelledImage], *, timeout: float | None = None) -> list[EntryError]:
        """Add images, or replace the labels of images that are there, and wait (UpdateDatasetEntries).

        Local images are checked and uploaded as for a new dataset. The lines are sent in changes of less than
        5 MB, in order, each waited for. An image cannot be taken out of a dataset: the service has no
        operation for it. Broken off, run it again: a line that was sent is replaced by itself.

        Args:
            images: Labelled images, local or in S3; an image in S3 replaces the entry of the same URI.
            timeout: Seconds to wait for each change.

        Returns:
            What the service finds wrong with these images; empty when nothing is.

        Raises:
            InvalidImage: Images that the service would refuse; nothing was uploaded.
            ResourceInUse: The dataset is being created or updated.
            DatasetFailed: The service could not take a change; the earlier ones stay.
        """
        from rekolabels.datasets._uploads import check_images, is_remote, upload
        from rekolabels.manifest import format_line

        wanted = list(images)
        local = check_images(image for image in wanted if not is_remote(image))
        sent = [image for image in wanted if is_remote(image)]
        if local:
            bucket, prefix = self._connection.require_bucket(), self._connection.prefix
            upload(local, self._connection.s3, bucket, prefix)
            sent += [image.remote(bucket, prefix) for image in local]
        now = datetime.now(UTC)
        ready = functools.partial(self.wait_until_ready, timeout=timeout)
        with _progress.bar("updating the dataset", total=len(sent), unit="image") as bar:
            for change, count in _changes(format_line(image, created=now) for image in sent):
                self._connection.rekognition.update_dataset_entries(self.arn, change, settle=ready)
                ready()
                bar.update(count)
        return self._errors_of({image.source for image in sent})

    def _errors_of(self, sources: set[str]) -> list[EntryError]:
        if not sources or self.describe().error_entries == 0:
            return []
        return [
            EntryError(image.source, error.get("code", ""), error.get("message", ""))
            for image in self.entries(has_errors=True)
            if image.source in sources
            for error in _marks(image.attributes)
        ]

    def wait_until_ready(self, *, timeout: float | None = None) -> DatasetDescription:
        """Wait until the last operation on the dataset has ended.

        Args:
            timeout: Seconds; by default 26 hours.

        Raises:
            DatasetFailed: The dataset could not be created or updated; the service's message says why.
            UnexpectedStatus: It is being deleted, or gone.
            WaitTimedOut: The time is over; the service goes on.
        """

        def reached(found: DatasetDescription | None) -> bool:
            if found is None:
                raise UnexpectedStatus(
                    f"The {self.kind} dataset {self.arn} no longer exists.", arn=self.arn, status=None
                )
            if found.status in _FAILED:
                raise DatasetFailed(
                    f"The {self.kind} dataset ended as {found.status}: "
                    f"{found.status_message or 'the service gave no reason'} ({self.arn})",
                    arn=self.arn,
                    status=found.status,
                    status_message=found.status_message,
                )
            if found.status not in _BUSY | _READY:
                raise UnexpectedStatus(
                    f"The {self.kind} dataset cannot become ready, it is {found.status} ({self.arn}).",
                    arn=self.arn,
                    status=found.status,
                )
            return found.status in _READY

        ready = wait_until(
            self._describe_or_none,
            reached,
            policy=self._connection.retry,
            timeout=timeout,
            timed_out=self._timed_out,
        )
        assert ready is not None  # noqa: S101 -- reached() raises for None
        return ready

    def delete(self, *, wait: bool = True, timeout: float | None = None) -> None:
        """Delete the dataset (DeleteDataset); images and manifest stay in S3.

        Args:
            wait: Return when it is gone, rather than when the deletion has begun.
            timeout: Seconds to wait at most.

        Raises:
            ResourceInUse: It is being created or updated, or used by a training.
        """
        self._connection.rekognition.delete_dataset(self.arn)
        if wait:
            wait_until(
                self._describe_or_none,
                lambda found: found is None,
                policy=self._connection.retry,
                timeout=timeout,
                timed_out=self._timed_out,
            )

    def _describe_or_none(self) -> DatasetDescription | None:
        try:
            return self.describe()
        except ResourceNotFound:
            return None

    def _timed_out(self, last: DatasetDescription | None, waited: float) -> WaitTimedOut:
        status = last.status if last else None
        return WaitTimedOut(
            f"The {self.kind} dataset is still {status} after {waited:.0f} s; the service goes on. "
            f"Attach again with client.dataset({self.arn!r}).wait_until_ready().",
            arn=self.arn,
            status=status,
            waited=waited,
        )


def _changes(lines: Iterable[str]) -> Iterator[tuple[bytes, int]]:
    """Pack lines into changes that the service takes; yield each with the number of its lines."""
    pack: list[bytes] = []
    size = 0
    for line in lines:
        text = line.encode() + b"\n"
        if pack and size + len(text) > _MAX_CHANGE:
            yield b"".join(pack), len(pack)
            pack, size = [], 0
        pack.append(text)
        size += len(text)
    if pack:
        yield b"".join(pack), len(pack)


def _marks(entry: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    """Yield the errors that the service wrote into an entry, at its top or inside an attribute."""
    yield from entry.get("cl-errors", ())
    for value in entry.values():
        if isinstance(value, dict):
            yield from cast("dict[str, Any]", value).get("cl-errors", ())


def dataset_exists_message(project: str, kind: DatasetKind) -> str:
    """Say that a project has a dataset of this kind, and what to do about it."""
    word = "training" if kind == "train" else "test"
    return (
        f"The project {project!r} has a {word} dataset already, not made from these images: change it with "
        f"project.{kind}_dataset.update(images), or delete it first with project.{kind}_dataset.delete()."
    )
