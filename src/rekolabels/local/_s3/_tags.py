"""Tags of objects and buckets: read from headers and documents, checked, and written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from rekolabels.local._s3._body import parse_document
from rekolabels.local._s3._errors import S3Error
from rekolabels.local._s3._response import Response, xml_response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rekolabels.local._s3._request import Request

__all__ = [
    "MAX_BUCKET_TAGS",
    "MAX_OBJECT_TAGS",
    "TAGGING",
    "count_tags",
    "document_tags",
    "encode_tags",
    "header_tags",
    "stored_tags",
    "tags_response",
]

TAGGING = "x-amz-tagging"
"""The header with an object's tags, under whose name they are stored too."""
MAX_OBJECT_TAGS = 10
MAX_BUCKET_TAGS = 50
_MAX_KEY = 128  # characters
_MAX_VALUE = 256
_ALLOWED = re.compile(r"(?:[\w+\-=.:/@]|[^\S\x00-\x1f\x7f-\x9f])*")
"""The characters of keys and values: letters, digits and spaces of any script, and a few signs."""


def header_tags(request: Request) -> dict[str, str]:
    """Return the header with the tags of a request as it is stored; nothing without tags.

    Raises:
        S3Error: ``InvalidArgument`` or ``InvalidTag``.
    """
    text = request.header(TAGGING)
    if text is None:
        return {}
    invalid = S3Error(
        "InvalidArgument",
        "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without"
        " tag name duplicates.",
        ArgumentName=TAGGING,
        ArgumentValue=text,
    )
    try:
        tags = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=10 * MAX_OBJECT_TAGS)
    except ValueError as error:
        raise invalid from error
    if len(dict(tags)) < len(tags):
        raise invalid
    return encode_tags(_checked(tags, MAX_OBJECT_TAGS))


def document_tags(data: bytes, limit: int) -> Sequence[tuple[str, str]]:
    """Return the tags in a ``Tagging`` document.

    Args:
        data: The document.
        limit: The number of tags that are allowed.

    Raises:
        S3Error: ``MalformedXML``, ``InvalidTag`` or ``BadRequest``.
    """
    tag_set = parse_document(data, "Tagging").find("TagSet")
    if tag_set is None:
        raise S3Error("MalformedXML")
    tags: list[tuple[str, str]] = []
    for tag in tag_set:
        key, value = tag.find("Key"), tag.find("Value")
        if tag.tag != "Tag" or key is None or value is None:
            raise S3Error("MalformedXML")
        tags.append((key.text or "", value.text or ""))
    return _checked(tags, limit)


def _checked(tags: Sequence[tuple[str, str]], limit: int) -> Sequence[tuple[str, str]]:
    if len(tags) > limit:
        kind = "Object" if limit == MAX_OBJECT_TAGS else "Bucket"
        raise S3Error("BadRequest", f"{kind} tags cannot be greater than {limit}")
    seen: set[str] = set()
    for key, value in tags:
        if not key or len(key) > _MAX_KEY or not _ALLOWED.fullmatch(key):
            raise S3Error(
                "InvalidTag",
                f"The TagKey you have provided is invalid: expected 1 to {_MAX_KEY} letters, digits, spaces"
                " and + - = . _ : / @",
                TagKey=key,
            )
        if len(value) > _MAX_VALUE or not _ALLOWED.fullmatch(value):
            raise S3Error(
                "InvalidTag",
                f"The TagValue you have provided is invalid: expected at most {_MAX_VALUE} letters, digits,"
                " spaces and + - = . _ : / @",
                TagKey=key,
                TagValue=value,
            )
        if key.lower().startswith("aws:"):
            raise S3Error("InvalidTag", "System tags cannot be added/updated by requester", TagKey=key)
        if key in seen:
            raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key", TagKey=key)
        seen.add(key)
    return tags


def encode_tags(tags: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the header under which tags are stored with an object; nothing without tags."""
    return {TAGGING: urlencode(tags)} if tags else {}


def stored_tags(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the tags among the headers that are stored with an object."""
    return parse_qsl(headers.get(TAGGING, ""), keep_blank_values=True)


def count_tags(headers: Mapping[str, str]) -> int:
    """Return the number of tags of an object."""
    return len(stored_tags(headers))


def tags_response(tags: Sequence[tuple[str, str]]) -> Response:
    """Return the response with a ``Tagging`` document."""
    return xml_response(
        "Tagging", [("TagSet", [("Tag", [("Key", key), ("Value", value)]) for key, value in tags])]
    )
