"""The service is killed (SIGKILL) in its work: a restart shows a state that the real one could show."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs
import boto3
import pytest
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
RESULTS = 6
"""Files that a training leaves in S3."""
AT_REST = {
    "project": {"CREATED"},
    "dataset": {"CREATE_COMPLETE", "CREATE_FAILED", "UPDATE_COMPLETE", "UPDATE_FAILED"},
    "version": {
        "TRAINING_COMPLETED",
        "TRAINING_FAILED",
        "COPYING_COMPLETED",
        "COPYING_FAILED",
        "RUNNING",
        "STOPPED",
    },
    "media": {"SUCCEEDED", "FAILED"},
}
SLOW = """
import signal, sys
from rekolabels.local import Durations, LocalService
service = LocalService(sys.argv[1], durations=Durations(copying=3600, media_jobs=3600))
print(service.serve().url, flush=True)
signal.pause()
"""
"""A service whose copies and media analysis jobs take an hour."""


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
def victim(workspace: Path, *, slow: bool = False) -> Iterator[Victim]:
    """Start a service that will be killed."""
    served = ["-m", "rekolabels.local", "--workspace"]
    command = [sys.executable, *(["-c", SLOW] if slow else served), str(workspace)]
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
        assert found["StatusMessage"] == "The training was interrupted. Train a new version."
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


@pytest.fixture
def model(tmp_path: Path) -> str:
    """The ARN of a trained version, which a quick engine made, in the workspace."""
    project = prepare(tmp_path)
    with open_backend("in process", tmp_path, engine="tiny") as backend:
        arn = make_version(backend, project, "original")
        assert describe_version(backend, arn)["Status"] == "TRAINING_COMPLETED"
    return arn


def test_killed_in_a_copy(tmp_path: Path, model: str) -> None:
    """COPYING_FAILED says why; nothing of it lies about; the version is copied again."""
    project = project_of(model, tmp_path)
    with victim(tmp_path, slow=True) as service:
        arn = copy(service, model, project, project, "copied")
        service.kill()
    with open_backend("in process", tmp_path) as backend:
        found = describe_version(backend, arn)
        assert found["Status"] == "COPYING_FAILED"
        assert found["StatusMessage"] == "The copy was interrupted. Copy the version again."
        assert len(list((tmp_path / "rekognition" / "versions").iterdir())) == 1
        again = copy(backend, model, project, project, "again")
        backend.settle()
        check_copy(backend, describe_version(backend, again), model)
        backend.rekognition.delete_project_version(ProjectVersionArn=arn)


def test_killed_in_a_media_analysis_job(tmp_path: Path) -> None:
    """FAILED as a fault of the service, and the same token still means the same job."""
    prepare(tmp_path)
    with victim(tmp_path, slow=True) as service:
        identity = analyse(service, "train/dark/0.png", "once")
        service.kill()
    with open_backend("in process", tmp_path) as backend:
        found = backend.rekognition.get_media_analysis_job(JobId=identity)
        assert (found["Status"], found["FailureDetails"]["Code"]) == ("FAILED", "INTERNAL_ERROR")
        assert found["CompletionTimestamp"] >= found["CreationTimestamp"]
        assert analyse(backend, "train/dark/0.png", "once") == identity
        again = analyse(backend, "train/dark/0.png", "twice")
        backend.settle()
        check_media(backend, backend.rekognition.get_media_analysis_job(JobId=again))


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


def test_killed_at_random(tmp_path: Path, model: str) -> None:
    """Killed again and again at any moment: what was answered stays, everything is at rest and works on."""
    dice = random.Random(7)  # noqa: S311 - moments, not secrets
    project = project_of(model, tmp_path)
    for turn in range(KILLS):
        promised: set[str] = set()
        with victim(tmp_path) as service:
            train(service, project, f"v{turn}")
            death = threading.Timer(dice.uniform(0.0, 1.5), service.process.kill)
            death.start()
            with contextlib.suppress(BotoCoreError):  # the connection breaks
                for number in itertools.count():
                    promised |= keep_busy(service, f"{turn}-{number}", model, project, full=number < 60)
            death.join()
            service.process.wait()
        with open_backend("in process", tmp_path) as backend:
            check(backend, promised, model)
            clean(backend, project, model)


def keep_busy(service: Victim, name: str, model: str, source: str, *, full: bool) -> set[str]:
    """Make, fill, copy and analyse; what now must stay: an object always, the others if all was asked for."""
    kept = f"kept/{name}.png"
    service.s3.put_object(Bucket="puppies", Key=kept, Body=PICTURE)
    if not full:
        return {kept}
    made = service.rekognition.create_project(ProjectName=f"p{name}", Tags={"a": "b"})["ProjectArn"]
    manifest = manifest_line(f"s3://puppies/{kept}", "dark")
    service.s3.put_object(Bucket="puppies", Key=f"{name}.manifest", Body=manifest.encode())
    place = {"GroundTruthManifest": {"S3Object": {"Bucket": "puppies", "Name": f"{name}.manifest"}}}
    dataset = service.rekognition.create_dataset(ProjectArn=made, DatasetType="TRAIN", DatasetSource=place)
    copied = copy(service, model, source, made, "copied")
    return {kept, made, dataset["DatasetArn"], copied, analyse(service, kept, name)}


def copy(service: Victim | Backend, model: str, source: str, target: str, name: str) -> str:
    """Begin to copy a version; the ARN of the copy."""
    answer = service.rekognition.copy_project_version(
        SourceProjectArn=source,
        SourceProjectVersionArn=model,
        DestinationProjectArn=target,
        VersionName=name,
        OutputConfig={"S3Bucket": "puppies", "S3KeyPrefix": target.split("/")[1]},
    )
    return str(answer["ProjectVersionArn"])


def analyse(service: Victim | Backend, key: str, token: str) -> str:
    """Begin a media analysis job over one image; its id."""
    line = f'{{"source-ref": "s3://puppies/{key}"}}'
    service.s3.put_object(Bucket="puppies", Key=f"{token}.jsonl", Body=line.encode())
    answer = service.rekognition.start_media_analysis_job(
        ClientRequestToken=token,
        OperationsConfig={"DetectModerationLabels": {}},
        Input={"S3Object": {"Bucket": "puppies", "Name": f"{token}.jsonl"}},
        OutputConfig={"S3Bucket": "puppies", "S3KeyPrefix": "jobs"},
    )
    return str(answer["JobId"])


def project_of(version: str, workspace: Path) -> str:
    """The ARN of the project of a version."""
    with open_backend("in process", workspace) as backend:
        name = version.split("/")[1]
        (found,) = backend.rekognition.describe_projects(ProjectNames=[name])["ProjectDescriptions"]
    return str(found["ProjectArn"])


def train(service: Victim, project: str, name: str) -> None:
    """Begin a training."""
    output = {"S3Bucket": "puppies", "S3KeyPrefix": name}
    service.rekognition.create_project_version(ProjectArn=project, VersionName=name, OutputConfig=output)


def check(backend: Backend, promised: set[str], model: str) -> None:
    """Everything that was answered is there, and in a state of rest."""
    client, found = backend.rekognition, set[str]()
    for page in backend.s3.get_paginator("list_objects_v2").paginate(Bucket="puppies", Prefix="kept/"):
        found |= {item["Key"] for item in page.get("Contents", [])}
    for project in all_projects(backend):
        assert project["Status"] in AT_REST["project"]
        found.add(project["ProjectArn"])
        for dataset in project["Datasets"]:
            assert dataset["Status"] in AT_REST["dataset"]
            found.add(dataset["DatasetArn"])
            stats = describe_dataset(backend, dataset["DatasetArn"])["DatasetStats"]
            if dataset["Status"] == "CREATE_COMPLETE":
                listed = client.list_dataset_entries(DatasetArn=dataset["DatasetArn"])
                assert stats["TotalEntries"] == len(listed["DatasetEntries"])
        versions = client.describe_project_versions(ProjectArn=project["ProjectArn"])
        for version in versions["ProjectVersionDescriptions"]:
            assert version["Status"] in AT_REST["version"]
            found.add(version["ProjectVersionArn"])
            if version["Status"].startswith("COPYING"):
                check_copy(backend, version, model)
    # A page holds the newest hundred; a turn starts fewer.
    for job in client.list_media_analysis_jobs()["MediaAnalysisJobs"]:
        assert job["Status"] in AT_REST["media"]
        found.add(job["JobId"])
        check_media(backend, job)
    assert promised <= found


def check_copy(backend: Backend, version: dict[str, Any], model: str) -> None:
    """A copy has its whole model and all result files, or it says that it has failed and holds nothing."""
    number = version["ProjectVersionArn"].rsplit("/", 1)[1]
    folder = backend.service.path / "rekognition" / "versions" / number
    if version["Status"] == "COPYING_FAILED":
        assert "interrupted" in version["StatusMessage"]
        assert not folder.exists()
        return
    assert files_of(folder) == files_of(folder.with_name(model.rsplit("/", 1)[1]))
    name = version["ProjectVersionArn"].split("/")[1]
    kept = backend.s3.list_objects_v2(Bucket="puppies", Prefix=f"{name}/")
    assert kept["KeyCount"] == RESULTS


def check_media(backend: Backend, job: dict[str, Any]) -> None:
    """A job has both of its files, or it says that it has failed."""
    if job["Status"] == "FAILED":
        assert job["FailureDetails"]["Code"] == "INTERNAL_ERROR"
        return
    for place in (job["Results"]["S3Object"], job["ManifestSummary"]["S3Object"]):
        answer = backend.s3.get_object(Bucket=place["Bucket"], Key=place["Name"])
        with answer["Body"] as body:
            assert json.loads(body.read())


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def all_projects(backend: Backend) -> list[dict[str, Any]]:
    """Every project."""
    pages = backend.rekognition.get_paginator("describe_projects").paginate()
    return [project for page in pages for project in page["ProjectDescriptions"]]


def clean(backend: Backend, kept: str, model: str) -> None:
    """Make room for the next turn: what is at rest can be deleted."""
    client = backend.rekognition
    projects = all_projects(backend)
    for project in projects:
        versions = client.describe_project_versions(ProjectArn=project["ProjectArn"])
        for version in versions["ProjectVersionDescriptions"]:
            if version["ProjectVersionArn"] != model:
                client.delete_project_version(ProjectVersionArn=version["ProjectVersionArn"])
        for dataset in project["Datasets"] if project["ProjectArn"] != kept else ():
            client.delete_dataset(DatasetArn=dataset["DatasetArn"])
    backend.settle()
    for project in projects:
        if project["ProjectArn"] != kept:
            client.delete_project(ProjectArn=project["ProjectArn"])
    backend.settle()
