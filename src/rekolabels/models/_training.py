"""Starts of trainings: choose a name, continue with a version that exists, and train a failed one again."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from rekolabels._aws._arns import parse_project_arn
from rekolabels.errors import ResourceInUse
from rekolabels.models._model_version import ModelVersion

if TYPE_CHECKING:
    from collections.abc import Callable

    from rekolabels._aws._connection import Connection
    from rekolabels.descriptions import ModelDescription

__all__ = ["find_version", "start_training"]

_MAX_ATTEMPTS = 10
"""Attempts to start a training while other processes create versions with the same name."""
_NUMBERED = re.compile(r"v(\d{1,9})", re.ASCII)
_FAILED = frozenset({"TRAINING_FAILED", "COPYING_FAILED"})
"""Statuses of a version that was never usable and cannot become so."""

_log = logging.getLogger("rekolabels")


def find_version(connection: Connection, project_arn: str, version_name: str) -> ModelDescription | None:
    """Return the version with this name; None if there is none (DescribeProjectVersions)."""
    return next(connection.rekognition.describe_project_versions(project_arn, [version_name]), None)


def start_training(
    connection: Connection,
    project_arn: str,
    version_name: str | None,
    create: Callable[[str], str],
    *,
    exist_ok: bool,
) -> ModelVersion:
    """Start a training, or return the version that an earlier call has started.

    Args:
        connection: The connection of the project.
        project_arn: The project.
        version_name: Name of the version; None for the next free one of ``v1``, ``v2`` and so on.
        create: Starts the training of a version with a name, and returns its ARN.
        exist_ok: Return a version with this name that is training or trained. Delete one that failed.

    Raises:
        ResourceInUse: A version with this name exists, or a dataset is busy.
    """
    name, last = version_name, 0
    for _ in range(_MAX_ATTEMPTS):
        if version_name is None:
            last = 1 + max(last, _last_number(connection, project_arn))
            name = f"v{last}"
        assert name is not None  # noqa: S101 -- given or chosen
        if exist_ok:
            existing = _usable_version(connection, project_arn, name)
            if existing is not None:
                return existing
        try:
            return ModelVersion(connection, create(name), project_arn)
        except ResourceInUse as error:
            found = find_version(connection, project_arn, name)
            if found is None:
                raise
            if version_name is not None and not exist_ok:
                raise error.explained(
                    f"Project {parse_project_arn(project_arn)!r} already has a model version {name!r} "
                    f"({found.status}). Use `project.model({name!r})` or `project.train({name!r}, "
                    "exist_ok=True)`, or train a new version with `project.train()`."
                ) from error
    raise ResourceInUse(
        f"Cannot train model version {name!r}: other processes keep creating it.",
        operation="CreateProjectVersion",
        code="ResourceInUseException",
    )


def _usable_version(connection: Connection, project_arn: str, name: str) -> ModelVersion | None:
    """Return the version with this name if it is training or trained; delete it if it failed."""
    found = find_version(connection, project_arn, name)
    if found is None:
        return None
    model = ModelVersion(connection, found.arn, project_arn)
    project_name = parse_project_arn(project_arn)
    if found.status in _FAILED or found.status == "DELETING":
        if found.status in _FAILED:
            _log.warning(
                "Model version %r of project %r has status %s: %s Deleting it and training it again.",
                name,
                project_name,
                found.status,
                found.status_message or "The service gave no reason.",
            )
        model.delete()
        return None
    _log.info("Project %r already has model version %r (%s).", project_name, name, found.status)
    _warn_if_outdated(connection, project_arn, found)
    return model


def _warn_if_outdated(connection: Connection, project_arn: str, found: ModelDescription) -> None:
    """Warn if the project has a dataset that is newer than the version."""
    project_name = parse_project_arn(project_arn)
    for project in connection.rekognition.describe_projects([project_name]):
        times = [dataset.created_at for dataset in project.datasets if project.arn == project_arn]
        if any(time and found.created_at and time > found.created_at for time in times):
            _log.warning(
                "Model version %r was trained before the present datasets of project %r were created. To "
                "train with them, use `project.train()`, or another name.",
                found.version_name,
                project_name,
            )


def _last_number(connection: Connection, project_arn: str) -> int:
    """Return the greatest number of a version that is named v1, v2 and so on; 0 if there is none."""
    names = (found.version_name for found in connection.rekognition.describe_project_versions(project_arn))
    return max((int(match[1]) for name in names if (match := _NUMBERED.fullmatch(name))), default=0)
