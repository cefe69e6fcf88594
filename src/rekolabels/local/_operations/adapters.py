"""What sets the versions of content moderation projects, the adapters, apart from models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rekolabels.local._core._exceptions import ServiceException

if TYPE_CHECKING:
    from sqlite3 import Connection, Row

    from rekolabels.local._core._context import Call

__all__ = ["MODERATION", "check_adapter_request", "project_for_training", "refuse_adapter"]

MODERATION = "CONTENT_MODERATION"


def project_for_training(call: Call, db: Connection, arn: str) -> Row:
    """A project of either feature that is not being deleted.

    Raises:
        ServiceException: It does not exist, or not any more.
    """
    project = call.project(db, arn)
    if project["status"] == "DELETING":
        raise ServiceException.not_found("project", arn)
    return project


def check_adapter_request(parameters: dict[str, Any]) -> None:
    """See that an adapter's training has its manifests: such projects have no datasets.

    Raises:
        ServiceException: It has not.
    """
    if "TrainingData" not in parameters or "TestingData" not in parameters:
        raise ServiceException.invalid(
            "An adapter needs TrainingData with a manifest, and TestingData with a manifest or AutoCreate."
        )
    if "ContentModeration" not in parameters.get("FeatureConfig", {"ContentModeration": {}}):
        raise ServiceException.invalid("FeatureConfig of an adapter must hold ContentModeration.")


def refuse_adapter(version: Row) -> None:
    """Refuse what only models of Custom Labels can do.

    Raises:
        ServiceException: The version is an adapter.
    """
    if json.loads(version["request"]).get("Feature") == MODERATION:
        raise ServiceException.invalid(
            f"{version['arn']} is a content moderation adapter: it is used by DetectModerationLabels as soon "
            "as it is trained, and is neither started, stopped nor copied."
        )
