"""What a dataset holds: its entries and labels, listed, changed and divided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._jobs._datasets import distribute_entries, update_entries
from rekolabels.local._operations._pages import DEFAULT_PAGE, make_token, read_token

if TYPE_CHECKING:
    from sqlite3 import Connection, Row

    from rekolabels.local._core._context import Call
    from rekolabels.local._core._job import Job

__all__ = [
    "distribute_dataset_entries",
    "list_dataset_entries",
    "list_dataset_labels",
    "update_dataset_entries",
]

_SETTLED = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_FAILED")


def update_dataset_entries(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Add entries, or replace those of the same image."""
    content = parameters["Changes"]["GroundTruth"]
    try:
        content.decode()
    except UnicodeDecodeError:
        raise ServiceException.invalid("Changes.GroundTruth is not UTF-8 text.") from None
    context = call.context
    with context.store.write() as db:
        dataset = call.dataset(db, parameters["DatasetArn"])
        if dataset["status"] not in _SETTLED:
            raise ServiceException.in_use(
                f"The dataset {dataset['arn']} is {dataset['status']} and cannot be updated now."
            )
        job = _begin_update(call, db, dataset["arn"])
    context.jobs.launch(lambda: update_entries(context, job, content), job)
    return {}


def list_dataset_entries(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """The entries that pass every filter given, in the order in which they came."""
    call.context.jobs.recover()
    most = parameters.get("MaxResults", DEFAULT_PAGE)
    position = read_token("ListDatasetEntries", parameters) or 0
    conditions = ["dataset = ?", "id > ?"]
    values: list[Any] = []
    if "Labeled" in parameters:
        conditions.append("labelled = ?")
        values.append(parameters["Labeled"])
    # HasErrors=False is what the service's own sample sends to get every line: it filters nothing.
    if parameters.get("HasErrors"):
        conditions.append("errors")
    if "SourceRefContains" in parameters:
        conditions.append("instr(source_ref, ?) > 0")
        values.append(parameters["SourceRefContains"])
    if "ContainsLabels" in parameters:
        wanted = parameters["ContainsLabels"]
        marks = ", ".join("?" * len(wanted))
        conditions.append(
            f"EXISTS (SELECT 1 FROM entry_labels WHERE entry = entries.id AND label IN ({marks}))"  # noqa: S608 - question marks
        )
        values += wanted
    query = f"SELECT id, line FROM entries WHERE {' AND '.join(conditions)} ORDER BY id LIMIT ?"  # noqa: S608 - the conditions above
    with call.context.store.read() as db:
        dataset = _readable(call, db, parameters["DatasetArn"])
        rows = db.execute(query, (dataset["id"], position, *values, most + 1)).fetchall()
    token = make_token("ListDatasetEntries", parameters, rows[most - 1]["id"]) if len(rows) > most else ""
    # An empty token on the last page, as recorded.
    return {"DatasetEntries": [row["line"] for row in rows[:most]], "NextToken": token}


def list_dataset_labels(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """The labels in use, by name, with the number of images that have them."""
    call.context.jobs.recover()
    most = parameters.get("MaxResults", DEFAULT_PAGE)
    position = read_token("ListDatasetLabels", parameters) or ""
    with call.context.store.read() as db:
        dataset = _readable(call, db, parameters["DatasetArn"])
        rows = db.execute(
            "SELECT label, count(*) AS entries, sum(boxed) AS boxed FROM entry_labels "
            "WHERE dataset = ? AND label > ? GROUP BY label ORDER BY label LIMIT ?",
            (dataset["id"], position, most + 1),
        ).fetchall()
    answer: dict[str, Any] = {"DatasetLabelDescriptions": [_describe_label(row) for row in rows[:most]]}
    if len(rows) > most:
        answer["NextToken"] = make_token("ListDatasetLabels", parameters, rows[most - 1]["label"])
    return answer


def distribute_dataset_entries(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Move a fifth of the training entries to the empty test dataset of the same project."""
    context = call.context
    with context.store.write() as db:
        by_kind = {
            row["kind"]: row for row in (call.dataset(db, item["Arn"]) for item in parameters["Datasets"])
        }
        if set(by_kind) != {"TRAIN", "TEST"}:
            raise ServiceException.invalid("Datasets must be one training and one test dataset.")
        train, test = by_kind["TRAIN"], by_kind["TEST"]
        if train["project"] != test["project"]:
            raise ServiceException.invalid(
                "The training and the test dataset must belong to the same project."
            )
        for dataset in (train, test):
            if dataset["status"] not in _SETTLED:
                raise ServiceException.not_ready(f"The dataset {dataset['arn']} is {dataset['status']}.")
        if test["total"]:
            raise ServiceException.invalid(f"The test dataset {test['arn']} is not empty.")
        jobs = [_begin_update(call, db, row["arn"]) for row in (train, test)]
    context.jobs.launch(lambda: distribute_entries(context, *jobs), *jobs)
    return {}


def _begin_update(call: Call, db: Connection, arn: str) -> Job:
    db.execute(
        "UPDATE datasets SET status = 'UPDATE_IN_PROGRESS', message = 'The dataset is being updated.', "
        "code = NULL WHERE arn = ?",
        (arn,),
    )
    return call.context.jobs.register(db, "dataset.update", arn)


def _readable(call: Call, db: Connection, arn: str) -> Row:
    dataset = call.dataset(db, arn)
    status = dataset["status"]
    if status in ("CREATE_IN_PROGRESS", "CREATE_FAILED"):
        raise ServiceException.not_ready(f"The dataset {arn} is {status}.")
    if status not in _SETTLED:
        raise ServiceException.in_use(f"The dataset {arn} is {status}.")
    return dataset


def _describe_label(row: Row) -> dict[str, Any]:
    # As recorded, the count of boxes is left out where the label is on no box.
    stats = {"EntryCount": row["entries"], "BoundingBoxCount": row["boxed"] or None}
    return {"LabelName": row["label"], "LabelStats": stats}
