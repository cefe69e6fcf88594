"""Operations of the embedded service, one function each: checks the request, changes state, answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rekolabels.local._core._context import Call
from rekolabels.local._operations import datasets, inference, media, policies, projects, tags, versions

__all__ = ["OPERATIONS", "Operation"]

Operation = Callable[[Call, dict[str, Any]], Mapping[str, Any]]
"""Takes the caller and the parameters that the wire has checked; returns the answer."""

OPERATIONS: Mapping[str, Operation] = {
    "CopyProjectVersion": versions.copy_project_version,
    "CreateDataset": datasets.create_dataset,
    "CreateProject": projects.create_project,
    "CreateProjectVersion": versions.create_project_version,
    "DeleteDataset": datasets.delete_dataset,
    "DeleteProject": projects.delete_project,
    "DeleteProjectPolicy": policies.delete_project_policy,
    "DeleteProjectVersion": versions.delete_project_version,
    "DescribeDataset": datasets.describe_dataset,
    "DescribeProjectVersions": versions.describe_project_versions,
    "DescribeProjects": projects.describe_projects,
    "DetectCustomLabels": inference.detect_custom_labels,
    "DetectModerationLabels": inference.detect_moderation_labels,
    "DistributeDatasetEntries": datasets.distribute_dataset_entries,
    "GetMediaAnalysisJob": media.get_media_analysis_job,
    "ListDatasetEntries": datasets.list_dataset_entries,
    "ListDatasetLabels": datasets.list_dataset_labels,
    "ListMediaAnalysisJobs": media.list_media_analysis_jobs,
    "ListProjectPolicies": policies.list_project_policies,
    "ListTagsForResource": tags.list_tags_for_resource,
    "PutProjectPolicy": policies.put_project_policy,
    "StartMediaAnalysisJob": media.start_media_analysis_job,
    "StartProjectVersion": versions.start_project_version,
    "StopProjectVersion": versions.stop_project_version,
    "TagResource": tags.tag_resource,
    "UntagResource": tags.untag_resource,
    "UpdateDatasetEntries": datasets.update_dataset_entries,
}
"""The function of each supported operation, by its name in botocore's service model."""
