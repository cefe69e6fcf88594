"""Operations on single objects."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO

import attrs

from rekolabels.local._s3._body import BLOCK_SIZE, HASHERS
from rekolabels.local._s3._conditions import (
    Preconditions,
    check_copy_conditions,
    check_read_conditions,
    requested_part,
    requested_range,
)
from rekolabels.local._s3._errors import S3Error, not_implemented
from rekolabels.local._s3._index import StoredObject
from rekolabels.local._s3._request import Request, check_version, copy_source
from rekolabels.local._s3._response import (
    Response,
    checksum_elements,
    checksum_headers,
    http_date,
    timestamp,
    xml_response,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rekolabels.local._s3._object_store import Body, ObjectStore

__all__ = [
    "copy_object",
    "delete_object",
    "get_object",
    "get_object_tagging",
    "head_object",
    "put_object",
    "stored_headers",
]

_HEADERS = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
)
_STORED = (*_HEADERS, "x-amz-website-redirect-location")
_META = "x-amz-meta-"
_MAX_META = 2048  # bytes of user metadata, names and values together
_OVERRIDES = {f"response-{name}": name for name in _HEADERS}
# Classes whose objects can be read immediately; objects in an archive would need RestoreObject first.
_CLASSES = {
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER_IR",
}
_ARCHIVES = {"GLACIER", "DEEP_ARCHIVE"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


# -- writing -------------------------------------------------------------------------------------------------


def stored_headers(request: Request) -> dict[str, str]:
    """Return the headers of a request that are stored with the object, user metadata included.

    Raises:
        S3Error: ``MetadataTooLarge``, ``InvalidStorageClass``, or ``NotImplemented`` for archive classes.
    """
    kept = {name: request.headers[name] for name in _STORED if request.headers.get(name)}
    kept.setdefault("content-type", "binary/octet-stream")
    codings = [coding.strip() for coding in kept.pop("content-encoding", "").split(",")]
    if remaining := ",".join(coding for coding in codings if coding and coding.lower() != "aws-chunked"):
        kept["content-encoding"] = remaining
    meta = {name: value for name, value in request.headers.items() if name.startswith(_META)}
    size = sum(len(name) - len(_META) + len(value) for name, value in meta.items())
    if size > _MAX_META:
        raise S3Error("MetadataTooLarge", Size=str(size), MaxSizeAllowed=str(_MAX_META))
    storage_class = request.headers.get("x-amz-storage-class", "STANDARD")
    if storage_class in _ARCHIVES:
        raise not_implemented(f"The storage class {storage_class}")
    if storage_class not in _CLASSES:
        raise S3Error("InvalidStorageClass", StorageClassRequested=storage_class)
    if storage_class != "STANDARD":
        kept["x-amz-storage-class"] = storage_class
    return {**kept, **meta}


def put_object(store: ObjectStore, request: Request) -> Response:
    """Answer PutObject."""
    preconditions = Preconditions.of(request)
    headers = stored_headers(request)
    body = store.receive(request)
    new = _new_object(store, request, body, headers)
    store.put(new, preconditions)
    return Response(
        headers={"ETag": f'"{new.etag}"', "Content-Length": "0", **checksum_headers(new.checksums)},
    )


def _new_object(store: ObjectStore, request: Request, body: Body, headers: Mapping[str, str]) -> StoredObject:
    return StoredObject(
        bucket=request.bucket,
        key=request.key,
        body=body.name,
        size=body.info.size,
        etag=body.info.md5.hex(),
        modified=store.now(),
        headers=headers,
        checksums=body.info.checksums,
    )


def copy_object(store: ObjectStore, request: Request) -> Response:
    """Answer CopyObject."""
    preconditions = Preconditions.of(request)
    bucket, key = copy_source(request)
    directive = request.headers.get("x-amz-metadata-directive", "COPY").upper()
    if directive not in {"COPY", "REPLACE"}:
        raise S3Error(
            "InvalidArgument", "Unknown metadata directive.", ArgumentName="x-amz-metadata-directive"
        )
    given = stored_headers(request)
    if (
        directive == "COPY"
        and (bucket, key) == (request.bucket, request.key)
        and not _changes_metadata(request)
    ):
        raise S3Error(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without changing"
            " the object's metadata, storage class, website redirect location or encryption attributes.",
        )
    algorithm = request.headers.get("x-amz-checksum-algorithm", "").lower()
    if algorithm and algorithm not in HASHERS:
        raise not_implemented(f"Computing the checksum {algorithm.upper()}")
    store.bucket(request.bucket)
    check_copy_conditions(request, store.find(bucket, key))
    source, body = store.copy_body(bucket, key, algorithms=(algorithm,) if algorithm else ())
    new = _new_object(store, request, body, _copied_headers(source, given, directive))
    store.put(new, preconditions)
    return xml_response(
        "CopyObjectResult",
        [
            ("LastModified", timestamp(new.modified)),
            ("ETag", f'"{new.etag}"'),
            *checksum_elements(new.checksums),
        ],
    )


def _changes_metadata(request: Request) -> bool:
    names = {"x-amz-storage-class", "x-amz-website-redirect-location", "x-amz-server-side-encryption"}
    return not names.isdisjoint(request.headers)


def _copied_headers(source: StoredObject, given: Mapping[str, str], directive: str) -> Mapping[str, str]:
    if directive == "REPLACE":
        return given
    # The storage class and the redirect come from the request, whatever the directive.
    not_copied = {"x-amz-storage-class", "x-amz-website-redirect-location"}
    copied = {name: value for name, value in source.headers.items() if name not in not_copied}
    return {**copied, **{name: value for name, value in given.items() if name in not_copied}}


def delete_object(store: ObjectStore, request: Request) -> Response:
    """Answer DeleteObject."""
    check_version(request.query.get("versionId"))
    (error,) = store.delete(
        request.bucket, [(request.key, Preconditions(if_match=request.header("if-match")))]
    )
    if error is not None:
        raise error
    return Response(204)


# -- reading -------------------------------------------------------------------------------------------------


@attrs.define
class _FileBlocks:
    """The next ``left`` bytes of a file, in blocks; WSGI calls ``close`` in any case."""

    stream: BinaryIO
    left: int

    def __iter__(self) -> Iterator[bytes]:
        while self.left:
            block = self.stream.read(min(BLOCK_SIZE, self.left))
            if not block:
                raise OSError("A body on the disk is shorter than its entry in the index.")
            self.left -= len(block)
            yield block

    def close(self) -> None:
        """Close the file."""
        self.stream.close()


def get_object(store: ObjectStore, request: Request) -> Response:
    """Answer GetObject."""
    check_version(request.query.get("versionId"))
    stored, stream = store.open(request.bucket, request.key)
    try:
        response, start, end = _response_head(request, stored)
        stream.seek(start)
        if end - start > BLOCK_SIZE:
            return attrs.evolve(response, body=_FileBlocks(stream, end - start))
        # A small body is read now, so that the file need not stay open.
        body = list(_FileBlocks(stream, end - start))
    except BaseException:
        stream.close()
        raise
    stream.close()
    return attrs.evolve(response, body=body)


def head_object(store: ObjectStore, request: Request) -> Response:
    """Answer HeadObject."""
    check_version(request.query.get("versionId"))
    return _response_head(request, store.find(request.bucket, request.key))[0]


def _response_head(request: Request, stored: StoredObject) -> tuple[Response, int, int]:
    """Return the response without its body, and the start and end of the bytes to send."""
    check_read_conditions(request, stored)
    headers = {
        "ETag": f'"{stored.etag}"',
        "Last-Modified": http_date(stored.modified),
        "Accept-Ranges": "bytes",
        **stored.headers,
        **_overrides(request),
    }
    number = request.query.get("partNumber")
    if number is None:
        byte_range = requested_range(request, stored)
    elif request.header("range"):
        raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    else:
        byte_range = requested_part(number, stored)
        if stored.parts:
            headers["x-amz-mp-parts-count"] = str(len(stored.parts))
    start, end = byte_range or (0, stored.size)
    headers["Content-Length"] = str(end - start)
    if byte_range is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
    elif request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        headers.update(checksum_headers(stored.checksums))
    return Response(200 if byte_range is None else 206, headers), start, end


def _overrides(request: Request) -> dict[str, str]:
    overrides = {
        header: request.query[name] for name, header in _OVERRIDES.items() if request.query.get(name)
    }
    for name, value in overrides.items():
        # A line feed in a query parameter would let its author add headers to the response.
        if _CONTROL.search(value) or not _is_latin_1(value):
            raise S3Error(
                "InvalidArgument", "Header value cannot be represented.", ArgumentName=f"response-{name}"
            )
    return overrides


def _is_latin_1(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def get_object_tagging(store: ObjectStore, request: Request) -> Response:
    """Answer GetObjectTagging with no tags: tagging is not implemented, but ``aws s3 cp`` reads tags."""
    check_version(request.query.get("versionId"))
    store.find(request.bucket, request.key)
    return xml_response("Tagging", [("TagSet", [])])
