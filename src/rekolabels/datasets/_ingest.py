"""Labelled images into datasets: checked, split, uploaded, listed in a manifest, and created once."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import attrs

from rekolabels._aws._arns import parse_project_arn
from rekolabels.datasets._dataset import Dataset, dataset_exists_message
from rekolabels.datasets._uploads import LocalImage, check_images, is_remote, upload
from rekolabels.descriptions import DatasetKind, DatasetSummary, S3Location
from rekolabels.errors import CannotSplit, InvalidInput, InvalidManifest, ResourceAlreadyExists
from rekolabels.images import LabelledImage
from rekolabels.manifest import check_manifest, write_manifest
from rekolabels.splits import split

if TYPE_CHECKING:
    from rekolabels._aws._connection import Connection

__all__ = ["Intake"]

_FINGERPRINT = "rekolabels:images"
"""The tag that says which images a dataset was made from: a run that was broken off finds it again by it."""

_SIDES = ("train", "test")

_log = logging.getLogger("rekolabels")


@attrs.frozen
class Intake:
    """Images on the way to a dataset: local ones are checked, all are known by their content."""

    images: tuple[LabelledImage, ...]
    local: Mapping[str, LocalImage]
    """By path."""

    @classmethod
    def of(cls, images: Iterable[LabelledImage]) -> Intake:
        """Check images.

        Raises:
            InvalidInput: There are none, or the same picture is given twice with different labels.
            InvalidImage: The service would refuse some of them.
        """
        wanted = list(images)
        if not wanted:
            raise InvalidInput("There are no images to make a dataset from.")
        local = check_images(image for image in wanted if not is_remote(image))
        remote = [image for image in wanted if is_remote(image)]
        return cls(
            (*remote, *(checked.image for checked in local)),
            {checked.image.source: checked for checked in local},
        )

    def split(
        self,
        *,
        test: float,
        seed: int,
        group_by: Callable[[LabelledImage], Hashable] | None,
        near_duplicates: bool,
        allow_rare: bool,
    ) -> dict[DatasetKind, Sequence[LabelledImage]]:
        """Divide the images into training and test.

        Raises:
            CannotSplit: Fewer than two labels, or a label with too few images.
        """
        _at_least_two_labels(self.images)
        parts = split(
            self.images,
            test=test,
            seed=seed,
            group_by=group_by or self._content,
            near_duplicates=near_duplicates,
            allow_rare=allow_rare,
        )
        _log.info("%s", parts.balance)
        return {"train": parts.train, "test": parts.test}

    def create(
        self,
        connection: Connection,
        project_arn: str,
        existing: Iterable[DatasetSummary],
        parts: Mapping[DatasetKind, Sequence[LabelledImage]],
        *,
        tags: Mapping[str, str] | None,
    ) -> dict[DatasetKind, Dataset]:
        """Create datasets from images, or find those that a run that was broken off has made of the same."""
        project_name = parse_project_arn(project_arn)
        fingerprints: dict[DatasetKind, str] = {
            kind: self._fingerprint(images) for kind, images in parts.items()
        }
        made = _made_before(connection, project_name, existing, fingerprints)
        missing: dict[DatasetKind, Sequence[LabelledImage]] = {
            kind: images for kind, images in parts.items() if kind not in made
        }
        if not missing:
            return made
        bucket, prefix = connection.require_bucket(), connection.prefix
        connection.s3.check_bucket(bucket, connection.region_name)
        manifests: dict[DatasetKind, bytes] = {
            kind: self._manifest(images, bucket, prefix) for kind, images in missing.items()
        }
        _check(manifests)
        wanted = [
            self.local[i.source] for images in missing.values() for i in images if i.source in self.local
        ]
        upload(wanted, connection.s3, bucket, prefix)
        for kind, manifest in manifests.items():
            name = f"{kind}-{fingerprints[kind][:16]}.manifest"
            place = S3Location(bucket, f"{prefix}{project_name}/manifests/{name}")
            connection.s3.put(place, manifest, content_type="application/x-ndjson")
            try:
                arn = connection.rekognition.create_dataset(
                    project_arn, kind, manifest=place, tags={**(tags or {}), _FINGERPRINT: fingerprints[kind]}
                )
            except ResourceAlreadyExists as error:
                raise error.explained(dataset_exists_message(project_name, kind)) from error
            made[kind] = Dataset(connection, arn)
        return made

    def _manifest(self, images: Iterable[LabelledImage], bucket: str, prefix: str) -> bytes:
        """Write the manifest of images, local ones as they will lie in S3."""
        body = io.BytesIO()
        remote = (
            self.local[image.source].remote(bucket, prefix) if image.source in self.local else image
            for image in images
        )
        write_manifest(remote, body, created=datetime.now(UTC))
        return body.getvalue()

    def _fingerprint(self, images: Iterable[LabelledImage]) -> str:
        """SHA-256 of what a dataset of these images holds, whatever their order."""
        lines = sorted(repr((self._place(i), i.labels, i.boxes)) for i in images)
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()

    def _content(self, image: LabelledImage) -> str:
        """Name the content of an image, so that copies of a picture can be kept together."""
        local = self.local.get(image.source)
        return local.digest if local else image.source

    def _place(self, image: LabelledImage) -> str:
        """Where the image lies in S3, below the prefix of the client."""
        local = self.local.get(image.source)
        return local.key("") if local else image.source


def _check(manifests: Mapping[DatasetKind, bytes]) -> None:
    """Find before the upload what the service would find after it.

    Raises:
        InvalidManifest: The service could not train with these images.
    """
    if len(manifests) == len(_SIDES):
        report = check_manifest(manifests["train"], testing=manifests["test"])
    else:
        report = check_manifest(*manifests.values(), stage="dataset")
    if not report.ok:
        raise InvalidManifest(f"The service would refuse these images; nothing was uploaded.\n{report}")
    if any(issue.level != "ADVICE" for issue in report):
        _log.warning("%s", report)


def _made_before(
    connection: Connection,
    project_name: str,
    existing: Iterable[DatasetSummary],
    fingerprints: Mapping[DatasetKind, str],
) -> dict[DatasetKind, Dataset]:
    """Return the datasets that exist and were made from these images; clear away what failed.

    Raises:
        ResourceAlreadyExists: A dataset exists that was made otherwise.
    """
    made: dict[DatasetKind, Dataset] = {}
    for found in existing:
        if found.kind not in fingerprints:
            continue
        dataset = Dataset(connection, found.arn)
        if dataset.tags.get(_FINGERPRINT) != fingerprints[found.kind]:
            raise ResourceAlreadyExists(
                dataset_exists_message(project_name, found.kind),
                operation="CreateDataset",
                code="ResourceAlreadyExistsException",
            )
        if _is_usable(found):
            _log.info("the %s dataset of %s exists, made from the same images", found.kind, project_name)
            made[found.kind] = dataset
        else:
            dataset.delete()
    return made


def _is_usable(found: DatasetSummary) -> bool:
    return found.status not in {"CREATE_FAILED", "DELETE_IN_PROGRESS"}


def _at_least_two_labels(images: Sequence[LabelledImage]) -> None:
    labels = {label for image in images for label in image.labels}
    if any(image.boxes for image in images) or len(labels) > 1:
        return
    only = f"only the label {next(iter(labels))!r}" if labels else "no labels"
    raise CannotSplit(
        f"The images have {only}, but a classification model tells at least two labels apart: add images of "
        "another label, for example of what is none of it."
    )
