"""Statuses of model versions: which of them end a wait, and the errors of those that fail it."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, cast

from rekolabels._aws._arns import parse_version_arn
from rekolabels.errors import (
    InvalidEvaluation,
    ModelFailed,
    RekolabelsError,
    TrainingFailed,
    UnexpectedStatus,
    WaitTimedOut,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rekolabels._aws._s3 import S3
    from rekolabels.descriptions import ModelDescription, S3Location

__all__ = ["IN_PROGRESS", "has_reached", "is_trained", "model_failed", "read_json", "timed_out"]

IN_PROGRESS = frozenset({"TRAINING_IN_PROGRESS", "COPYING_IN_PROGRESS"})
"""Statuses of a training or copy that has not ended."""

# Statuses after a successful training. FAILED is a start or stop that failed, and is handled separately.
_TRAINED = frozenset(
    {
        "TRAINING_COMPLETED",
        "STARTING",
        "RUNNING",
        "STOPPING",
        "STOPPED",
        "COPYING_COMPLETED",
        "DEPRECATED",
        "EXPIRED",
    }
)

_log = logging.getLogger("rekolabels")


def is_trained(arn: str, found: ModelDescription | None, s3: S3) -> bool:
    """Return whether the training or copy has succeeded.

    Args:
        arn: ARN of the model version.
        found: Its description; None if it does not exist.
        s3: Gateway, to read the manifest summary of a failed training.

    Raises:
        TrainingFailed: The training failed.
        ModelFailed: The copy failed.
        UnexpectedStatus: The training cannot succeed any more.
    """
    if found is None:
        raise _not_found(arn)
    if found.status in IN_PROGRESS:
        return False
    if found.status == "TRAINING_FAILED":
        raise _training_failed(found, s3)
    if found.status == "COPYING_FAILED":
        raise model_failed(found)
    if found.status in _TRAINED or (found.status == "FAILED" and found.evaluation_summary is not None):
        return True
    raise _unexpected(found, "trained")


def has_reached(arn: str, found: ModelDescription | None, goal: str, *, in_progress: str) -> bool:
    """Return whether a start or stop has reached its goal.

    Args:
        arn: ARN of the model version.
        found: Its description; None if it does not exist.
        goal: The status to wait for.
        in_progress: The status that leads to it.

    Raises:
        ModelFailed: The start or stop failed.
        UnexpectedStatus: The goal cannot be reached from the status.
    """
    if found is None:
        raise _not_found(arn)
    if found.status == "FAILED":
        raise model_failed(found)
    if found.status not in {goal, in_progress}:
        raise _unexpected(found, goal)
    return found.status == goal


def _training_failed(found: ModelDescription, s3: S3) -> TrainingFailed:
    summary: Mapping[str, Any] = {}
    if found.manifest_summary is not None:
        try:
            summary = read_json(s3, found.manifest_summary)
        except RekolabelsError as error:
            _log.warning("Cannot read the manifest summary of the failed training: %s", error)
    codes = _codes(summary)
    reason = found.status_message.rstrip(".") or "the service gave no reason"
    message = f"Training of model version {found.version_name!r} failed: {reason}."
    if found.manifest_summary is not None:
        message += f" Summary of the training data: {found.manifest_summary}."
    if found.training_validation is not None:
        message += f" Errors of each line: {found.training_validation}, or `model.validation()`."
    message += f" To train it again: `project.train({found.version_name!r}, exist_ok=True)`."
    if codes:
        message += f" [{', '.join(codes)}]"
    return TrainingFailed(
        message,
        arn=found.arn,
        status=found.status,
        status_message=found.status_message,
        codes=codes,
        summary=summary,
    )


def model_failed(found: ModelDescription) -> ModelFailed:
    """Return the error for a start, stop or copy that failed, with the service's reason."""
    return ModelFailed(
        f"Model version {found.version_name!r} has status {found.status}: "
        f"{found.status_message or 'the service gave no reason.'}",
        arn=found.arn,
        status=found.status,
        status_message=found.status_message,
    )


def _not_found(arn: str) -> UnexpectedStatus:
    return UnexpectedStatus(
        f"Model version {parse_version_arn(arn)[1]!r} no longer exists: {arn}.",
        arn=arn,
        status=None,
    )


def _unexpected(found: ModelDescription, goal: str) -> UnexpectedStatus:
    return UnexpectedStatus(
        f"Model version {found.version_name!r} cannot become {goal} from {found.status}"
        f"{': call start() first' if goal == 'RUNNING' else ''}.",
        arn=found.arn,
        status=found.status,
    )


def timed_out(
    arn: str, goal: str, last: ModelDescription | None, waited: float, resume_call: str
) -> WaitTimedOut:
    """Return the error for a wait that timed out, with the call that continues it."""
    status = last.status if last else None
    return WaitTimedOut(
        f"Model version {parse_version_arn(arn)[1]!r} is not {goal} after {waited:.0f} s but {status}; the "
        f"service continues. To go on waiting: client.model({arn!r}).{resume_call}.",
        arn=arn,
        status=status,
        waited=waited,
    )


def read_json(s3: S3, location: S3Location) -> Mapping[str, Any]:
    """Read a JSON object from S3.

    Raises:
        ObjectNotFound: The object does not exist.
        InvalidEvaluation: The content is not a JSON object.
    """
    body = s3.get(location)
    try:
        found: Any = json.loads(body)
    except ValueError as error:
        raise InvalidEvaluation(f"{location} is not valid JSON: {error}.") from error
    if not isinstance(found, dict):
        raise InvalidEvaluation(f"{location} contains a JSON {type(found).__name__}; expected an object.")
    return cast("dict[str, Any]", found)


def _codes(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the error codes of a manifest summary: of each dataset and of both together."""
    statistics: Mapping[str, Any] = summary.get("statistics", {})
    parts: list[Mapping[str, Any]] = [
        summary,
        statistics.get("training", {}),
        statistics.get("testing", {}),
    ]
    found = (str(error.get("code")) for part in parts for error in part.get("errors", ()))
    return tuple(dict.fromkeys(found))
