"""Types of the SDK in user code. Checked by ``make check``, and never run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, assert_type

import boto3

from rekolabels import (
    Box,
    Client,
    Dataset,
    Detection,
    ModelVersion,
    Project,
    RetryPolicy,
    RunningModel,
    wait_all,
)
from rekolabels.costs import (
    Plan,
    RunCost,
    RunningCost,
    TrainingCost,
    TrainingEstimate,
    plan,
    prices_for,
)
from rekolabels.descriptions import (
    DatasetDescription,
    DatasetKind,
    EntryError,
    LabelCount,
    ModelDescription,
    ProjectDescription,
    ProjectPolicy,
)
from rekolabels.errors import RekolabelsError, Throttled, TrainingFailed
from rekolabels.evaluation import EvaluationResult, SnapshotImage
from rekolabels.formats import read_folder
from rekolabels.images import LabelledImage
from rekolabels.inference import Outcome
from rekolabels.splits import split


def clients() -> None:
    """Clients, with and without options."""
    client = Client(bucket="puppies")
    assert_type(client, Client)
    assert_type(client.session, boto3.Session)
    assert_type(client.bucket, str | None)
    assert_type(client.ensure_bucket(), str)
    Client(boto3.Session(), prefix="team-a/", region_name="eu-west-1", retry=RetryPolicy(attempts=3))
    assert_type(client.project("PuppyChallenge"), Project)
    assert_type(client.projects(limit=5), Iterator[Project])
    adapters = client.create_project("guard", feature="CONTENT_MODERATION", auto_update=True)
    assert_type(adapters.describe().auto_update, bool | None)
    assert_type(client.dataset("arn:..."), Dataset)
    assert_type(client.model("arn:..."), ModelVersion)
    assert_type(client.sweep(regions=["us-east-1"]), list[ModelVersion])
    for running in client.running_models():
        assert_type(running, RunningCost[ModelVersion])
        assert_type(running.cost, float | None)
        assert_type(running.since, datetime | None)


def projects(client: Client) -> None:
    """Datasets, models, policies and tags of a project."""
    project = client.create_project("PuppyChallenge", tags={"team": "a"}, exist_ok=True)
    assert_type(project, Project)
    assert_type(project.name, str)
    assert_type(project.describe(), ProjectDescription)
    assert_type(project.datasets(), list[Dataset])
    assert_type(project.train_dataset, Dataset | None)
    assert_type(project.test_dataset, Dataset | None)
    assert_type(project.create_dataset("train", read_folder("puppies"), wait=False), Dataset)
    assert_type(project.create_dataset("test", "s3://puppies/test.manifest"), Dataset)
    assert_type(
        project.create_datasets(read_folder(Path("puppies")), test=0.2, seed=7), tuple[Dataset, Dataset]
    )
    assert_type(project.create_datasets(split(read_folder("puppies")), wait=False), tuple[Dataset, Dataset])
    assert_type(project.distribute_datasets(wait=False), tuple[Dataset, Dataset])
    assert_type(project.train("v1", tags={"run": "7"}), ModelVersion)
    assert_type(project.models(limit=5), Iterator[ModelVersion])
    assert_type(project.model("v1"), ModelVersion)
    assert_type(project.policies(), Iterator[ProjectPolicy])
    assert_type(project.put_policy("copy", "{}"), str)
    assert_type(project.training_estimate(), TrainingEstimate)
    assert_type(project.tags, dict[str, str])
    project.tag({"run": "7"})
    project.untag("run")
    project.delete(cascade=True, wait=False, timeout=3600)


def datasets(dataset: Dataset) -> None:
    """Description, entries, labels and updates of a dataset."""
    assert_type(dataset.kind, DatasetKind)
    assert_type(dataset.describe(), DatasetDescription)
    assert_type(dataset.wait_until_ready(timeout=60), DatasetDescription)
    assert_type(dataset.entries(labels=["puppy"], labelled=True, limit=5), Iterator[LabelledImage])
    assert_type(dataset.labels(), Iterator[LabelCount])
    assert_type(dataset.update([LabelledImage("dog.jpg", labels=["puppy"])]), list[EntryError])


def models(model: ModelVersion, project: Project) -> None:
    """Training, evaluation and validation of a model version."""
    assert_type(model.version_name, str)
    assert_type(model.status, str)
    assert_type(model.tags, dict[str, str])
    assert_type(model.describe(), ModelDescription)
    assert_type(model.wait_until_trained(on_progress=lambda found: found.status), ModelDescription)
    assert_type(wait_all([model], timeout=60), list[ModelDescription])
    assert_type(model.evaluation(), EvaluationResult)
    assert_type(model.training_images(), Iterator[SnapshotImage])
    for line in model.validation().training_lines():
        assert_type(line.line, int)
    assert_type(model.copy_to(project, wait=False), ModelVersion)
    assert_type(model.training_cost(), TrainingCost)
    assert_type(model.run_cost(), RunCost)
    try:
        model.wait_until_trained()
    except TrainingFailed as error:
        assert_type(error.status_message, str)
    except Throttled as error:
        assert_type(error.code, str)


def detections(model: ModelVersion, paths: list[Path]) -> None:
    """Detection in one image or many; outcomes keep the type of their image."""
    with model.running(min_inference_units=1, max_cost=5.0) as running:
        assert_type(running, RunningModel)
        for found in running.detect("dog.jpg", min_confidence=50):
            assert_type(found, Detection)
            assert_type(found.confidence, float)
            assert_type(found.box, Box | None)
            assert_type(found.to_dict(), dict[str, Any])
        for outcome in running.detect_many(paths, journal="night.jsonl"):
            assert_type(outcome, Outcome[Path])
            assert_type(outcome.image, Path)
            assert_type(outcome.detections, tuple[Detection, ...])
            assert_type(outcome.error, RekolabelsError | None)
    assert_type(model.detect(b"..."), list[Detection])
    for named in model.detect_many(["s3://puppies/dog.jpg"]):
        assert_type(named.image, str)


def costs() -> None:
    """Plans."""
    assert_type(plan(10_000, prices=prices_for("us-east-1"), images_per_second=5), Plan)
