"""Run all steps of a project with the AWS CLI. Arguments: the ``aws`` program, the data folder."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from driver import step

DEADLINE = 120


def program() -> str:
    """Return the path of the AWS CLI."""
    return sys.argv[1]


def data(*parts: str) -> Path:
    """Return the path of a data file."""
    return Path(sys.argv[2], *parts)


def aws(*arguments: str, fails: str = "") -> Any:
    """Run a command and return its JSON output; with ``fails``, expect this error."""
    done = subprocess.run(  # noqa: S603 - the program under test
        [program(), *arguments, "--output", "json"], capture_output=True, text=True, check=False
    )
    if fails:
        assert done.returncode != 0, f"{arguments} did not fail with {fails}."
        assert f"({fails})" in done.stderr, f"{arguments}: {done.stderr}"
        return None
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    text = done.stdout.strip()
    return json.loads(text) if text.startswith(("{", "[")) else text


def rekognition(operation: str, *arguments: str, fails: str = "") -> Any:
    """Call an operation of Rekognition."""
    return aws("rekognition", operation, *arguments, fails=fails)


def until(what: str, condition: Any) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"Timed out: {what}."
        time.sleep(0.2)


def upload() -> None:
    """Create a bucket, fill it with ``sync`` and ``cp``, and list it."""
    aws("s3", "mb", "s3://puppies")
    aws("s3", "sync", str(data()), "s3://puppies/images", "--exclude", "*.manifest")
    for kind in ("train", "test"):
        aws("s3", "cp", str(data(f"{kind}.manifest")), "s3://puppies/")
    listed = aws("s3api", "list-objects-v2", "--bucket", "puppies", "--prefix", "images/", "--page-size", "5")
    assert len(listed["Contents"]) == 16
    again = aws("s3", "sync", str(data()), "s3://puppies/images", "--exclude", "*.manifest")
    assert again == "", f"Expected nothing to sync, got: {again}"
    step("bucket, sync, cp, list in pages")


def create_datasets(project: str) -> list[str]:
    """Create both datasets from manifests."""
    datasets: list[str] = []
    for kind in ("train", "test"):
        place = {"GroundTruthManifest": {"S3Object": {"Bucket": "puppies", "Name": f"{kind}.manifest"}}}
        datasets.append(
            rekognition(
                "create-dataset",
                *("--project-arn", project, "--dataset-type", kind.upper()),
                *("--dataset-source", json.dumps(place)),
            )["DatasetArn"]
        )
    for dataset in datasets:
        until("the dataset is complete", lambda arn=dataset: status_of_dataset(arn) == "CREATE_COMPLETE")
    entries = rekognition("list-dataset-entries", "--dataset-arn", datasets[0], "--page-size", "5")
    assert len(entries["DatasetEntries"]) == 12
    few = rekognition("list-dataset-entries", "--dataset-arn", datasets[0], "--max-items", "3")
    assert len(few["DatasetEntries"]) == 3
    assert few["NextToken"]
    labels = rekognition("list-dataset-labels", "--dataset-arn", datasets[0])
    assert [one["LabelName"] for one in labels["DatasetLabelDescriptions"]] == ["dark", "stripes"]
    step("datasets, entries and labels in pages")
    return datasets


def status_of_dataset(arn: str) -> str:
    """Return the status of a dataset."""
    description = rekognition("describe-dataset", "--dataset-arn", arn)["DatasetDescription"]
    return str(description["Status"])


def status_of(project: str, name: str) -> str:
    """Return the status of a version; empty when it does not exist."""
    found = rekognition("describe-project-versions", "--project-arn", project, "--version-names", name)
    return found["ProjectVersionDescriptions"][0]["Status"] if found["ProjectVersionDescriptions"] else ""


def train(project: str) -> str:
    """Train a version and check it with the waiter."""
    version: str = rekognition(
        "create-project-version",
        *("--project-arn", project, "--version-name", "v1"),
        *("--output-config", "S3Bucket=puppies,S3KeyPrefix=out", "--tags", "stage=test"),
    )["ProjectVersionArn"]
    # The waiter polls every two minutes: start it only when the training has ended.
    until("the training has ended", lambda: status_of(project, "v1") != "TRAINING_IN_PROGRESS")
    rekognition(
        "wait", "project-version-training-completed", "--project-arn", project, "--version-names", "v1"
    )
    assert rekognition("list-tags-for-resource", "--resource-arn", version)["Tags"] == {"stage": "test"}
    aws("s3", "cp", "s3://puppies/out/EvaluationResultSummary-birds-v1.json", str(data("summary.json")))
    summary = json.loads(data("summary.json").read_text(encoding="utf-8"))
    assert summary["AggregatedEvaluationResults"]["F1Score"] > 0.9
    step("training, its waiter, its results in S3")
    return version


def run(project: str, version: str) -> None:
    """Start the model, detect with bytes and an S3 object, and stop it."""
    arn = ("--project-version-arn", version)
    rekognition("start-project-version", *arn, "--min-inference-units", "1")
    until("the model is running", lambda: status_of(project, "v1") == "RUNNING")
    rekognition("wait", "project-version-running", "--project-arn", project, "--version-names", "v1")
    s3_object = "S3Object={Bucket=puppies,Name=images/test/stripes/0.png}"
    found = rekognition("detect-custom-labels", *arn, "--image", s3_object, "--min-confidence", "50")
    assert [one["Name"] for one in found["CustomLabels"]] == ["stripes"]
    picture = data("test", "dark", "0.png").as_posix()
    found = rekognition("detect-custom-labels", *arn, "--image-bytes", f"fileb://{picture}")
    assert [one["Name"] for one in found["CustomLabels"]] == ["dark"]
    rekognition("delete-project-version", *arn, fails="ResourceInUseException")
    rekognition("stop-project-version", *arn)
    until("the model has stopped", lambda: status_of(project, "v1") == "STOPPED")
    step("start, its waiter, detect, stop")


def share(project: str, version: str) -> str:
    """Put a policy and copy the version into another project."""
    document = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
                    "Action": "rekognition:CopyProjectVersion",
                    "Resource": "*",
                }
            ],
        }
    )
    named = ("--project-arn", project, "--policy-name", "share")
    revision = rekognition("put-project-policy", *named, "--policy-document", document)["PolicyRevisionId"]
    assert len(rekognition("list-project-policies", "--project-arn", project)["ProjectPolicies"]) == 1
    rekognition("delete-project-policy", *named, "--policy-revision-id", revision)
    target: str = rekognition("create-project", "--project-name", "nest")["ProjectArn"]
    rekognition(
        "copy-project-version",
        *("--source-project-arn", project, "--source-project-version-arn", version),
        *("--destination-project-arn", target, "--version-name", "c1"),
        *("--output-config", "S3Bucket=puppies,S3KeyPrefix=copies"),
    )
    until("the version is copied", lambda: status_of(target, "c1") == "COPYING_COMPLETED")
    step("policies, a copy")
    return target


def delete(project: str, version: str, datasets: list[str]) -> None:
    """Delete version, datasets and project, in the order that the service requires."""
    rekognition("delete-project", "--project-arn", project, fails="ResourceInUseException")
    rekognition("delete-project-version", "--project-version-arn", version)
    until("the version is gone", lambda: not status_of(project, version.split("/")[3]))
    for dataset in datasets:
        rekognition("delete-dataset", "--dataset-arn", dataset)
        until("the dataset is gone", lambda arn=dataset: is_gone(arn))
    rekognition("delete-project", "--project-arn", project)
    name = project.split("/")[1]
    until(
        "the project is gone",
        lambda: not rekognition("describe-projects", "--project-names", name)["ProjectDescriptions"],
    )


def is_gone(dataset: str) -> bool:
    """Return whether a dataset no longer exists."""
    done = subprocess.run(  # noqa: S603 - the program under test
        [program(), "rekognition", "describe-dataset", "--dataset-arn", dataset],
        capture_output=True,
        text=True,
        check=False,
    )
    return "ResourceNotFoundException" in done.stderr


def main() -> None:
    """Run all steps."""
    upload()
    project: str = rekognition("create-project", "--project-name", "birds")["ProjectArn"]
    rekognition("create-project", "--project-name", "birds", fails="ResourceInUseException")
    rekognition("create-project", "--project-name", "a b", fails="ValidationException")
    rekognition("list-collections", fails="AccessDeniedException")
    datasets = create_datasets(project)
    version = train(project)
    run(project, version)
    target = share(project, version)
    (copy,) = rekognition("describe-project-versions", "--project-arn", target)["ProjectVersionDescriptions"]
    delete(target, copy["ProjectVersionArn"], [])
    delete(project, version, datasets)
    aws("s3", "rb", "s3://puppies", "--force")
    assert aws("s3api", "list-buckets")["Buckets"] == []
    step("everything deleted")


if __name__ == "__main__":
    main()
