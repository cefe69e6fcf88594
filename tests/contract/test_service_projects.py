"""Projects: CreateProject, DescribeProjects and DeleteProject."""

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


def test_the_form_of_an_arn(backend: Backend) -> None:
    """The last part of a project's ARN is its CreationTimestamp in milliseconds."""
    arn = make_project(backend)
    match = re.fullmatch(r"arn:aws:rekognition:us-east-1:\d{12}:project/birds/(\d{13})", arn)
    assert match is not None
    (project,) = backend.rekognition.describe_projects()["ProjectDescriptions"]
    created: dt.datetime = project["CreationTimestamp"]
    assert int(match[1]) == round(created.timestamp() * 1000)


def test_arns_differ_even_within_one_millisecond() -> None:
    """Every resource gets an ARN of its own, even if the clock does not move."""
    with open_backend("in process", clock=lambda: 1_690_405_809.285) as backend:
        arns = [make_project(backend, f"p{number}") for number in range(3)]
    assert [arn.rsplit("/", 1)[1] for arn in arns] == ["1690405809285", "1690405809286", "1690405809287"]


def test_a_project_is_creating_and_then_created(backend: Backend) -> None:
    """The project can be used in both statuses."""
    with backend.held():
        arn = backend.rekognition.create_project(ProjectName="birds")["ProjectArn"]
        (project,) = backend.rekognition.describe_projects()["ProjectDescriptions"]
        assert project["Status"] == "CREATING"
        backend.rekognition.create_dataset(ProjectArn=arn, DatasetType="TRAIN")
    (project,) = backend.rekognition.describe_projects()["ProjectDescriptions"]
    assert project["Status"] == "CREATED"


def test_a_name_is_free_after_deletion(backend: Backend) -> None:
    """A second project with the same name is refused until deletion of the first is complete."""
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
    """One project more than the quota allows is refused."""
    with open_backend("in process", quotas=Quotas(projects=2)) as backend:
        for name in ("a", "b"):
            make_project(backend, name)
        with refused("LimitExceededException", "projects (2)"):
            backend.rekognition.create_project(ProjectName="c")


def test_pages_are_newest_first_and_complete(backend: Backend) -> None:
    """Pages contain every project once; a token is valid for the same request only."""
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


def test_unknown_names_are_ignored(backend: Backend) -> None:
    """Names of missing projects give no descriptions, and no error."""
    make_project(backend)
    answer = backend.rekognition.describe_projects(ProjectNames=["birds", "fish"])
    assert [p["ProjectArn"].split("/")[1] for p in answer["ProjectDescriptions"]] == ["birds"]


def test_content_moderation_projects_are_listed_on_request(backend: Backend) -> None:
    """Without Features only Custom Labels projects are listed; AutoUpdate is for adapters only."""
    make_project(backend)
    make_project(backend, "safe", Feature="CONTENT_MODERATION", AutoUpdate="DISABLED")
    default = backend.rekognition.describe_projects()["ProjectDescriptions"]
    both = backend.rekognition.describe_projects(Features=["CUSTOM_LABELS", "CONTENT_MODERATION"])
    assert [len(default), len(both["ProjectDescriptions"])] == [1, 2]
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
    """The error names a dataset that must be deleted first."""
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


def test_accounts_and_regions_are_isolated(backend: Backend) -> None:
    """The signature identifies the caller: another Region or account sees no projects of this one."""
    arn = make_project(backend)
    for other in (arn.replace("us-east-1", "eu-west-1"), arn.replace(":000000000000:", ":111122223333:")):
        with refused("ResourceNotFoundException"):
            backend.rekognition.delete_project(ProjectArn=other)
    session = backend.service.session()
    other_region = session.client("rekognition", region_name="eu-west-1")
    assert other_region.describe_projects()["ProjectDescriptions"] == []
    other_account = session.client("rekognition", aws_access_key_id="111122223333", aws_secret_access_key="x")
    assert other_account.describe_projects()["ProjectDescriptions"] == []
    assert ":111122223333:" in other_account.create_project(ProjectName="birds")["ProjectArn"]
