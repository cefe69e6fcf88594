"""Responses of AWS that lack a member which the service model requires."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from rekolabels._aws._responses import (
    to_dataset,
    to_detections,
    to_label_count,
    to_model,
    to_policy,
    to_project,
)
from rekolabels.errors import ServiceFault

if TYPE_CHECKING:
    from collections.abc import Callable

ARN = "arn:aws:rekognition:us-east-1:123456789012:project/puppies"
BOX = {"Left": 0.1, "Top": 0.1, "Width": 0.5, "Height": 0.5}
COMPLETE: dict[str, tuple[Callable[[Any], object], dict[str, Any], list[str]]] = {
    "DescribeProjects": (
        to_project,
        {
            "ProjectArn": f"{ARN}/1",
            "Status": "CREATED",
            "Datasets": [{"DatasetArn": f"{ARN}/dataset/train/1", "DatasetType": "TRAIN", "Status": "X"}],
        },
        ["ProjectArn", "Status", "Datasets.0.DatasetArn", "Datasets.0.DatasetType", "Datasets.0.Status"],
    ),
    "DescribeDataset": (
        lambda answer: to_dataset(f"{ARN}/dataset/train/1", answer),
        {"DatasetDescription": {"Status": "CREATE_COMPLETE"}},
        ["DatasetDescription", "DatasetDescription.Status"],
    ),
    "DescribeProjectVersions": (
        to_model,
        {"ProjectVersionArn": f"{ARN}/version/v1/1", "Status": "RUNNING"},
        ["ProjectVersionArn", "Status"],
    ),
    "ListDatasetLabels": (to_label_count, {"LabelName": "corgi"}, ["LabelName"]),
    "ListProjectPolicies": (
        to_policy,
        {"PolicyName": "copy", "PolicyDocument": "{}", "PolicyRevisionId": "1"},
        ["PolicyName", "PolicyDocument", "PolicyRevisionId"],
    ),
    "DetectCustomLabels": (
        to_detections,
        {"CustomLabels": [{"Name": "corgi", "Confidence": 90.0, "Geometry": {"BoundingBox": BOX}}]},
        [
            "CustomLabels",
            "CustomLabels.0.Name",
            "CustomLabels.0.Confidence",
            *(f"CustomLabels.0.Geometry.BoundingBox.{side}" for side in BOX),
        ],
    ),
}


def without(response: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a copy of a response that lacks a member."""
    left_out = copy.deepcopy(response)
    *parents, last = path.split(".")
    inner: Any = left_out
    for name in parents:
        inner = inner[int(name) if name.isdigit() else name]
    del inner[last]
    return left_out


@pytest.mark.parametrize("operation", COMPLETE)
def test_a_complete_response_is_read(operation: str) -> None:
    """The responses of the other test are valid before a member is removed."""
    read, response, _ = COMPLETE[operation]
    assert read(response) is not None


@pytest.mark.parametrize(
    ("operation", "path"), [(name, path) for name, (_, _, paths) in COMPLETE.items() for path in paths]
)
def test_a_missing_member_is_an_error_of_the_service(operation: str, path: str) -> None:
    """The error names the operation and the member; it may be retried."""
    read, response, _ = COMPLETE[operation]
    with pytest.raises(ServiceFault) as raised:
        read(without(response, path))
    member = path.rpartition(".")[2]
    assert f"{operation} failed: the response has no {member}. Try again later." == str(raised.value)
    assert (operation, "IncompleteResponse") == (raised.value.operation, raised.value.code)
