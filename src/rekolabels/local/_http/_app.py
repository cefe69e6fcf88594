"""One WSGI application: the control plane for requests with its target header, S3 for everything else."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import uuid
from typing import TYPE_CHECKING

from rekolabels.local._core._context import Call, Context
from rekolabels.local._core._exceptions import ServiceException, status_of
from rekolabels.local._core._sqlite import Closed
from rekolabels.local._core._wsgi import BadRequest
from rekolabels.local._http._wire import MAX_BODY, Wire
from rekolabels.local._operations import OPERATIONS, Operation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["App", "answer_with_error"]

_log = logging.getLogger("rekolabels.local")

_JSON = "application/x-amz-json-1.1"
_REASONS = {200: "OK", 400: "Bad Request", 402: "Payment Required", 500: "Internal Server Error"}
# Who asks is told by the signature; it is not verified. As with other emulators, an access key id of twelve
# digits is the number of an account.
_CREDENTIAL = re.compile(r"Credential=(?P<key>[^/,\s]+)/\d{8}/(?P<region>[a-z\d-]+)/")
_ACCOUNT = re.compile(r"\d{12}", re.ASCII)


class App:
    """The service behind every host.

    Args:
        context: The control plane.
        account: The account of callers whose access key names none.
        region: The Region of callers whose signature names none.
        s3: The S3 of the service; None when it lies elsewhere.
        wire: Reads and writes the requests.
    """

    def __init__(
        self, context: Context, *, account: str, region: str, s3: WSGIApplication | None, wire: Wire
    ) -> None:
        self._context = context
        self._account = account
        self._region = region
        self._s3 = s3
        self._wire = wire

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        target = environ.get("HTTP_X_AMZ_TARGET")
        if target is None:
            return (self._s3 or _no_s3)(environ, start_response)
        request_id = str(uuid.uuid4())
        status, extra, body = self._answer(target, environ, request_id)
        headers = [
            ("Content-Type", _JSON),
            ("Content-Length", str(len(body))),
            ("x-amzn-RequestId", request_id),
            *extra.items(),
        ]
        start_response(f"{status} {_REASONS[status]}", headers)
        return [body]

    def _answer(
        self, target: str, environ: WSGIEnvironment, request_id: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        try:
            operation, handle = self._find(target)
            call = self._call(environ)
            self._context.limits.take(operation, call.account, call.region)
            parameters = self._wire.read(operation, _read_body(environ))
            self._context.jobs.catch_up()
            answer = handle(call, parameters)
            return 200, {}, self._wire.write(operation, answer)
        except ServiceException as error:
            return answer_with_error(error.code, error.message)
        except BadRequest:
            raise  # the host, whose matter HTTP is, answers
        except Closed:
            # Not a fault that may pass: whoever still waits for a job here would ask again for minutes.
            return answer_with_error(
                "AccessDeniedException", "The embedded service is closed; make a new LocalService."
            )
        except (OSError, sqlite3.Error) as error:
            # The disk is full, somebody took it away, or another process keeps it: nothing was changed.
            _log.exception("request %s to %s failed", request_id, target)
            code = "ThrottlingException" if "is locked" in str(error) else "InternalServerError"
            return answer_with_error(code, f"The workspace cannot be used now: {error}.")
        except Exception:  # noqa: BLE001 - a fault of ours is told and logged, whatever it is
            _log.exception("request %s to %s broke", request_id, target)
            return answer_with_error(
                "InternalServerError",
                f"The embedded service made a mistake; its log tells more ({request_id}).",
            )

    def _find(self, target: str) -> tuple[str, Operation]:
        prefix = self._wire.prefix
        name = target.removeprefix(prefix)
        if not target.startswith(prefix) or not self._wire.knows(name):
            raise ServiceException("UnknownOperationException", f"There is no operation {target[:100]!r}.")
        handle = OPERATIONS.get(name)
        if handle is None:
            # Every operation declares this error, and no client tries again after it.
            raise ServiceException(
                "AccessDeniedException",
                f"rekognition:{name} is not part of the embedded service; it serves Custom Labels only.",
            )
        return name, handle

    def _call(self, environ: WSGIEnvironment) -> Call:
        signed = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
        account, region = self._account, self._region
        if signed is not None:
            region = signed["region"]
            if _ACCOUNT.fullmatch(signed["key"]):
                account = signed["key"]
        return Call(self._context, account, region)


def _no_s3(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """What S3 requests get from a service whose S3 lies elsewhere."""
    body = (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NotImplemented</Code>'
        b"<Message>The S3 of this service lies elsewhere; send S3 requests there.</Message></Error>"
    )
    headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
    start_response("501 Not Implemented", headers)
    return [body]


def answer_with_error(code: str, message: str) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body of an error."""
    body = json.dumps({"__type": code, "message": message}).encode()
    return status_of(code), {"x-amzn-ErrorType": code}, body


def _read_body(environ: WSGIEnvironment) -> bytes:
    if environ.get("REQUEST_METHOD") != "POST":
        raise ServiceException.invalid("Operations are called with POST.")
    length = environ.get("CONTENT_LENGTH") or ""
    stream = environ["wsgi.input"]
    if length.isascii() and length.isdigit():
        if int(length) > MAX_BODY:
            raise ServiceException.invalid(f"The request has {length} bytes; at most {MAX_BODY} are read.")
        body: bytes = stream.read(int(length))
        if len(body) != int(length):
            raise ServiceException.invalid("The request ended before its Content-Length.")
        return body
    if not environ.get("wsgi.input_terminated"):
        return b""
    body = stream.read(MAX_BODY + 1)
    if len(body) > MAX_BODY:
        raise ServiceException.invalid(f"The request has more than {MAX_BODY} bytes.")
    return body
