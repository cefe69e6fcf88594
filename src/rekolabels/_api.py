"""The gateway to Amazon Rekognition: one method an operation, typed values in and out.

Nothing else in rekolabels calls the Rekognition client of boto3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from rekolabels._answers import to_dataset, to_detection, to_model, to_project, to_time
from rekolabels._errors_map import translate
from rekolabels._retry import RetryPolicy, is_transient, was_refused
from rekolabels.descriptions import LabelCount, ProjectPolicy, S3Location

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_rekognition import RekognitionClient  # noqa: TC004 -- the stubs are for type checkers only

    from rekolabels.descriptions import (
        DatasetDescription,
        DatasetKind,
        Detection,
        ModelDescription,
        ProjectDescription,
    )

__all__ = ["Rekognition"]

R = TypeVar("R")


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
        return map(to_project, pages)

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
        return to_dataset(arn, answer["DatasetDescription"])

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
        return map(to_model, pages)

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
        return [to_detection(found) for found in answer["CustomLabels"]]

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
                created_at=to_time(item.get("CreationTimestamp")),
                updated_at=to_time(item.get("LastUpdatedTimestamp")),
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
