"""PostObject: a browser uploads a file with a form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

import attrs

from rekolabels.local._s3._conditions import Preconditions
from rekolabels.local._s3._errors import S3Error
from rekolabels.local._s3._form import read_form
from rekolabels.local._s3._form_policy import check_form
from rekolabels.local._s3._object_headers import CONTENT_HEADERS, stored_headers
from rekolabels.local._s3._object_operations import new_object, written_headers
from rekolabels.local._s3._request import check_key_length
from rekolabels.local._s3._response import Response, xml_response
from rekolabels.local._s3._tags import MAX_OBJECT_TAGS, document_tags, encode_tags

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rekolabels.local._s3._index import StoredObject
    from rekolabels.local._s3._object_store import ObjectStore
    from rekolabels.local._s3._request import Request

__all__ = ["post_object"]

_AS_HEADERS = (*CONTENT_HEADERS, "content-md5")
_PREFIXES = ("x-amz-meta-", "x-amz-checksum-", "x-amz-server-side-encryption")
_AMZ_HEADERS = ("x-amz-storage-class", "x-amz-website-redirect-location")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_STATUSES = {"200": 200, "201": 201}
_DEFAULT_STATUS = 204


def post_object(store: ObjectStore, request: Request) -> Response:
    """Answer PostObject."""
    store.bucket(request.bucket)
    form = read_form(request)
    key = form.fields.get("key", "").replace("${filename}", form.file_name)
    if not key:
        raise S3Error(
            "InvalidArgument",
            "Bucket POST must contain a field named 'key'. If it is specified, please check the order of the"
            " fields.",
            ArgumentName="key",
        )
    check_key_length(key)
    allowed = check_form({**form.fields, "key": key}, request.bucket, store.now())
    form.file.smallest, form.file.largest = allowed.smallest, allowed.largest
    put = attrs.evolve(request, key=key, headers=_headers(form.fields), stream=form.file, length=None)
    headers = stored_headers(put)
    new = new_object(store, put, store.receive(put), headers)
    store.put(new, Preconditions())
    return _response(form.fields, request, new)


def _headers(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the fields that are headers in PutObject, by lower-case name."""
    headers = {
        name: _header(name, value)
        for name, value in fields.items()
        if name in _AS_HEADERS or name in _AMZ_HEADERS or name.startswith(_PREFIXES)
    }
    if "acl" in fields:
        headers["x-amz-acl"] = _header("acl", fields["acl"])
    if "tagging" in fields:
        headers.update(encode_tags(document_tags(fields["tagging"].encode(), MAX_OBJECT_TAGS)))
    return headers


def _header(name: str, value: str) -> str:
    """Return the value of a field as WSGI has headers: bytes decoded as Latin-1."""
    if _CONTROL.search(value) or _CONTROL.search(name) or not name.isascii():
        raise S3Error("InvalidArgument", "A form field holds a control character.", ArgumentName=name)
    return value.encode().decode("latin-1").strip()


def _response(fields: Mapping[str, str], request: Request, new: StoredObject) -> Response:
    location = f"http://{request.headers.get('host', '')}/{quote(f'{new.bucket}/{new.key}')}"
    headers = {"Location": location, **written_headers(new)}
    target = _redirect(fields.get("success_action_redirect") or fields.get("redirect", ""), new)
    if target:
        return Response(303, {**headers, "Location": target, "Content-Length": "0"})
    status = _STATUSES.get(fields.get("success_action_status", ""), _DEFAULT_STATUS)
    if status == _DEFAULT_STATUS:
        return Response(status, headers)
    if status == _STATUSES["200"]:
        return Response(status, {**headers, "Content-Length": "0"})
    return xml_response(
        "PostResponse",
        [("Location", location), ("Bucket", new.bucket), ("Key", new.key), ("ETag", f'"{new.etag}"')],
        status=status,
        headers=headers,
    )


def _redirect(text: str, new: StoredObject) -> str:
    """Return the page that follows the upload; empty without a valid one, which S3 ignores."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https"} or not parts.netloc or not re.fullmatch(r"[!-~]+", text):
        return ""
    result = urlencode({"bucket": new.bucket, "key": new.key, "etag": f'"{new.etag}"'}, quote_via=quote)
    return parts._replace(query=f"{parts.query}&{result}".lstrip("&"), fragment="").geturl()
