"""The loop of detect_many and its journal, without a service behind them."""

from __future__ import annotations

import os
import re
import resource
import signal
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
from rekolabels.inference._many import detect_many as prepared_detect_many

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from pathlib import Path

    from virtual_time import VirtualTime

QUICK = RetryPolicy(first_delay=0.001, max_delay=0.002)
RUN = {"model": "arn:of-one", "min_confidence": "None"}
FOUND = [Detection("puppy", 90.0, Box(0.1, 0.2, 0.3, 0.4)), Detection("dog", 80.0)]


def found(image: Any) -> list[Detection]:
    """Find the name of the image in it."""
    return [Detection(image, 50.0)]


def detect_many(
    detect: Callable[[Any], list[Detection]], images: Iterable[Any], **options: Any
) -> Generator[Outcome[Any]]:
    """Run with a function for the call."""
    return prepared_detect_many(lambda image: partial(detect, image), images, **options)


def keep_each(run: Iterable[Outcome[str]], kept: list[Outcome[str]]) -> None:
    """Keep what comes, also when an error follows."""
    for outcome in run:
        kept.append(outcome)  # noqa: PERF402 -- extend would drop all of them with the error


def throttled() -> Throttled:
    """What a model says that is asked too much."""
    return Throttled("too much", operation="DetectCustomLabels", code="ThrottlingException")


@pytest.mark.parametrize("ordered", [True, False])
def test_an_iterable_that_breaks_costs_no_answer(ordered: bool) -> None:  # noqa: FBT001 -- a case
    """What was taken before its error is finished and yielded; then the error comes through."""

    def images() -> Iterator[str]:
        yield from "abc"
        raise LookupError("the listing broke off")

    outcomes: list[Outcome[str]] = []
    run = detect_many(found, images(), workers=4, ordered=ordered, policy=QUICK)
    with pytest.raises(LookupError, match="broke off"):
        keep_each(run, outcomes)
    assert {outcome.image for outcome in outcomes} == {"a", "b", "c"}
    assert [outcome.error for outcome in outcomes] == [None] * 3


@pytest.mark.parametrize("ordered", [True, False])
def test_images_are_taken_as_they_are_needed(ordered: bool) -> None:  # noqa: FBT001 -- a case
    """Of an endless iterable no more is taken than two for each worker, and what is asked for next."""
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


def test_a_run_that_is_broken_off_leaves_no_threads() -> None:
    """Calls that wait for a throttled model are given up, and are not waited for."""

    def detect(image: Any) -> list[Detection]:
        if image == "first":
            return []
        raise throttled()

    run = detect_many(detect, ["first", *map(str, range(100))], workers=4, ordered=True, policy=QUICK)
    assert next(run).image == "first"
    run.close()
    assert [thread for thread in threading.enumerate() if thread.name.startswith("rekolabels-detect")] == []


def test_a_model_that_serves_nothing_is_an_outcome(virtual_time: VirtualTime) -> None:
    """After the patience of the policy a throttled image is given up; faults after its attempts."""
    policy = RetryPolicy(sleep=virtual_time.sleep, clock=virtual_time.clock, patience=60, attempts=3)

    def detect(image: Any) -> list[Detection]:
        if image == "throttled":
            raise throttled()
        calls.append(image)
        if image == "lost":
            raise ConnectionFailed("no answer")
        raise ServiceFault("their fault", operation="DetectCustomLabels", code="InternalServerError")

    calls: list[str] = []
    outcomes = detect_many(detect, ["throttled", "lost", "broken"], workers=1, ordered=True, policy=policy)
    assert [type(outcome.error) for outcome in outcomes] == [Throttled, ConnectionFailed, ServiceFault]
    assert calls == ["lost"] * 3 + ["broken"] * 3
    assert virtual_time.now >= 60


def test_progress_tells_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of what has a length also how much is left; of a stream how many there were."""
    pytest.importorskip("tqdm", reason="needs the extra progress")
    monkeypatch.setattr("rekolabels._progress._is_watched", lambda: True)
    list(detect_many(found, ["a", "b"], workers=1, ordered=True, policy=QUICK))
    known = capsys.readouterr().err
    assert re.search(r"detecting: .*/2 \[\d\d:\d\d<.*images/s\]", known)
    list(detect_many(found, iter(["a", "b"]), workers=1, ordered=True, policy=QUICK))
    unknown = capsys.readouterr().err
    assert re.search(r"detecting: \d+ images \[\d\d:\d\d, .*images/s\]", unknown)


def test_there_must_be_workers() -> None:
    """None at all would wait for ever."""
    with pytest.raises(InvalidInput, match="workers is 0"):
        list(detect_many(found, ["a"], workers=0, ordered=True, policy=QUICK))


def test_answers_come_back_as_they_were(tmp_path: Path) -> None:
    """Boxes, labels and confidences survive the journal exactly."""
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
        ({**RUN, "model": "arn:of-another"}, "its model is arn:of-one, not arn:of-another"),
        ({**RUN, "min_confidence": "5"}, "its min_confidence is None, not 5"),
    ],
)
def test_a_journal_of_another_run_is_refused(tmp_path: Path, other: dict[str, str], match: str) -> None:
    """The error says in what it differs."""
    with Journal(tmp_path / "journal.db", RUN):
        pass
    with pytest.raises(InvalidInput, match=match), Journal(tmp_path / "journal.db", other):
        pass


def test_two_runs_do_not_share_a_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the same time they would both pay for every image."""
    monkeypatch.setattr("rekolabels.inference._journal._PATIENCE", 0.01)
    with (
        Journal(tmp_path / "journal.db", RUN),
        pytest.raises(JournalFailed, match="in use by another run"),
        Journal(tmp_path / "journal.db", RUN),
    ):
        pass


def test_images_without_a_name_cannot_be_journalled(tmp_path: Path) -> None:
    """They are outcomes that say so; the others go on."""
    journal = Journal(tmp_path / "journal.db", RUN)
    images: list[Any] = ["a", object(), "b"]
    outcomes = list(detect_many(found, images, workers=2, ordered=True, policy=QUICK, journal=journal))
    assert [outcome.image for outcome in outcomes if outcome.error is None] == ["a", "b"]
    assert "by their names" in str(outcomes[1].error)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_under_the_journal_costs_no_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every image is answered once; the end says how many are not kept; a second run asks for those only."""
    path = tmp_path / "journal.db"
    images = [f"{number:05}-{'x' * 500}" for number in range(200)]
    outcomes: list[Outcome[str]] = []
    run = detect_many(found, images, workers=4, ordered=True, policy=QUICK, journal=Journal(path, RUN))
    with pytest.raises(JournalFailed, match="yielded but could not be kept") as caught, full_disk(60_000):
        keep_each(run, outcomes)
    assert [outcome.image for outcome in outcomes] == images
    assert [outcome.error for outcome in outcomes] == [None] * len(images)
    assert len([record for record in caplog.records if "without its journal" in record.message]) == 1
    not_kept = int(str(caught.value).split(maxsplit=1)[0])
    asked: list[str] = []

    def detect(image: Any) -> list[Detection]:
        asked.append(image)
        return found(image)

    again = list(
        detect_many(detect, images, workers=4, ordered=True, policy=QUICK, journal=Journal(path, RUN))
    )
    assert again == outcomes
    assert 0 < len(asked) == not_kept < len(images)


WRITER = """
import sys
from rekolabels import Detection
from rekolabels.inference._journal import Journal

with Journal(sys.argv[1], {"model": "arn"}) as journal:
    for number in range(1_000_000):
        journal.write(f"{number}.jpg", [Detection("puppy", number)])
        print(number, flush=True)
"""


def test_a_kill_in_the_middle_loses_no_answer(tmp_path: Path) -> None:
    """What was written when SIGKILL came is there, again and again, and the file is whole."""
    path = tmp_path / "journal.db"
    for kept in (1, 50, 300):
        path.unlink(missing_ok=True)
        writer = subprocess.Popen(  # noqa: S603 -- our own interpreter
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(kept):
            last = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
        with Journal(path, {"model": "arn"}) as journal:
            for number in range(last + 1):
                assert journal.answer(f"{number}.jpg") == (Detection("puppy", number),)
