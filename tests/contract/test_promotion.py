"""Copying models between projects and accounts, and the policies that allow it."""

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
    """One embedded service, where both accounts live."""
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
    """A client of another account: to the embedded service the access key says whose."""
    with service.serve() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", OTHER_ACCOUNT)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        client = Client(region_name="us-east-1", bucket="production", retry=QUICK)
        client.ensure_bucket()
        yield client


def test_a_copy_within_an_account(model: ModelVersion, pictures: Path) -> None:
    """The copy runs, says the same as the original, and remembers where it came from."""
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
    """A policy allows the copy for as long as it takes, and is gone afterwards."""
    project = production.create_project("production")
    assert project.arn.split(":")[4] == OTHER_ACCOUNT
    copy = model.copy_to(project)
    assert copy.describe().status == "COPYING_COMPLETED"
    assert list(client_of(model).project("development").policies()) == []


def test_a_refused_copy_leaves_no_policy(model: ModelVersion, production: Client) -> None:
    """When the name is taken the error comes through, and nothing stays behind."""
    project = production.create_project("taken")
    model.copy_to(project, "v1")
    with pytest.raises(errors.ResourceInUse):
        model.copy_to(project, "v1")
    assert list(client_of(model).project("development").policies()) == []


@pytest.fixture
def faulty(service: LocalService) -> Iterator[Callable[..., Client]]:
    """Makes clients of a service on the same workspace where things go wrong."""
    with ExitStack() as stack:

        def make(*faults: Fault) -> Client:
            made = LocalService(service.path, engine="tiny", faults=FaultPlan(faults))
            return stack.enter_context(made).client(bucket="development", retry=QUICK)

        yield make


def test_a_copy_that_fails_is_deleted(model: ModelVersion, faulty: Callable[..., Client]) -> None:
    """Half a copy is no use to anybody; the error says what the service said."""
    client = faulty(Fault.fails("CopyProjectVersion", message="The copy was interrupted.", times=1))
    project = client.create_project("broken")
    with pytest.raises(errors.ModelFailed, match="The copy was interrupted"):
        client.model(model.arn).copy_to(project)
    assert list(project.models()) == []
    assert client.model(model.arn).copy_to(project).status == "COPYING_COMPLETED"  # the name is free again


def test_a_rollback_that_fails_does_not_hide_why(
    model: ModelVersion, faulty: Callable[..., Client], caplog: pytest.LogCaptureFixture
) -> None:
    """The failure of the copy comes through; that it could not be deleted stands in the log."""
    client = faulty(
        Fault.fails("CopyProjectVersion", message="The copy was interrupted.", times=1),
        Fault.error("AccessDeniedException", "DeleteProjectVersion"),
    )
    with pytest.raises(errors.ModelFailed, match="The copy was interrupted"):
        client.model(model.arn).copy_to(client.create_project("stays"))
    assert "Could not delete the failed copy" in caplog.text


def test_a_copy_that_takes_too_long_goes_on(model: ModelVersion, faulty: Callable[..., Client]) -> None:
    """The error says how to attach to it again."""
    client = faulty(Fault.stuck("CopyProjectVersion", times=1))
    project = client.create_project("slow")
    with pytest.raises(errors.WaitTimedOut, match="To go on waiting"):
        client.model(model.arn).copy_to(project, timeout=0.1)
    assert project.model("v1").status == "COPYING_IN_PROGRESS"


def test_a_copy_into_another_region_is_refused(model: ModelVersion, service: LocalService) -> None:
    """Before anything is attached or asked for."""
    elsewhere = Client(service.session(), region_name="eu-west-1", bucket="far", retry=QUICK)
    with pytest.raises(errors.InvalidInput, match="from us-east-1 to project 'far' in eu-west-1"):
        model.copy_to(elsewhere.create_project("far"))


def test_tags_on_every_resource(model: ModelVersion, pictures: Path) -> None:
    """Given at creation, added, changed and removed later; beside those of the SDK."""
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
    """A replacement needs the current revision."""
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
