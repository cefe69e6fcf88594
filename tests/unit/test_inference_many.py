"""The loop and the journal of detect_many, with a function in place of the service."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from rekolabels import Box, Detection, RetryPolicy
from rekolabels.errors import (
    ConnectionFailed,
    InvalidInput,
    JournalFailed,
    ServiceFault,
    Throttled,
)
from rekolabels.inference._journal import Journal
from rekolabels.inference._many import Outcome
from rekolabels.inference._many import detect_many as detect_many_prepared

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from pathlib import Path

    from virtual_time import VirtualTime

QUICK = RetryPolicy(first_delay=0.001, max_delay=0.002)
RUN = {"model": "arn:of-one", "min_confidence": "None"}
FOUND = [Detection("puppy", 90.0, Box(0.1, 0.2, 0.3, 0.4)), Detection("dog", 80.0)]


def found(image: Any) -> list[Detection]:
    """Return the name of the image as its label."""
    return [Detection(image, 50.0)]


def detect_many(
    detect: Callable[[Any], list[Detection]], images: Iterable[Any], **options: Any
) -> Generator[Outcome[Any]]:
    """Run with a function that answers each call."""
    return detect_many_prepared(lambda image: partial(detect, image), images, **options)


def collect(run: Iterable[Outcome[str]], outcomes: list[Outcome[str]]) -> None:
    """Collect the outcomes up to the end or an error."""
    for outcome in run:
        outcomes.append(outcome)  # noqa: PERF402 -- extend would lose all of them on an error


def throttled() -> Throttled:
    """Return the error of a model that gets too many calls."""
    return Throttled("too much", operation="DetectCustomLabels", code="ThrottlingException")


@pytest.mark.parametrize("ordered", [True, False])
def test_an_iterable_that_fails_loses_no_answer(ordered: bool) -> None:  # noqa: FBT001 -- a case
    """The images before the error are finished and yielded; then the error is raised."""

    def images() -> Iterator[str]:
        yield from "abc"
        raise LookupError("the listing failed")

    outcomes: list[Outcome[str]] = []
    run = detect_many(found, images(), workers=4, ordered=ordered, policy=QUICK)
    with pytest.raises(LookupError, match="listing failed"):
        collect(run, outcomes)
    assert {outcome.image for outcome in outcomes} == {"a", "b", "c"}
    assert [outcome.error for outcome in outcomes] == [None] * 3


@pytest.mark.parametrize("ordered", [True, False])
def test_images_are_taken_on_demand(ordered: bool) -> None:  # noqa: FBT001 -- a case
    """No more than two images for each worker are taken from an endless iterable in advance."""
    taken: list[str] = []

    def images() -> Iterator[str]:
        while True:
            taken.append(str(len(taken)))
            yield taken[-1]

    run = detect_many(found, images(), workers=4, ordered=ordered, policy=QUICK)
    first = [next(run) for _ in range(10)]
    run.close()
    assert len({outcome.image for outcome in first}) == 10
    assert len(taken) <= 10 + 2 * 4


def test_an_interrupted_run_leaves_no_threads() -> None:
    """Calls that wait for a throttled model are cancelled rather than waited for."""

    def detect(image: Any) -> list[Detection]:
        if image == "first":
            return []
        raise throttled()

    run = detect_many(detect, ["first", *map(str, range(100))], workers=4, ordered=True, policy=QUICK)
    assert next(run).image == "first"
    run.close()
    assert [thread for thread in threading.enumerate() if thread.name.startswith("rekolabels-detect")] == []


def test_a_model_that_answers_nothing_gives_outcomes_with_errors(virtual_time: VirtualTime) -> None:
    """Throttled calls are given up after ``patience`` seconds, service faults after ``attempts`` tries."""
    policy = RetryPolicy(sleep=virtual_time.sleep, clock=virtual_time.clock, patience=60, attempts=3)

    def detect(image: Any) -> list[Detection]:
        if image == "throttled":
            raise throttled()
        calls.append(image)
        if image == "lost":
            raise ConnectionFailed("no answer")
        raise ServiceFault("a fault", operation="DetectCustomLabels", code="InternalServerError")

    calls: list[str] = []
    outcomes = detect_many(detect, ["throttled", "lost", "broken"], workers=1, ordered=True, policy=policy)
    assert [type(outcome.error) for outcome in outcomes] == [Throttled, ConnectionFailed, ServiceFault]
    assert calls == ["lost"] * 3 + ["broken"] * 3
    assert virtual_time.now >= 60


def test_progress_shows_rate_and_remaining_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bar of a list shows the remaining time, the bar of a stream only the count."""
    pytest.importorskip("tqdm", reason="needs the extra progress")
    monkeypatch.setattr("rekolabels._progress._is_interactive", lambda: True)
    list(detect_many(found, ["a", "b"], workers=1, ordered=True, policy=QUICK))
    known = capsys.readouterr().err
    assert re.search(r"detecting: .*/2 \[\d\d:\d\d<.*images/s\]", known)
    list(detect_many(found, iter(["a", "b"]), workers=1, ordered=True, policy=QUICK))
    unknown = capsys.readouterr().err
    assert re.search(r"detecting: \d+ images \[\d\d:\d\d, .*images/s\]", unknown)


def test_the_journal_returns_answers_unchanged(tmp_path: Path) -> None:
    """Boxes, labels and confidences are exactly those that were written."""
    with Journal(tmp_path / "journal.db", RUN) as journal:
        journal.write("a.jpg", FOUND)
        journal.write("nothing.jpg", [])
    with Journal(tmp_path / "journal.db", RUN) as journal:
        assert journal.answer("a.jpg") == tuple(FOUND)
        assert journal.answer("nothing.jpg") == ()
        assert journal.answer("b.jpg") is None


@pytest.mark.parametrize(
    ("other", "match"),
    [
        ({**RUN, "model": "arn:of-another"}, "model was arn:of-one and is now arn:of-another"),
        ({**RUN, "min_confidence": "5"}, "min_confidence was None and is now 5"),
    ],
)
def test_the_journal_of_another_run_is_rejected(tmp_path: Path, other: dict[str, str], match: str) -> None:
    """The error names the parameters that differ."""
    with Journal(tmp_path / "journal.db", RUN):
        pass
    with pytest.raises(InvalidInput, match=match), Journal(tmp_path / "journal.db", other):
        pass


def test_two_runs_cannot_share_a_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Concurrent runs would both pay for every image."""
    monkeypatch.setattr("rekolabels.inference._journal._LOCK_TIMEOUT", 0.01)
    with (
        Journal(tmp_path / "journal.db", RUN),
        pytest.raises(JournalFailed, match="in use by another run"),
        Journal(tmp_path / "journal.db", RUN),
    ):
        pass


def test_a_journal_needs_images_with_names(tmp_path: Path) -> None:
    """An image without a name gives an outcome with an error; the others are answered."""
    journal = Journal(tmp_path / "journal.db", RUN)
    images: list[Any] = ["a", object(), "b"]
    outcomes = list(detect_many(found, images, workers=2, ordered=True, policy=QUICK, journal=journal))
    assert [outcome.image for outcome in outcomes if outcome.error is None] == ["a", "b"]
    assert "has no name" in str(outcomes[1].error)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Limit the size of the files that this process writes."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot limit the size of files")
def test_a_full_disk_loses_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every image is answered; the error counts unsaved answers; the next run requests only those."""
    path = tmp_path / "journal.db"
    images = [f"{number:05}-{'x' * 500}" for number in range(200)]
    outcomes: list[Outcome[str]] = []
    run = detect_many(found, images, workers=4, ordered=True, policy=QUICK, journal=Journal(path, RUN))
    with (
        pytest.raises(JournalFailed, match="could not be saved in the journal") as caught,
        full_disk(60_000),
    ):
        collect(run, outcomes)
    assert [outcome.image for outcome in outcomes] == images
    assert [outcome.error for outcome in outcomes] == [None] * len(images)
    assert len([record for record in caplog.records if "Could not save an answer" in record.message]) == 1
    unsaved = int(str(caught.value).split(maxsplit=1)[0])
    requested: list[str] = []

    def detect(image: Any) -> list[Detection]:
        requested.append(image)
        return found(image)

    again = list(
        detect_many(detect, images, workers=4, ordered=True, policy=QUICK, journal=Journal(path, RUN))
    )
    assert again == outcomes
    assert 0 < len(requested) == unsaved < len(images)


WRITER = """
import sys
from rekolabels import Detection
from rekolabels.inference._journal import Journal

with Journal(sys.argv[1], {"model": "arn"}) as journal:
    for number in range(1_000_000):
        journal.write(f"{number}.jpg", [Detection("puppy", number % 100)])
        print(number, flush=True)
"""


def test_a_killed_process_loses_no_written_answer(tmp_path: Path) -> None:
    """All answers that were written before SIGKILL can be read, and the file is intact."""
    path = tmp_path / "journal.db"
    for count in (1, 50, 300):
        path.unlink(missing_ok=True)
        writer = subprocess.Popen(  # noqa: S603 -- our own interpreter
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(count):
            last = int(writer.stdout.readline())
        writer.kill()
        writer.communicate()
        with Journal(path, {"model": "arn"}) as journal:
            for number in range(last + 1):
                assert journal.answer(f"{number}.jpg") == (Detection("puppy", number % 100),)
