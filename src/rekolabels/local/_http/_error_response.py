"""Error responses of Rekognition: status, headers and body as AWS sends them."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from rekolabels.local._core._exceptions import form_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONTENT_TYPE", "error_response"]

CONTENT_TYPE = "application/x-amz-json-1.1"
_FRAMEWORK_ERRORS = frozenset({"SerializationException", "UnknownOperationException", "ValidationException"})


def error_response(
    code: str, detail: str, *, status: int | None = None, message: str = ""
) -> tuple[int, Mapping[str, str], bytes]:
    """Return status, additional headers and body of an error.

    The body has the members that AWS documents. Errors that AWS's framework finds before the service sees the
    request have a ``message`` in small letters in public logs, so here they have both.

    Args:
        code: Name of the error.
        detail: What is wrong, in our words; AWS's text is put before it where it is known.
        status: HTTP status; None for the usual one of the error.
        message: The whole message, instead of AWS's text and the detail.
    """
    form = form_of(code, status)
    opening = form.opening
    text = message or (f"{opening.removesuffix('.')}. {detail}" if opening else detail)
    body = {"__type": code, "Code": code, "Logref": str(uuid.uuid4()), "Message": text}
    if code in _FRAMEWORK_ERRORS:
        body["message"] = text
    return form.status, {"x-amzn-ErrorType": code}, json.dumps(body).encode()
