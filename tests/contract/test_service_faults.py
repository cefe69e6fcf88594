"""Injected faults: which requests they strike, how often, and that a seed makes them repeatable."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError
from service_backends import (
    HOSTS,
    Backend,
    Host,
    describe_dataset,
    describe_version,
    make_dataset,
    make_project,
    make_version,
    manifest_line,
    open_backend,
    put_pictures,
    refused,
)

from rekolabels.errors import InvalidInput
from rekolabels.local import Durations, Fault, FaultPlan, LocalService, ManualClock
from rekolabels.manifest.codes import CODES

NO_RETRIES = Config(retries={"total_max_attempts": 1})
ERRORS = {
    "ThrottlingException": Fault.throttled,
    "ProvisionedThroughputExceededException": Fault.overloaded,
    "InternalServerError": Fault.broken,
}


def client_of(backend: Backend, name: str = "rekognition") -> Any:
    """Return a client that does not retry."""
    if backend.port is not None:
        return backend.rekognition if name == "rekognition" else backend.s3
    session: Any = backend.service.session()
    return session.client(name, config=NO_RETRIES)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("code", ERRORS)
def test_errors_of_the_service(host: Host, code: str) -> None:
    """A fault strikes only its operation, and only as often as the plan says."""
    plan = FaultPlan([ERRORS[code]("DescribeProjects", after=1, times=2)])
    with open_backend(host, faults=plan) as backend:
        client = client_of(backend)
        client.describe_projects()
        for _ in range(2):
            with refused(code):
                client.describe_projects()
        client.describe_projects()
        client.create_project(ProjectName="birds")


@pytest.mark.parametrize(
    ("fault", "status", "code", "message"),
    [
        (Fault.throttled(), 500, "ThrottlingException", "Service Unavailable. Injected fault."),
        (
            Fault.slowed_down(),
            400,
            "ThrottlingException",
            "Slow down; sudden increase in rate of requests. Injected fault.",
        ),
        (Fault.broken(), 500, "InternalServerError", "Internal server error. Injected fault."),
        (Fault.error("AnyException"), 400, "AnyException", "Injected fault."),
        (Fault.error("AnyException", message="Mine.", status=503), 503, "AnyException", "Mine."),
        (Fault.error("InternalServerError", message="Mine."), 500, "InternalServerError", "Mine."),
    ],
)
def test_messages_of_faults(fault: Fault, status: int, code: str, message: str) -> None:
    """AWS's message comes first; a message of the test replaces it."""
    with open_backend("in process", faults=FaultPlan([fault])) as backend:
        response = backend.post("RekognitionService.DescribeProjects", b"{}")
    assert (response.status, response.code, response.message) == (status, code, message)


def test_s3_slows_down() -> None:
    """S3 has a code of its own."""
    plan = FaultPlan([Fault.slowed_down("S3")])
    with open_backend("in process", faults=plan) as backend, pytest.raises(ClientError) as caught:
        client_of(backend, "s3").list_buckets()
    assert caught.value.response["Error"] == {"Code": "SlowDown", "Message": "Injected fault."}
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503


def test_botocore_retries_after_faults() -> None:
    """A client with retries recovers from throttling and from a dropped connection."""
    faults = [Fault.throttled("CreateProject", times=1), Fault.dropped("DescribeProjects", times=1)]
    with LocalService(faults=FaultPlan(faults)) as service:
        quick = Config(retries={"mode": "standard", "total_max_attempts": 3})
        client = service.session().client("rekognition", config=quick)
        client.create_project(ProjectName="birds")
        assert client.describe_projects()["ResponseMetadata"]["RetryAttempts"] == 1


@pytest.mark.parametrize("host", HOSTS)
def test_dropped_connections(host: Host) -> None:
    """The client gets no response; with ``answered`` the request is carried out nevertheless."""
    faults = [Fault.dropped("CreateProject", times=1), Fault.dropped("CreateProject", answered=True, times=1)]
    with open_backend(host, faults=FaultPlan(faults)) as backend:
        client = client_of(backend)
        for names in ([], ["birds"]):
            with pytest.raises(ConnectionClosedError):
                client.create_project(ProjectName="birds")
            found = client.describe_projects()["ProjectDescriptions"]
            assert names == [one["ProjectArn"].split("/")[1] for one in found]


@pytest.mark.parametrize("host", HOSTS)
def test_faults_of_s3(host: Host) -> None:
    """S3 faults are S3 errors, and do not strike the service's own requests to S3."""
    faults = [Fault.error("SlowDown", "S3", after=1, times=1), Fault.dropped("S3", after=2, times=1)]
    with open_backend(host, faults=FaultPlan(faults)) as backend:
        s3 = client_of(backend, "s3")
        s3.create_bucket(Bucket="puppies")
        with refused("SlowDown", "fault"):
            s3.list_objects_v2(Bucket="puppies")
        with pytest.raises(ConnectionClosedError):
            s3.list_objects_v2(Bucket="puppies")
        make_dataset(backend, make_project(backend), lines=[manifest_line("s3://puppies/a.png", "dark")])


def test_slow_responses_advance_the_clock() -> None:
    """A slow response sleeps by the clock of the service, so a test does not wait."""
    clock = ManualClock(0)
    with LocalService(clock=clock, faults=FaultPlan([Fault.slow(30, "DescribeProjects")])) as service:
        service.session().client("rekognition").describe_projects()
        assert clock() == 30


def test_the_seed_decides_which_requests_are_struck() -> None:
    """Equal seeds strike equal requests, other seeds others, whatever other operations are called."""

    def struck(seed: int, *, noise: bool) -> list[bool]:
        plan = FaultPlan([Fault.throttled(probability=0.4)], seed=seed)
        with LocalService(faults=plan) as service:
            client = service.session().client("rekognition", config=NO_RETRIES)
            outcome: list[bool] = []
            for _ in range(30):
                if noise:
                    fails(client.list_project_policies, ProjectArn="arn:aws:rekognition:x")
                outcome.append(fails(client.describe_projects))
            return outcome

    first = struck(1, noise=False)
    assert first == struck(1, noise=True)
    assert first != struck(2, noise=False)
    assert 4 <= sum(first) <= 20


def fails(call: Any, **parameters: Any) -> bool:
    """Return whether a call fails."""
    try:
        call(**parameters)
    except ClientError:
        return True
    return False


@pytest.mark.parametrize("host", HOSTS)
def test_jobs_that_fail(host: Host) -> None:
    """Jobs end in the failed status of their kind, with the message of the code or a given one."""
    faults = [
        Fault.fails("CreateDataset", "ERROR_EMPTY_MANIFEST", times=1),
        Fault.fails("UpdateDatasetEntries", message="Not today.", times=1),
        Fault.fails("CreateProjectVersion", "ERROR_MANIFEST_TOO_FEW_LABELS", times=1),
        Fault.fails("StartProjectVersion", times=1),
        Fault.fails("CopyProjectVersion", times=1),
    ]
    with open_backend(host, faults=FaultPlan(faults)) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        client, project = backend.rekognition, make_project(backend)
        failed = make_dataset(backend, project)
        assert describe_dataset(backend, failed)["Status"] == "CREATE_FAILED"
        assert describe_dataset(backend, failed)["StatusMessage"] == CODES["ERROR_EMPTY_MANIFEST"].message
        assert describe_dataset(backend, failed)["StatusMessageCode"] == "CLIENT_ERROR"
        client.delete_dataset(DatasetArn=failed)
        backend.settle()
        dataset = make_dataset(backend, project, "TRAIN", put_pictures(backend, "train", 4))
        make_dataset(backend, project, "TEST", put_pictures(backend, "test", 1))
        line = manifest_line("s3://puppies/a.png", "dark").encode()
        client.update_dataset_entries(DatasetArn=dataset, Changes={"GroundTruth": line})
        backend.settle()
        found = describe_dataset(backend, dataset)
        assert (found["Status"], found["StatusMessage"]) == ("UPDATE_FAILED", "Not today.")
        assert (found["StatusMessageCode"], found["DatasetStats"]["TotalEntries"]) == ("SERVICE_ERROR", 12)
        version = describe_version(backend, make_version(backend, project))
        message = CODES["ERROR_MANIFEST_TOO_FEW_LABELS"].message
        assert (version["Status"], version["StatusMessage"]) == ("TRAINING_FAILED", message)
        assert "TrainingEndTimestamp" in version
        arn = make_version(backend, project, "v2")
        client.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1)
        backend.settle()
        assert describe_version(backend, arn)["Status"] == "FAILED"
        copy = client.copy_project_version(
            SourceProjectArn=project,
            SourceProjectVersionArn=arn,
            DestinationProjectArn=project,
            VersionName="copy",
            OutputConfig={"S3Bucket": "puppies"},
        )["ProjectVersionArn"]
        backend.settle()
        assert describe_version(backend, copy)["Status"] == "COPYING_FAILED"
        client.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1)
        backend.settle()
        assert describe_version(backend, arn)["Status"] == "RUNNING"


def test_a_model_stuck_in_stopping() -> None:
    """The model stays in STOPPING however far the clock advances."""
    clock = ManualClock()
    plan = FaultPlan([Fault.stuck("StopProjectVersion", 3600, times=1), Fault.stuck("StopProjectVersion")])
    with open_backend("in process", clock=clock, durations=Durations(stopping=60), faults=plan) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        client, project = backend.rekognition, make_project(backend)
        make_dataset(backend, project, "TRAIN", put_pictures(backend, "train", 4))
        make_dataset(backend, project, "TEST", put_pictures(backend, "test", 1))
        arn = make_version(backend, project)
        client.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1)
        backend.settle()
        client.stop_project_version(ProjectVersionArn=arn)
        clock.advance(10**9)
        assert describe_version(backend, arn)["Status"] == "STOPPING"


@pytest.mark.parametrize("host", HOSTS)
def test_expiring_credentials(host: Host) -> None:
    """Calls with expired credentials are ExpiredTokenException (S3: ExpiredToken); new ones work."""
    clock = ManualClock()
    plan = FaultPlan([Fault.expiring_credentials(900)])
    with open_backend(host, clock=clock, faults=plan) as backend:
        backend.rekognition.create_project(ProjectName="birds")
        backend.s3.create_bucket(Bucket="puppies")
        clock.advance(899)
        backend.rekognition.describe_projects()
        clock.advance(1)
        with refused("ExpiredTokenException", "expired"):
            backend.rekognition.describe_projects()
        with refused("ExpiredToken"):
            backend.s3.list_objects_v2(Bucket="puppies")
        renewed = backend.service.session().client("rekognition")
        assert len(renewed.describe_projects()["ProjectDescriptions"]) == 1


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: Fault.throttled(probability=1.5), "probability"),
        (lambda: Fault.throttled(times=0), "times"),
        (lambda: Fault.error("AnyException", status=200), "status"),
        (lambda: Fault.throttled(after=-1), "after"),
        (lambda: Fault.slow(-1), "seconds"),
        (lambda: Fault.fails("CreateProjectVersion", "ERROR_OF_MY_OWN"), "ERROR_OF_MY_OWN"),
        (lambda: LocalService(faults=FaultPlan([Fault.throttled("CreateProjekt")])), "CreateProjekt"),
        (lambda: LocalService(faults=FaultPlan([Fault.fails("DescribeProjects")])), "DescribeProjects"),
        (lambda: LocalService(faults=FaultPlan([Fault.fails("DeleteProject")])), "DeleteProject"),
        (lambda: LocalService(faults=FaultPlan([Fault.stuck("S3")])), "S3"),
    ],
)
def test_invalid_plans(make: Any, part: str) -> None:
    """A fault that could never strike is an error when the service is created."""
    with pytest.raises(InvalidInput, match=part):
        make()
