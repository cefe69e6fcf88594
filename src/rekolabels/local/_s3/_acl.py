"""Canned ACLs: their names in requests, and the grants that they stand for. They have no effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from rekolabels.local._s3._body import parse_document
from rekolabels.local._s3._errors import S3Error, not_implemented
from rekolabels.local._s3._response import OWNER, Response, xml_response

if TYPE_CHECKING:
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

    from rekolabels.local._core._s3_xml import Children
    from rekolabels.local._s3._request import Request

__all__ = ["ACL", "acl_response", "canned_acl", "document_acl"]

ACL = "x-amz-acl"
"""The header with a canned ACL, under whose name it is stored too."""
_OWNER_ID = str(dict(OWNER)["ID"])
_SCHEMA = "http://www.w3.org/2001/XMLSchema-instance"
_ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
_AUTHENTICATED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"

Grant: TypeAlias = tuple[str, str]
"""The group that has a permission besides the owner, and the permission."""

_CANNED: Mapping[str, tuple[Grant, ...]] = {
    "private": (),
    "public-read": ((_ALL_USERS, "READ"),),
    "public-read-write": ((_ALL_USERS, "READ"), (_ALL_USERS, "WRITE")),
    "authenticated-read": ((_AUTHENTICATED, "READ"),),
    # The owner of the bucket is the owner of each object.
    "bucket-owner-read": (),
    "bucket-owner-full-control": (),
}
_OTHER = {"aws-exec-read", "log-delivery-write"}


def canned_acl(request: Request) -> dict[str, str]:
    """Return the header with the canned ACL of a request as it is stored; nothing without one.

    Raises:
        S3Error: ``InvalidArgument`` for an unknown name, ``NotImplemented`` for one that grants a permission
            to a service of AWS.
    """
    name = request.header(ACL)
    if name in _OTHER:
        raise not_implemented(f"The canned ACL {name}")
    if name is not None and name not in _CANNED:
        raise S3Error(
            "InvalidArgument",
            f"Unknown canned ACL. Use one of {', '.join(_CANNED)}.",
            ArgumentName=ACL,
            ArgumentValue=name,
        )
    return {} if name is None else {ACL: name}


def document_acl(data: bytes) -> str:
    """Return the canned ACL that an ``AccessControlPolicy`` document stands for.

    Raises:
        S3Error: ``MalformedACLError``, or ``NotImplemented`` for grants that no canned ACL has.
    """
    try:
        top = parse_document(data, "AccessControlPolicy")
    except S3Error as error:
        raise S3Error("MalformedACLError") from error
    grants = [_grant(element) for element in top.findall("AccessControlList/Grant")]
    wanted = {grant for grant in grants if grant != (_OWNER_ID, "FULL_CONTROL")}
    for name, canned in _CANNED.items():
        if wanted == set(canned) and len(wanted) < len(grants):
            return name
    raise not_implemented("An ACL other than the canned ones")


def _grant(element: Element) -> Grant:
    grantee, permission = element.find("Grantee"), element.findtext("Permission")
    if grantee is None or not permission:
        raise S3Error("MalformedACLError")
    return (grantee.findtext("URI") or grantee.findtext("ID") or "", permission)


def acl_response(name: str) -> Response:
    """Return the response with the ``AccessControlPolicy`` document of a canned ACL."""
    grants: list[tuple[str, Children]] = [
        ("Grant", [_grantee("CanonicalUser", OWNER), ("Permission", "FULL_CONTROL")])
    ]
    grants += [
        ("Grant", [_grantee("Group", [("URI", group)]), ("Permission", permission)])
        for group, permission in _CANNED.get(name, ())
    ]
    return xml_response("AccessControlPolicy", [("Owner", OWNER), ("AccessControlList", grants)])


def _grantee(kind: str, who: Children) -> tuple[str, Children]:
    return ("Grantee", [("@xmlns:xsi", _SCHEMA), ("@xsi:type", kind), *who])
