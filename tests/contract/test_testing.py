"""The pytest plugin: its fixtures, its marker, and the isolation of tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from document_pages import ROOT, read_blocks

from rekolabels import BoundingBox, ImageSize, LabelledImage, errors
from rekolabels.formats import read_folder
from rekolabels.local import Durations, Fault, FaultPlan, LocalService, Quotas
from sdk_handles import client_of

if TYPE_CHECKING:
    from pathlib import Path

    from rekolabels import Client, ModelVersion
    from rekolabels.local import ManualClock
    from rekolabels.testing import Recorded, Trainer

pytest_plugins = ("pytester",)

DETECTED = {
    "operation": "DetectCustomLabels",
    "response": {"CustomLabels": [{"Name": "good", "Confidence": 98.5}]},
}
MODEL = "arn:aws:rekognition:us-east-1:111122223333:project/line/version/v1/1690556751958"
PROJECT = "arn:aws:rekognition:us-east-1:111122223333:project/line/1690474772815"
LISTED = {
    "operation": "DescribeProjects",
    "response": {
        "ProjectDescriptions": [
            {
                "ProjectArn": PROJECT,
                "CreationTimestamp": "2022-06-13T15:16:00.634000-07:00",
                "Status": "CREATED",
            }
        ]
    },
}


def test_a_trained_model_is_provided(rekolabels_model: ModelVersion, rekolabels_images: Path) -> None:
    """The model was trained on the images and detects each label."""
    assert rekolabels_model.status == "TRAINING_COMPLETED"
    assert rekolabels_model.evaluation().f1 == 1.0
    with rekolabels_model.running() as running:
        found = {
            label: running.detect(rekolabels_images / label / "3.png")[0].label
            for label in ("amber", "blue", "green")
        }
    assert found == {label: label for label in ("amber", "blue", "green")}


def test_the_service_uses_the_clock(rekolabels_model: ModelVersion, rekolabels_clock: ManualClock) -> None:
    """The training of the fixture takes no time by the clock; a start takes ten minutes."""
    assert rekolabels_clock() == 1_767_225_600
    rekolabels_model.start()
    assert rekolabels_model.status == "STARTING"
    rekolabels_clock.advance(599)
    assert rekolabels_model.status == "STARTING"
    rekolabels_clock.advance(1)
    assert rekolabels_model.status == "RUNNING"


def test_a_training_of_the_test_takes_an_hour(
    rekolabels_client: Client, rekolabels_images: Path, rekolabels_clock: ManualClock
) -> None:
    """It takes an hour by the clock, as on AWS, although the wait returns at once."""
    project = rekolabels_client.create_project("line")
    project.create_datasets(read_folder(rekolabels_images), test=0.25)
    begun = rekolabels_clock()
    trained = project.train("v1").wait_until_trained()
    assert trained.billable_training_seconds == 3600
    assert 3600 <= rekolabels_clock() - begun < 3700


@pytest.mark.rekolabels(faults=FaultPlan([Fault.throttled(times=1)]), quotas=Quotas(trainings=0))
def test_the_fixture_ignores_faults_and_quotas(rekolabels_model: ModelVersion) -> None:
    """The training of the fixture neither meets them nor uses them up."""
    with pytest.raises(errors.LimitExceeded):
        client_of(rekolabels_model).project("rekolabels-tests").train("v2")


@pytest.mark.rekolabels(durations=Durations(), region_name="eu-west-1", account_id="111122223333")
def test_a_marker_configures_the_service(rekolabels_model: ModelVersion) -> None:
    """Its options also apply to the service that trains."""
    assert rekolabels_model.arn.startswith("arn:aws:rekognition:eu-west-1:111122223333:project/")
    assert rekolabels_model.status == "TRAINING_COMPLETED"


def test_a_model_with_boxes(rekolabels_train: Trainer, tmp_path: Path) -> None:
    """Images with boxes train an object detector."""
    pil = pytest.importorskip("PIL.Image", reason="the extra 'local' is not installed")
    images: list[LabelledImage] = []
    for number in range(8):
        picture = pil.new("RGB", (128, 96), (120, 120, 120))
        left = 10 * number
        picture.paste((220, 40, 40), (left, 30, left + 40, 70))
        picture.save(tmp_path / f"{number}.png")
        box = BoundingBox("part", left, 30, 40, 40)
        images.append(LabelledImage(str(tmp_path / f"{number}.png"), boxes=[box], size=ImageSize(128, 96)))

    model = rekolabels_train(images, project_name="parts", version_name="first")

    assert (model.version_name, client_of(model).project("parts").arn) == ("first", model.project_arn)
    with model.running() as running:
        (found,) = running.detect(tmp_path / "3.png")
    assert (found.label, found.box is not None) == ("part", True)
    assert found.box is not None
    assert (found.box.left, found.box.top) == pytest.approx((30 / 128, 30 / 96), abs=0.05)


def test_a_recording_is_replayed(rekolabels_recorded: Recorded, tmp_path: Path) -> None:
    """A recording is a file or a mapping; times are parsed."""
    (tmp_path / "listed.json").write_text(json.dumps(LISTED), encoding="utf-8")
    client = rekolabels_recorded(tmp_path / "listed.json", LISTED, DETECTED)
    model = client.model(MODEL)
    created = client.project(PROJECT).describe().created_at
    assert created is not None
    assert created.isoformat() == "2022-06-13T22:16:00.634000+00:00"
    assert [found.label for found in model.detect(b"\xff\xd8\xff any")] == ["good"]


def test_recorded_times_may_be_numbers(rekolabels_recorded: Recorded) -> None:
    """As AWS sends them: seconds since 1970."""
    project = {"ProjectArn": PROJECT, "CreationTimestamp": 1655158560.634, "Status": "CREATED"}
    client = rekolabels_recorded(
        {"operation": "DescribeProjects", "response": {"ProjectDescriptions": [project]}}
    )
    created = client.project(PROJECT).describe().created_at
    assert created is not None
    assert created.isoformat() == "2022-06-13T22:16:00.634000+00:00"


def test_a_recorded_error_is_raised(rekolabels_recorded: Recorded) -> None:
    """The SDK retries a recorded throttling error."""
    throttled = {
        "operation": "DescribeProjects",
        "response": {"Error": {"Code": "ThrottlingException", "Message": "slow down"}},
    }
    client = rekolabels_recorded(throttled, LISTED)
    assert client.project("line").arn == PROJECT


def test_recorded_s3_objects_are_read(rekolabels_recorded: Recorded) -> None:
    """A body becomes a stream, also for an S3 client that the application creates."""
    got = {"service": "s3", "operation": "GetObject", "response": {"Body": "grüß Gott"}}
    client = rekolabels_recorded(got, bucket="line")
    body = client.session.client("s3").get_object(Bucket="line", Key="a.txt")["Body"]
    assert body.read().decode() == "grüß Gott"


@pytest.mark.parametrize(
    ("recording", "message"),
    [
        ({"operation": "DetectCustomLabels"}, "'response' is missing"),
        ({**DETECTED, "service": "sqs"}, "'sqs' is missing or unknown"),
        ({**DETECTED, "operation": "DetectDogs"}, "'DetectDogs' is not an operation"),
        ({**DETECTED, "response": {"Labels": []}}, "does not match DetectCustomLabels"),
        ("nowhere.json", "nowhere.json.*does not exist"),
    ],
)
def test_an_invalid_recording_is_named(rekolabels_recorded: Recorded, recording: Any, message: str) -> None:
    """The message names the recording and its problem."""
    with pytest.raises(errors.InvalidInput, match=message):
        rekolabels_recorded(recording)


def test_a_recording_must_be_an_object(rekolabels_recorded: Recorded, tmp_path: Path) -> None:
    """A JSON file with a list is rejected."""
    (tmp_path / "list.json").write_text("[]", encoding="utf-8")
    with pytest.raises(errors.InvalidInput, match=r"list.json: expected a JSON object"):
        rekolabels_recorded(tmp_path / "list.json")


INNER = """
import pytest
from rekolabels.local import Fault, FaultPlan

@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_apart(rekolabels_client, name):
    assert list(rekolabels_client.projects()) == []
    rekolabels_client.create_project("line")

@pytest.mark.rekolabels(faults=FaultPlan([Fault.throttled("DescribeProjects")]), seed=3)
class TestMarked:
    @pytest.mark.rekolabels(faults=None)
    def test_closest(self, rekolabels_client):
        assert list(rekolabels_client.projects()) == []

def test_unused(rekolabels_recorded):
    answer = {"operation": "DescribeProjects", "response": {"ProjectDescriptions": []}}
    rekolabels_recorded(answer)

@pytest.mark.rekolabels(path="here")
def test_refused(rekolabels_service):
    pass

@pytest.mark.rekolabels(engin="tiny")
def test_misspelt(rekolabels_service):
    pass
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_tests_are_isolated(pytester: pytest.Pytester, workers: int) -> None:
    """Each test has its own service, in one process or several; an unused response is an error."""
    pytester.makepyfile(INNER)
    ran = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--strict-markers", "-n", str(workers))
    ran.assert_outcomes(passed=5, errors=3)
    ran.stdout.fnmatch_lines_random(
        [
            "*1 responses remaining in queue*",
            "*each test has its own workspace*",
            "*pytest.mark.rekolabels is 'engin'; expected 'region_name', *Did you mean 'engine'?*",
        ]
    )


def test_the_tests_in_the_documentation_pass(pytester: pytest.Pytester) -> None:
    """docs/testing.md shows ten tests."""
    blocks = [block for block in read_blocks(ROOT / "docs" / "testing.md") if block.language == "python"]
    pytester.makepyfile("\n".join(block.code for block in blocks))
    ran = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--strict-markers")
    ran.assert_outcomes(passed=10)


def serve(service: LocalService, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Serve a service, and let the clients that the tested code makes find it."""
    server = service.serve()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return server


def test_other_programs_can_reach_the_service(
    rekolabels_service: LocalService, rekolabels_model: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that creates its own client finds the service through environment variables."""
    from rekolabels import Client

    with serve(rekolabels_service, monkeypatch):
        assert Client().model(rekolabels_model.arn).status == "TRAINING_COMPLETED"


def test_a_client_of_the_tested_code_does_not_hang(
    rekolabels_service: LocalService,
    rekolabels_model: ModelVersion,
    rekolabels_clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It waits in real time, for seconds, while the clock of the test moves by hours."""
    from rekolabels import Client

    began = rekolabels_clock()
    with serve(rekolabels_service, monkeypatch):
        model = Client().model(rekolabels_model.arn)
        model.start()
        assert model.wait_until_running(timeout=60).status == "RUNNING"
    assert rekolabels_clock() == began + 600


def test_a_program_that_uses_boto3_does_not_hang(
    rekolabels_service: LocalService, rekolabels_model: ModelVersion, rekolabels_clock: ManualClock
) -> None:
    """boto3's waiter polls in real time; here every 0.2 seconds instead of two minutes."""
    client = rekolabels_service.session().client("rekognition")
    rekolabels_model.start()
    client.get_waiter("project_version_running").wait(
        ProjectArn=rekolabels_model.project_arn,
        VersionNames=["v1"],
        WaiterConfig={"Delay": 0.21, "MaxAttempts": 50},  # type: ignore[typeddict-item]  # any number is accepted
    )
    assert rekolabels_model.status == "RUNNING"
    assert rekolabels_clock() == 1_767_225_600 + 600


def test_assertions_in_a_row_are_not_a_wait(rekolabels_model: ModelVersion) -> None:
    """The clock stands still while a test looks at a status."""
    rekolabels_model.start()
    assert {rekolabels_model.status for _ in range(30)} == {"STARTING"}


def test_the_client_of_a_service_with_a_clock_waits_by_it(rekolabels_service: LocalService) -> None:
    """``service.client()`` needs no retry policy."""
    client = rekolabels_service.client(bucket="line")
    client.create_project("line").delete()  # which takes 30 seconds by the clock


SCOPES = """
import pytest

pytestmark = pytest.mark.rekolabels(account_id="111122223333")


@pytest.fixture(scope="module", autouse=True)
def running(module_rekolabels_model):
    module_rekolabels_model.start()
    module_rekolabels_model.wait_until_running()


@pytest.mark.parametrize("number", range(2))
def test_module(module_rekolabels_model, module_rekolabels_client, module_rekolabels_images, number):
    assert module_rekolabels_model.status == "RUNNING"
    assert ":111122223333:" in module_rekolabels_model.arn
    assert [found.version_name for found in module_rekolabels_client.running_models()] == ["v1"]
    assert sorted(path.name for path in module_rekolabels_images.iterdir()) == ["amber", "blue", "green"]


def test_session(session_rekolabels_train, session_rekolabels_clock, session_rekolabels_service, request):
    assert session_rekolabels_service is not request.getfixturevalue("module_rekolabels_service")
    assert session_rekolabels_clock() == 1_767_225_600


def test_function(rekolabels_client):
    assert list(rekolabels_client.projects()) == []
"""


def test_fixtures_of_wider_scopes(pytester: pytest.Pytester) -> None:
    """A module and a session have a service of their own, which all their tests share."""
    pytester.makepyfile(test_one=SCOPES, test_two=SCOPES)
    ran = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--strict-markers")
    ran.assert_outcomes(passed=8)


def test_fixtures_are_listed(pytester: pytest.Pytester) -> None:
    """``pytest --fixtures`` shows each with its scope and what it is."""
    ran = pytester.runpytest_subprocess("--fixtures", "-p", "no:cacheprovider")
    ran.stdout.fnmatch_lines_random(
        [
            "rekolabels_model -- *",
            "module_rekolabels_model [[]module scope[]] -- *",
            "session_rekolabels_clock [[]session scope[]] -- *",
        ]
    )
