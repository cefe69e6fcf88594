"""Gateway to Amazon Rekognition: one method for each operation, with typed values.

The only module that calls boto3's Rekognition client.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import attrs

from rekolabels._aws._arns import parse_project_arn, parse_version_arn
from rekolabels._aws._errors import call_boto3
from rekolabels._aws._responses import (
    complete,
    to_dataset,
    to_detections,
    to_label_count,
    to_model,
    to_policy,
    to_project,
)
from rekolabels._aws._retry import RetryPolicy, call_once, call_with_retries
from rekolabels.costs import ACCOUNT_IMAGES_PER_SECOND
from rekolabels.errors import ResourceNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from mypy_boto3_rekognition import RekognitionClient  # noqa: TC004 -- stubs, for type checkers

    from rekolabels.descriptions import (
        DatasetDescription,
        DatasetKind,
        Detection,
        LabelCount,
        ModelDescription,
        ProjectDescription,
        ProjectPolicy,
        S3Location,
    )

__all__ = ["Rekognition"]

R = TypeVar("R")

_AWS = (".amazonaws.com", ".api.aws")
_ALL_FEATURES = ("CUSTOM_LABELS", "CONTENT_MODERATION")

# AWS rejects requests of machines whose clock differs by more.
_MAX_CLOCK_SKEW = timedelta(minutes=5)


@attrs.frozen(eq=False, repr=False)
class Rekognition:
    """The operations of Custom Labels."""

    client: RekognitionClient
    policy: RetryPolicy

    @property
    def account_rate(self) -> float:
        """Calls of DetectCustomLabels per second that AWS allows an account; no limit for other endpoints."""
        host = urlsplit(self.client.meta.endpoint_url).hostname or ""
        return ACCOUNT_IMAGES_PER_SECOND if host.endswith(_AWS) else math.inf

    def _call(self, operation: str, function: Callable[..., R], **parameters: Any) -> R:
        """Make a call that may be repeated."""
        return call_with_retries(self.policy, lambda: call_boto3(operation, function, **parameters))

    def _call_once(
        self,
        operation: str,
        function: Callable[..., Any],
        look_up: Callable[[Rekognition, datetime], R | None],
        parse: Callable[[Any], R],
        **parameters: Any,
    ) -> R:
        """Make a call whose effect must not happen twice.

        Args:
            operation: Name of the operation.
            function: The method of the boto3 client.
            look_up: Returns the result of an attempt whose answer was lost, or None if it had no effect. It
                is called with a gateway without retries, and with the earliest creation time that AWS can
                have recorded for the attempt.
            parse: Returns the result from the response.
            **parameters: Parameters of the call.
        """
        without_retries = attrs.evolve(self, policy=attrs.evolve(self.policy, attempts=1))
        since = datetime.fromtimestamp(self.policy.time(), UTC) - _MAX_CLOCK_SKEW
        return call_once(
            self.policy,
            lambda: parse(call_boto3(operation, function, **parameters)),
            lambda: look_up(without_retries, since),
        )

    def _pages(
        self, operation: str, function: Callable[..., Any], items: str, **parameters: Any
    ) -> Iterator[Any]:
        """Yield the items of all pages, which are fetched as needed. An empty token is treated like none."""
        while True:
            page = self._call(operation, function, **parameters)
            yield from page.get(items, ())
            token = page.get("NextToken")
            if not token:
                return
            parameters["NextToken"] = token

    def create_project(
        self, name: str, *, tags: Mapping[str, str] | None, auto_update: bool | None, feature: str | None
    ) -> str:
        """Create a project and return its ARN (CreateProject)."""

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
            _member("CreateProject", "ProjectArn"),
            **_without_none(
                ProjectName=name,
                Tags=tags,
                AutoUpdate=None if auto_update is None else "ENABLED" if auto_update else "DISABLED",
                Feature=feature,
            ),
        )

    def describe_projects(self, names: Sequence[str] | None = None) -> Iterator[ProjectDescription]:
        """Yield projects of both features (DescribeProjects). Unknown names are ignored."""
        pages = self._pages(
            "DescribeProjects",
            self.client.describe_projects,
            "ProjectDescriptions",
            **_without_none(ProjectNames=names, Features=_ALL_FEATURES),
        )
        return map(to_project, pages)

    def delete_project(self, arn: str) -> None:
        """Delete a project (DeleteProject)."""

        def look_up(api: Rekognition, _: datetime) -> bool | None:
            found = api.describe_projects([parse_project_arn(arn)])
            return all(project.arn != arn or project.status == "DELETING" for project in found) or None

        self._call_once("DeleteProject", self.client.delete_project, look_up, bool, ProjectArn=arn)

    def create_dataset(
        self,
        project_arn: str,
        kind: DatasetKind,
        *,
        manifest: S3Location | None = None,
        copy_of: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Create a dataset from a manifest, as a copy, or empty, and return its ARN (CreateDataset)."""
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
            _member("CreateDataset", "DatasetArn"),
            **_without_none(
                ProjectArn=project_arn, DatasetType=kind.upper(), DatasetSource=source, Tags=tags
            ),
        )

    def describe_dataset(self, arn: str) -> DatasetDescription:
        """Describe a dataset (DescribeDataset)."""
        answer = self._call("DescribeDataset", self.client.describe_dataset, DatasetArn=arn)
        return to_dataset(arn, answer)

    def update_dataset_entries(
        self, arn: str, lines: bytes, *, wait_until_settled: Callable[[], object]
    ) -> None:
        """Add or replace lines of a dataset, JSON Lines of at most 5 MB (UpdateDatasetEntries).

        If the answer is lost, ``wait_until_settled`` waits for a possible update, and the lines are sent
        again, which has no further effect.
        """

        def look_up(_: Rekognition, __: datetime) -> None:
            wait_until_settled()

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
        """Yield the JSON lines of a dataset (ListDatasetEntries)."""
        return self._pages(
            "ListDatasetEntries",
            self.client.list_dataset_entries,
            "DatasetEntries",
            **_without_none(
                DatasetArn=arn,
                ContainsLabels=labels,
                Labeled=labelled,
                HasErrors=has_errors,
                SourceRefContains=source_contains,
            ),
        )

    def list_dataset_labels(self, arn: str) -> Iterator[LabelCount]:
        """Yield the labels of a dataset (ListDatasetLabels)."""
        pages = self._pages(
            "ListDatasetLabels", self.client.list_dataset_labels, "DatasetLabelDescriptions", DatasetArn=arn
        )
        return map(to_label_count, pages)

    def distribute_dataset_entries(self, train_arn: str, test_arn: str) -> None:
        """Move a fifth of the training dataset to the empty test dataset (DistributeDatasetEntries)."""

        def look_up(api: Rekognition, since: datetime) -> bool | None:
            # The test dataset must be empty before, so its entries came from the attempt.
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
        """Delete a dataset (DeleteDataset)."""

        def look_up(api: Rekognition, _: datetime) -> bool | None:
            try:
                return api.describe_dataset(arn).status == "DELETE_IN_PROGRESS" or None
            except ResourceNotFound:
                return True

        self._call_once("DeleteDataset", self.client.delete_dataset, look_up, bool, DatasetArn=arn)

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
        """Start a training and return the ARN of the new version (CreateProjectVersion)."""
        test_data = _assets(testing) if testing is not None else {"AutoCreate": True} if auto_split else None
        return self._call_once(
            "CreateProjectVersion",
            self.client.create_project_version,
            _new_version(project_arn, version_name),
            _member("CreateProjectVersion", "ProjectVersionArn"),
            **_without_none(
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
        """Yield model versions, newest first (DescribeProjectVersions).

        At most ten names are allowed; unknown ones are ignored.
        """
        pages = self._pages(
            "DescribeProjectVersions",
            self.client.describe_project_versions,
            "ProjectVersionDescriptions",
            **_without_none(ProjectArn=project_arn, VersionNames=version_names),
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
        """Start a copy from the account of the destination, and return its ARN (CopyProjectVersion)."""
        return self._call_once(
            "CopyProjectVersion",
            self.client.copy_project_version,
            _new_version(destination_project_arn, version_name),
            _member("CopyProjectVersion", "ProjectVersionArn"),
            **_without_none(
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
        """Start a model (StartProjectVersion)."""
        self._call_once(
            "StartProjectVersion",
            self.client.start_project_version,
            _has_status(arn, project_arn, {"STARTING", "RUNNING"}),
            bool,
            **_without_none(ProjectVersionArn=arn, MinInferenceUnits=minimum, MaxInferenceUnits=maximum),
        )

    def stop_project_version(self, arn: str, project_arn: str) -> None:
        """Stop a model (StopProjectVersion)."""
        self._call_once(
            "StopProjectVersion",
            self.client.stop_project_version,
            _has_status(arn, project_arn, {"STOPPING", "STOPPED"}),
            bool,
            ProjectVersionArn=arn,
        )

    def delete_project_version(self, arn: str, project_arn: str) -> None:
        """Delete a model version (DeleteProjectVersion)."""
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
        """Return the detections in an image, most confident first (DetectCustomLabels)."""
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
        return to_detections(answer)

    def put_project_policy(
        self, project_arn: str, name: str, document: str, *, revision_id: str | None = None
    ) -> str:
        """Attach or replace a policy and return its new revision id (PutProjectPolicy)."""

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
            _member("PutProjectPolicy", "PolicyRevisionId"),
            **_without_none(
                ProjectArn=project_arn,
                PolicyName=name,
                PolicyDocument=document,
                PolicyRevisionId=revision_id,
            ),
        )

    def list_project_policies(self, project_arn: str) -> Iterator[ProjectPolicy]:
        """Yield the policies of a project (ListProjectPolicies)."""
        pages = self._pages(
            "ListProjectPolicies",
            self.client.list_project_policies,
            "ProjectPolicies",
            ProjectArn=project_arn,
        )
        return map(to_policy, pages)

    def delete_project_policy(self, project_arn: str, name: str, *, revision_id: str | None = None) -> None:
        """Detach a policy (DeleteProjectPolicy)."""

        def look_up(api: Rekognition, _: datetime) -> bool | None:
            return all(found.name != name for found in api.list_project_policies(project_arn)) or None

        self._call_once(
            "DeleteProjectPolicy",
            self.client.delete_project_policy,
            look_up,
            bool,
            **_without_none(ProjectArn=project_arn, PolicyName=name, PolicyRevisionId=revision_id),
        )

    def tag_resource(self, arn: str, tags: Mapping[str, str]) -> None:
        """Add or change tags (TagResource)."""
        self._call("TagResource", self.client.tag_resource, ResourceArn=arn, Tags=tags)

    def untag_resource(self, arn: str, keys: Sequence[str]) -> None:
        """Remove tags (UntagResource)."""
        self._call("UntagResource", self.client.untag_resource, ResourceArn=arn, TagKeys=keys)

    def list_tags_for_resource(self, arn: str) -> dict[str, str]:
        """Return the tags of a resource (ListTagsForResource)."""
        answer = self._call("ListTagsForResource", self.client.list_tags_for_resource, ResourceArn=arn)
        return dict(answer.get("Tags", {}))


def _is_new(created_at: datetime | None, since: datetime) -> bool:
    return created_at is not None and created_at >= since


def _member(operation: str, name: str) -> Callable[[Mapping[str, Any]], str]:
    @complete(operation)
    def read(answer: Mapping[str, Any]) -> str:
        found: str = answer[name]
        return found

    return read


def _new_version(project_arn: str, version_name: str) -> Callable[[Rekognition, datetime], str | None]:
    """Return a look-up for the ARN of a version that an attempt may have created."""

    def look_up(api: Rekognition, since: datetime) -> str | None:
        found = next(api.describe_project_versions(project_arn, [version_name]), None)
        return found.arn if found and _is_new(found.created_at, since) else None

    return look_up


def _has_status(
    arn: str, project_arn: str, wanted: AbstractSet[str | None]
) -> Callable[[Rekognition, datetime], bool | None]:
    """Return a look-up for the statuses that an attempt leads to; None stands for a deleted version."""

    def look_up(api: Rekognition, _: datetime) -> bool | None:
        versions = api.describe_project_versions(project_arn, [parse_version_arn(arn)[1]])
        status = next((version.status for version in versions if version.arn == arn), None)
        return status in wanted or None

    return look_up


def _without_none(**parameters: Any) -> dict[str, Any]:
    """Remove parameters that are None, which boto3 rejects."""
    return {name: value for name, value in parameters.items() if value is not None}


def _assets(manifest: S3Location) -> dict[str, Any]:
    return {
        "Assets": [{"GroundTruthManifest": {"S3Object": {"Bucket": manifest.bucket, "Name": manifest.key}}}]
    }
