"""Operations on the canned ACLs of objects and buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rekolabels.local._s3._acl import ACL, acl_response, canned_acl, document_acl
from rekolabels.local._s3._body import read_document
from rekolabels.local._s3._errors import S3Error
from rekolabels.local._s3._request import check_version
from rekolabels.local._s3._response import Response
from rekolabels.local._s3._settings import find_setting, put_setting

if TYPE_CHECKING:
    from rekolabels.local._s3._object_store import ObjectStore
    from rekolabels.local._s3._request import Request

__all__ = ["get_bucket_acl", "get_object_acl", "put_bucket_acl", "put_object_acl"]


def get_bucket_acl(store: ObjectStore, request: Request) -> Response:
    """Answer GetBucketAcl."""
    return acl_response(find_setting(store, request.bucket, "acl") or "private")


def put_bucket_acl(store: ObjectStore, request: Request) -> Response:
    """Answer PutBucketAcl."""
    put_setting(store, request.bucket, "acl", _requested_acl(request))
    return Response(headers={"Content-Length": "0"})


def get_object_acl(store: ObjectStore, request: Request) -> Response:
    """Answer GetObjectAcl."""
    check_version(request.query.get("versionId"))
    stored = store.find(request.bucket, request.key)
    return acl_response(stored.headers.get(ACL, "private"))


def put_object_acl(store: ObjectStore, request: Request) -> Response:
    """Answer PutObjectAcl."""
    check_version(request.query.get("versionId"))
    store.update_headers(request.bucket, request.key, {ACL: _requested_acl(request)})
    return Response(headers={"Content-Length": "0"})


def _requested_acl(request: Request) -> str:
    """Return the canned ACL in the header or in the document of a request.

    Raises:
        S3Error: ``MissingSecurityHeader`` when both are missing, ``UnexpectedContent`` when both are given.
    """
    document = read_document(request)
    canned = canned_acl(request).get(ACL)
    if canned is not None and document.strip():
        raise S3Error("UnexpectedContent")
    if canned is not None:
        return canned
    if not document.strip():
        raise S3Error("MissingSecurityHeader", MissingHeaderName=ACL)
    return document_acl(document)
