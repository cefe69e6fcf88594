"""Processes that run models end in every way, at any moment: no model stays running, none of others stops."""

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

import lessees
from rekolabels import RetryPolicy
from rekolabels.formats import read_folder
from rekolabels.local import Durations, LocalService, Quotas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rekolabels import Client, ModelVersion

ENDINGS = int(os.environ.get("REKOLABELS_ENDINGS", "30"))
"""How many processes end in the random test; more on demand."""
SEED = int(os.environ.get("REKOLABELS_SEED", "7"))
QUICK = RetryPolicy(first_poll=0.01, max_poll=0.05)
LATER = attrs.evolve(QUICK, time=lambda: QUICK.time() + 1000)
"""A policy in whose time the word of a process that is dead is no longer good."""
SIGNALS = {
    "SIGINT": signal.SIGINT,
    "SIGTERM": signal.SIGTERM,
    "SIGHUP": signal.SIGHUP,
    "SIGKILL": signal.SIGKILL,
}
_log = logging.getLogger("rekolabels.tests")
OWN_DOING = ["return", "exception", "exit", "hard exit", "thread", "daemon", "never left", "fork"]


@attrs.frozen
class Forker:
    """The process that forks those that run models."""

    process: subprocess.Popen[str]

    def start(self, model: ModelVersion, ending: str, seconds: float) -> int:
        """Fork a process; its id."""
        order = {"arn": model.arn, "project": model.project_arn, "ending": ending, "seconds": seconds}
        return self._ask(order)

    def wait(self, process: int) -> int:
        """Wait for the end of a process; its wait status."""
        return self._ask({"wait": process})

    def _ask(self, order: dict[str, Any]) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(order), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    """A service whose models take a moment to start and to stop, so that endings fall into it."""
    with LocalService(
        tmp_path_factory.mktemp("endings"),
        engine="tiny",
        quotas=Quotas.off(),
        durations=Durations(starting=0.2, stopping=0.1),
    ) as made:
        yield made


@pytest.fixture(scope="module")
def client(service: LocalService) -> Client:
    """The client of somebody who looks on."""
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
    """The process that forks others."""
    log = tmp_path_factory.mktemp("lessees") / "log"
    with service.serve() as server, log.open("w") as file, _forker({**server.environment}, file) as process:
        yield Forker(process)


@contextmanager
def _forker(environment: dict[str, str], log: Any) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(  # noqa: S603 -- our own interpreter and script
        [sys.executable, str(Path(lessees.__file__))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        yield process


def test_no_model_stays_running_and_none_of_others_is_stopped(
    client: Client, models: list[ModelVersion], forker: Forker
) -> None:
    """Random processes, one to three to a model, end at random while sweeps look on.

    While a process holds a lease its model runs. What no process left by SIGKILL or os._exit has stopped
    without a sweep. After a sweep no model that they started runs, every model that somebody else started
    does, and no tag of ours is left.
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
            model.come_to_rest()
    _log.info("%d endings: %s", ended.total(), dict(sorted(ended.items())))


def _let_end(
    dice: random.Random, models: list[ModelVersion], forker: Forker, client: Client, ended: Counter[str]
) -> set[str]:
    """Let processes use the models and end; those that end by a signal get it at a moment of their own.

    Returns:
        ARNs of the models that a process has left without a chance to stop them.
    """
    processes: list[int] = []
    left_to_sweep: set[str] = set()
    due: list[tuple[float, int, signal.Signals]] = []
    now = time.monotonic()
    for model in models:
        for _ in range(dice.choice([1, 1, 1, 2, 2, 3])):
            name = dice.choice([*OWN_DOING, *SIGNALS, *SIGNALS])
            ending = "signal" if name in SIGNALS else name
            processes.append(forker.start(model, ending, dice.uniform(0, 0.4)))
            if name in SIGNALS:
                due.append((now + dice.uniform(0, 1.2), processes[-1], SIGNALS[name]))
            ended[name] += 1
            if name in {"SIGKILL", "hard exit"}:
                left_to_sweep.add(model.arn)
    for moment, process, number in sorted(due):
        if dice.random() < 0.3:
            client.sweep()  # while the others live
        time.sleep(max(0.0, moment - time.monotonic()))
        os.kill(process, number)
    for process in processes:
        assert os.waitstatus_to_exitcode(forker.wait(process)) != lessees.STOPPED_UNDER_ME
    # What the dead have asked for last may still be carried out.
    for thread in threading.enumerate():
        if thread.name.endswith("(process_request_thread)"):
            thread.join(20)
    return left_to_sweep


def _running(models: list[ModelVersion]) -> set[str]:
    return {model.arn for model in models if model.status in {"STARTING", "RUNNING"}}
