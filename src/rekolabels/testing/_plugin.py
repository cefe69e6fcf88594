"""The fixtures. pytest imports this module at every start, so other imports wait for the first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rekolabels.testing._recorded import Recorded
from rekolabels.testing._trainer import Trainer, draw_images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rekolabels.client import Client
    from rekolabels.local import LocalService, ManualClock
    from rekolabels.models import ModelVersion

__all__: list[str] = []

_START = 1_767_225_600.0
"""Time at the beginning of each test, in seconds since the epoch: 2026-01-01, midnight UTC."""
_BUCKET = "rekolabels-tests"


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "rekolabels(**options): options of rekolabels.local.LocalService for the service of this test "
        "(faults, durations, quotas, tps, ...)",
    )


@pytest.fixture
def rekolabels_clock() -> ManualClock:
    """A clock that stands still at 2026-01-01, midnight UTC, until it is advanced or slept on."""
    from rekolabels.local import ManualClock

    return ManualClock(_START)


@pytest.fixture
def rekolabels_service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, rekolabels_clock: ManualClock
) -> Iterator[LocalService]:
    """An embedded service for one test, which uses ``rekolabels_clock``.

    It trains with the tiny engine. By the clock, operations take about as long as on AWS: a training one
    hour, a start ten minutes. ``@pytest.mark.rekolabels(...)`` changes these and all other options.
    """
    from rekolabels.local import Durations, LocalService

    durations = Durations(
        training=3600, starting=600, stopping=300, copying=600, datasets=30, deleting=30, media_jobs=600
    )
    options: dict[str, Any] = {"durations": durations, **_options(request)}
    folder = tmp_path_factory.mktemp("rekolabels-service")
    with LocalService(folder, clock=rekolabels_clock, **options) as service:
        yield service


@pytest.fixture
def rekolabels_client(rekolabels_service: LocalService, rekolabels_clock: ManualClock) -> Client:
    """A client of ``rekolabels_service`` with the bucket ``rekolabels-tests``.

    Its waits advance ``rekolabels_clock`` instead of sleeping.
    """
    from rekolabels import RetryPolicy

    policy = RetryPolicy(clock=rekolabels_clock, sleep=rekolabels_clock.sleep, time=rekolabels_clock)
    return rekolabels_service.client(bucket=_BUCKET, retry=policy)


@pytest.fixture
def rekolabels_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four small images for each of the labels ``amber``, ``blue`` and ``green``."""
    return draw_images(tmp_path_factory.mktemp("rekolabels-images"))


@pytest.fixture
def rekolabels_train(
    request: pytest.FixtureRequest,
    rekolabels_service: LocalService,
    rekolabels_client: Client,
    rekolabels_clock: ManualClock,
) -> Trainer:
    """Trains models in ``rekolabels_service``, without its faults and without advancing its clock."""
    ignored = {"durations", "faults", "quotas", "tps"}
    options = {name: value for name, value in _options(request).items() if name not in ignored}
    return Trainer(rekolabels_client, rekolabels_service.path, {"clock": rekolabels_clock, **options})


@pytest.fixture
def rekolabels_model(rekolabels_train: Trainer, rekolabels_images: Path) -> ModelVersion:
    """A model of ``rekolabels_client`` that was trained on ``rekolabels_images`` and is not running."""
    from rekolabels.formats import read_folder

    return rekolabels_train(read_folder(rekolabels_images))


@pytest.fixture
def rekolabels_recorded(rekolabels_clock: ManualClock) -> Iterator[Recorded]:
    """Creates clients that replay recorded responses; the test fails if a response is not used."""
    from rekolabels import RetryPolicy

    recorded = Recorded(RetryPolicy(clock=rekolabels_clock, sleep=rekolabels_clock.sleep))
    yield recorded
    recorded.check()


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the options of a test's markers; the closest marker wins."""
    options: dict[str, Any] = {"engine": "tiny"}
    for marker in reversed(list(request.node.iter_markers("rekolabels"))):
        if marker.args or {"path", "clock"} & marker.kwargs.keys():
            raise pytest.UsageError(
                "pytest.mark.rekolabels takes the keyword arguments of rekolabels.local.LocalService except "
                "path and clock: each test has its own workspace, and uses the clock rekolabels_clock."
            )
        options.update(marker.kwargs)
    return options
