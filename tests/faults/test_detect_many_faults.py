"""detect_many with injected faults: every image has one outcome, and the right one."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sdk_backends import write_folder

from rekolabels import Client, RetryPolicy
from rekolabels.errors import ConnectionFailed, ServiceFault
from rekolabels.formats import read_folder
from rekolabels.local import Fault, FaultPlan, LocalService
from sdk_handles import client_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rekolabels import ModelVersion

DETECT = "DetectCustomLabels"
PATIENT = RetryPolicy(attempts=20, first_poll=0.005, max_poll=0.02, first_delay=0.001, max_delay=0.01)
CHAOS = (
    Fault.throttled(DETECT, probability=0.05),
    Fault.overloaded(DETECT, probability=0.05),
    Fault.broken(DETECT, probability=0.1),
    Fault.dropped(DETECT, probability=0.05),
    Fault.dropped(DETECT, answered=True, probability=0.05),
    Fault.slow(0.02, DETECT, probability=0.1),
)
COUNT = 240


@pytest.fixture(scope="module")
def image_paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Some images on this machine."""
    return sorted(write_folder(tmp_path_factory.mktemp("pictures")).rglob("*.png"))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, image_paths: list[Path]) -> Path:
    """A workspace with a running model."""
    folder = tmp_path_factory.mktemp("chaos")
    with LocalService(folder, engine="tiny") as service:
        project = service.client(bucket="chaos", retry=PATIENT).create_project("chaos")
        project.create_datasets(read_folder(image_paths[0].parents[1]))
        model = project.train("v1")
        model.wait_until_trained()
        model.start()
        model.wait_until_running()
    return folder


@contextmanager
def faulty(workspace: Path, *faults: Fault, seed: int = 0) -> Iterator[tuple[LocalService, ModelVersion]]:
    """Open the workspace with faults; yield the service and the model."""
    with LocalService(workspace, engine="tiny", faults=FaultPlan(faults, seed=seed)) as service:
        yield service, service.client(bucket="chaos", retry=PATIENT).project("chaos").model("v1")


def mixed(image_paths: list[Path], service: LocalService) -> list[Any]:
    """Return paths, bytes and S3 URIs in turn."""
    s3 = service.session().client("s3")
    listed = s3.list_objects_v2(Bucket="chaos", Prefix="images/")["Contents"]
    kinds: list[list[Any]] = [
        list(image_paths),
        [picture.read_bytes() for picture in image_paths],
        [f"s3://chaos/{item['Key']}" for item in listed],
    ]
    turns = itertools.chain.from_iterable(zip(*map(itertools.cycle, kinds), strict=True))
    return list(itertools.islice(turns, COUNT))


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("socket", [True, False])
def test_every_image_has_its_answer(
    workspace: Path,
    image_paths: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ordered: bool,  # noqa: FBT001 -- a case
    socket: bool,  # noqa: FBT001 -- a case
) -> None:
    """The answers with throttled, failing, dropped and slow calls are those without faults."""
    with faulty(workspace) as (service, model):
        images = mixed(image_paths, service)
        expected = list(model.detect_many(images))
    with faulty(workspace, *CHAOS, seed=int(socket)) as (service, model), service.serve() as server:
        if socket:
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
        client = Client(retry=PATIENT) if socket else client_of(model)
        found = list(
            client.model(model.arn).detect_many(images, ordered=ordered, journal=tmp_path / "journal.db")
        )
    assert [outcome.error for outcome in found] == [None] * COUNT
    if ordered:
        assert found == expected
    assert Counter(map(repr, found)) == Counter(map(repr, expected))


def test_lasting_faults_give_errors(workspace: Path, image_paths: list[Path]) -> None:
    """Images that run out of attempts have the last error; images after the faults are answered."""
    with faulty(workspace, Fault.broken(DETECT, times=60), Fault.dropped(DETECT, times=60)) as (_, model):
        outcomes = list(model.detect_many(image_paths * 2, workers=2))
    kinds = [type(outcome.error) for outcome in outcomes]
    assert [outcome.image for outcome in outcomes] == image_paths * 2
    assert set(kinds) <= {ServiceFault, ConnectionFailed, type(None)}
    assert kinds[0] is not type(None)
    assert kinds[-1] is type(None)


RUN = """
import sys
from rekolabels import Client, RetryPolicy

arn, journal, count, *images = sys.argv[1:]
model = Client(retry=RetryPolicy(attempts=20, first_delay=0.001, max_delay=0.01)).model(arn)
for outcome in model.detect_many(images * int(count), journal=journal, workers=4, ordered=False):
    print(outcome.error, flush=True)
"""


def test_a_killed_run_is_resumed_without_paying_twice(
    workspace: Path, image_paths: list[Path], tmp_path: Path
) -> None:
    """After SIGKILL during a run with faults, the next run requests only images without an answer."""
    copies = [tmp_path / f"{number}.png" for number in range(80)]
    for copy, picture in zip(copies, itertools.cycle(image_paths), strict=False):
        os.link(picture, copy)
    journal = tmp_path / "journal.db"
    with faulty(workspace, *CHAOS) as (service, model), service.serve() as server:
        run = subprocess.Popen(  # noqa: S603 -- our own interpreter
            [sys.executable, "-c", RUN, model.arn, str(journal), "1", *map(str, copies)],
            env={**os.environ, **server.environment},
            stdout=subprocess.PIPE,
        )
        assert run.stdout is not None
        for _ in range(20):
            run.stdout.readline()
        os.kill(run.pid, signal.SIGKILL)
        run.communicate()
        answered: list[str] = []
        events: Any = model._connection.rekognition.client.meta.events
        events.register("after-call.rekognition.DetectCustomLabels", record(answered))
        outcomes = list(model.detect_many(copies, journal=journal))
    assert [outcome.image for outcome in outcomes if outcome.error is None] == copies
    assert len(answered) <= len(copies) - 20


def record(answered: list[str]) -> Any:
    """Return a handler that records each call that was answered."""

    def after_call(parsed: dict[str, Any], **_: Any) -> None:
        if "CustomLabels" in parsed:
            answered.append("answered")

    return after_call


COUNTED = """
import os
import sys
from rekolabels import Client

arn, journal, counter, *images = sys.argv[1:]
model = Client().model(arn)
file = os.open(counter, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
events = model._connection.rekognition.client.meta.events

def count(**_):
    os.write(file, b".")

events.register("before-call.rekognition.DetectCustomLabels", count)
for outcome in model.detect_many(images, journal=journal, workers=4, ordered=False):
    print(outcome.error, flush=True)
"""


def test_each_kill_costs_at_most_the_calls_in_progress(
    workspace: Path, image_paths: list[Path], tmp_path: Path
) -> None:
    """A run is killed five times; it requests at most ``workers`` images again for each."""
    copies = [tmp_path / f"{number}.png" for number in range(100)]
    for copy, path in zip(copies, itertools.cycle(image_paths), strict=False):
        os.link(path, copy)
    counter, kills = tmp_path / "calls", 5
    with faulty(workspace) as (service, model), service.serve() as server:
        command = [sys.executable, "-c", COUNTED, model.arn, str(tmp_path / "journal.db"), str(counter)]
        for kill in range(1, kills + 2):
            run = subprocess.Popen(  # noqa: S603 -- our own interpreter
                [*command, *map(str, copies)],
                env={**os.environ, **server.environment},
                stdout=subprocess.PIPE,
                text=True,
            )
            assert run.stdout is not None
            if kill <= kills:
                for _ in range(15 * kill):
                    run.stdout.readline()
                os.kill(run.pid, signal.SIGKILL)
                run.communicate()
            else:
                assert run.communicate()[0].split() == ["None"] * len(copies)
    assert len(copies) <= counter.stat().st_size <= len(copies) + kills * 4
