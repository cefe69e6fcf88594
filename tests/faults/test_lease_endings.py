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
from rekolabels import Client, ModelVersion, RetryPolicy
from rekolabels.formats import read_folder
from rekolabels.local import Durations, Fault, FaultPlan, LocalService, Quotas

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDINGS = int(os.environ.get("REKOLABELS_ENDINGS", "30"))
"""Number of processes that end in the random tests, half of them with faults and early sweeps."""
SEED = int(os.environ.get("REKOLABELS_SEED", "7"))
QUICK = RetryPolicy(first_poll=0.01, max_poll=0.05)
PATIENT = attrs.evolve(QUICK, attempts=30, first_delay=0.005, max_delay=0.02)
LATER = attrs.evolve(PATIENT, time=lambda: QUICK.time() + 3000)
"""A policy by whose clock the leases of dead processes have expired."""
FAULTS = FaultPlan(
    [
        Fault.throttled(probability=0.06),
        Fault.broken(probability=0.06),
        Fault.dropped(probability=0.04),
        Fault.dropped(answered=True, probability=0.08),
        Fault.slow(0.05, probability=0.1),
    ]
)
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


@attrs.frozen
class Setting:
    """A service, its models, and the process that forks others."""

    client: Client
    models: list[ModelVersion]
    forker: Forker
    faulty: bool


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "faulty"])
def setting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """A service whose models take a while to start and stop, so that processes end meanwhile."""
    faulty: bool = request.param
    folder = tmp_path_factory.mktemp("endings")
    with LocalService(folder, engine="tiny") as service:
        project = service.client(bucket="endings", retry=PATIENT).create_project("endings")
        project.create_datasets(read_folder(write_folder(tmp_path_factory.mktemp("images"))))
        arns: list[str] = []
        for number in range(3):
            arns.append(project.train(f"v{number}").arn)
            project.model(f"v{number}").wait_until_trained()
    with (
        LocalService(
            folder,
            engine="tiny",
            quotas=Quotas.off(),
            durations=Durations(starting=0.2, stopping=0.1),
            faults=FAULTS if faulty else FaultPlan([]),
        ) as service,
        service.serve() as server,
        (folder / "log").open("w") as log,
    ):
        client = service.client(bucket="endings", retry=PATIENT)
        environment = {**server.environment, **({"REKOLABELS_LEASE_TIMEOUT": "5"} if faulty else {})}
        with _forker(environment, log) as process:
            yield Setting(client, [client.model(arn) for arn in arns], Forker(process), faulty)


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


def test_only_models_of_dead_processes_are_stopped(setting: Setting) -> None:
    """One to three processes for each model end in random ways while sweeps run.

    While a process holds a lease, its model runs. Without a sweep, only models whose process ended by SIGKILL
    or os._exit may stay running. After a sweep, no model that a process started runs, every model that was
    started by other means does, and no lease tags are left.

    With faults, requests are throttled, fail, or lose their answers, and sweeps by a clock that is ahead stop
    models and remove tags under the processes. Then only what is true after the last sweep counts.
    """
    dice = random.Random(SEED)  # noqa: S311 -- moments, not secrets
    client, models = setting.client, setting.models
    ended: Counter[str] = Counter()
    while ended.total() < ENDINGS / 2:
        foreign = {model.arn for model in models if dice.random() < 0.25}
        for model in models:
            if model.arn in foreign:
                model.start()
        left_to_sweep = _let_end(dice, setting, ended)
        if not setting.faulty:
            assert _running(models) - left_to_sweep == foreign - left_to_sweep
        type(client)(client.session, retry=LATER).sweep()
        assert _running(models) == foreign
        assert {name for model in models for name in model.tags if name.startswith("rekolabels:")} == set()
        for model in models:
            model._ensure_stopped()
    _log.info("%d endings: %s", ended.total(), dict(sorted(ended.items())))


def _let_end(dice: random.Random, setting: Setting, ended: Counter[str]) -> set[str]:
    """Run processes until they end, by themselves or by a signal at a random moment.

    Returns:
        ARNs of the models whose process could not stop them.
    """
    processes: list[int] = []
    sweeps: list[int] = []
    left_to_sweep: set[str] = set()
    due: list[tuple[float, int, signal.Signals]] = []
    now = time.monotonic()
    for model in setting.models:
        for _ in range(dice.choice([1, 1, 1, 2, 2, 3])):
            name = dice.choice([*WITHOUT_SIGNAL, *SIGNALS, *SIGNALS])
            ending = "signal" if name in SIGNALS else name
            processes.append(setting.forker.start(model, ending, dice.uniform(0, 0.4)))
            if name in SIGNALS:
                due.append((now + dice.uniform(0, 1.2), processes[-1], SIGNALS[name]))
            ended[name] += 1
            if name in {"SIGKILL", "hard exit"}:
                left_to_sweep.add(model.arn)
    for due_at, process, number in sorted(due):
        if dice.random() < 0.3:
            _sweep(dice, setting, sweeps)
        time.sleep(max(0.0, due_at - time.monotonic()))
        os.kill(process, number)
    for process in [*processes, *sweeps]:
        status = os.waitstatus_to_exitcode(setting.forker.wait(process))
        assert status != lease_processes.MODEL_NOT_RUNNING
    # The last requests of dead processes may still be under way.
    for thread in threading.enumerate():
        if thread.name.endswith("(process_request_thread)"):
            thread.join(20)
    return left_to_sweep


def _sweep(dice: random.Random, setting: Setting, sweeps: list[int]) -> None:
    """Sweep while processes run; with faults, early and in a process of its own."""
    if setting.faulty:
        sweeps.append(setting.forker.start(setting.models[0], "sweep", dice.uniform(0, 0.4)))
    else:
        setting.client.sweep()


def _running(models: list[ModelVersion]) -> set[str]:
    return {model.arn for model in models if model.status in {"STARTING", "RUNNING"}}
