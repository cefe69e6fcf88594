"""Operations on bucket policies, which are checked, kept and returned, but not enforced."""

from __future__ import annotations

import contextlib
import json
import reprlib
from typing import TYPE_CHECKING, Any, NoReturn

from rekolabels.local._core._policies import MEMBERS, PRINCIPALS, VERSIONS, as_list
from rekolabels.local._s3._body import read_document
from rekolabels.local._s3._errors import S3Error
from rekolabels.local._s3._response import Response
from rekolabels.local._s3._settings import find_setting, put_setting, remove_setting
from rekolabels.manifest._json import is_list, is_object

if TYPE_CHECKING:
    from rekolabels.local._s3._object_store import ObjectStore
    from rekolabels.local._s3._request import Request

__all__ = ["delete_bucket_policy", "get_bucket_policy", "put_bucket_policy"]

_MAX_BYTES = 20 * 1024
# Each statement has exactly one of each group.
_GROUPS = (
    ("Effect",),
    ("Principal", "NotPrincipal"),
    ("Action", "NotAction"),
    ("Resource", "NotResource"),
)
_STATEMENT = frozenset({"Sid", "Condition", *(name for group in _GROUPS for name in group)})
_EFFECTS = ("Allow", "Deny")


def get_bucket_policy(store: ObjectStore, request: Request) -> Response:
    """Answer GetBucketPolicy."""
    document = find_setting(store, request.bucket, "policy")
    if document is None:
        raise S3Error("NoSuchBucketPolicy", BucketName=request.bucket)
    body = document.encode()
    return Response(
        headers={"Content-Type": "application/json", "Content-Length": str(len(body))}, body=[body]
    )


def put_bucket_policy(store: ObjectStore, request: Request) -> Response:
    """Answer PutBucketPolicy."""
    store.bucket(request.bucket)
    document = read_document(request, limit=_MAX_BYTES, code="MalformedPolicy")
    put_setting(store, request.bucket, "policy", _checked(document, request.bucket))
    return Response(204)


def delete_bucket_policy(store: ObjectStore, request: Request) -> Response:
    """Answer DeleteBucketPolicy."""
    remove_setting(store, request.bucket, "policy")
    return Response(204)


def _checked(data: bytes, bucket: str) -> str:
    """Return a policy document as text.

    Raises:
        S3Error: ``MalformedPolicy``.
    """
    text, document = "", None
    with contextlib.suppress(ValueError, RecursionError):
        text = data.decode()
        document = json.loads(text, object_pairs_hook=_members, parse_constant=_refuse)
    if not is_object(document):
        _refuse("Policies must be valid JSON and the first byte must be '{'")
    _check_names("Policy", document, MEMBERS)
    if document.get("Version", VERSIONS[0]) not in VERSIONS:
        _refuse("The policy must contain a valid version string: '2012-10-17'.")
    statements = as_list(document.get("Statement"))
    if not statements:
        _refuse("Missing required field Statement")
    for statement in statements:
        _check_statement(statement, bucket)
    return text


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        _refuse("Policy has a duplicate member.")
    return members


def _check_statement(statement: Any, bucket: str) -> None:
    if not is_object(statement):
        _refuse("Statement must be an object or a list of objects.")
    _check_names("Statement", statement, _STATEMENT)
    for group in _GROUPS:
        given = [name for name in group if name in statement]
        if not given:
            _refuse(f"Missing required field {group[0]}")
        if len(given) > 1:
            _refuse(f"Statement has both {given[0]} and {given[1]}.")
    if statement["Effect"] not in _EFFECTS:
        _refuse(f"Invalid effect: {reprlib.repr(statement['Effect'])}. Use Allow or Deny.")
    _check_principal(statement.get("Principal", statement.get("NotPrincipal")))
    for action in _strings(statement.get("Action", statement.get("NotAction")), "Action"):
        if action != "*" and not action.lower().startswith("s3:"):
            _refuse(f"Policy has invalid action: {action[:100]!r}. Bucket policies have actions of S3 only.")
    for resource in _strings(statement.get("Resource", statement.get("NotResource")), "Resource"):
        if not _is_in_bucket(resource, bucket):
            _refuse(
                f"Policy has invalid resource: {resource[:100]!r}. Use arn:aws:s3:::{bucket} or"
                f" arn:aws:s3:::{bucket}/*."
            )
    _check_condition(statement.get("Condition", {}))


def _check_principal(principal: Any) -> None:
    if principal == "*":
        return
    if not is_object(principal) or not principal or not principal.keys() <= PRINCIPALS:
        _refuse("Invalid principal in policy: expected '*' or an object such as {'AWS': '111122223333'}.")
    for value in principal.values():
        _strings(value, "Principal")


def _check_condition(condition: Any) -> None:
    if not is_object(condition):
        _refuse("Condition must be an object.")
    for keys in condition.values():
        if not is_object(keys):
            _refuse("Conditions must be objects of condition keys and their values.")
        for value in keys.values():
            if any(is_object(one) or is_list(one) for one in as_list(value)):
                _refuse("The values of a condition key must be strings, numbers or booleans.")


def _is_in_bucket(resource: str, bucket: str) -> bool:
    """Return whether an ARN, which may hold wildcards, can be that of the bucket or of its objects."""
    arn, partition, service, region, account, *rest = [*resource.split(":", 5), "", "", "", "", ""]
    if (arn, service, region, account) != ("arn", "s3", "", "") or not partition.startswith("aws"):
        return False
    name = rest[0].partition("/")[0]
    return name == bucket or "*" in name or "?" in name


def _strings(value: Any, name: str) -> list[str]:
    values = as_list(value)
    strings = [one for one in values if isinstance(one, str) and one]
    if not strings or len(strings) < len(values):
        _refuse(f"{name} must be a string or a list of strings.")
    return strings


def _check_names(where: str, members: Any, allowed: frozenset[str]) -> None:
    for name in members:
        if name not in allowed:
            _refuse(f"{where} has the unknown field {name[:100]!r}.")


def _refuse(problem: str) -> NoReturn:
    raise S3Error("MalformedPolicy", problem)
