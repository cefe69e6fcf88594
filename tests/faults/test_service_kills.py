"""The service is killed (SIGKILL) in its work: a restart shows a state that the real one could show."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs
import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from service_backends import (
    LABELS,
    Backend,
    describe_dataset,
    describe_version,
    make_dataset,
    make_project,
    make_version,
    manifest_line,
    open_backend,
    picture,
    put_manifest,
    put_pictures,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KILLS = int(os.environ.get("REKOLABELS_KILLS", "4"))
"""How often the test of random kills strikes; more on demand."""
PICTURE = picture("dark", 1)
AT_REST = {
    "project": {"CREATED"},
    "dataset": {"CREATE_COMPLETE", "CREATE_FAILED", "UPDATE_COMPLETE", "UPDATE_FAILED"},
    "version": {"TRAINING_COMPLETED", "TRAINING_FAILED", "RUNNING", "STOPPED"},
}


@attrs.frozen
class Victim:
    """A service in a process of its own."""

    process: subprocess.Popen[str]
    rekognition: Any
    s3: Any

    def kill(self) -> None:
        """End it as the power does."""
        self.process.kill()
        self.process.wait()


@contextmanager
def victim(workspace: Path) -> Iterator[Victim]:
    """Start a service that will be killed."""
    command = [sys.executable, "-m", "rekolabels.local", "--workspace", str(workspace)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own command
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        session = boto3.Session("000000000000", "x", region_name="us-east-1")
        once = Config(retries={"total_max_attempts": 1})
        clients = [session.client(name, endpoint_url=url, config=once) for name in ("rekognition", "s3")]
        try:
            yield Victim(process, *clients)
        finally:
            process.kill()
            for client in clients:
                client.close()


def prepare(workspace: Path) -> str:
    """A project with pictures and both datasets; its ARN."""
    with open_backend("in process", workspace) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        project = make_project(backend)
        make_dataset(backend, project, "TRAIN", put_pictures(backend, "train", 4))
        make_dataset(backend, project, "TEST", put_pictures(backend, "test", 1))
    return project


def test_killed_in_a_training(tmp_path: Path) -> None:
    """The version is TRAINING_FAILED and says why; a new one trains; nothing of the old one lies about."""
    project = prepare(tmp_path)
    with victim(tmp_path) as service:
        arn = service.rekognition.create_project_version(
            ProjectArn=project, VersionName="v1", OutputConfig={"S3Bucket": "puppies", "S3KeyPrefix": "out"}
        )["ProjectVersionArn"]
        service.kill()
    with open_backend("in process", tmp_path) as backend:
        found = describe_version(backend, arn)
        assert found["Status"] == "TRAINING_FAILED"
        assert found["StatusMessage"] == "The training was interrupted; train a new version."
        assert found["TrainingEndTimestamp"] >= found["CreationTimestamp"]
        assert list((tmp_path / "rekognition" / "versions").iterdir()) == []
        again = describe_version(backend, make_version(backend, project, "v2"))
        assert again["Status"] == "TRAINING_COMPLETED", again["StatusMessage"]


def test_killed_in_the_creation_of_a_dataset(tmp_path: Path) -> None:
    """CREATE_FAILED as a fault of the service, without entries; it is deleted and made again."""
    with open_backend("in process", tmp_path) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        project = make_project(backend)
        lines = [manifest_line(f"s3://puppies/{n}.png", LABELS[n % 3]) for n in range(20_000)]
        source = put_manifest(backend, "large.manifest", lines)
    with victim(tmp_path) as service:
        arn = service.rekognition.create_dataset(
            ProjectArn=project, DatasetType="TRAIN", DatasetSource=source
        )["DatasetArn"]
        service.kill()
    with open_backend("in process", tmp_path) as backend:
        found = describe_dataset(backend, arn)
        assert (found["Status"], found["StatusMessageCode"]) == ("CREATE_FAILED", "SERVICE_ERROR")
        assert "interrupted" in found["StatusMessage"]
        assert found["DatasetStats"]["TotalEntries"] == 0
        backend.rekognition.delete_dataset(DatasetArn=arn)
        backend.settle()
        again = make_dataset(backend, project, DatasetSource=source)
        assert describe_dataset(backend, again)["DatasetStats"]["TotalEntries"] == 20_000


def test_a_living_service_mends_what_a_dead_one_left(tmp_path: Path) -> None:
    """Two services on one workspace: the death of one is seen by the other, without a restart."""
    project = prepare(tmp_path)
    with open_backend("in process", tmp_path) as witness, victim(tmp_path) as service:
        arn = service.rekognition.create_project_version(
            ProjectArn=project, VersionName="v1", OutputConfig={"S3Bucket": "puppies"}
        )["ProjectVersionArn"]
        assert describe_version(witness, arn)["Status"] == "TRAINING_IN_PROGRESS"
        service.kill()
        assert describe_version(witness, arn)["Status"] == "TRAINING_FAILED"


def test_killed_at_random(tmp_path: Path) -> None:
    """Killed again and again at any moment: what was answered stays, everything is at rest and works on."""
    dice = random.Random(7)  # noqa: S311 - moments, not secrets
    project = prepare(tmp_path)
    for turn in range(KILLS):
        promised: set[str] = set()
        with victim(tmp_path) as service:
            train(service, project, f"v{turn}")
            death = threading.Timer(dice.uniform(0.0, 1.5), service.process.kill)
            death.start()
            with contextlib.suppress(BotoCoreError):  # the connection breaks
                for number in itertools.count():
                    promised.add(keep_busy(service, f"{turn}-{number}", project=number < 60))
            death.join()
            service.process.wait()
        with open_backend("in process", tmp_path) as backend:
            check(backend, promised)
            clean(backend, project)


def keep_busy(service: Victim, name: str, *, project: bool) -> str:
    """Make and fill things; the name of what now must stay, a project only if it was asked for."""
    service.s3.put_object(Bucket="puppies", Key=f"kept/{name}.png", Body=PICTURE)
    if not project:
        return name
    made = service.rekognition.create_project(ProjectName=f"p{name}", Tags={"a": "b"})["ProjectArn"]
    manifest = manifest_line(f"s3://puppies/kept/{name}.png", "dark")
    service.s3.put_object(Bucket="puppies", Key=f"{name}.manifest", Body=manifest.encode())
    source = {"GroundTruthManifest": {"S3Object": {"Bucket": "puppies", "Name": f"{name}.manifest"}}}
    service.rekognition.create_dataset(ProjectArn=made, DatasetType="TRAIN", DatasetSource=source)
    return f"p{name}"


def train(service: Victim, project: str, name: str) -> None:
    """Begin a training."""
    output = {"S3Bucket": "puppies", "S3KeyPrefix": name}
    service.rekognition.create_project_version(ProjectArn=project, VersionName=name, OutputConfig=output)


def check(backend: Backend, promised: set[str]) -> None:
    """Everything that was answered is there, and in a state of rest."""
    pages = backend.rekognition.get_paginator("describe_projects").paginate()
    projects = [project for page in pages for project in page["ProjectDescriptions"]]
    names = {project["ProjectArn"].split("/")[1] for project in projects}
    assert {name for name in promised if name.startswith("p")} <= names
    kept = backend.s3.get_paginator("list_objects_v2").paginate(Bucket="puppies", Prefix="kept/")
    keys = {item["Key"] for page in kept for item in page.get("Contents", [])}
    assert {f"kept/{name.removeprefix('p')}.png" for name in promised} <= keys
    for project in projects:
        assert project["Status"] in AT_REST["project"]
        for dataset in project["Datasets"]:
            assert dataset["Status"] in AT_REST["dataset"]
            stats = describe_dataset(backend, dataset["DatasetArn"])["DatasetStats"]
            if dataset["Status"] == "CREATE_COMPLETE":
                listed = backend.rekognition.list_dataset_entries(DatasetArn=dataset["DatasetArn"])
                assert stats["TotalEntries"] == len(listed["DatasetEntries"])
        versions = backend.rekognition.describe_project_versions(ProjectArn=project["ProjectArn"])
        for version in versions["ProjectVersionDescriptions"]:
            assert version["Status"] in AT_REST["version"]


def clean(backend: Backend, kept: str) -> None:
    """Make room for the next turn: what is at rest can be deleted."""
    client = backend.rekognition
    for version in client.describe_project_versions(ProjectArn=kept)["ProjectVersionDescriptions"]:
        client.delete_project_version(ProjectVersionArn=version["ProjectVersionArn"])
    others = [
        project
        for page in client.get_paginator("describe_projects").paginate()
        for project in page["ProjectDescriptions"]
        if project["ProjectArn"] != kept
    ]
    for project in others:
        for dataset in project["Datasets"]:
            client.delete_dataset(DatasetArn=dataset["DatasetArn"])
    backend.settle()
    for project in others:
        client.delete_project(ProjectArn=project["ProjectArn"])
    backend.settle()
