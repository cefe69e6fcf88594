"""Forms as browsers send them to S3."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs

__all__ = ["BOUNDARY", "Answer", "encode_form", "error_code", "post"]

BOUNDARY = "x-boundary"


@attrs.frozen
class Answer:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes


def encode_form(
    fields: Mapping[str, str],
    content: bytes,
    *,
    file_name: str = "rex.jpg",
    after: Mapping[str, str] | None = None,
) -> tuple[bytes, str]:
    """Return a form and its content type.

    Args:
        fields: The fields before the file.
        content: The content of the file.
        file_name: The name of the file.
        after: Fields after the file, which S3 ignores.
    """

    def field(name: str, value: bytes, more: str = "") -> bytes:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
        return head.encode() + value + b"\r\n"

    body = b"".join(field(name, value.encode()) for name, value in fields.items())
    escaped = file_name.replace("\\", "\\\\")
    body += field("file", content, f'; filename="{escaped}"\r\nContent-Type: application/octet-stream')
    body += b"".join(field(name, value.encode()) for name, value in (after or {}).items())
    return body + f"--{BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={BOUNDARY}"


def post(form: Any, content: bytes, *, file_name: str = "rex.jpg") -> Answer:
    """Post a form that ``generate_presigned_post`` returned."""
    parts = urlsplit(form["url"])
    body, content_type = encode_form(form["fields"], content, file_name=file_name)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    try:
        connection.request("POST", parts.path, body, {"Content-Type": content_type})
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, headers, answer.read())
    finally:
        connection.close()


def error_code(answer: Answer) -> str:
    """Return the code of an error of S3."""
    return answer.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()
