"""Work that outlives a process: handles are pickled without credentials and print how to attach again."""

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
from sdk_handles import client_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rekolabels import ModelVersion

SECRET = "a-secret-that-is-never-pickled"
QUICK = RetryPolicy(first_poll=0.01, max_poll=0.05)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that only the test advances."""
    return ManualClock()


@pytest.fixture
def client(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client with credentials from the environment; trainings take an hour by the test's clock."""
    with LocalService(clock=clock, durations=Durations(training=3600)) as service, service.serve() as server:
        for name, value in {**server.environment, "AWS_SECRET_ACCESS_KEY": SECRET}.items():
            monkeypatch.setenv(name, value)
        client = Client(bucket="restarts", prefix="team-a/", config=Config(read_timeout=50), retry=QUICK)
        client.ensure_bucket()
        yield client


@pytest.fixture
def model(client: Client, tmp_path: Path) -> ModelVersion:
    """A model version in training."""
    project = client.create_project("restarts")
    project.create_datasets(read_folder(write_folder(tmp_path)))
    return project.train("v1")


def run_process(program: str, stdin: bytes = b"") -> str:
    """Run a program in another process with this environment; return its output."""
    ran = subprocess.run(  # noqa: S603 -- our own interpreter and program
        [sys.executable, "-c", program],
        input=stdin,
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


def test_another_process_can_wait_with_a_pickled_handle(model: ModelVersion, clock: ManualClock) -> None:
    """The handle is pickled while the training runs."""
    pickled = pickle.dumps(model)
    clock.advance(3600)
    assert run_process(WAIT, pickled) == "TRAINING_COMPLETED"


def test_another_process_can_wait_by_arn(model: ModelVersion, clock: ManualClock) -> None:
    """The repr of a handle is the call that attaches to it."""
    clock.advance(3600)
    assert run_process(ATTACH_AND_WAIT.format(handle=model)) == "TRAINING_COMPLETED"


def test_a_timeout_names_the_call_that_continues(model: ModelVersion) -> None:
    """The message has the call that continues the wait."""
    with pytest.raises(errors.WaitTimedOut) as caught:
        model.wait_until_trained(timeout=0)
    assert f"{model!r}.wait_until_trained()" in str(caught.value)


def test_handles_print_as_the_call_that_attaches(client: Client, model: ModelVersion) -> None:
    """Evaluating the repr of a handle gives an equal handle."""
    project = client.project("restarts")
    for handle in (project, *project.datasets(), model):
        assert handle == eval(repr(handle), {"client": client})  # noqa: S307 -- that is what the test is about


def test_a_client_prints_as_the_call_that_creates_it(client: Client) -> None:
    """The repr has bucket, prefix and Region, or names the in-process session."""
    assert repr(client) == "Client(bucket='restarts', prefix='team-a/', region_name='us-east-1')"
    with LocalService() as service:
        assert repr(service.client(bucket="puppies")) == "<Client bucket='puppies', of a LocalSession>"


def test_pickled_handles_keep_the_settings_of_their_client(client: Client, model: ModelVersion) -> None:
    """Bucket, prefix, Region and policy are kept; handles pickled together share a client."""
    project = client.project("restarts")
    found, again = pickle.loads(pickle.dumps((model, project)))  # noqa: S301 -- our own
    assert (found.arn, again.arn) == (model.arn, project.arn)
    assert found._connection is again._connection
    there = found._connection
    assert (there.bucket, there.prefix, there.region_name) == ("restarts", "team-a/", "us-east-1")
    assert there.retry == client.retry
    assert found.describe() == model.describe()


def test_no_credentials_are_pickled(
    client: Client, model: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key, from the environment or given in code, is in a pickle or a repr."""
    import boto3

    given = Client(
        boto3.Session(aws_access_key_id="AKIA0TEST", aws_secret_access_key=SECRET, region_name="us-east-1")
    )
    key = os.environ["AWS_ACCESS_KEY_ID"]
    client.session.client("s3").list_buckets()  # the credentials are loaded
    exposed = pickle.dumps((client, client_of(model), given)) + repr((client, given)).encode()
    assert [secret for secret in (SECRET, "AKIA0TEST", key) if secret.encode() in exposed] == []

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    attached = pickle.loads(pickle.dumps(given))  # noqa: S301 -- our own
    with pytest.raises(errors.NoCredentials):
        list(attached.projects())


def test_an_in_process_client_cannot_be_pickled() -> None:
    """In another process it would reach AWS or nothing, so pickling is refused with advice."""
    with LocalService() as service, pytest.raises(errors.InvalidInput, match="serve"):
        pickle.dumps(service.client().create_project("restarts"))
