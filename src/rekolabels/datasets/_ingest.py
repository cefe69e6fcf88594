"""Datasets from labelled images: check, split, upload, write a manifest, and create each dataset once."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import logging
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from inspect import signature
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels._aws._arns import parse_project_arn
from rekolabels.datasets._dataset import KIND_WORDS, Dataset, dataset_exists_message
from rekolabels.datasets._image_checks import check_images, report_conversions
from rekolabels.datasets._uploads import LocalImage, image_list, remote_buckets, upload
from rekolabels.descriptions import DatasetKind, DatasetSummary, S3Location
from rekolabels.errors import (
    CannotSplit,
    InvalidInput,
    InvalidManifest,
    ResourceAlreadyExists,
    ResourceNotFound,
)
from rekolabels.images import Conversion, LabelledImage
from rekolabels.manifest import CheckedManifest, check_manifest, write_manifest
from rekolabels.splits import Split, split

if TYPE_CHECKING:
    from rekolabels._aws._connection import Connection
    from rekolabels.manifest import Issue
    from rekolabels.manifest.report import Stage

__all__ = ["PreparedImages", "prepare_parts"]

_FINGERPRINT_TAG = "rekolabels:images"
"""Tag with the fingerprint of the images of a dataset, by which an interrupted run finds the dataset
again."""

_TOO_RARE = "ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_AUTOSPLIT"
"""The split reports it better, and can allow it."""

_UNUSABLE = frozenset({"CREATE_FAILED", "DELETE_IN_PROGRESS"})
"""Statuses of a dataset without content. An interrupted run of the embedded service leaves the first."""

_log = logging.getLogger("rekolabels")


@attrs.frozen
class PreparedImages:
    """Images for datasets; the local ones are checked, and known by the hash of their content."""

    images: tuple[LabelledImage, ...]
    local: Mapping[str, LocalImage]
    """The checked local images by path."""

    @classmethod
    def prepare(
        cls,
        images: Iterable[LabelledImage],
        failure: str,
        *,
        stage: Stage,
        convert: bool = False,
        on_conversion: Callable[[Conversion], object] | None = None,
    ) -> PreparedImages:
        """Check images.

        Args:
            images: The images.
            failure: The beginning of error messages, such as ``"Cannot create the datasets"``.
            stage: What the images are for, as for ``check_manifest``.
            convert: Whether to convert images that the service does not take.
            on_conversion: Called with each conversion; by default, conversions are logged.

        Raises:
            InvalidInput: There are no images, they are a path, labels and boxes are mixed, or a picture has
                different labels.
            InvalidImage: The service would reject some of the images.
        """
        wanted = image_list(images)
        if not wanted:
            raise InvalidInput(
                "Cannot create a dataset: there are no images. For an empty dataset, use "
                "`project.create_dataset('train')`."
            )
        checked = check_images(
            wanted, failure, convert=convert, check_rest=functools.partial(_check_together, stage=stage)
        )
        report_conversions(checked, on_conversion)
        return cls(checked.images, checked.local)

    def split(
        self,
        *,
        test: float,
        seed: int,
        group_by: Callable[[LabelledImage], Hashable] | None,
        near_duplicates: bool,
        allow_rare: bool,
    ) -> dict[DatasetKind, Sequence[LabelledImage]]:
        """Split the images into training and test images.

        Raises:
            CannotSplit: There are fewer than two labels, or a label has too few images.
            InvalidManifest: The service could not train with these images.
        """
        _require_two_labels(self.images)
        parts = split(
            _usable_images(self.images),
            test=test,
            seed=seed,
            group_by=group_by or self._content_key,
            near_duplicates=near_duplicates,
            allow_rare=allow_rare,
        )
        _log.info("%s", parts.balance)
        return {"train": parts.train, "test": parts.test}

    def divide(self, parts: Split) -> dict[DatasetKind, Sequence[LabelledImage]]:
        """Return the images of each part of a split.

        Raises:
            InvalidInput: An image is in both parts.
            CannotSplit: There are fewer than two labels.
        """
        _require_two_labels(self.images)
        train, test = ({image.source for image in part} for part in (parts.train, parts.test))
        both = sorted(train & test)
        if both:
            more = f" and {len(both) - 1} more images are" if len(both) > 1 else " is"
            raise InvalidInput(f"{both[0]}{more} in both parts of the split. Leave them out of one part.")
        return {
            "train": [image for image in self.images if image.source in train],
            "test": [image for image in self.images if image.source in test],
        }

    def create(
        self,
        connection: Connection,
        project_arn: str,
        existing: Iterable[DatasetSummary],
        parts: Mapping[DatasetKind, Sequence[LabelledImage]],
        *,
        tags: Mapping[str, str] | None,
        replace: bool = False,
    ) -> dict[DatasetKind, Dataset]:
        """Create datasets, or return those that an earlier run has created from the same images.

        Args:
            connection: Connection with a bucket.
            project_arn: The project.
            existing: The datasets that the project has now.
            parts: The images of each dataset.
            tags: Tags of the new datasets.
            replace: Delete existing datasets that were made from other images.

        Raises:
            InvalidManifest: The service could not train with these images.
            ResourceAlreadyExists: A dataset exists that was made from other images.
        """
        project_name = parse_project_arn(project_arn)
        fingerprints: dict[DatasetKind, str] = {
            kind: self._fingerprint(images) for kind, images in parts.items()
        }
        datasets: dict[DatasetKind, Dataset] = {}
        outdated: list[Dataset] = []
        for found in existing:
            if found.kind not in parts:
                continue
            dataset = Dataset(connection, found.arn)
            same = dataset.tags.get(_FINGERPRINT_TAG) == fingerprints[found.kind]
            if found.status in _UNUSABLE or (replace and not same):
                outdated.append(dataset)
            elif same:
                _log.info("Project %r already has the %s dataset.", project_name, found.kind)
                datasets[found.kind] = dataset
            else:
                raise ResourceAlreadyExists(
                    _differs_message(project_name, dataset, parts),
                    operation="CreateDataset",
                    code="ResourceAlreadyExistsException",
                )
        missing: dict[DatasetKind, Sequence[LabelledImage]] = {
            kind: images for kind, images in parts.items() if kind not in datasets
        }
        if not missing:
            return datasets
        bucket, prefix = connection.require_bucket(), connection.prefix
        manifests: dict[DatasetKind, bytes] = {
            kind: self._manifest(images, bucket, prefix) for kind, images in missing.items()
        }
        _check_manifests(manifests)
        connection.check_buckets(*remote_buckets(image for part in missing.values() for image in part))
        connection.ensure_bucket()
        local = [
            self.local[image.source]
            for images in missing.values()
            for image in images
            if image.source in self.local
        ]
        upload(local, connection.s3, bucket, prefix)
        for dataset in outdated:  # only now: what fails above leaves the old datasets as they are
            with contextlib.suppress(ResourceNotFound):  # an earlier deletion may have ended by now
                dataset.delete()
        for kind, manifest in manifests.items():
            name = f"{kind}-{fingerprints[kind][:16]}.manifest"
            location = S3Location(bucket, f"{prefix}{project_name}/manifests/{name}")
            connection.s3.put(location, manifest, content_type="application/x-ndjson")
            datasets[kind] = _create(connection, project_arn, kind, location, fingerprints[kind], tags=tags)
        return datasets

    def _manifest(self, images: Iterable[LabelledImage], bucket: str, prefix: str) -> bytes:
        """Return the manifest of images, in which local images have their future S3 URIs."""
        body = io.BytesIO()
        remote = (
            self.local[image.source].remote(bucket, prefix) if image.source in self.local else image
            for image in images
        )
        write_manifest(remote, body, created=datetime.now(UTC))
        return body.getvalue()

    def _fingerprint(self, images: Iterable[LabelledImage]) -> str:
        """Return a SHA-256 of the images and labels of a dataset that does not depend on their order."""
        lines = sorted(repr((self._key(image), image.labels, image.boxes)) for image in images)
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()

    def _content_key(self, image: LabelledImage) -> str:
        """Return a key that is the same for all files with the same content."""
        local = self.local.get(image.source)
        return local.digest if local else image.source

    def _key(self, image: LabelledImage) -> str:
        """Return the key of a local image below the client's prefix, or the URI of a remote one."""
        local = self.local.get(image.source)
        return local.key("") if local else image.source


def prepare_parts(
    images: Iterable[LabelledImage] | Split,
    *,
    convert: bool,
    on_conversion: Callable[[Conversion], object] | None,
    **options: Any,
) -> tuple[PreparedImages, dict[DatasetKind, Sequence[LabelledImage]]]:
    """Prepare the images of both datasets.

    Args:
        images: The images, or a split of them.
        convert: Whether to convert images that the service does not take.
        on_conversion: Called with each conversion; by default, conversions are logged.
        **options: Options of :meth:`PreparedImages.split`; their defaults for images that are split already.

    Returns:
        All images, and those of each dataset.

    Raises:
        InvalidInput: An option is given with a split.
    """
    prepare = functools.partial(
        PreparedImages.prepare,
        failure="Cannot create the datasets",
        stage="training",
        convert=convert,
        on_conversion=on_conversion,
    )
    if not isinstance(images, Split):
        prepared = prepare(images)
        return prepared, prepared.split(**options)
    for name, value in options.items():
        if value != signature(split).parameters[name].default:
            raise InvalidInput(
                f"{name} is {value!r}, but the images are split already. Remove it, or give it to "
                "`rekolabels.splits.split(images, ...)`."
            )
    prepared = prepare([*images.train, *images.test])
    return prepared, prepared.divide(images)


def _check_together(images: Sequence[LabelledImage], *, stage: Stage) -> list[str]:
    """Return why images without other problems could not become datasets; each is a sentence or two."""
    if not images:
        return []
    found = [issue for issue in check_manifest(images, stage=stage) if _is_fatal(issue)]
    return [
        f"Of the other {len(images):,} images: {issue.message} {issue.detail} {issue.fix}" for issue in found
    ]


def _is_fatal(issue: Issue) -> bool:
    """Return whether an issue prevents the training, other than by what was checked before."""
    return issue.level in {"FILE", "CONTENT"} and issue.code != "IMAGES_REFUSED"


def _usable_images(images: Sequence[LabelledImage]) -> list[LabelledImage]:
    """Return the images that a training can use, and those without labels.

    The others are left out before the split, so that it cannot gather them in one of the datasets.

    Raises:
        InvalidManifest: The service could not train with the images.
    """
    checked = CheckedManifest(images)
    usable = {image.source for image in checked.images()}
    report = checked.report()
    fatal = [issue for issue in report if _is_fatal(issue) and issue.code != _TOO_RARE]
    if fatal:
        problems = "\n".join(f"{issue.message} {issue.detail} {issue.fix}" for issue in fatal)
        raise InvalidManifest(f"The service would reject these images. Nothing was uploaded. {problems}")
    kept: list[LabelledImage] = []
    for image in images:
        if image.source in usable:
            usable.discard(image.source)  # the service uses the first line of an image
            kept.append(image)
        elif not (image.labels or image.boxes):
            kept.append(image)
    if len(kept) < len(images):
        first = next((issue for issue in report if issue.level == "LINE"), report)
        _log.warning(
            "Leaving out %d of %d images, because the service would not use them. First: %s "
            "`check_manifest(images)` lists all.",
            len(images) - len(kept),
            len(images),
            first,
        )
    return kept


def _check_manifests(manifests: Mapping[DatasetKind, bytes]) -> None:
    """Check the manifests by the rules of the service before anything is uploaded.

    Raises:
        InvalidManifest: The service could not train with these images.
    """
    if len(manifests) > 1:
        report = check_manifest(manifests["train"], testing=manifests["test"])
    else:
        report = check_manifest(*manifests.values(), stage="dataset")
    if not report.ok:
        raise InvalidManifest(
            f"The service would reject these images. Nothing was uploaded. Fix these problems:\n{report}"
        )
    if any(issue.level != "ADVICE" for issue in report):
        _log.warning("%s", report)


def _create(
    connection: Connection,
    project_arn: str,
    kind: DatasetKind,
    manifest: S3Location,
    fingerprint: str,
    *,
    tags: Mapping[str, str] | None,
) -> Dataset:
    try:
        arn = connection.rekognition.create_dataset(
            project_arn, kind, manifest=manifest, tags={**(tags or {}), _FINGERPRINT_TAG: fingerprint}
        )
    except ResourceAlreadyExists as error:
        created = _created_elsewhere(connection, project_arn, kind, fingerprint)
        if created is None:
            message = dataset_exists_message(parse_project_arn(project_arn), kind)
            raise error.explained(message) from error
        return created
    return Dataset(connection, arn)


def _created_elsewhere(
    connection: Connection, project_arn: str, kind: DatasetKind, fingerprint: str
) -> Dataset | None:
    """Return the dataset that another process has just created from the same images; None for others."""
    for project in connection.rekognition.describe_projects([parse_project_arn(project_arn)]):
        for found in project.datasets:
            dataset = Dataset(connection, found.arn)
            if found.kind == kind and dataset.tags.get(_FINGERPRINT_TAG) == fingerprint:
                _log.info("Another process has created the %s dataset of project %r.", kind, project.name)
                return dataset
    return None


def _differs_message(
    project_name: str, dataset: Dataset, parts: Mapping[DatasetKind, Sequence[LabelledImage]]
) -> str:
    """Return the message for a dataset that was made from other images, labels or another split."""
    kind = dataset.kind
    stored, given = dataset.describe().total_entries, len(parts[kind])
    counts = f"it has {stored} images, and the new one would have {given}" if stored != given else ""
    fix = "`project.create_datasets(images, replace=True)`"
    if len(parts) == 1:
        fix = f"`project.{kind}_dataset.delete()`, and this call again"
    return (
        f"Project {project_name!r} already has a {KIND_WORDS[kind]} dataset, which was made from other "
        f"images or labels, or by another split{f' ({counts})' if counts else ''}. To replace it: {fix}. To "
        f"add images to it: `project.{kind}_dataset.update(images)`."
    )


def _require_two_labels(images: Sequence[LabelledImage]) -> None:
    labels = {label for image in images for label in image.labels}
    if any(image.boxes for image in images) or len(labels) > 1:
        return
    found = f"only the label {next(iter(labels))!r}" if labels else "no labels"
    raise CannotSplit(
        f"The images have {found}, but a classification model needs at least two labels. Add images with "
        "another label, for example a 'background' label."
    )
