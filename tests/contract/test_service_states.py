"""Errors that depend on the state of the service, whatever the request."""

from __future__ import annotations

import base64
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from conformance_cases import body_of, minimal_request
from service_backends import (
    Backend,
    backend_fixture,  # noqa: F401 - fixtures
    make_dataset,
    make_project,
    make_version,
    open_backend,
    picture,
    put_pictures,
    refused,
)

from rekolabels.local import Quotas
from rekolabels.local._core import _sqlite
from rekolabels.local._operations import OPERATIONS

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = {"Bytes": base64.b64encode(picture("dark", 1)).decode()}
VERSION = "arn:aws:rekognition:us-east-1:000000000000:project/birds/version/v1/1"
EXTRA_PARAMETERS: dict[str, dict[str, Any]] = {
    "CopyProjectVersion": {"OutputConfig": {"S3Bucket": "puppies"}},
    "CreateDataset": {"DatasetType": "TRAIN"},
    "DetectCustomLabels": {"Image": IMAGE},
    "DetectModerationLabels": {"Image": IMAGE, "ProjectVersion": VERSION},
    "DistributeDatasetEntries": {
        "Datasets": [
            {"Arn": f"arn:aws:rekognition:us-east-1:000000000000:project/birds/dataset/{kind}/{number}"}
            for number, kind in enumerate(("train", "test"), 1)
        ]
    },
    "PutProjectPolicy": {
        "PolicyDocument": '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", '
        '"Action": "rekognition:CopyProjectVersion", "Resource": "*"}]}'
    },
    "StartMediaAnalysisJob": {
        "OperationsConfig": {"DetectModerationLabels": {}},
        "Input": {"S3Object": {"Bucket": "puppies", "Name": "all.jsonl"}},
    },
    "TagResource": {"Tags": {"a": "b"}},
    "UpdateDatasetEntries": {"Changes": {"GroundTruth": base64.b64encode(b"{}").decode()}},
}
"""What a request needs, besides the required members, to be looked up in the store."""
READ_ONLY = {name for name in OPERATIONS if name.startswith(("Describe", "Detect", "Get", "List"))}


def request_of(operation: str, **more: Any) -> bytes:
    """Return a request that only the state of the service can make fail."""
    return body_of(minimal_request(operation) | EXTRA_PARAMETERS.get(operation, {}) | more)


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_a_closed_service(operation: str) -> None:
    """Clients that outlive it get a modelled error that they do not retry, with a reason."""
    with open_backend("in process") as backend:
        backend.service.close()
        answer = backend.post(f"RekognitionService.{operation}", request_of(operation))
    assert (answer.status, answer.code) == (400, "AccessDeniedException")
    assert answer.message == "The embedded service is closed. Create a new LocalService."


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_an_unusable_workspace(operation: str) -> None:
    """Clients get the modelled server error, with a reason."""

    def fail(_: object) -> None:
        raise OSError("the disk is gone")

    with open_backend("in process") as backend, pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sqlite.Database, "_check_out", fail)
        answer = backend.post(f"RekognitionService.{operation}", request_of(operation))
    assert (answer.status, answer.code) == (500, "InternalServerError")
    assert answer.message == (
        "Internal server error. Cannot use the workspace of the embedded service: the disk is gone."
    )


@pytest.mark.parametrize("operation", sorted(OPERATIONS.keys() - READ_ONLY))
def test_a_workspace_locked_by_another_process(
    operation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes are throttled, so that clients retry them; reads still work."""
    monkeypatch.setattr(_sqlite, "_BUSY_TIMEOUT", 0.0)
    with open_backend("in process", tmp_path) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        backend.s3.put_object(Bucket="puppies", Key="all.jsonl", Body=b"{}")
        # CreateDataset looks up the project before it writes.
        more = {"ProjectArn": make_project(backend)} if operation == "CreateDataset" else {}
        known = backend.rekognition.describe_projects()["ProjectDescriptions"]
        database = tmp_path / "rekognition" / "state.sqlite"
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = backend.post(f"RekognitionService.{operation}", request_of(operation, **more))
            assert backend.rekognition.describe_projects()["ProjectDescriptions"] == known
    assert (answer.status, answer.code) == (500, "ThrottlingException")
    assert answer.message.startswith("Service Unavailable. Cannot use the workspace")
    assert "is locked" in answer.message


def test_the_quota_of_copies_in_progress(tmp_path: Path) -> None:
    """One copy more than the quota is refused until another one ends."""
    quotas = Quotas(copies=1)
    with open_backend("in process", tmp_path, engine="tiny", quotas=quotas) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        project = make_project(backend)
        for kind in ("TRAIN", "TEST"):
            make_dataset(backend, project, kind, put_pictures(backend, kind.lower(), 2))
        version = make_version(backend, project)
        with backend.held():
            copy(backend, project, version, "a")
            with refused("LimitExceededException", "copies in progress (1)"):
                copy(backend, project, version, "b")
        copy(backend, project, version, "b")


def copy(backend: Backend, project: str, version: str, name: str) -> None:
    """Copy a version within its project."""
    backend.rekognition.copy_project_version(
        SourceProjectArn=project,
        SourceProjectVersionArn=version,
        DestinationProjectArn=project,
        VersionName=name,
        OutputConfig={"S3Bucket": "puppies", "S3KeyPrefix": name},
    )


def test_an_adapter_that_is_not_trained_yet(backend: Backend) -> None:
    """It accepts neither images nor media analysis jobs."""
    project = make_project(backend, Feature="CONTENT_MODERATION", AutoUpdate="DISABLED")
    source = {"GroundTruthManifest": {"S3Object": {"Bucket": "puppies", "Name": "all.jsonl"}}}
    backend.s3.put_object(Bucket="puppies", Key="all.jsonl", Body=b"{}")
    with backend.held():
        version = make_version(
            backend,
            project,
            wait=False,
            TrainingData={"Assets": [source]},
            TestingData={"Assets": [source]},
        )
        with refused("ResourceNotReadyException"):
            backend.rekognition.detect_moderation_labels(Image={"Bytes": b"x"}, ProjectVersion=version)
        with refused("ResourceNotReadyException"):
            backend.rekognition.start_media_analysis_job(
                OperationsConfig={"DetectModerationLabels": {"ProjectVersion": version}},
                Input=source["GroundTruthManifest"],
                OutputConfig={"S3Bucket": "puppies"},
            )


def test_images_that_moderation_refuses(backend: Backend) -> None:
    """An image of more than 4 MB in the request, and one that is missing in S3."""
    with refused("ImageTooLargeException"):
        backend.rekognition.detect_moderation_labels(Image={"Bytes": bytes((4 << 20) + 1)})
    with refused("InvalidS3ObjectException"):
        backend.rekognition.detect_moderation_labels(
            Image={"S3Object": {"Bucket": "puppies", "Name": "nowhere.png"}}
        )


def test_a_dataset_with_an_update_in_progress(backend: Backend) -> None:
    """Its content cannot be listed; a token of another operation is refused."""
    project = make_project(backend)
    dataset = make_dataset(backend, project, "TRAIN", put_pictures(backend, "train", 2))
    client = backend.rekognition
    token = client.list_dataset_labels(DatasetArn=dataset, MaxResults=1)["NextToken"]
    with refused("InvalidPaginationTokenException"):
        client.list_dataset_entries(DatasetArn=dataset, NextToken=token)
    with backend.held():
        client.update_dataset_entries(DatasetArn=dataset, Changes={"GroundTruth": b"{}"})
        with refused("ResourceInUseException"):
            client.list_dataset_labels(DatasetArn=dataset)
