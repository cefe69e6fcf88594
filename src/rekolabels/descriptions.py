"""Frozen snapshots of what AWS said about a resource.

A snapshot never changes: ask the handle's ``describe()`` for a new one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import attrs

from rekolabels._display import draw_detections
from rekolabels.errors import InvalidInput

__all__ = [
    "Box",
    "DatasetDescription",
    "DatasetKind",
    "DatasetSummary",
    "Detection",
    "EntryError",
    "LabelCount",
    "ModelDescription",
    "ProjectDescription",
    "ProjectPolicy",
    "S3Location",
    "UnitsInService",
]

DatasetKind = Literal["train", "test"]
"""A project has at most one dataset of each kind."""


@attrs.frozen
class S3Location:
    """An object in S3."""

    bucket: str
    """Name of the bucket."""
    key: str
    """Key of the object."""

    @classmethod
    def parse(cls, uri: str) -> S3Location:
        """Read ``s3://bucket/key``; the key may be empty, where a bucket or prefix is meant.

        Raises:
            InvalidInput: It is no such URI.

        >>> S3Location.parse("s3://puppies/train/rex.jpg")
        S3Location(bucket='puppies', key='train/rex.jpg')
        """
        scheme, separator, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme.lower() != "s3" or not separator or not bucket:
            raise InvalidInput(f"{uri!r} is no S3 location: expected s3://bucket/key")
        return cls(bucket, key)

    @property
    def uri(self) -> str:
        """The location as ``s3://bucket/key``."""
        return f"s3://{self.bucket}/{self.key}"

    def __str__(self) -> str:
        return self.uri


@attrs.frozen
class DatasetSummary:
    """A dataset as its project lists it (``DatasetMetadata`` of DescribeProjects)."""

    arn: str
    """ARN of the dataset."""
    kind: DatasetKind
    """``train`` or ``test``."""
    status: str
    """Status of the last operation, such as ``CREATE_COMPLETE``."""
    status_message: str
    """The service's text about the last operation; may be empty."""
    created_at: datetime | None
    """When it was created, UTC."""


@attrs.frozen
class ProjectDescription:
    """A project (``ProjectDescription`` of DescribeProjects)."""

    arn: str
    """ARN of the project."""
    name: str
    """Its name, unique in the account and Region; part of the ARN."""
    status: str
    """``CREATING``, ``CREATED`` or ``DELETING``."""
    created_at: datetime | None
    """When it was created, UTC."""
    datasets: tuple[DatasetSummary, ...] = ()
    """At most one training and one test dataset."""
    feature: str = "CUSTOM_LABELS"
    """``CUSTOM_LABELS`` or ``CONTENT_MODERATION``."""
    auto_update: str | None = None
    """``ENABLED`` or ``DISABLED``; adapters only."""


@attrs.frozen
class DatasetDescription:
    """A dataset (``DatasetDescription`` of DescribeDataset)."""

    arn: str
    """ARN of the dataset."""
    status: str
    """Status of the *last operation*: after a failed update the earlier content is still usable."""
    status_message: str
    """On failure the reason; may be empty."""
    status_code: str | None
    """``SUCCESS``, ``CLIENT_ERROR`` (mend the input) or ``SERVICE_ERROR`` (try again)."""
    created_at: datetime | None
    """When it was created, UTC."""
    updated_at: datetime | None
    """When it was last changed, UTC."""
    total_entries: int
    """Images in the dataset."""
    labelled_entries: int
    """Images with at least one label."""
    error_entries: int
    """Images whose line has an error."""
    total_labels: int
    """Labels of the dataset."""


@attrs.frozen
class LabelCount:
    """A label of a dataset (``DatasetLabelDescription`` of ListDatasetLabels)."""

    label: str
    """Name of the label."""
    images: int
    """Images that use it."""
    images_with_boxes: int = 0
    """Images (not boxes) that have it on a bounding box."""


@attrs.frozen
class EntryError:
    """A mistake that the service found in an image of a dataset (``cl-errors`` of ListDatasetEntries)."""

    source: str
    """The image, ``s3://bucket/key``."""
    code: str
    """The service's code, such as ``ERROR_INVALID_BOUNDING_BOX``."""
    message: str
    """The service's text."""


@attrs.frozen
class ModelDescription:
    """A model version (``ProjectVersionDescription`` of DescribeProjectVersions)."""

    arn: str
    """ARN of the model version."""
    version_name: str
    """Its name, unique in the project; part of the ARN."""
    status: str
    """Such as ``TRAINING_IN_PROGRESS``, ``TRAINING_COMPLETED``, ``RUNNING``, ``STOPPED``."""
    status_message: str
    """The service's text; on failure the reason."""
    created_at: datetime | None
    """When the training was started, UTC."""
    training_ended_at: datetime | None
    """When the training ended, UTC."""
    billable_training_seconds: int | None
    """Billed seconds of a successful training; may exceed the time on the clock."""
    f1: float | None
    """Aggregated F1 score, 0 to 1; after a successful training only."""
    evaluation_summary: S3Location | None
    """``EvaluationResultSummary-<project>-<version>.json``."""
    manifest_summary: S3Location | None
    """``ManifestSummary-<project>-<version>.json``: what the service counted in the training data."""
    training_snapshot: S3Location | None
    """``TrainingGroundTruth-…``: the lines that were used for training."""
    testing_snapshot: S3Location | None
    """``TestingGroundTruth-…``: the test lines with the model's predictions."""
    training_validation: S3Location | None
    """``TrainingManifestWithValidation-…``: the training lines with the service's errors and warnings."""
    testing_validation: S3Location | None
    """``TestingManifestWithValidation-…``: the same for the test lines."""
    output: S3Location | None
    """Bucket and prefix that the result files were asked for in."""
    min_inference_units: int | None
    """Inference units that the model was started with; None before the first start."""
    max_inference_units: int | None
    """Upper bound of auto-scaling; None without it."""
    description: str | None = None
    """The caller's text about this version."""
    source_arn: str | None = None
    """For a copied version, the ARN of the original."""
    kms_key_id: str | None = None
    """The key that encrypts copies and results."""


@attrs.frozen
class ProjectPolicy:
    """A policy that says who may copy model versions out of a project (``ProjectPolicy``)."""

    name: str
    """Its name, unique in the project."""
    document: str
    """The policy, JSON text."""
    revision_id: str
    """Changes with each change of the document."""
    created_at: datetime | None
    """When it was attached, UTC."""
    updated_at: datetime | None
    """When it was last changed, UTC."""


@attrs.frozen
class Box:
    """A box in shares of the image's width and height; the origin is the upper left corner.

    Values may be slightly below 0 or above 1 where the object is cut by the frame.
    """

    left: float
    """Left edge, as a share of the width."""
    top: float
    """Upper edge, as a share of the height."""
    width: float
    """Width, as a share of the width."""
    height: float
    """Height, as a share of the height."""


@attrs.frozen
class Detection:
    """Something that a model found in an image (``CustomLabel`` of DetectCustomLabels)."""

    label: str
    """What was found."""
    confidence: float
    """0 to 100, in per cent."""
    box: Box | None = None
    """Where it was found; None for models with image-level labels."""

    def draw(self, image: Any) -> Any:
        """Draw it into an upright copy of a Pillow image, and return the copy.

        ``rekolabels.inference.draw`` draws all detections of an image, and takes other images too.

        Raises:
            MissingExtra: Pillow is not installed.
        """
        return draw_detections(image, [self])


@attrs.frozen
class UnitsInService:
    """How many inference units a model had in service for a time, as CloudWatch has measured it."""

    since: datetime
    """Begin, UTC."""
    until: datetime
    """End, UTC."""
    units: float
    """The average of ``InServiceInferenceUnits``; 0 or more."""

    @property
    def unit_seconds(self) -> float:
        """Units times seconds."""
        return self.units * (self.until - self.since).total_seconds()
