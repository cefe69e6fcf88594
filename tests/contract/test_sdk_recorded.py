"""The SDK with recorded responses of AWS, through botocore's Stubber."""

from __future__ import annotations

import io
import json
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from recordings import RECORDED
from rekolabels import Box, Client, Detection, RetryPolicy, S3Location, errors
from rekolabels.descriptions import LabelCount
from rekolabels.models import ModelVersion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from virtual_time import VirtualTime

PROJECT = "arn:aws:rekognition:us-east-1:111122223333:project/my-project/1690474772815"
VERSION = "arn:aws:rekognition:us-east-1:111122223333:project/my-project/version/1/1690556751958"
BUCKET = "custom-labels-console-us-east-1-111111111"


class Recorded:
    """A client with recorded responses."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self.rekognition = Stubber(client._connection.rekognition.client)
        self.s3 = Stubber(client._connection.s3.client)
        self.rekognition.activate()
        self.s3.activate()

    def load(self, name: str) -> dict[str, Any]:
        """Read a recording."""
        found: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text(), object_hook=_times)
        return found

    def answer(self, name: str, **changes: Any) -> None:
        """Let the next call return a recorded response, with some fields changed."""
        found = self.load(name)
        operation = "".join(f"_{c.lower()}" if c.isupper() else c for c in found["operation"]).lstrip("_")
        self.rekognition.add_response(operation, {**found["response"], **changes})

    def put(self, key: str, content: object) -> None:
        """Let the next GetObject return this content."""
        body = json.dumps(content).encode()
        self.s3.add_response(
            "get_object",
            {"Body": StreamingBody(io.BytesIO(body), len(body))},
            {"Bucket": BUCKET, "Key": key},
        )


def _times(item: dict[str, Any]) -> dict[str, Any]:
    """Turn times, which are text in the recordings, into those of botocore."""
    return {
        key: datetime.fromisoformat(value) if key.endswith("Timestamp") and "-07:00" in str(value) else value
        for key, value in item.items()
    }


@pytest.fixture
def recorded(virtual_policy: RetryPolicy) -> Iterator[Recorded]:
    """A client with recorded responses; each response must be used."""
    session = boto3.Session("test", "test", region_name="us-east-1")
    stubs = Recorded(Client(session, retry=virtual_policy), RECORDED)
    yield stubs
    stubs.rekognition.assert_no_pending_responses()
    stubs.s3.assert_no_pending_responses()


@pytest.fixture
def model(recorded: Recorded) -> ModelVersion:
    """The recorded model version."""
    return ModelVersion(recorded.client._connection, VERSION, PROJECT)


def test_a_project(recorded: Recorded) -> None:
    """Name, datasets and times come from a description of AWS."""
    recorded.answer("describe-projects")
    project = recorded.client.project("my-project")
    assert (project.name, project.arn.rsplit("/", 1)[1]) == ("my-project", "1655158560634")
    recorded.answer("describe-projects")
    found = project.describe()
    assert [(dataset.kind, dataset.status) for dataset in found.datasets] == [
        ("test", "CREATE_COMPLETE"),
        ("train", "CREATE_COMPLETE"),
    ]
    assert found.created_at is not None
    assert found.created_at.isoformat() == "2022-06-13T22:16:00.634000+00:00"


def test_creating_resources(recorded: Recorded) -> None:
    """Created projects, datasets and versions have the recorded ARNs."""
    recorded.answer("create-project")
    assert recorded.client.create_project("my-project").arn.endswith("/1690405809285")
    project = recorded.client.project(PROJECT)
    recorded.answer("create-dataset")
    dataset = project.create_dataset("train", "s3://my-bucket/output.manifest", wait=False)
    assert (dataset.kind, dataset.arn.endswith("/dataset/train/1690476084535")) == ("train", True)
    recorded.answer("create-project-version")
    made = project.train("1", output="s3://output_bucket/output_folder")
    assert (made.arn, made.version_name) == (VERSION, "1")


def test_a_dataset_whose_update_failed(recorded: Recorded) -> None:
    """The status is that of the last operation; the dataset has 15 entries, and the error has the reason."""
    dataset = recorded.client.dataset(recorded.load("describe-dataset")["request"]["DatasetArn"])
    recorded.answer("describe-dataset")
    found = dataset.describe()
    assert (found.total_entries, found.labelled_entries, found.error_entries, found.total_labels) == (
        15,
        15,
        0,
        9,
    )
    recorded.answer("describe-dataset")
    with pytest.raises(errors.DatasetFailed, match="multiple S3 buckets") as caught:
        dataset.wait_until_ready()
    assert caught.value.status == "UPDATE_FAILED"


def test_entries_and_labels(recorded: Recorded) -> None:
    """Entries of AWS become labelled images; an empty token ends the pages."""
    dataset = recorded.client.dataset(recorded.load("list-dataset-labels")["request"]["DatasetArn"])
    recorded.answer("list-dataset-labels")
    assert list(dataset.labels()) == [
        LabelCount("camellia", 1),
        LabelCount("with_leaves", 2),
        LabelCount("mediterranean_spurge", 1),
    ]
    recorded.answer("list-dataset-entries")
    images = list(dataset.entries())
    assert [set(image.labels) for image in images] == [
        {"camellia", "with_leaves"},
        {"mediterranean_spurge", "without_leaves"},
    ] or all(image.labels for image in images)
    assert all(image.source.startswith("s3://") for image in images)


def test_a_trained_version(recorded: Recorded, model: ModelVersion) -> None:
    """The snapshot has all fields of a trained version."""
    recorded.answer("describe-project-versions")
    found = model.wait_until_trained()
    assert (found.status, found.f1, found.billable_training_seconds) == ("TRAINING_COMPLETED", 1.0, 1899)
    assert found.evaluation_summary == S3Location(
        BUCKET, "my-model-output/EvaluationResultSummary-my-project-1.json"
    )
    assert found.testing_snapshot == S3Location(
        BUCKET, "my-model-output/TestingGroundTruth-my-project-1.json"
    )
    assert found.training_validation == S3Location(
        BUCKET, "my-model-output/TrainingManifestWithValidation-my-project-1.json"
    )
    assert found.output == S3Location(BUCKET, "my-model-output")
    assert (found.min_inference_units, found.source_arn) == (None, None)


@pytest.mark.parametrize("kind", ["classification", "detection"])
def test_an_evaluation(recorded: Recorded, model: ModelVersion, kind: str) -> None:
    """Both kinds of summary files are read."""
    recorded.answer("describe-project-versions")
    content = recorded.load(f"evaluation-summary-{kind}")["content"]
    recorded.put("my-model-output/EvaluationResultSummary-my-project-1.json", content)
    result = model.evaluation()
    assert result.f1 == content["AggregatedEvaluationResults"]["F1Score"]
    assert sorted(result.labels) == sorted(content["EvaluationDetails"]["Labels"])


def test_an_evaluation_before_the_end_of_the_training(recorded: Recorded, model: ModelVersion) -> None:
    """Before the end of the training, the error says to wait."""
    training = {"ProjectVersionArn": VERSION, "Status": "TRAINING_IN_PROGRESS"}
    recorded.answer("describe-project-versions", ProjectVersionDescriptions=[training])
    with pytest.raises(errors.ResourceNotReady, match="wait_until_trained"):
        model.evaluation()


def test_a_failed_training(recorded: Recorded, model: ModelVersion) -> None:
    """The error has the recorded manifest summary and its codes."""
    versions = recorded.load("describe-project-versions")["response"]["ProjectVersionDescriptions"]
    failed = {
        **versions[0],
        "Status": "TRAINING_FAILED",
        "StatusMessage": "The manifest file contains too many invalid rows.",
    }
    recorded.answer("describe-project-versions", ProjectVersionDescriptions=[failed])
    recorded.put(
        "my-model-output/ManifestSummary-my-project-1.json", recorded.load("manifest-summary")["content"]
    )
    with pytest.raises(errors.TrainingFailed, match="too many invalid rows") as caught:
        model.wait_until_trained()
    assert caught.value.codes == ("ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST",)
    assert caught.value.summary["statistics"]["training"]["invalid_json_lines"] == 155


@pytest.mark.parametrize(
    "status", ["DELETING", "COPYING_FAILED", "TRAINING_FAILED", "FAILED", "A_STATUS_OF_TOMORROW"]
)
def test_wrong_statuses_end_the_wait(
    recorded: Recorded, model: ModelVersion, virtual_time: VirtualTime, status: str
) -> None:
    """Statuses that cannot lead to the goal end the wait, including unknown ones."""
    version = {"ProjectVersionArn": VERSION, "Status": status}
    recorded.answer("describe-project-versions", ProjectVersionDescriptions=[version])
    with pytest.raises((errors.JobFailed, errors.UnexpectedStatus)) as caught:
        model.wait_until_trained()
    assert getattr(caught.value, "status", None) == status
    assert virtual_time.naps == []


def test_an_hour_of_training_is_a_hundred_calls(
    recorded: Recorded, model: ModelVersion, virtual_time: VirtualTime
) -> None:
    """Polling backs off to two polls per minute."""
    polls = 0

    def answer(**_: object) -> tuple[Any, dict[str, Any]]:
        nonlocal polls
        polls += 1
        status = "TRAINING_COMPLETED" if virtual_time.now > 3600 else "TRAINING_IN_PROGRESS"
        version = {"ProjectVersionArn": VERSION, "Status": status}
        return SimpleNamespace(status_code=200), {"ProjectVersionDescriptions": [version]}

    recorded.rekognition.deactivate()
    events: Any = recorded.client._connection.rekognition.client.meta.events
    events.register("before-call.rekognition.DescribeProjectVersions", answer)
    assert model.wait_until_trained().status == "TRAINING_COMPLETED"
    assert 100 <= polls <= 200


def test_a_timeout_names_the_call_that_waits_again(recorded: Recorded, model: ModelVersion) -> None:
    """The error has the call that waits again, in any process."""
    training = {"ProjectVersionArn": VERSION, "Status": "TRAINING_IN_PROGRESS"}
    for _ in range(2):
        recorded.answer("describe-project-versions", ProjectVersionDescriptions=[training])
    with pytest.raises(errors.WaitTimedOut, match=rf"client\.model\('{VERSION}'\)\.wait_until_trained\(\)"):
        model.wait_until_trained(timeout=0.1)


def test_starting_and_stopping(recorded: Recorded, model: ModelVersion) -> None:
    """The recorded responses can be parsed."""
    recorded.answer("start-project-version")
    model.start(min_inference_units=1, max_inference_units=1)
    recorded.answer("stop-project-version")
    model.stop()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "detect-custom-labels",
            [Detection("with_leaves", 67.56399536132812), Detection("without_leaves", 50.65699768066406)],
        ),
        ("detect-custom-labels-image-level", [Detection("living_space", 83.41299819946289)]),
        (
            "detect-custom-labels-objects",
            [
                Detection(
                    "MyLogo",
                    77.7729721069336,
                    Box(0.07924537360668182, 0.4037395715713501, 0.198987677693367, 0.31296101212501526),
                )
            ],
        ),
    ],
)
def test_detections(recorded: Recorded, model: ModelVersion, name: str, expected: list[Detection]) -> None:
    """Image-level labels have no box; objects have a relative box."""
    recorded.answer(name)
    assert model.detect("s3://bucket/image") == expected


def test_tags(recorded: Recorded, model: ModelVersion) -> None:
    """Tags are a mapping."""
    recorded.answer("list-tags-for-resource")
    assert model.tags["Name"] == "Ana Silva Carolina"


def test_a_bucket_of_another_region(recorded: Recorded) -> None:
    """A redirect of S3 becomes an error that names the required Region."""
    client = Client(recorded.client.session, bucket="elsewhere", retry=recorded.client.retry)
    with Stubber(client._connection.s3.client) as s3:
        s3.add_client_error("head_bucket", "301", "Moved Permanently", http_status_code=301)
        with pytest.raises(errors.WrongRegion, match="not in us-east-1"):
            client.ensure_bucket()


def test_a_bucket_of_another_account(recorded: Recorded) -> None:
    """A bucket of another account is an error, and is not created."""
    client = Client(recorded.client.session, bucket="taken", retry=recorded.client.retry)
    with Stubber(client._connection.s3.client) as s3:
        s3.add_client_error("head_bucket", "403", "Forbidden", http_status_code=403)
        with pytest.raises(errors.AccessDenied, match="another account"):
            client.ensure_bucket()
