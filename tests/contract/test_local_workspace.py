"""Workspace: persistence, invalid workspaces, and several services on one folder."""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest
from service_backends import (
    describe_dataset,
    describe_version,
    make_dataset,
    make_project,
    make_version,
    manifest_line,
    open_backend,
    picture,
    put_pictures,
)

from rekolabels.errors import InvalidInput
from rekolabels.local import LocalService

if TYPE_CHECKING:
    from pathlib import Path


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    """Projects, entries, tags, objects and a running model persist, and the model detects as before."""
    image = {"Bytes": picture("blobs", 5)}
    with open_backend("in process", tmp_path) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        project = make_project(backend, Tags={"a": "b"})
        train = make_dataset(backend, project, "TRAIN", put_pictures(backend, "train", 4))
        make_dataset(backend, project, "TEST", put_pictures(backend, "test", 1))
        version = make_version(backend, project)
        backend.rekognition.start_project_version(ProjectVersionArn=version, MinInferenceUnits=1)
        backend.settle()
        before = backend.rekognition.detect_custom_labels(
            ProjectVersionArn=version, Image=image, MinConfidence=0
        )
        described = describe_version(backend, version)
    with open_backend("in process", tmp_path) as backend:
        assert described == describe_version(backend, version)
        assert describe_dataset(backend, train)["DatasetStats"]["TotalEntries"] == 12
        assert backend.rekognition.list_tags_for_resource(ResourceArn=project)["Tags"] == {"a": "b"}
        after = backend.rekognition.detect_custom_labels(
            ProjectVersionArn=version, Image=image, MinConfidence=0
        )
        assert before["CustomLabels"] == after["CustomLabels"]


def test_a_deleted_version_leaves_nothing_in_the_workspace(tmp_path: Path) -> None:
    """Deleting a version removes the model's files and keeps the results in S3."""
    with open_backend("in process", tmp_path) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        project = make_project(backend)
        for kind in ("TRAIN", "TEST"):
            make_dataset(backend, project, kind, put_pictures(backend, kind.lower(), 2))
        version = make_version(backend, project)
        assert len(list((tmp_path / "rekognition" / "versions").iterdir())) == 1
        backend.rekognition.delete_project_version(ProjectVersionArn=version)
        backend.settle()
        assert list((tmp_path / "rekognition" / "versions").iterdir()) == []
        assert backend.s3.list_objects_v2(Bucket="puppies", Prefix="out/")["KeyCount"] == 6


def test_a_temporary_workspace_is_removed() -> None:
    """Without a path, close() removes the folder."""
    with LocalService() as service:
        path = service.path
        assert path.is_dir()
    assert not path.exists()


def test_a_workspace_from_a_newer_version(tmp_path: Path) -> None:
    """The error names the version of the schema."""
    LocalService(tmp_path).close()
    database = tmp_path / "rekognition" / "state.sqlite"
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(InvalidInput, match=r"newer version.*99"):
        LocalService(tmp_path)


def test_an_unusable_workspace(tmp_path: Path) -> None:
    """A file in place of the folder, or a damaged database, is an InvalidInput that names it."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInput, match="file"):
        LocalService(tmp_path / "file")
    LocalService(tmp_path / "ws").close()
    (tmp_path / "ws" / "rekognition" / "state.sqlite").write_bytes(b"nonsense" * 1000)
    with pytest.raises(InvalidInput, match="database"):
        LocalService(tmp_path / "ws")


def test_two_services_on_one_workspace(tmp_path: Path) -> None:
    """Each sees the changes of the other, does not treat its jobs as interrupted, and loses nothing."""
    with open_backend("in process", tmp_path) as first, open_backend("in process", tmp_path) as second:
        with first.held():
            arn = first.rekognition.create_project(ProjectName="birds")["ProjectArn"]
            (seen,) = second.rekognition.describe_projects()["ProjectDescriptions"]
            assert (arn, "CREATING") == (seen["ProjectArn"], seen["Status"])

        def make(backend: Any, prefix: str) -> None:
            for number in range(15):
                make_project(backend, f"{prefix}{number}")

        threads = [threading.Thread(target=make, args=pair) for pair in ((first, "a"), (second, "b"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = [
            backend.rekognition.describe_projects()["ProjectDescriptions"] for backend in (first, second)
        ]
        assert found[0] == found[1]
        assert len(found[0]) == 31


def test_closing_interrupts_a_training(tmp_path: Path) -> None:
    """close() does not wait for a training: the version is TRAINING_FAILED with a reason."""
    with open_backend("in process", tmp_path) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        project = make_project(backend)
        for kind in ("TRAIN", "TEST"):
            make_dataset(backend, project, kind, put_pictures(backend, kind.lower(), 2))
        backend.service._jobs._open_gate.clear()
        version = make_version(backend, project, wait=False)
    with open_backend("in process", tmp_path) as backend:
        found = describe_version(backend, version)
        assert found["Status"] == "TRAINING_FAILED"
        assert "interrupted" in found["StatusMessage"]
        assert make_version(backend, project, "v2")


def test_many_entries(tmp_path: Path) -> None:
    """A dataset of twenty thousand entries can be created, filtered and counted by label."""
    with open_backend("in process", tmp_path) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        lines = [manifest_line(f"s3://puppies/{n}.png", f"label{n % 50}") for n in range(20_000)]
        arn = make_dataset(backend, make_project(backend), "TRAIN", lines)
        assert describe_dataset(backend, arn)["DatasetStats"]["TotalEntries"] == 20_000
        found = backend.rekognition.list_dataset_entries(DatasetArn=arn, SourceRefContains="/19999.png")
        assert len(found["DatasetEntries"]) == 1
        labels = backend.rekognition.list_dataset_labels(DatasetArn=arn)["DatasetLabelDescriptions"]
        assert [label["LabelStats"]["EntryCount"] for label in labels] == [400] * 50
