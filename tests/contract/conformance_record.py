"""Pytest plugin for ``tools/make_conformance.py`` that records what the contract tests cover.

It records which constraint tests passed, and which errors the service returned because of its state or the
request, as opposed to injected faults.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rekolabels.local._http._app import App

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

PASSED: set[str] = set()
RETURNED: set[tuple[str, str]] = set()


def _record(respond: Callable[..., Any]) -> Callable[..., Any]:
    def recorded(self: App, target: str, *given: Any) -> Any:
        status, headers, body = respond(self, target, *given)
        if status != 200:
            RETURNED.add((target.rpartition(".")[2], json.loads(body)["__type"]))
        return status, headers, body

    return recorded


def pytest_configure() -> None:
    """Record every response of Rekognition; injected faults are answered before."""
    App._respond = _record(App._respond)  # type: ignore[method-assign] # wrapped for the tests


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Record the tests that passed."""
    if report.when == "call" and report.passed and "test_service_constraints" in report.nodeid:
        PASSED.add(report.nodeid.partition("::")[2])


def pytest_sessionfinish() -> None:
    """Write the record to a file."""
    record = {"passed": sorted(PASSED), "returned": sorted(RETURNED)}
    Path(os.environ["REKOLABELS_RECORD"]).write_text(json.dumps(record), encoding="utf-8")
