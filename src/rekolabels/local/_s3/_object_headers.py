"""Headers of objects: which ones of a request are stored, copied and returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rekolabels.local._s3._acl import ACL, canned_acl
from rekolabels.local._s3._encryption import ENCRYPTION, requested_encryption
from rekolabels.local._s3._errors import S3Error, not_implemented
from rekolabels.local._s3._tags import TAGGING, count_tags, header_tags

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rekolabels.local._s3._request import Request

__all__ = ["CONTENT_HEADERS", "copied_headers", "returned_headers", "stored_headers"]

CONTENT_HEADERS = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
)
"""Headers that describe the content, which a GET returns and whose values it may override."""
_META = "x-amz-meta-"
_MAX_META = 2048  # bytes of user metadata, names and values together
_CLASS = "x-amz-storage-class"
_REDIRECT = "x-amz-website-redirect-location"
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
_OF_REQUEST = (_CLASS, _REDIRECT, ENCRYPTION, ACL)
"""How the names of the headers start that a copy takes from its request, whatever the directive."""


def stored_headers(request: Request) -> dict[str, str]:
    """Return the headers of a request that are stored with the object, user metadata and tags included.

    Raises:
        S3Error: ``MetadataTooLarge``, ``InvalidStorageClass``, ``InvalidArgument``, ``InvalidTag``, or
            ``NotImplemented`` for archive classes.
    """
    kept = {name: request.headers[name] for name in (*CONTENT_HEADERS, _REDIRECT) if request.header(name)}
    kept.setdefault("content-type", "binary/octet-stream")
    if coding := _stored_coding(kept.pop("content-encoding", "")):
        kept["content-encoding"] = coding
    meta = {name: value for name, value in request.headers.items() if name.startswith(_META)}
    size = sum(len(name) - len(_META) + len(value) for name, value in meta.items())
    if size > _MAX_META:
        raise S3Error("MetadataTooLarge", Size=str(size), MaxSizeAllowed=str(_MAX_META))
    return {
        **kept,
        **meta,
        **_storage_class(request),
        **requested_encryption(request),
        **header_tags(request),
        **canned_acl(request),
    }


def _stored_coding(given: str) -> str:
    """Return the Content-Encoding without ``aws-chunked``, which belongs to the request; else as given."""
    codings = given.split(",")
    remaining = [coding for coding in codings if coding.strip().lower() != "aws-chunked"]
    return given if len(remaining) == len(codings) else ",".join(remaining).strip()


def _storage_class(request: Request) -> dict[str, str]:
    name = request.headers.get(_CLASS, "STANDARD")
    if name in _ARCHIVES:
        raise not_implemented(f"The storage class {name}")
    if name not in _CLASSES:
        raise S3Error("InvalidStorageClass", StorageClassRequested=name)
    return {} if name == "STANDARD" else {_CLASS: name}


def copied_headers(
    source: Mapping[str, str], given: Mapping[str, str], *, replace_metadata: bool, replace_tags: bool
) -> dict[str, str]:
    """Return the headers that are stored with a copy.

    Args:
        source: The headers of the source.
        given: The headers of the request.
        replace_metadata: Whether content headers and user metadata are those of the request.
        replace_tags: Whether the tags are those of the request.
    """

    def is_given(name: str) -> bool:
        if name == TAGGING:
            return replace_tags
        return replace_metadata or name.startswith(_OF_REQUEST)

    copied = {name: value for name, value in source.items() if not is_given(name)}
    return {**copied, **{name: value for name, value in given.items() if is_given(name)}}


def returned_headers(stored: Mapping[str, str]) -> dict[str, str]:
    """Return the stored headers as a GET returns them: of the tags their number, and not the ACL."""
    headers = {name: value for name, value in stored.items() if name not in {TAGGING, ACL}}
    if count := count_tags(stored):
        headers["x-amz-tagging-count"] = str(count)
    return headers
