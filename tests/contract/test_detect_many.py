"""Long runs: journals that resume, workers that die, files that are written as the outcomes come."""

from __future__ import annotations

import csv
import json
import os
import signal
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sdk_backends import write_folder

from rekolabels import Box, Detection, RetryPolicy, errors
from rekolabels.formats import read_folder
from rekolabels.inference import Outcome, save_outcomes
from rekolabels.local import LocalService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rekolabels import ModelVersion

QUICK = RetryPolicy(first_poll=0.01, max_poll=0.05, first_delay=0.001)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    """One embedded service for the module."""
    with LocalService(tmp_path_factory.mktemp("many")) as made:
        yield made


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Some pictures on this machine."""
    return sorted(write_folder(tmp_path_factory.mktemp("pictures")).rglob("*.png"))


@pytest.fixture(scope="module")
def model(service: LocalService, pictures: list[Path]) -> ModelVersion:
    """A model that runs for the whole module."""
    project = service.client(bucket="many", retry=QUICK).create_project("many")
    project.create_datasets(read_folder(pictures[0].parents[1]))
    made = project.train("v1")
    made.wait_until_trained()
    made.start()
    made.wait_until_running()
    return made


def count_calls(model: ModelVersion) -> list[str]:
    """Note each call that is made from now on."""
    calls: list[str] = []
    events: Any = model.client.api.client.meta.events
    events.register("before-call.rekognition.DetectCustomLabels", lambda **_: calls.append("call"))
    return calls


def test_a_run_that_was_broken_off_asks_for_the_rest_only(
    model: ModelVersion, pictures: list[Path], tmp_path: Path
) -> None:
    """With the same journal no image is asked for, or paid, twice; the answers are the same."""
    whole = list(model.detect_many(pictures))
    calls = count_calls(model)
    run = model.detect_many(pictures, journal=tmp_path / "journal.db", workers=2)
    first = [next(run) for _ in range(3)]
    run.close()  # type: ignore[attr-defined] # a generator, as a user would break it off
    asked = len(calls)
    assert 3 <= asked < len(pictures)
    again = list(model.detect_many(pictures, journal=tmp_path / "journal.db"))
    assert again == whole
    assert first == whole[:3]
    assert len(calls) == len(pictures)


def test_errors_are_asked_again(model: ModelVersion, pictures: list[Path], tmp_path: Path) -> None:
    """Only answers are kept: what failed is tried in the next run."""
    late = tmp_path / "late.png"
    (outcome,) = model.detect_many([late], journal=tmp_path / "journal.db")
    assert isinstance(outcome.error, errors.InvalidImage)
    late.write_bytes(pictures[0].read_bytes())
    (outcome,) = model.detect_many([late], journal=tmp_path / "journal.db")
    assert [found.label for found in outcome.detections] == [pictures[0].parent.name]


def test_a_journal_belongs_to_its_run(model: ModelVersion, pictures: list[Path], tmp_path: Path) -> None:
    """Answers of other parameters are not taken for these."""
    list(model.detect_many(pictures[:1], journal=tmp_path / "journal.db"))
    with pytest.raises(errors.InvalidInput, match="another run"):
        list(model.detect_many(pictures[:1], journal=tmp_path / "journal.db", min_confidence=10))
    (tmp_path / "text.db").write_text("certainly no database, and long enough to be sure of it" * 10)
    with pytest.raises(errors.InvalidInput, match="no journal"):
        list(model.detect_many(pictures[:1], journal=tmp_path / "text.db"))
    with pytest.raises(errors.JournalFailed, match="cannot be used"):
        list(model.detect_many(pictures[:1], journal=tmp_path / "nowhere" / "journal.db"))


def die_once(flag: str) -> None:
    """Kill the worker, the first time."""
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


class Restarting(Executor):
    """A pool of processes that is made anew when one of them has died, as clusters do."""

    def __init__(self) -> None:
        self.pool = ProcessPoolExecutor(2)

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit, to a new pool where the old one is broken."""
        try:
            return self.pool.submit(fn, *args, **kwargs)
        except RuntimeError:
            self.pool = ProcessPoolExecutor(2)
            return self.pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 -- Executor's
        """Shut down."""
        self.pool.shutdown(wait=wait, cancel_futures=cancel_futures)


def test_workers_in_other_processes(
    service: LocalService,
    model: ModelVersion,
    pictures: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Processes with their own AWS settings do the work; one that is killed costs no image."""
    expected = list(model.detect_many(pictures))
    with service.serve() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        with Restarting() as executor:
            executor.submit(die_once, str(tmp_path / "died"))
            assert list(model.detect_many(pictures, executor=executor, workers=4)) == expected
    assert (tmp_path / "died").exists()


def test_outcomes_are_written_as_they_come(model: ModelVersion, pictures: list[Path], tmp_path: Path) -> None:
    """JSON Lines hold an object for each image, CSV a row for each detection."""
    images = [pictures[0], tmp_path / "missing.png"]
    assert save_outcomes(model.detect_many(images), tmp_path / "found.jsonl") == 2
    first, second = map(json.loads, (tmp_path / "found.jsonl").read_text().splitlines())
    assert [found["label"] for found in first["detections"]] == [pictures[0].parent.name]
    assert "cannot be read" in second["error"]
    boxed = Outcome("a.png", (Detection("x, y", 50.0, Box(0.1, 0.2, 0.3, 0.4)), Detection("z", 40.0)))
    assert save_outcomes([boxed, Outcome("b.png")], tmp_path / "found.csv") == 2
    with (tmp_path / "found.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["label"], row["left"]) for row in rows] == [
        ("a.png", "x, y", "0.1"),
        ("a.png", "z", ""),
        ("b.png", "", ""),
    ]
    with pytest.raises(errors.InvalidInput, match=r"\.jsonl or \.csv"):
        save_outcomes([], tmp_path / "found.xml")
