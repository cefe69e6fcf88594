"""The gateway to Amazon Rekognition: one method an operation, typed values in and out.

Nothing else in rekolabels calls the Rekognition client of boto3.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from rekolabels._aws._arns import parse_project_arn, parse_version_arn
from rekolabels._aws._errors import translated
from rekolabels._aws._responses import to_dataset, to_detection, to_model, to_project, to_time
from rekolabels._aws._retry import RetryPolicy, call_once, call_with_retries
from rekolabels.descriptions import LabelCount, ProjectPolicy, S3Location
from rekolabels.errors import ResourceNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

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

_ALL_FEATURES = ("CUSTOM_LABELS", "CONTENT_MODERATION")

# AWS refuses requests of a clock that is further off.
_CLOCKS_DIFFER = timedelta(minutes=5)


@attrs.frozen(eq=False, repr=False)
class Rekognition:
    """The operations of Custom Labels."""

    client: RekognitionClient
    policy: RetryPolicy

    def _call(self, operation: str, function: Callable[..., R], **parameters: Any) -> R:
        """Make a call that may be made twice."""
        return call_with_retries(self.policy, lambda: translated(operation, function, **parameters))

    def _call_once(
        self,
        operation: str,
        function: Callable[..., Any],
        look_up: Callable[[Rekognition, datetime], R | None],
        answer: Callable[[Any], R],
        **parameters: Any,
    ) -> R:
        """Make a call that must not be carried out twice.

        Args:
            operation: Name of the operation.
            function: The call.
            look_up: What came of a try whose answer was lost, or None when nothing did. It is given a gateway
                that repeats nothing, and the earliest time that AWS can have noted for what the call made.
            answer: Reads the result out of the answer.
            **parameters: Of the call.
        """
        alone = attrs.evolve(self, policy=attrs.evolve(self.policy, attempts=1))
        since = datetime.fromtimestamp(self.policy.time(), UTC) - _CLOCKS_DIFFER
        return call_once(
            self.policy,
            lambda: answer(translated(operation, function, **parameters)),
            lambda: look_up(alone, since),
        )

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

        def look_up(api: Rekognition, since: datetime) -> str | None:
            found = next(api.describe_projects([name]), None)
            return (
                found.arn
                if found and found.status != "DELETING" and _is_new(found.created_at, since)
                else None
            )

        return self._call_once(
            "CreateProject",
            self.client.create_project,
            look_up,
            _member("ProjectArn"),
            **_given(ProjectName=name, Tags=tags, AutoUpdate=auto_update, Feature=feature),
        )

    def describe_projects(self, names: Sequence[str] | None = None) -> Iterator[ProjectDescription]:
        """DescribeProjects, of both features; unknown names are left out."""
        pages = self._pages(
            "DescribeProjects",
            self.client.describe_projects,
            "ProjectDescriptions",
            **_given(ProjectNames=names, Features=_ALL_FEATURES),
        )
        return map(to_project, pages)

    def delete_project(self, arn: str) -> None:
        """DeleteProject."""

        def look_up(api: Rekognition, _: datetime) -> bool | None:
            found = api.describe_projects([parse_project_arn(arn)])
            return all(project.arn != arn or project.status == "DELETING" for project in found) or None

        self._call_once("DeleteProject", self.client.delete_project, look_up, bool, ProjectArn=arn)

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

        def look_up(api: Rekognition, since: datetime) -> str | None:
            return next(
                (
                    dataset.arn
                    for project in api.describe_projects([parse_project_arn(project_arn)])
                    for dataset in project.datasets
                    if project.arn == project_arn and dataset.kind == kind
                    if _is_new(dataset.created_at, since) and dataset.status != "DELETE_IN_PROGRESS"
                ),
                None,
            )

        return self._call_once(
            "CreateDataset",
            self.client.create_dataset,
            look_up,
            _member("DatasetArn"),
            **_given(ProjectArn=project_arn, DatasetType=kind.upper(), DatasetSource=source, Tags=tags),
        )

    def describe_dataset(self, arn: str) -> DatasetDescription:
        """DescribeDataset."""
        answer = self._call("DescribeDataset", self.client.describe_dataset, DatasetArn=arn)
        return to_dataset(arn, answer["DatasetDescription"])

    def update_dataset_entries(self, arn: str, lines: bytes, *, settle: Callable[[], object]) -> None:
        """UpdateDatasetEntries: JSON Lines of at most 5 MB; a line replaces the one of the same image.

        When the answer is lost, ``settle`` waits for what may be under way, and the lines are sent again.
        """

        def look_up(_: Rekognition, __: datetime) -> None:
            settle()

        self._call_once(
            "UpdateDatasetEntries",
            self.client.update_dataset_entries,
            look_up,
            bool,
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

        def look_up(api: Rekognition, since: datetime) -> bool | None:
            # It works on empty test datasets only: what is in it now came of the try whose answer was lost.
            found = api.describe_dataset(test_arn)
            return (found.total_entries > 0 and _is_new(found.updated_at, since)) or (
                found.status == "UPDATE_IN_PROGRESS" or None
            )

        self._call_once(
            "DistributeDatasetEntries",
            self.client.distribute_dataset_entries,
            look_up,
            bool,
            Datasets=[{"Arn": train_arn}, {"Arn": test_arn}],
        )

    def delete_dataset(self, arn: str) -> None:
        """DeleteDataset."""

        def look_up(api: Rekognition, _: datetime) -> bool | None:
            try:
                return api.describe_dataset(arn).status == "DELETE_IN_PROGRESS" or None
            except ResourceNotFound:
                return True

        self._call_once("DeleteDataset", self.client.delete_dataset, look_up, bool, DatasetArn=arn)

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
        return self._call_once(
            "CreateProjectVersion",
            self.client.create_project_version,
            _new_version(project_arn, version_name),
            _member("ProjectVersionArn"),
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
        return self._call_once(
            "CopyProjectVersion",
            self.client.copy_project_version,
            _new_version(destination_project_arn, version_name),
            _member("ProjectVersionArn"),
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

    def start_project_version(self, arn: str, project_arn: str, *, minimum: int, maximum: int | None) -> None:
        """StartProjectVersion."""
        self._call_once(
            "StartProjectVersion",
            self.client.start_project_version,
            _has_status(arn, project_arn, {"STARTING", "RUNNING"}),
            bool,
            **_given(ProjectVersionArn=arn, MinInferenceUnits=minimum, MaxInferenceUnits=maximum),
        )

    def stop_project_version(self, arn: str, project_arn: str) -> None:
        """StopProjectVersion."""
        self._call_once(
            "StopProjectVersion",
            self.client.stop_project_version,
            _has_status(arn, project_arn, {"STOPPING", "STOPPED"}),
            bool,
            ProjectVersionArn=arn,
        )

    def delete_project_version(self, arn: str, project_arn: str) -> None:
        """DeleteProjectVersion."""
        self._call_once(
            "DeleteProjectVersion",
            self.client.delete_project_version,
            _has_status(arn, project_arn, {"DELETING", None}),
            bool,
            ProjectVersionArn=arn,
        )

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

        def look_up(api: Rekognition, _: datetime) -> str | None:
            return next(
                (
                    found.revision_id
                    for found in api.list_project_policies(project_arn)
                    if found.name == name and found.document == document and found.revision_id != revision_id
                ),
                None,
            )

        return self._call_once(
            "PutProjectPolicy",
            self.client.put_project_policy,
            look_up,
            _member("PolicyRevisionId"),
            **_given(
                ProjectArn=project_arn,
                PolicyName=name,
                PolicyDocument=document,
                PolicyRevisionId=revision_id,
            ),
        )

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

        def look_up(api: Rekognition, _: datetime) -> bool | None:
            return all(found.name != name for found in api.list_project_policies(project_arn)) or None

        self._call_once(
            "DeleteProjectPolicy",
            self.client.delete_project_policy,
            look_up,
            bool,
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


def _is_new(created_at: datetime | None, since: datetime) -> bool:
    return created_at is not None and created_at >= since


def _member(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda answer: answer[name]


def _new_version(project_arn: str, version_name: str) -> Callable[[Rekognition, datetime], str | None]:
    """Look up the ARN of a version that a lost call may have made."""

    def look_up(api: Rekognition, since: datetime) -> str | None:
        found = next(api.describe_project_versions(project_arn, [version_name]), None)
        return found.arn if found and _is_new(found.created_at, since) else None

    return look_up


def _has_status(
    arn: str, project_arn: str, wanted: AbstractSet[str | None]
) -> Callable[[Rekognition, datetime], bool | None]:
    """Look up whether a lost call has brought a version to a status; None for a version that is gone."""

    def look_up(api: Rekognition, _: datetime) -> bool | None:
        versions = api.describe_project_versions(project_arn, [parse_version_arn(arn)[1]])
        status = next((version.status for version in versions if version.arn == arn), None)
        return status in wanted or None

    return look_up


def _given(**parameters: Any) -> dict[str, Any]:
    """Leave out what the caller left out: AWS does not take null."""
    return {name: value for name, value in parameters.items() if value is not None}


def _assets(manifest: S3Location) -> dict[str, Any]:
    return {
        "Assets": [{"GroundTruthManifest": {"S3Object": {"Bucket": manifest.bucket, "Name": manifest.key}}}]
    }
