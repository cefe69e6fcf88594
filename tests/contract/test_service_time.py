"""Injected clock, simulated durations, quotas and request rate limits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from service_backends import (
    HOSTS,
    Backend,
    Host,
    describe_dataset,
    describe_version,
    make_dataset,
    make_project,
    make_version,
    open_backend,
    picture,
    put_pictures,
    refused,
)

from rekolabels import RetryPolicy
from rekolabels.errors import InvalidInput
from rekolabels.local import Durations, LocalService, ManualClock, Quotas, Tps

if TYPE_CHECKING:
    from collections.abc import Iterator

START = 1_700_000_000.0
DURATIONS = Durations(
    training=3600, starting=600, stopping=300, copying=60, datasets=30, deleting=10, media_jobs=5
)


@pytest.fixture(name="clock")
def clock_fixture() -> ManualClock:
    """Return a clock that only moves when told to."""
    return ManualClock(START)


@pytest.fixture(name="slow", params=HOSTS)
def slow_fixture(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[Backend]:
    """Open a service whose jobs take time by the clock."""
    with open_backend(request.param, clock=clock, durations=DURATIONS) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        yield backend


def with_pictures(backend: Backend, clock: ManualClock) -> str:
    """Create a project with both datasets and return its ARN."""
    project = make_project(backend)
    make_dataset(backend, project, "TRAIN", put_pictures(backend, "train", 4))
    make_dataset(backend, project, "TEST", put_pictures(backend, "test", 1))
    clock.advance(30)
    return project


def test_a_training_of_an_hour(slow: Backend, clock: ManualClock) -> None:
    """A training is in progress until the clock has advanced by an hour; its timestamps follow the clock."""
    project = with_pictures(slow, clock)
    arn = make_version(slow, project, wait=False)
    start = clock()
    clock.advance(3599)
    assert describe_version(slow, arn)["Status"] == "TRAINING_IN_PROGRESS"
    clock.advance(1 + 500)
    done = describe_version(slow, arn)
    assert done["Status"] == "TRAINING_COMPLETED", done["StatusMessage"]
    assert abs(done["CreationTimestamp"].timestamp() - start) < 0.1
    assert (done["TrainingEndTimestamp"] - done["CreationTimestamp"]).total_seconds() == 3600
    assert done["BillableTrainingTimeInSeconds"] == 3600


def test_every_state_lasts(slow: Backend, clock: ManualClock) -> None:
    """Datasets, starting, stopping and deleting each take their own duration."""
    client, project = slow.rekognition, make_project(slow)
    dataset = make_dataset(slow, project)
    assert describe_dataset(slow, dataset)["Status"] == "CREATE_IN_PROGRESS"
    clock.advance(30)
    assert describe_dataset(slow, dataset)["Status"] == "CREATE_COMPLETE"
    assert describe_dataset(slow, dataset)["LastUpdatedTimestamp"].timestamp() == pytest.approx(clock())
    client.delete_dataset(DatasetArn=dataset)
    assert describe_dataset(slow, dataset)["Status"] == "DELETE_IN_PROGRESS"
    clock.advance(10)
    with refused("ResourceNotFoundException"):
        client.describe_dataset(DatasetArn=dataset)
    arn = make_version(slow, with_more_pictures(slow, clock), wait=False)
    clock.advance(3600)
    client.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1)
    assert describe_version(slow, arn)["Status"] == "STARTING"
    clock.advance(600)
    assert describe_version(slow, arn)["Status"] == "RUNNING"
    client.stop_project_version(ProjectVersionArn=arn)
    assert describe_version(slow, arn)["Status"] == "STOPPING"
    clock.advance(299)
    assert describe_version(slow, arn)["Status"] == "STOPPING"
    clock.advance(1)
    assert describe_version(slow, arn)["Status"] == "STOPPED"


def with_more_pictures(backend: Backend, clock: ManualClock) -> str:
    """Create another project with both datasets and return its ARN."""
    project = make_project(backend, "more")
    make_dataset(backend, project, "TRAIN", put_pictures(backend, "train", 4))
    make_dataset(backend, project, "TEST", put_pictures(backend, "test", 1))
    clock.advance(30)
    return project


def test_waits_of_the_sdk_advance_the_clock(clock: ManualClock) -> None:
    """With one clock for SDK and service, the SDK's waits advance the time of the service."""
    with LocalService(clock=clock, durations=DURATIONS) as service:
        retry = RetryPolicy(clock=clock, sleep=clock.sleep)
        client = service.client(bucket="puppies", retry=retry)
        backend = Backend(service, service.session().client("rekognition"), service.session().client("s3"))
        arn = with_pictures(backend, clock)
        model = client.project(arn).train("v1")
        model.wait_until_trained()
        assert clock() >= START + 3600
        with model.running(min_inference_units=1) as running:
            assert {found.label for found in running.detect(picture("dark", 1), min_confidence=0)}


def test_closing_does_not_wait_for_the_clock(clock: ManualClock) -> None:
    """close() interrupts jobs that are not due yet."""
    with open_backend("in process", clock=clock, durations=DURATIONS) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        make_version(backend, with_pictures(backend, clock), wait=False)
        assert backend.service._jobs._threads


def test_a_clock_only_moves_forward(clock: ManualClock) -> None:
    """Negative and undefined moves, durations and rates are errors."""
    for wrong in (-1.0, math.nan):
        with pytest.raises(InvalidInput, match=r"seconds is .*; expected a number of seconds from 0"):
            clock.advance(wrong)
        with pytest.raises(InvalidInput, match="training"):
            Durations(training=wrong)
        with pytest.raises(InvalidInput, match="detect_per_unit"):
            Tps(detect_per_unit=wrong)
    assert repr(clock) == f"<ManualClock {START}>"


def test_quotas_off() -> None:
    """Without quotas an account can have more than a hundred projects."""
    with open_backend("in process", quotas=Quotas.off()) as backend:
        for number in range(101):
            backend.rekognition.create_project(ProjectName=f"p{number}")
        backend.settle()


@pytest.mark.parametrize("host", HOSTS)
def test_control_plane_rate_limit(host: Host, clock: ManualClock) -> None:
    """An account may call each operation five times per second; the bucket refills over time."""
    with open_backend(host, clock=clock, tps=Tps()) as backend:
        for _ in range(5):
            without_retries(backend).describe_projects()
        with refused("ProvisionedThroughputExceededException", "DescribeProjects", "5"):
            without_retries(backend).describe_projects()
        without_retries(backend).create_project(ProjectName="another-operation")
        clock.advance(0.2)
        without_retries(backend).describe_projects()
        with refused("ProvisionedThroughputExceededException"):
            without_retries(backend).describe_projects()
        clock.advance(100)
        for _ in range(5):
            without_retries(backend).describe_projects()
        with refused("ProvisionedThroughputExceededException"):
            without_retries(backend).describe_projects()


def without_retries(backend: Backend) -> Any:
    """Return a Rekognition client that does not retry."""
    from botocore.config import Config

    if backend.port is not None:
        return backend.rekognition
    config = Config(retries={"total_max_attempts": 1})
    return backend.service.session().client("rekognition", config=config)


def test_detection_rate_limit_by_inference_units(clock: ManualClock) -> None:
    """Each inference unit adds to the limit; MaxInferenceUnits counts from the start."""
    tps = Tps(detect_per_unit=2, control_plane=math.inf, tags=math.inf)
    with open_backend("in process", clock=clock, tps=tps) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        arn = make_version(backend, with_pictures(backend, clock))
        client, image = without_retries(backend), {"Bytes": picture("blobs", 1)}
        for units, expected in (
            ({"MinInferenceUnits": 1}, 2),
            ({"MinInferenceUnits": 1, "MaxInferenceUnits": 3}, 6),
        ):
            client.start_project_version(ProjectVersionArn=arn, **units)
            backend.settle()
            clock.advance(60)
            for _ in range(expected):
                client.detect_custom_labels(ProjectVersionArn=arn, Image=image)
            with refused("ProvisionedThroughputExceededException", "inference units"):
                client.detect_custom_labels(ProjectVersionArn=arn, Image=image)
            client.stop_project_version(ProjectVersionArn=arn)
            backend.settle()
