"""GetObjectAttributes: what is known of an object, without its body."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rekolabels.local._s3._errors import S3Error
from rekolabels.local._s3._request import MAX_PAGE_SIZE, check_version
from rekolabels.local._s3._response import checksum_elements, http_date, xml_response

if TYPE_CHECKING:
    from rekolabels.local._core._s3_xml import Children
    from rekolabels.local._s3._index import StoredObject
    from rekolabels.local._s3._object_store import ObjectStore
    from rekolabels.local._s3._request import Request
    from rekolabels.local._s3._response import Response

__all__ = ["get_object_attributes"]

_WANTED = "x-amz-object-attributes"
_ATTRIBUTES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")


def get_object_attributes(store: ObjectStore, request: Request) -> Response:
    """Answer GetObjectAttributes."""
    check_version(request.query.get("versionId"))
    wanted = [name.strip() for name in request.headers.get(_WANTED, "").split(",") if name.strip()]
    if not wanted or not set(wanted) <= set(_ATTRIBUTES):
        raise S3Error(
            "InvalidArgument",
            f"Invalid attribute name specified. Use {', '.join(_ATTRIBUTES)}.",
            ArgumentName=_WANTED,
            ArgumentValue=request.headers.get(_WANTED, ""),
        )
    limit = _number(request, "x-amz-max-parts", MAX_PAGE_SIZE)
    marker = _number(request, "x-amz-part-number-marker", 0)
    stored = store.find(request.bucket, request.key)
    values: Children = [
        ("ETag", stored.etag),
        ("Checksum", checksum_elements(stored.checksums) or None),
        ("ObjectParts", _parts(stored, marker, min(limit, MAX_PAGE_SIZE)) if stored.parts else None),
        ("StorageClass", stored.headers.get("x-amz-storage-class", "STANDARD")),
        ("ObjectSize", stored.size),
    ]
    return xml_response(
        "GetObjectAttributesResponse",
        [(name, value) for name, value in values if name in wanted],
        headers={"Last-Modified": http_date(stored.modified)},
    )


def _number(request: Request, name: str, default: int) -> int:
    text = request.header(name)
    if text is None:
        return default
    if not re.fullmatch("[0-9]{1,9}", text):
        raise S3Error("InvalidArgument", "Expected a number.", ArgumentName=name, ArgumentValue=text)
    return int(text)


def _parts(stored: StoredObject, marker: int, limit: int) -> Children:
    """Return the elements of ``ObjectParts``; S3 lists the parts only if they have checksums."""
    numbered = list(enumerate(stored.parts, 1))
    remaining = [part for part in numbered if part[0] > marker]
    page = remaining[:limit]
    return [
        ("PartsCount", len(numbered)),
        ("PartNumberMarker", marker),
        ("NextPartNumberMarker", page[-1][0] if page else 0),
        ("MaxParts", limit),
        ("IsTruncated", len(page) < len(remaining)),
        *[
            (
                "Part",
                [
                    *[
                        element
                        for element in checksum_elements(part.checksums)
                        if element[0] != "ChecksumType"
                    ],
                    ("PartNumber", number),
                    ("Size", part.size),
                ],
            )
            for number, part in page
            if part.checksums
        ],
    ]
