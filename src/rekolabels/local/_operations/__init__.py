"""The operations of Custom Labels: what each one demands, changes and answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rekolabels.local._context import Call
from rekolabels.local._operations import datasets, entries, inference, projects, tags, versions

__all__ = ["OPERATIONS", "Operation"]

Operation = Callable[[Call, dict[str, Any]], Mapping[str, Any]]

OPERATIONS: Mapping[str, Operation] = {
    "CreateDataset": datasets.create_dataset,
    "CreateProject": projects.create_project,
    "CreateProjectVersion": versions.create_project_version,
    "DeleteDataset": datasets.delete_dataset,
    "DeleteProject": projects.delete_project,
    "DeleteProjectVersion": versions.delete_project_version,
    "DescribeDataset": datasets.describe_dataset,
    "DescribeProjectVersions": versions.describe_project_versions,
    "DescribeProjects": projects.describe_projects,
    "DetectCustomLabels": inference.detect_custom_labels,
    "DistributeDatasetEntries": entries.distribute_dataset_entries,
    "ListDatasetEntries": entries.list_dataset_entries,
    "ListDatasetLabels": entries.list_dataset_labels,
    "ListTagsForResource": tags.list_tags_for_resource,
    "StartProjectVersion": versions.start_project_version,
    "StopProjectVersion": versions.stop_project_version,
    "TagResource": tags.tag_resource,
    "UntagResource": tags.untag_resource,
    "UpdateDatasetEntries": entries.update_dataset_entries,
}
"""Every operation that the service answers, by its name in the service model."""
