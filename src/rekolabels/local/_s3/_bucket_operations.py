"""The operations on buckets, and the listings of their objects."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from rekolabels.local._core._s3_xml import Children, MalformedDocument, parse
from rekolabels.local._s3._body import receive
from rekolabels.local._s3._conditions import Guard
from rekolabels.local._s3._errors import S3Error, not_implemented
from rekolabels.local._s3._listing import Wish, after_key, after_prefix
from rekolabels.local._s3._request import LONGEST_KEY, Answer, Request, document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rekolabels.local._s3._index import Stored
    from rekolabels.local._s3._store import Store

OWNER: Children = [("ID", "0" * 64), ("DisplayName", "rekolabels")]
"""There is one account, and it owns everything."""
_LARGEST_DOCUMENT = 4 * 1024 * 1024  # bytes; 10,000 parts with their checksums need less than half
_PAGE = 1000  # entries of a listing, keys of a DeleteObjects
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d{1,2}")
_CREDENTIAL = re.compile(r"Credential=[^/,]+/\d+/([^/,]+)/")


def read_document(request: Request, *, checksums: bool = True) -> bytes:
    """The document in the body of a request, verified as every body is.

    Args:
        request: The request.
        checksums: Whether the headers ``x-amz-checksum-*`` are about the document.

    Raises:
        S3Error: ``MalformedXML`` when it is too long, or what `receive` raises.
    """
    blocks: list[bytes] = []
    if (request.length or 0) > 2 * _LARGEST_DOCUMENT:
        raise S3Error("MalformedXML")

    def take(block: bytes) -> None:
        blocks.append(block)
        if sum(map(len, blocks)) > _LARGEST_DOCUMENT:
            raise S3Error("MalformedXML")

    receive(request, take, checksums=checksums)
    return b"".join(blocks)


def timestamp(seconds: int) -> str:
    """A point in time as the documents of S3 write it."""
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def count(request: Request, name: str) -> int:
    """The size of a page that a request asks for, at most 1,000.

    Raises:
        S3Error: ``InvalidArgument``.
    """
    text = request.query.get(name, "")
    if not text:
        return _PAGE
    if not re.fullmatch("[0-9]{1,10}", text) or int(text) >= 2**31:
        raise S3Error(
            "InvalidArgument",
            f"Provided {name} not an integer or within integer range",
            ArgumentName=name,
            ArgumentValue=text,
        )
    return min(int(text), _PAGE)


# -- buckets -------------------------------------------------------------------------------------------------


def list_buckets(store: Store, request: Request) -> Answer:
    """ListBuckets."""
    wanted = [
        bucket
        for bucket in store.buckets()
        if bucket.name.startswith(request.query.get("prefix", ""))
        and bucket.name > _decode_token(request.query.get("continuation-token", "")).decode()
        and bucket.region == request.query.get("bucket-region", bucket.region)
    ]
    text = request.query.get("max-buckets", "")
    if text and not (re.fullmatch("[0-9]{1,5}", text) and 1 <= int(text) <= 10_000):  # noqa: PLR2004 - the limit of S3
        raise S3Error("InvalidArgument", ArgumentName="max-buckets", ArgumentValue=text)
    shown = wanted[: int(text)] if text else wanted
    more = len(shown) < len(wanted)
    return document(
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
                    for bucket in shown
                ],
            ),
            ("Prefix", request.query.get("prefix")),
            ("ContinuationToken", _encode_token(shown[-1].name.encode()) if more else None),
        ],
    )


def create_bucket(store: Store, request: Request) -> Answer:
    """CreateBucket: the LocationConstraint must fit the Region that the request is signed for."""
    if request.headers.get("x-amz-bucket-object-lock-enabled", "").lower() == "true":
        raise not_implemented("Object Lock")
    here = _signing_region(request) or store.region
    constraint = _location_constraint(read_document(request))
    if constraint is None and here != "us-east-1":
        raise S3Error("IllegalLocationConstraintException")
    if constraint is not None and here not in {"us-east-1", constraint}:
        raise S3Error(
            "IllegalLocationConstraintException",
            f"The {constraint} location constraint is incompatible for the region specific endpoint this"
            " request was sent to.",
        )
    store.create_bucket(request.bucket, constraint or here)
    return Answer(headers={"Location": f"/{request.bucket}", "Content-Length": "0"})


def _signing_region(request: Request) -> str:
    credential = request.query.get("X-Amz-Credential")
    text = f"Credential={credential}" if credential else request.headers.get("authorization", "")
    match = _CREDENTIAL.search(text)
    return match[1] if match else ""


def _location_constraint(body: bytes) -> str | None:
    if not body.strip():
        return None
    try:
        top = parse(body, "CreateBucketConfiguration")
    except MalformedDocument as error:
        raise S3Error("MalformedXML") from error
    for child in top:
        if child.tag != "LocationConstraint":
            raise not_implemented(f"{child.tag} of a new bucket")
    text = top.findtext("LocationConstraint") or None
    if text == "EU":
        return "eu-west-1"
    if text is not None and (text == "us-east-1" or not _REGION.fullmatch(text)):
        raise S3Error("InvalidLocationConstraint", LocationConstraint=text)
    return text


def head_bucket(store: Store, request: Request) -> Answer:
    """HeadBucket."""
    return Answer(
        headers={
            "Content-Type": "application/xml",
            "x-amz-bucket-region": store.bucket(request.bucket).region,
            "x-amz-access-point-alias": "false",
        }
    )


def delete_bucket(store: Store, request: Request) -> Answer:
    """DeleteBucket."""
    store.delete_bucket(request.bucket)
    return Answer(204)


def bucket_location(store: Store, request: Request) -> Answer:
    """GetBucketLocation: empty for us-east-1."""
    region = store.bucket(request.bucket).region
    return document("LocationConstraint", "" if region == "us-east-1" else region)


# -- listings ------------------------------------------------------------------------------------------------


def list_objects_v2(store: Store, request: Request) -> Answer:
    """ListObjectsV2."""
    query = request.query
    if query.get("list-type") != "2":
        raise S3Error("InvalidArgument", "Invalid List Type", ArgumentName="list-type")
    show = key_writer(request)
    limit = count(request, "max-keys")
    token = query.get("continuation-token")
    start_after = query.get("start-after", "")
    if token is not None:
        first = _decode_token(token, required=True)
    else:
        first = after_key(start_after.encode()) if start_after else b""
    delimiter = query.get("delimiter", "")
    prefix = query.get("prefix", "")
    page = store.page(request.bucket, Wish(prefix, delimiter, first, limit))
    return document(
        "ListBucketResult",
        [
            ("Name", request.bucket),
            ("Prefix", show(prefix)),
            ("StartAfter", show(start_after) or None),
            ("ContinuationToken", token),
            ("NextContinuationToken", _encode_token(page.following) if page.following is not None else None),
            ("KeyCount", len(page.objects) + len(page.prefixes)),
            ("MaxKeys", limit),
            ("Delimiter", show(delimiter) or None),
            ("EncodingType", query.get("encoding-type")),
            ("IsTruncated", page.following is not None),
            *[
                ("Contents", _entry(found, show(found.key), owner=query.get("fetch-owner") == "true"))
                for found in page.objects
            ],
            *[("CommonPrefixes", [("Prefix", show(common))]) for common in page.prefixes],
        ],
    )


def list_objects_v1(store: Store, request: Request) -> Answer:
    """ListObjects, which the AWS CLI still uses here and there."""
    query = request.query
    show = key_writer(request)
    limit = count(request, "max-keys")
    marker = query.get("marker", "")
    delimiter = query.get("delimiter", "")
    prefix = query.get("prefix", "")
    first = _after_marker(marker, prefix, delimiter)
    page = store.page(request.bucket, Wish(prefix, delimiter, first, limit))
    more = page.following is not None
    return document(
        "ListBucketResult",
        [
            ("Name", request.bucket),
            ("Prefix", show(prefix)),
            ("Marker", show(marker)),
            ("NextMarker", show(page.last) if more and delimiter else None),
            ("MaxKeys", limit),
            ("Delimiter", show(delimiter) or None),
            ("EncodingType", query.get("encoding-type")),
            ("IsTruncated", more),
            *[("Contents", _entry(found, show(found.key), owner=True)) for found in page.objects],
            *[("CommonPrefixes", [("Prefix", show(common))]) for common in page.prefixes],
        ],
    )


def _after_marker(marker: str, prefix: str, delimiter: str) -> bytes:
    """The first key after a marker; one that is a common prefix stands for all keys that start with it."""
    if not marker:
        return b""
    if delimiter and marker.startswith(prefix):
        at = marker.find(delimiter, len(prefix))
        if at >= 0 and at + len(delimiter) == len(marker):
            return after_prefix(marker.encode())
    return after_key(marker.encode())


def key_writer(request: Request) -> Callable[[str], str]:
    """How a request wants keys to be written."""
    encoding = request.query.get("encoding-type")
    if encoding not in {None, "url"}:
        raise S3Error(
            "InvalidArgument", "Invalid Encoding Method specified in Request", ArgumentName="encoding-type"
        )
    return (lambda text: quote(text, safe="/")) if encoding else str


def _entry(found: Stored, key: str, *, owner: bool) -> Children:
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


def checksum_type(checksums: Mapping[str, str]) -> str:
    """Whether checksums are of the whole object or of the checksums of its parts (``...-N``)."""
    return "COMPOSITE" if any("-" in value for value in checksums.values()) else "FULL_OBJECT"


def _encode_token(first: bytes) -> str:
    return base64.urlsafe_b64encode(b"1" + first).decode()


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


# -- many objects at once ------------------------------------------------------------------------------------


def delete_objects(store: Store, request: Request) -> Answer:
    """DeleteObjects: up to 1,000 keys in one go."""
    try:
        top = parse(read_document(request), "Delete")
    except MalformedDocument as error:
        raise S3Error("MalformedXML") from error
    wanted: list[tuple[str, Guard]] = []
    results: list[tuple[str, Children]] = []
    entries = top.findall("Object")
    if not 1 <= len(entries) <= _PAGE:
        raise S3Error("MalformedXML")
    for entry in entries:
        key = entry.findtext("Key") or ""
        if not key:
            raise S3Error("MalformedXML")
        if len(key.encode()) > LONGEST_KEY:
            results.append(_failure(key, S3Error("KeyTooLongError")))
        elif (entry.findtext("VersionId") or "null") != "null":
            results.append(_failure(key, S3Error("InvalidArgument", "Invalid version id specified")))
        else:
            wanted.append((key, Guard(if_match=entry.findtext("ETag"))))
    quiet = (top.findtext("Quiet") or "").strip().lower() == "true"
    for (key, _), refusal in zip(wanted, store.delete(request.bucket, wanted), strict=True):
        if refusal is not None:
            results.append(_failure(key, refusal))
        elif not quiet:
            results.append(("Deleted", [("Key", key)]))
    return document("DeleteResult", results)


def _failure(key: str, error: S3Error) -> tuple[str, Children]:
    return ("Error", [("Key", key), ("Code", error.code), ("Message", error.message)])
