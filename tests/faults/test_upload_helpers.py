"""Processes that help to upload: they send their part, and the worst that they can do is to be of no help."""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from sdk_backends import write_folder

from rekolabels import Client, S3Location, errors
from rekolabels.datasets._upload_workers import Parcel, helped, send_all
from rekolabels.formats import read_folder
from rekolabels.local import LocalService

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client that may use two processes from the first image on."""
    monkeypatch.setattr("rekolabels.datasets._upload_workers._PAYS_FROM", 1)
    with LocalService() as service, service.serve() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        client = Client(bucket="uploads", upload_processes=2)
        client.ensure_bucket()
        yield client


@pytest.fixture
def parcels(tmp_path: Path) -> deque[Parcel]:
    """Files to send."""
    files = sorted(write_folder(tmp_path, images=20).rglob("*.png"))
    places = [S3Location("uploads", f"{path.parent.name}/{path.name}") for path in files]
    return deque(Parcel(place, str(path), "image/png") for place, path in zip(places, files, strict=True))


def arrived(client: Client) -> int:
    """The number of objects in the bucket."""
    return len(list(client._connection.s3.sizes("uploads", "")))


def test_a_helper_sends_by_itself(client: Client, parcels: deque[Parcel]) -> None:
    """With nobody else at work, the other process sends everything, as it is on the disk."""
    last = parcels[-1]
    sent: list[int] = []
    with helped(client._connection.s3, parcels, on_sent=sent.append):
        pass
    assert (sum(sent), arrived(client), len(parcels)) == (40, 40, 0)
    assert client._connection.s3.get(last.place) == Path(last.path).read_bytes()


def test_a_helper_that_cannot_start_is_missed_by_nobody(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies at once costs nothing but its help."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    project = client.create_project("uploads")
    project.create_dataset("train", read_folder(write_folder(tmp_path, images=10)))
    assert arrived(client) == 20 + 1  # and the manifest


def test_what_a_helper_cannot_send_is_given_back(
    client: Client, parcels: deque[Parcel], tmp_path: Path
) -> None:
    """A file that vanished is tried again here, where its error can be raised."""
    gone = Parcel(S3Location("uploads", "gone"), str(tmp_path / "gone.png"), "image/png")
    parcels.append(gone)
    with helped(client._connection.s3, parcels, on_sent=lambda _: None):
        pass
    assert gone in parcels
    with pytest.raises(errors.InvalidImage, match=r"gone\.png"):
        send_all(client._connection.s3, parcels, on_sent=lambda _: None)


def test_other_processes_are_used_only_where_they_find_the_same_credentials(client: Client) -> None:
    """Credentials given in code and the embedded service in process stay in this process."""
    given = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1")
    assert client._connection.s3.settings is not None
    assert Client(given, upload_processes=2)._connection.s3.settings is None
    with LocalService() as service:
        assert service.client(bucket="uploads")._connection.s3.settings is None


def test_at_least_one_process_is_needed() -> None:
    """Nobody would send."""
    with pytest.raises(errors.InvalidInput, match="upload_processes"):
        Client(region_name="us-east-1", upload_processes=0)
