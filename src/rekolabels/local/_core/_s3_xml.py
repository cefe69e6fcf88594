"""XML documents of S3: written and parsed with the standard library."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["NAMESPACE", "Children", "MalformedDocument", "error_document", "parse", "render"]

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

Children: TypeAlias = "Sequence[tuple[str, Value]]"
Value: TypeAlias = "str | int | Children | None"

# XML 1.0 does not allow most control characters. S3 sends character references instead, which clients reject
# unless they request encoding-type=url (boto3 always does for listings). A carriage return must be a
# reference because parsers turn a bare one into a line feed.
_REFERENCES = {
    code: f"&#x{code:x};"
    for code in (*range(9), 0x0B, 0x0C, *range(0x0D, 0x20), 0x7F, 0x85, 0x2028, 0xFFFE, 0xFFFF)
}
# Entities need a DOCTYPE, which no S3 document has: reject declarations before the parser sees them. Comments
# and CDATA are the other two things that start with "<!".
_DECLARATION = re.compile(r"<!(?!--|\[CDATA\[)")


class MalformedDocument(Exception):
    """The document is not valid XML, contains a declaration, or has another root element than expected."""


def render(root: str, children: str | Children, *, namespace: str | None = NAMESPACE) -> bytes:
    r"""Return a document as bytes.

    Args:
        root: Name of the root element.
        children: Text, or pairs of element name and value; a sequence nests, None omits the element. A name
            with ``@`` in front is that of an attribute.
        namespace: The default namespace; None for documents without one (errors).

    >>> render("Error", [("Code", "NoSuchKey"), ("Key", "a<b\r")], namespace=None).decode().splitlines()[1]
    '<Error><Code>NoSuchKey</Code><Key>a&lt;b&#xd;</Key></Error>'
    """
    top = ET.Element(root, {} if namespace is None else {"xmlns": namespace})
    _set(top, children)
    text = ET.tostring(top, encoding="unicode").translate(_REFERENCES)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()


def error_document(code: str, message: str, details: Mapping[str, str] | None = None) -> bytes:
    """Return the document of an S3 error.

    Args:
        code: The error code, such as ``NoSuchKey``.
        message: The message for the caller.
        details: Further elements, such as ``BucketName`` or ``RequestId``.
    """
    return render("Error", [("Code", code), ("Message", message), *(details or {}).items()], namespace=None)


def _set(element: ET.Element, value: str | int | Children) -> None:
    if isinstance(value, bool):
        element.text = "true" if value else "false"
    elif isinstance(value, (str, int)):
        element.text = str(value)
    else:
        for name, inner in value:
            if name.startswith("@"):
                element.set(name[1:], str(inner))
            elif inner is not None:
                _set(ET.SubElement(element, name), inner)


def parse(data: bytes, root: str) -> ET.Element:
    """Parse a document from a client; namespaces are dropped, declarations rejected.

    Args:
        data: The document in UTF-8. The caller must limit its size.
        root: The required name of the root element.

    Raises:
        MalformedDocument: The document is not valid XML, contains a declaration (``<!DOCTYPE``), or has
            another root element.
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
