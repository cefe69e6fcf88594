"""Operations on multipart uploads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rekolabels.local._s3 import _multipart as multipart
from rekolabels.local._s3._body import CHECKSUM_SIZES, header_checksums, parse_document, read_document
from rekolabels.local._s3._conditions import Preconditions, check_copy_conditions, requested_copy_range
from rekolabels.local._s3._encryption import encryption_headers
from rekolabels.local._s3._errors import S3Error, not_implemented
from rekolabels.local._s3._multipart import CompletedPart, Upload
from rekolabels.local._s3._object_headers import stored_headers
from rekolabels.local._s3._object_store import require_bucket
from rekolabels.local._s3._request import MAX_PARTS, copy_source, key_encoder, page_size, parse_part_number
from rekolabels.local._s3._response import (
    OWNER,
    Response,
    checksum_elements,
    checksum_headers,
    timestamp,
    xml_response,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

    from rekolabels.local._core._s3_xml import Children
    from rekolabels.local._s3._object_store import ObjectStore
    from rekolabels.local._s3._request import Request

__all__ = [
    "abort_multipart_upload",
    "complete_multipart_upload",
    "create_multipart_upload",
    "list_multipart_uploads",
    "list_parts",
    "upload_part",
    "upload_part_copy",
]

_FULL_OBJECT_ONLY = {"crc64nvme"}
_COMPOSITE_ONLY = {"sha1", "sha256"}


def create_multipart_upload(store: ObjectStore, request: Request) -> Response:
    """Answer CreateMultipartUpload."""
    algorithm = request.headers.get("x-amz-checksum-algorithm", "").lower()
    if algorithm and algorithm not in CHECKSUM_SIZES:
        raise S3Error("InvalidRequest", "Checksum algorithm provided is unsupported.")
    upload = Upload(
        id=multipart.new_id(),
        bucket=request.bucket,
        key=request.key,
        created=store.now(),
        headers=stored_headers(request),
        algorithm=algorithm,
        checksum_type=_checksum_type(request, algorithm),
    )
    multipart.create(store, upload)
    headers = (
        {"x-amz-checksum-algorithm": algorithm.upper(), "x-amz-checksum-type": upload.checksum_type}
        if algorithm
        else {}
    )
    return xml_response(
        "InitiateMultipartUploadResult",
        [("Bucket", upload.bucket), ("Key", upload.key), ("UploadId", upload.id)],
        headers={**headers, **encryption_headers(upload.headers)},
    )


def _checksum_type(request: Request, algorithm: str) -> str:
    """Return ``COMPOSITE`` or ``FULL_OBJECT``; empty without a checksum."""
    if not algorithm:
        return ""
    kind = request.headers.get("x-amz-checksum-type", "").upper()
    if not kind:
        return "FULL_OBJECT" if algorithm in _FULL_OBJECT_ONLY else "COMPOSITE"
    excluded = {"FULL_OBJECT": _COMPOSITE_ONLY, "COMPOSITE": _FULL_OBJECT_ONLY}
    if kind not in excluded or algorithm in excluded[kind]:
        raise S3Error(
            "InvalidRequest",
            f"The {kind} checksum type cannot be used with the {algorithm} checksum algorithm.",
        )
    return kind


def _find_upload(store: ObjectStore, request: Request) -> Upload:
    return multipart.find(store, request.bucket, request.key, request.query["uploadId"])


def _part_number(request: Request) -> int:
    return parse_part_number(request.query.get("partNumber", ""))


def upload_part(store: ObjectStore, request: Request) -> Response:
    """Answer UploadPart."""
    number = _part_number(request)
    upload = _find_upload(store, request)
    body = store.receive(request, algorithms=(upload.algorithm,) if upload.algorithm else ())
    part = multipart.put_part(store, upload, number, body)
    checksums = {
        name: value
        for name, value in checksum_headers(part.checksums).items()
        if name != "x-amz-checksum-type"
    }
    return Response(
        headers={
            "ETag": f'"{part.etag}"',
            "Content-Length": "0",
            **encryption_headers(upload.headers),
            **checksums,
        }
    )


def upload_part_copy(store: ObjectStore, request: Request) -> Response:
    """Answer UploadPartCopy."""
    number = _part_number(request)
    upload = _find_upload(store, request)
    source, stream = store.open(*copy_source(request))
    with stream:
        check_copy_conditions(request, source)
        first, end = requested_copy_range(request, source)
        body = store.write_body([(stream, first, end)], algorithms=(upload.algorithm,))
    part = multipart.put_part(store, upload, number, body)
    return xml_response(
        "CopyPartResult",
        [
            ("LastModified", timestamp(part.modified)),
            ("ETag", f'"{part.etag}"'),
            *_part_checksums(part.checksums),
        ],
        headers=encryption_headers(upload.headers),
    )


def _part_checksums(checksums: Mapping[str, str]) -> Children:
    return [element for element in checksum_elements(checksums) if element[0] != "ChecksumType"]


def complete_multipart_upload(store: ObjectStore, request: Request) -> Response:
    """Answer CompleteMultipartUpload; a repeated request gets the same answer."""
    preconditions = Preconditions.of_write(request)
    # The checksum headers describe the object; a checksum of the document would be Content-MD5.
    completed = _completed_parts(read_document(request, checksums=False))
    done = multipart.find_completed(store, request.bucket, request.key, request.query["uploadId"], completed)
    if done is None:
        upload = _find_upload(store, request)
        done = multipart.complete(store, upload, completed, preconditions, header_checksums(request))
    return xml_response(
        "CompleteMultipartUploadResult",
        [
            ("Location", f"/{request.bucket}/{request.key}"),
            ("Bucket", request.bucket),
            ("Key", request.key),
            ("ETag", f'"{done.etag}"'),
            *checksum_elements(done.checksums),
        ],
        headers=encryption_headers(done.headers),
    )


def _completed_parts(body: bytes) -> list[CompletedPart]:
    top = parse_document(body, "CompleteMultipartUpload")
    parts = [_completed_part(part) for part in top.findall("Part")]
    if not 1 <= len(parts) <= MAX_PARTS:
        raise S3Error("MalformedXML")
    return parts


def _completed_part(part: Element) -> CompletedPart:
    number = (part.findtext("PartNumber") or "").strip()
    etag = part.findtext("ETag")
    if not re.fullmatch("[0-9]{1,5}", number) or etag is None:
        raise S3Error("MalformedXML")
    checksums = {
        child.tag.removeprefix("Checksum").lower(): child.text or ""
        for child in part
        if child.tag.startswith("Checksum")
    }
    return CompletedPart(int(number), etag.strip().strip('"'), checksums)


def abort_multipart_upload(store: ObjectStore, request: Request) -> Response:
    """Answer AbortMultipartUpload."""
    multipart.abort(store, _find_upload(store, request))
    return Response(204)


def list_parts(store: ObjectStore, request: Request) -> Response:
    """Answer ListParts."""
    limit = page_size(request, "max-parts")
    marker = request.query.get("part-number-marker") or "0"
    if not re.fullmatch("[0-9]{1,10}", marker):
        raise S3Error("InvalidArgument", ArgumentName="part-number-marker", ArgumentValue=marker)
    upload = _find_upload(store, request)
    with store.index.read() as db:
        remaining = [part for part in multipart.all_parts(db, upload.id) if part.number > int(marker)]
    page = remaining[:limit]
    return xml_response(
        "ListPartsResult",
        [
            ("Bucket", upload.bucket),
            ("Key", upload.key),
            ("UploadId", upload.id),
            ("Initiator", OWNER),
            ("Owner", OWNER),
            ("StorageClass", upload.headers.get("x-amz-storage-class", "STANDARD")),
            ("PartNumberMarker", marker),
            ("NextPartNumberMarker", page[-1].number if page else 0),
            ("MaxParts", limit),
            ("IsTruncated", len(page) < len(remaining)),
            ("ChecksumAlgorithm", upload.algorithm.upper() or None),
            ("ChecksumType", upload.checksum_type or None),
            *[
                (
                    "Part",
                    [
                        ("PartNumber", part.number),
                        ("LastModified", timestamp(part.modified)),
                        ("ETag", f'"{part.etag}"'),
                        ("Size", part.size),
                        *_part_checksums(part.checksums),
                    ],
                )
                for part in page
            ],
        ],
    )


def list_multipart_uploads(store: ObjectStore, request: Request) -> Response:
    """Answer ListMultipartUploads."""
    query = request.query
    if query.get("delimiter"):
        raise not_implemented("A delimiter for ListMultipartUploads")
    encode = key_encoder(request)
    limit = page_size(request, "max-uploads")
    prefix = query.get("prefix", "")
    key_marker = query.get("key-marker", "")
    # A key marker without an upload id stands for all uploads of the key: no id sorts after this character.
    id_marker = (query.get("upload-id-marker") or "\U0010ffff") if key_marker else ""
    page: list[Upload] = []
    truncated = False
    with store.index.read() as db:
        require_bucket(db, request.bucket)
        for upload in multipart.iter_uploads(db, request.bucket, (key_marker.encode(), id_marker)):
            if not upload.key.startswith(prefix):
                continue
            if len(page) == limit:
                truncated = True
                break
            page.append(upload)
    return xml_response(
        "ListMultipartUploadsResult",
        [
            ("Bucket", request.bucket),
            ("KeyMarker", encode(key_marker)),
            ("UploadIdMarker", query.get("upload-id-marker", "")),
            ("NextKeyMarker", encode(page[-1].key) if truncated and page else None),
            ("NextUploadIdMarker", page[-1].id if truncated and page else None),
            ("Prefix", encode(prefix)),
            ("EncodingType", query.get("encoding-type")),
            ("MaxUploads", limit),
            ("IsTruncated", truncated),
            *[("Upload", _upload_elements(upload, encode(upload.key))) for upload in page],
        ],
    )


def _upload_elements(upload: Upload, key: str) -> Children:
    return [
        ("Key", key),
        ("UploadId", upload.id),
        ("Initiator", OWNER),
        ("Owner", OWNER),
        ("StorageClass", upload.headers.get("x-amz-storage-class", "STANDARD")),
        ("Initiated", timestamp(upload.created)),
        ("ChecksumAlgorithm", upload.algorithm.upper() or None),
        ("ChecksumType", upload.checksum_type or None),
    ]
