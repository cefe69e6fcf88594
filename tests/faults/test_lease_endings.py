"""Processes that run models end in every way at random moments; only their own models are stopped."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from sdk_backends import write_folder

import lease_processes
from rekolabels import RetryPolicy
from rekolabels.formats import read_folder
from rekolabels.local import Durations, LocalService, Quotas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rekolabels import Client, ModelVersion

ENDINGS = int(os.environ.get("REKOLABELS_ENDINGS", "30"))
"""Number of processes that end in the random test."""
SEED = int(os.environ.get("REKOLABELS_SEED", "7"))
QUICK = RetryPolicy(first_poll=0.01, max_poll=0.05)
LATER = attrs.evolve(QUICK, time=lambda: QUICK.time() + 1000)
"""A policy by whose clock the leases of dead processes have expired."""
SIGNALS = {
    "SIGINT": signal.SIGINT,
    "SIGTERM": signal.SIGTERM,
    "SIGHUP": signal.SIGHUP,
    "SIGKILL": signal.SIGKILL,
}
_log = logging.getLogger("rekolabels.tests")
WITHOUT_SIGNAL = ["return", "exception", "exit", "hard exit", "thread", "daemon", "never left", "fork"]


@attrs.frozen
class Forker:
    """The process that forks the processes that run models."""

    process: subprocess.Popen[str]

    def start(self, model: ModelVersion, ending: str, seconds: float) -> int:
        """Fork a process; return its id."""
        request = {"arn": model.arn, "project": model.project_arn, "ending": ending, "seconds": seconds}
        return self._ask(request)

    def wait(self, process: int) -> int:
        """Wait for the end of a process; return its wait status."""
        return self._ask({"wait": process})

    def _ask(self, request: dict[str, Any]) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    """A service whose models take a while to start and stop, so that processes end meanwhile."""
    with LocalService(
        tmp_path_factory.mktemp("endings"),
        engine="tiny",
        quotas=Quotas.off(),
        durations=Durations(starting=0.2, stopping=0.1),
    ) as made:
        yield made


@pytest.fixture(scope="module")
def client(service: LocalService) -> Client:
    """A client that runs no models itself."""
    return service.client(bucket="endings", retry=QUICK)


@pytest.fixture(scope="module")
def models(client: Client, tmp_path_factory: pytest.TempPathFactory) -> list[ModelVersion]:
    """Trained models."""
    project = client.create_project("endings")
    project.create_datasets(read_folder(write_folder(tmp_path_factory.mktemp("pictures"))))
    made: list[ModelVersion] = []
    for number in range(3):
        made.append(project.train(f"v{number}"))
        made[-1].wait_until_trained()
    return made


@pytest.fixture(scope="module")
def forker(service: LocalService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    """The process that forks the others."""
    log = tmp_path_factory.mktemp("lease_processes") / "log"
    with service.serve() as server, log.open("w") as file, _forker({**server.environment}, file) as process:
        yield Forker(process)


@contextmanager
def _forker(environment: dict[str, str], log: Any) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(  # noqa: S603 -- our own interpreter and script
        [sys.executable, str(Path(lease_processes.__file__))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        yield process


def test_only_models_of_dead_processes_are_stopped(
    client: Client, models: list[ModelVersion], forker: Forker
) -> None:
    """One to three processes for each model end in random ways while sweeps run.

    While a process holds a lease, its model runs. Without a sweep, only models whose process ended by SIGKILL
    or os._exit may stay running. After a sweep, no model that a process started runs, every model that was
    started by other means does, and no lease tags are left.
    """
    dice = random.Random(SEED)  # noqa: S311 -- moments, not secrets
    ended: Counter[str] = Counter()
    while ended.total() < ENDINGS:
        foreign = {model.arn for model in models if dice.random() < 0.25}
        for model in models:
            if model.arn in foreign:
                model.start()
        left_to_sweep = _let_end(dice, models, forker, client, ended)
        assert _running(models) - left_to_sweep == foreign - left_to_sweep
        type(client)(client.session, retry=LATER).sweep()
        assert _running(models) == foreign
        assert {name for model in models for name in model.tags if name.startswith("rekolabels:")} == set()
        for model in models:
            model._ensure_stopped()
    _log.info("%d endings: %s", ended.total(), dict(sorted(ended.items())))


def _let_end(
    dice: random.Random, models: list[ModelVersion], forker: Forker, client: Client, ended: Counter[str]
) -> set[str]:
    """Run processes until they end, by themselves or by a signal at a random moment.

    Returns:
        ARNs of the models whose process could not stop them.
    """
    processes: list[int] = []
    left_to_sweep: set[str] = set()
    due: list[tuple[float, int, signal.Signals]] = []
    now = time.monotonic()
    for model in models:
        for _ in range(dice.choice([1, 1, 1, 2, 2, 3])):
            name = dice.choice([*WITHOUT_SIGNAL, *SIGNALS, *SIGNALS])
            ending = "signal" if name in SIGNALS else name
            processes.append(forker.start(model, ending, dice.uniform(0, 0.4)))
            if name in SIGNALS:
                due.append((now + dice.uniform(0, 1.2), processes[-1], SIGNALS[name]))
            ended[name] += 1
            if name in {"SIGKILL", "hard exit"}:
                left_to_sweep.add(model.arn)
    for due_at, process, number in sorted(due):
        if dice.random() < 0.3:
            client.sweep()  # while the others run
        time.sleep(max(0.0, due_at - time.monotonic()))
        os.kill(process, number)
    for process in processes:
        assert os.waitstatus_to_exitcode(forker.wait(process)) != lease_processes.MODEL_NOT_RUNNING
    # The last requests of dead processes may still be under way.
    for thread in threading.enumerate():
        if thread.name.endswith("(process_request_thread)"):
            thread.join(20)
    return left_to_sweep


def _running(models: list[ModelVersion]) -> set[str]:
    return {model.arn for model in models if model.status in {"STARTING", "RUNNING"}}
