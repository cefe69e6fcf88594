"""Project policies: PutProjectPolicy, ListProjectPolicies, DeleteProjectPolicy."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._operations._pages import make_token, read_token
from rekolabels.local._operations._policy_documents import check_document
from rekolabels.local._operations.datasets import usable_project

if TYPE_CHECKING:
    from sqlite3 import Connection, Row

    from rekolabels.local._core._context import Call

__all__ = ["delete_project_policy", "list_project_policies", "put_project_policy"]

_PAGE = 5


def put_project_policy(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Attach a policy, or replace one whose current revision is known."""
    context = call.context
    check_document(parameters["PolicyDocument"])
    name, given = parameters["PolicyName"], parameters.get("PolicyRevisionId")
    revision = uuid.uuid4().hex
    with context.store.write() as db:
        project = usable_project(call, db, parameters["ProjectArn"])["arn"]
        found = _find(db, project, name)
        now = context.store.next_timestamp(db, context.clock())
        if found is not None:
            if given is None:
                raise ServiceException(
                    "ResourceAlreadyExistsException",
                    f"The project already has a policy named {name}. To replace it, give its "
                    "PolicyRevisionId.",
                )
            _check_revision(given, found)
            db.execute(
                "UPDATE policies SET revision = ?, document = ?, updated = ? WHERE project = ? AND name = ?",
                (revision, parameters["PolicyDocument"], now, project, name),
            )
            return {"PolicyRevisionId": revision}
        if given is not None:
            raise _wrong_revision(f"The project has no policy named {name} whose revision could be {given}.")
        (count,) = db.execute("SELECT count(*) FROM policies WHERE project = ?", (project,)).fetchone()
        if count >= context.quotas.policies_per_project:
            raise ServiceException(
                "ServiceQuotaExceededException",
                f"The project already has {count} policies; more are not allowed.",
            )
        db.execute(
            "INSERT INTO policies (project, name, revision, document, created, updated) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (project, name, revision, parameters["PolicyDocument"], now, now),
        )
    return {"PolicyRevisionId": revision}


def list_project_policies(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """The policies of a project, the oldest first."""
    most = parameters.get("MaxResults", _PAGE)
    position = read_token("ListProjectPolicies", parameters)
    with call.context.store.read() as db:
        project = call.project(db, parameters["ProjectArn"])["arn"]
        rows = db.execute(
            "SELECT * FROM policies WHERE project = ? AND created > ? ORDER BY created LIMIT ?",
            (project, position or 0, most + 1),
        ).fetchall()
    more = len(rows) > most
    # An empty token on the last page, as recorded.
    token = make_token("ListProjectPolicies", parameters, rows[most - 1]["created"]) if more else ""
    return {"ProjectPolicies": [_describe(row) for row in rows[:most]], "NextToken": token}


def delete_project_policy(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Detach a policy."""
    name, given = parameters["PolicyName"], parameters.get("PolicyRevisionId")
    with call.context.store.write() as db:
        project = call.project(db, parameters["ProjectArn"])["arn"]
        found = _find(db, project, name)
        if found is None:
            raise ServiceException.not_found("project policy", f"{name} of {project}")
        if given is not None:
            _check_revision(given, found)
        db.execute("DELETE FROM policies WHERE project = ? AND name = ?", (project, name))
    return {}


def _find(db: Connection, project: str, name: str) -> Row | None:
    found: Row | None = db.execute(
        "SELECT * FROM policies WHERE project = ? AND name = ?", (project, name)
    ).fetchone()
    return found


def _check_revision(given: str, policy: Row) -> None:
    if given.lower() != policy["revision"]:
        raise _wrong_revision(f"{given} is not the current revision of the policy {policy['name']}.")


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
