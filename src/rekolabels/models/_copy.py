"""Copying a model version into another project, in the same account or another."""

from __future__ import annotations

import json
import logging
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rekolabels._aws._arns import parse_project_arn
from rekolabels._aws._connection import connection_of
from rekolabels.errors import InvalidInput, JobFailed, RekolabelsError
from rekolabels.models._handle import ModelHandle

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from rekolabels._aws._connection import Connection
    from rekolabels.descriptions import S3Location

__all__ = ["copy_model"]

_log = logging.getLogger("rekolabels")


def copy_model(
    model: ModelHandle,
    destination: Connection,
    project_arn: str,
    version_name: str,
    *,
    output: S3Location,
    tags: Mapping[str, str] | None,
    kms_key_id: str | None,
    timeout: float | None,
) -> str:
    """Copy, wait, and leave nothing behind: no policy afterwards, and no half of a copy after a failure."""
    if _region(model.arn) != _region(project_arn):
        raise InvalidInput(
            f"{model.version_name!r} lies in {_region(model.arn)} and the project "
            f"{parse_project_arn(project_arn)!r} in {_region(project_arn)}: a model version can be copied "
            "within a Region only. Train it there."
        )
    with _allowed(model, project_arn):
        arn = destination.rekognition.copy_project_version(
            model.arn,
            model.project_arn,
            project_arn,
            version_name,
            output=output,
            tags=tags,
            kms_key_id=kms_key_id,
        )
        copy = ModelHandle(destination, arn, project_arn)
        try:
            copy.wait_until_trained(timeout=timeout)
        except JobFailed:
            try:
                copy.delete(timeout=timeout)
            except RekolabelsError as error:
                # Why the copy failed is what the caller must know.
                _log.warning("the failed copy %s cannot be deleted: %s", copy.arn, error)
            raise
    return arn


@contextmanager
def _allowed(model: ModelHandle, project_arn: str) -> Generator[None]:
    """Allow the account of the destination to make the copy, for the time of the block."""
    source, destination = _account(model.arn), _account(project_arn)
    if source == destination:
        yield  # within one account no policy is needed
        return
    name = f"rekolabels-copy-{uuid.uuid4().hex[:12]}"
    partition = model.arn.split(":")[1]
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:{partition}:iam::{destination}:root"},
        "Action": "rekognition:CopyProjectVersion",
        "Resource": model.arn,
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    source_api = connection_of(model).rekognition
    source_api.put_project_policy(model.project_arn, name, document)
    try:
        yield
    finally:
        try:
            source_api.delete_project_policy(model.project_arn, name)
        except RekolabelsError as error:
            # What the caller must know is how the copy went; the policy allows this one copy and no more.
            _log.warning("the policy %s stays on %s: %s", name, model.project_arn, error)


def _account(arn: str) -> str:
    return arn.split(":")[4]


def _region(arn: str) -> str:
    return arn.split(":")[3]
