"""Contract of the SDK, on every backend."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from sdk_backends import (
    QUICK,
    client_fixture,  # noqa: F401 - fixtures
    named,
    png,
    service_fixture,  # noqa: F401
    write_folder,
)

from rekolabels import Conversion, errors, wait_all
from rekolabels.client import Client
from rekolabels.formats import read_folder
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.splits import split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rekolabels import ModelVersion, Project
    from rekolabels.descriptions import ModelDescription


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two labels with six images each."""
    return write_folder(tmp_path / "pictures")


@pytest.fixture
def project(request: pytest.FixtureRequest, client: Client) -> Iterator[Project]:
    """A project for one test."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.originalname)
    made = client.create_project(named(client, name))
    yield made
    made.delete(cascade=True)


@pytest.fixture
def trained(project: Project, folder: Path) -> ModelVersion:
    """A trained model version."""
    project.create_datasets(read_folder(folder), seed=1)
    model = project.train("v1")
    model.wait_until_trained()
    return model


def images_of(client: Client) -> Iterator[tuple[str, int]]:
    """Yield key and size of the images that the client has uploaded."""
    return client._connection.s3.sizes(client._connection.require_bucket(), f"{client.prefix}images/")


def manifests_of(client: Client, project: Project) -> Iterator[tuple[str, int]]:
    """Yield key and size of the manifests of a project's training dataset."""
    return client._connection.s3.sizes(
        client._connection.require_bucket(), f"{client.prefix}{project.name}/manifests/train"
    )


class TestProjects:
    """Finding, creating and deleting projects."""

    def test_a_project_is_found_by_name_and_arn(self, client: Client, project: Project) -> None:
        """Name and ARN give equal handles."""
        assert client.project(project.name) == project
        assert client.project(project.arn) == project
        assert project in list(client.projects())

    def test_describe_is_a_snapshot(self, project: Project) -> None:
        """A new project has a name, a status and no datasets."""
        found = project.describe()
        assert (found.name, found.arn, found.datasets) == (project.name, project.arn, ())
        assert found.status in {"CREATING", "CREATED"}
        assert found.created_at is not None

    def test_project_names_are_unique(self, client: Client, project: Project) -> None:
        """The error says how to use the existing project."""
        with pytest.raises(errors.ResourceInUse, match="exist_ok"):
            client.create_project(project.name)
        assert client.create_project(project.name, exist_ok=True) == project

    def test_an_unknown_project(self, client: Client) -> None:
        """The error says how to create the project."""
        with pytest.raises(errors.ResourceNotFound, match="create_project"):
            client.project("unknown")

    def test_adapters_are_updated_on_request(self, client: Client, project: Project) -> None:
        """auto_update is True or False for adapters, and None for other projects; a text is an error."""
        assert project.describe().auto_update is None
        for auto_update in (True, False):
            guard = client.create_project(
                named(client, f"guard-{auto_update}"), feature="CONTENT_MODERATION", auto_update=auto_update
            )
            assert guard.describe().auto_update is auto_update
            guard.delete()
        wrong: Any = "DISABLED"
        with pytest.raises(errors.InvalidInput, match="auto_update is 'DISABLED'; expected True or False"):
            client.create_project("guard", feature="CONTENT_MODERATION", auto_update=wrong)

    def test_invalid_arns(self, client: Client) -> None:
        """An invalid ARN is an error without a call to the service."""
        with pytest.raises(errors.InvalidInput, match="not the ARN of a model version"):
            client.model("arn:aws:s3:::bucket")
        with pytest.raises(errors.InvalidInput, match="not a dataset ARN"):
            client.dataset("x")

    def test_a_project_with_datasets_is_not_deleted_by_accident(self, project: Project) -> None:
        """Without cascade, a project with content is not deleted."""
        project.create_dataset("train")
        with pytest.raises(errors.ResourceInUse, match="cascade=True"):
            project.delete()
        assert project.train_dataset is not None

    @pytest.mark.trains
    def test_cascade_deletes_everything(self, client: Client, folder: Path) -> None:
        """A running model is stopped; versions, datasets and project are deleted."""
        project = client.create_project(named(client, "cascade"))
        project.create_datasets(read_folder(folder))
        model = project.train("v1")
        model.wait_until_trained()
        model.start()
        project.delete(cascade=True)
        assert project.name not in [found.name for found in client.projects()]

    def test_a_deleted_project_is_an_error(self, client: Client) -> None:
        """A handle of a deleted project raises an error."""
        project = client.create_project(named(client, "gone"))
        project.delete()
        with pytest.raises(errors.ResourceNotFound):
            project.describe()


class TestDatasets:
    """Datasets from images."""

    def test_both_datasets_hold_every_image_once(self, project: Project, folder: Path) -> None:
        """Each image is in one dataset, with its labels, and the split is stratified."""
        train, test = project.create_datasets(read_folder(folder), test=0.5, seed=3)
        sources = [image.source for dataset in (train, test) for image in dataset.entries()]
        assert len(sources) == len(set(sources)) == 12
        for dataset in (train, test):
            assert {count.label: count.images for count in dataset.labels()} == {"amber": 3, "blue": 3}
            assert dataset.describe().total_entries == dataset.describe().labelled_entries == 6

    def test_a_split_of_your_own(self, client: Client, project: Project, folder: Path) -> None:
        """Its parts become the datasets; a second run finds them."""
        parts = split(read_folder(folder), test=0.5, seed=3)
        made = project.create_datasets(parts)
        assert [sorted(image.labels for image in dataset.entries()) for dataset in made] == [
            sorted(image.labels for image in part) for part in parts
        ]
        names = [sorted(image.source.rpartition("/")[2] for image in dataset.entries()) for dataset in made]
        assert names == [sorted(Path(image.source).name for image in part) for part in parts]
        assert project.create_datasets(parts) == made
        assert client.create_project(project.name, exist_ok=True).datasets() == list(made)

    def test_a_split_is_not_split_again(self, project: Project, folder: Path) -> None:
        """An option of splitting beside a split is an error, and so is an image on both sides."""
        parts = split(read_folder(folder), test=0.5)
        with pytest.raises(errors.InvalidInput, match=r"seed is 7, but the images are split already"):
            project.create_datasets(parts, seed=7)
        with pytest.raises(errors.InvalidInput, match=r"\.png and 5 more images are in both parts"):
            project.create_datasets(attrs.evolve(parts, test=parts.train))
        assert project.datasets() == []

    def test_every_wait_can_be_left_out(self, client: Client, project: Project, folder: Path) -> None:
        """With wait=False, calls return when the service has accepted the request."""
        train, test = project.create_datasets(read_folder(folder), wait=False)
        for dataset in (train, test):
            dataset.wait_until_ready()
        assert train.update([attrs.evolve(next(train.entries()), labels=["green"])], wait=False) == []
        assert train.wait_until_ready().status == "UPDATE_COMPLETE"
        assert [count.images for count in train.labels() if count.label == "green"] == [1]
        other = client.create_project(f"{project.name}-2")
        other.create_dataset("train", read_folder(folder))
        other.create_dataset("test")
        for dataset in other.distribute_datasets(wait=False):
            dataset.wait_until_ready()
        other.delete(cascade=True, wait=False)
        left = other._describe_or_none()
        assert left is None or left.status == "DELETING"

    def test_iterators_can_be_limited(self, client: Client, project: Project, folder: Path) -> None:
        """limit=0 gives nothing, None everything; a negative one is an error at once."""
        train, _ = project.create_datasets(read_folder(folder), test=0.5)
        assert [len(list(train.entries(limit=limit))) for limit in (0, 2, 100, None)] == [0, 2, 6, 6]
        assert [count.label for count in train.labels(limit=1)] == [next(train.labels()).label]
        assert list(project.models(limit=1)) == []
        assert len(list(client.projects(limit=1))) == 1
        for call in (train.entries, train.labels, project.models, client.projects):
            with pytest.raises(errors.InvalidInput, match="limit is -1"):
                call(limit=-1)

    def test_running_again_returns_the_same_datasets(self, project: Project, folder: Path) -> None:
        """A second run returns the same datasets."""
        first = project.create_datasets(read_folder(folder))
        assert project.create_datasets(read_folder(folder)) == first

    def test_an_interrupted_run_continues(self, project: Project, folder: Path) -> None:
        """If one of the two datasets exists, the other is created."""
        train, test = project.create_datasets(read_folder(folder))
        test.delete()
        again = project.create_datasets(read_folder(folder))
        assert again[0] == train
        assert again[1].describe().total_entries == 2

    def test_datasets_of_other_images_are_kept(self, project: Project, folder: Path) -> None:
        """Datasets made from other images are not changed, and the error says what to do."""
        project.create_datasets(read_folder(folder))
        (folder / "blue" / "new.png").write_bytes(png(80, 80, (10, 20, 200), 3))
        with pytest.raises(errors.ResourceAlreadyExists, match="replace=True"):
            project.create_datasets(read_folder(folder))

    def test_no_image_is_uploaded_twice(self, client: Client, project: Project, folder: Path) -> None:
        """Keys depend on content: a new dataset of known images uploads none of them."""
        project.create_datasets(read_folder(folder))
        before = dict(images_of(client))
        copied = folder.parent / "moved"
        folder.rename(copied)
        for dataset in project.datasets():
            dataset.delete()
        project.create_datasets(read_folder(copied))
        assert dict(images_of(client)) == before

    def test_from_a_manifest_and_as_a_copy(self, client: Client, project: Project, folder: Path) -> None:
        """A dataset can be made from a manifest in S3 or from another dataset."""
        train, _ = project.create_datasets(read_folder(folder))
        manifest = next(key for key, _ in manifests_of(client, project))
        other = client.create_project(f"{project.name}-2")
        copy = other.create_dataset("train", train)
        assert copy.describe().total_entries == 10
        assert other.create_dataset("test", f"s3://{client.bucket}/{manifest}").describe().total_entries == 10
        other.delete(cascade=True)

    def test_a_local_manifest_is_read_first(self, project: Project) -> None:
        """A path instead of a URI is an error that shows how to read the file."""
        with pytest.raises(errors.InvalidInput, match=r"read_manifest\('train\.manifest'\)"):
            project.create_dataset("train", "train.manifest")

    def test_an_update_adds_and_replaces(self, client: Client, project: Project, folder: Path) -> None:
        """New images are added; an existing image gets its new labels."""
        train, _ = project.create_datasets(read_folder(folder))
        known = next(train.entries(labels=["blue"]))
        new = folder.parent / "new.png"
        new.write_bytes(png(90, 90, (40, 170, 60), 11))
        assert train.update([LabelledImage(str(new), ["green"]), attrs.evolve(known, labels=["amber"])]) == []
        assert train.describe().total_entries == 11
        assert {image.source for image in train.entries(labels=["green"])} == {
            f"s3://{client.bucket}/{key}" for key, _ in images_of(client) if key.endswith("new.png")
        }
        assert next(train.entries(source_contains=known.source)).labels == ("amber",)

    def test_an_update_returns_errors(self, project: Project) -> None:
        """Errors that the service finds in accepted lines are returned."""
        dataset = project.create_dataset("train")
        box = BoundingBox("blue", left=90, top=90, width=30, height=30)
        bad = LabelledImage("s3://bucket/bad.png", boxes=[box], size=ImageSize(100, 100))
        good = attrs.evolve(bad, source="s3://bucket/good.png", size=ImageSize(200, 200))
        found = dataset.update([bad, good])
        assert {error.source for error in found} == {bad.source}
        assert "ERROR_INVALID_BOUNDING_BOX" in {error.code for error in found}

    def test_large_updates_are_sent_in_several_requests(self, project: Project) -> None:
        """More than 5 MB of lines are sent in several requests."""
        dataset = project.create_dataset("train")
        images = [
            LabelledImage(f"s3://bucket/{'x' * 800}{number}.png", ["a" * 200]) for number in range(5000)
        ]
        dataset.update(images)
        assert dataset.describe().total_entries == 5000

    def test_the_service_distributes(self, project: Project, folder: Path) -> None:
        """The service moves a fifth of the training dataset."""
        project.create_dataset("train", read_folder(folder))
        project.create_dataset("test")
        train, test = project.distribute_datasets()
        assert train.describe().total_entries + test.describe().total_entries == 12
        assert test.describe().total_entries >= 2

    def test_distributing_needs_both(self, project: Project) -> None:
        """The error names the missing dataset."""
        with pytest.raises(errors.InvalidInput, match="no training dataset"):
            project.distribute_datasets()

    def test_a_missing_manifest(self, project: Project) -> None:
        """A missing manifest is an error of ours."""
        with pytest.raises((errors.ImageRejected, errors.DatasetFailed)):
            project.create_dataset("train", "s3://bucket/nowhere.manifest")

    def test_invalid_images_are_reported_before_the_upload(
        self, client: Client, project: Project, folder: Path
    ) -> None:
        """All invalid images are named at once, and nothing is uploaded."""
        (folder / "blue" / "small.png").write_bytes(png(32, 64, (0, 0, 0), 1))
        (folder / "blue" / "wide.png").write_bytes(png(5000, 64, (0, 0, 0), 1))
        images = [*read_folder(folder), LabelledImage(str(folder / "text.jpg"), ["blue"])]
        (folder / "text.jpg").write_text("not an image")
        before = dict(client._connection.s3.sizes(client._connection.require_bucket(), client.prefix))
        with pytest.raises(errors.InvalidImage, match="3 of 15 images") as caught:
            project.create_datasets(images)
        for reason in (
            "small.png: the image has 32 x 64 pixels",
            "wide.png: the image has 5000 x 64 pixels",
            "text.jpg: the file is neither JPEG nor PNG",
        ):
            assert reason in str(caught.value)
        assert {Path(source).name for source in caught.value.sources} == {"small.png", "wide.png", "text.jpg"}
        assert project.datasets() == []
        assert dict(client._connection.s3.sizes(client._connection.require_bucket(), client.prefix)) == before

    def test_a_file_over_15_mb(self, project: Project, folder: Path) -> None:
        """Files above the limit of the service are rejected before the upload."""
        with (folder / "blue" / "00.png").open("ab") as file:
            file.truncate(16 * 2**20)
        with pytest.raises(errors.InvalidImage, match="larger than 15 MB"):
            project.create_datasets(read_folder(folder))

    def test_no_images(self, project: Project) -> None:
        """No images are an error and do not make an empty dataset."""
        with pytest.raises(errors.InvalidInput, match="no images"):
            project.create_datasets([])

    def test_a_path_in_place_of_images(self, project: Project, folder: Path) -> None:
        """The error says how to read the images of a folder, and how to label a single file."""
        first = next(folder.rglob("*.png"))
        wrong: list[tuple[Any, str]] = [
            (str(folder), "read_folder("),
            (folder, "read_folder("),
            ([first], "LabelledImage("),
        ]
        for images, hint in wrong:
            with pytest.raises(errors.InvalidInput, match=re.escape(hint)):
                project.create_datasets(images)
        with pytest.raises(errors.InvalidInput, match=r"read_folder\("):
            project.create_dataset("train", str(folder))
        assert project.datasets() == []

    def test_one_label_only(self, project: Project, tmp_path: Path) -> None:
        """Classification needs at least two labels."""
        with pytest.raises(errors.CannotSplit, match="only the label 'amber'"):
            project.create_datasets(read_folder(write_folder(tmp_path / "one", labels=1)))

    def test_a_label_with_one_image(self, project: Project, folder: Path) -> None:
        """A label with too few images for both datasets is named."""
        (folder / "green").mkdir()
        (folder / "green" / "only.png").write_bytes(png(64, 64, (0, 200, 0), 2))
        with pytest.raises(errors.CannotSplit, match="green"):
            project.create_datasets(read_folder(folder))

    def test_one_file_with_two_labels(self, project: Project, folder: Path) -> None:
        """The same file with two labels is an error that names both paths."""
        (folder / "amber" / "same.png").write_bytes(png(64, 64, (9, 9, 9), 2))
        (folder / "blue" / "same.png").write_bytes(png(64, 64, (9, 9, 9), 2))
        with pytest.raises(errors.InvalidInput, match="The same picture has different labels"):
            project.create_datasets(read_folder(folder))

    def test_converted_images(self, client: Client, project: Project, folder: Path) -> None:
        """Other formats are converted, boxes are scaled with them, and running again changes nothing."""
        image = pytest.importorskip("PIL.Image")
        box = BoundingBox("blue", 2048, 0, 1024, 512)
        found: list[Conversion] = []
        image.new("RGB", (8192, 1024), "blue").save(folder / "wide.tif")
        images = [LabelledImage(str(folder / "wide.tif"), boxes=[box])]
        dataset = project.create_dataset("train", images, convert=True, on_conversion=found.append)
        [entry] = dataset.entries()
        assert entry.boxes == (BoundingBox("blue", 1024, 0, 512, 256),)
        assert entry.size == ImageSize(4096, 512)
        assert entry.source.endswith("/wide.png")
        expected = Conversion(images[0].source, "TIFF", "PNG", ImageSize(4096, 512))
        assert found == [expected]
        before = dict(images_of(client))
        assert project.create_dataset("train", images, convert=True) == dataset
        image.new("RGB", (90, 80), "blue").save(folder / "new.bmp")
        assert dataset.update([*images, LabelledImage(str(folder / "new.bmp"))], convert=True) == []
        assert before.items() < dict(images_of(client)).items()
        assert sorted(Path(entry.source).name for entry in dataset.entries()) == ["new.png", "wide.png"]

    def test_an_update_checks_its_images(self, client: Client, project: Project, folder: Path) -> None:
        """It refuses what create_datasets refuses, before it uploads anything."""
        train, _ = project.create_datasets(read_folder(folder))
        before = dict(images_of(client))
        (folder / "new.png").write_bytes(png(90, 90, (40, 170, 60), 11))
        (folder / "cut.png").write_bytes(png(90, 90, (40, 170, 60), 12)[:90])
        images = [LabelledImage(str(folder / name), ["blue"]) for name in ("new.png", "cut.png")]
        with pytest.raises(errors.InvalidImage, match="Cannot update the dataset: 1 of 2 images") as caught:
            train.update(images)
        assert caught.value.sources == (images[1].source,)
        assert dict(images_of(client)) == before

    def test_without_a_bucket(self, client: Client, folder: Path) -> None:
        """The error says how to give the client a bucket."""
        project = Client(client.session, retry=QUICK).create_project(named(client, "no-bucket"))
        with pytest.raises(errors.InvalidInput, match="bucket="):
            project.create_datasets(read_folder(folder))
        project.delete()


@pytest.mark.trains
class TestTraining:
    """Training, waiting and evaluation."""

    def test_a_training_gives_metrics(self, trained: ModelVersion) -> None:
        """Images of plain colours are classified correctly, and result files have the service's names."""
        found = trained.describe()
        result = trained.evaluation()
        assert found.status == "TRAINING_COMPLETED"
        assert found.f1 == pytest.approx(result.f1, abs=1e-6)
        assert sorted(result.labels) == ["amber", "blue"]
        assert result.f1 == 1.0
        assert found.evaluation_summary is not None
        assert found.evaluation_summary.key.endswith(
            f"EvaluationResultSummary-{found.arn.split('/')[1]}-v1.json"
        )

    def test_an_evaluation_can_be_pickled(self, trained: ModelVersion) -> None:
        """A pickled or copied result has the same metrics."""
        result = trained.evaluation()
        assert len(list(result.images)) == 2
        for other in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):  # noqa: S301 -- our own bytes
            assert other == result
            assert str(other) == str(result)

    def test_progress_is_reported(self, project: Project, folder: Path) -> None:
        """``on_progress`` gets each snapshot."""
        project.create_datasets(read_folder(folder))
        seen: list[ModelDescription] = []
        last = project.train("v1").wait_until_trained(on_progress=seen.append)
        assert seen[-1] == last
        assert last.status == "TRAINING_COMPLETED"

    def test_version_names_are_unique(self, project: Project, trained: ModelVersion) -> None:
        """The error says how to use the existing version."""
        with pytest.raises(errors.ResourceInUse, match=r"project\.model\('v1'\)"):
            project.train("v1")
        assert project.model("v1") == trained
        assert list(project.models()) == [trained]

    def test_training_without_datasets(self, project: Project) -> None:
        """The error names the missing datasets."""
        with pytest.raises(errors.InvalidInput, match="no training and no test dataset"):
            project.train("v1")
        project.create_dataset("train")
        with pytest.raises(errors.InvalidInput, match="no test dataset"):
            project.train("v1")

    def test_manifest_and_split_belong_together(self, project: Project) -> None:
        """One without the other is an error without a call to the service."""
        with pytest.raises(errors.InvalidInput, match="auto_split"):
            project.train("v1", training_manifest="s3://bucket/m")
        with pytest.raises(errors.InvalidInput, match="training_manifest"):
            project.train("v1", auto_split=True)

    def test_an_evaluation_without_its_file(self, client: Client, trained: ModelVersion) -> None:
        """The error names the missing summary."""
        summary = trained.describe().evaluation_summary
        assert summary is not None
        client._connection.s3.client.delete_object(Bucket=summary.bucket, Key=summary.key)
        with pytest.raises(errors.ObjectNotFound, match="EvaluationResultSummary"):
            trained.evaluation()

    def test_a_failed_training_has_reasons(self, client: Client, project: Project, folder: Path) -> None:
        """If images were deleted from S3, the training fails, and the error has the service's codes."""
        train, test = project.create_datasets(read_folder(folder))
        for dataset in (train, test):
            for image in dataset.entries():
                bucket, _, key = image.source.removeprefix("s3://").partition("/")
                client._connection.s3.client.delete_object(Bucket=bucket, Key=key)
        model = project.train("v1")
        with pytest.raises(errors.TrainingFailed) as caught:
            model.wait_until_trained()
        assert caught.value.status == "TRAINING_FAILED"
        assert caught.value.status_message
        assert caught.value.codes
        assert "statistics" in caught.value.summary
        with pytest.raises(errors.TrainingFailed):
            wait_all([model])

    def test_waiting_for_many(self, project: Project, folder: Path) -> None:
        """``wait_all`` returns the last snapshots in the order of the models."""
        project.create_datasets(read_folder(folder))
        models = [project.train("v1"), project.train("v2")]
        ended = wait_all(reversed(models))
        assert [(found.version_name, found.status) for found in ended] == [
            ("v2", "TRAINING_COMPLETED"),
            ("v1", "TRAINING_COMPLETED"),
        ]

    def test_waiting_for_a_deleted_version(self, trained: ModelVersion) -> None:
        """Waiting for a deleted version is an error."""
        trained.delete()
        with pytest.raises(errors.UnexpectedStatus, match="no longer exists"):
            trained.wait_until_trained()


@pytest.mark.trains
class TestRunning:
    """Starting, detection and stopping."""

    def test_a_model_is_stopped_on_leaving(self, client: Client, trained: ModelVersion, folder: Path) -> None:
        """The model runs inside the block, and is stopped after an error as well."""

        def run() -> None:
            with trained.running() as running:
                found = running.detect(folder / "blue" / "00.png")
                assert [(label.label, label.box) for label in found] == [("blue", None)]
                assert 0 < found[0].confidence <= 100
                assert trained in [running.model for running in client.running_models()]
                raise KeyError

        with pytest.raises(KeyError):
            run()
        assert trained.status == "STOPPED"
        assert trained not in [running.model for running in client.running_models()]

    def test_a_running_model_is_joined_and_left_running(self, trained: ModelVersion) -> None:
        """A block does not stop a model that it did not start."""
        trained.start()
        trained.wait_until_running()
        with trained.running():
            pass
        assert trained.status == "RUNNING"

    def test_every_kind_of_image(self, client: Client, trained: ModelVersion, folder: Path) -> None:
        """Path, string, bytes, open file and S3 URI give the same result; 0 returns every label."""
        path = folder / "amber" / "01.png"
        key = next(key for key, _ in images_of(client))
        with trained.running() as running:
            wanted = running.detect(path)
            assert running.detect(str(path)) == wanted
            assert running.detect(path.read_bytes()) == wanted
            with path.open("rb") as file:
                assert running.detect(file) == wanted
            everything = running.detect(f"s3://{client.bucket}/{key}", min_confidence=0)
            assert sorted(found.label for found in everything) == ["amber", "blue"]
            assert len(running.detect(path, min_confidence=0, max_results=1)) == 1

    @pytest.mark.parametrize("ordered", [True, False])
    def test_many_images_at_once(
        self,
        trained: ModelVersion,
        folder: Path,
        ordered: bool,  # noqa: FBT001 -- a parameter of the test
    ) -> None:
        """Each image has one outcome; unreadable images have an error, and the others a result."""
        (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        paths = [*folder.rglob("*.png"), folder / "missing.png"] * 5
        with trained.running() as running:
            outcomes = list(running.detect_many(iter(paths), ordered=ordered))
        if ordered:
            assert [outcome.image for outcome in outcomes] == paths
        assert sorted(str(outcome.image) for outcome in outcomes) == sorted(map(str, paths))
        for outcome in outcomes:
            path = Path(str(outcome.image))
            if path.name == "missing.png":
                assert isinstance(outcome.error, errors.InvalidImage)
            elif path.name == "broken.png":
                assert isinstance(outcome.error, errors.ImageRejected)
            else:
                assert ([found.label for found in outcome.detections], outcome.error) == (
                    [path.parent.name],
                    None,
                )

    def test_detecting_with_a_stopped_model(self, trained: ModelVersion, folder: Path) -> None:
        """Detection with a stopped model is an error that shows how to run it."""
        with pytest.raises(errors.ResourceNotReady, match=r"with model\.running\(\)") as caught:
            trained.detect(folder / "blue" / "00.png")
        assert caught.value.code == "ResourceNotReadyException"

    def test_invalid_files(self, trained: ModelVersion, tmp_path: Path) -> None:
        """Missing, empty and oversized files are errors without a call."""
        with pytest.raises(errors.InvalidImage, match="cannot be read"):
            trained.detect(tmp_path / "missing.jpg")
        with pytest.raises(errors.InvalidImage, match="is a URL; expected a path"):
            trained.detect("https://example.org/rex.jpg")
        with pytest.raises(errors.InvalidImage, match="empty"):
            trained.detect(b"")
        with pytest.raises(errors.InvalidImage, match="15 MB"):
            trained.detect(bytes(15 * 2**20 + 1))
        with pytest.raises(errors.InvalidImage, match="is not an image; expected a JPEG or PNG"):
            trained.detect(b"hello")

    def test_a_damaged_image(self, trained: ModelVersion, tmp_path: Path) -> None:
        """The error has the service's code and the name of the file."""
        path = tmp_path / "damaged.jpg"
        path.write_bytes(b"\xff\xd8\xff")
        with trained.running() as running:
            for image, name in ((path, str(path)), (path.read_bytes(), "the image")):
                with pytest.raises(errors.ImageRejected) as caught:
                    running.detect(image)
                assert caught.value.code == "InvalidImageFormatException"
                expected = f"The service rejected {name}. Save it again as JPEG or PNG. [DetectCustomLabels: "
                assert str(caught.value).startswith(expected)

    def test_a_running_model_is_not_deleted(self, trained: ModelVersion) -> None:
        """It is not started twice either. The error names ``stop=True``, which stops the model first."""
        trained.start()
        with pytest.raises(errors.ResourceInUse, match="must be trained and stopped"):
            trained.start()
        with pytest.raises(errors.ResourceInUse, match="stop=True"):
            trained.delete()
        trained.delete(stop=True)
        with pytest.raises(errors.ResourceNotFound):
            trained.describe()

    def test_waiting_for_a_model_that_was_not_started(self, trained: ModelVersion) -> None:
        """Waiting for a model that was not started is an error that says so."""
        with pytest.raises(errors.UnexpectedStatus, match="start"):
            trained.wait_until_running()
