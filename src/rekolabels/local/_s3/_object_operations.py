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
from rekolabels.local._s3._encryption import ENCRYPTION, encryption_headers
from rekolabels.local._s3._errors import S3Error, not_implemented
from rekolabels.local._s3._index import StoredObject
from rekolabels.local._s3._object_headers import (
    CONTENT_HEADERS,
    copied_headers,
    returned_headers,
    stored_headers,
)
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
    "head_object",
    "new_object",
    "put_object",
    "written_headers",
]

_OVERRIDES = {f"response-{name}": name for name in CONTENT_HEADERS}
_DIRECTIVES = {"COPY", "REPLACE"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


# -- writing -------------------------------------------------------------------------------------------------


def put_object(store: ObjectStore, request: Request) -> Response:
    """Answer PutObject."""
    preconditions = Preconditions.of_write(request)
    headers = stored_headers(request)
    body = store.receive(request)
    new = new_object(store, request, body, headers)
    store.put(new, preconditions)
    return Response(headers={"Content-Length": "0", **written_headers(new)})


def written_headers(new: StoredObject) -> dict[str, str]:
    """Return the headers that describe a new object in the response."""
    return {
        "ETag": f'"{new.etag}"',
        **encryption_headers(new.headers),
        **checksum_headers(new.checksums),
    }


def new_object(store: ObjectStore, request: Request, body: Body, headers: Mapping[str, str]) -> StoredObject:
    """Return the object at the key of a request, to be committed."""
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
    preconditions = Preconditions.of_write(request)
    bucket, key = copy_source(request)
    replace_metadata = _is_replaced(request, "x-amz-metadata-directive")
    replace_tags = _is_replaced(request, "x-amz-tagging-directive")
    given = stored_headers(request)
    if (
        not replace_metadata
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
    headers = copied_headers(
        source.headers, given, replace_metadata=replace_metadata, replace_tags=replace_tags
    )
    new = new_object(store, request, body, headers)
    store.put(new, preconditions)
    return xml_response(
        "CopyObjectResult",
        [
            ("LastModified", timestamp(new.modified)),
            ("ETag", f'"{new.etag}"'),
            *checksum_elements(new.checksums),
        ],
        headers=encryption_headers(new.headers),
    )


def _is_replaced(request: Request, name: str) -> bool:
    """Return whether a directive asks for the values of the request instead of those of the source."""
    directive = request.headers.get(name, "COPY").upper()
    if directive not in _DIRECTIVES:
        raise S3Error(
            "InvalidArgument", f"Unknown directive in {name}. Use COPY or REPLACE.", ArgumentName=name
        )
    return directive == "REPLACE"


def _changes_metadata(request: Request) -> bool:
    names = {"x-amz-storage-class", "x-amz-website-redirect-location", ENCRYPTION}
    return not names.isdisjoint(request.headers)


def delete_object(store: ObjectStore, request: Request) -> Response:
    """Answer DeleteObject."""
    check_version(request.query.get("versionId"))
    conditions = Preconditions.of_deletion(
        request.header("if-match"),
        request.header("x-amz-if-match-last-modified-time"),
        request.header("x-amz-if-match-size"),
    )
    (error,) = store.delete(request.bucket, [(request.key, conditions)])
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
        **returned_headers(stored.headers),
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
    if request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        headers.update(_checksums_of_range(stored, number, byte_range))
    return Response(200 if byte_range is None else 206, headers), start, end


def _checksums_of_range(
    stored: StoredObject, number: str | None, byte_range: tuple[int, int] | None
) -> dict[str, str]:
    """Return the checksum headers for what is sent: the object, one part of it, or other bytes of it."""
    if byte_range is None or (number is not None and not stored.parts):
        return checksum_headers(stored.checksums)
    return {} if number is None else checksum_headers(stored.parts[int(number) - 1].checksums)


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
