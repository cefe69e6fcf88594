"""``Dataset``: the images that a project trains or tests with."""

from __future__ import annotations

import functools
import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import attrs

from rekolabels import _progress
from rekolabels._arguments import (
    check_callable,
    check_flag,
    check_items,
    check_limit,
    check_optional_text,
    check_seconds,
)
from rekolabels._aws._arns import arn_of, parse_dataset_arn
from rekolabels._aws._connection import Connection, made_by_client
from rekolabels._aws._tags import TaggedResource
from rekolabels._aws._waiting import wait_until
from rekolabels.descriptions import EntryError
from rekolabels.errors import (
    DatasetFailed,
    ResourceInUse,
    ResourceNotFound,
    UnexpectedStatus,
    WaitTimedOut,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rekolabels.descriptions import DatasetDescription, DatasetKind, LabelCount
    from rekolabels.images import Conversion, LabelledImage

__all__ = ["Dataset"]

_MAX_BATCH_BYTES = 5 * 2**20 - 1
"""Bytes of one UpdateDatasetEntries request; the service requires less than 5 MB."""

KIND_WORDS: Mapping[DatasetKind, str] = {"train": "training", "test": "test"}
"""Kinds of datasets, in words for messages."""
_BUSY = frozenset({"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"})
_READY = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})
_FAILED = frozenset({"CREATE_FAILED", "UPDATE_FAILED"})


@attrs.frozen
class Dataset(TaggedResource):
    """A training or test dataset; get one from a :class:`Project` or a :class:`Client`.

    A handle holds a connection and an ARN. Its methods call the service; :meth:`describe` returns a snapshot.
    """

    _connection: Connection = attrs.field(validator=made_by_client)
    arn: str = attrs.field(validator=arn_of(parse_dataset_arn))
    """ARN of the dataset."""

    def __repr__(self) -> str:
        return f"client.dataset({self.arn!r})"

    @property
    def kind(self) -> DatasetKind:
        """``train`` or ``test``, from the ARN."""
        return parse_dataset_arn(self.arn)[1]

    def describe(self) -> DatasetDescription:
        """Return a snapshot of status and counts (DescribeDataset).

        Raises:
            ResourceNotFound: The dataset does not exist.
        """
        return self._connection.rekognition.describe_dataset(self.arn)

    def entries(
        self,
        *,
        labels: Sequence[str] | None = None,
        labelled: bool | None = None,
        has_errors: bool | None = None,
        source_contains: str | None = None,
        limit: int | None = None,
    ) -> Iterator[LabelledImage]:
        """Yield the images; pages are fetched as needed (ListDatasetEntries).

        Args:
            labels: Only images with at least one of these labels; up to 10.
            labelled: True for labelled images only, False for unlabelled images only.
            has_errors: True for images with errors only. The service treats False like None.
            source_contains: Only images whose ``s3://`` URI contains this text.
            limit: Yield at most this many images.

        Raises:
            ResourceNotReady: The dataset is still being created.
        """
        from rekolabels.manifest import parse_line

        if labelled is not None:
            check_flag("labelled", labelled)
        if has_errors is not None:
            check_flag("has_errors", has_errors)
        lines = self._connection.rekognition.list_dataset_entries(
            self.arn,
            labels=None if labels is None else check_items("labels", labels, str, "a list of labels"),
            labelled=labelled,
            has_errors=has_errors,
            source_contains=check_optional_text("source_contains", source_contains),
        )
        return map(parse_line, itertools.islice(lines, check_limit("limit", limit)))

    def labels(self, *, limit: int | None = None) -> Iterator[LabelCount]:
        """Yield the labels with the number of images of each (ListDatasetLabels).

        Args:
            limit: Yield at most this many labels.
        """
        found = self._connection.rekognition.list_dataset_labels(self.arn)
        return itertools.islice(found, check_limit("limit", limit))

    def update(
        self,
        images: Iterable[LabelledImage],
        *,
        convert: bool = False,
        on_conversion: Callable[[Conversion], object] | None = None,
        wait: bool = True,
        timeout: float | None = None,
    ) -> list[EntryError]:
        """Add images or replace the labels of existing ones (UpdateDatasetEntries).

        Checks and uploads local images as for a new dataset. The manifest lines are sent in requests of less
        than 5 MB, one after another. Images cannot be removed from a dataset: the service has no operation
        for it. To resume after an interruption, run the same code again.

        Args:
            images: Labelled images, local or in S3. An image in S3 replaces the entry with the same URI.
            convert: Convert images that the service does not take, as for ``project.create_datasets``.
            on_conversion: Called with each conversion; by default, conversions are logged.
            wait: Wait for the last request too. The others are waited for in any case, because the service
                processes one at a time.
            timeout: Seconds to wait for each request to be processed.

        Returns:
            The errors that the service found in these images; empty without ``wait``.

        Raises:
            InvalidInput: The images are a path, labels and boxes are mixed, or a picture has different
                labels. Nothing was uploaded.
            InvalidImage: The service would reject some of the images, which are in ``error.sources``. Nothing
                was uploaded.
            ResourceInUse: The dataset is being created or updated.
            DatasetFailed: The service could not apply a request; earlier ones remain applied.
        """
        from rekolabels.datasets._image_checks import check_images, report_conversions
        from rekolabels.datasets._uploads import image_list, remote_buckets, upload
        from rekolabels.manifest import format_line

        check_conversion(convert=convert, on_conversion=on_conversion)
        check_flag("wait", wait)
        check_seconds("timeout", timeout)
        checked = check_images(image_list(images), "Cannot update the dataset", convert=convert)
        report_conversions(checked, on_conversion)
        local = list(checked.local.values())
        sent = [image for image in checked.images if image.source not in checked.local]
        self._connection.check_buckets(*remote_buckets(sent))
        if local:
            bucket, prefix = self._connection.require_bucket(), self._connection.prefix
            upload(local, self._connection.s3, bucket, prefix)
            sent += [image.remote(bucket, prefix) for image in local]
        now = datetime.now(UTC)
        ready = functools.partial(self.wait_until_ready, timeout=timeout)
        pending = False
        with _progress.bar("Updating the dataset", total=len(sent), unit="image") as bar:
            for batch, count in _batches(format_line(image, created=now) for image in sent):
                if pending:
                    ready()
                self._connection.rekognition.update_dataset_entries(self.arn, batch, wait_until_settled=ready)
                pending = True
                bar.update(count)
            if pending and wait:
                ready()
        return self._errors_of({image.source for image in sent}) if wait else []

    def _errors_of(self, sources: set[str]) -> list[EntryError]:
        if not sources or self.describe().error_entries == 0:
            return []
        return [
            EntryError(image.source, error.get("code", ""), error.get("message", ""))
            for image in self.entries(has_errors=True)
            if image.source in sources
            for error in _entry_errors(image.attributes)
        ]

    def wait_until_ready(self, *, timeout: float | None = None) -> DatasetDescription:
        """Wait until the last operation on the dataset has succeeded.

        Args:
            timeout: Seconds; by default 72 hours.

        Raises:
            DatasetFailed: The dataset could not be created or updated; the error has the service's reason.
            UnexpectedStatus: The dataset is being deleted or does not exist.
            WaitTimedOut: The operation did not end within ``timeout``; the service continues.
        """

        def reached(found: DatasetDescription | None) -> bool:
            if found is None:
                raise UnexpectedStatus(
                    f"The {KIND_WORDS[self.kind]} dataset no longer exists: {self.arn}.",
                    arn=self.arn,
                    status=None,
                )
            if found.status in _FAILED:
                raise DatasetFailed(
                    f"The {KIND_WORDS[self.kind]} dataset has status {found.status}: "
                    f"{found.status_message or 'the service gave no reason.'} [{self.arn}]",
                    arn=self.arn,
                    status=found.status,
                    status_message=found.status_message,
                )
            if found.status not in _BUSY | _READY:
                raise UnexpectedStatus(
                    f"The {KIND_WORDS[self.kind]} dataset cannot become ready from status {found.status}: "
                    f"{self.arn}.",
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
        """Delete the dataset (DeleteDataset). Images and manifest remain in S3.

        Args:
            wait: Wait until the dataset is gone.
            timeout: Seconds to wait; by default 72 hours.

        Raises:
            ResourceInUse: The dataset is being created or updated, or a training uses it.
        """
        check_flag("wait", wait)
        check_seconds("timeout", timeout)
        try:
            self._connection.rekognition.delete_dataset(self.arn)
        except ResourceInUse:
            found = self._describe_or_none()
            if found is not None and found.status != "DELETE_IN_PROGRESS":
                raise
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
            f"The {KIND_WORDS[self.kind]} dataset is still {status} after {waited:.0f} s; the service "
            f"continues. To go on waiting: client.dataset({self.arn!r}).wait_until_ready().",
            arn=self.arn,
            status=status,
            waited=waited,
        )


def _batches(lines: Iterable[str]) -> Iterator[tuple[bytes, int]]:
    """Yield the bodies of UpdateDatasetEntries requests, each with its number of lines."""
    batch: list[bytes] = []
    size = 0
    for line in lines:
        text = line.encode() + b"\n"
        if batch and size + len(text) > _MAX_BATCH_BYTES:
            yield b"".join(batch), len(batch)
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield b"".join(batch), len(batch)


def _entry_errors(entry: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    """Yield the errors that the service wrote into an entry, at the top level or in an attribute."""
    yield from entry.get("cl-errors", ())
    for value in entry.values():
        if isinstance(value, dict):
            yield from cast("dict[str, Any]", value).get("cl-errors", ())


def check_conversion(*, convert: object, on_conversion: object) -> None:
    """Check the options for images that are converted."""
    check_flag("convert", convert)
    if on_conversion is not None:
        check_callable("on_conversion", on_conversion, "a function that accepts a Conversion, or None")


def dataset_exists_message(project: str, kind: DatasetKind) -> str:
    """Return the message for a project that already has a dataset of this kind."""
    return (
        f"Project {project!r} already has a {KIND_WORDS[kind]} dataset with different images, labels "
        f"or a different split. Change it with project.{kind}_dataset.update(images), or delete it first "
        f"with project.{kind}_dataset.delete()."
    )
