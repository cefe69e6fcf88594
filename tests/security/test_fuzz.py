"""Hostile input, a little of it; ``make fuzz`` sends millions, guided by coverage, to the same targets."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any

import fuzz_mutation as mutation
import pytest
from fuzz_manifest import ManifestTarget
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuzz_model import ModelTarget
    from fuzz_service import ServiceTarget

SECONDS_AN_INPUT = 10
# One target serves all examples: each is judged by itself, and making one costs seconds.
BOUNDED = settings(
    deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
CHOICES = st.integers(0, 2**32 - 1).map(Random)


class Hang(BaseException):
    """An input took too long; no ``except Exception`` swallows it."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """End the block when it takes too long."""

    def stop(_number: int, _frame: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def send(target: ManifestTarget | ModelTarget | ServiceTarget, rng: Random) -> None:
    """One mutant of a seed."""
    data = rng.choice(target.seeds)
    for _ in range(rng.choice((1, 1, 2, 4))):
        data = target.mutate(data, rng)
    with limited(SECONDS_AN_INPUT):
        assert target.run(data) > 0


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceTarget]:
    """The embedded service behind its HTTP reader."""
    pytest.importorskip("onnxruntime", reason="the extra 'local' is not installed")
    from fuzz_service import ServiceTarget

    target = ServiceTarget()
    yield target
    target.close()


@pytest.fixture(scope="module")
def model() -> Iterator[ModelTarget]:
    """The loader of saved models."""
    pytest.importorskip("onnxruntime", reason="the extra 'local' is not installed")
    from fuzz_model import ModelTarget

    target = ModelTarget()
    yield target
    target.close()


@BOUNDED
@given(rng=CHOICES)
def test_manifests(rng: Random) -> None:
    """Any manifest is checked, read and mended, or refused with an error of ours."""
    send(ManifestTarget(), rng)


@BOUNDED
@given(rng=CHOICES)
def test_the_service(service: ServiceTarget, rng: Random) -> None:
    """Any connection is answered as the protocols say: no fault of ours, no step out of the folder."""
    send(service, rng)


@settings(BOUNDED, max_examples=60)
@given(rng=CHOICES)
def test_models(model: ModelTarget, rng: Random) -> None:
    """Any files of a model load and predict, or are refused as a broken model; nothing in them runs."""
    send(model, rng)


def test_good_input_is_good(service: ServiceTarget, model: ModelTarget) -> None:
    """The seeds are what they are meant to be: mutants of nonsense would test nothing."""
    accepted = 0
    for seed in service.seeds:
        service.renew()
        assert service.run(seed) == 1
        accepted += service.last_status < 300
    for seed in ManifestTarget().seeds:
        assert ManifestTarget().run(seed) >= 1
    for seed in model.seeds:
        assert model.run(seed) == 1

    assert accepted >= len(service.seeds) * 3 // 4


def test_the_watch_sees_a_step_out(service: ServiceTarget) -> None:
    """The judge of the paths is no blind one."""
    with service.watch:
        (service.home / "secret.txt").read_bytes()
    seen, service.watch.outside = service.watch.outside, []

    assert seen == [("open", str(service.home / "secret.txt"))]


@pytest.mark.parametrize("document", [{"a": [1, "x", {"b": None}]}, [], "x", 7])
def test_mutants_differ_but_mostly_parse(document: Any) -> None:
    """A mutation keeps the form more often than not, and changes something more often than not."""
    before = json.dumps(document).encode()
    mutants = [mutation.json_text(before, Random(seed)) for seed in range(200)]  # noqa: S311 - chance, no secret

    def parses(text: bytes) -> bool:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return False
        return True

    assert sum(mutant != before for mutant in mutants) > 100
    assert sum(map(parses, mutants)) > 100
