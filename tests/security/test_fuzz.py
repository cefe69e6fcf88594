"""A short run of the fuzz targets; ``make fuzz`` sends them millions of inputs, guided by coverage."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from pathlib import Path
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
    from fuzz_readers import ReaderTarget
    from fuzz_service import ServiceTarget

CORPUS = Path(__file__).parent / "corpus" / "readers"
SECONDS_PER_INPUT = 10
# All examples share one target because making one takes seconds.
BOUNDED = settings(
    deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
RANDOM = st.integers(0, 2**32 - 1).map(Random)


class Hang(BaseException):
    """An input took too long; a BaseException, so that ``except Exception`` does not catch it."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise Hang when the block takes too long."""

    def stop(_number: int, _frame: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def send(target: ManifestTarget | ModelTarget | ReaderTarget | ServiceTarget, rng: Random) -> None:
    """Run a target with a mutated seed."""
    data = rng.choice(target.seeds)
    for _ in range(rng.choice((1, 1, 2, 4))):
        data = target.mutate(data, rng)
    with limited(SECONDS_PER_INPUT):
        assert target.run(data) > 0


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceTarget]:
    """Return the target with the embedded service."""
    pytest.importorskip("onnxruntime", reason="the extra 'local' is not installed")
    from fuzz_service import ServiceTarget

    target = ServiceTarget()
    yield target
    target.close()


@pytest.fixture(scope="module")
def model() -> Iterator[ModelTarget]:
    """Return the target with the loader of saved models."""
    pytest.importorskip("onnxruntime", reason="the extra 'local' is not installed")
    from fuzz_model import ModelTarget

    target = ModelTarget()
    yield target
    target.close()


@BOUNDED
@given(rng=RANDOM)
def test_manifests(rng: Random) -> None:
    """Any manifest is checked, read and repaired, or rejected with a RekolabelsError."""
    send(ManifestTarget(), rng)


@pytest.fixture(scope="module")
def readers() -> Iterator[ReaderTarget]:
    """Return the target with the readers of all files."""
    for name in ("PIL", "pandas", "yaml"):
        pytest.importorskip(name)
    from fuzz_readers import ReaderTarget

    target = ReaderTarget()
    yield target
    target.close()


@settings(BOUNDED, max_examples=200)
@given(rng=RANDOM)
def test_readers(readers: ReaderTarget, rng: Random) -> None:
    """Any file is read and used, or rejected with a RekolabelsError."""
    send(readers, rng)


@pytest.mark.parametrize("found", sorted(path.name for path in CORPUS.iterdir()))
def test_earlier_findings(readers: ReaderTarget, found: str) -> None:
    """An input that once ended in a foreign exception is read or rejected."""
    assert readers.run((CORPUS / found).read_bytes()) == 1


@BOUNDED
@given(rng=RANDOM)
def test_the_service(service: ServiceTarget, rng: Random) -> None:
    """Any request gets a valid response, without server faults and without leaving the workspace."""
    send(service, rng)


@settings(BOUNDED, max_examples=60)
@given(rng=RANDOM)
def test_models(model: ModelTarget, rng: Random) -> None:
    """Any files of a model load and predict, or are rejected; no code in them runs."""
    send(model, rng)


def test_seeds_are_valid(service: ServiceTarget, model: ModelTarget, readers: ReaderTarget) -> None:
    """Most seeds succeed: mutations of invalid input would test little."""
    accepted = 0
    for seed in service.seeds:
        service.renew()
        assert service.run(seed) == 1
        accepted += service.last_status < 300
    for seed in ManifestTarget().seeds:
        assert ManifestTarget().run(seed) >= 1
    for seed in model.seeds:
        assert model.run(seed) == 1
    for seed in readers.seeds:
        readers.strict = True
        assert readers.run(seed) == 1
    readers.strict = False

    assert accepted >= len(service.seeds) * 3 // 4


def test_the_monitor_records_access_outside(service: ServiceTarget) -> None:
    """Reading a file outside of the workspace is recorded."""
    with service.monitor:
        (service.home / "secret.txt").read_bytes()
    seen, service.monitor.outside = service.monitor.outside, []

    assert seen == [("open", str(service.home / "secret.txt"))]


@pytest.mark.parametrize("document", [{"a": [1, "x", {"b": None}]}, [], "x", 7])
def test_mutations_change_and_mostly_parse(document: Any) -> None:
    """More than half of the mutations change the document, and more than half are valid JSON."""
    before = json.dumps(document).encode()
    mutants = [mutation.json_text(before, Random(seed)) for seed in range(200)]  # noqa: S311 - test input, not secrets

    def parses(text: bytes) -> bool:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return False
        return True

    assert sum(mutant != before for mutant in mutants) > 100
    assert sum(map(parses, mutants)) > 100
