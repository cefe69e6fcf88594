"""Operations on project policies, which let other accounts copy model versions.

PutProjectPolicy, ListProjectPolicies and DeleteProjectPolicy, and what CopyProjectVersion asks of policies.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Any

from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._core._policies import MEMBERS, PRINCIPALS, VERSIONS, as_list
from rekolabels.local._operations._parameters import PageQuery
from rekolabels.local._operations.projects import custom_labels_project
from rekolabels.manifest._json import is_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from sqlite3 import Connection, Row

    from rekolabels.local._core._context import Call

__all__ = ["delete_project_policy", "denies", "list_project_policies", "permits", "put_project_policy"]

_DEFAULT_PAGE_SIZE = 5
_ACTION = "rekognition:CopyProjectVersion"
_REQUIRED = ("Effect", "Principal", "Action", "Resource")
_ALLOWED = frozenset({*_REQUIRED, "Sid", "Condition"})
_EFFECTS = frozenset({"allow", "deny"})
# The ARN of a version, or a pattern with * and ?.
_RESOURCE = re.compile(r"\*|arn:[a-z\d*?-]+:rekognition:[a-z\d*?-]*:[\d*?]*:(\*|project/.+)", re.ASCII)
_ACCOUNT_OF = re.compile(r"(?:arn:[a-z\d-]+:(?:iam|sts)::)?(?P<account>\d{12})(?::.*)?", re.ASCII)


def put_project_policy(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Attach a policy to a project, or replace a policy whose current revision the request gives."""
    context = call.context
    _check_document(parameters["PolicyDocument"])
    name, given = parameters["PolicyName"], parameters.get("PolicyRevisionId")
    revision = uuid.uuid4().hex
    with context.store.write() as db:
        arn = custom_labels_project(call, db, parameters["ProjectArn"])["arn"]
        found = _find(db, arn, name)
        now = context.store.next_timestamp(db, context.clock())
        if found is not None:
            if given is None:
                raise ServiceException(
                    "ResourceAlreadyExistsException",
                    f"Project {arn} already has a policy named {name}. To replace it, give its current "
                    "PolicyRevisionId.",
                )
            _check_revision(given, found)
            db.execute(
                "UPDATE policies SET revision = ?, document = ?, updated = ? WHERE project = ? AND name = ?",
                (revision, parameters["PolicyDocument"], now, arn, name),
            )
            return {"PolicyRevisionId": revision}
        if given is not None:
            raise _wrong_revision(
                f"Project {arn} has no policy named {name}. To create it, leave out PolicyRevisionId."
            )
        (count,) = db.execute("SELECT count(*) FROM policies WHERE project = ?", (arn,)).fetchone()
        if count >= context.quotas.policies_per_project:
            raise ServiceException(
                "ServiceQuotaExceededException",
                f"Project {arn} has reached its quota of policies ({count}). Delete one first.",
            )
        db.execute(
            "INSERT INTO policies (project, name, revision, document, created, updated) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (arn, name, revision, parameters["PolicyDocument"], now, now),
        )
    return {"PolicyRevisionId": revision}


def list_project_policies(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """List the policies of a project, oldest first."""
    page = PageQuery("ListProjectPolicies", parameters, default_size=_DEFAULT_PAGE_SIZE)
    with call.context.store.read() as db:
        arn = call.project(db, parameters["ProjectArn"])["arn"]
        rows = db.execute(
            "SELECT * FROM policies WHERE project = ? AND created > ? ORDER BY created LIMIT ?",
            (arn, page.position or 0, page.size + 1),
        ).fetchall()
    rows, token = page.cut(rows, "created")
    return {"ProjectPolicies": [_describe(row) for row in rows], "NextToken": token}


def delete_project_policy(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Delete a policy of a project."""
    name, given = parameters["PolicyName"], parameters.get("PolicyRevisionId")
    with call.context.store.write() as db:
        arn = call.project(db, parameters["ProjectArn"])["arn"]
        found = _find(db, arn, name)
        if found is None:
            raise ServiceException.not_found("project policy", f"{name} of {arn}")
        if given is not None:
            _check_revision(given, found)
        db.execute("DELETE FROM policies WHERE project = ? AND name = ?", (arn, name))
    return {}


def permits(documents: Iterable[str], account: str, resource: str) -> bool:
    """Return whether the policies of a project allow an account to copy a version.

    Args:
        documents: The documents of all policies of the project.
        account: The caller's account id.
        resource: ARN of the version.
    """
    effects = set(_effects(documents, account, resource))
    return effects == {"allow"}


def denies(documents: Iterable[str], account: str, resource: str) -> bool:
    """Return whether a policy denies an account, even the project's own, to copy a version."""
    return "deny" in _effects(documents, account, resource)


def _find(db: Connection, project: str, name: str) -> Row | None:
    found: Row | None = db.execute(
        "SELECT * FROM policies WHERE project = ? AND name = ?", (project, name)
    ).fetchone()
    return found


def _check_revision(given: str, policy: Row) -> None:
    if given.lower() != policy["revision"]:
        raise _wrong_revision(f"{given} is not the current revision of policy {policy['name']}.")


def _wrong_revision(message: str) -> ServiceException:
    return ServiceException("InvalidPolicyRevisionIdException", message)


def _describe(row: Row) -> dict[str, Any]:
    return {
        "ProjectArn": row["project"],
        "PolicyName": row["name"],
        "PolicyRevisionId": row["revision"],
        "PolicyDocument": row["document"],
        "CreationTimestamp": row["created"] / 1000,
        "LastUpdatedTimestamp": row["updated"] / 1000,
    }


def _check_document(text: str) -> None:
    """Check the document of a project policy.

    Raises:
        ServiceException: ``MalformedPolicyDocumentException``.
    """
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _malformed(f"it is not valid JSON ({error})") from None
    if not is_object(document):
        raise _malformed("it is not a JSON object")
    unknown = sorted(document.keys() - MEMBERS)
    if unknown:
        raise _malformed(f"unknown member {unknown[0]!r}; expected only {', '.join(sorted(MEMBERS))}")
    if document.get("Version", VERSIONS[0]) not in VERSIONS:
        raise _malformed("Version must be '2012-10-17'")
    statements = as_list(document.get("Statement"))
    if not statements:
        raise _malformed("Statement is missing or empty")
    for number, statement in enumerate(statements, 1):
        _check_statement(statement, f"statement {number}")


def _effects(documents: Iterable[str], account: str, resource: str) -> Iterator[str]:
    """Return the effects, in lower case, of the statements that apply to this caller and this version.

    Conditions are not evaluated, because callers are known by their account only. To be on the safe side, a
    statement with a condition that allows never applies, and one that denies always does.
    """
    for text in documents:
        for statement in as_list(json.loads(text)["Statement"]):
            named = any(_is_account(one, account) for one in _principals(statement["Principal"]))
            if named and any(_matches(pattern, resource) for pattern in as_list(statement["Resource"])):
                effect = statement["Effect"].lower()
                if effect == "deny" or not statement.get("Condition"):
                    yield effect


def _principals(principal: Any) -> list[Any]:
    return as_list(principal.get("AWS")) if is_object(principal) else as_list(principal)


def _is_account(principal: str, account: str) -> bool:
    # The service knows callers only by account, so a user or role counts as its account.
    if principal == "*":
        return True
    match = _ACCOUNT_OF.fullmatch(principal)
    return match is not None and match["account"] == account


def _matches(pattern: str, resource: str) -> bool:
    parts = (".*" if sign == "*" else "." if sign == "?" else re.escape(sign) for sign in pattern)
    return re.fullmatch("".join(parts), resource) is not None


def _check_statement(statement: Any, where: str) -> None:
    if not is_object(statement):
        raise _malformed(f"{where} must be an object")
    for name in statement:
        if name not in _ALLOWED:
            raise _malformed(f"{where} has {name!r}, which project policies cannot have")
    for name in _REQUIRED:
        if not statement.get(name):
            raise _malformed(f"{where} has no {name}")
    effect = statement["Effect"]
    if not isinstance(effect, str) or effect.lower() not in _EFFECTS:
        raise _malformed(f"Effect of {where} must be Allow or Deny")
    actions = _strings(statement["Action"])
    if actions is None or any(action.lower() != _ACTION.lower() for action in actions):
        raise _malformed(f"Action of {where} must be {_ACTION}, the only action of project policies")
    resources = _strings(statement["Resource"])
    if resources is None or not all(_RESOURCE.fullmatch(resource) for resource in resources):
        raise _malformed(
            f"Resource of {where} must be the ARN of a project version, 'arn:...:project/<name>/version/*' "
            "or '*'"
        )
    _check_principal(statement["Principal"], where)
    _check_condition(statement.get("Condition", {}), where)


def _check_principal(principal: Any, where: str) -> None:
    if principal == "*":
        return
    if (
        not is_object(principal)
        or not principal.keys() <= PRINCIPALS
        or any(_strings(value) is None for value in principal.values())
    ):
        raise _malformed(f"Principal of {where} must be '*' or an object such as {{'AWS': '111122223333'}}")


def _check_condition(condition: Any, where: str) -> None:
    if not is_object(condition) or not all(is_object(keys) for keys in condition.values()):
        raise _malformed(
            f"Condition of {where} must be an object such as "
            "{'ArnEquals': {'aws:PrincipalArn': 'arn:aws:iam::111122223333:role/Admin'}}"
        )


def _strings(value: Any) -> list[str] | None:
    """Return a string or a list of strings as a list; None for anything else."""
    values = as_list(value)
    strings = [one for one in values if isinstance(one, str)]
    return strings if strings and len(strings) == len(values) else None


def _malformed(problem: str) -> ServiceException:
    return ServiceException(
        "MalformedPolicyDocumentException", f"The policy document is not valid: {problem}."
    )
