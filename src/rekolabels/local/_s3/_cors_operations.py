"""Operations on the CORS rules of buckets, which are checked, kept and returned, but not applied."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from rekolabels.local._s3._body import parse_document, read_document
from rekolabels.local._s3._errors import S3Error
from rekolabels.local._s3._response import Response, xml_response
from rekolabels.local._s3._settings import find_setting, put_setting, remove_setting

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from rekolabels.local._s3._object_store import ObjectStore
    from rekolabels.local._s3._request import Request

__all__ = ["delete_bucket_cors", "get_bucket_cors", "put_bucket_cors"]

_MAX_RULES = 100
_MAX_ID = 255  # characters
_METHODS = frozenset({"GET", "PUT", "POST", "DELETE", "HEAD"})
_SINGLE = ("ID", "MaxAgeSeconds")
_REQUIRED = ("AllowedMethod", "AllowedOrigin")
_ELEMENTS = ("ID", "AllowedHeader", "AllowedMethod", "AllowedOrigin", "ExposeHeader", "MaxAgeSeconds")


def get_bucket_cors(store: ObjectStore, request: Request) -> Response:
    """Answer GetBucketCors."""
    encoded = find_setting(store, request.bucket, "cors")
    if encoded is None:
        raise S3Error("NoSuchCORSConfiguration", BucketName=request.bucket)
    rules = json.loads(encoded)
    return xml_response("CORSConfiguration", [("CORSRule", rule) for rule in rules])


def put_bucket_cors(store: ObjectStore, request: Request) -> Response:
    """Answer PutBucketCors."""
    top = parse_document(read_document(request), "CORSConfiguration")
    rules = [_rule(element) for element in top]
    if not 1 <= len(rules) <= _MAX_RULES:
        raise S3Error("MalformedXML")
    put_setting(store, request.bucket, "cors", json.dumps(rules))
    return Response(headers={"Content-Length": "0"})


def delete_bucket_cors(store: ObjectStore, request: Request) -> Response:
    """Answer DeleteBucketCors."""
    remove_setting(store, request.bucket, "cors")
    return Response(204)


def _rule(element: Element) -> list[tuple[str, str]]:
    """Return the elements of a rule, sorted by name as S3 does.

    Raises:
        S3Error: ``MalformedXML`` or ``InvalidRequest``.
    """
    if element.tag != "CORSRule":
        raise S3Error("MalformedXML")
    rule = [(child.tag, (child.text or "").strip()) for child in element]
    names = [name for name, _ in rule]
    if (
        not set(names) <= set(_ELEMENTS)
        or not all(name in names for name in _REQUIRED)
        or any(names.count(name) > 1 for name in _SINGLE)
    ):
        raise S3Error("MalformedXML")
    for name, value in rule:
        _check(name, value)
    return sorted(rule, key=lambda one: _ELEMENTS.index(one[0]))


def _check(name: str, value: str) -> None:
    if name == "AllowedMethod" and value not in _METHODS:
        raise S3Error(
            "InvalidRequest",
            f"Found unsupported HTTP method in CORS config. Unsupported method is {value[:100]}",
        )
    if name in {"AllowedOrigin", "AllowedHeader"} and value.count("*") > 1:
        raise S3Error("InvalidRequest", f'{name} "{value[:100]}" can not have more than one wildcard.')
    if name == "MaxAgeSeconds" and not re.fullmatch("[0-9]{1,9}", value):
        raise S3Error("MalformedXML")
    if name == "ID" and len(value) > _MAX_ID:
        raise S3Error("InvalidRequest", f"The ID of a CORS rule has more than {_MAX_ID} characters.")
