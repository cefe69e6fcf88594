"""DetectModerationLabels, by the base model that knows no label or by an adapter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._engine import UnusableImage
from rekolabels.local._jobs._moderation import BASE_MODEL, DEFAULT_MIN_CONFIDENCE, detect_labels
from rekolabels.local._operations.inference import fetch_image, refuse_image

if TYPE_CHECKING:
    from sqlite3 import Connection, Row

    from rekolabels.local._core._context import Call

__all__ = ["detect_moderation_labels", "find_adapter"]


def detect_moderation_labels(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """What an adapter sees in an image; without one nothing, and the model version says why."""
    if "HumanLoopConfig" in parameters:
        raise ServiceException.invalid(
            "HumanLoopConfig is not served here: the embedded service has no reviewers."
        )
    arn = parameters.get("ProjectVersion")
    number: int | None = None
    if arn is not None:
        with call.context.store.read() as db:
            number = find_adapter(call, db, arn)["number"]
    data = fetch_image(call, parameters["Image"])
    try:
        labels = detect_labels(
            call.context.models, number, data, parameters.get("MinConfidence", DEFAULT_MIN_CONFIDENCE)
        )
    except UnusableImage as error:
        raise refuse_image(error) from None
    return {
        "ModerationLabels": labels,
        "ModerationModelVersion": BASE_MODEL,
        "ProjectVersion": arn,
        "ContentTypes": [],
    }


def find_adapter(call: Call, db: Connection, arn: str) -> Row:
    """A trained adapter.

    Raises:
        ServiceException: It does not exist, is a model of Custom Labels, or is not trained.
    """
    version = call.version(db, arn)
    if json.loads(version["request"]).get("Feature") != "CONTENT_MODERATION":
        raise ServiceException.invalid(f"{arn} is a model of Custom Labels; an adapter is needed.")
    if version["status"] != "TRAINING_COMPLETED":
        raise ServiceException.not_ready(
            f"The adapter {arn} is {version['status']}; it must be TRAINING_COMPLETED."
        )
    return version
