"""Work that outlives a process: handles travel without credentials, and tell how to attach to them again."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from botocore.config import Config
from sdk_backends import write_folder

from rekolabels import Client, RetryPolicy, errors
from rekolabels.formats import read_folder
from rekolabels.local import Durations, LocalService, ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rekolabels import ModelVersion

SECRET = "a-secret-that-stays-at-home"
QUICK = RetryPolicy(first_poll=0.01, max_poll=0.05)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that only the test moves."""
    return ManualClock()


@pytest.fixture
def client(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client with credentials of the environment, of a service in whose time a training takes an hour."""
    with LocalService(clock=clock, durations=Durations(training=3600)) as service, service.serve() as server:
        for name, value in {**server.environment, "AWS_SECRET_ACCESS_KEY": SECRET}.items():
            monkeypatch.setenv(name, value)
        client = Client(bucket="restarts", prefix="team-a/", config=Config(read_timeout=50), retry=QUICK)
        client.ensure_bucket()
        yield client


@pytest.fixture
def model(client: Client, tmp_path: Path) -> ModelVersion:
    """A model version that is being trained."""
    project = client.create_project("restarts")
    project.create_datasets(read_folder(write_folder(tmp_path)))
    return project.train("v1")


def elsewhere(program: str, given: bytes = b"") -> str:
    """Run a program in a process of its own, with the environment of this one."""
    ran = subprocess.run(  # noqa: S603 -- our own interpreter and program
        [sys.executable, "-c", program],
        input=given,
        capture_output=True,
        check=True,
        timeout=60,
        env=dict(os.environ),
    )
    return ran.stdout.decode().strip()


WAIT = """
import pickle, sys
model = pickle.load(sys.stdin.buffer)
print(model.wait_until_trained().status)
"""

ATTACH_AND_WAIT = """
from rekolabels import Client
client = Client(bucket="restarts")
print({handle!r}.wait_until_trained().status)
"""


def test_a_wait_goes_on_in_another_process(model: ModelVersion, clock: ManualClock) -> None:
    """A handle that was pickled while the training ran is waited for by whoever unpickles it."""
    travelling = pickle.dumps(model)
    clock.advance(3600)
    assert elsewhere(WAIT, travelling) == "TRAINING_COMPLETED"


def test_a_wait_goes_on_by_its_arn(model: ModelVersion, clock: ManualClock) -> None:
    """What a handle prints is the call that attaches to it again."""
    clock.advance(3600)
    assert elsewhere(ATTACH_AND_WAIT.format(handle=model)) == "TRAINING_COMPLETED"


def test_a_timeout_names_the_call_that_goes_on(model: ModelVersion) -> None:
    """Who gives up waiting is told how to take it up again."""
    with pytest.raises(errors.WaitTimedOut) as caught:
        model.wait_until_trained(timeout=0)
    assert f"{model!r}.wait_until_trained()" in str(caught.value)


def test_handles_print_as_the_call_that_attaches(client: Client, model: ModelVersion) -> None:
    """Evaluating what a handle prints gives an equal handle."""
    project = client.project("restarts")
    for handle in (project, *project.datasets(), model):
        assert handle == eval(repr(handle), {"client": client})  # noqa: S307 -- that is what the test is about


def test_a_client_prints_as_the_call_that_makes_it(client: Client) -> None:
    """Bucket, prefix and Region are in it; a client of a session in process says what it is."""
    assert repr(client) == "Client(bucket='restarts', prefix='team-a/', region_name='us-east-1')"
    with LocalService() as service:
        assert repr(service.client(bucket="puppies")) == "<Client bucket='puppies', of a LocalSession>"


def test_handles_travel_with_the_settings_of_their_client(client: Client, model: ModelVersion) -> None:
    """Bucket, prefix, Region and policy come along; handles that travel together share a client."""
    project = client.project("restarts")
    found, again = pickle.loads(pickle.dumps((model, project)))  # noqa: S301 -- our own
    assert (found.arn, again.arn) == (model.arn, project.arn)
    assert found.client is again.client
    there = found.client
    assert (there.bucket, there.prefix, there.region_name) == ("restarts", "team-a/", "us-east-1")
    assert there.retry == client.retry
    assert found.describe() == model.describe()


def test_no_credentials_travel(client: Client, model: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the key of the environment nor one that was given in code is in a pickle or a repr."""
    import boto3

    given = Client(
        boto3.Session(aws_access_key_id="AKIA0TEST", aws_secret_access_key=SECRET, region_name="us-east-1")
    )
    key = os.environ["AWS_ACCESS_KEY_ID"]
    client.session.client("s3").list_buckets()  # the credentials are loaded
    travelling = pickle.dumps((client, model.client, given)) + repr((client, given)).encode()
    assert [secret for secret in (SECRET, "AKIA0TEST", key) if secret.encode() in travelling] == []

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    attached = pickle.loads(pickle.dumps(given))  # noqa: S301 -- our own
    with pytest.raises(errors.NoCredentials):
        list(attached.projects())


def test_a_client_in_process_does_not_travel() -> None:
    """It would reach AWS elsewhere, or nothing: pickling it is refused, and the message says what to do."""
    with LocalService() as service, pytest.raises(errors.InvalidInput, match="serve"):
        pickle.dumps(service.client().create_project("restarts"))
