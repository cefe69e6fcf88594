"""Snapshots of AWS resources, as frozen values.

A snapshot does not change; ``describe()`` of the handle returns a new one.
"""

from __future__ import annotations

from datetime import datetime
from types import NoneType
from typing import Any, Literal

import attrs

from rekolabels._arguments import check_instance, check_number, check_text, invalid
from rekolabels._display import counted, draw_detections
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

    def __attrs_post_init__(self) -> None:
        check_text("bucket", self.bucket, "the name of a bucket")
        check_instance("key", self.key, str, "the key of an object")

    @classmethod
    def parse(cls, uri: str) -> S3Location:
        """Parse ``s3://bucket/key``; the key may be empty, for a bucket.

        Raises:
            InvalidInput: The text is not such a URI.

        >>> S3Location.parse("s3://puppies/train/rex.jpg")
        S3Location(bucket='puppies', key='train/rex.jpg')
        """
        check_instance("uri", uri, str, "s3://bucket/key")
        scheme, separator, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme.lower() != "s3" or not separator or not bucket:
            raise InvalidInput(f"Invalid S3 location {uri!r}: expected s3://bucket/key.")
        return cls(bucket, key)

    @property
    def uri(self) -> str:
        """The location as ``s3://bucket/key``."""
        return f"s3://{self.bucket}/{self.key}"

    def __str__(self) -> str:
        return self.uri


@attrs.frozen
class DatasetSummary:
    """A dataset in the description of its project (``DatasetMetadata`` of DescribeProjects)."""

    arn: str = attrs.field(repr=False)
    """ARN of the dataset."""
    kind: DatasetKind
    """``train`` or ``test``."""
    status: str
    """Status of the last operation, such as ``CREATE_COMPLETE``."""
    status_message: str
    """The service's message about the last operation; may be empty."""
    created_at: datetime | None = attrs.field(repr=str)
    """Time of creation, UTC."""


@attrs.frozen
class ProjectDescription:
    """A project (``ProjectDescription`` of DescribeProjects)."""

    arn: str = attrs.field(repr=False)
    """ARN of the project."""
    name: str
    """Name, unique in the account and Region; part of the ARN."""
    status: str
    """``CREATING``, ``CREATED`` or ``DELETING``."""
    created_at: datetime | None = attrs.field(repr=str)
    """Time of creation, UTC."""
    datasets: tuple[DatasetSummary, ...] = attrs.field(default=(), repr=counted("datasets"))
    """At most one training and one test dataset."""
    feature: str = "CUSTOM_LABELS"
    """``CUSTOM_LABELS`` or ``CONTENT_MODERATION``."""
    auto_update: bool | None = None
    """Whether AWS retrains the adapter when its base model changes; None for other projects."""


@attrs.frozen
class DatasetDescription:
    """A dataset (``DatasetDescription`` of DescribeDataset)."""

    arn: str
    """ARN of the dataset."""
    status: str
    """Status of the *last operation*: after a failed update, the earlier content is still usable."""
    status_message: str
    """Reason of a failure; may be empty."""
    status_code: str | None = attrs.field(repr=False)
    """``SUCCESS``, ``CLIENT_ERROR`` (fix the input) or ``SERVICE_ERROR`` (retry)."""
    created_at: datetime | None = attrs.field(repr=False)
    """Time of creation, UTC."""
    updated_at: datetime | None = attrs.field(repr=False)
    """Time of the last change, UTC."""
    total_entries: int
    """Number of images in the dataset."""
    labelled_entries: int
    """Number of images with at least one label."""
    error_entries: int
    """Number of images whose manifest line has an error."""
    total_labels: int
    """Number of different labels."""


@attrs.frozen
class LabelCount:
    """A label of a dataset (``DatasetLabelDescription`` of ListDatasetLabels)."""

    label: str
    """Name of the label."""
    images: int
    """Number of images with this label."""
    images_with_boxes: int = 0
    """Number of images (not boxes) with this label on a bounding box."""


@attrs.frozen
class EntryError:
    """An error that the service found in a dataset entry (``cl-errors`` of ListDatasetEntries)."""

    source: str
    """The image, ``s3://bucket/key``."""
    code: str
    """The service's code, such as ``ERROR_INVALID_BOUNDING_BOX``."""
    message: str
    """The service's message."""


@attrs.frozen
class ModelDescription:
    """A model version (``ProjectVersionDescription`` of DescribeProjectVersions)."""

    arn: str = attrs.field(repr=False)
    """ARN of the model version."""
    version_name: str
    """Name, unique in the project; part of the ARN."""
    status: str
    """Such as ``TRAINING_IN_PROGRESS``, ``TRAINING_COMPLETED``, ``RUNNING`` or ``STOPPED``."""
    status_message: str
    """The service's message; on failure the reason."""
    created_at: datetime | None = attrs.field(repr=str)
    """Start of the training, UTC."""
    training_ended_at: datetime | None = attrs.field(repr=str)
    """End of the training, UTC; None before."""
    billable_training_seconds: int | None = attrs.field(repr=False)
    """Billed seconds of a successful training; may exceed its duration."""
    f1: float | None
    """Aggregated F1 score, 0 to 1; None before a successful training."""
    evaluation_summary: S3Location | None = attrs.field(repr=False)
    """``EvaluationResultSummary-<project>-<version>.json``."""
    manifest_summary: S3Location | None = attrs.field(repr=False)
    """``ManifestSummary-<project>-<version>.json``: the service's counts and errors of the training data."""
    training_snapshot: S3Location | None = attrs.field(repr=False)
    """``TrainingGroundTruth-…``: the manifest lines that were used for training."""
    testing_snapshot: S3Location | None = attrs.field(repr=False)
    """``TestingGroundTruth-…``: the manifest lines of the test dataset, with the model's predictions."""
    training_validation: S3Location | None = attrs.field(repr=False)
    """``TrainingManifestWithValidation-…``: the training lines with the service's errors and warnings."""
    testing_validation: S3Location | None = attrs.field(repr=False)
    """``TestingManifestWithValidation-…``: the same for the test lines."""
    output: S3Location | None = attrs.field(repr=False)
    """Bucket and prefix of the result files, as requested for the training."""
    min_inference_units: int | None = attrs.field(repr=False)
    """Inference units that the model was last started with; None before the first start."""
    max_inference_units: int | None = attrs.field(repr=False)
    """Upper limit of auto-scaling; None without auto-scaling."""
    description: str | None = attrs.field(default=None, repr=False)
    """Description that was given to the training."""
    source_arn: str | None = attrs.field(default=None, repr=False)
    """ARN of the original, for a copied version."""
    kms_key_id: str | None = attrs.field(default=None, repr=False)
    """KMS key that encrypts the copies of the images and the results."""


@attrs.frozen
class ProjectPolicy:
    """A policy that controls who may copy model versions from a project (``ProjectPolicy``)."""

    name: str
    """Its name, unique in the project."""
    document: str = attrs.field(repr=False)
    """The policy as JSON text."""
    revision_id: str
    """Id of this revision; every change of the document makes a new one."""
    created_at: datetime | None = attrs.field(repr=str)
    """Time at which the policy was attached, UTC."""
    updated_at: datetime | None = attrs.field(repr=str)
    """Time of the last change, UTC."""


@attrs.frozen
class Box:
    """A bounding box as fractions of the image's width and height; the origin is the upper left corner.

    Values may be slightly below 0 or above 1 where the frame cuts off the object.
    """

    left: float
    """Left edge, as a fraction of the width of the image."""
    top: float
    """Top edge, as a fraction of the height of the image."""
    width: float
    """Width, as a fraction of the width of the image."""
    height: float
    """Height, as a fraction of the height of the image."""

    def __attrs_post_init__(self) -> None:
        for name in ("left", "top", "width", "height"):
            value = getattr(self, name)
            if type(value) is not float:
                value = check_number(name, value, kind="a fraction of the side of the image")
                object.__setattr__(self, name, value)


@attrs.frozen
class Detection:
    """A label that a model found in an image (``CustomLabel`` of DetectCustomLabels)."""

    label: str
    """The label."""
    confidence: float
    """Confidence of the model in percent, 0 to 100."""
    box: Box | None = None
    """Bounding box; None for models with image-level labels."""

    def __attrs_post_init__(self) -> None:
        check_instance("label", self.label, str, "a label, as text")
        if type(self.confidence) is not float or not 0 <= self.confidence <= 100:  # noqa: PLR2004 - a percentage
            confidence = check_number(
                "confidence", self.confidence, at_least=0, at_most=100, kind="a percentage"
            )
            object.__setattr__(self, "confidence", confidence)
        check_instance("box", self.box, (Box, NoneType), "a Box or None")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary, ready for JSON; the box is a dictionary too, or None.

        >>> Detection("puppy", 98.5, Box(0.1, 0.2, 0.3, 0.4)).to_dict()
        {'label': 'puppy', 'confidence': 98.5,
         'box': {'left': 0.1, 'top': 0.2, 'width': 0.3, 'height': 0.4}}
        """
        return attrs.asdict(self)

    def draw(self, image: Any) -> Any:
        """Draw the detection into an upright copy of a Pillow image.

        ``rekolabels.inference.draw`` draws all detections of an image, and accepts other kinds of images.

        Args:
            image: A Pillow image.

        Returns:
            The copy, a Pillow image.

        Raises:
            InvalidInput: The image is not one of Pillow.
            MissingExtra: Pillow is not installed.
        """
        if not hasattr(image, "convert"):
            fix = "Open it: PIL.Image.open(path); rekolabels.inference.draw() accepts paths and bytes."
            raise invalid("image", image, "a Pillow image", fix)
        return draw_detections(image, [self])


@attrs.frozen
class UnitsInService:
    """Inference units that a model had in service during a period, as measured by CloudWatch."""

    since: datetime = attrs.field(repr=str)
    """Start of the period, UTC."""
    until: datetime = attrs.field(repr=str)
    """End of the period, UTC."""
    units: float
    """Average of ``InServiceInferenceUnits``; 0 or more."""

    @property
    def unit_seconds(self) -> float:
        """Inference units multiplied by seconds."""
        return self.units * (self.until - self.since).total_seconds()
