"""Whatever the arguments of public functions are, only errors of ours come out, and nothing is created."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from public_callables import PublicCallable, call, calls_of, public_callables
from rekolabels import Client, Dataset, ModelVersion, Project, RetryPolicy, RunningModel
from rekolabels.inference import Detects
from rekolabels.local import LocalService, ManualClock, Quotas, Server, Tps
from rekolabels.testing import Recorded, Trainer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVERY = public_callables("rekolabels", "rekolabels.inference", "rekolabels.local", "rekolabels.testing")
VALUES = {"BoundingBox", "Box", "Detection", "ImageSize", "LabelledImage", "S3Location"}
SDK = [found for found in EVERY if found.name.split(".")[1] not in VALUES]
PROJECT = "arn:aws:rekognition:us-east-1:000000000000:project/nothing/1"
DATASET = "arn:aws:rekognition:us-east-1:000000000000:project/nothing/dataset/train/1"
VERSION = "arn:aws:rekognition:us-east-1:000000000000:project/nothing/version/nothing/1"
EXAMPLES_OF_EACH = 20
EXAMPLES: dict[str, object] = {
    "arn": VERSION,
    "cascade": True,
    "images": [],
    "kind": "train",
    "models": [],
    "name": "nothing",
    "name_or_arn": "nothing",
    "operation": "DescribeProjects",
    "rate": 1,
    "regions": [],
    "seconds": 1,
    "size": None,
    "stop": True,
    "version_name": "nothing",
    "wait": False,
}
"""Valid arguments, so that the checks of the other arguments are reached."""


class Instances:
    """An instance of each public class whose methods are called: handles of what does not exist."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(1_767_225_600)
        self.folder = folder
        self.policy = RetryPolicy(sleep=self.clock.sleep, clock=self.clock, time=self.clock)
        self.service = LocalService(folder / "service", engine="tiny", clock=self.clock)
        self.client = self.service.client(bucket="nothing")

    def get(self, kind: type) -> object:
        """Return an instance of a class."""
        connection = self.client._connection
        model = ModelVersion(connection, VERSION, PROJECT)
        made: dict[type, Any] = {
            Client: lambda: self.client,
            Project: lambda: Project(connection, PROJECT),
            Dataset: lambda: Dataset(connection, DATASET),
            ModelVersion: lambda: model,
            Detects: lambda: model,
            RunningModel: lambda: RunningModel(model, lambda: None, nullcontext),
            LocalService: lambda: LocalService(self.folder / "other", engine="tiny", clock=self.clock),
            Server: self.service.serve,
            ManualClock: lambda: ManualClock(0),
            Quotas: Quotas,
            Tps: Tps,
            Recorded: lambda: Recorded(self.policy),
            Trainer: lambda: Trainer(self.client, self.service.path, {"engine": "tiny", "clock": self.clock}),
        }
        return made[kind]()

    def contents(self) -> list[str]:
        """Return what the service has."""
        s3 = self.client.session.client("s3")
        keys = [item["Key"] for item in s3.list_objects_v2(Bucket="nothing").get("Contents", ())]
        return [*(project.arn for project in self.client.projects()), *keys]


@pytest.fixture(name="instances", scope="module")
def instances_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instances]:
    """Instances that the module shares."""
    made = Instances(tmp_path_factory.mktemp("instances"))
    with made.service:
        yield made


@pytest.fixture(name="_in_an_empty_folder")
def in_an_empty_folder_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files with names of hypothesis are not written into the repository."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_in_an_empty_folder")
@pytest.mark.parametrize("found", SDK, ids=lambda found: found.name)
def test_wrong_arguments_of_the_sdk_raise_our_errors(found: PublicCallable, instances: Instances) -> None:
    """Each call either works or raises an error of ours, without leaving anything behind."""
    known = instances.contents()

    @settings(max_examples=EXAMPLES_OF_EACH, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        positional, named = data.draw(calls_of(found, EXAMPLES))
        instance = None if found.owner is None else instances.get(found.owner)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            error = call(found, instance, positional, named)
        if isinstance(instance, (LocalService, Server)):
            instance.close()
        after = instances.contents()
        if error is not None:
            assert known == after, f"{found.name} with {positional} and {named}: {error}"
        known[:] = after

    check()
