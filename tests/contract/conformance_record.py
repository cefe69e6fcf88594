"""A pytest plugin for ``tools/make_conformance.py``: what the contract tests have seen.

It notes which tests of constraints passed, and which errors the service answered with because of its state or
of the request, not because of a fault on request.
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
MET: set[tuple[str, str]] = set()


def _watch(answer: Callable[..., Any]) -> Callable[..., Any]:
    def watched(self: App, target: str, *given: Any) -> Any:
        status, headers, body = answer(self, target, *given)
        if status != 200:
            MET.add((target.rpartition(".")[2], json.loads(body)["__type"]))
        return status, headers, body

    return watched


def pytest_configure() -> None:
    """Stand where every answer of the control plane passes; faults on request are answered before."""
    App._respond = _watch(App._respond)  # type: ignore[method-assign] # a test looks on


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note the tests that passed."""
    if report.when == "call" and report.passed and "test_service_constraints" in report.nodeid:
        PASSED.add(report.nodeid.partition("::")[2])


def pytest_sessionfinish() -> None:
    """Write down what was seen."""
    seen = {"passed": sorted(PASSED), "met": sorted(MET)}
    Path(os.environ["REKOLABELS_RECORD"]).write_text(json.dumps(seen), encoding="utf-8")
