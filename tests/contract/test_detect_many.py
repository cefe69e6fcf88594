"""detect_many on the embedded service: journals, executors, result files, and invalid images."""

from __future__ import annotations

import io
import itertools
import json
import math
import multiprocessing
from collections import Counter
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSResponse
from PIL import Image
from sdk_backends import write_folder

from rekolabels import RetryPolicy, errors
from rekolabels.formats import read_folder
from rekolabels.inference import save_outcomes
from rekolabels.local import LocalService, Tps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rekolabels import ModelVersion

QUICK = RetryPolicy(first_poll=0.01, max_poll=0.05, first_delay=0.001)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    """One embedded service for the module."""
    with LocalService(tmp_path_factory.mktemp("many")) as made:
        yield made


@pytest.fixture(scope="module")
def image_paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Some images on this machine."""
    return sorted(write_folder(tmp_path_factory.mktemp("pictures")).rglob("*.png"))


@pytest.fixture(scope="module")
def model(service: LocalService, image_paths: list[Path]) -> ModelVersion:
    """A model that stays running for the whole module."""
    project = service.client(bucket="many", retry=QUICK).create_project("many")
    project.create_datasets(read_folder(image_paths[0].parents[1]))
    made = project.train("v1")
    made.wait_until_trained()
    made.start()
    made.wait_until_running()
    return made


def count_calls(model: ModelVersion) -> list[str]:
    """Return a list that grows with each call from now on."""
    calls: list[str] = []
    events: Any = model._connection.rekognition.client.meta.events
    events.register("before-call.rekognition.DetectCustomLabels", lambda **_: calls.append("call"))
    return calls


def test_a_resumed_run_requests_only_what_is_missing(
    model: ModelVersion, image_paths: list[Path], tmp_path: Path
) -> None:
    """With the same journal no image is requested twice, and the answers are the same."""
    whole = list(model.detect_many(image_paths))
    calls = count_calls(model)
    run = model.detect_many(image_paths, journal=tmp_path / "journal.db", workers=2)
    first = [next(run) for _ in range(3)]
    run.close()  # type: ignore[attr-defined] # a generator, closed as a user would interrupt it
    interrupted_after = len(calls)
    assert 3 <= interrupted_after < len(image_paths)
    again = list(model.detect_many(image_paths, journal=tmp_path / "journal.db"))
    assert again == whole
    assert first == whole[:3]
    assert len(calls) == len(image_paths)


def test_errors_are_not_kept_in_the_journal(
    model: ModelVersion, image_paths: list[Path], tmp_path: Path
) -> None:
    """An image that failed is requested again by the next run."""
    late = tmp_path / "late.png"
    (outcome,) = model.detect_many([late], journal=tmp_path / "journal.db")
    assert isinstance(outcome.error, errors.InvalidImage)
    late.write_bytes(image_paths[0].read_bytes())
    (outcome,) = model.detect_many([late], journal=tmp_path / "journal.db")
    assert [found.label for found in outcome.detections] == [image_paths[0].parent.name]


def test_a_journal_belongs_to_one_run(model: ModelVersion, image_paths: list[Path], tmp_path: Path) -> None:
    """A journal of other parameters, a file that is not a journal, and a missing folder are rejected."""
    list(model.detect_many(image_paths[:1], journal=tmp_path / "journal.db"))
    with pytest.raises(errors.InvalidInput, match="another run"):
        list(model.detect_many(image_paths[:1], journal=tmp_path / "journal.db", min_confidence=10))
    (tmp_path / "text.db").write_text("certainly no database, and long enough to be sure of it" * 10)
    with pytest.raises(errors.InvalidInput, match="not a journal"):
        list(model.detect_many(image_paths[:1], journal=tmp_path / "text.db"))
    with pytest.raises(errors.JournalFailed, match="cannot be used"):
        list(model.detect_many(image_paths[:1], journal=tmp_path / "nowhere" / "journal.db"))


def test_a_single_image_is_an_error(model: ModelVersion, image_paths: list[Path]) -> None:
    """A path in place of the images is not taken apart into its letters."""
    single: list[Any] = [str(image_paths[0]), image_paths[0], b"bytes"]
    for image in single:
        with pytest.raises(errors.InvalidInput, match=r"Use detect\(image\)"):
            list(model.detect_many(image))


def processes(count: int) -> ProcessPoolExecutor:
    """Return a pool of spawned processes, because a fork may hang on locks of this process's threads."""
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"))


def test_workers_in_other_processes_give_the_same_outcomes(
    service: LocalService,
    model: ModelVersion,
    image_paths: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Processes use their own AWS settings. What happens when one dies is in test_detect_many_workers.py."""
    expected = list(model.detect_many(image_paths))
    with service.serve() as server, processes(2) as executor:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        assert list(model.detect_many(image_paths, executor=executor, workers=4)) == expected
        assert list(model.detect_many(image_paths, executor=lambda: processes(2), workers=4)) == expected


def test_outcomes_are_saved(model: ModelVersion, image_paths: list[Path], tmp_path: Path) -> None:
    """The file has the detections and the errors."""
    images = [image_paths[0], tmp_path / "missing.png"]
    assert save_outcomes(model.detect_many(images), tmp_path / "found.jsonl") == 2
    first, second = map(json.loads, (tmp_path / "found.jsonl").read_text().splitlines())
    assert [found["label"] for found in first["detections"]] == [image_paths[0].parent.name]
    assert "cannot be read" in second["error"]


def throttle_first_calls(model: ModelVersion, count: int) -> Callable[[], None]:
    """Throttle the next calls; return a function that undoes it."""
    left = itertools.count(-count)

    def refuse(**_: Any) -> Any:
        if next(left) < 0:
            error = {"__type": "ThrottlingException", "message": "too much"}
            headers: Any = {"x-amzn-ErrorType": "ThrottlingException"}
            return AWSResponse("", 400, headers, Body(json.dumps(error).encode()))
        return None

    events: Any = model._connection.rekognition.client.meta.events
    events.register_first("before-send.rekognition.DetectCustomLabels", refuse)
    return lambda: events.unregister("before-send.rekognition.DetectCustomLabels", refuse)


class Body(io.BytesIO):
    """A body as urllib3 gives it."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        """Yield the body."""
        yield self.read()


def test_open_files_are_read_once(model: ModelVersion, image_paths: list[Path]) -> None:
    """A retried call does not read the file again."""
    undo = throttle_first_calls(model, 5)
    with image_paths[0].open("rb") as first, image_paths[-1].open("rb") as last:
        outcomes = list(model.detect_many([first, last], workers=2))
    undo()
    labels = [[found.label for found in outcome.detections] for outcome in outcomes]
    assert labels == [[image_paths[0].parent.name], [image_paths[-1].parent.name]]


def bad_images(service: LocalService, image_paths: list[Path], folder: Path) -> list[tuple[Any, str]]:
    """Return images that this machine or the service rejects, with the names of their errors."""
    service.session().client("s3").put_object(Bucket="many", Key="text.jpg", Body=b"no image at all")
    (folder / "text.jpg").write_text("no image at all", encoding="utf-8")
    Image.open(image_paths[0]).resize((4200, 64)).save(folder / "wide.png")
    Image.open(image_paths[0]).save(folder / "picture.webp")
    (folder / "large.jpg").write_bytes(bytes(16 * 2**20))
    whole = image_paths[0].read_bytes()
    (folder / "half.png").write_bytes(whole[: len(whole) // 2])
    return [
        (folder / "vanished.jpg", "InvalidImage"),
        (folder / "large.jpg", "InvalidImage"),
        (b"", "InvalidImage"),
        (folder / "text.jpg", "InvalidImage"),
        (folder / "half.png", "ImageRejected"),
        (folder / "wide.png", "ImageRejected"),
        (folder / "picture.webp", "InvalidImage"),
        ("s3://many/vanished.jpg", "ImageRejected"),
        ("s3://many/text.jpg", "ImageRejected"),
        ("s3://no-such-bucket/a.jpg", "ImageRejected"),
        ("s3://many", "InvalidInput"),
        ({}, "InvalidInput"),
    ]


@pytest.mark.parametrize("on_executor", [False, True])
def test_every_invalid_image_gives_an_error(
    service: LocalService,
    model: ModelVersion,
    image_paths: list[Path],
    tmp_path: Path,
    on_executor: bool,  # noqa: FBT001 -- a case
) -> None:
    """All other images are answered, by threads as well as by the workers of an executor."""
    cases = bad_images(service, image_paths, tmp_path)
    images = [image for case, _ in cases for image in (case, image_paths[0])]
    with service.serve() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        with processes(2) as executor:
            outcomes = list(model.detect_many(images, executor=executor if on_executor else None))
    assert [outcome.image for outcome in outcomes] == images
    assert {outcome.detections[0].label for outcome in outcomes[1::2]} == {image_paths[0].parent.name}
    errors_found = [type(outcome.error).__name__ for outcome in outcomes[::2]]
    assert errors_found == [expected for _, expected in cases]
    assert all(str(outcome.error) for outcome in outcomes[::2])


def test_shrink_reencodes_invalid_images(
    model: ModelVersion, image_paths: list[Path], tmp_path: Path
) -> None:
    """Images of other formats, or with too many pixels a side, are detected."""
    picture = Image.open(image_paths[0])
    picture.save(tmp_path / "picture.webp")
    picture.resize((4200, 300)).save(tmp_path / "wide.png")
    images = [tmp_path / "picture.webp", tmp_path / "wide.png"]
    outcomes = list(model.detect_many(images, shrink=True))
    assert [[found.label for found in outcome.detections] for outcome in outcomes] == [
        [image_paths[0].parent.name]
    ] * 2


def test_a_model_that_is_not_running_gives_errors(service: LocalService, image_paths: list[Path]) -> None:
    """While the model is training, stopped or deleted, each outcome has the error."""
    client = service.client(bucket="many", retry=QUICK)
    project = client.create_project("stopped")
    project.create_datasets(read_folder(image_paths[0].parents[1]))
    model = project.train("v1")
    training = [type(outcome.error) for outcome in model.detect_many(image_paths[:2])]
    model.wait_until_trained()
    stopped = [type(outcome.error) for outcome in model.detect_many(image_paths[:2])]
    model.delete()
    gone = [type(outcome.error) for outcome in model.detect_many(image_paths[:2])]
    assert training == stopped == [errors.ResourceNotReady] * 2
    assert gone == [errors.ResourceNotFound] * 2


def test_a_lease_that_ends_during_a_run_gives_errors(service: LocalService, image_paths: list[Path]) -> None:
    """After a limit is reached all remaining outcomes have LeaseEnded; the next run raises it."""
    client = service.client(bucket="many", retry=QUICK)
    model = client.project("many").model("v1")
    copy = model.copy_to(client.create_project("copies"), "v1")
    with copy.running(max_duration=0.3) as running:
        seen = [type(outcome.error) for outcome in running.detect_many(image_paths * 100)]
        with pytest.raises(errors.LeaseEnded):
            running.detect_many(image_paths)
    assert len(seen) == 100 * len(image_paths)
    assert set(seen) <= {type(None), errors.LeaseEnded, errors.ResourceNotReady}
    assert seen[-1] is errors.LeaseEnded


class Counting(Executor):
    """A process pool that records the error of each call, or NoneType."""

    def __init__(self, count: int) -> None:
        self.pool = processes(count)
        self.answers: list[str] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit, and record the result."""
        future = self.pool.submit(fn, *args, **kwargs)
        future.add_done_callback(lambda done: self.answers.append(type(done.exception()).__name__))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 -- Executor's
        """Shut down."""
        self.pool.shutdown(wait=wait, cancel_futures=cancel_futures)


def test_workers_share_one_rate_limiter(
    tmp_path: Path, image_paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three processes together stay near the throughput of the model; few calls are throttled."""
    with LocalService(
        tmp_path, tps=Tps(detect_per_unit=40, detect=math.inf, control_plane=math.inf)
    ) as service:
        client = service.client(bucket="shared", retry=QUICK)
        project = client.create_project("shared")
        project.create_datasets(read_folder(image_paths[0].parents[1]))
        model = project.train("v1")
        model.wait_until_trained()
        with service.serve() as server, model.running() as running, Counting(3) as executor:
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            images = list(itertools.islice(itertools.cycle(image_paths), 320))
            outcomes = list(running.detect_many(images, executor=executor, workers=12))
    assert [outcome.image for outcome in outcomes if outcome.error is None] == images
    answers = Counter(executor.answers)
    assert answers["NoneType"] == len(images)
    assert answers["Throttled"] <= 0.3 * len(images)
