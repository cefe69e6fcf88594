"""The operations on objects."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote

import attrs

from rekolabels.local._s3 import _conditions as conditions
from rekolabels.local._s3._body import BLOCK, HASHERS
from rekolabels.local._s3._bucket_operations import checksum_type, timestamp
from rekolabels.local._s3._conditions import Guard
from rekolabels.local._s3._errors import S3Error, not_implemented
from rekolabels.local._s3._index import Stored
from rekolabels.local._s3._request import Answer, Request, document, http_date

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rekolabels.local._core._s3_xml import Children
    from rekolabels.local._s3._store import Body, Store

_HEADERS = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
)
_KEPT = (*_HEADERS, "x-amz-website-redirect-location")
_META = "x-amz-meta-"
_LARGEST_META = 2048  # bytes of names and values together
_OVERRIDES = {f"response-{name}": name for name in _HEADERS}
# Classes whose objects can be read at once; the archives would need RestoreObject to be honest.
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


# -- headers -------------------------------------------------------------------------------------------------


def headers_to_keep(request: Request) -> dict[str, str]:
    """The headers of a request that come back with the object.

    Raises:
        S3Error: ``MetadataTooLarge``, ``InvalidStorageClass`` or ``NotImplemented`` (archives).
    """
    kept = {name: request.headers[name] for name in _KEPT if request.headers.get(name)}
    kept.setdefault("content-type", "binary/octet-stream")
    codings = [coding.strip() for coding in kept.pop("content-encoding", "").split(",")]
    if remaining := ",".join(coding for coding in codings if coding and coding.lower() != "aws-chunked"):
        kept["content-encoding"] = remaining
    meta = {name: value for name, value in request.headers.items() if name.startswith(_META)}
    size = sum(len(name) - len(_META) + len(value) for name, value in meta.items())
    if size > _LARGEST_META:
        raise S3Error("MetadataTooLarge", Size=str(size), MaxSizeAllowed=str(_LARGEST_META))
    storage_class = request.headers.get("x-amz-storage-class", "STANDARD")
    if storage_class in _ARCHIVES:
        raise not_implemented(f"The storage class {storage_class}")
    if storage_class not in _CLASSES:
        raise S3Error("InvalidStorageClass", StorageClassRequested=storage_class)
    if storage_class != "STANDARD":
        kept["x-amz-storage-class"] = storage_class
    return {**kept, **meta}


def checksum_headers(checksums: Mapping[str, str]) -> dict[str, str]:
    """Checksums as headers."""
    if not checksums:
        return {}
    named = {f"x-amz-checksum-{name}": value for name, value in checksums.items()}
    return {**named, "x-amz-checksum-type": checksum_type(checksums)}


def checksum_elements(checksums: Mapping[str, str]) -> Children:
    """Checksums as elements."""
    if not checksums:
        return []
    named = [(f"Checksum{name.upper()}", value) for name, value in checksums.items()]
    return [*named, ("ChecksumType", checksum_type(checksums))]


def check_version(version: str | None) -> None:
    """Refuse any version but the one that unversioned buckets have.

    Raises:
        S3Error: ``InvalidArgument``.
    """
    if version not in {None, "null"}:
        raise S3Error(
            "InvalidArgument",
            "Invalid version id specified",
            ArgumentName="versionId",
            ArgumentValue=version or "",
        )


# -- writing -------------------------------------------------------------------------------------------------


def put_object(store: Store, request: Request) -> Answer:
    """PutObject."""
    guard = Guard.of(request)
    headers = headers_to_keep(request)
    body = store.take_in(request)
    new = _stored(store, request, body, headers)
    store.keep(new, guard)
    return Answer(
        headers={"ETag": f'"{new.etag}"', "Content-Length": "0", **checksum_headers(new.checksums)},
    )


def _stored(store: Store, request: Request, body: Body, headers: Mapping[str, str]) -> Stored:
    return Stored(
        bucket=request.bucket,
        key=request.key,
        body=body.name,
        size=body.received.size,
        etag=body.received.md5.hex(),
        modified=store.now(),
        headers=headers,
        checksums=body.received.checksums,
    )


def copy_object(store: Store, request: Request) -> Answer:
    """CopyObject."""
    guard = Guard.of(request)
    bucket, key = copy_source(request)
    directive = request.headers.get("x-amz-metadata-directive", "COPY").upper()
    if directive not in {"COPY", "REPLACE"}:
        raise S3Error(
            "InvalidArgument", "Unknown metadata directive.", ArgumentName="x-amz-metadata-directive"
        )
    given = headers_to_keep(request)
    if directive == "COPY" and (bucket, key) == (request.bucket, request.key) and not _changes(request):
        raise S3Error(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without changing"
            " the object's metadata, storage class, website redirect location or encryption attributes.",
        )
    algorithm = request.headers.get("x-amz-checksum-algorithm", "").lower()
    if algorithm and algorithm not in HASHERS:
        raise not_implemented(f"Computing {algorithm.upper()}")
    store.bucket(request.bucket)
    conditions.check_copy_source(request, store.find(bucket, key))
    source, body = store.copy_body(bucket, key, algorithms=(algorithm,) if algorithm else ())
    new = _stored(store, request, body, _copied_headers(source, given, directive))
    store.keep(new, guard)
    return document(
        "CopyObjectResult",
        [
            ("LastModified", timestamp(new.modified)),
            ("ETag", f'"{new.etag}"'),
            *checksum_elements(new.checksums),
        ],
    )


def _changes(request: Request) -> bool:
    names = {"x-amz-storage-class", "x-amz-website-redirect-location", "x-amz-server-side-encryption"}
    return not names.isdisjoint(request.headers)


def _copied_headers(source: Stored, given: Mapping[str, str], directive: str) -> Mapping[str, str]:
    if directive == "REPLACE":
        return given
    # The storage class and the redirect are the request's, whatever the directive.
    own = {"x-amz-storage-class", "x-amz-website-redirect-location"}
    kept = {name: value for name, value in source.headers.items() if name not in own}
    return {**kept, **{name: value for name, value in given.items() if name in own}}


def copy_source(request: Request) -> tuple[str, str]:
    """The bucket and the key that a copy is made of.

    Raises:
        S3Error: ``InvalidArgument`` or ``NotImplemented`` (access points).
    """
    text, _, version = request.headers["x-amz-copy-source"].partition("?versionId=")
    check_version(version or None)
    try:
        path = unquote(text, errors="strict").removeprefix("/")
    except UnicodeDecodeError as error:
        raise S3Error("InvalidArgument", "Copy Source must be URL-encoded UTF-8.") from error
    if path.startswith("arn:"):
        raise not_implemented("A copy from an access point")
    bucket, _, key = path.partition("/")
    if not bucket or not key:
        raise S3Error(
            "InvalidArgument",
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            ArgumentName="x-amz-copy-source",
            ArgumentValue=text,
        )
    return bucket, key


def delete_object(store: Store, request: Request) -> Answer:
    """DeleteObject."""
    check_version(request.query.get("versionId"))
    (error,) = store.delete(request.bucket, [(request.key, Guard(if_match=request.wants("if-match")))])
    if error is not None:
        raise error
    return Answer(204)


# -- reading -------------------------------------------------------------------------------------------------


@attrs.define
class FileBlocks:
    """Bytes of a file, block by block; WSGI closes it when it is sent, or when the client has gone."""

    stream: BinaryIO
    left: int

    def __iter__(self) -> Iterator[bytes]:
        while self.left:
            block = self.stream.read(min(BLOCK, self.left))
            if not block:
                raise OSError("the body of an object has been cut short on the disk")
            self.left -= len(block)
            yield block

    def close(self) -> None:
        """Close the file."""
        self.stream.close()


def get_object(store: Store, request: Request) -> Answer:
    """GetObject."""
    check_version(request.query.get("versionId"))
    there, stream = store.open(request.bucket, request.key)
    try:
        answer, start, end = _described(request, there)
        stream.seek(start)
        if end - start > BLOCK:
            return attrs.evolve(answer, body=FileBlocks(stream, end - start))
        # What fits into one block is read at once, and the file need not stay open.
        body = list(FileBlocks(stream, end - start))
    except BaseException:
        stream.close()
        raise
    stream.close()
    return attrs.evolve(answer, body=body)


def head_object(store: Store, request: Request) -> Answer:
    """HeadObject."""
    check_version(request.query.get("versionId"))
    return _described(request, store.find(request.bucket, request.key))[0]


def _described(request: Request, there: Stored) -> tuple[Answer, int, int]:
    """The answer but for the body, and which bytes of it are asked for."""
    conditions.check_read(request, there)
    headers = {
        "ETag": f'"{there.etag}"',
        "Last-Modified": http_date(there.modified),
        "Accept-Ranges": "bytes",
        **there.headers,
        **_overrides(request),
    }
    number = request.query.get("partNumber")
    if number is None:
        piece = conditions.read_range(request, there)
    elif request.wants("range"):
        raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    else:
        piece = conditions.read_part(number, there)
        if there.parts:
            headers["x-amz-mp-parts-count"] = str(len(there.parts))
    start, end = piece or (0, there.size)
    headers["Content-Length"] = str(end - start)
    if piece is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{there.size}"
    elif request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        headers.update(checksum_headers(there.checksums))
    return Answer(200 if piece is None else 206, headers), start, end


def _overrides(request: Request) -> dict[str, str]:
    overrides = {
        header: request.query[name] for name, header in _OVERRIDES.items() if request.query.get(name)
    }
    for name, value in overrides.items():
        # What comes from a query may hold anything; a line feed would begin a header of somebody's choice.
        if _CONTROL.search(value) or not _is_latin(value):
            raise S3Error(
                "InvalidArgument", "Header value cannot be represented.", ArgumentName=f"response-{name}"
            )
    return overrides


def _is_latin(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def object_tagging(store: Store, request: Request) -> Answer:
    """GetObjectTagging: nothing can be tagged here, so there are no tags (``aws s3 cp`` asks for them)."""
    check_version(request.query.get("versionId"))
    store.find(request.bucket, request.key)
    return document("Tagging", [("TagSet", [])])
