"""Copy of a model version to another project, in the same account or another."""

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
    wait: bool,
    timeout: float | None,
) -> str:
    """Copy a model version (CopyProjectVersion).

    For a copy to another account, a project policy is attached, and removed when the copy has ended. A failed
    copy is deleted.

    Args:
        model: The source.
        destination: Connection of the account that makes and owns the copy.
        project_arn: Project of the copy.
        version_name: Name of the copy.
        output: Where the result files are copied to.
        tags: Tags of the copy.
        kms_key_id: KMS key for the results.
        wait: Wait for the copy.
        timeout: Seconds for each of the waits.

    Returns:
        The ARN of the copy.
    """
    if _region(model.arn) != _region(project_arn):
        raise InvalidInput(
            f"Cannot copy model version {model.version_name!r} from {_region(model.arn)} to project "
            f"{parse_project_arn(project_arn)!r} in {_region(project_arn)}: both must be in the same Region. "
            "Train the model there instead."
        )
    if not wait and _account(model.arn) != _account(project_arn):
        raise InvalidInput(
            f"Cannot copy model version {model.version_name!r} to account {_account(project_arn)} with "
            "wait=False: the project policy that allows the copy is removed when the copy is complete. Use "
            "wait=True."
        )
    with _temporary_policy(model, project_arn):
        arn = destination.rekognition.copy_project_version(
            model.arn,
            model.project_arn,
            project_arn,
            version_name,
            output=output,
            tags=tags,
            kms_key_id=kms_key_id,
        )
        if not wait:
            return arn
        copy = ModelHandle(destination, arn, project_arn)
        try:
            copy.wait_until_trained(timeout=timeout)
        except JobFailed:
            try:
                copy.delete(timeout=timeout)
            except RekolabelsError as error:
                # Log it only, because the caller needs the reason for which the copy failed.
                _log.warning("Could not delete the failed copy %s: %s", copy.arn, error)
            raise
    return arn


@contextmanager
def _temporary_policy(model: ModelHandle, project_arn: str) -> Generator[None]:
    """Allow the account of the project to copy the model, during the block (PutProjectPolicy)."""
    source, destination = _account(model.arn), _account(project_arn)
    if source == destination:
        yield  # a copy within one account needs no policy
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
    gateway = connection_of(model).rekognition
    gateway.put_project_policy(model.project_arn, name, document)
    try:
        yield
    finally:
        try:
            gateway.delete_project_policy(model.project_arn, name)
        except RekolabelsError as error:
            # Log it only: the caller needs the result of the copy, and the policy allows no more than it.
            _log.warning("Could not remove policy %s from %s: %s", name, model.project_arn, error)


def _account(arn: str) -> str:
    return arn.split(":")[4]


def _region(arn: str) -> str:
    return arn.split(":")[3]
