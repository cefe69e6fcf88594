"""The documents of S3, written and read with the standard library."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

Children: TypeAlias = "Sequence[tuple[str, Value]]"
Value: TypeAlias = "str | int | Children | None"

# XML 1.0 has no way to write most control characters. S3 writes references to them, which clients refuse
# unless they ask for encoding-type=url (boto3 always does for listings); a carriage return must be a
# reference, because a parser turns a bare one into a line feed.
_REFERENCES = {
    code: f"&#x{code:x};"
    for code in (*range(9), 0x0B, 0x0C, *range(0x0D, 0x20), 0x7F, 0x85, 0x2028, 0xFFFE, 0xFFFF)
}
# Entities need a DOCTYPE, and no document of S3 has one: whatever opens a declaration is refused before a
# parser sees it. What remains of "<!" are comments and CDATA.
_DECLARATION = re.compile(r"<!(?!--|\[CDATA\[)")


class MalformedDocument(Exception):
    """A document that is no XML, declares entities, or is not the one that the operation takes."""


def render(root: str, children: str | Children, *, namespace: str | None = NAMESPACE) -> bytes:
    r"""Write a document.

    Args:
        root: The name of the outermost element.
        children: Pairs of name and value, or a text; a sequence nests, None leaves the element out.
        namespace: The default namespace; None for the documents that have none (errors).

    >>> render("Error", [("Code", "NoSuchKey"), ("Key", "a<b\r")], namespace=None).decode().splitlines()[1]
    '<Error><Code>NoSuchKey</Code><Key>a&lt;b&#xd;</Key></Error>'
    """
    top = ET.Element(root, {} if namespace is None else {"xmlns": namespace})
    _set(top, children)
    text = ET.tostring(top, encoding="unicode").translate(_REFERENCES)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()


def _set(element: ET.Element, value: str | int | Children) -> None:
    if isinstance(value, bool):
        element.text = "true" if value else "false"
    elif isinstance(value, (str, int)):
        element.text = str(value)
    else:
        for name, inner in value:
            if inner is not None:
                _set(ET.SubElement(element, name), inner)


def parse(data: bytes, root: str) -> ET.Element:
    """Read a document from a client, without entities and without namespaces.

    Args:
        data: The document; UTF-8. The caller has limited its size.
        root: The name that the outermost element must have.

    Raises:
        MalformedDocument: It is no XML, holds a declaration (``<!DOCTYPE``), or starts with another element.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedDocument("the document is not UTF-8") from error
    if _DECLARATION.search(text):
        raise MalformedDocument("declarations are not accepted")
    try:
        top = ET.fromstring(text)  # noqa: S314 - no declarations (checked above), so nothing expands
    except (ET.ParseError, ValueError) as error:
        raise MalformedDocument(str(error)) from error
    for element in top.iter():
        element.tag = element.tag.rpartition("}")[2]
    if top.tag != root:
        raise MalformedDocument(f"expected {root}, found {top.tag}")
    return top
