"""Tags of projects, datasets and model versions."""

from __future__ import annotations

from service_backends import (
    Backend,
    backend_fixture,  # noqa: F401 - fixtures
    make_dataset,
    make_project,
    open_backend,
    refused,
)

from rekolabels.local import Quotas


def test_tags_are_added_replaced_and_removed(backend: Backend) -> None:
    """Tags can be set at creation and later; a second value replaces the first."""
    arn = make_project(backend, Tags={"Dept": "Engineering", "Größe 2": "ok"})
    backend.rekognition.tag_resource(ResourceArn=arn, Tags={"Dept": "Sales", "Role": ""})
    backend.rekognition.untag_resource(ResourceArn=arn, TagKeys=["Größe 2", "nothing"])
    tags = backend.rekognition.list_tags_for_resource(ResourceArn=arn)["Tags"]
    assert tags == {"Dept": "Sales", "Role": ""}


def test_tags_are_deleted_with_a_dataset(backend: Backend) -> None:
    """A deleted dataset has no tags to list."""
    project = make_project(backend)
    arn = make_dataset(backend, project, Tags={"a": "b"})
    assert backend.rekognition.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"a": "b"}
    backend.rekognition.delete_dataset(DatasetArn=arn)
    backend.settle()
    with refused("ResourceNotFoundException"):
        backend.rekognition.list_tags_for_resource(ResourceArn=arn)


def test_invalid_tags_are_refused(backend: Backend) -> None:
    """The prefix aws: is reserved, the characters are limited, and the resource must exist."""
    arn = make_project(backend)
    with refused("ValidationException", "aws:x"):
        backend.rekognition.tag_resource(ResourceArn=arn, Tags={"aws:x": "1"})
    with refused("ValidationException", "Map value"):
        backend.rekognition.tag_resource(ResourceArn=arn, Tags={"a": "<script>"})
    with refused("ResourceNotFoundException"):
        backend.rekognition.tag_resource(ResourceArn=arn[:-1] + "x", Tags={"a": "b"})
    with refused("ResourceNotFoundException"):
        backend.rekognition.untag_resource(ResourceArn=f"{arn}9", TagKeys=["a"])


def test_the_quota_of_tags() -> None:
    """A request that exceeds the quota adds none of its tags."""
    with open_backend("in process", quotas=Quotas(tags_per_resource=2)) as backend:
        arn = make_project(backend, Tags={"a": "1"})
        with refused("ServiceQuotaExceededException"):
            backend.rekognition.tag_resource(ResourceArn=arn, Tags={"b": "1", "c": "1"})
        assert backend.rekognition.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"a": "1"}


def test_a_resource_has_at_most_50_tags() -> None:
    """The default quota is that of AWS; a tag that exists already is replaced."""
    with open_backend("in process") as backend:
        arn = make_project(backend, Tags={f"tag{number}": "1" for number in range(50)})
        with refused("ServiceQuotaExceededException", "at most 50"):
            backend.rekognition.tag_resource(ResourceArn=arn, Tags={"another": "1"})
        backend.rekognition.tag_resource(ResourceArn=arn, Tags={"tag7": "2"})
        tags = backend.rekognition.list_tags_for_resource(ResourceArn=arn)["Tags"]
        assert (len(tags), tags["tag7"]) == (50, "2")
        with refused("ServiceQuotaExceededException"):
            make_project(backend, "crowded", Tags={f"tag{number}": "1" for number in range(51)})
