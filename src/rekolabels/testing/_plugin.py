"""The fixtures. pytest imports this module at every start, so other imports wait for the first use."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Literal

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


def _fixtures(scope: Literal["function", "module", "session"]) -> dict[str, Any]:
    """Return the fixtures of a scope, by name.

    As in pytest-mock, names begin with the scope if it is not that of one test.
    """
    prefix = "" if scope == "function" else f"{scope}_"

    def named(request: pytest.FixtureRequest, name: str) -> Any:
        return request.getfixturevalue(f"{prefix}rekolabels_{name}")

    @pytest.fixture(scope=scope, name=f"{prefix}rekolabels_clock")
    def clock() -> ManualClock:
        """A clock that stands still at 2026-01-01, midnight UTC, until it is advanced or slept on."""
        from rekolabels.local import ManualClock

        return ManualClock(_START)

    @pytest.fixture(scope=scope, name=f"{prefix}rekolabels_service")
    def service(
        request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[LocalService]:
        """An embedded service, which uses the clock of the same scope.

        It trains with the tiny engine. By the clock, operations take about as long as on AWS: a training one
        hour, a start ten minutes. ``@pytest.mark.rekolabels(...)`` changes these and all other options.
        """
        from rekolabels.local import Durations, LocalService

        durations = Durations(
            training=3600, starting=600, stopping=300, copying=600, datasets=30, deleting=30, media_jobs=600
        )
        options: dict[str, Any] = {"durations": durations, **_options(request)}
        folder = tmp_path_factory.mktemp("rekolabels-service")
        with LocalService(folder, clock=named(request, "clock"), **options) as opened:
            yield opened

    @pytest.fixture(scope=scope, name=f"{prefix}rekolabels_client")
    def client(request: pytest.FixtureRequest) -> Client:
        """A client of the service with the bucket ``rekolabels-tests``; its waits advance the clock."""
        found: Client = named(request, "service").client(bucket=_BUCKET)
        return found

    @pytest.fixture(scope=scope, name=f"{prefix}rekolabels_images")
    def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A folder with four small images for each of the labels ``amber``, ``blue`` and ``green``."""
        return draw_images(tmp_path_factory.mktemp("rekolabels-images"))

    @pytest.fixture(scope=scope, name=f"{prefix}rekolabels_train")
    def train(request: pytest.FixtureRequest) -> Trainer:
        """Trains models in the service, without its faults and without advancing its clock."""
        ignored = {"durations", "faults", "quotas", "tps"}
        options = {name: value for name, value in _options(request).items() if name not in ignored}
        return Trainer(
            named(request, "client"),
            named(request, "service").path,
            {"clock": named(request, "clock"), **options},
        )

    @pytest.fixture(scope=scope, name=f"{prefix}rekolabels_model")
    def model(request: pytest.FixtureRequest) -> ModelVersion:
        """A model of the client that was trained on the images and is not running."""
        from rekolabels.formats import read_folder

        trained: ModelVersion = named(request, "train")(read_folder(named(request, "images")))
        return trained

    found = {
        "clock": clock,
        "service": service,
        "client": client,
        "images": images,
        "train": train,
        "model": model,
    }
    return {f"{prefix}rekolabels_{name}": fixture for name, fixture in found.items()}


# pytest finds fixtures among the attributes of a plugin.
globals().update(_fixtures("function") | _fixtures("module") | _fixtures("session"))


@pytest.fixture
def rekolabels_recorded(rekolabels_clock: ManualClock) -> Iterator[Recorded]:
    """Creates clients that replay recorded responses; the test fails if a response is not used."""
    from rekolabels import RetryPolicy

    recorded = Recorded(RetryPolicy(clock=rekolabels_clock, sleep=rekolabels_clock.sleep))
    yield recorded
    recorded.check()


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the options of the markers of a test or module; the closest marker wins."""
    options: dict[str, Any] = {"engine": "tiny"}
    for marker in reversed(list(request.node.iter_markers("rekolabels"))):
        if marker.args or {"path", "clock"} & marker.kwargs.keys():
            raise pytest.UsageError(
                "pytest.mark.rekolabels takes the keyword arguments of rekolabels.local.LocalService except "
                "path and clock: each test has its own workspace, and uses the clock rekolabels_clock."
            )
        for name in marker.kwargs:
            _check_option(name)
        options.update(marker.kwargs)
    return options


def _check_option(name: str) -> None:
    from rekolabels._arguments import check_choice
    from rekolabels.errors import InvalidInput
    from rekolabels.local import LocalService

    names = [one for one in inspect.signature(LocalService).parameters if one not in {"path", "clock"}]
    try:
        check_choice("An argument of pytest.mark.rekolabels", name, names)
    except InvalidInput as error:
        raise pytest.UsageError(str(error)) from None
