"""The gateway to Amazon Rekognition: one method an operation, typed values in and out.

Nothing else in rekolabels calls the Rekognition client of boto3.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from rekolabels._errors_map import translate
from rekolabels._retry import RetryPolicy, is_transient, was_refused
from rekolabels.descriptions import (
    Box,
    DatasetDescription,
    DatasetKind,
    DatasetSummary,
    Detection,
    LabelCount,
    ModelDescription,
    ProjectDescription,
    ProjectPolicy,
    S3Location,
)
from rekolabels.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_rekognition import RekognitionClient  # noqa: TC004 -- the stubs are for type checkers only

__all__ = ["ProjectName", "Rekognition", "VersionName", "parse_dataset_arn", "parse_version_arn"]

R = TypeVar("R")

_PROJECT_ARN = r"arn:[a-z\d-]+:rekognition:[a-z\d-]+:\d{12}:project/([a-zA-Z0-9_.\-]{1,255})/[0-9]+"
_DATASET_ARN = (
    r"arn:[a-z\d-]+:rekognition:[a-z\d-]+:\d{12}:project/([a-zA-Z0-9_.\-]{1,255})/dataset/(train|test)/[0-9]+"
)
_VERSION_ARN = (
    r"arn:[a-z\d-]+:rekognition:[a-z\d-]+:\d{12}"
    r":project/([a-zA-Z0-9_.\-]{1,255})/version/([a-zA-Z0-9_.\-]{1,255})/[0-9]+"
)

ProjectName = str
VersionName = str


def parse_project_arn(arn: str) -> ProjectName:
    """Read the project's name from its ARN.

    Raises:
        InvalidInput: It is no project ARN.
    """
    found = re.fullmatch(_PROJECT_ARN, arn)
    if found is None:
        raise InvalidInput(
            f"{arn!r} is no project ARN: expected arn:aws:rekognition:REGION:ACCOUNT:project/NAME/NUMBER"
        )
    return found[1]


def parse_dataset_arn(arn: str) -> tuple[ProjectName, DatasetKind]:
    """Read project name and kind from a dataset's ARN.

    Raises:
        InvalidInput: It is no dataset ARN.
    """
    found = re.fullmatch(_DATASET_ARN, arn)
    if found is None:
        raise InvalidInput(
            f"{arn!r} is no dataset ARN: expected "
            "arn:aws:rekognition:REGION:ACCOUNT:project/NAME/dataset/train-or-test/NUMBER"
        )
    return found[1], "train" if found[2] == "train" else "test"


def parse_version_arn(arn: str) -> tuple[ProjectName, VersionName]:
    """Read project and version name from a model version's ARN.

    Raises:
        InvalidInput: It is no ARN of a model version.
    """
    found = re.fullmatch(_VERSION_ARN, arn)
    if found is None:
        raise InvalidInput(
            f"{arn!r} is no ARN of a model version: expected "
            "arn:aws:rekognition:REGION:ACCOUNT:project/NAME/version/VERSION/NUMBER"
        )
    return found[1], found[2]


@attrs.frozen(eq=False, repr=False)
class Rekognition:
    """The operations of Custom Labels."""

    client: RekognitionClient
    policy: RetryPolicy

    def _call(
        self,
        operation: str,
        function: Callable[..., R],
        /,
        may_repeat: Callable[[BaseException], bool] = is_transient,
        **parameters: Any,
    ) -> R:
        def once() -> R:
            try:
                return function(**parameters)
            except Exception as error:
                ours = translate(error, operation)
                if ours is None:
                    raise
                raise ours from error

        return self.policy.call(once, may_repeat=may_repeat)

    def _pages(
        self, operation: str, function: Callable[..., Any], items: str, **parameters: Any
    ) -> Iterator[Any]:
        """Yield the items of all pages, each page when it is needed; an empty token ends like none."""
        while True:
            page = self._call(operation, function, **parameters)
            yield from page.get(items, ())
            token = page.get("NextToken")
            if not token:
                return
            parameters["NextToken"] = token

    # projects

    def create_project(
        self, name: str, *, tags: Mapping[str, str] | None, auto_update: str | None, feature: str | None
    ) -> str:
        """CreateProject: the ARN of the new project."""
        answer = self._call(
            "CreateProject",
            self.client.create_project,
            was_refused,
            **_given(ProjectName=name, Tags=tags, AutoUpdate=auto_update, Feature=feature),
        )
        return answer["ProjectArn"]

    def describe_projects(
        self, names: Sequence[str] | None = None, *, features: Sequence[str] | None = None
    ) -> Iterator[ProjectDescription]:
        """DescribeProjects; unknown names are left out."""
        pages = self._pages(
            "DescribeProjects",
            self.client.describe_projects,
            "ProjectDescriptions",
            **_given(ProjectNames=names, Features=features),
        )
        return map(_project, pages)

    def delete_project(self, arn: str) -> None:
        """DeleteProject."""
        self._call("DeleteProject", self.client.delete_project, ProjectArn=arn)

    # datasets

    def create_dataset(
        self,
        project_arn: str,
        kind: DatasetKind,
        *,
        manifest: S3Location | None = None,
        copy_of: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """CreateDataset from a manifest, as a copy, or empty: the ARN of the new dataset."""
        source: dict[str, Any] | None = None
        if manifest is not None:
            source = {"GroundTruthManifest": {"S3Object": {"Bucket": manifest.bucket, "Name": manifest.key}}}
        elif copy_of is not None:
            source = {"DatasetArn": copy_of}
        answer = self._call(
            "CreateDataset",
            self.client.create_dataset,
            was_refused,
            **_given(ProjectArn=project_arn, DatasetType=kind.upper(), DatasetSource=source, Tags=tags),
        )
        return answer["DatasetArn"]

    def describe_dataset(self, arn: str) -> DatasetDescription:
        """DescribeDataset."""
        answer = self._call("DescribeDataset", self.client.describe_dataset, DatasetArn=arn)
        return _dataset(arn, answer["DatasetDescription"])

    def update_dataset_entries(self, arn: str, lines: bytes) -> None:
        """UpdateDatasetEntries: JSON Lines of at most 5 MB; a line replaces the one of the same image."""
        self._call(
            "UpdateDatasetEntries",
            self.client.update_dataset_entries,
            DatasetArn=arn,
            Changes={"GroundTruth": lines},
        )

    def list_dataset_entries(
        self,
        arn: str,
        *,
        labels: Sequence[str] | None = None,
        labelled: bool | None = None,
        has_errors: bool | None = None,
        source_contains: str | None = None,
    ) -> Iterator[str]:
        """ListDatasetEntries: JSON Lines."""
        return self._pages(
            "ListDatasetEntries",
            self.client.list_dataset_entries,
            "DatasetEntries",
            **_given(
                DatasetArn=arn,
                ContainsLabels=labels,
                Labeled=labelled,
                HasErrors=has_errors,
                SourceRefContains=source_contains,
            ),
        )

    def list_dataset_labels(self, arn: str) -> Iterator[LabelCount]:
        """ListDatasetLabels."""
        pages = self._pages(
            "ListDatasetLabels", self.client.list_dataset_labels, "DatasetLabelDescriptions", DatasetArn=arn
        )
        for item in pages:
            counts = item.get("LabelStats", {})
            yield LabelCount(
                item["LabelName"], counts.get("EntryCount", 0), counts.get("BoundingBoxCount", 0)
            )

    def distribute_dataset_entries(self, train_arn: str, test_arn: str) -> None:
        """DistributeDatasetEntries: the service moves a fifth of the training dataset to the test dataset."""
        self._call(
            "DistributeDatasetEntries",
            self.client.distribute_dataset_entries,
            was_refused,
            Datasets=[{"Arn": train_arn}, {"Arn": test_arn}],
        )

    def delete_dataset(self, arn: str) -> None:
        """DeleteDataset."""
        self._call("DeleteDataset", self.client.delete_dataset, DatasetArn=arn)

    # model versions

    def create_project_version(
        self,
        project_arn: str,
        version_name: str,
        *,
        output: S3Location,
        training: S3Location | None = None,
        testing: S3Location | None = None,
        auto_split: bool = False,
        kms_key_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        description: str | None = None,
    ) -> str:
        """CreateProjectVersion, which starts a training: the ARN of the new version."""
        test_data = _assets(testing) if testing is not None else {"AutoCreate": True} if auto_split else None
        answer = self._call(
            "CreateProjectVersion",
            self.client.create_project_version,
            was_refused,
            **_given(
                ProjectArn=project_arn,
                VersionName=version_name,
                OutputConfig={"S3Bucket": output.bucket, "S3KeyPrefix": output.key},
                TrainingData=None if training is None else _assets(training),
                TestingData=test_data,
                KmsKeyId=kms_key_id,
                Tags=tags,
                VersionDescription=description,
            ),
        )
        return answer["ProjectVersionArn"]

    def describe_project_versions(
        self, project_arn: str, version_names: Sequence[str] | None = None
    ) -> Iterator[ModelDescription]:
        """DescribeProjectVersions, newest first; at most ten names, unknown ones are left out."""
        pages = self._pages(
            "DescribeProjectVersions",
            self.client.describe_project_versions,
            "ProjectVersionDescriptions",
            **_given(ProjectArn=project_arn, VersionNames=version_names),
        )
        return map(_model, pages)

    def copy_project_version(
        self,
        arn: str,
        source_project_arn: str,
        destination_project_arn: str,
        version_name: str,
        *,
        output: S3Location,
        tags: Mapping[str, str] | None = None,
        kms_key_id: str | None = None,
    ) -> str:
        """CopyProjectVersion, called by the account of the destination: the ARN of the copy."""
        answer = self._call(
            "CopyProjectVersion",
            self.client.copy_project_version,
            was_refused,
            **_given(
                SourceProjectArn=source_project_arn,
                SourceProjectVersionArn=arn,
                DestinationProjectArn=destination_project_arn,
                VersionName=version_name,
                OutputConfig={"S3Bucket": output.bucket, "S3KeyPrefix": output.key},
                Tags=tags,
                KmsKeyId=kms_key_id,
            ),
        )
        return answer["ProjectVersionArn"]

    def start_project_version(self, arn: str, *, minimum: int, maximum: int | None) -> None:
        """StartProjectVersion."""
        self._call(
            "StartProjectVersion",
            self.client.start_project_version,
            **_given(ProjectVersionArn=arn, MinInferenceUnits=minimum, MaxInferenceUnits=maximum),
        )

    def stop_project_version(self, arn: str) -> None:
        """StopProjectVersion."""
        self._call("StopProjectVersion", self.client.stop_project_version, ProjectVersionArn=arn)

    def delete_project_version(self, arn: str) -> None:
        """DeleteProjectVersion."""
        self._call("DeleteProjectVersion", self.client.delete_project_version, ProjectVersionArn=arn)

    def detect_custom_labels(
        self,
        arn: str,
        image: bytes | S3Location,
        *,
        min_confidence: float | None = None,
        max_results: int | None = None,
    ) -> list[Detection]:
        """DetectCustomLabels: what was found, most confident first."""
        parameters: dict[str, Any] = {
            "ProjectVersionArn": arn,
            "Image": {"Bytes": image}
            if isinstance(image, bytes)
            else {"S3Object": {"Bucket": image.bucket, "Name": image.key}},
        }
        if min_confidence is not None:
            parameters["MinConfidence"] = min_confidence
        if max_results is not None:
            parameters["MaxResults"] = max_results
        answer = self._call("DetectCustomLabels", self.client.detect_custom_labels, **parameters)
        return [_detection(found) for found in answer["CustomLabels"]]

    # project policies

    def put_project_policy(
        self, project_arn: str, name: str, document: str, *, revision_id: str | None = None
    ) -> str:
        """PutProjectPolicy: the new revision id."""
        answer = self._call(
            "PutProjectPolicy",
            self.client.put_project_policy,
            was_refused,
            **_given(
                ProjectArn=project_arn,
                PolicyName=name,
                PolicyDocument=document,
                PolicyRevisionId=revision_id,
            ),
        )
        return answer["PolicyRevisionId"]

    def list_project_policies(self, project_arn: str) -> Iterator[ProjectPolicy]:
        """ListProjectPolicies."""
        pages = self._pages(
            "ListProjectPolicies",
            self.client.list_project_policies,
            "ProjectPolicies",
            ProjectArn=project_arn,
        )
        for item in pages:
            yield ProjectPolicy(
                name=item["PolicyName"],
                document=item["PolicyDocument"],
                revision_id=item["PolicyRevisionId"],
                created_at=_time(item.get("CreationTimestamp")),
                updated_at=_time(item.get("LastUpdatedTimestamp")),
            )

    def delete_project_policy(self, project_arn: str, name: str, *, revision_id: str | None = None) -> None:
        """DeleteProjectPolicy."""
        self._call(
            "DeleteProjectPolicy",
            self.client.delete_project_policy,
            **_given(ProjectArn=project_arn, PolicyName=name, PolicyRevisionId=revision_id),
        )

    # tags

    def tag_resource(self, arn: str, tags: Mapping[str, str]) -> None:
        """TagResource."""
        self._call("TagResource", self.client.tag_resource, ResourceArn=arn, Tags=tags)

    def untag_resource(self, arn: str, keys: Sequence[str]) -> None:
        """UntagResource."""
        self._call("UntagResource", self.client.untag_resource, ResourceArn=arn, TagKeys=keys)

    def list_tags_for_resource(self, arn: str) -> dict[str, str]:
        """ListTagsForResource."""
        answer = self._call("ListTagsForResource", self.client.list_tags_for_resource, ResourceArn=arn)
        return dict(answer.get("Tags", {}))


def _given(**parameters: Any) -> dict[str, Any]:
    """Leave out what the caller left out: AWS does not take null."""
    return {name: value for name, value in parameters.items() if value is not None}


def _assets(manifest: S3Location) -> dict[str, Any]:
    return {
        "Assets": [{"GroundTruthManifest": {"S3Object": {"Bucket": manifest.bucket, "Name": manifest.key}}}]
    }


def _time(value: datetime | None) -> datetime | None:
    return value.astimezone(timezone.utc) if value is not None else None


def _s3(value: Mapping[str, Any] | None) -> S3Location | None:
    found = (value or {}).get("S3Object", {})
    return S3Location(found["Bucket"], found["Name"]) if "Name" in found and "Bucket" in found else None


def _manifest_of(result: Mapping[str, Any] | None, part: str) -> S3Location | None:
    assets: Sequence[Mapping[str, Any]] = (result or {}).get(part, {}).get("Assets", ())
    return _s3(assets[0].get("GroundTruthManifest")) if assets else None


def _project(item: Mapping[str, Any]) -> ProjectDescription:
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
        auto_update=item.get("AutoUpdate"),
    )


def _dataset(arn: str, item: Mapping[str, Any]) -> DatasetDescription:
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


def _model(item: Mapping[str, Any]) -> ModelDescription:
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
