"""Operations on buckets, listings of objects, and DeleteObjects."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from rekolabels.local._s3._acl import ACL, canned_acl
from rekolabels.local._s3._body import parse_document, read_document
from rekolabels.local._s3._conditions import Preconditions
from rekolabels.local._s3._errors import S3Error, not_implemented
from rekolabels.local._s3._index import ListQuery, key_after, key_after_prefix
from rekolabels.local._s3._request import (
    MAX_KEY_BYTES,
    MAX_PAGE_SIZE,
    Request,
    check_version,
    key_encoder,
    page_size,
)
from rekolabels.local._s3._response import OWNER, Response, checksum_type, timestamp, xml_response

if TYPE_CHECKING:
    from rekolabels.local._core._s3_xml import Children
    from rekolabels.local._s3._index import StoredObject
    from rekolabels.local._s3._object_store import ObjectStore

__all__ = [
    "create_bucket",
    "delete_bucket",
    "delete_objects",
    "get_bucket_location",
    "get_bucket_versioning",
    "head_bucket",
    "list_buckets",
    "list_object_versions",
    "list_objects_v1",
    "list_objects_v2",
]

_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d{1,2}")
_CREDENTIAL = re.compile(r"Credential=[^/,]+/\d+/([^/,]+)/")


# -- buckets -------------------------------------------------------------------------------------------------


def list_buckets(store: ObjectStore, request: Request) -> Response:
    """Answer ListBuckets."""
    matching = [
        bucket
        for bucket in store.buckets()
        if bucket.name.startswith(request.query.get("prefix", ""))
        and bucket.name > _decode_token(request.query.get("continuation-token", "")).decode()
        and bucket.region == request.query.get("bucket-region", bucket.region)
    ]
    text = request.query.get("max-buckets", "")
    if text and not (re.fullmatch("[0-9]{1,5}", text) and 1 <= int(text) <= 10_000):  # noqa: PLR2004 - the limit of S3
        raise S3Error("InvalidArgument", ArgumentName="max-buckets", ArgumentValue=text)
    page = matching[: int(text)] if text else matching
    truncated = len(page) < len(matching)
    return xml_response(
        "ListAllMyBucketsResult",
        [
            ("Owner", OWNER),
            (
                "Buckets",
                [
                    (
                        "Bucket",
                        [
                            ("Name", bucket.name),
                            ("CreationDate", timestamp(bucket.created)),
                            ("BucketRegion", bucket.region),
                        ],
                    )
                    for bucket in page
                ],
            ),
            ("Prefix", request.query.get("prefix")),
            ("ContinuationToken", _encode_token(page[-1].name.encode()) if truncated else None),
        ],
    )


def create_bucket(store: ObjectStore, request: Request) -> Response:
    """Answer CreateBucket; the LocationConstraint must match the Region that the request is signed for."""
    if request.headers.get("x-amz-bucket-object-lock-enabled", "").lower() == "true":
        raise not_implemented("Object Lock")
    endpoint = _signing_region(request) or store.region
    constraint = _location_constraint(read_document(request))
    if constraint is None and endpoint != "us-east-1":
        raise S3Error("IllegalLocationConstraintException")
    if constraint is not None and endpoint not in {"us-east-1", constraint}:
        raise S3Error(
            "IllegalLocationConstraintException",
            f"The {constraint} location constraint is incompatible for the region specific endpoint this"
            " request was sent to.",
        )
    acl = canned_acl(request).get(ACL)
    settings = {} if acl is None else {"acl": acl}
    store.create_bucket(request.bucket, constraint or endpoint, settings)
    return Response(headers={"Location": f"/{request.bucket}", "Content-Length": "0"})


def _signing_region(request: Request) -> str:
    credential = request.query.get("X-Amz-Credential")
    text = f"Credential={credential}" if credential else request.headers.get("authorization", "")
    match = _CREDENTIAL.search(text)
    # s3cmd signs for the Region "US" until S3 corrects it.
    return match[1] if match and _REGION.fullmatch(match[1]) else ""


def _location_constraint(body: bytes) -> str | None:
    if not body.strip():
        return None
    top = parse_document(body, "CreateBucketConfiguration")
    for child in top:
        if child.tag != "LocationConstraint":
            raise not_implemented(f"{child.tag} of a new bucket")
    text = top.findtext("LocationConstraint") or None
    if text == "EU":
        return "eu-west-1"
    if text is not None and (text == "us-east-1" or not _REGION.fullmatch(text)):
        raise S3Error("InvalidLocationConstraint", LocationConstraint=text)
    return text


def head_bucket(store: ObjectStore, request: Request) -> Response:
    """Answer HeadBucket."""
    return Response(
        headers={
            "Content-Type": "application/xml",
            "x-amz-bucket-region": store.bucket(request.bucket).region,
            "x-amz-access-point-alias": "false",
        }
    )


def delete_bucket(store: ObjectStore, request: Request) -> Response:
    """Answer DeleteBucket."""
    store.delete_bucket(request.bucket)
    return Response(204)


def get_bucket_location(store: ObjectStore, request: Request) -> Response:
    """Answer GetBucketLocation; us-east-1 is an empty LocationConstraint."""
    region = store.bucket(request.bucket).region
    return xml_response("LocationConstraint", "" if region == "us-east-1" else region)


# -- listings ------------------------------------------------------------------------------------------------


def list_objects_v2(store: ObjectStore, request: Request) -> Response:
    """Answer ListObjectsV2."""
    query = request.query
    if query.get("list-type") != "2":
        raise S3Error("InvalidArgument", "Invalid List Type", ArgumentName="list-type")
    encode = key_encoder(request)
    limit = page_size(request, "max-keys")
    token = query.get("continuation-token")
    start_after = query.get("start-after", "")
    if token is not None:
        first = _decode_token(token, required=True)
    else:
        first = key_after(start_after.encode()) if start_after else b""
    delimiter = query.get("delimiter", "")
    prefix = query.get("prefix", "")
    page = store.list_page(request.bucket, ListQuery(prefix, delimiter, first, limit))
    return xml_response(
        "ListBucketResult",
        [
            ("Name", request.bucket),
            ("Prefix", encode(prefix)),
            ("StartAfter", encode(start_after) or None),
            ("ContinuationToken", token),
            ("NextContinuationToken", _encode_token(page.next_key) if page.next_key is not None else None),
            ("KeyCount", len(page.objects) + len(page.prefixes)),
            ("MaxKeys", limit),
            ("Delimiter", encode(delimiter) or None),
            ("EncodingType", query.get("encoding-type")),
            ("IsTruncated", page.next_key is not None),
            *[
                ("Contents", _contents(found, encode(found.key), owner=query.get("fetch-owner") == "true"))
                for found in page.objects
            ],
            *[("CommonPrefixes", [("Prefix", encode(common))]) for common in page.prefixes],
        ],
    )


def list_objects_v1(store: ObjectStore, request: Request) -> Response:
    """Answer ListObjects, which some commands of the AWS CLI still use."""
    query = request.query
    encode = key_encoder(request)
    limit = page_size(request, "max-keys")
    marker = query.get("marker", "")
    delimiter = query.get("delimiter", "")
    prefix = query.get("prefix", "")
    first = _key_after_marker(marker, prefix, delimiter)
    page = store.list_page(request.bucket, ListQuery(prefix, delimiter, first, limit))
    truncated = page.next_key is not None
    return xml_response(
        "ListBucketResult",
        [
            ("Name", request.bucket),
            ("Prefix", encode(prefix)),
            ("Marker", encode(marker)),
            ("NextMarker", encode(page.last) if truncated and delimiter else None),
            ("MaxKeys", limit),
            ("Delimiter", encode(delimiter) or None),
            ("EncodingType", query.get("encoding-type")),
            ("IsTruncated", truncated),
            *[("Contents", _contents(found, encode(found.key), owner=True)) for found in page.objects],
            *[("CommonPrefixes", [("Prefix", encode(common))]) for common in page.prefixes],
        ],
    )


def _key_after_marker(marker: str, prefix: str, delimiter: str) -> bytes:
    """Return the smallest key after a marker; a common prefix as marker stands for all its keys."""
    if not marker:
        return b""
    if delimiter and marker.startswith(prefix):
        at = marker.find(delimiter, len(prefix))
        if at >= 0 and at + len(delimiter) == len(marker):
            return key_after_prefix(marker.encode())
    return key_after(marker.encode())


def _contents(found: StoredObject, key: str, *, owner: bool) -> Children:
    algorithms = [("ChecksumAlgorithm", name.upper()) for name in found.checksums]
    return [
        ("Key", key),
        ("LastModified", timestamp(found.modified)),
        ("ETag", f'"{found.etag}"'),
        *algorithms,
        *[("ChecksumType", checksum_type(found.checksums)) for _ in algorithms[:1]],
        ("Size", found.size),
        ("StorageClass", found.headers.get("x-amz-storage-class", "STANDARD")),
        ("Owner", OWNER if owner else None),
    ]


def _encode_token(key: bytes) -> str:
    return base64.urlsafe_b64encode(b"1" + key).decode()


def _decode_token(token: str, *, required: bool = False) -> bytes:
    if not token and not required:
        return b""
    try:
        decoded = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if not decoded.startswith(b"1"):
        raise S3Error(
            "InvalidArgument",
            "The continuation token provided is incorrect",
            ArgumentName="continuation-token",
        )
    return decoded[1:]


# -- versions: buckets are never versioned, so each object has one version, "null" ---------------------------


def get_bucket_versioning(store: ObjectStore, request: Request) -> Response:
    """Answer GetBucketVersioning as for a bucket whose versioning was never enabled."""
    store.bucket(request.bucket)
    return xml_response("VersioningConfiguration", [])


def list_object_versions(store: ObjectStore, request: Request) -> Response:
    """Answer ListObjectVersions."""
    query = request.query
    encode = key_encoder(request)
    limit = page_size(request, "max-keys")
    marker, version_marker = query.get("key-marker", ""), query.get("version-id-marker", "")
    if version_marker and not marker:
        raise S3Error(
            "InvalidArgument",
            "A version-id marker cannot be specified without a key marker.",
            ArgumentName="version-id-marker",
            ArgumentValue=version_marker,
        )
    check_version(version_marker or None)
    delimiter, prefix = query.get("delimiter", ""), query.get("prefix", "")
    first = _key_after_marker(marker, prefix, delimiter)
    page = store.list_page(request.bucket, ListQuery(prefix, delimiter, first, limit))
    truncated = page.next_key is not None
    return xml_response(
        "ListVersionsResult",
        [
            ("Name", request.bucket),
            ("Prefix", encode(prefix)),
            ("KeyMarker", encode(marker)),
            ("VersionIdMarker", version_marker),
            ("NextKeyMarker", encode(page.last) if truncated else None),
            ("NextVersionIdMarker", "null" if truncated else None),
            ("MaxKeys", limit),
            ("Delimiter", encode(delimiter) or None),
            ("EncodingType", query.get("encoding-type")),
            ("IsTruncated", truncated),
            *[
                (
                    "Version",
                    [
                        *_contents(found, encode(found.key), owner=True),
                        ("VersionId", "null"),
                        ("IsLatest", True),
                    ],
                )
                for found in page.objects
            ],
            *[("CommonPrefixes", [("Prefix", encode(common))]) for common in page.prefixes],
        ],
    )


# -- DeleteObjects -------------------------------------------------------------------------------------------


def delete_objects(store: ObjectStore, request: Request) -> Response:
    """Answer DeleteObjects: up to 1,000 keys in one commit."""
    top = parse_document(read_document(request), "Delete")
    wanted: list[tuple[str, Preconditions]] = []
    versions: list[str | None] = []
    results: list[tuple[str, Children]] = []
    entries = top.findall("Object")
    if not 1 <= len(entries) <= MAX_PAGE_SIZE:
        raise S3Error("MalformedXML")
    for entry in entries:
        key = entry.findtext("Key") or ""
        if not key:
            raise S3Error("MalformedXML")
        if len(key.encode()) > MAX_KEY_BYTES:
            results.append(_delete_error(key, S3Error("KeyTooLongError")))
        elif (entry.findtext("VersionId") or "null") != "null":
            results.append(_delete_error(key, S3Error("InvalidArgument", "Invalid version id specified")))
        else:
            conditions = (entry.findtext(name) for name in ("ETag", "LastModifiedTime", "Size"))
            wanted.append((key, Preconditions.of_deletion(*conditions)))
            versions.append(entry.findtext("VersionId") or None)
    quiet = (top.findtext("Quiet") or "").strip().lower() == "true"
    errors = store.delete(request.bucket, wanted)
    for (key, _), version, error in zip(wanted, versions, errors, strict=True):
        if error is not None:
            results.append(_delete_error(key, error))
        elif not quiet:
            results.append(("Deleted", [("Key", key), ("VersionId", version)]))
    return xml_response("DeleteResult", results)


def _delete_error(key: str, error: S3Error) -> tuple[str, Children]:
    return ("Error", [("Key", key), ("Code", error.code), ("Message", error.message)])
