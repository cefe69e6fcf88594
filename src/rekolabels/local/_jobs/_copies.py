"""Copying a model version: its model within the workspace, its result files within S3."""

from __future__ import annotations

import copy
import json
import logging
import shutil
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from rekolabels.local._core._folders import version_folder
from rekolabels.local._core._places import object_of, result_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from sqlite3 import Row

    from rekolabels.local._core._context import Context
    from rekolabels.local._core._job_runner import Job
from rekolabels.manifest._json import is_list, is_object

__all__ = ["copy_version"]

_log = logging.getLogger("rekolabels.local")


def copy_version(context: Context, job: Job, source: str) -> None:
    """The work of CopyProjectVersion: the copy is complete, or has failed and says why."""
    with context.store.read() as db:
        old, new = _version(db, source), _version(db, job.arn)
    status, message = "COPYING_COMPLETED", "The model version was copied and is ready to run."
    results: dict[str, Any] = {}
    folder = version_folder(context.folder, new["number"])
    try:
        results = _copy_results(context.s3(), old, new)
        shutil.copytree(version_folder(context.folder, old["number"]), folder)
    except (ClientError, BotoCoreError, OSError) as error:
        _log.warning("%s cannot be copied to %s", source, job.arn, exc_info=True)
        status, message = "COPYING_FAILED", f"The model version could not be copied: {error}"
        shutil.rmtree(folder, ignore_errors=True)
    with context.store.write() as db:
        db.execute(
            "UPDATE versions SET status = ?, message = ?, results = ? WHERE arn = ?",
            (status, message, json.dumps(results), job.arn),
        )
        context.jobs.finish(db, job)


def _version(db: Any, arn: str) -> Row:
    row: Row = db.execute(
        "SELECT versions.*, projects.name AS project_name FROM versions "
        "JOIN projects ON versions.project = projects.arn WHERE versions.arn = ?",
        (arn,),
    ).fetchone()
    return row


def _copy_results(s3: Any, old: Row, new: Row) -> dict[str, Any]:
    """Copy every result file to the output location of the copy; what an answer then says about them.

    A file keeps its kind and gets the names of the new project and version, so that two copies in one place
    never overwrite each other.
    """
    output = json.loads(new["request"])["OutputConfig"]
    before, after = f"{old['project_name']}-{old['name']}", f"{new['project_name']}-{new['name']}"
    results: dict[str, Any] = copy.deepcopy(json.loads(old["results"]))
    for place in _places(results):
        kind = place["Name"].rsplit("/", 1)[-1].removesuffix(f"-{before}.json")
        target = {
            "Bucket": output["S3Bucket"],
            "Name": result_key(output.get("S3KeyPrefix", ""), f"{kind}-{after}.json"),
        }
        s3.copy_object(CopySource=object_of(place), Bucket=target["Bucket"], Key=target["Name"])
        place.update(target)
    return results


def _places(value: object) -> Iterator[dict[str, Any]]:
    """Every ``S3Object`` within an answer."""
    if is_object(value):
        for name, inner in value.items():
            if name == "S3Object":
                yield inner
            else:
                yield from _places(inner)
    elif is_list(value):
        for inner in value:
            yield from _places(inner)
