"""Workers of detect_many that die: only the image that ends its worker has no answer."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from sdk_backends import write_folder

from rekolabels import RetryPolicy, errors
from rekolabels.formats import read_folder
from rekolabels.local import LocalService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rekolabels import ModelVersion

NAPS: list[float] = []
"""Every delay of a retry; a run that burns its retries shows here."""
POLICY = RetryPolicy(first_poll=0.01, max_poll=0.05)
SPAWN = multiprocessing.get_context("spawn")


@attrs.frozen
class Deadly:
    """The path of an image that ends each process that reads it, except the one that made it."""

    path: str
    parent: int = attrs.field(factory=os.getpid)

    def __fspath__(self) -> str:
        """Return the path, or end the process."""
        if os.getpid() != self.parent:
            os._exit(1)
        return self.path


@attrs.frozen
class DeadlyOnce:
    """The path of an image that ends the first process that reads it."""

    path: str
    flag: str
    parent: int = attrs.field(factory=os.getpid)

    def __fspath__(self) -> str:
        """Return the path, or end the process."""
        if os.getpid() != self.parent:
            try:
                os.close(os.open(self.flag, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return self.path
            os._exit(1)
        return self.path


os.PathLike.register(Deadly)
os.PathLike.register(DeadlyOnce)


def end_process() -> None:
    """End the process: an initializer that no worker survives."""
    os._exit(1)


def processes(count: int = 2, **options: Any) -> ProcessPoolExecutor:
    """Return a pool of spawned processes."""
    return ProcessPoolExecutor(count, SPAWN, **options)


@pytest.fixture(scope="module")
def image_paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Some images on this machine."""
    return sorted(write_folder(tmp_path_factory.mktemp("images")).rglob("*.png"))


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, image_paths: list[Path]
) -> Iterator[tuple[ModelVersion, dict[str, str]]]:
    """A running model, and the environment by which workers reach it."""
    with LocalService(tmp_path_factory.mktemp("workers"), engine="tiny") as service:
        retry = attrs.evolve(POLICY, on_retry=lambda retry: NAPS.append(retry.delay))
        project = service.client(bucket="workers", retry=retry).create_project("workers")
        project.create_datasets(read_folder(image_paths[0].parents[1]))
        made = project.train("v1")
        made.wait_until_trained()
        made.start()
        made.wait_until_running()
        with service.serve() as server:
            yield made, dict(server.environment)


@pytest.fixture
def model(
    served: tuple[ModelVersion, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModelVersion]:
    """The model; a test fails in which a call was retried after a delay."""
    for name, value in served[1].items():
        monkeypatch.setenv(name, value)
    NAPS.clear()
    yield served[0]
    assert NAPS == []


def test_one_deadly_image_costs_one_answer(
    model: ModelVersion, image_paths: list[Path], tmp_path: Path
) -> None:
    """One image ends its worker each time, another one once; all others are answered."""
    deadly, once = Deadly(str(image_paths[0])), DeadlyOnce(str(image_paths[0]), str(tmp_path / "flag"))
    others = list(itertools.islice(itertools.cycle(image_paths), 60))
    images: list[Any] = [*others[:20], deadly, *others[20:40], once, *others[40:]]
    made: list[ProcessPoolExecutor] = []

    def executor() -> ProcessPoolExecutor:
        made.append(processes())
        return made[-1]

    outcomes = list(model.detect_many(images, executor=executor, workers=8))
    assert [outcome.image for outcome in outcomes] == images
    assert [outcome.image for outcome in outcomes if outcome.error is not None] == [deadly]
    (error,) = [outcome.error for outcome in outcomes if outcome.error is not None]
    assert isinstance(error, errors.WorkerLost)
    assert str(image_paths[0]) in str(error)
    assert {outcome.detections[0].label for outcome in outcomes if outcome.image is once} == {
        image_paths[0].parent.name
    }
    assert len(made) <= 7  # the first, one after each of two breaks, and those in which images are alone
    for pool in made:  # the run has shut them down
        with pytest.raises(RuntimeError):
            pool.submit(os.getpid)


def test_many_deadly_images_do_not_blame_others(model: ModelVersion, image_paths: list[Path]) -> None:
    """Every third image ends its worker; exactly those have an error."""
    images: list[Any] = []
    for path in image_paths[:6]:
        images += [path, path, Deadly(str(path))]
    outcomes = list(model.detect_many(images, executor=processes, workers=6, ordered=False))
    assert len(outcomes) == len(images)
    assert {type(outcome.image) for outcome in outcomes if outcome.error is not None} == {Deadly}
    assert {type(outcome.error) for outcome in outcomes if isinstance(outcome.image, Deadly)} == {
        errors.WorkerLost
    }


def test_a_broken_pool_that_cannot_be_made_again_ends_the_run(
    model: ModelVersion, image_paths: list[Path], tmp_path: Path
) -> None:
    """A pool that was given, not how to make one: the run ends at once."""
    copies = [tmp_path / f"{number}.png" for number in range(300)]
    for copy in copies:
        os.link(image_paths[0], copy)
    images: list[Any] = [*copies[:20], Deadly(str(image_paths[0])), *copies[20:]]
    outcomes: list[Any] = []

    def collect(found: Any) -> None:
        for outcome in found:
            outcomes.append(outcome)  # noqa: PERF402 -- extend would lose them on an error

    with processes() as pool, pytest.raises(errors.ExecutorBroken, match=r"executor=lambda: .*journal"):
        collect(model.detect_many(images, executor=pool, workers=4, journal=tmp_path / "journal.db"))
    assert 20 < len(outcomes) < 40
    assert [outcome.image for outcome in outcomes] == images[: len(outcomes)]
    assert {type(outcome.error) for outcome in outcomes[:12]} == {type(None)}
    assert {type(outcome.error) for outcome in outcomes} == {type(None), errors.ExecutorBroken}


def test_an_executor_that_was_shut_down_ends_the_run(model: ModelVersion, image_paths: list[Path]) -> None:
    """The error says so, instead of retrying each image."""
    pool = processes()
    pool.shutdown()
    with pytest.raises(errors.ExecutorBroken, match="after shutdown"):
        list(model.detect_many(image_paths * 10, executor=pool))


def test_pools_whose_workers_never_live_end_the_run(model: ModelVersion, image_paths: list[Path]) -> None:
    """An initializer that ends every worker: the run gives up instead of starting processes for ever."""
    made: list[int] = []

    def executor() -> ProcessPoolExecutor:
        made.append(1)
        return processes(1, initializer=end_process)

    with pytest.raises(errors.ExecutorBroken, match="without an answer"):
        list(model.detect_many(image_paths * 100, executor=executor, workers=4))
    assert 2 <= len(made) <= 20


def test_a_class_makes_executors(model: ModelVersion, image_paths: list[Path]) -> None:
    """A class without arguments is a function that returns an executor."""
    outcomes = list(model.detect_many(image_paths[:3], executor=ThreadPoolExecutor, workers=2))
    assert [outcome.error for outcome in outcomes] == [None] * 3


def test_a_factory_that_fails_ends_the_run(model: ModelVersion, image_paths: list[Path]) -> None:
    """Its own error is the cause."""

    def executor() -> ProcessPoolExecutor:
        raise OSError(24, "Too many open files")

    with pytest.raises(errors.ExecutorBroken, match="Too many open files") as caught:
        list(model.detect_many(image_paths * 10, executor=executor))
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(errors.ExecutorBroken, match=r"expected a concurrent\.futures\.Executor"):
        list(model.detect_many(image_paths * 10, executor=str))  # type: ignore[arg-type] # a mistake of the user


@pytest.mark.parametrize("given", [5, "processes"])
def test_what_is_not_an_executor_is_rejected(
    model: ModelVersion, image_paths: list[Path], given: Any
) -> None:
    """Neither an executor nor a function that returns one."""
    with pytest.raises(errors.InvalidInput, match="Executor"):
        list(model.detect_many(image_paths, executor=given))


class Lossy(Executor):
    """An executor that reports a lost worker with an error of its own, as clusters do, and recovers."""

    def __init__(self, losses: int) -> None:
        self.pool = processes()
        self.losses = losses

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Lose the first calls."""
        if self.losses > 0:
            self.losses -= 1
            lost: Future[Any] = Future()
            lost.set_exception(LookupError("the worker left the cluster"))
            return lost
        return self.pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 -- Executor's
        """Shut down."""
        self.pool.shutdown(wait=wait, cancel_futures=cancel_futures)


def test_other_executors_are_retried(model: ModelVersion, image_paths: list[Path]) -> None:
    """An executor that replaces its workers by itself gets the call again."""
    with Lossy(2) as executor:
        outcomes = list(model.detect_many(image_paths[:3], executor=executor, workers=1))
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert len(NAPS) == 2
    NAPS.clear()
