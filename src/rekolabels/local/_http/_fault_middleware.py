"""WSGI middleware that injects the faults of a plan before requests reach the application."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING

from rekolabels.errors import InvalidInput
from rekolabels.local._core._faults import Fault
from rekolabels.local._core._s3_xml import error_document
from rekolabels.local._core._wsgi import ResponseStart, close_chunks
from rekolabels.local._http._error_response import CONTENT_TYPE, error_response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from rekolabels.local._core._fault_injector import FaultInjector
    from rekolabels.local._core._faults import FaultPlan

__all__ = ["ConnectionDropped", "FaultMiddleware", "check_plan"]

_ACCESS_KEY = re.compile(r"Credential=([^/,\s]+)/")
_S3_STATUS = {"AccessDenied": 403, "InternalError": 500, "ServiceUnavailable": 503, "SlowDown": 503}
_DETAIL = "Injected fault."
_WITH_JOB = frozenset(
    {
        "CopyProjectVersion",
        "CreateDataset",
        "CreateProject",
        "CreateProjectVersion",
        "DeleteDataset",
        "DeleteProject",
        "DeleteProjectVersion",
        "DistributeDatasetEntries",
        "StartMediaAnalysisJob",
        "StartProjectVersion",
        "StopProjectVersion",
        "UpdateDatasetEntries",
    }
)
_CANNOT_FAIL = frozenset({"CreateProject", "DeleteDataset", "DeleteProject", "DeleteProjectVersion"})


class ConnectionDropped(ConnectionError):
    """The host must close the connection without a response."""


def check_plan(plan: FaultPlan, operations: frozenset[str]) -> None:
    """Check that every fault of a plan can strike.

    Args:
        plan: The faults.
        operations: Names of all Rekognition operations.

    Raises:
        InvalidInput: A fault names an unknown operation, or one without a job that could fail or hang.
    """
    for fault in plan.faults:
        if fault.operation not in {"*", "S3", *operations}:
            raise InvalidInput(
                f"Unknown operation {fault.operation!r} in a fault: expected an operation of Rekognition "
                "such as 'DescribeProjectVersions', '*' for all of them, or 'S3'."
            )
        if fault.kind not in ("fail", "stick"):
            continue
        name, able = ("fails", _WITH_JOB - _CANNOT_FAIL) if fault.kind == "fail" else ("stuck", _WITH_JOB)
        if fault.operation not in able:
            raise InvalidInput(
                f"Fault.{name} does not apply to {fault.operation!r}: expected one of "
                f"{', '.join(sorted(able))}."
            )


class FaultMiddleware:
    """An application with injected faults.

    Args:
        app: The application.
        injector: Selects the faults of the plan.
        clock: The clock of the service. Slow responses use its ``sleep`` method, if it has one.
    """

    def __init__(self, app: WSGIApplication, injector: FaultInjector, clock: Callable[[], float]) -> None:
        self._app = app
        self._injector = injector
        self._clock = clock
        self._credential_lifetime = injector.credential_lifetime()
        self._first_seen: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()
        self._sleep: Callable[[float], None] = getattr(clock, "sleep", time.sleep)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        target = environ.get("HTTP_X_AMZ_TARGET")
        operation = "S3" if target is None else target.rpartition(".")[2]
        if self._is_expired(environ):
            return _respond_with_error(operation, Fault.error("ExpiredTokenException"), start_response)
        for fault in self._injector.select(operation, ("error", "drop", "slow")):
            if fault.kind == "slow":
                self._sleep(fault.seconds)
            elif fault.kind == "error":
                return _respond_with_error(operation, fault, start_response)
            else:
                self._drop(fault, environ)
        return self._app(environ, start_response)

    def _drop(self, fault: Fault, environ: WSGIEnvironment) -> None:
        if fault.answered:
            chunks = self._app(environ, ResponseStart())
            for _ in chunks:
                pass
            close_chunks(chunks)
        raise ConnectionDropped("The connection was dropped by an injected fault.")

    def _is_expired(self, environ: WSGIEnvironment) -> bool:
        if self._credential_lifetime is None:
            return False
        key = _ACCESS_KEY.search(environ.get("HTTP_AUTHORIZATION", ""))
        token = environ.get("HTTP_X_AMZ_SECURITY_TOKEN", "")
        now = self._clock()
        with self._lock:
            first = self._first_seen.setdefault(("" if key is None else key[1], token), now)
        return now - first >= self._credential_lifetime


def _respond_with_error(operation: str, fault: Fault, start_response: StartResponse) -> Iterable[bytes]:
    if operation == "S3":
        code = fault.code.removesuffix("Exception")
        body = error_document(code, fault.message or _DETAIL)
        status, headers = fault.status or _S3_STATUS.get(code, 400), [("Content-Type", "application/xml")]
    else:
        status, extra, body = error_response(fault.code, _DETAIL, status=fault.status, message=fault.message)
        headers = [("Content-Type", CONTENT_TYPE), *extra.items()]
    start_response(f"{status} Fault", [*headers, ("Content-Length", str(len(body)))])
    return [body]
