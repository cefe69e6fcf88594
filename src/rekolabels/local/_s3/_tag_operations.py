"""Operations on the tags of objects and buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rekolabels.local._s3._body import read_document
from rekolabels.local._s3._errors import S3Error
from rekolabels.local._s3._request import check_version
from rekolabels.local._s3._response import Response
from rekolabels.local._s3._settings import find_setting, put_setting, remove_setting
from rekolabels.local._s3._tags import (
    MAX_BUCKET_TAGS,
    MAX_OBJECT_TAGS,
    TAGGING,
    document_tags,
    encode_tags,
    stored_tags,
    tags_response,
)

if TYPE_CHECKING:
    from rekolabels.local._s3._object_store import ObjectStore
    from rekolabels.local._s3._request import Request

__all__ = [
    "delete_bucket_tagging",
    "delete_object_tagging",
    "get_bucket_tagging",
    "get_object_tagging",
    "put_bucket_tagging",
    "put_object_tagging",
]


def get_object_tagging(store: ObjectStore, request: Request) -> Response:
    """Answer GetObjectTagging."""
    check_version(request.query.get("versionId"))
    return tags_response(stored_tags(store.find(request.bucket, request.key).headers))


def put_object_tagging(store: ObjectStore, request: Request) -> Response:
    """Answer PutObjectTagging, which replaces all tags."""
    check_version(request.query.get("versionId"))
    tags = encode_tags(document_tags(read_document(request), MAX_OBJECT_TAGS))
    store.update_headers(request.bucket, request.key, {TAGGING: None, **tags})
    return Response(headers={"Content-Length": "0"})


def delete_object_tagging(store: ObjectStore, request: Request) -> Response:
    """Answer DeleteObjectTagging."""
    check_version(request.query.get("versionId"))
    store.update_headers(request.bucket, request.key, {TAGGING: None})
    return Response(204)


def get_bucket_tagging(store: ObjectStore, request: Request) -> Response:
    """Answer GetBucketTagging."""
    encoded = find_setting(store, request.bucket, "tagging")
    if encoded is None:
        raise S3Error("NoSuchTagSet", BucketName=request.bucket)
    return tags_response(stored_tags({TAGGING: encoded}))


def put_bucket_tagging(store: ObjectStore, request: Request) -> Response:
    """Answer PutBucketTagging, which replaces all tags."""
    tags = encode_tags(document_tags(read_document(request), MAX_BUCKET_TAGS))
    put_setting(store, request.bucket, "tagging", tags.get(TAGGING, ""))
    return Response(204)


def delete_bucket_tagging(store: ObjectStore, request: Request) -> Response:
    """Answer DeleteBucketTagging."""
    remove_setting(store, request.bucket, "tagging")
    return Response(204)
