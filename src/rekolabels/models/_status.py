"""What a snapshot of a model version means for somebody who waits for it, and the errors that say so."""

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

__all__ = ["UNDERWAY", "has_become", "is_trained", "model_failed", "read_json", "timed_out"]

UNDERWAY = frozenset({"TRAINING_IN_PROGRESS", "COPYING_IN_PROGRESS"})
"""A training or copy that has not ended."""

# What follows a training that went well; FAILED is a start or stop that failed, and is looked at apart.
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
    """Whether a snapshot (None for a version that is gone) shows a training that ended well.

    Raises:
        TrainingFailed: It ended badly.
        ModelFailed: It is a copy that failed.
        UnexpectedStatus: It will never end well from there.
    """
    if found is None:
        raise _vanished(arn)
    if found.status in UNDERWAY:
        return False
    if found.status == "TRAINING_FAILED":
        raise _training_failed(found, s3)
    if found.status == "COPYING_FAILED":
        raise model_failed(found)
    if found.status in _TRAINED or (found.status == "FAILED" and found.evaluation_summary is not None):
        return True
    raise _unexpected(found, "trained")


def has_become(arn: str, found: ModelDescription | None, goal: str, *, underway: str) -> bool:
    """Whether a snapshot shows the status that is waited for.

    Raises:
        ModelFailed: The start or stop failed.
        UnexpectedStatus: It will never get there.
    """
    if found is None:
        raise _vanished(arn)
    if found.status == "FAILED":
        raise model_failed(found)
    if found.status not in {goal, underway}:
        raise _unexpected(found, goal)
    return found.status == goal


def _training_failed(found: ModelDescription, s3: S3) -> TrainingFailed:
    summary: Mapping[str, Any] = {}
    if found.manifest_summary is not None:
        try:
            summary = read_json(s3, found.manifest_summary)
        except RekolabelsError as error:
            _log.warning("the manifest summary of the failed training cannot be read: %s", error)
    codes = _codes(summary)
    message = f"The training of {found.version_name!r} failed: {found.status_message or 'without a reason'}"
    if codes:
        message += f" ({', '.join(codes)})"
    if found.manifest_summary is not None:
        message += f". The service's account of the training data is {found.manifest_summary}"
    if found.training_validation is not None:
        message += f", each line with its errors is in {found.training_validation}"
    return TrainingFailed(
        message,
        arn=found.arn,
        status=found.status,
        status_message=found.status_message,
        codes=codes,
        summary=summary,
    )


def model_failed(found: ModelDescription) -> ModelFailed:
    """Make the error for a start, stop or copy that failed, with the service's reason."""
    return ModelFailed(
        f"The model version {found.version_name!r} is {found.status}: "
        f"{found.status_message or 'the service gave no reason'}",
        arn=found.arn,
        status=found.status,
        status_message=found.status_message,
    )


def _vanished(arn: str) -> UnexpectedStatus:
    return UnexpectedStatus(
        f"The model version {parse_version_arn(arn)[1]!r} no longer exists: {arn}",
        arn=arn,
        status=None,
    )


def _unexpected(found: ModelDescription, goal: str) -> UnexpectedStatus:
    return UnexpectedStatus(
        f"The model version {found.version_name!r} is {found.status}, and will not become {goal} so"
        f"{': start() it first' if goal == 'RUNNING' else ''}.",
        arn=found.arn,
        status=found.status,
    )


def timed_out(arn: str, goal: str, last: ModelDescription | None, waited: float, again: str) -> WaitTimedOut:
    """Make the error of a wait that ended before its job, with the call that goes on."""
    status = last.status if last else None
    return WaitTimedOut(
        f"The model version {parse_version_arn(arn)[1]!r} is not {goal} after {waited:.0f} s, it is "
        f"{status}; the service goes on with it. Attach again with client.model({arn!r}).{again}.",
        arn=arn,
        status=status,
        waited=waited,
    )


def read_json(s3: S3, location: S3Location) -> Mapping[str, Any]:
    """Read a JSON object from S3.

    Raises:
        ObjectNotFound: It is gone.
        InvalidEvaluation: It is no JSON object.
    """
    body = s3.get(location)
    try:
        found: Any = json.loads(body)
    except ValueError as error:
        raise InvalidEvaluation(f"{location} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidEvaluation(f"{location} holds a {type(found).__name__}, expected an object")
    return cast("dict[str, Any]", found)


def _codes(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the codes of a manifest summary, those of both datasets and those that span them."""
    statistics: Mapping[str, Any] = summary.get("statistics", {})
    parts: list[Mapping[str, Any]] = [
        summary,
        statistics.get("training", {}),
        statistics.get("testing", {}),
    ]
    found = (str(error.get("code")) for part in parts for error in part.get("errors", ()))
    return tuple(dict.fromkeys(found))
