"""Upload workers: other processes upload files, and their failures do not make an upload fail."""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from sdk_backends import write_folder

from rekolabels import Client, S3Location, errors
from rekolabels.datasets._upload_workers import UploadTask, upload_all, worker_processes
from rekolabels.formats import read_folder
from rekolabels.local import LocalService

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client that uses two upload processes even for a single image."""
    monkeypatch.setattr("rekolabels.datasets._upload_workers._MIN_FILES", 1)
    with LocalService() as service, service.serve() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        client = Client(bucket="uploads", upload_processes=2)
        client.ensure_bucket()
        yield client


@pytest.fixture
def tasks(tmp_path: Path) -> deque[UploadTask]:
    """Upload tasks for forty files."""
    files = sorted(write_folder(tmp_path, images=20).rglob("*.png"))
    places = [S3Location("uploads", f"{path.parent.name}/{path.name}") for path in files]
    return deque(
        UploadTask(location, str(path), "image/png") for location, path in zip(places, files, strict=True)
    )


def count_objects(client: Client) -> int:
    """Return the number of objects in the bucket."""
    return len(list(client._connection.s3.sizes("uploads", "")))


def test_a_worker_uploads_files(client: Client, tasks: deque[UploadTask]) -> None:
    """Without threads in this process, a worker uploads every file unchanged."""
    last = tasks[-1]
    uploaded: list[int] = []
    with worker_processes(client._connection.s3, tasks, on_uploaded=uploaded.append):
        pass
    assert (sum(uploaded), count_objects(client), len(tasks)) == (40, 40, 0)
    assert client._connection.s3.get(last.location) == Path(last.path).read_bytes()


def test_a_worker_that_cannot_start_does_no_harm(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the worker exits at once, this process uploads all files."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    project = client.create_project("uploads")
    project.create_dataset("train", read_folder(write_folder(tmp_path, images=10)))
    assert count_objects(client) == 20 + 1  # and the manifest


def test_failed_tasks_are_given_back(client: Client, tasks: deque[UploadTask], tmp_path: Path) -> None:
    """A file that no longer exists is tried again in this process, which raises the error."""
    gone = UploadTask(S3Location("uploads", "gone"), str(tmp_path / "gone.png"), "image/png")
    tasks.append(gone)
    with worker_processes(client._connection.s3, tasks, on_uploaded=lambda _: None):
        pass
    assert gone in tasks
    with pytest.raises(errors.InvalidImage, match=r"gone\.png"):
        upload_all(client._connection.s3, tasks, on_uploaded=lambda _: None)


def test_workers_need_credentials_that_they_can_find(client: Client) -> None:
    """No workers are used with credentials given in code or with an embedded service in this process."""
    given = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1")
    assert client._connection.s3.settings is not None
    assert Client(given, upload_processes=2)._connection.s3.settings is None
    with LocalService() as service:
        assert service.client(bucket="uploads")._connection.s3.settings is None


def test_at_least_one_process_is_needed() -> None:
    """Zero upload processes are rejected."""
    with pytest.raises(errors.InvalidInput, match="upload_processes"):
        Client(region_name="us-east-1", upload_processes=0)
