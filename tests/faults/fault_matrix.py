"""The fault matrix: the outcome of every public operation under every fault.

``test_fault_matrix.py`` tests each cell, and ``tools/make_fault_matrix.py`` writes ``docs/faults.md`` from
the same cells.
"""

from __future__ import annotations

import inspect
import io
import itertools
import json
import math
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs
import boto3
from botocore.config import Config
from faulty_proxy import FaultyProxy, ProxyFault, Request, answer, framed
from sdk_backends import write_folder

from rekolabels import (
    Client,
    Dataset,
    Detection,
    ModelVersion,
    Project,
    RetryPolicy,
    RunningModel,
    S3Location,
    errors,
)
from rekolabels.formats import read_folder
from rekolabels.local import Durations, LocalService, ManualClock, Quotas
from rekolabels.manifest import write_manifest
from sdk_handles import client_of

__all__ = [
    "FAULTS",
    "JOBS",
    "LOCAL",
    "OK",
    "REPORTED",
    "UNSEEN",
    "Cell",
    "Job",
    "World",
    "judge",
    "open_worlds",
    "public_operations",
]

SILENCE = 30.0
"""Seconds of the test's clock; in real time it lasts as long as the client's time-out."""
TIMEOUT = 0.3
POLICY = RetryPolicy(attempts=4, budget=60, patience=60, first_poll=1, max_poll=10)
LIMIT = POLICY.patience + 3 * (POLICY.budget + SILENCE)
"""Seconds within which an operation ends if every request meets a fault: a wait and three calls, because
``model.running()`` writes its lease, announces its stop and reads the tags of others.
"""

OK = "succeeds"
UNSEEN = "sees nothing yet"
REPORTED = "reports"


def _truncated(request: Request) -> None:
    whole = request.pass_on()
    request.client.sendall(whole[: len(whole) - max(1, len(whole.partition(b"\r\n\r\n")[2]) // 2)])


def _reset_early(request: Request) -> None:
    if request.length() > 0:
        request.reader.peek(1)
    request.reset()


def _lost(request: Request) -> None:
    request.pass_on()
    request.reset()


def _silent(request: Request) -> None:
    request.time_out(SILENCE)


def _refusing(
    status: int, code: str, s3_status: int, s3_code: str, *headers: str
) -> Callable[[Request], None]:
    """Return a fault that answers with an error of the service."""

    def strike(request: Request) -> None:
        request.body()
        kind = (s3_status, "S3", s3_code) if request.operation == "S3" else (status, "", code)
        request.client.sendall(answer(*kind, *headers))

    return strike


_UNSEEN = {
    "DescribeProjects": framed(200, b'{"ProjectDescriptions": []}'),
    "DescribeProjectVersions": framed(200, b'{"ProjectVersionDescriptions": []}'),
    "DescribeDataset": answer(400, "", "ResourceNotFoundException"),
}


def _unseen(request: Request) -> None:
    request.body()
    request.client.sendall(_UNSEEN[request.operation])


FAULTS = (
    ProxyFault("refused", "the connection is refused", None),
    ProxyFault("reset", "the connection is reset during the request body", _reset_early),
    ProxyFault("half", "the connection is closed during the response body", _truncated),
    ProxyFault("lost", "the request is carried out, and the connection is reset before the response", _lost),
    ProxyFault("silence", "no response for 30 s, longer than the client's time-out", _silent, silent=True),
    ProxyFault(
        "throttled",
        "`ThrottlingException` and S3's `SlowDown`, twice in a row",
        _refusing(500, "ThrottlingException", 503, "SlowDown"),
        times=2,
    ),
    ProxyFault(
        "S3 slow",
        "only S3 responds with `SlowDown`, and with `Retry-After`",
        _refusing(0, "", 503, "SlowDown", "Retry-After: 3"),
        applies=lambda operation: operation == "S3",
    ),
    ProxyFault(
        "broken",
        "`InternalServerError` (500) and S3's `InternalError`",
        _refusing(500, "InternalServerError", 500, "InternalError"),
    ),
    ProxyFault(
        "clock",
        "the clock is wrong: `InvalidSignatureException` and S3's `RequestTimeTooSkewed`",
        _refusing(400, "InvalidSignatureException", 403, "RequestTimeTooSkewed"),
    ),
    ProxyFault(
        "expired",
        "the credentials have expired: `ExpiredTokenException` and S3's `ExpiredToken`",
        _refusing(400, "ExpiredTokenException", 400, "ExpiredToken"),
    ),
    ProxyFault(
        "unseen",
        "a new resource is not described yet, twice in a row",
        _unseen,
        applies=_UNSEEN.__contains__,
        times=2,
        hides=True,
    ),
)


class _Session(boto3.Session):
    """A session whose clients reach one endpoint."""

    def __init__(self, url: str, account: str) -> None:
        super().__init__(aws_access_key_id=account, aws_secret_access_key="any", region_name="us-east-1")
        self._url = url

    def client(self, *given: Any, **settings: Any) -> Any:
        make: Any = super().client
        return make(*given, endpoint_url=self._url, **settings)


Handle = Any
"""A client, project, dataset or model version; mypy cannot relate the three functions of a job."""


@attrs.define
class World:
    """An account of a service, with clients and resources."""

    service: LocalService
    clock: ManualClock
    proxy: FaultyProxy
    client: Client
    faulty: Client
    hasty: Client
    """Also meets faults, and has a short time-out."""
    folder: Path
    """Has label folders with images in ``pictures`` and ``more``."""
    manifest: str = ""
    numbers: Iterator[int] = attrs.field(factory=itertools.count)
    original: ModelVersion | None = None
    name: str = ""
    """Name of the resource that a run creates."""
    begun: dict[str, Any] = attrs.field(factory=dict[str, Any])
    """Resources of operations that only read, which can be used again."""
    leases: list[AbstractContextManager[RunningModel]] = attrs.field(
        factory=list[AbstractContextManager[RunningModel]]
    )
    """Leases of models that could not be stopped because of a fault."""

    @classmethod
    def make(
        cls,
        service: LocalService,
        url: str,
        account: int,
        clock: ManualClock,
        proxy: FaultyProxy,
        folder: Path,
    ) -> World:
        """Create an account with a bucket that contains images and a manifest."""
        policy = attrs.evolve(POLICY, sleep=clock.sleep, clock=clock, time=clock)
        path_style: Any = {"addressing_style": "path"}
        client, faulty, hasty = (
            Client(
                _Session(at, f"{account:012}"),
                bucket=f"world-{account}",
                config=Config(s3=path_style, read_timeout=timeout),
                retry=attrs.evolve(policy, on_retry=proxy.on_retry),
            )
            for at, timeout in ((url, 10), (proxy.url, 10), (proxy.url, TIMEOUT))
        )
        client.ensure_bucket()
        world = cls(service, clock, proxy, client, faulty, hasty, folder)
        project = client.create_project("first")
        train = project.create_dataset("train", read_folder(folder / "pictures"))
        place = S3Location(client._connection.require_bucket(), "given.manifest")
        lines = io.BytesIO()
        write_manifest(train.entries(), lines)
        client._connection.s3.put(place, lines.getvalue())
        world.manifest = place.uri
        return world

    def begin(self, job: Job) -> Handle:
        """Return the resource that an operation works on."""
        self.clock.advance(100)
        next(self.client.projects())  # lets trainings end that no operation has waited for
        if job.operation not in self.begun:
            self.name = f"n{next(self.numbers)}"
            self.begun[job.operation] = job.before(self)
        return self.begun[job.operation] if job.after is None else self.begun.pop(job.operation)

    def project(self) -> Project:
        """An empty project."""
        return self.client.create_project(self.name)

    def full(self) -> Project:
        """A project with datasets."""
        project = self.project()
        project.create_dataset("train", self.manifest)
        project.create_dataset("test", self.manifest)
        return project

    def undistributed(self) -> Project:
        """A project with an empty test dataset."""
        project = self.project()
        project.create_dataset("train", self.manifest)
        project.create_dataset("test")
        return project

    def dataset(self) -> Dataset:
        """A training dataset."""
        return self.project().create_dataset("train", self.manifest)

    def training(self) -> ModelVersion:
        """A model in training."""
        return self.full().train("v1")

    def trained(self) -> ModelVersion:
        """A model that can be started: a copy, which takes less time than a training."""
        if self.original is None:
            self.original = self.training()
            self.original.wait_until_trained()
        project = self.client.create_project(f"{self.name}-model")
        return self.original.copy_to(project, "v1")

    def trained_here(self) -> ModelVersion:
        """A model from a training, not from a copy."""
        self.trained()
        assert self.original is not None
        return self.original

    def starting(self) -> ModelVersion:
        """A model that is starting."""
        model = self.trained()
        model.start()
        return model

    def running(self) -> ModelVersion:
        """A running model."""
        model = self.starting()
        model.wait_until_running()
        return model

    def abandoned(self) -> ModelVersion:
        """A model left running by a killed process."""
        model = self.running()
        before = f"{self.clock() - 1:.0f}"
        model.tag({"rekolabels:started:a": before, "rekolabels:lease:a": before})
        return model

    def stopping(self) -> ModelVersion:
        """A model that is stopping."""
        model = self.running()
        model.stop()
        return model

    def with_policy(self) -> Project:
        """A project with a policy."""
        project = self.project()
        project.put_policy("share", policy_document(project))
        return project

    def tagged(self) -> Project:
        """A project with a tag."""
        project = self.project()
        project.tag({"a": "b"})
        return project

    def other(self, handle: Any) -> Project:
        """A second project for copies, with the client of the handle."""
        found: Client = client_of(handle)
        return found.project(self.client.create_project(f"{self.name}-copy", exist_ok=True).arn)

    def image(self) -> Path:
        """A local image."""
        return next(self.folder.rglob("pictures/*/*.png"))


@attrs.frozen
class Job:
    """A public operation: the resource that it needs, the call, and a check of its effect."""

    operation: str
    before: Callable[[World], Handle]
    call: Callable[[World, Handle], object]
    after: Callable[[World, Handle], object] | None = None
    """Checks the effect; None for operations that only read, whose results are compared."""


_HOUR = (datetime(2026, 1, 1, 0, tzinfo=UTC), datetime(2026, 1, 1, 1, tzinfo=UTC))


def policy_document(project: Project) -> str:
    """Return a policy that lets an account copy the models of a project."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "111122223333"},
        "Action": "rekognition:CopyProjectVersion",
        "Resource": f"{project.arn.rpartition('/')[0]}/version/*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _exists(find: Callable[[], object]) -> bool:
    try:
        find()
    except errors.ResourceNotFound:
        return False
    return True


def _client(world: World) -> Client:
    return world.client


def _run(world: World, model: ModelVersion) -> int:
    lease = model.running()
    world.leases.append(lease)
    with lease as running:
        return len(running.detect(world.image(), min_confidence=0))


def _detect_many(world: World, model: ModelVersion) -> tuple[Detection, ...]:
    (outcome,) = model.detect_many([world.image()], min_confidence=0)
    if outcome.error is not None:
        raise outcome.error
    return outcome.detections


JOBS = (
    Job(
        "Client.create_project",
        _client,
        lambda w, c: c.create_project(w.name, exist_ok=True),
        lambda w, c: c.project(w.name),
    ),
    Job("Client.ensure_bucket", _client, lambda _, c: c.ensure_bucket()),
    Job("Client.model", World.training, lambda _, m: client_of(m).model(m.arn)),
    Job("Client.project", World.project, lambda w, p: client_of(p).project(w.name)),
    Job("Client.projects", _client, lambda _, c: [project.name for project in c.projects()]),
    Job("Client.running_models", World.running, lambda _, m: list(client_of(m).running_models())),
    Job(
        "Client.sweep", World.abandoned, lambda _, m: client_of(m).sweep(), lambda _, m: m.status == "STOPPED"
    ),
    Job(
        "Project.create_dataset",
        World.project,
        lambda w, p: p.create_dataset("train", w.manifest),
        lambda _, p: p.train_dataset,
    ),
    Job(
        "Project.create_datasets",
        World.project,
        lambda w, p: p.create_datasets(read_folder(w.folder / "pictures")),
        lambda _, p: p.train_dataset and p.test_dataset,
    ),
    Job("Project.datasets", World.full, lambda _, p: p.datasets()),
    Job(
        "Project.delete",
        World.full,
        lambda _, p: p.delete(cascade=True),
        lambda _, p: not _exists(p.describe),
    ),
    Job(
        "Project.delete_policy",
        World.with_policy,
        lambda _, p: p.delete_policy("share"),
        lambda _, p: not list(p.policies()),
    ),
    Job("Project.describe", World.full, lambda _, p: p.describe()),
    Job(
        "Project.distribute_datasets",
        World.undistributed,
        lambda _, p: p.distribute_datasets(),
        lambda _, p: p.test_dataset.describe().total_entries,
    ),
    Job("Project.model", World.training, lambda _, m: client_of(m).project(m.project_arn).model("v1")),
    Job("Project.models", World.training, lambda _, m: list(client_of(m).project(m.project_arn).models())),
    Job("Project.policies", World.with_policy, lambda _, p: list(p.policies())),
    Job(
        "Project.put_policy",
        World.project,
        lambda _, p: p.put_policy("share", policy_document(p)),
        lambda _, p: list(p.policies()),
    ),
    Job("Project.tag", World.project, lambda _, p: p.tag({"a": "b"}), lambda _, p: p.tags == {"a": "b"}),
    Job("Project.tags", World.tagged, lambda _, p: p.tags),
    Job("Project.test_dataset", World.full, lambda _, p: p.test_dataset),
    Job(
        "Project.train",
        World.full,
        lambda _, p: p.train("v1", exist_ok=True),
        lambda _, p: len(list(p.models())) == 1,
    ),
    Job("Project.train_dataset", World.full, lambda _, p: p.train_dataset),
    Job(
        "Project.training_estimate",
        World.trained,
        lambda _, m: client_of(m).project(m.project_arn).training_estimate(),
    ),
    Job("Project.untag", World.tagged, lambda _, p: p.untag("a"), lambda _, p: not p.tags),
    Job("Dataset.delete", World.dataset, lambda _, d: d.delete(), lambda _, d: not _exists(d.describe)),
    Job("Dataset.describe", World.dataset, lambda _, d: d.describe()),
    Job("Dataset.entries", World.dataset, lambda _, d: list(d.entries())),
    Job("Dataset.labels", World.dataset, lambda _, d: list(d.labels())),
    Job("Dataset.tag", World.dataset, lambda _, d: d.tag({"a": "b"}), lambda _, d: d.tags == {"a": "b"}),
    Job("Dataset.tags", World.dataset, lambda _, d: d.tags),
    Job("Dataset.untag", World.dataset, lambda _, d: d.untag("a"), lambda _, d: not d.tags),
    Job(
        "Dataset.update",
        World.dataset,
        lambda w, d: d.update(read_folder(w.folder / "more")),
        lambda _, d: d.describe().total_entries == 13,
    ),
    Job("Dataset.wait_until_ready", World.dataset, lambda _, d: d.wait_until_ready()),
    Job(
        "ModelVersion.copy_to",
        World.trained,
        lambda w, m: m.copy_to(w.other(m)),
        lambda w, m: w.other(m).model("v1").wait_until_trained().status == "COPYING_COMPLETED",
    ),
    Job(
        "ModelVersion.delete",
        World.running,
        lambda _, m: m.delete(stop=True),
        lambda _, m: not _exists(m.describe),
    ),
    Job("ModelVersion.describe", World.training, lambda _, m: m.describe()),
    Job("ModelVersion.detect", World.running, lambda w, m: m.detect(w.image(), min_confidence=0)),
    Job(
        "ModelVersion.detect_many",
        World.running,
        _detect_many,
    ),
    Job("ModelVersion.evaluation", World.trained, lambda _, m: str(m.evaluation())),
    Job("ModelVersion.run_cost", World.running, lambda _, m: m.run_cost(*_HOUR)),
    Job("ModelVersion.running", World.trained, _run, lambda _, m: m.status == "STOPPED"),
    Job(
        "ModelVersion.start",
        World.trained,
        lambda _, m: m.start(),
        lambda _, m: m.status in {"STARTING", "RUNNING"},
    ),
    Job("ModelVersion.status", World.training, lambda _, m: m.status),
    Job(
        "ModelVersion.stop",
        World.running,
        lambda _, m: m.stop(),
        lambda _, m: m.status in {"STOPPING", "STOPPED"},
    ),
    Job("ModelVersion.tag", World.trained, lambda _, m: m.tag({"a": "b"}), lambda _, m: m.tags == {"a": "b"}),
    Job("ModelVersion.tags", World.trained, lambda _, m: m.tags),
    Job("ModelVersion.training_cost", World.trained_here, lambda _, m: m.training_cost()),
    Job("ModelVersion.training_images", World.trained, lambda _, m: len(list(m.training_images()))),
    Job("ModelVersion.untag", World.trained, lambda _, m: m.untag("a"), lambda _, m: not m.tags),
    Job("ModelVersion.validation", World.trained, lambda _, m: len(list(m.validation().training_lines()))),
    Job("ModelVersion.wait_until_running", World.starting, lambda _, m: m.wait_until_running()),
    Job("ModelVersion.wait_until_stopped", World.stopping, lambda _, m: m.wait_until_stopped()),
    Job("ModelVersion.wait_until_trained", World.training, lambda _, m: m.wait_until_trained()),
)

LOCAL = frozenset(
    {
        "Client.bucket",
        "Client.dataset",
        "Client.prefix",
        "Client.prices",
        "Client.region_name",
        "Client.retry",
        "Client.session",
        "Dataset.kind",
        "ModelVersion.version_name",
        "Project.name",
    }
)
"""Public members that do not call a service."""


@contextmanager
def open_worlds(folder: Path) -> Generator[Callable[[Job], World]]:
    """Give each operation its world, an account of one service behind a proxy.

    Operations of the client list everything in an account, so each has its own world; the others share one.
    """
    write_folder(folder / "pictures")
    write_folder(folder / "more", images=1, labels=3)
    clock = ManualClock()
    durations = Durations(training=60, starting=30, stopping=30)
    service = LocalService(clock=clock, durations=durations, quotas=Quotas.off(), engine="tiny")
    with service, service.serve() as server, FaultyProxy(server.port, clock.advance) as proxy:
        made: dict[str, World] = {}

        def world_of(job: Job) -> World:
            name = job.operation if job.operation.startswith("Client.") else "shared"
            if name not in made:
                made[name] = World.make(service, server.url, len(made) + 1, clock, proxy, folder)
            return made[name]

        yield world_of


def public_operations() -> set[str]:
    """Return the public methods and properties of the four classes."""
    return {
        f"{kind.__name__}.{name}"
        for kind in (Client, Project, Dataset, ModelVersion)
        for name, member in inspect.getmembers(kind)
        if not name.startswith("_")
        if inspect.isfunction(member) or isinstance(member, (property, cached_property))
    }


@attrs.frozen
class Cell:
    """Outcome of an operation under a fault."""

    brief: str
    """Outcome under a fault that ends: ``succeeds``, or the error."""
    lasting: str
    """Outcome under a fault that does not end."""
    again: str
    """Outcome of the run after that fault."""


def judge(world: World, job: Job, fault: ProxyFault) -> Cell | None:
    """Run an operation under a fault that ends, under one that does not end, and again without it.

    Returns:
        The outcomes; None if the operation makes no request that the fault concerns.

    Raises:
        AssertionError: An outcome is not allowed.
    """
    handle = world.begin(job)
    brief = _try(world, job, handle, fault, times=fault.times)
    if world.proxy.seen and not world.proxy.struck and fault.strike is not None:
        return None
    if brief != OK:
        assert _try(world, job, handle) == OK
    handle = world.begin(job)
    began = world.clock()
    lasting = _try(world, job, handle, fault, times=math.inf)
    assert world.clock() - began <= LIMIT
    return Cell(brief, lasting, _try(world, job, handle))


def _try(world: World, job: Job, handle: Handle, fault: ProxyFault | None = None, *, times: float = 0) -> str:
    """Run an operation once, and check its result without faults."""
    expected = repr(job.call(world, handle)) if job.after is None else ""
    client = world.hasty if fault is not None and fault.silent else world.faulty
    client._connection._bucket_regions.clear()  # no row may depend on earlier ones
    faulty = client if isinstance(handle, Client) else attrs.evolve(handle, connection=client._connection)
    outcome = OK
    found = ""
    if fault is not None:
        world.proxy.begin(fault, times=times)
    while fault is None and world.leases:
        world.leases.pop().__exit__(None, None, None)  # as if the process of the first run had ended
    try:
        found = repr(job.call(world, faulty))
    except errors.RekolabelsError as error:
        outcome = type(error).__name__
    finally:
        world.proxy.end()
    if fault is None and outcome in _DONE_BEFORE:
        outcome = f"{REPORTED}: {outcome}"
    elif outcome != OK:
        return outcome
    if fault is not None and fault.hides:
        world.service._jobs.wait()  # an operation that saw nothing has not waited for what it started
    done = job.after(world, handle) if job.after is not None else found == expected
    if fault is not None and fault.hides and not done:
        return UNSEEN
    assert done
    return outcome


_DONE_BEFORE = frozenset({"ResourceAlreadyExists", "ResourceInUse", "ResourceNotFound"})
"""What the second run may be told of what the first has done without knowing."""
