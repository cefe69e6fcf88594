"""Model versions: statuses, preconditions and transitions."""

from __future__ import annotations

from typing import Any

import pytest
from service_backends import (  # noqa: F401 - fixtures
    LABELS,
    Backend,
    Trained,
    backend_fixture,
    describe_version,
    make_dataset,
    make_project,
    make_version,
    manifest_line,
    open_backend,
    put_manifest,
    put_pictures,
    refused,
    trained_fixture,
)

from rekolabels.local import Quotas

OUTPUT = {"S3Bucket": "puppies", "S3KeyPrefix": "out"}


def with_datasets(backend: Backend, name: str = "birds") -> str:
    """Create a project with two datasets whose images are missing in S3."""
    project = make_project(backend, name)
    lines = [manifest_line(f"s3://puppies/none/{n}.png", LABELS[n % 3]) for n in range(9)]
    make_dataset(backend, project, "TRAIN", lines)
    make_dataset(backend, project, "TEST", lines)
    return project


def test_required_data_of_a_training(backend: Backend) -> None:
    """Training needs both datasets or both manifests; one alone, or datasets and manifests, are refused."""
    project = make_project(backend)
    create = backend.rekognition.create_project_version
    basics: dict[str, Any] = {"ProjectArn": project, "VersionName": "v1", "OutputConfig": OUTPUT}
    asset = put_manifest(backend, "a.manifest", [manifest_line("s3://puppies/a.png", "cat")])
    given = {"Assets": [asset]}
    with refused("InvalidParameterException", "no TEST and no TRAIN"):
        create(**basics)
    with refused("InvalidParameterException", "together"):
        create(**basics, TrainingData=given)
    with refused("InvalidParameterException", "together"):
        create(**basics, TestingData={"AutoCreate": True})
    with refused("InvalidParameterException", "TestingData"):
        create(**basics, TrainingData=given, TestingData={})
    with refused("InvalidParameterException", "TestingData"):
        create(**basics, TrainingData=given, TestingData={"AutoCreate": True, **given})
    with refused("InvalidParameterException", "Assets"):
        create(**basics, TrainingData={"Assets": [{}]}, TestingData={"AutoCreate": True})
    with refused("InvalidParameterException", "S3Bucket"):
        create(**(basics | {"OutputConfig": {}}), TrainingData=given, TestingData={"AutoCreate": True})
    with refused("InvalidParameterException", "FeatureConfig"):
        create(**basics, FeatureConfig={"ContentModeration": {"ConfidenceThreshold": 50}})
    make_dataset(backend, project)
    with refused("InvalidParameterException", "no TEST"):
        create(**basics)
    with refused("InvalidParameterException", "datasets"):
        create(**basics, TrainingData=given, TestingData={"AutoCreate": True})
    with refused("ResourceNotFoundException"):
        create(**(basics | {"ProjectArn": f"{project}9"}))
    with backend.held():
        backend.rekognition.create_dataset(ProjectArn=project, DatasetType="TEST")
        with refused("ResourceInUseException", "CREATE_IN_PROGRESS"):
            create(**basics)


def test_a_training_in_progress_blocks_changes(backend: Backend) -> None:
    """Until training ends, the version, its name, its project and its datasets cannot be changed."""
    project = with_datasets(backend)
    datasets = backend.rekognition.describe_projects()["ProjectDescriptions"][0]["Datasets"]
    with backend.held():
        arn = make_version(backend, project, wait=False, Tags={"a": "b"}, VersionDescription="first try")
        training = describe_version(backend, arn)
        assert training["Status"] == "TRAINING_IN_PROGRESS"
        assert training["VersionDescription"] == "first try"
        assert "TrainingEndTimestamp" not in training
        assert "EvaluationResult" not in training
        for call in (
            lambda: backend.rekognition.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1),
            lambda: backend.rekognition.stop_project_version(ProjectVersionArn=arn),
            lambda: backend.rekognition.delete_project_version(ProjectVersionArn=arn),
            lambda: backend.rekognition.delete_project(ProjectArn=project),
            lambda: backend.rekognition.delete_dataset(DatasetArn=datasets[0]["DatasetArn"]),
            lambda: make_version(backend, project),
        ):
            with refused("ResourceInUseException"):
                call()
        with refused("ResourceNotReadyException", "TRAINING_IN_PROGRESS"):
            backend.rekognition.detect_custom_labels(ProjectVersionArn=arn, Image={"Bytes": b"x"})
        assert backend.rekognition.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"a": "b"}
    assert describe_version(backend, arn)["Status"] == "TRAINING_FAILED"


def test_a_failed_training(backend: Backend) -> None:
    """Its version cannot be started, keeps its name, and can be deleted."""
    project = with_datasets(backend)
    arn = make_version(backend, project)
    failed = describe_version(backend, arn)
    assert failed["Status"] == "TRAINING_FAILED"
    assert "BillableTrainingTimeInSeconds" not in failed
    assert "EvaluationResult" not in failed
    assert failed["TrainingEndTimestamp"] >= failed["CreationTimestamp"]
    with refused("ResourceInUseException", "TRAINING_FAILED"):
        backend.rekognition.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1)
    with refused("ResourceInUseException", "v1"):
        make_version(backend, project)
    with backend.held():
        assert backend.rekognition.delete_project_version(ProjectVersionArn=arn)["Status"] == "DELETING"
        assert describe_version(backend, arn)["Status"] == "DELETING"
        with refused("ResourceInUseException"):
            backend.rekognition.delete_project_version(ProjectVersionArn=arn)
    answer = backend.rekognition.describe_project_versions(ProjectArn=project)
    assert answer["ProjectVersionDescriptions"] == []
    with refused("ResourceNotFoundException"):
        backend.rekognition.delete_project_version(ProjectVersionArn=arn)
    assert make_version(backend, project) != arn


def test_the_quotas_of_versions_and_trainings() -> None:
    """Versions of a project and trainings of an account are limited, each with its own error code."""
    quotas = Quotas(versions_per_project=2, trainings=1)
    with open_backend("in process", quotas=quotas) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        project = with_datasets(backend)
        with backend.held():
            make_version(backend, project, "v1", wait=False)
            with refused("LimitExceededException", "trainings in progress (1)"):
                make_version(backend, project, "v2", wait=False)
        make_version(backend, project, "v2")
        with refused("ServiceQuotaExceededException", "versions (2)"):
            make_version(backend, project, "v3")


def test_versions_are_listed_newest_first(backend: Backend) -> None:
    """Versions are listed in pages or by name; unknown names are ignored, and the last page has no token."""
    project = with_datasets(backend)
    for name in ("v1", "v2", "v3"):
        make_version(backend, project, name)
    describe = backend.rekognition.describe_project_versions

    def names(answer: dict[str, Any]) -> list[str]:
        return [one["ProjectVersionArn"].split("/")[3] for one in answer["ProjectVersionDescriptions"]]

    assert names(describe(ProjectArn=project)) == ["v3", "v2", "v1"]
    assert "NextToken" not in describe(ProjectArn=project)
    assert names(describe(ProjectArn=project, VersionNames=["v1", "v3", "v9"])) == ["v3", "v1"]
    first = describe(ProjectArn=project, MaxResults=2)
    assert names(describe(ProjectArn=project, MaxResults=2, NextToken=first["NextToken"])) == ["v1"]
    with refused("InvalidPaginationTokenException"):
        describe(ProjectArn=project, VersionNames=["v1"], NextToken=first["NextToken"])
    with refused("ResourceNotFoundException"):
        describe(ProjectArn=f"{project}9")


def test_the_lifecycle_of_a_model(trained: Trained) -> None:
    """A model goes through all statuses from TRAINING_COMPLETED to STOPPED, and starts again."""
    backend = trained.backend
    arn = make_version(backend, trained.project, "lifecycle")  # its own: no other test has started it
    client = backend.rekognition
    ready = describe_version(backend, arn)
    assert (ready["Status"], ready["StatusMessage"]) == ("TRAINING_COMPLETED", "The model is ready to run.")
    assert "MinInferenceUnits" not in ready
    with refused("ResourceInUseException", "TRAINING_COMPLETED"):
        client.stop_project_version(ProjectVersionArn=arn)
    with refused("ResourceNotReadyException"):
        client.detect_custom_labels(ProjectVersionArn=arn, Image={"Bytes": b"x"})
    with refused("InvalidParameterException", "MaxInferenceUnits"):
        client.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=2, MaxInferenceUnits=1)
    with refused("LimitExceededException", "5"):
        client.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=6)
    with backend.held():
        answer = client.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1, MaxInferenceUnits=3)
        assert answer["Status"] == "STARTING"
        assert describe_version(backend, arn)["Status"] == "STARTING"
        with refused("ResourceInUseException"):
            client.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1)
        with refused("ResourceInUseException"):
            client.stop_project_version(ProjectVersionArn=arn)
    running = describe_version(backend, arn)
    assert (
        running["Status"],
        running["MinInferenceUnits"],
        running["MaxInferenceUnits"],
    ) == ("RUNNING", 1, 3)
    with refused("ResourceInUseException", "RUNNING"):
        client.delete_project_version(ProjectVersionArn=arn)
    with backend.held():
        assert client.stop_project_version(ProjectVersionArn=arn)["Status"] == "STOPPING"
        assert describe_version(backend, arn)["Status"] == "STOPPING"
        with refused("ResourceNotReadyException"):
            client.detect_custom_labels(ProjectVersionArn=arn, Image={"Bytes": b"x"})
    assert describe_version(backend, arn)["Status"] == "STOPPED"
    client.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1)
    backend.settle()
    restarted = describe_version(backend, arn)
    assert restarted["Status"] == "RUNNING"
    assert "MaxInferenceUnits" not in restarted
    client.stop_project_version(ProjectVersionArn=arn)
    backend.settle()


def test_the_quota_of_running_models() -> None:
    """One running model more than the quota is refused."""
    with open_backend("in process", quotas=Quotas(running_models=1)) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        project = make_project(backend)
        make_dataset(backend, project, "TRAIN", put_pictures(backend, "train", 4))
        make_dataset(backend, project, "TEST", put_pictures(backend, "test", 1))
        first, second = make_version(backend, project, "v1"), make_version(backend, project, "v2")
        backend.rekognition.start_project_version(ProjectVersionArn=first, MinInferenceUnits=1)
        with refused("LimitExceededException", "running models (1)"):
            backend.rekognition.start_project_version(ProjectVersionArn=second, MinInferenceUnits=1)
        backend.settle()


@pytest.mark.parametrize("waiter", ["project_version_training_completed", "project_version_running"])
def test_the_waiters_of_botocore(trained: Trained, waiter: str) -> None:
    """Both waiters of botocore return at once when the status is reached."""
    backend, arn = trained.backend, trained.version
    if waiter.endswith("running"):
        backend.rekognition.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1)
        backend.settle()
    else:
        arn = make_version(backend, trained.project, "waited-for")
    name = arn.split("/")[3]
    backend.rekognition.get_waiter(waiter).wait(
        ProjectArn=trained.project, VersionNames=[name], WaiterConfig={"MaxAttempts": 1}
    )
    if waiter.endswith("running"):
        backend.rekognition.stop_project_version(ProjectVersionArn=arn)
        backend.settle()
