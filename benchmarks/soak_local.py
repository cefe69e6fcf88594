"""Soak test of the embedded service: parallel clients run whole projects, one after the other.

    python benchmarks/soak_local.py --minutes 10

Each client has an account of its own; half of them train detectors. The test passes when no call failed, the
memory of the service did not grow, and nothing is left in its store.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Callable

_SIDE = 96
_MAX_GROWTH = 1.05
"""Allowed ratio of the memory in the last fifth of the time (minutes 9 and 10 of ten) to that in the second
fifth (minutes 3 and 4). Before that, libraries, network and caches are loaded."""


def main() -> int:
    """Run the clients; return 0 when the test passes."""
    parser = argparse.ArgumentParser(description="Soak test of the embedded service.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        command = [sys.executable, "-m", "rekolabels", "serve", "--workspace", str(workspace)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            end = time.monotonic() + options.minutes * 60
            clients = [Client(number, url, end) for number in range(options.clients)]
            threads = [threading.Thread(target=client.run, daemon=True) for client in clients]
            for thread in threads:
                thread.start()
            memory = watch(process.pid, threads)
            process.terminate()
        left = check(workspace)
    return report(clients, memory, left)


def watch(pid: int, threads: list[threading.Thread]) -> list[float]:
    """Return the memory of the service in megabytes, every two seconds until all clients end."""
    memory: list[float] = []
    while any(thread.is_alive() for thread in threads):
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
            memory.append(int(status.split("VmRSS:")[1].split()[0]) / 1024)
        time.sleep(2)
    return memory


def check(workspace: Path) -> dict[str, int]:
    """Return the number of rows left in each table of the store; all should be 0."""
    left: dict[str, int] = {}
    with contextlib.closing(sqlite3.connect(workspace / "rekognition" / "state.sqlite")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for table in (
            "projects",
            "datasets",
            "entries",
            "entry_labels",
            "versions",
            "tags",
            "jobs",
            "policies",
        ):
            (left[table],) = db.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - only the names above
    left["version folders"] = sum(1 for _ in (workspace / "rekognition" / "versions").iterdir())
    return left


def report(clients: list[Client], memory: list[float], left: dict[str, int]) -> int:
    """Print the results; return 0 when the test passes."""
    calls = sum((client.calls for client in clients), Counter[str]())
    problems = [problem for client in clients for problem in client.problems]
    print(f"{sum(client.project_count for client in clients)} projects, {calls.total()} calls, {dict(calls)}")
    print(
        "Memory of the service over time, in MB:",
        *(f"{value:.0f}" for value in memory[:: max(1, len(memory) // 12)]),
    )
    fifth = max(1, len(memory) // 5)
    early = statistics.median(memory[fifth : 2 * fifth] or memory)
    late = statistics.median(memory[-fifth:])
    print(
        f"Memory of the service: {early:.0f} MB in the second fifth of the time, {late:.0f} MB in the last, "
        f"{max(memory):.0f} MB maximum"
    )
    print(f"Left in the store: {left}")
    for problem in problems[:5]:
        print(problem)
    print(f"{len(problems)} problems")
    return 1 if problems or any(left.values()) or late > early * _MAX_GROWTH else 0


class Client:
    """A client of the service with an account of its own."""

    def __init__(self, number: int, url: str, end: float) -> None:
        session = boto3.Session(f"{number + 1:012d}", "x", region_name="us-east-1")
        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        self._end = end
        self._bucket = f"bucket-{number}"
        self._boxes = number % 2 == 1
        self._rng = random.Random(number)  # noqa: S311 - pictures, not secrets
        self._rekognition = session.client("rekognition", endpoint_url=url, config=config)
        self._s3 = session.client("s3", endpoint_url=url, config=config)
        self.calls: Counter[str] = Counter()
        self.problems: list[str] = []
        self.project_count = 0

    def run(self) -> None:
        """Run one project after the other."""
        self._s3.create_bucket(Bucket=self._bucket)
        try:
            while time.monotonic() < self._end:
                self._run_project()
                self.project_count += 1
        except Exception:  # noqa: BLE001 - every failure is reported
            self.problems.append(traceback.format_exc())

    def _run_project(self) -> None:
        call = self._call
        name = f"project-{self.project_count}"
        project = call("create_project", ProjectName=name)["ProjectArn"]
        datasets = [self._dataset(project, "TRAIN", 6), self._dataset(project, "TEST", 2)]
        call("list_dataset_entries", DatasetArn=datasets[0], MaxResults=5)
        output = {"S3Bucket": self._bucket, "S3KeyPrefix": f"out/{name}"}
        version = call("create_project_version", ProjectArn=project, VersionName="v1", OutputConfig=output)
        arn = version["ProjectVersionArn"]
        self._until("TRAINING_COMPLETED", lambda: self._status(project))
        call("start_project_version", ProjectVersionArn=arn, MinInferenceUnits=1)
        self._until("RUNNING", lambda: self._status(project))
        for _ in range(20):
            label = self._rng.choice(["dot", "bar"])
            found = call(
                "detect_custom_labels", ProjectVersionArn=arn, Image={"Bytes": self._picture(label)[0]}
            )
            assert isinstance(found["CustomLabels"], list)
        call("stop_project_version", ProjectVersionArn=arn)
        self._until("STOPPED", lambda: self._status(project))
        call("delete_project_version", ProjectVersionArn=arn)
        self._until("", lambda: self._status(project))
        for dataset in datasets:
            call("delete_dataset", DatasetArn=dataset)
        self._until("[]", lambda: str(self._projects(name)[0]["Datasets"]))
        call("delete_project", ProjectArn=project)
        self._until("[]", lambda: str(self._projects(name)))
        self._empty()

    def _dataset(self, project: str, kind: str, count: int) -> str:
        lines: list[str] = []
        for label in ("dot", "bar"):
            for number in range(count):
                data, box = self._picture(label)
                key = f"{kind}/{label}/{number}.png"
                self._s3.put_object(Bucket=self._bucket, Key=key, Body=data)
                self.calls["put_object"] += 1
                lines.append(self._line(f"s3://{self._bucket}/{key}", label, box))
        self._s3.put_object(Bucket=self._bucket, Key=f"{kind}.manifest", Body="\n".join(lines).encode())
        manifest = {"S3Object": {"Bucket": self._bucket, "Name": f"{kind}.manifest"}}
        source = {"GroundTruthManifest": manifest}
        arn: str = self._call("create_dataset", ProjectArn=project, DatasetType=kind, DatasetSource=source)[
            "DatasetArn"
        ]
        self._until("CREATE_COMPLETE", lambda: self._dataset_status(arn))
        return arn

    def _line(self, uri: str, label: str, box: tuple[int, int, int, int]) -> str:
        shared = {"human-annotated": "yes", "creation-date": "2024-03-01T09:30:00"}
        if not self._boxes:
            metadata = {"class-name": label, "confidence": 1, "type": "groundtruth/image-classification"}
            return json.dumps(
                {"source-ref": uri, label: 1, f"{label}-metadata": metadata | shared | {"job-name": label}}
            )
        left, top, width, height = box
        annotation = {"class_id": 0, "left": left, "top": top, "width": width, "height": height}
        return json.dumps(
            {
                "source-ref": uri,
                "boxes": {
                    "image_size": [{"width": _SIDE, "height": _SIDE, "depth": 3}],
                    "annotations": [annotation],
                },
                "boxes-metadata": {
                    "objects": [{"confidence": 1}],
                    "class-map": {"0": label},
                    "type": "groundtruth/object-detection",
                    **shared,
                },
            }
        )

    def _picture(self, label: str) -> tuple[bytes, tuple[int, int, int, int]]:
        left, top = self._rng.randrange(8, 48), self._rng.randrange(8, 48)
        width, height = (32, 32) if label == "dot" else (40, 16)
        image = Image.new("RGB", (_SIDE, _SIDE), (self._rng.randrange(60),) * 3)
        draw = ImageDraw.Draw(image)
        bounds = (left, top, left + width, top + height)
        if label == "dot":
            draw.ellipse(bounds, fill=(220, 40, 40))
        else:
            draw.rectangle(bounds, fill=(40, 220, 40))
        file = io.BytesIO()
        image.save(file, "PNG")
        return file.getvalue(), (left, top, width, height)

    def _call(self, operation: str, **parameters: Any) -> Any:
        self.calls[operation] += 1
        return getattr(self._rekognition, operation)(**parameters)

    def _status(self, project: str) -> str:
        found = self._call("describe_project_versions", ProjectArn=project)["ProjectVersionDescriptions"]
        assert not found or "FAILED" not in found[0]["Status"], found[0]["StatusMessage"]
        return found[0]["Status"] if found else ""

    def _dataset_status(self, arn: str) -> str:
        status: str = self._call("describe_dataset", DatasetArn=arn)["DatasetDescription"]["Status"]
        return status

    def _projects(self, name: str) -> list[Any]:
        found: list[Any] = self._call("describe_projects", ProjectNames=[name])["ProjectDescriptions"]
        return found

    def _empty(self) -> None:
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket):
            keys: list[Any] = [{"Key": item["Key"]} for item in page.get("Contents", [])]
            self._s3.delete_objects(Bucket=self._bucket, Delete={"Objects": keys})
            self.calls["delete_objects"] += 1

    def _until(self, expected: str, read: Callable[[], str]) -> None:
        deadline = time.monotonic() + 300
        while (found := read()) != expected:
            assert time.monotonic() < deadline, f"Timed out waiting for {expected!r}; it is {found!r}."
            time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
