"""Operations on projects: CreateProject, DescribeProjects, DeleteProject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._jobs._lifecycle import delete_project_row, mark_project_created
from rekolabels.local._operations._parameters import PageQuery
from rekolabels.local._operations.tags import set_tags

if TYPE_CHECKING:
    from sqlite3 import Connection, Row

    from rekolabels.local._core._context import Call

__all__ = [
    "CONTENT_MODERATION",
    "create_project",
    "custom_labels_project",
    "delete_project",
    "describe_projects",
    "existing_project",
]

CONTENT_MODERATION = "CONTENT_MODERATION"
"""``Feature`` of the projects that adapters are trained in."""
_CUSTOM_LABELS = "CUSTOM_LABELS"


def create_project(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Create an empty project, which can be used while its status is still ``CREATING``."""
    name = parameters["ProjectName"]
    feature = parameters.get("Feature", _CUSTOM_LABELS)
    auto_update = parameters.get("AutoUpdate")
    if feature == _CUSTOM_LABELS and auto_update is not None:
        raise ServiceException.invalid("AutoUpdate is not supported for projects with Feature=CUSTOM_LABELS.")
    if feature != _CUSTOM_LABELS and auto_update is None:
        raise ServiceException.invalid(f"AutoUpdate is required for projects with Feature={feature}.")
    context = call.context
    with context.store.write() as db:
        scope = (call.account, call.region)
        existing = db.execute(
            "SELECT status FROM projects WHERE account = ? AND region = ? AND name = ?", (*scope, name)
        ).fetchone()
        if existing is not None:
            raise ServiceException.in_use(
                f"Project {name} already exists; its status is {existing['status']}."
            )
        (count,) = db.execute(
            "SELECT count(*) FROM projects WHERE account = ? AND region = ?", scope
        ).fetchone()
        if count >= context.quotas.projects:
            raise ServiceException.limit(
                f"Cannot create project {name}: the account has reached its quota of projects "
                f"({context.quotas.projects}). Delete one first."
            )
        arn = call.new_arn(db, name, "project")
        db.execute(
            "INSERT INTO projects (arn, account, region, name, created, status, feature, auto_update) "
            "VALUES (?, ?, ?, ?, ?, 'CREATING', ?, ?)",
            (str(arn), *scope, name, arn.number, feature, auto_update),
        )
        set_tags(call, db, str(arn), parameters.get("Tags"))
        job = context.jobs.register(db, "project.create", str(arn))

    def work() -> None:
        with context.store.write() as db:
            mark_project_created(db, job.arn)
            context.jobs.finish(db, job)

    context.jobs.launch(work, job)
    return {"ProjectArn": str(arn)}


def describe_projects(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Describe the projects of the account in the Region, newest first."""
    call.context.jobs.recover()
    features = parameters.get("Features") or [_CUSTOM_LABELS]
    names = parameters.get("ProjectNames")
    page = PageQuery("DescribeProjects", parameters)
    conditions = ["account = ?", "region = ?", f"feature IN ({_placeholders(features)})"]
    values: list[Any] = [call.account, call.region, *features]
    if names:
        conditions.append(f"name IN ({_placeholders(names)})")
        values += names
    if page.position is not None:
        conditions.append("created < ?")
        values.append(page.position)
    query = f"SELECT * FROM projects WHERE {' AND '.join(conditions)} ORDER BY created DESC LIMIT ?"  # noqa: S608 - the conditions above; values are bound
    with call.context.store.read() as db:
        rows = db.execute(query, (*values, page.size + 1)).fetchall()
        rows, token = page.cut(rows, "created")
        descriptions = [_describe(db, row) for row in rows]
    return {"ProjectDescriptions": descriptions, "NextToken": token}


def delete_project(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Delete a project without datasets and versions."""
    context = call.context
    with context.store.write() as db:
        project = call.project(db, parameters["ProjectArn"])
        arn = project["arn"]
        if project["status"] == "DELETING":
            raise ServiceException.in_use(f"Project {arn} is already being deleted.")
        for table, content in (("versions", "model versions"), ("datasets", "datasets")):
            remaining = db.execute(f"SELECT arn FROM {table} WHERE project = ? LIMIT 1", (arn,)).fetchone()  # noqa: S608 - one of the two names above
            if remaining is not None:
                raise ServiceException.in_use(
                    f"Cannot delete project {arn}: it still has {content}, such as {remaining['arn']}. "
                    "Delete them first."
                )
        db.execute("UPDATE projects SET status = 'DELETING' WHERE arn = ?", (arn,))
        job = context.jobs.register(db, "project.delete", arn)

    def work() -> None:
        with context.store.write() as db:
            delete_project_row(db, job.arn)
            context.jobs.finish(db, job)

    context.jobs.launch(work, job)
    return {"Status": "DELETING"}


def existing_project(call: Call, db: Connection, arn: str) -> Row:
    """Return a project of either feature that is not being deleted.

    Raises:
        ServiceException: ``ResourceNotFoundException``.
    """
    project = call.project(db, arn)
    if project["status"] == "DELETING":
        raise ServiceException.not_found("project", arn)
    return project


def custom_labels_project(call: Call, db: Connection, arn: str) -> Row:
    """Return a Custom Labels project that is not being deleted.

    Raises:
        ServiceException: It does not exist, is being deleted, or is a content moderation project.
    """
    project = existing_project(call, db, arn)
    if project["feature"] != _CUSTOM_LABELS:
        raise ServiceException.invalid(
            f"Project {arn} has Feature={project['feature']}: such projects have no datasets, policies or "
            "copies. Use a project with Feature=CUSTOM_LABELS."
        )
    return project


def _describe(db: Connection, row: Row) -> dict[str, Any]:
    datasets = db.execute(
        "SELECT * FROM datasets WHERE project = ? ORDER BY created", (row["arn"],)
    ).fetchall()
    description: dict[str, Any] = {
        "ProjectArn": row["arn"],
        "CreationTimestamp": row["created"] / 1000,
        "Status": row["status"],
        "Datasets": [
            {
                "CreationTimestamp": dataset["created"] / 1000,
                "DatasetType": dataset["kind"],
                "DatasetArn": dataset["arn"],
                "Status": dataset["status"],
                "StatusMessage": dataset["message"] or None,
                "StatusMessageCode": dataset["code"],
            }
            for dataset in datasets
        ],
    }
    # AWS's recorded answers give no feature for Custom Labels projects.
    if row["feature"] != _CUSTOM_LABELS:
        description |= {"Feature": row["feature"], "AutoUpdate": row["auto_update"]}
    return description


def _placeholders(values: list[Any]) -> str:
    return ", ".join("?" * len(values))
