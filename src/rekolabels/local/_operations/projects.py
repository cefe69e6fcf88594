"""Projects: CreateProject, DescribeProjects, DeleteProject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._jobs._lifecycle import delete_project_row, mark_project_created
from rekolabels.local._operations._pages import DEFAULT_PAGE, make_token, read_token
from rekolabels.local._operations.tags import set_tags

if TYPE_CHECKING:
    from sqlite3 import Connection, Row

    from rekolabels.local._core._context import Call

__all__ = ["create_project", "delete_project", "describe_projects"]

_CUSTOM_LABELS = "CUSTOM_LABELS"


def create_project(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Make an empty project. It can be used at once, while its status still is ``CREATING``."""
    name = parameters["ProjectName"]
    feature = parameters.get("Feature", _CUSTOM_LABELS)
    auto_update = parameters.get("AutoUpdate")
    if feature == _CUSTOM_LABELS and auto_update is not None:
        raise ServiceException.invalid("AutoUpdate is not for projects with the feature CUSTOM_LABELS.")
    if feature != _CUSTOM_LABELS and auto_update is None:
        raise ServiceException.invalid(f"AutoUpdate must be given for a project with the feature {feature}.")
    context = call.context
    with context.store.write() as db:
        scope = (call.account, call.region)
        taken = db.execute(
            "SELECT status FROM projects WHERE account = ? AND region = ? AND name = ?", (*scope, name)
        ).fetchone()
        if taken is not None:
            raise ServiceException.in_use(
                f"A project named {name} already exists (status {taken['status']})."
            )
        (count,) = db.execute(
            "SELECT count(*) FROM projects WHERE account = ? AND region = ?", scope
        ).fetchone()
        if count >= context.quotas.projects:
            raise ServiceException.limit(f"The account already has {count} projects; more are not allowed.")
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
    """The projects of the account in the Region, newest first."""
    call.context.jobs.recover()
    features = parameters.get("Features") or [_CUSTOM_LABELS]
    names = parameters.get("ProjectNames")
    most = parameters.get("MaxResults", DEFAULT_PAGE)
    position = read_token("DescribeProjects", parameters)
    conditions = ["account = ?", "region = ?", f"feature IN ({_marks(features)})"]
    values: list[Any] = [call.account, call.region, *features]
    if names:
        conditions.append(f"name IN ({_marks(names)})")
        values += names
    if position is not None:
        conditions.append("created < ?")
        values.append(position)
    # Only our own words and question marks are put together here; the values are bound.
    query = f"SELECT * FROM projects WHERE {' AND '.join(conditions)} ORDER BY created DESC LIMIT ?"  # noqa: S608
    with call.context.store.read() as db:
        rows = db.execute(query, (*values, most + 1)).fetchall()
        answer: dict[str, Any] = {"ProjectDescriptions": [_describe(db, row) for row in rows[:most]]}
    if len(rows) > most:
        answer["NextToken"] = make_token("DescribeProjects", parameters, rows[most - 1]["created"])
    return answer


def delete_project(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Delete a project that has neither datasets nor versions left."""
    context = call.context
    with context.store.write() as db:
        project = call.project(db, parameters["ProjectArn"])
        arn = project["arn"]
        if project["status"] == "DELETING":
            raise ServiceException.in_use(f"The project {arn} is already being deleted.")
        for table, what in (("versions", "model versions"), ("datasets", "datasets")):
            left = db.execute(f"SELECT arn FROM {table} WHERE project = ? LIMIT 1", (arn,)).fetchone()  # noqa: S608 - the two names above
            if left is not None:
                raise ServiceException.in_use(
                    f"The project still has {what}, such as {left['arn']}. Delete them first."
                )
        db.execute("UPDATE projects SET status = 'DELETING' WHERE arn = ?", (arn,))
        job = context.jobs.register(db, "project.delete", arn)

    def work() -> None:
        with context.store.write() as db:
            delete_project_row(db, job.arn)
            context.jobs.finish(db, job)

    context.jobs.launch(work, job)
    return {"Status": "DELETING"}


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
    # The recorded answers for Custom Labels projects name no feature; only that of an adapter is told.
    if row["feature"] != _CUSTOM_LABELS:
        description |= {"Feature": row["feature"], "AutoUpdate": row["auto_update"]}
    return description


def _marks(values: list[Any]) -> str:
    return ", ".join("?" * len(values))
