"""AWS STS: GetCallerIdentity, with which many programs begin; no other operation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from rekolabels.local._core._credentials import user_arn
from rekolabels.local._core._s3_xml import render

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["find_caller", "respond", "sts_error"]

_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_MAX_BODY = 1 << 16
_MAX_DIGITS = 9
_MAX_FIELDS = 100
_MAX_NAME = 100
_CREDENTIAL = re.compile(r"(?:\A|Credential=)(?P<key>[^/,\s]+)/\d{8}/[a-z\d-]+/sts/aws4_request")


def find_caller(environ: WSGIEnvironment) -> str | None:
    """Return the access key ID that a request for STS is signed with; None for requests of other services."""
    signed = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    if signed is None:
        # a presigned request, as some programs send to prove who they are
        for credential in _parse(environ.get("QUERY_STRING", "")).get("X-Amz-Credential", []):
            signed = _CREDENTIAL.match(credential)
    return None if signed is None else signed["key"]


def respond(
    environ: WSGIEnvironment, start_response: StartResponse, account: str, request_id: str
) -> Iterable[bytes]:
    """Answer a request for STS.

    Args:
        environ: The WSGI environ.
        start_response: The WSGI function.
        account: The account of the caller.
        request_id: Id of the request.
    """
    action = _action(environ)
    if action != "GetCallerIdentity":
        message = f"The embedded service does not implement sts:{action[:_MAX_NAME]}, only GetCallerIdentity."
        return _send(
            start_response, "400 Bad Request", sts_error("InvalidAction", message, request_id), request_id
        )
    identity = [("Arn", user_arn(account)), ("UserId", account), ("Account", account)]
    metadata = [("RequestId", request_id)]
    body = render(
        "GetCallerIdentityResponse",
        [("GetCallerIdentityResult", identity), ("ResponseMetadata", metadata)],
        namespace=_NAMESPACE,
    )
    return _send(start_response, "200 OK", body, request_id)


def sts_error(code: str, message: str, request_id: str) -> bytes:
    """Return the document of an error of STS."""
    error = [("Type", "Sender"), ("Code", code), ("Message", message)]
    return render("ErrorResponse", [("Error", error), ("RequestId", request_id)], namespace=_NAMESPACE)


def _send(start_response: StartResponse, status: str, body: bytes, request_id: str) -> Iterable[bytes]:
    headers = [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))]
    start_response(status, [*headers, ("x-amzn-RequestId", request_id)])
    return [body]


def _action(environ: WSGIEnvironment) -> str:
    """Return the action that a request names in its query or in its form; empty without one."""
    form: str = environ.get("QUERY_STRING", "")
    if environ["REQUEST_METHOD"] == "POST":
        length = environ.get("CONTENT_LENGTH") or ""
        size = _MAX_BODY if environ.get("wsgi.input_terminated") else 0
        if length.isascii() and length.isdigit():
            size = min(int(length[:_MAX_DIGITS]), _MAX_BODY)
        form = environ["wsgi.input"].read(size).decode("latin-1")
    return _parse(form).get("Action", [""])[0]


def _parse(form: str) -> dict[str, list[str]]:
    try:
        return parse_qs(form, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:  # too many fields
        return {}
