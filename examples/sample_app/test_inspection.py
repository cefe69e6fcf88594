"""Tests of the sample application, with the pytest plugin of rekolabels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inspection import ModelNotRunning, SortResult, new_images, run_nightly, sort_new_images

from rekolabels.local import Fault, FaultPlan

if TYPE_CHECKING:
    from rekolabels import Client, ModelVersion
    from rekolabels.local import ManualClock
    from rekolabels.testing import Recorded

RECORDED = Path(__file__).parent / "recorded"
MODEL = "arn:aws:rekognition:us-east-1:111122223333:project/line/version/v1/1690556751958"
PROJECT = "arn:aws:rekognition:us-east-1:111122223333:project/line/1690474772815"


def put(client: Client, name: str, data: bytes) -> str:
    """Store an image as the camera does."""
    bucket = client.bucket
    assert bucket is not None
    client.session.client("s3").put_object(Bucket=bucket, Key=f"incoming/{name}", Body=data)
    return f"incoming/{name}"


@pytest.fixture
def line(rekolabels_client: Client, rekolabels_model: ModelVersion, rekolabels_images: Path) -> ModelVersion:
    """Start the model, and store a new image of each label."""
    rekolabels_model.start()
    rekolabels_model.wait_until_running()
    for label in ("amber", "blue", "green"):
        put(rekolabels_client, f"{label}.png", (rekolabels_images / label / "0.png").read_bytes())
    return rekolabels_model


SORTED = SortResult(
    moved={f"incoming/{label}.png": f"{label}/{label}.png" for label in ("amber", "blue", "green")}, failed={}
)


def test_images_are_sorted_by_label(rekolabels_client: Client, line: ModelVersion) -> None:
    """Each image is moved once, and none is left."""
    assert sort_new_images(rekolabels_client, line) == SORTED
    assert new_images(rekolabels_client) == []
    assert sort_new_images(rekolabels_client, line) == SortResult({}, {})


def test_uncertain_images_go_to_review(rekolabels_client: Client, line: ModelVersion) -> None:
    """Labels below the required confidence do not count."""
    assert set(sort_new_images(rekolabels_client, line, min_confidence=100.1).moved.values()) == {
        f"review/{label}.png" for label in ("amber", "blue", "green")
    }


def test_a_damaged_image_stays(rekolabels_client: Client, line: ModelVersion) -> None:
    """The other images are sorted, and the result has the reason."""
    key = put(rekolabels_client, "torn.png", b"\x89PNG torn")
    result = sort_new_images(rekolabels_client, line)
    assert result.moved == SORTED.moved
    assert list(result.failed) == new_images(rekolabels_client) == [key]


@pytest.mark.rekolabels(faults=FaultPlan([Fault.overloaded("DetectCustomLabels", times=5)]))
def test_throttling_is_retried(rekolabels_client: Client, line: ModelVersion) -> None:
    """After five throttled requests all images are sorted."""
    assert sort_new_images(rekolabels_client, line) == SORTED


@pytest.mark.rekolabels(faults=FaultPlan([Fault.dropped("DetectCustomLabels", times=2)]))
def test_dropped_connections_are_retried(rekolabels_client: Client, line: ModelVersion) -> None:
    """After two dropped connections all images are sorted."""
    assert sort_new_images(rekolabels_client, line) == SORTED


def test_a_stopped_model_moves_nothing(rekolabels_client: Client, rekolabels_model: ModelVersion) -> None:
    """No image is moved, and the error says what to do."""
    key = put(rekolabels_client, "amber.png", b"any")
    with pytest.raises(ModelNotRunning, match=r"v1 is not running\. Start it"):
        sort_new_images(rekolabels_client, rekolabels_model)
    assert new_images(rekolabels_client) == [key]


def test_the_nightly_run_stops_the_model(
    rekolabels_client: Client,
    rekolabels_model: ModelVersion,
    rekolabels_images: Path,
    rekolabels_clock: ManualClock,
) -> None:
    """The model runs for 15 minutes by the simulated clock; the test takes an instant."""
    put(rekolabels_client, "blue.png", (rekolabels_images / "blue" / "1.png").read_bytes())
    started = rekolabels_clock()
    assert run_nightly(rekolabels_client, rekolabels_model).moved == {"incoming/blue.png": "blue/blue.png"}
    assert rekolabels_model.status == "STOPPED"
    assert 900 <= rekolabels_clock() - started < 1000


def test_a_recorded_answer_of_aws(rekolabels_recorded: Recorded) -> None:
    """AWS detected a logo with a confidence of 77.8 %: below 80 % the image goes to review."""
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
    result = sort_new_images(client, client.model(MODEL))
    assert result.moved == {"incoming/poster.jpg": "review/poster.jpg"}
