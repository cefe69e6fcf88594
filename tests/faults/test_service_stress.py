"""Processes with several threads use one workspace and are killed (SIGKILL) again and again."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import stress_worker
from service_backends import Backend, open_backend

from rekolabels.local import Quotas

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")

STRESS = int(os.environ.get("REKOLABELS_STRESS", "0"))
"""Seconds of the long run with 4 processes of 4 threads; 0 for 3 kills of 2 processes of 2 threads."""
SEED = os.environ.get("REKOLABELS_SEED", "7")
PROCESSES, THREADS = (4, 4) if STRESS else (2, 2)
KILLS = 3
"""Number of kills in the short run."""
REQUESTS = 600 if STRESS else 60
"""The largest number of requests of a process that the parent counts before it kills the process."""
_log = logging.getLogger("rekolabels.tests")


# -- what the processes logged -------------------------------------------------------------------------------


@attrs.frozen
class Request:
    """A request of one thread."""

    kind: str
    changes: Mapping[str, Any]
    """New value by item; None where the request removes the item."""
    begin: int
    """Nanoseconds of the clock that all processes share."""
    end: int | None
    """When it was acknowledged; None if it was not."""


@attrs.frozen
class Log:
    """The requests of a process."""

    threads: Mapping[str, list[Request]]
    """Requests by thread, in order, without those that the service refused."""

    @property
    def pending(self) -> list[Request]:
        """The requests that the process did not live to see acknowledged: at most the last of each thread."""
        last = [requests[-1] for requests in self.threads.values() if requests]
        return [request for request in last if request.end is None]

    @classmethod
    def read(cls, path: Path) -> Log:
        """Read the file of a killed process; its last line may be incomplete."""
        threads: dict[str, list[Request]] = defaultdict(list)
        for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
            values = json.loads(line)
            requests = threads[values["thread"]]
            if "op" in values:
                assert not requests or requests[-1].end is not None
                requests.append(Request(values["op"], dict(values["changes"]), values["at"], None))
            elif values["done"]:
                requests[-1] = attrs.evolve(requests[-1], end=values["at"])
            else:
                requests.pop()
        return cls(threads)


def is_shared(item: str) -> bool:
    """Return whether an item is one that all threads change."""
    return item.startswith("object shared/")


def check_own(log: Log, found: Mapping[str, Any]) -> None:
    """Check the items that only one thread changes: all that was acknowledged, and nothing else.

    A request that was not acknowledged was executed as a whole or not at all.
    """
    for thread, requests in log.threads.items():
        expected: dict[str, Any] = {}
        possible: list[dict[str, Any]] = []
        for request in requests:
            if request.end is None:
                possible = [expected]
            expected = expected | {
                item: value for item, value in request.changes.items() if not is_shared(item)
            }
        possible.append(expected)
        own = {item: value for item, value in found.items() if owner_of(item) == thread}
        states = [{item: value for item, value in state.items() if value is not None} for state in possible]
        assert own in states, differences(own, states)


def owner_of(item: str) -> str:
    """Return the thread that an item belongs to; empty for shared ones."""
    name = item.split(" ")[1]
    return name.partition("/")[0] if item.startswith("object ") else name.partition("-")[0]


def differences(own: Mapping[str, Any], states: Iterable[Mapping[str, Any]]) -> str:
    """Describe how the found items differ from what is possible."""
    return "\n".join(
        f"{item}: found {own.get(item)!r}, expected {state.get(item)!r}"
        for state in states
        for item in sorted(own.keys() | state.keys())
        if own.get(item) != state.get(item)
    )


def check_shared(logs: Iterable[Log], found: Mapping[str, Any]) -> None:
    """Check the objects that all threads changed: none is older than another acknowledged change."""
    changes: dict[str, list[tuple[Any, Request]]] = defaultdict(list)
    for log in logs:
        for requests in log.threads.values():
            for request in requests:
                for item, value in request.changes.items():
                    if is_shared(item):
                        changes[item].append((value, request))
    for item in changes.keys() | {item for item in found if is_shared(item)}:
        # The last of the begins: what was acknowledged before it is overwritten for certain.
        latest = max((request.begin for _, request in changes[item] if request.end is not None), default=0)
        current = {value for value, request in changes[item] if request.end is None or request.end >= latest}
        assert found.get(item) in (current or {None}), f"{item}: found {found.get(item)}, expected {current}"


# -- what is in the workspace --------------------------------------------------------------------------------


def items_in(backend: Backend, prefix: str = "", *, final: bool = False) -> dict[str, Any]:
    """Return the value of every item whose thread's name begins with a prefix.

    Args:
        backend: A service on the workspace.
        prefix: Beginning of the names.
        final: Whether no job may be in progress.
    """
    found: dict[str, Any] = {}
    s3, client = backend.s3, backend.rekognition
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=stress_worker.BUCKET, Prefix=prefix):
        for entry in page.get("Contents", []):
            if not entry["Key"].startswith("manifests/"):
                body = s3.get_object(Bucket=stress_worker.BUCKET, Key=entry["Key"])["Body"].read()
                found[f"object {entry['Key']}"] = stress_worker.token_of(body)
    pages = client.get_paginator("describe_projects").paginate()
    for project in (project for page in pages for project in page["ProjectDescriptions"]):
        name = project["ProjectArn"].split("/")[1]
        assert project["Status"] == "CREATED" or not final, project
        if name.startswith(prefix) and project["Status"] != "DELETING":
            found[f"project {name}"] = True
            tags = client.list_tags_for_resource(ResourceArn=project["ProjectArn"])["Tags"]
            found |= {f"tag {name} {tag}": value for tag, value in tags.items()}
            counts = [entries_in(client, dataset, final=final) for dataset in project["Datasets"]]
            found |= {f"dataset {name}": count for count in counts if count}
    return found


def entries_in(client: Any, dataset: Mapping[str, str], *, final: bool) -> int | None:
    """Return how many entries a dataset was created from; None while it is deleted."""
    if dataset["Status"] == "DELETE_IN_PROGRESS":
        assert not final, dataset
        return None
    described = client.describe_dataset(DatasetArn=dataset["DatasetArn"])["DatasetDescription"]
    count = described["DatasetStats"]["TotalEntries"]
    if described["Status"] == "CREATE_COMPLETE":
        assert count
        return int(count)
    assert described["Status"] == "CREATE_FAILED" or not final, described
    return -1


def forget_counts(log: Log, found: dict[str, Any]) -> None:
    """Accept datasets whose creation was interrupted or goes on, whatever number of entries was expected."""
    for requests in log.threads.values():
        for request in requests:
            for item in request.changes:
                if found.get(item) == -1:
                    found[item] = request.changes[item]


def check_files(workspace: Path, logs: Iterable[Log]) -> None:
    """Check that there is a file for every row and no other file, with nothing but SQLite and the disk."""
    private, state = workspace / "s3" / ".rekolabels", workspace / "rekognition" / "state.sqlite"
    with closing(sqlite3.connect(private / "index.sqlite")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT * FROM garbage").fetchall() == []
        assert db.execute("SELECT * FROM stale").fetchall() == []
        objects = {key.decode(): body for key, body in db.execute("SELECT key, body FROM objects")}
        parts = {body for (body,) in db.execute("SELECT body FROM parts")}
        uploads = [key.decode() for (key,) in db.execute("SELECT key FROM uploads")]
    bodies = private / "bodies"
    files = {str(path.relative_to(bodies)) for path in bodies.rglob("*") if path.is_file()}
    assert {path for path in files if not path.endswith("/lock")} == {*objects.values()} | parts
    plain = workspace / "s3" / stress_worker.BUCKET
    assert {str(path.relative_to(plain)) for path in plain.rglob("*") if path.is_file()} == objects.keys()
    assert all((plain / key).samefile(bodies / body) for key, body in objects.items())
    unfinished = Counter(
        key.removeprefix("object ")
        for log in logs
        for request in log.pending
        if request.kind == "multipart"
        for key in request.changes or ["given up"]
    )
    given_up = unfinished.pop("given up", 0)
    assert (Counter(uploads) - unfinished).total() <= given_up
    with closing(sqlite3.connect(state)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT * FROM jobs").fetchall() == []
        orphans = "SELECT arn FROM tags WHERE arn NOT IN (SELECT arn FROM projects)"
        assert db.execute(orphans).fetchall() == []
        orphans = "SELECT dataset FROM entries WHERE dataset NOT IN (SELECT id FROM datasets)"
        assert db.execute(orphans).fetchall() == []
    assert list((workspace / "rekognition" / "owners").iterdir()) == []
    assert list((workspace / "rekognition" / "versions").iterdir()) == []


# -- the processes -------------------------------------------------------------------------------------------


@attrs.frozen
class Worker:
    """A process that uses the workspace."""

    process: subprocess.Popen[bytes]
    name: str
    log: Path

    @classmethod
    def start(cls, folder: Path, name: str) -> Worker:
        """Start a process; its threads have names of their own that no earlier process had."""
        log = folder / f"{name}.jsonl"
        arguments = [str(folder / "workspace"), name, str(THREADS), SEED, str(log)]
        with (folder / f"{name}.err").open("wb") as errors:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and script
                [sys.executable, stress_worker.__file__, *arguments], stdout=subprocess.PIPE, stderr=errors
            )
        return cls(process, name, log)

    @property
    def errors(self) -> str:
        """What the process reported, other than interrupted jobs of others."""
        lines = self.log.with_suffix(".err").read_text(encoding="utf-8").splitlines()
        return "\n".join(line for line in lines if not line.endswith("was interrupted."))

    def wait_for(self, requests: int) -> None:
        """Wait until this number of requests more has been acknowledged."""
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        os.set_blocking(descriptor, False)
        with contextlib.suppress(BlockingIOError):
            while os.read(descriptor, 1 << 16):
                pass
        os.set_blocking(descriptor, True)
        while requests > 0:
            dots = os.read(descriptor, requests)
            assert dots, f"{self.name} ended: {self.errors}"
            requests -= len(dots)

    def kill(self) -> Log:
        """Kill the process; return what it logged."""
        assert self.process.poll() is None, f"{self.name} ended: {self.errors}"
        self.end()
        assert self.errors == ""
        return Log.read(self.log)

    def end(self) -> None:
        """Kill the process if it runs."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.contextmanager
def workers_on(folder: Path) -> Iterator[list[Worker]]:
    """Start the processes; none is left at the end."""
    workers: list[Worker] = []
    try:
        workers += [Worker.start(folder, f"p{number}g0") for number in range(PROCESSES)]
        yield workers
    finally:
        for worker in workers:
            worker.end()


def check_killed(worker: Worker, log: Log, workspace: Path) -> None:
    """Open the workspace, which the others go on to use, and check what the killed process changed."""
    with open_backend("in process", workspace, quotas=Quotas.off()) as backend:
        found = items_in(backend, worker.name)
    forget_counts(log, found)
    check_own(log, found)


def test_processes_with_threads_are_killed(tmp_path: Path) -> None:
    """Nothing acknowledged is lost, nothing else appears, and nothing is left behind.

    The long run ends by the clock, the short one after a number of kills. A slow machine fails neither: each
    kill waits for a number of acknowledged requests, however long they take.
    """
    workspace = tmp_path / "workspace"
    with open_backend("in process", workspace) as backend:
        backend.s3.create_bucket(Bucket=stress_worker.BUCKET)
    dice = random.Random(SEED)  # noqa: S311 - which process, and when
    logs: list[Log] = []
    begin = time.monotonic()
    with workers_on(tmp_path) as workers:
        while time.monotonic() < begin + STRESS if STRESS else len(logs) < KILLS:
            number = dice.randrange(PROCESSES)
            worker = workers[number]
            worker.wait_for(dice.randint(1, REQUESTS))
            for _ in range(dice.randrange(10_000)):
                pass  # otherwise the thread that was acknowledged last would always be at the same point
            logs.append(worker.kill())
            check_killed(worker, logs[-1], workspace)
            workers[number] = Worker.start(tmp_path, f"p{number}g{len(logs)}")
        for worker in workers:
            worker.wait_for(1)
            logs.append(worker.kill())
    with open_backend("in process", workspace, quotas=Quotas.off()) as backend:
        found = items_in(backend, final=True)
    for log in logs:
        forget_counts(log, found)
        check_own(log, found)
    check_shared(logs, found)
    assert {owner_of(item) for item in found} - {"shared"} <= {
        thread for log in logs for thread in log.threads
    }
    check_files(workspace, logs)
    done = Counter(
        request.kind
        for log in logs
        for requests in log.threads.values()
        for request in requests
        if request.end is not None
    )
    _log.warning(
        "Seed %s: %d requests of %d processes x %d threads in %.0f s, %d kills, %d pending; %s",
        SEED,
        done.total(),
        PROCESSES,
        THREADS,
        time.monotonic() - begin,
        len(logs),
        sum(len(log.pending) for log in logs),
        dict(done),
    )
