"""Typed values from responses of Rekognition; the only module that reads their JSON."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from rekolabels._aws._arns import parse_project_arn, parse_version_arn
from rekolabels.descriptions import (
    Box,
    DatasetDescription,
    DatasetSummary,
    Detection,
    LabelCount,
    ModelDescription,
    ProjectDescription,
    ProjectPolicy,
    S3Location,
)
from rekolabels.errors import ServiceFault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "complete",
    "to_dataset",
    "to_detections",
    "to_label_count",
    "to_model",
    "to_policy",
    "to_project",
]

P = ParamSpec("P")
T = TypeVar("T")


def complete(operation: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a function that reads a response raise our error if a required member is missing.

    Raises:
        ServiceFault: The response is not complete.
    """

    def decorate(read: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(read)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return read(*args, **kwargs)
            except KeyError as error:
                raise ServiceFault(
                    f"{operation} failed: the response has no {error.args[0]}. Try again later.",
                    operation=operation,
                    code="IncompleteResponse",
                ) from error

        return checked

    return decorate


def _time(value: datetime | None) -> datetime | None:
    return value.astimezone(UTC) if value is not None else None


def _s3(value: Mapping[str, Any] | None) -> S3Location | None:
    found = (value or {}).get("S3Object", {})
    return S3Location(found["Bucket"], found["Name"]) if "Name" in found and "Bucket" in found else None


def _manifest_of(result: Mapping[str, Any] | None, part: str) -> S3Location | None:
    assets: Sequence[Mapping[str, Any]] = (result or {}).get(part, {}).get("Assets", ())
    return _s3(assets[0].get("GroundTruthManifest")) if assets else None


@complete("DescribeProjects")
def to_project(item: Mapping[str, Any]) -> ProjectDescription:
    return ProjectDescription(
        arn=item["ProjectArn"],
        name=parse_project_arn(item["ProjectArn"]),
        status=item["Status"],
        created_at=_time(item.get("CreationTimestamp")),
        datasets=tuple(
            DatasetSummary(
                arn=dataset["DatasetArn"],
                kind="train" if dataset["DatasetType"] == "TRAIN" else "test",
                status=dataset["Status"],
                status_message=dataset.get("StatusMessage", ""),
                created_at=_time(dataset.get("CreationTimestamp")),
            )
            for dataset in item.get("Datasets", ())
        ),
        feature=item.get("Feature", "CUSTOM_LABELS"),
        auto_update=item["AutoUpdate"] == "ENABLED" if "AutoUpdate" in item else None,
    )


@complete("DescribeDataset")
def to_dataset(arn: str, answer: Mapping[str, Any]) -> DatasetDescription:
    item = answer["DatasetDescription"]
    counts = item.get("DatasetStats", {})
    return DatasetDescription(
        arn=arn,
        status=item["Status"],
        status_message=item.get("StatusMessage", ""),
        status_code=item.get("StatusMessageCode"),
        created_at=_time(item.get("CreationTimestamp")),
        updated_at=_time(item.get("LastUpdatedTimestamp")),
        total_entries=counts.get("TotalEntries", 0),
        labelled_entries=counts.get("LabeledEntries", 0),
        error_entries=counts.get("ErrorEntries", 0),
        total_labels=counts.get("TotalLabels", 0),
    )


@complete("DescribeProjectVersions")
def to_model(item: Mapping[str, Any]) -> ModelDescription:
    evaluation = item.get("EvaluationResult", {})
    output = item.get("OutputConfig", {})
    training, testing = item.get("TrainingDataResult"), item.get("TestingDataResult")
    return ModelDescription(
        arn=item["ProjectVersionArn"],
        version_name=parse_version_arn(item["ProjectVersionArn"])[1],
        status=item["Status"],
        status_message=item.get("StatusMessage", ""),
        created_at=_time(item.get("CreationTimestamp")),
        training_ended_at=_time(item.get("TrainingEndTimestamp")),
        billable_training_seconds=item.get("BillableTrainingTimeInSeconds"),
        f1=evaluation.get("F1Score"),
        evaluation_summary=_s3(evaluation.get("Summary")),
        manifest_summary=_s3(item.get("ManifestSummary")),
        training_snapshot=_manifest_of(training, "Output"),
        testing_snapshot=_manifest_of(testing, "Output"),
        training_validation=_manifest_of(training, "Validation"),
        testing_validation=_manifest_of(testing, "Validation"),
        output=S3Location(output["S3Bucket"], output.get("S3KeyPrefix", ""))
        if "S3Bucket" in output
        else None,
        min_inference_units=item.get("MinInferenceUnits"),
        max_inference_units=item.get("MaxInferenceUnits"),
        description=item.get("VersionDescription"),
        source_arn=item.get("SourceProjectVersionArn"),
        kms_key_id=item.get("KmsKeyId"),
    )


@complete("ListDatasetLabels")
def to_label_count(item: Mapping[str, Any]) -> LabelCount:
    counts = item.get("LabelStats", {})
    return LabelCount(item["LabelName"], counts.get("EntryCount", 0), counts.get("BoundingBoxCount", 0))


@complete("ListProjectPolicies")
def to_policy(item: Mapping[str, Any]) -> ProjectPolicy:
    return ProjectPolicy(
        name=item["PolicyName"],
        document=item["PolicyDocument"],
        revision_id=item["PolicyRevisionId"],
        created_at=_time(item.get("CreationTimestamp")),
        updated_at=_time(item.get("LastUpdatedTimestamp")),
    )


@complete("DetectCustomLabels")
def to_detections(answer: Mapping[str, Any]) -> list[Detection]:
    return [_detection(found) for found in answer["CustomLabels"]]


def _detection(found: Mapping[str, Any]) -> Detection:
    geometry = found.get("Geometry")
    frame = geometry.get("BoundingBox") if geometry else None
    if frame is None:
        return Detection(found["Name"], found["Confidence"])
    return Detection(
        found["Name"],
        found["Confidence"],
        Box(frame["Left"], frame["Top"], frame["Width"], frame["Height"]),
    )
