"""CopyProjectVersion, within an account and from another one whose policy allows it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels.local._core._arns import parse_arn
from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._jobs._lifecycle import copy_version
from rekolabels.local._operations._policy_documents import denies, permits
from rekolabels.local._operations.datasets import usable_project
from rekolabels.local._operations.tags import set_tags
from rekolabels.local._operations.versions import check_output, check_version_room

if TYPE_CHECKING:
    from sqlite3 import Connection, Row

    from rekolabels.local._core._context import Call

__all__ = ["copy_project_version"]

# Every version whose training or copying came to a good end has a model, whether it runs or not.
_COPYABLE = frozenset(
    {"TRAINING_COMPLETED", "COPYING_COMPLETED", "STARTING", "RUNNING", "STOPPING", "STOPPED", "FAILED"}
)


def copy_project_version(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Copy a trained version into a project of the caller's account."""
    context = call.context
    check_output(parameters)
    _check_region(parameters)
    name = parameters["VersionName"]
    with context.store.write() as db:
        target = usable_project(call, db, parameters["DestinationProjectArn"])
        source = _source(call, db, parameters)
        check_version_room(call, db, target, name)
        _check_copies(call, db)
        arn = call.new_arn(db, target["name"], "version", name)
        request = {
            "OutputConfig": parameters["OutputConfig"],
            "SourceProjectVersionArn": source["arn"],
        }
        if "KmsKeyId" in parameters:
            request["KmsKeyId"] = parameters["KmsKeyId"]
        db.execute(
            "INSERT INTO versions (arn, number, project, name, created, status, message, request) "
            "VALUES (?, ?, ?, ?, ?, 'COPYING_IN_PROGRESS', 'The model version is being copied.', ?)",
            (str(arn), arn.number, target["arn"], name, arn.number, json.dumps(request)),
        )
        set_tags(call, db, str(arn), parameters.get("Tags"))
        job = context.jobs.register(db, "version.copy", str(arn))
    context.jobs.launch(lambda: copy_version(context, job, source["arn"]), job)
    return {"ProjectVersionArn": str(arn)}


def _check_copies(call: Call, db: Connection) -> None:
    (count,) = db.execute(
        "SELECT count(*) FROM versions JOIN projects ON versions.project = projects.arn "
        "WHERE account = ? AND region = ? AND versions.status = 'COPYING_IN_PROGRESS'",
        (call.account, call.region),
    ).fetchone()
    if count >= call.context.quotas.copies:
        raise ServiceException.limit(
            f"{count} model versions are already being copied; wait until one is done."
        )


def _check_region(parameters: dict[str, Any]) -> None:
    """Versions are copied within a Region only."""
    names = ("SourceProjectArn", "SourceProjectVersionArn", "DestinationProjectArn")
    parts = [parse_arn(parameters[name]) for name in names]
    regions = {part.region for part in parts if part is not None}
    if len(regions) > 1:
        raise ServiceException.invalid(
            f"A version cannot be copied to another Region; the ARNs name {' and '.join(sorted(regions))}."
        )


def _source(call: Call, db: Connection, parameters: dict[str, Any]) -> Row:
    """The version to copy, looked up in the account that owns it."""
    parts = parse_arn(parameters["SourceProjectArn"])
    owner = call if parts is None else attrs.evolve(call, account=parts.account)
    project = usable_project(owner, db, parameters["SourceProjectArn"])
    version = owner.version(db, parameters["SourceProjectVersionArn"])
    if version["project"] != project["arn"]:
        raise ServiceException.invalid(
            f"The version {version['arn']} is none of the project {project['arn']}."
        )
    _check_policies(call, db, project, version["arn"])
    if version["status"] not in _COPYABLE:
        raise ServiceException.in_use(
            f"The model {version['arn']} is {version['status']} and cannot be copied now."
        )
    return version


def _check_policies(call: Call, db: Connection, project: Row, version: str) -> None:
    rows = db.execute("SELECT document FROM policies WHERE project = ?", (project["arn"],)).fetchall()
    documents = [row["document"] for row in rows]
    if project["account"] == call.account:
        # Within one account no policy is needed; one may be there to keep models in.
        if denies(documents, call.account, version):
            raise _denied(call, version, "a policy of the source project denies it")
    elif not permits(documents, call.account, version):
        raise _denied(call, version, "no policy of the source project allows it, or one denies it")


def _denied(call: Call, version: str, why: str) -> ServiceException:
    return ServiceException(
        "AccessDeniedException",
        f"The account {call.account} is not authorized to perform rekognition:CopyProjectVersion on "
        f"{version}: {why}.",
    )
