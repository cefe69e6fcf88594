"""The service is killed (SIGKILL) during its work: a restart shows a state that AWS could show."""

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
"""How often the test of random kills kills the service."""
SEED = int(os.environ.get("REKOLABELS_SEED", "7"))
PICTURE = picture("dark", 1)
RESULTS = 6
"""Number of files that a training stores in S3."""
FINAL_STATUSES = {
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
class ServiceProcess:
    """A service in a process of its own, and boto3 clients of it."""

    process: subprocess.Popen[str]
    rekognition: Any
    s3: Any

    def kill(self) -> None:
        """Kill the process, as a power failure would."""
        self.process.kill()
        self.process.wait()


@contextmanager
def service_process(workspace: Path, *, slow: bool = False) -> Iterator[ServiceProcess]:
    """Start a service in a process of its own."""
    command_line = ["-m", "rekolabels", "serve", "--workspace"]
    command = [sys.executable, *(["-c", SLOW] if slow else command_line), str(workspace)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own command
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        session = boto3.Session("000000000000", "x", region_name="us-east-1")
        no_retries = Config(retries={"total_max_attempts": 1})
        clients = [
            session.client(name, endpoint_url=url, config=no_retries) for name in ("rekognition", "s3")
        ]
        try:
            yield ServiceProcess(process, *clients)
        finally:
            process.kill()
            for client in clients:
                client.close()


def prepare(workspace: Path) -> str:
    """Create a project with pictures and both datasets; return its ARN."""
    with open_backend("in process", workspace) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        project = make_project(backend)
        make_dataset(backend, project, "TRAIN", put_pictures(backend, "train", 4))
        make_dataset(backend, project, "TEST", put_pictures(backend, "test", 1))
    return project


def test_killed_during_a_training(tmp_path: Path) -> None:
    """The version is TRAINING_FAILED with the reason, its files are removed, and a new one trains."""
    project = prepare(tmp_path)
    with service_process(tmp_path) as service:
        arn = service.rekognition.create_project_version(
            ProjectArn=project, VersionName="v1", OutputConfig={"S3Bucket": "puppies", "S3KeyPrefix": "out"}
        )["ProjectVersionArn"]
        service.kill()
    with open_backend("in process", tmp_path) as backend:
        found = describe_version(backend, arn)
        assert found["Status"] == "TRAINING_FAILED"
        assert found["StatusMessage"] == "The training was interrupted."
        assert found["TrainingEndTimestamp"] >= found["CreationTimestamp"]
        assert list((tmp_path / "rekognition" / "versions").iterdir()) == []
        again = describe_version(backend, make_version(backend, project, "v2"))
        assert again["Status"] == "TRAINING_COMPLETED", again["StatusMessage"]


def test_killed_during_the_creation_of_a_dataset(tmp_path: Path) -> None:
    """The dataset is CREATE_FAILED (SERVICE_ERROR) without entries, and can be deleted and created again."""
    with open_backend("in process", tmp_path) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        project = make_project(backend)
        lines = [manifest_line(f"s3://puppies/{n}.png", LABELS[n % 3]) for n in range(20_000)]
        source = put_manifest(backend, "large.manifest", lines)
    with service_process(tmp_path) as service:
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
    """Train a version with the tiny engine and return its ARN."""
    project = prepare(tmp_path)
    with open_backend("in process", tmp_path, engine="tiny") as backend:
        arn = make_version(backend, project, "original")
        assert describe_version(backend, arn)["Status"] == "TRAINING_COMPLETED"
    return arn


def test_killed_during_a_copy(tmp_path: Path, model: str) -> None:
    """The copy is COPYING_FAILED with the reason, its files are removed, and copying again works."""
    project = project_of(model, tmp_path)
    with service_process(tmp_path, slow=True) as service:
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


def test_killed_during_a_media_analysis_job(tmp_path: Path) -> None:
    """The job is FAILED (INTERNAL_ERROR), and its token still names the same job."""
    prepare(tmp_path)
    with service_process(tmp_path, slow=True) as service:
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


def test_another_service_recovers_the_jobs_of_a_dead_one(tmp_path: Path) -> None:
    """Of two services on one workspace, the one that lives reports the failure without a restart."""
    project = prepare(tmp_path)
    with open_backend("in process", tmp_path) as witness, service_process(tmp_path) as service:
        arn = service.rekognition.create_project_version(
            ProjectArn=project, VersionName="v1", OutputConfig={"S3Bucket": "puppies"}
        )["ProjectVersionArn"]
        assert describe_version(witness, arn)["Status"] == "TRAINING_IN_PROGRESS"
        service.kill()
        assert describe_version(witness, arn)["Status"] == "TRAINING_FAILED"


def test_killed_at_random(tmp_path: Path, model: str) -> None:
    """Killed again and again: confirmed changes persist, all statuses are final, and the service works."""
    rng = random.Random(SEED)  # noqa: S311 - delays, not secrets
    project = project_of(model, tmp_path)
    for turn in range(KILLS):
        confirmed: set[str] = set()
        with service_process(tmp_path) as service:
            train(service, project, f"v{turn}")
            kill = threading.Timer(rng.uniform(0.0, 1.5), service.process.kill)
            kill.start()
            with contextlib.suppress(BotoCoreError):  # the connection is closed
                for number in itertools.count():
                    confirmed |= keep_busy(service, f"{turn}-{number}", model, project, full=number < 60)
            kill.join()
            service.process.wait()
        with open_backend("in process", tmp_path) as backend:
            check(backend, confirmed, model)
            clean(backend, project, model)


def keep_busy(service: ServiceProcess, name: str, model: str, source: str, *, full: bool) -> set[str]:
    """Store an object, with ``full`` also create, copy and analyse; return what must persist."""
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


def copy(service: ServiceProcess | Backend, model: str, source: str, target: str, name: str) -> str:
    """Start to copy a version; return the ARN of the copy."""
    response = service.rekognition.copy_project_version(
        SourceProjectArn=source,
        SourceProjectVersionArn=model,
        DestinationProjectArn=target,
        VersionName=name,
        OutputConfig={"S3Bucket": "puppies", "S3KeyPrefix": target.split("/")[1]},
    )
    return str(response["ProjectVersionArn"])


def analyse(service: ServiceProcess | Backend, key: str, token: str) -> str:
    """Start a media analysis job on one image; return its ID."""
    line = f'{{"source-ref": "s3://puppies/{key}"}}'
    service.s3.put_object(Bucket="puppies", Key=f"{token}.jsonl", Body=line.encode())
    response = service.rekognition.start_media_analysis_job(
        ClientRequestToken=token,
        OperationsConfig={"DetectModerationLabels": {}},
        Input={"S3Object": {"Bucket": "puppies", "Name": f"{token}.jsonl"}},
        OutputConfig={"S3Bucket": "puppies", "S3KeyPrefix": "jobs"},
    )
    return str(response["JobId"])


def project_of(version: str, workspace: Path) -> str:
    """Return the ARN of a version's project."""
    with open_backend("in process", workspace) as backend:
        name = version.split("/")[1]
        (found,) = backend.rekognition.describe_projects(ProjectNames=[name])["ProjectDescriptions"]
    return str(found["ProjectArn"])


def train(service: ServiceProcess, project: str, name: str) -> None:
    """Start a training."""
    output = {"S3Bucket": "puppies", "S3KeyPrefix": name}
    service.rekognition.create_project_version(ProjectArn=project, VersionName=name, OutputConfig=output)


def check(backend: Backend, confirmed: set[str], model: str) -> None:
    """Check that every confirmed change persists and that every status is final."""
    client, found = backend.rekognition, set[str]()
    for page in backend.s3.get_paginator("list_objects_v2").paginate(Bucket="puppies", Prefix="kept/"):
        found |= {item["Key"] for item in page.get("Contents", [])}
    for project in all_projects(backend):
        assert project["Status"] in FINAL_STATUSES["project"]
        found.add(project["ProjectArn"])
        for dataset in project["Datasets"]:
            assert dataset["Status"] in FINAL_STATUSES["dataset"]
            found.add(dataset["DatasetArn"])
            stats = describe_dataset(backend, dataset["DatasetArn"])["DatasetStats"]
            if dataset["Status"] == "CREATE_COMPLETE":
                listed = client.list_dataset_entries(DatasetArn=dataset["DatasetArn"])
                assert stats["TotalEntries"] == len(listed["DatasetEntries"])
        versions = client.describe_project_versions(ProjectArn=project["ProjectArn"])
        for version in versions["ProjectVersionDescriptions"]:
            assert version["Status"] in FINAL_STATUSES["version"]
            found.add(version["ProjectVersionArn"])
            if version["Status"].startswith("COPYING"):
                check_copy(backend, version, model)
    # One page has the newest hundred jobs; a turn starts fewer.
    for job in client.list_media_analysis_jobs()["MediaAnalysisJobs"]:
        assert job["Status"] in FINAL_STATUSES["media"]
        found.add(job["JobId"])
        check_media(backend, job)
    assert confirmed <= found


def check_copy(backend: Backend, version: dict[str, Any], model: str) -> None:
    """Check that a copy has its model and all result files, or has failed and has no files."""
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
    """Check that a job has both of its files, or has failed."""
    if job["Status"] == "FAILED":
        assert job["FailureDetails"]["Code"] == "INTERNAL_ERROR"
        return
    for place in (job["Results"]["S3Object"], job["ManifestSummary"]["S3Object"]):
        response = backend.s3.get_object(Bucket=place["Bucket"], Key=place["Name"])
        with response["Body"] as body:
            assert json.loads(body.read())


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def all_projects(backend: Backend) -> list[dict[str, Any]]:
    """Return the descriptions of all projects."""
    pages = backend.rekognition.get_paginator("describe_projects").paginate()
    return [project for page in pages for project in page["ProjectDescriptions"]]


def clean(backend: Backend, kept: str, model: str) -> None:
    """Delete everything except the model, which also checks that it can be deleted."""
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
