"""The door with faults: stands before the application and lets a request through, or not."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING

from rekolabels.errors import InvalidInput
from rekolabels.local._http._app import answer_with_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from rekolabels.local._core._fault_injector import Chance
    from rekolabels.local._core._faults import Fault, FaultPlan

__all__ = ["Dropped", "FaultyApp", "check_plan"]

_KEY = re.compile(r"Credential=([^/,\s]+)/")
_JSON = "application/x-amz-json-1.1"
_S3_STATUS = {"AccessDenied": 403, "InternalError": 500, "ServiceUnavailable": 503, "SlowDown": 503}
_EXPIRED = "The security token included in the request is expired"
_WITH_WORK = frozenset(
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
_WITHOUT_FAILURE = frozenset({"CreateProject", "DeleteDataset", "DeleteProject", "DeleteProjectVersion"})


class Dropped(ConnectionError):
    """The connection breaks off here; every host closes it without an answer."""


def check_plan(plan: FaultPlan, operations: frozenset[str]) -> None:
    """See that every fault of a plan can strike at all.

    Raises:
        InvalidInput: It names an operation that is not there, or that does no work after its answer.
    """
    for fault in plan.faults:
        if fault.operation not in {"*", "S3", *operations}:
            raise InvalidInput(
                f"A fault is for the operation {fault.operation!r}; expected one of Rekognition, such as "
                "'DescribeProjectVersions', or '*', or 'S3'."
            )
        able = _WITH_WORK - _WITHOUT_FAILURE if fault.kind == "fail" else _WITH_WORK
        if fault.kind in ("fail", "stick") and fault.operation not in able:
            raise InvalidInput(
                f"The work of {fault.operation!r} cannot be made to {fault.kind}; expected one of "
                f"{', '.join(sorted(able))}."
            )


class FaultyApp:
    """An application behind faults.

    Args:
        app: The application.
        chance: Draws from the plan.
        clock: The service's clock.
    """

    def __init__(self, app: WSGIApplication, chance: Chance, clock: Callable[[], float]) -> None:
        self._app = app
        self._chance = chance
        self._clock = clock
        self._lifetime = chance.lifetime()
        self._seen: dict[tuple[str, str], float] = {}
        self._guard = threading.Lock()
        self._sleep: Callable[[float], None] = getattr(clock, "sleep", time.sleep)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        target = environ.get("HTTP_X_AMZ_TARGET")
        operation = "S3" if target is None else target.rpartition(".")[2]
        if self._is_expired(environ):
            return _refuse(operation, "ExpiredTokenException", _EXPIRED, start_response)
        for fault in self._chance.strike(operation, ("error", "drop", "slow")):
            if fault.kind == "slow":
                self._sleep(fault.seconds)
            elif fault.kind == "error":
                return _refuse(operation, fault.code, fault.message, start_response)
            else:
                self._drop(fault, environ)
        return self._app(environ, start_response)

    def _drop(self, fault: Fault, environ: WSGIEnvironment) -> None:
        if fault.answered:
            chunks = self._app(environ, _ignore)
            for _ in chunks:
                pass
            closing = getattr(chunks, "close", None)
            if closing is not None:
                closing()
        raise Dropped("The connection was dropped on request.")

    def _is_expired(self, environ: WSGIEnvironment) -> bool:
        if self._lifetime is None:
            return False
        key = _KEY.search(environ.get("HTTP_AUTHORIZATION", ""))
        token = environ.get("HTTP_X_AMZ_SECURITY_TOKEN", "")
        now = self._clock()
        with self._guard:
            first = self._seen.setdefault(("" if key is None else key[1], token), now)
        return now - first >= self._lifetime


def _ignore(
    _status: str, _headers: list[tuple[str, str]], _error: object = None, /
) -> Callable[[bytes], object]:
    return _no_write


def _no_write(_data: bytes) -> object:
    return None


def _refuse(operation: str, code: str, message: str, start_response: StartResponse) -> Iterable[bytes]:
    if operation == "S3":
        code = code.removesuffix("Exception")
        text = "".join(f"<{name}>{value}</{name}>" for name, value in _escaped(code, message).items())
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{text}</Error>'.encode()
        status, headers = _S3_STATUS.get(code, 400), [("Content-Type", "application/xml")]
    else:
        status, extra, body = answer_with_error(code, message)
        headers = [("Content-Type", _JSON), *extra.items()]
    start_response(f"{status} Fault", [*headers, ("Content-Length", str(len(body)))])
    return [body]


def _escaped(code: str, message: str) -> Mapping[str, str]:
    from xml.sax.saxutils import escape

    return {"Code": escape(code), "Message": escape(message)}
