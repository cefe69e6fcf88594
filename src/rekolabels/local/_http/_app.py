"""WSGI application of the service: Rekognition for requests with a target header, STS, S3 for all others."""

from __future__ import annotations

import logging
import re
import sqlite3
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING

from rekolabels.local._core._context import Call, Context, check_process
from rekolabels.local._core._credentials import is_account_id
from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._core._s3_xml import error_document
from rekolabels.local._core._sqlite import DatabaseClosed
from rekolabels.local._core._wsgi import BadRequest
from rekolabels.local._http import _sts
from rekolabels.local._http._error_response import CONTENT_TYPE, error_response
from rekolabels.local._http._wire import MAX_BODY, Wire
from rekolabels.local._operations import OPERATIONS, Operation
from rekolabels.regions import KNOWN_REGIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["App"]

_log = logging.getLogger("rekolabels.local")

_MAX_DIGITS = 18
"""Digits of a Content-Length; Python converts at most 4,300."""
_POLLING = ("Describe", "Get")
"""How the names of the operations begin that clients repeat while they wait."""
# The signature names the caller but is not verified. As in other emulators, an access key ID of twelve digits
# is an account ID.
_CREDENTIAL = re.compile(r"Credential=(?P<key>[^/,\s]+)/\d{8}/(?P<region>[a-z\d-]+)/")


class App:
    """The application that all hosts serve.

    Args:
        context: The service.
        account: Account of callers whose access key ID is not an account ID.
        region: Region of callers whose signature does not name one.
        s3: The S3 application; None when the service uses another S3.
        wire: Parser and serializer of the Rekognition requests.
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
        """Answer a request.

        Raises:
            InvalidInput: This process is a fork of the one that the service belongs to.
        """
        check_process(self._context.process)
        target = environ.get("HTTP_X_AMZ_TARGET")
        request_id = str(uuid.uuid4())
        if target is None:
            key = _sts.find_caller(environ)
            if key is not None:
                return _sts.respond(environ, start_response, self._account_of(key), request_id)
            return (self._s3 or _without_s3)(environ, start_response)
        status, extra, body = self._respond(target, environ, request_id)
        headers = [
            ("Content-Type", CONTENT_TYPE),
            ("Content-Length", str(len(body))),
            ("x-amzn-RequestId", request_id),
            *extra.items(),
        ]
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [body]

    def _respond(
        self, target: str, environ: WSGIEnvironment, request_id: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, additional headers and body of the response."""
        try:
            call = self._call(environ)
            _check_region(call.region)
            name, operation = self._find(target, call)
            self._context.throttle.take(name, call.account, call.region)
            body = _read_body(environ)
            parameters = self._wire.parse_request(name, body)
            poll = (name, call.account, call.region, body) if name.startswith(_POLLING) else None
            self._context.jobs.catch_up(poll)
            result = operation(call, parameters)
            return 200, {}, self._wire.serialize_response(name, result)
        except ServiceException as error:
            return error_response(error.code, error.message)
        except BadRequest:
            raise  # the host answers violations of HTTP
        except DatabaseClosed:
            # Not a server fault: a client that waits for a job would retry for minutes.
            return error_response(
                "AccessDeniedException", "The embedded service is closed. Create a new LocalService."
            )
        except (OSError, sqlite3.Error) as error:
            # The disk is full, the folder was removed, or another process holds the lock: nothing was
            # changed.
            _log.exception("Request %s (%s) failed: the workspace cannot be used.", request_id, target)
            code = "ThrottlingException" if "is locked" in str(error) else "InternalServerError"
            return error_response(code, f"Cannot use the workspace of the embedded service: {error}.")
        except Exception:  # noqa: BLE001 - whatever the defect is, it is logged and reported
            _log.exception("Request %s (%s) failed.", request_id, target)
            return error_response(
                "InternalServerError", f"Internal error in the embedded service; see its log ({request_id})."
            )

    def _find(self, target: str, call: Call) -> tuple[str, Operation]:
        prefix = self._wire.prefix
        name = target.removeprefix(prefix)
        if not target.startswith(prefix) or not self._wire.has_operation(name):
            raise ServiceException("UnknownOperationException", f"Unknown operation {target[:100]!r}.")
        operation = OPERATIONS.get(name)
        if operation is None:
            # Every operation declares this error, and clients do not retry it.
            raise ServiceException(
                "AccessDeniedException",
                f"User: {call.user} is not authorized to perform: rekognition:{name} on resource: *. The "
                "embedded service implements the operations of Custom Labels only.",
            )
        return name, operation

    def _call(self, environ: WSGIEnvironment) -> Call:
        signed = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
        account, region = self._account, self._region
        if signed is not None:
            region, account = signed["region"], self._account_of(signed["key"])
        # A host that knows better, such as moto, names the account.
        return Call(self._context, environ.get("rekolabels.account", account), region)

    def _account_of(self, key: str) -> str:
        return key if is_account_id(key) else self._account


def _without_s3(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer S3 requests to a service that uses another S3."""
    body = error_document(
        "NotImplemented", "This service stores its objects in another S3. Send S3 requests there."
    )
    headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
    start_response("501 Not Implemented", headers)
    return [body]


def _check_region(region: str) -> None:
    """Check that a Region has Custom Labels; AWS answers elsewhere with this error, without a message."""
    if region not in KNOWN_REGIONS:
        raise ServiceException(
            "AccessDeniedException",
            f"The embedded service has no Custom Labels in {region}, as AWS has none. The Regions are "
            f"{', '.join(sorted(KNOWN_REGIONS))}.",
        )


def _read_body(environ: WSGIEnvironment) -> bytes:
    if environ.get("REQUEST_METHOD") != "POST":
        raise ServiceException.invalid("Call operations with POST.")
    length = environ.get("CONTENT_LENGTH") or ""
    stream = environ["wsgi.input"]
    if length.isascii() and length.isdigit():
        if len(length) > _MAX_DIGITS or int(length) > MAX_BODY:
            raise ServiceException.invalid(f"The request has {length[:20]} bytes; the limit is {MAX_BODY}.")
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
