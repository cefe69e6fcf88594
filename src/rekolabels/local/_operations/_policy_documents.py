"""The documents of project policies: what they may say, and whom they let copy what."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from rekolabels.local._core._exceptions import ServiceException

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
from rekolabels.manifest._json import is_list, is_object

__all__ = ["check_document", "denies", "permits"]

_ACTION = "rekognition:CopyProjectVersion"
_MEMBERS = frozenset({"Version", "Id", "Statement"})
_VERSIONS = frozenset({"2012-10-17", "2008-10-17"})
_REQUIRED = ("Effect", "Principal", "Action", "Resource")
_ALLOWED = frozenset({*_REQUIRED, "Sid"})
_PRINCIPALS = frozenset({"AWS", "Service", "Federated", "CanonicalUser"})
_EFFECTS = frozenset({"allow", "deny"})
# A version, all versions of a project, or a pattern of them.
_RESOURCE = re.compile(r"\*|arn:[a-z\d*?-]+:rekognition:[a-z\d*?-]*:[\d*?]*:(\*|project/.+)", re.ASCII)
_ACCOUNT_OF = re.compile(r"(?:arn:[a-z\d-]+:(?:iam|sts)::)?(?P<account>\d{12})(?::.*)?", re.ASCII)


def check_document(text: str) -> None:
    """Hold a policy document against the rules for projects.

    Raises:
        ServiceException: ``MalformedPolicyDocumentException``, with what is wrong and where.
    """
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _malformed(f"it is not valid JSON ({error})") from None
    if not is_object(document):
        raise _malformed("it must be a JSON object")
    unknown = sorted(document.keys() - _MEMBERS)
    if unknown:
        raise _malformed(f"{unknown[0]!r} is not known; it may have {', '.join(sorted(_MEMBERS))}")
    if document.get("Version", "2012-10-17") not in _VERSIONS:
        raise _malformed("Version must be '2012-10-17'")
    statements = _list(document.get("Statement"))
    if not statements:
        raise _malformed("Statement is missing or empty")
    for number, statement in enumerate(statements, 1):
        _check_statement(statement, f"statement {number}")


def permits(documents: Iterable[str], account: str, resource: str) -> bool:
    """Whether the policies of a project let an account copy a version.

    Args:
        documents: All policies of the project; they were checked when they were put.
        account: The twelve digits of the caller's account.
        resource: The ARN of the version.
    """
    effects = set(_effects(documents, account, resource))
    return effects == {"allow"}


def denies(documents: Iterable[str], account: str, resource: str) -> bool:
    """Whether a policy forbids an account, even the project's own, to copy a version."""
    return "deny" in _effects(documents, account, resource)


def _effects(documents: Iterable[str], account: str, resource: str) -> Iterator[str]:
    """The effects of the statements that speak of this caller and this version, in small letters."""
    for text in documents:
        for statement in _list(json.loads(text)["Statement"]):
            named = any(_names(who, account) for who in _principals(statement["Principal"]))
            if named and any(_covers(pattern, resource) for pattern in _list(statement["Resource"])):
                yield statement["Effect"].lower()


def _principals(principal: Any) -> list[Any]:
    return _list(principal.get("AWS")) if is_object(principal) else _list(principal)


def _names(principal: str, account: str) -> bool:
    # Callers are known by their account alone, so a user or a role of the account is the account here.
    if principal == "*":
        return True
    match = _ACCOUNT_OF.fullmatch(principal)
    return match is not None and match["account"] == account


def _covers(pattern: str, resource: str) -> bool:
    parts = (".*" if sign == "*" else "." if sign == "?" else re.escape(sign) for sign in pattern)
    return re.fullmatch("".join(parts), resource) is not None


def _check_statement(statement: Any, where: str) -> None:
    if not is_object(statement):
        raise _malformed(f"{where} must be an object")
    for name in statement:
        if name not in _ALLOWED:
            raise _malformed(f"{where} has {name!r}, which is not allowed in the policy of a project")
    for name in _REQUIRED:
        if not statement.get(name):
            raise _malformed(f"{where} has no {name}")
    effect = statement["Effect"]
    if not isinstance(effect, str) or effect.lower() not in _EFFECTS:
        raise _malformed(f"Effect of {where} must be Allow or Deny")
    actions = _texts(statement["Action"])
    if actions is None or any(action.lower() != _ACTION.lower() for action in actions):
        raise _malformed(f"Action of {where} must be {_ACTION}, the only one that a project can grant")
    resources = _texts(statement["Resource"])
    if resources is None or not all(_RESOURCE.fullmatch(resource) for resource in resources):
        raise _malformed(
            f"Resource of {where} must be the ARN of a project version, 'arn:...:project/<name>/version/*' "
            "or '*'"
        )
    _check_principal(statement["Principal"], where)


def _check_principal(principal: Any, where: str) -> None:
    if principal == "*":
        return
    if (
        not is_object(principal)
        or not principal.keys() <= _PRINCIPALS
        or any(_texts(who) is None for who in principal.values())
    ):
        raise _malformed(f"Principal of {where} must be '*' or an object such as {{'AWS': '111122223333'}}")


def _texts(value: Any) -> list[str] | None:
    """One text or a list of them, as a list; None when it is anything else."""
    values = _list(value)
    texts = [one for one in values if isinstance(one, str)]
    return texts if texts and len(texts) == len(values) else None


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if is_list(value) else [value]


def _malformed(what: str) -> ServiceException:
    return ServiceException(
        "MalformedPolicyDocumentException", f"The policy document cannot be taken: {what}."
    )
