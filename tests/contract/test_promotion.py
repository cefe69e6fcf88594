"""Copies of models between projects and accounts, and the policies for them."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from sdk_backends import write_folder

from rekolabels import RetryPolicy, errors
from rekolabels.client import Client
from rekolabels.formats import read_folder
from rekolabels.local import Fault, FaultPlan, LocalService
from sdk_handles import client_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rekolabels import ModelVersion

QUICK = RetryPolicy(first_poll=0.01, max_poll=0.05)
OTHER_ACCOUNT = "210987654321"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    """A local service with both accounts."""
    with LocalService(tmp_path_factory.mktemp("promotion"), engine="tiny") as made:
        yield made


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label folders."""
    return write_folder(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def model(service: LocalService, pictures: Path) -> ModelVersion:
    """A trained model."""
    project = service.client(bucket="development", retry=QUICK).create_project("development")
    project.create_datasets(read_folder(pictures))
    made = project.train("v1")
    made.wait_until_trained()
    return made


@pytest.fixture
def production(service: LocalService, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client of another account, which the local service recognises by the access key."""
    with service.serve() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", OTHER_ACCOUNT)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        client = Client(region_name="us-east-1", bucket="production", retry=QUICK)
        client.ensure_bucket()
        yield client


def test_a_copy_within_an_account(model: ModelVersion, pictures: Path) -> None:
    """The copy gives the same results as the original, and has its ARN as source."""
    project = client_of(model).create_project("staging")
    copy = model.copy_to(project, "from-development")
    found = copy.describe()
    assert (found.version_name, found.status, found.source_arn) == (
        "from-development",
        "COPYING_COMPLETED",
        model.arn,
    )
    assert copy.evaluation().f1 == model.evaluation().f1
    image = next(pictures.rglob("*.png"))
    with model.running() as one, copy.running() as other:
        assert other.detect(image, min_confidence=0) == one.detect(image, min_confidence=0)


def test_a_copy_into_another_account(model: ModelVersion, production: Client) -> None:
    """The policy for the copy is removed afterwards."""
    project = production.create_project("production")
    assert project.arn.split(":")[4] == OTHER_ACCOUNT
    copy = model.copy_to(project)
    assert copy.describe().status == "COPYING_COMPLETED"
    assert list(client_of(model).project("development").policies()) == []


def test_a_rejected_copy_leaves_no_policy(model: ModelVersion, production: Client) -> None:
    """If the name is taken, the error is raised and the policy is removed."""
    project = production.create_project("taken")
    model.copy_to(project, "v1")
    with pytest.raises(errors.ResourceInUse):
        model.copy_to(project, "v1")
    assert list(client_of(model).project("development").policies()) == []


@pytest.fixture
def faulty(service: LocalService) -> Iterator[Callable[..., Client]]:
    """A function that makes clients of a service with faults, on the same workspace."""
    with ExitStack() as stack:

        def make(*faults: Fault) -> Client:
            made = LocalService(service.path, engine="tiny", faults=FaultPlan(faults))
            return stack.enter_context(made).client(bucket="development", retry=QUICK)

        yield make


def test_a_copy_that_fails_is_deleted(model: ModelVersion, faulty: Callable[..., Client]) -> None:
    """A failed copy is deleted, and the error has the service's message."""
    client = faulty(Fault.fails("CopyProjectVersion", message="The copy was interrupted.", times=1))
    project = client.create_project("broken")
    with pytest.raises(errors.ModelFailed, match="The copy was interrupted"):
        client.model(model.arn).copy_to(project)
    assert list(project.models()) == []
    assert (
        client.model(model.arn).copy_to(project).status == "COPYING_COMPLETED"
    )  # the name is available again


def test_a_failed_deletion_does_not_hide_the_reason(
    model: ModelVersion, faulty: Callable[..., Client], caplog: pytest.LogCaptureFixture
) -> None:
    """The failure of the copy is raised; the failed deletion is logged."""
    client = faulty(
        Fault.fails("CopyProjectVersion", message="The copy was interrupted.", times=1),
        Fault.error("AccessDeniedException", "DeleteProjectVersion"),
    )
    with pytest.raises(errors.ModelFailed, match="The copy was interrupted"):
        client.model(model.arn).copy_to(client.create_project("stays"))
    assert "Could not delete the failed copy" in caplog.text


def test_a_copy_continues_after_a_timeout(model: ModelVersion, faulty: Callable[..., Client]) -> None:
    """The error has the call that waits again."""
    client = faulty(Fault.stuck("CopyProjectVersion", times=1))
    project = client.create_project("slow")
    with pytest.raises(errors.WaitTimedOut, match="To go on waiting"):
        client.model(model.arn).copy_to(project, timeout=0.1)
    assert project.model("v1").status == "COPYING_IN_PROGRESS"


def test_a_copy_need_not_be_waited_for(model: ModelVersion) -> None:
    """The copy is returned while it is in progress."""
    project = client_of(model).create_project("later")
    copy = model.copy_to(project, "v9", wait=False)
    assert copy == project.model("v9")
    assert copy.wait_until_trained().status == "COPYING_COMPLETED"


def test_a_copy_to_another_account_is_waited_for(model: ModelVersion, production: Client) -> None:
    """Its policy is removed when it is complete; nothing is done without the wait."""
    project = production.create_project("waited-for")
    with pytest.raises(errors.InvalidInput, match=f"to account {OTHER_ACCOUNT} with wait=False"):
        model.copy_to(project, wait=False)
    assert list(project.models()) == []


def test_copies_between_regions_are_an_error(model: ModelVersion, service: LocalService) -> None:
    """The error is raised before any call."""
    other_region = Client(service.session(), region_name="eu-west-1", bucket="far", retry=QUICK)
    with pytest.raises(errors.InvalidInput, match="from us-east-1 to project 'far' in eu-west-1"):
        model.copy_to(other_region.create_project("far"))


def test_tags_on_every_resource(model: ModelVersion, pictures: Path) -> None:
    """Tags can be given at creation, added, changed and removed, without touching those of the SDK."""
    client = client_of(model)
    project = client.create_project("tagged", tags={"team": "a"})
    train, test = project.create_datasets(read_folder(pictures), tags={"team": "a"})
    version = project.train("v1", tags={"team": "a"})
    version.wait_until_trained()
    copy = version.copy_to(project, "v2", tags={"team": "a"})
    empty = client.create_project("tagged-too").create_dataset("test", tags={"team": "a"})
    for resource in (project, train, test, version, copy, empty):
        assert resource.tags["team"] == "a"
        resource.tag({"team": "b", "cost-centre": "7"})
        resource.untag("cost-centre", "never-there")
        own = {name: value for name, value in resource.tags.items() if not name.startswith("rekolabels:")}
        assert own == {"team": "b"}
    with pytest.raises(errors.InvalidRequest):
        project.tag({"aws:mine": "no"})


def test_policies_are_put_replaced_and_deleted(model: ModelVersion) -> None:
    """A replacement requires the current revision id."""
    project = client_of(model).project("development")
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{OTHER_ACCOUNT}:root"},
        "Action": "rekognition:CopyProjectVersion",
        "Resource": model.arn,
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    revision = project.put_policy("allow", document)
    (policy,) = project.policies()
    assert (policy.name, policy.document, policy.revision_id) == ("allow", document, revision)
    with pytest.raises(errors.ResourceAlreadyExists):
        project.put_policy("allow", document)
    with pytest.raises(errors.PolicyRejected):
        project.put_policy("allow", document, revision_id="0" * 32)
    second = project.put_policy("allow", document.replace("Allow", "Deny"), revision_id=revision)
    assert second != revision
    with pytest.raises(errors.PolicyRejected):
        project.put_policy("other", "{}")
    project.delete_policy("allow", revision_id=second)
    assert list(project.policies()) == []
    with pytest.raises(errors.ResourceNotFound):
        project.delete_policy("allow")
