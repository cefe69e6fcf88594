"""Scripts that are run again: what exists is found, and what failed is replaced."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from sdk_backends import QUICK, png, write_folder

from rekolabels import errors
from rekolabels.client import Client
from rekolabels.formats import read_folder
from rekolabels.images import LabelledImage
from rekolabels.local import Fault, FaultPlan, LocalService

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rekolabels import Project


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two labels with six images each."""
    return write_folder(tmp_path / "pictures")


@pytest.fixture
def open_project(folder: Path) -> Iterator[Callable[..., Project]]:
    """A function that returns a project with datasets, in a service with these faults."""
    opened: list[LocalService] = []

    def open_one(*faults: Fault) -> Project:
        opened.append(LocalService(engine="tiny", faults=FaultPlan(list(faults))))
        project = opened[-1].client(bucket="pictures", retry=QUICK).create_project("puppies")
        project.create_datasets(read_folder(folder), seed=1)
        return project

    yield open_one
    for service in opened:
        service.close()


@pytest.fixture
def project(open_project: Callable[..., Project]) -> Project:
    """A project with datasets."""
    return open_project()


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the messages that users see by default."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# -- train() -------------------------------------------------------------------------------------------------


def test_versions_without_a_name_are_numbered(project: Project) -> None:
    """The next number follows the greatest one; other names do not matter."""
    names = [project.train().version_name]
    project.train("v7").wait_until_trained()
    project.train("vintage").wait_until_trained()
    names.append(project.train().version_name)
    project.model("v8").wait_until_trained()
    project.model("v8").delete()
    names.append(project.train().version_name)
    assert names == ["v1", "v8", "v8"]


def test_a_number_that_another_process_has_taken_is_skipped(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name was free when it was chosen; the next one is tried."""
    project.train("v1").wait_until_trained()
    rekognition = project._connection.rekognition
    describe = type(rekognition).describe_project_versions
    listings = []

    def forgetful(*arguments: object) -> object:
        if len(arguments) == 2:  # without names: a list that does not show the new version yet
            listings.append(arguments)
            return iter(())
        return describe(*arguments)  # type: ignore[arg-type] # as given

    monkeypatch.setattr(type(rekognition), "describe_project_versions", forgetful)
    assert project.train().version_name == "v2"
    assert len(listings) == 2


def test_a_version_that_trains_or_is_trained_is_taken_up(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    """The same version is returned, and nothing is trained twice."""
    first = project.train("v1", exist_ok=True)
    assert project.train("v1", exist_ok=True) == first
    first.wait_until_trained()
    assert project.train("v1", exist_ok=True) == first
    assert [model.version_name for model in project.models()] == ["v1"]
    assert warnings_of(caplog) == []


def test_a_version_that_failed_is_trained_again(
    open_project: Callable[..., Project], caplog: pytest.LogCaptureFixture
) -> None:
    """It is deleted, the new one has its name, and the log says why."""
    project = open_project(Fault.fails("CreateProjectVersion", message="The disk is gone.", times=1))
    failed = project.train("v1", exist_ok=True)
    with pytest.raises(errors.TrainingFailed, match="The disk is gone"):
        failed.wait_until_trained()
    again = project.train("v1", exist_ok=True)
    assert again.wait_until_trained().status == "TRAINING_COMPLETED"
    assert again.arn != failed.arn
    assert list(project.models()) == [again]
    assert warnings_of(caplog) == [
        (
            "Model version 'v1' of project 'puppies' has status TRAINING_FAILED: The disk is gone. Deleting "
            "it and training it again."
        )
    ]


def test_a_version_that_is_being_deleted_is_waited_for(project: Project) -> None:
    """As after a run that was interrupted when it had deleted a failed version."""
    first = project.train("v1")
    first.wait_until_trained()
    first.delete(wait=False)
    again = project.train("v1", exist_ok=True)
    again.wait_until_trained()
    assert list(project.models()) == [again]


def test_without_exist_ok_a_failed_version_stays(open_project: Callable[..., Project]) -> None:
    """The error names its status, and both ways to continue."""
    project = open_project(Fault.fails("CreateProjectVersion", times=1))
    model = project.train("v1")
    with pytest.raises(errors.TrainingFailed):
        model.wait_until_trained()
    with pytest.raises(errors.ResourceInUse) as caught:
        project.train("v1")
    assert (
        "Project 'puppies' already has a model version 'v1' (TRAINING_FAILED). Use `project.model('v1')` or "
        "`project.train('v1', exist_ok=True)`, or train a new version with `project.train()`."
        in str(caught.value)
    )
    assert list(project.models()) == [model]


def test_exist_ok_needs_a_name(project: Project) -> None:
    """There is no version to continue with; nothing is trained."""
    with pytest.raises(errors.InvalidInput, match=r"train\('v1', exist_ok=True\)"):
        project.train(exist_ok=True)
    assert list(project.models()) == []


def test_a_version_older_than_the_datasets(
    project: Project, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is returned, and a warning says that it did not see these images."""
    model = project.train("v1", exist_ok=True)
    model.wait_until_trained()
    project.create_datasets(read_folder(folder), seed=2, replace=True)
    assert project.train("v1", exist_ok=True) == model
    assert warnings_of(caplog) == [
        (
            "Model version 'v1' was trained before the present datasets of project 'puppies' were created. "
            "To train with them, use `project.train()`, or another name."
        )
    ]
    assert project.train().version_name == "v2"


# -- create_datasets() ---------------------------------------------------------------------------------------


def test_changed_images_are_an_error_that_says_what_to_do(project: Project, folder: Path) -> None:
    """The datasets stay; the message has both counts, and the call that replaces them."""
    before = project.datasets()
    for number in range(3):
        (folder / "blue" / f"new{number}.png").write_bytes(png(80, 80, (10, 20, 200), number))
    with pytest.raises(errors.ResourceAlreadyExists) as caught:
        project.create_datasets(read_folder(folder), seed=1)
    assert str(caught.value) == (
        "Project 'puppies' already has a training dataset, which was made from other images or labels, or by "
        "another split (it has 10 images, and the new one would have 12). To replace it: "
        "`project.create_datasets(images, replace=True)`. To add images to it: "
        "`project.train_dataset.update(images)`."
    )
    assert project.datasets() == before


def test_changed_images_replace_the_datasets(project: Project, folder: Path) -> None:
    """With ``replace=True``, which changes nothing when the images are the same."""
    first = project.create_datasets(read_folder(folder), seed=1, replace=True)
    (folder / "blue" / "new.png").write_bytes(png(80, 80, (10, 20, 200), 3))
    second = project.create_datasets(read_folder(folder), seed=1, replace=True)
    assert first != second
    assert sum(dataset.describe().total_entries for dataset in second) == 13
    assert project.create_datasets(read_folder(folder), seed=1, replace=True) == second


def test_datasets_that_are_being_deleted_are_replaced(project: Project, folder: Path) -> None:
    """Also when their deletion ends just before they would be deleted again."""
    events: Any = project._connection.rekognition.client.meta.events
    old = project.train_dataset
    assert old is not None

    def delete_first(**_: object) -> None:
        events.unregister("before-call.rekognition.DeleteDataset", delete_first)
        old.delete()

    events.register("before-call.rekognition.DeleteDataset", delete_first)
    (folder / "blue" / "new.png").write_bytes(png(80, 80, (10, 20, 200), 3))
    made = project.create_datasets(read_folder(folder), seed=1, replace=True)
    assert sum(dataset.describe().total_entries for dataset in made) == 13


@pytest.mark.parametrize("seed", [1, 2])
def test_two_processes_create_the_same_datasets(
    project: Project, folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that is later finds them when it creates its own; an error says when they differ."""
    before = tuple(project.datasets())
    described = attrs.evolve(project.describe(), datasets=())
    monkeypatch.setattr(type(project), "describe", lambda _: described)  # nothing existed at its start
    if seed == 1:
        assert project.create_datasets(read_folder(folder), seed=1) == before
    else:
        with pytest.raises(errors.ResourceAlreadyExists, match="different images, labels"):
            project.create_datasets(read_folder(folder), seed=2)


def test_images_that_cannot_be_used_replace_nothing(project: Project, folder: Path, tmp_path: Path) -> None:
    """The old datasets are deleted only when the new images are uploaded."""
    before = project.datasets()
    (tmp_path / "new.png").write_bytes(b"no image")
    images = list(read_folder(folder))
    images.append(LabelledImage(str(tmp_path / "new.png"), ["blue"]))
    with pytest.raises(errors.InvalidImage):
        project.create_datasets(images, replace=True)
    assert project.datasets() == before


def test_an_update_that_failed_does_not_stop_a_script(
    open_project: Callable[..., Project], folder: Path, tmp_path: Path
) -> None:
    """A failed update changes nothing: the datasets are found, and the update can be made again."""
    project = open_project(Fault.fails("UpdateDatasetEntries", times=1))
    (tmp_path / "new.png").write_bytes(png(90, 90, (10, 20, 200), 3))
    new = [LabelledImage(str(tmp_path / "new.png"), ["blue"])]
    train, _ = project.create_datasets(read_folder(folder), seed=1)
    with pytest.raises(errors.DatasetFailed):
        train.update(new)
    assert train.describe().status == "UPDATE_FAILED"
    again, _ = project.create_datasets(read_folder(folder), seed=1)
    assert again == train
    assert again.update(new) == []
    assert again.describe().total_entries == 11


def test_a_service_in_the_folder_of_the_images(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its copies of the images are no labels: the second run reads the same images, and warns."""
    for _ in range(2):
        with LocalService(folder, engine="tiny") as service:
            project = service.client(bucket="pictures", retry=QUICK).create_project("puppies", exist_ok=True)
            images = list(read_folder(folder))
            assert {label for image in images for label in image.labels} == {"amber", "blue"}
            project.create_datasets(images, seed=1)
    assert {text.partition("folder;")[0] for text in warnings_of(caplog)} == {
        f"{folder}: The workspace of an embedded service is in this "
    }


def test_a_missing_bucket_is_created(folder: Path) -> None:
    """So only the line that makes the client differs between a laptop and AWS."""
    with LocalService(engine="tiny") as service:
        client = Client(service.session(), bucket="new-bucket", retry=QUICK)
        project = client.create_project("puppies")
        assert service.session().client("s3").list_buckets()["Buckets"] == []
        project.create_datasets(read_folder(folder))
        project.train("v1").wait_until_trained()
        buckets = service.session().client("s3").list_buckets()["Buckets"]
        assert [bucket["Name"] for bucket in buckets] == ["new-bucket"]
