"""Projects: what CreateProject, DescribeProjects and DeleteProject promise."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from service_backends import (
    Backend,
    backend_fixture,  # noqa: F401 - fixtures
    make_dataset,
    make_project,
    open_backend,
    refused,
)

from rekolabels.local import Quotas

if TYPE_CHECKING:
    import datetime as dt


def test_an_arn_has_the_real_form_and_ends_with_the_creation_time(backend: Backend) -> None:
    """The last part of a project's ARN is its CreationTimestamp in milliseconds."""
    arn = make_project(backend)
    match = re.fullmatch(r"arn:aws:rekognition:us-east-1:\d{12}:project/birds/(\d{13})", arn)
    assert match is not None
    (project,) = backend.rekognition.describe_projects()["ProjectDescriptions"]
    created: dt.datetime = project["CreationTimestamp"]
    assert int(match[1]) == round(created.timestamp() * 1000)


def test_arns_differ_even_within_one_millisecond() -> None:
    """A clock that stands still gives every resource an ARN of its own."""
    with open_backend("in process", clock=lambda: 1_690_405_809.285) as backend:
        arns = [make_project(backend, f"p{number}") for number in range(3)]
    assert [arn.rsplit("/", 1)[1] for arn in arns] == ["1690405809285", "1690405809286", "1690405809287"]


def test_a_project_passes_from_creating_to_created(backend: Backend) -> None:
    """CREATING while the work is under way, then CREATED; it can be used in both."""
    with backend.held():
        arn = backend.rekognition.create_project(ProjectName="birds")["ProjectArn"]
        (project,) = backend.rekognition.describe_projects()["ProjectDescriptions"]
        assert project["Status"] == "CREATING"
        backend.rekognition.create_dataset(ProjectArn=arn, DatasetType="TRAIN")
    (project,) = backend.rekognition.describe_projects()["ProjectDescriptions"]
    assert project["Status"] == "CREATED"


def test_a_name_is_taken_until_the_project_is_gone(backend: Backend) -> None:
    """Two projects of one name are refused, also while the first one is being deleted."""
    arn = make_project(backend)
    with refused("ResourceInUseException", "birds"):
        backend.rekognition.create_project(ProjectName="birds")
    with backend.held():
        assert backend.rekognition.delete_project(ProjectArn=arn)["Status"] == "DELETING"
        (project,) = backend.rekognition.describe_projects()["ProjectDescriptions"]
        assert project["Status"] == "DELETING"
        with refused("ResourceInUseException"):
            backend.rekognition.create_project(ProjectName="birds")
        with refused("ResourceInUseException"):
            backend.rekognition.delete_project(ProjectArn=arn)
        with refused("ResourceNotFoundException"):
            backend.rekognition.create_dataset(ProjectArn=arn, DatasetType="TRAIN")
    assert backend.rekognition.describe_projects(ProjectNames=["birds"])["ProjectDescriptions"] == []
    assert make_project(backend) != arn


def test_the_quota_of_projects() -> None:
    """One project more than the quota is refused."""
    with open_backend("in process", quotas=Quotas(projects=2)) as backend:
        for name in ("a", "b"):
            make_project(backend, name)
        with refused("LimitExceededException", "projects (2)"):
            backend.rekognition.create_project(ProjectName="c")


def test_pages_are_newest_first_and_complete(backend: Backend) -> None:
    """Every project comes once, in every page size, and a token belongs to its question."""
    names = [f"p{number}" for number in range(5)]
    for name in names:
        make_project(backend, name)
    pages = backend.rekognition.get_paginator("describe_projects").paginate(PaginationConfig={"PageSize": 2})
    seen = [project["ProjectArn"].split("/")[1] for page in pages for project in page["ProjectDescriptions"]]
    assert names[::-1] == seen
    first = backend.rekognition.describe_projects(MaxResults=2)
    assert first["NextToken"]
    with refused("InvalidPaginationTokenException"):
        backend.rekognition.describe_projects(MaxResults=2, NextToken=first["NextToken"], ProjectNames=["p1"])
    with refused("InvalidPaginationTokenException"):
        backend.rekognition.describe_projects(NextToken="nonsense")
    assert len(backend.rekognition.describe_projects(NextToken="")["ProjectDescriptions"]) == 5


def test_names_that_do_not_exist_are_passed_over(backend: Backend) -> None:
    """Unknown names give an empty list, not an error."""
    make_project(backend)
    answer = backend.rekognition.describe_projects(ProjectNames=["birds", "fish"])
    assert [p["ProjectArn"].split("/")[1] for p in answer["ProjectDescriptions"]] == ["birds"]


def test_adapters_are_hidden_unless_asked_for(backend: Backend) -> None:
    """Without Features only Custom Labels projects are listed; AutoUpdate belongs to adapters alone."""
    make_project(backend)
    make_project(backend, "safe", Feature="CONTENT_MODERATION", AutoUpdate="DISABLED")
    only = backend.rekognition.describe_projects()["ProjectDescriptions"]
    both = backend.rekognition.describe_projects(Features=["CUSTOM_LABELS", "CONTENT_MODERATION"])
    assert [len(only), len(both["ProjectDescriptions"])] == [1, 2]
    assert both["ProjectDescriptions"][0]["AutoUpdate"] == "DISABLED"
    with refused("InvalidParameterException", "AutoUpdate"):
        backend.rekognition.create_project(ProjectName="x", AutoUpdate="ENABLED")
    with refused("InvalidParameterException", "AutoUpdate"):
        backend.rekognition.create_project(ProjectName="x", Feature="CONTENT_MODERATION")
    with refused("InvalidParameterException", "no datasets"):
        backend.rekognition.create_dataset(
            ProjectArn=both["ProjectDescriptions"][0]["ProjectArn"], DatasetType="TRAIN"
        )


def test_a_project_with_a_dataset_is_not_deleted(backend: Backend) -> None:
    """Datasets go first; what is left is named."""
    arn = make_project(backend)
    dataset = make_dataset(backend, arn)
    with refused("ResourceInUseException", dataset):
        backend.rekognition.delete_project(ProjectArn=arn)
    backend.rekognition.delete_dataset(DatasetArn=dataset)
    backend.settle()
    backend.rekognition.delete_project(ProjectArn=arn)
    backend.settle()
    with refused("ResourceNotFoundException", arn):
        backend.rekognition.delete_project(ProjectArn=arn)


def test_other_accounts_and_regions_are_out_of_sight(backend: Backend) -> None:
    """The signature says who asks: another Region or account sees nothing of this one."""
    arn = make_project(backend)
    for other in (arn.replace("us-east-1", "eu-west-1"), arn.replace(":000000000000:", ":111122223333:")):
        with refused("ResourceNotFoundException"):
            backend.rekognition.delete_project(ProjectArn=other)
    session = backend.service.session()
    elsewhere = session.client("rekognition", region_name="eu-west-1")
    assert elsewhere.describe_projects()["ProjectDescriptions"] == []
    stranger = session.client("rekognition", aws_access_key_id="111122223333", aws_secret_access_key="x")
    assert stranger.describe_projects()["ProjectDescriptions"] == []
    assert ":111122223333:" in stranger.create_project(ProjectName="birds")["ProjectArn"]
