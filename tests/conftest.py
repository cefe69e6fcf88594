"""Fixtures for all tests: virtual time, and no access to the real AWS."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from rekolabels import RetryPolicy
from virtual_time import VirtualTime

# Benchmarks measure speed; a busy machine must not fail a test.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# `make mutation` runs the same few examples on each mutant.
settings.register_profile("mutation", settings.get_profile("project"), max_examples=20, derandomize=True)
settings.load_profile("project")

DATA = Path(os.environ.get("REKOLABELS_DATA", Path(__file__).parents[2] / "shared" / "data"))
"""Photographs that are not part of the repository; CONTRIBUTING.md says what they are."""


# A shell that starts the tests in the background makes them, and all their processes, ignore these signals.
for _name, _handler in (("SIGINT", signal.default_int_handler), ("SIGQUIT", signal.SIG_DFL)):
    _number = getattr(signal, _name, None)
    if _number is not None and signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


@pytest.fixture
def virtual_time() -> VirtualTime:
    """Return a clock that only the test moves."""
    return VirtualTime()


@pytest.fixture
def virtual_policy(virtual_time: VirtualTime) -> RetryPolicy:
    """Return a retry policy in virtual time."""
    return RetryPolicy(sleep=virtual_time.sleep, clock=virtual_time.clock)


@pytest.fixture
def data() -> Path:
    """Return the folder of real photographs; skip the test where it is missing."""
    if not DATA.is_dir():
        pytest.skip("needs the photographs that CONTRIBUTING.md describes: set REKOLABELS_DATA")
    return DATA


@pytest.fixture(autouse=True)
def _no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the AWS settings of the machine from the tests."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
