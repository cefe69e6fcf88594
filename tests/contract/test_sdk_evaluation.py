"""Evaluation of a model version: its result files in S3, read on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
from sdk_backends import write_folder

from rekolabels import RetryPolicy, errors
from rekolabels.evaluation import ChosenThreshold, ThresholdPolicy
from rekolabels.formats import read_folder
from rekolabels.local import LocalService

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rekolabels import ModelVersion
    from rekolabels.client import Client

QUICK = RetryPolicy(first_poll=0.01, max_poll=0.05)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Client of a local service."""
    with LocalService(tmp_path_factory.mktemp("service")) as service:
        yield service.client(bucket="evaluation", retry=QUICK)


@pytest.fixture(scope="module")
def model(client: Client, tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    """Trained classifier of two colours."""
    project = client.create_project("evaluated")
    folder = write_folder(tmp_path_factory.mktemp("pictures"), images=10)
    project.create_datasets(read_folder(folder), test=0.4, seed=1)
    model = project.train("v1")
    model.wait_until_trained()
    return model


def test_test_images_come_from_the_snapshot(model: ModelVersion) -> None:
    """Their number is that of the summary, there are no discrepancies, and an image can be read."""
    result = model.evaluation()

    images = list(result.images)

    assert result.test_images == len(images) == 8
    assert result.discrepancies() == ()
    assert result.read_image is not None
    assert result.read_image(images[0].source).startswith(b"\x89PNG")


def test_training_images(model: ModelVersion) -> None:
    """The images that the training used, with their labels."""
    labels = [image.labels for image in model.training_images()]

    assert (12, {("amber",), ("blue",)}) == (len(labels), set(labels))


def test_validation_lines(model: ModelVersion) -> None:
    """Every line of both datasets is read; valid lines have no issues."""
    validation = model.validation()

    lines = [*validation.training_lines(), *validation.testing_lines()]

    assert len(lines) == 20
    assert not any(line.issues for line in lines)
    assert all(line.source is not None and line.source.startswith("s3://evaluation/") for line in lines)


def test_deleted_snapshot(client: Client, model: ModelVersion) -> None:
    """The metrics remain; reading the images raises an error with the name of the missing file."""
    project = client.project("evaluated")
    other = project.train("gone")
    other.wait_until_trained()
    place = other.describe().testing_snapshot
    assert place is not None
    result = other.evaluation()
    client.session.client("s3").delete_object(Bucket=place.bucket, Key=place.key)

    assert result.f1 == model.evaluation().f1
    with pytest.raises(errors.ObjectNotFound, match="TestingGroundTruth-evaluated-gone"):
        list(result.images)


def test_detect_with_a_policy(model: ModelVersion) -> None:
    """The policy's thresholds apply to one image and to many; a policy of another model raises an error."""
    image = next(iter(model.evaluation().images))
    policy = ThresholdPolicy.best_f1(model.evaluation())
    none = attrs.evolve(policy, labels=dict.fromkeys(policy.labels, ChosenThreshold(None)))
    everything = attrs.evolve(policy, labels=dict.fromkeys(policy.labels, ChosenThreshold(0.0)))
    assert policy.model_arn == model.arn

    with model.running() as running:
        assert image.labels == tuple(found.label for found in running.detect(image.source, policy=policy))
        assert running.detect(image.source, policy=none) == []
        assert len(running.detect(image.source, policy=everything)) == 2
        assert len(running.detect(image.source, policy=everything, max_results=1)) == 1
        (outcome,) = running.detect_many([image.source], policy=everything)
        assert len(outcome.detections) == 2
        (outcome,) = running.detect_many([image.source], policy=none)
        assert (outcome.detections, outcome.error) == ((), None)
        with pytest.raises(errors.InvalidInput, match="either policy or min_confidence"):
            running.detect(image.source, policy=policy, min_confidence=1)
        with pytest.raises(errors.InvalidInput, match="made for arn:other"):
            running.detect_many([image.source], policy=attrs.evolve(policy, model_arn="arn:other"))
