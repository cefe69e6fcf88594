"""The tests of the sample application, with the pytest plugin of rekolabels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inspection import LineStopped, Sorted, inspect, inspect_night, new_pictures

from rekolabels.local import Fault, FaultPlan

if TYPE_CHECKING:
    from rekolabels import Client, ModelVersion
    from rekolabels.local import ManualClock
    from rekolabels.testing import Recorded

RECORDED = Path(__file__).parent / "recorded"
MODEL = "arn:aws:rekognition:us-east-1:111122223333:project/line/version/v1/1690556751958"
PROJECT = "arn:aws:rekognition:us-east-1:111122223333:project/line/1690474772815"


def put(client: Client, name: str, data: bytes) -> str:
    """Let the camera store a picture."""
    bucket = client.bucket
    assert bucket is not None
    client.session.client("s3").put_object(Bucket=bucket, Key=f"incoming/{name}", Body=data)
    return f"incoming/{name}"


@pytest.fixture
def line(rekolabels_client: Client, rekolabels_model: ModelVersion, rekolabels_images: Path) -> ModelVersion:
    """A running model, and a new picture of each label."""
    rekolabels_model.start()
    rekolabels_model.wait_until_running()
    for label in ("amber", "blue", "green"):
        put(rekolabels_client, f"{label}.png", (rekolabels_images / label / "0.png").read_bytes())
    return rekolabels_model


SORTED = Sorted(
    moved={f"incoming/{label}.png": f"{label}/{label}.png" for label in ("amber", "blue", "green")}, failed={}
)


def test_pictures_go_to_their_label(rekolabels_client: Client, line: ModelVersion) -> None:
    """Each picture is moved once, and none is left."""
    assert inspect(rekolabels_client, line) == SORTED
    assert new_pictures(rekolabels_client) == []
    assert inspect(rekolabels_client, line) == Sorted({}, {})


def test_unsure_pictures_go_to_review(rekolabels_client: Client, line: ModelVersion) -> None:
    """A label counts from the confidence that was asked for."""
    assert set(inspect(rekolabels_client, line, least=100.1).moved.values()) == {
        f"review/{label}.png" for label in ("amber", "blue", "green")
    }


def test_a_broken_picture_stays(rekolabels_client: Client, line: ModelVersion) -> None:
    """The others are sorted, and the reason is told."""
    key = put(rekolabels_client, "torn.png", b"\x89PNG torn")
    done = inspect(rekolabels_client, line)
    assert done.moved == SORTED.moved
    assert list(done.failed) == new_pictures(rekolabels_client) == [key]


@pytest.mark.rekolabels(faults=FaultPlan([Fault.overloaded("DetectCustomLabels", times=5)]))
def test_busy_hours_are_waited_out(rekolabels_client: Client, line: ModelVersion) -> None:
    """Five refusals in a row cost no picture."""
    assert inspect(rekolabels_client, line) == SORTED


@pytest.mark.rekolabels(faults=FaultPlan([Fault.dropped("DetectCustomLabels", times=2)]))
def test_a_network_that_comes_back_is_waited_for(rekolabels_client: Client, line: ModelVersion) -> None:
    """Two broken connections cost no picture."""
    assert inspect(rekolabels_client, line) == SORTED


def test_a_stopped_model_moves_nothing(rekolabels_client: Client, rekolabels_model: ModelVersion) -> None:
    """The error says what to do."""
    key = put(rekolabels_client, "amber.png", b"any")
    with pytest.raises(LineStopped, match="v1 is not running; start it"):
        inspect(rekolabels_client, rekolabels_model)
    assert new_pictures(rekolabels_client) == [key]


def test_the_night_costs_what_it_takes(
    rekolabels_client: Client,
    rekolabels_model: ModelVersion,
    rekolabels_images: Path,
    rekolabels_clock: ManualClock,
) -> None:
    """The model starts, sorts and stops; by the clock that takes a quarter of an hour, here an instant."""
    put(rekolabels_client, "blue.png", (rekolabels_images / "blue" / "1.png").read_bytes())
    begun = rekolabels_clock()
    assert inspect_night(rekolabels_client, rekolabels_model).moved == {"incoming/blue.png": "blue/blue.png"}
    assert rekolabels_model.status == "STOPPED"
    assert 900 <= rekolabels_clock() - begun < 1000


def test_what_the_real_service_answered(rekolabels_recorded: Recorded) -> None:
    """A logo that the service was 77.8 % sure of, as it was recorded: below 80 it goes to review."""
    listed = {"Contents": [{"Key": "incoming/poster.jpg", "LastModified": "2026-01-01T00:00:00Z"}]}
    project = {"ProjectDescriptions": [{"ProjectArn": PROJECT, "Status": "CREATED"}]}
    client = rekolabels_recorded(
        {"operation": "DescribeProjects", "response": project},
        {"service": "s3", "operation": "ListObjectsV2", "response": listed},
        RECORDED / "detect-logo.json",
        {"service": "s3", "operation": "CopyObject", "response": {}},
        {"service": "s3", "operation": "DeleteObject", "response": {}},
        bucket="line-7",
    )
    done = inspect(client, client.model(MODEL))
    assert done.moved == {"incoming/poster.jpg": "review/poster.jpg"}
