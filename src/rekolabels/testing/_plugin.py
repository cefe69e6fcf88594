"""The fixtures. pytest imports this at every start, so that it imports nothing before a test asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rekolabels.testing._recorded import Recorded
from rekolabels.testing._training import Trainer, draw_pictures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rekolabels.client import Client
    from rekolabels.local import LocalService, ManualClock
    from rekolabels.models import ModelVersion

__all__: list[str] = []

_START = 1_767_225_600.0
"""2026-01-01, midnight UTC: where the clock of each test stands."""
_BUCKET = "rekolabels-tests"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "rekolabels(**options): what rekolabels.local.LocalService takes, for the service of this test "
        "(faults, durations, quotas, tps, ...)",
    )


@pytest.fixture
def rekolabels_clock() -> ManualClock:
    """A clock that stands still, at midnight UTC of 2026-01-01, until it is moved or slept by."""
    from rekolabels.local import ManualClock

    return ManualClock(_START)


@pytest.fixture
def rekolabels_service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, rekolabels_clock: ManualClock
) -> Iterator[LocalService]:
    """An embedded service of the test's own, in the time of ``rekolabels_clock``.

    Its engine is the tiny one. Its work takes as long as on AWS, about, by the clock: a training an hour, a
    start ten minutes. ``@pytest.mark.rekolabels(...)`` changes this and everything else.
    """
    from rekolabels.local import Durations, LocalService

    usual = Durations(
        training=3600, starting=600, stopping=300, copying=600, datasets=30, deleting=30, media_jobs=600
    )
    options: dict[str, Any] = {"durations": usual, **_options(request)}
    folder = tmp_path_factory.mktemp("rekolabels-service")
    with LocalService(folder, clock=rekolabels_clock, **options) as service:
        yield service


@pytest.fixture
def rekolabels_client(rekolabels_service: LocalService, rekolabels_clock: ManualClock) -> Client:
    """A client of ``rekolabels_service`` with the bucket ``rekolabels-tests``.

    Who waits with it moves the clock instead.
    """
    from rekolabels import RetryPolicy

    policy = RetryPolicy(clock=rekolabels_clock, sleep=rekolabels_clock.sleep, time=rekolabels_clock)
    return rekolabels_service.client(bucket=_BUCKET, retry=policy)


@pytest.fixture
def rekolabels_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four small pictures of each of the labels ``amber``, ``blue`` and ``green``."""
    return draw_pictures(tmp_path_factory.mktemp("rekolabels-images"))


@pytest.fixture
def rekolabels_train(
    request: pytest.FixtureRequest,
    rekolabels_service: LocalService,
    rekolabels_client: Client,
    rekolabels_clock: ManualClock,
) -> Trainer:
    """Trains models in ``rekolabels_service`` at once: its faults are not met, and its clock stands still."""
    apart = {"durations", "faults", "quotas", "tps"}
    options = {name: value for name, value in _options(request).items() if name not in apart}
    return Trainer(rekolabels_client, rekolabels_service.path, {"clock": rekolabels_clock, **options})


@pytest.fixture
def rekolabels_model(rekolabels_train: Trainer, rekolabels_images: Path) -> ModelVersion:
    """A model of ``rekolabels_client``, trained on ``rekolabels_images``; it is not running."""
    from rekolabels.formats import read_folder

    return rekolabels_train(read_folder(rekolabels_images))


@pytest.fixture
def rekolabels_recorded(rekolabels_clock: ManualClock) -> Iterator[Recorded]:
    """Makes clients that answer what was recorded; the test fails when an answer was not asked for."""
    from rekolabels import RetryPolicy

    recorded = Recorded(RetryPolicy(clock=rekolabels_clock, sleep=rekolabels_clock.sleep))
    yield recorded
    recorded.check()


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the markers of a test say; the closest one wins."""
    options: dict[str, Any] = {"engine": "tiny"}
    for marker in reversed(list(request.node.iter_markers("rekolabels"))):
        if marker.args or {"path", "clock"} & marker.kwargs.keys():
            raise pytest.UsageError(
                "pytest.mark.rekolabels takes options of rekolabels.local.LocalService by name, but for path "
                "and clock: each test has a workspace of its own, and rekolabels_clock is its clock."
            )
        options.update(marker.kwargs)
    return options
