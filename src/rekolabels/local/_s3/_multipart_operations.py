"""The operations on uploads in parts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rekolabels.local._core._s3_xml import MalformedDocument, parse
from rekolabels.local._s3 import _conditions as conditions
from rekolabels.local._s3 import _multipart as multipart
from rekolabels.local._s3._body import SIZES, header_checksums
from rekolabels.local._s3._bucket_operations import OWNER, count, key_writer, read_document, timestamp
from rekolabels.local._s3._conditions import Guard, part_number
from rekolabels.local._s3._errors import S3Error, not_implemented
from rekolabels.local._s3._multipart import Claim, Upload
from rekolabels.local._s3._object_operations import (
    checksum_elements,
    checksum_headers,
    copy_source,
    headers_to_keep,
)
from rekolabels.local._s3._request import Answer, document
from rekolabels.local._s3._store import existing_bucket

if TYPE_CHECKING:
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

    from rekolabels.local._core._s3_xml import Children
    from rekolabels.local._s3._request import Request
    from rekolabels.local._s3._store import Store

_WHOLE_ONLY = {"crc64nvme"}
_COMPOSITE_ONLY = {"sha1", "sha256"}


def create_upload(store: Store, request: Request) -> Answer:
    """CreateMultipartUpload."""
    algorithm = request.headers.get("x-amz-checksum-algorithm", "").lower()
    if algorithm and algorithm not in SIZES:
        raise S3Error("InvalidRequest", "Checksum algorithm provided is unsupported.")
    upload = Upload(
        id=multipart.new_id(),
        bucket=request.bucket,
        key=request.key,
        created=store.now(),
        headers=headers_to_keep(request),
        algorithm=algorithm,
        kind=_kind(request, algorithm),
    )
    multipart.begin(store, upload)
    said = (
        {"x-amz-checksum-algorithm": algorithm.upper(), "x-amz-checksum-type": upload.kind}
        if algorithm
        else {}
    )
    return document(
        "InitiateMultipartUploadResult",
        [("Bucket", upload.bucket), ("Key", upload.key), ("UploadId", upload.id)],
        headers=said,
    )


def _kind(request: Request, algorithm: str) -> str:
    """What the checksum of the object will be made of."""
    if not algorithm:
        return ""
    kind = request.headers.get("x-amz-checksum-type", "").upper()
    if not kind:
        return "FULL_OBJECT" if algorithm in _WHOLE_ONLY else "COMPOSITE"
    possible = {"FULL_OBJECT": _COMPOSITE_ONLY, "COMPOSITE": _WHOLE_ONLY}
    if kind not in possible or algorithm in possible[kind]:
        raise S3Error(
            "InvalidRequest",
            f"The {kind} checksum type cannot be used with the {algorithm} checksum algorithm.",
        )
    return kind


def _upload(store: Store, request: Request) -> Upload:
    return multipart.find(store, request.bucket, request.key, request.query["uploadId"])


def _number(request: Request) -> int:
    return part_number(request.query.get("partNumber", ""))


def upload_part(store: Store, request: Request) -> Answer:
    """UploadPart."""
    number = _number(request)
    upload = _upload(store, request)
    body = store.take_in(request, also=(upload.algorithm,) if upload.algorithm else ())
    part = multipart.keep_part(store, upload, number, body)
    checksums = {
        name: value
        for name, value in checksum_headers(part.checksums).items()
        if name != "x-amz-checksum-type"
    }
    return Answer(headers={"ETag": f'"{part.etag}"', "Content-Length": "0", **checksums})


def copy_part(store: Store, request: Request) -> Answer:
    """UploadPartCopy."""
    number = _number(request)
    upload = _upload(store, request)
    source, stream = store.open(*copy_source(request))
    with stream:
        conditions.check_copy_source(request, source)
        first, end = conditions.copy_range(request, source)
        body = store.write_body([(stream, first, end)], also=(upload.algorithm,))
    part = multipart.keep_part(store, upload, number, body)
    return document(
        "CopyPartResult",
        [
            ("LastModified", timestamp(part.modified)),
            ("ETag", f'"{part.etag}"'),
            *_plain_checksums(part.checksums),
        ],
    )


def _plain_checksums(checksums: Mapping[str, str]) -> Children:
    return [element for element in checksum_elements(checksums) if element[0] != "ChecksumType"]


def complete_upload(store: Store, request: Request) -> Answer:
    """CompleteMultipartUpload."""
    guard = Guard.of(request)
    upload = _upload(store, request)
    # The headers are about the object; the document's own checksum would come as Content-MD5.
    claims = _claims(read_document(request, checksums=False))
    made = multipart.complete(store, upload, claims, guard, header_checksums(request))
    return document(
        "CompleteMultipartUploadResult",
        [
            ("Location", f"/{made.bucket}/{made.key}"),
            ("Bucket", made.bucket),
            ("Key", made.key),
            ("ETag", f'"{made.etag}"'),
            *checksum_elements(made.checksums),
        ],
    )


def _claims(body: bytes) -> list[Claim]:
    try:
        top = parse(body, "CompleteMultipartUpload")
    except MalformedDocument as error:
        raise S3Error("MalformedXML") from error
    claims = [_claim(part) for part in top.findall("Part")]
    if not 1 <= len(claims) <= conditions.MOST_PARTS:
        raise S3Error("MalformedXML")
    return claims


def _claim(part: Element) -> Claim:
    number = (part.findtext("PartNumber") or "").strip()
    etag = part.findtext("ETag")
    if not re.fullmatch("[0-9]{1,5}", number) or etag is None:
        raise S3Error("MalformedXML")
    checksums = {
        child.tag.removeprefix("Checksum").lower(): child.text or ""
        for child in part
        if child.tag.startswith("Checksum")
    }
    return Claim(int(number), etag.strip().strip('"'), checksums)


def abort_upload(store: Store, request: Request) -> Answer:
    """AbortMultipartUpload."""
    multipart.abort(store, _upload(store, request))
    return Answer(204)


def list_parts(store: Store, request: Request) -> Answer:
    """ListParts."""
    limit = count(request, "max-parts")
    marker = request.query.get("part-number-marker") or "0"
    if not re.fullmatch("[0-9]{1,10}", marker):
        raise S3Error("InvalidArgument", ArgumentName="part-number-marker", ArgumentValue=marker)
    upload = _upload(store, request)
    with store.index.read() as db:
        wanted = [part for part in multipart.parts(db, upload.id) if part.number > int(marker)]
    shown = wanted[:limit]
    return document(
        "ListPartsResult",
        [
            ("Bucket", upload.bucket),
            ("Key", upload.key),
            ("UploadId", upload.id),
            ("Initiator", OWNER),
            ("Owner", OWNER),
            ("StorageClass", upload.headers.get("x-amz-storage-class", "STANDARD")),
            ("PartNumberMarker", marker),
            ("NextPartNumberMarker", shown[-1].number if shown else None),
            ("MaxParts", limit),
            ("IsTruncated", len(shown) < len(wanted)),
            ("ChecksumAlgorithm", upload.algorithm.upper() or None),
            ("ChecksumType", upload.kind or None),
            *[
                (
                    "Part",
                    [
                        ("PartNumber", part.number),
                        ("LastModified", timestamp(part.modified)),
                        ("ETag", f'"{part.etag}"'),
                        ("Size", part.size),
                        *_plain_checksums(part.checksums),
                    ],
                )
                for part in shown
            ],
        ],
    )


def list_uploads(store: Store, request: Request) -> Answer:
    """ListMultipartUploads."""
    query = request.query
    if query.get("delimiter"):
        raise not_implemented("A delimiter for ListMultipartUploads")
    show = key_writer(request)
    limit = count(request, "max-uploads")
    prefix = query.get("prefix", "")
    key_marker = query.get("key-marker", "")
    # Without an upload id the marker stands for all uploads of its key: no id is greater than this.
    id_marker = (query.get("upload-id-marker") or "\U0010ffff") if key_marker else ""
    shown: list[Upload] = []
    more = False
    with store.index.read() as db:
        existing_bucket(db, request.bucket)
        for upload in multipart.uploads(db, request.bucket, (key_marker.encode(), id_marker)):
            if not upload.key.startswith(prefix):
                continue
            if len(shown) == limit:
                more = True
                break
            shown.append(upload)
    return document(
        "ListMultipartUploadsResult",
        [
            ("Bucket", request.bucket),
            ("KeyMarker", show(key_marker)),
            ("UploadIdMarker", query.get("upload-id-marker", "")),
            ("NextKeyMarker", show(shown[-1].key) if more and shown else None),
            ("NextUploadIdMarker", shown[-1].id if more and shown else None),
            ("Prefix", show(prefix)),
            ("EncodingType", query.get("encoding-type")),
            ("MaxUploads", limit),
            ("IsTruncated", more),
            *[("Upload", _entry(upload, show(upload.key))) for upload in shown],
        ],
    )


def _entry(upload: Upload, key: str) -> Children:
    return [
        ("Key", key),
        ("UploadId", upload.id),
        ("Initiator", OWNER),
        ("Owner", OWNER),
        ("StorageClass", upload.headers.get("x-amz-storage-class", "STANDARD")),
        ("Initiated", timestamp(upload.created)),
        ("ChecksumAlgorithm", upload.algorithm.upper() or None),
        ("ChecksumType", upload.kind or None),
    ]
