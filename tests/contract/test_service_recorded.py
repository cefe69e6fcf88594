"""Every recorded response of the reference has its counterpart: the same shape, fields and kinds of value."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from service_backends import (
    Trained,
    boxes_line,
    make_dataset,
    make_project,
    make_version,
    manifest_line,
    picture,
    put_manifest,
    put_pictures,
    read_result,
    trained_fixture,  # noqa: F401 - fixtures
)

from recordings import RECORDED, recording

Counterpart = Callable[[Trained], Any]

ELSEWHERE = {
    "copy-project-version",
    "delete-project-policy",
    "get-media-analysis-job",
    "list-media-analysis-jobs",
    "list-project-policies",
    "put-project-policy",
    "start-media-analysis-job",
    "detect-custom-labels-objects",
    "evaluation-snapshot-detection",
    "evaluation-snapshot-detection-figures",
    "evaluation-summary-detection",
    "validation-lines",
}
"""Recordings of detection, copies, policies and jobs, in their own files, and of lines, in the manifest's."""


@pytest.fixture(scope="module")
def flowers(trained: Trained) -> Iterator[Trained]:
    """The trained model running, beside the datasets of its project."""
    client = trained.backend.rekognition
    client.start_project_version(ProjectVersionArn=trained.version, MinInferenceUnits=1)
    trained.backend.settle()
    yield trained
    client.stop_project_version(ProjectVersionArn=trained.version)
    trained.backend.settle()


def dataset_of(trained: Trained) -> str:
    """The training dataset."""
    (project,) = trained.backend.rekognition.describe_projects(ProjectNames=["birds"])["ProjectDescriptions"]
    return str(project["Datasets"][0]["DatasetArn"])


def failed_update(trained: Trained) -> Any:
    """The description of a dataset whose update failed."""
    backend = trained.backend
    arn = make_dataset(
        backend, make_project(backend, "flowers"), "TRAIN", [manifest_line("s3://puppies/a.png", "rose")]
    )
    other = manifest_line("s3://other/a.png", "rose").encode()
    backend.rekognition.update_dataset_entries(DatasetArn=arn, Changes={"GroundTruth": other})
    backend.settle()
    return backend.rekognition.describe_dataset(DatasetArn=arn)


def created_and_deleted(trained: Trained) -> dict[str, Any]:
    """The answers of a project's whole life."""
    backend, client = trained.backend, trained.backend.rekognition
    answers: dict[str, Any] = {"create-project": client.create_project(ProjectName="roses")}
    project = answers["create-project"]["ProjectArn"]
    lines = put_pictures(backend, "roses", 3)
    source = put_manifest(backend, "roses.manifest", lines)
    answers["create-dataset"] = client.create_dataset(
        ProjectArn=project, DatasetType="TRAIN", DatasetSource=source
    )
    test = make_dataset(backend, project, "TEST")
    pair = [{"Arn": answers["create-dataset"]["DatasetArn"]}, {"Arn": test}]
    lone = make_dataset(
        backend, make_project(backend, "lone"), "TRAIN", [*lines, boxes_line("s3://puppies/b.png", "x")]
    )
    answers["update-dataset-entries"] = client.update_dataset_entries(
        DatasetArn=lone, Changes={"GroundTruth": lines[0].encode()}
    )
    backend.settle()
    answers["distribute-dataset-entries"] = client.distribute_dataset_entries(Datasets=pair)
    backend.settle()
    answers["create-project-version"] = client.create_project_version(
        ProjectArn=project, VersionName="1", OutputConfig={"S3Bucket": "puppies", "S3KeyPrefix": "roses"}
    )
    backend.settle()
    version = answers["create-project-version"]["ProjectVersionArn"]
    tags = {"Dept": "Engineering", "Name": "Ana", "Role": "Developer"}
    answers["tag-resource"] = client.tag_resource(ResourceArn=version, Tags=tags)
    answers["list-tags-for-resource"] = client.list_tags_for_resource(ResourceArn=version)
    answers["untag-resource"] = client.untag_resource(ResourceArn=version, TagKeys=["Dept"])
    answers["start-project-version"] = client.start_project_version(
        ProjectVersionArn=version, MinInferenceUnits=1, MaxInferenceUnits=1
    )
    backend.settle()
    answers["stop-project-version"] = client.stop_project_version(ProjectVersionArn=version)
    backend.settle()
    answers["delete-project-version"] = client.delete_project_version(ProjectVersionArn=version)
    for one in pair:
        answers["delete-dataset"] = client.delete_dataset(DatasetArn=one["Arn"])
    backend.settle()
    answers["delete-project"] = client.delete_project(ProjectArn=project)
    backend.settle()
    return answers


def failed_training(trained: Trained) -> Any:
    """The manifest summary of a training with too many bad lines."""
    backend = trained.backend
    project = make_project(backend, "weeds")
    lines = put_pictures(backend, "weeds", 1)
    make_dataset(
        backend, project, "TRAIN", [*lines, *(boxes_line(f"s3://puppies/no{n}.png", "x") for n in range(3))]
    )
    bad = boxes_line("s3://puppies/none.png", "x")
    make_dataset(backend, project, "TEST", [*put_pictures(backend, "weedtest", 2), bad])
    make_version(backend, project, "1")
    return json.loads(read_result(backend, "out/ManifestSummary-weeds-1.json"))


def never_started(trained: Trained) -> Any:
    """The description of a version that was never started."""
    backend = trained.backend
    make_version(backend, trained.project, "fresh")
    return backend.rekognition.describe_project_versions(ProjectArn=trained.project, VersionNames=["fresh"])


def detected(trained: Trained, **options: Any) -> Any:
    """What the model says about a picture in S3."""
    trained.backend.s3.put_object(Bucket="puppies", Key="camellia4.png", Body=picture("blobs", 4))
    return trained.backend.rekognition.detect_custom_labels(
        ProjectVersionArn=trained.version,
        Image={"S3Object": {"Bucket": "puppies", "Name": "camellia4.png"}},
        **options,
    )


COUNTERPARTS: Mapping[str, Counterpart] = {
    "describe-projects": lambda t: t.backend.rekognition.describe_projects(ProjectNames=["birds"]),
    "describe-dataset": failed_update,
    "describe-project-versions": never_started,
    "detect-custom-labels": lambda t: detected(t, MaxResults=100, MinConfidence=0),
    "detect-custom-labels-image-level": detected,
    "list-dataset-entries": lambda t: t.backend.rekognition.list_dataset_entries(
        DatasetArn=dataset_of(t), ContainsLabels=["blobs"], Labeled=True, MaxResults=100, NextToken=""
    ),
    "list-dataset-labels": lambda t: t.backend.rekognition.list_dataset_labels(
        DatasetArn=dataset_of(t), MaxResults=100, NextToken=""
    ),
    "manifest-summary": failed_training,
    "evaluation-summary-classification": lambda t: json.loads(
        read_result(t.backend, "out/EvaluationResultSummary-birds-v1.json")
    ),
    "evaluation-snapshot-classification": lambda t: [
        json.loads(read_result(t.backend, "out/TestingGroundTruth-birds-v1.json").splitlines()[0])
    ],
}


def kind_of(value: Any) -> str:
    """The kind of a value; times are texts in the recordings."""
    if isinstance(value, dt.datetime):
        return "text"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else type(value).__name__


def differences(recorded: Any, ours: Any, where: str = "") -> Iterator[str]:
    """Where our answer lacks a field of the recorded one, or has another kind of value."""
    if kind_of(recorded) != kind_of(ours):
        yield f"{where}: {kind_of(recorded)} recorded, {kind_of(ours)} here"
    elif isinstance(recorded, dict):
        for name in recorded:
            if name not in ours:
                yield f"{where}/{name} is missing"
            else:
                yield from differences(recorded[name], ours[name], f"{where}/{name}")
    elif isinstance(recorded, list) and recorded:
        if ours:
            yield from differences(recorded[0], ours[0], f"{where}[0]")
        else:
            yield f"{where} is empty"


def added(recorded: Any, ours: Any, where: str = "") -> Iterator[str]:
    """Where our answer has a field that the recorded one lacks."""
    if isinstance(recorded, dict):
        for name in ours:
            if name not in recorded:
                yield f"{where}/{name}"
            else:
                yield from added(recorded[name], ours[name], f"{where}/{name}")
    elif isinstance(recorded, list) and recorded and ours:
        yield from added(recorded[0], ours[0], f"{where}[0]")


def without_metadata(answer: Any) -> Any:
    """An answer without what boto3 puts into it."""
    return (
        {name: value for name, value in answer.items() if name != "ResponseMetadata"}
        if isinstance(answer, dict)
        else answer
    )


@pytest.mark.parametrize("name", sorted(COUNTERPARTS))
def test_described_things_have_the_recorded_fields(flowers: Trained, name: str) -> None:
    """Nothing recorded is missing, and nothing else is there."""
    recorded, ours = recording(name), without_metadata(COUNTERPARTS[name](flowers))
    assert list(differences(recorded, ours)) == []
    if name.startswith("evaluation-snapshot"):
        # A line here has a pair for each label, and the number of its image, which real files have too.
        return
    assert list(added(recorded, ours)) == []


def test_the_answers_of_a_project_s_life(flowers: Trained) -> None:
    """Each operation that changes something answers with the recorded fields and the recorded status."""
    for name, answer in created_and_deleted(flowers).items():
        recorded, ours = recording(name), without_metadata(answer)
        assert (list(differences(recorded, ours)), list(added(recorded, ours))) == ([], []), name
        assert recorded.get("Status") == ours.get("Status"), name


def test_no_recording_is_forgotten() -> None:
    """Every file has a counterpart here, or a reason why not."""
    lived = {
        "create-project", "create-dataset", "update-dataset-entries", "distribute-dataset-entries",
        "create-project-version", "tag-resource", "list-tags-for-resource", "untag-resource",
        "start-project-version", "stop-project-version", "delete-project-version", "delete-dataset",
        "delete-project",
    }  # fmt: skip
    names = {path.stem for path in RECORDED.glob("*.json")}
    assert names == lived | set(COUNTERPARTS) | ELSEWHERE
