"""What runs in an account and costs money, and stopping what nobody uses."""

from __future__ import annotations

import contextlib
import logging
import uuid
from typing import TYPE_CHECKING

from rekolabels.errors import RekolabelsError, ResourceNotFound, SweepIncomplete
from rekolabels.models._costs import cost_so_far
from rekolabels.models._lease_tags import GOOD_FOR, Marks, forget, stop_unless_used, wait_while
from rekolabels.models._model_version import ModelVersion

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from rekolabels.client import Client
    from rekolabels.costs import RunningCost
    from rekolabels.descriptions import ModelDescription

__all__ = ["running_models", "sweep"]

_COSTS_MONEY = frozenset({"STARTING", "RUNNING", "STOPPING"})
_CAN_BE_STARTED = frozenset({"TRAINING_COMPLETED", "STOPPED", "COPYING_COMPLETED", "FAILED"})

_log = logging.getLogger("rekolabels")


def running_models(client: Client) -> Iterator[RunningCost]:
    """Yield the models of a Region that cost money now."""
    for model, found in _versions(client):
        if found.status in _COSTS_MONEY:
            with contextlib.suppress(ResourceNotFound):  # deleted meanwhile
                yield cost_so_far(model, found)


def sweep(clients: Iterable[Client], *, wait: bool, timeout: float | None) -> list[ModelVersion]:
    """Stop what dead processes left running, and take their tags from what has stopped without them.

    One Region or model that fails does not keep the others from being swept.

    Raises:
        SweepIncomplete: Something failed; raised when all others are swept.
    """
    swept: list[ModelVersion] = []
    errors: list[RekolabelsError] = []
    for client in clients:
        versions: list[tuple[ModelVersion, ModelDescription]] = []
        with _noting(errors, client.region_name):
            versions += _versions(client)
        # First what costs money.
        for model, found in sorted(versions, key=lambda version: version[1].status not in _COSTS_MONEY):
            with _noting(errors, model.arn):
                if _is_swept(model, found.status, wait=wait, timeout=timeout):
                    swept.append(model)
    if wait:
        for model in swept:
            with _noting(errors, model.arn):
                wait_while(model, "STOPPING", timeout=timeout)
    if errors:
        raise SweepIncomplete(
            f"{len(swept)} models were stopped, but not everything could be looked at or stopped: "
            + "; ".join(map(str, errors)),
            stopped=tuple(model.arn for model in swept),
            errors=tuple(errors),
        )
    return swept


def _is_swept(model: ModelVersion, status: str, *, wait: bool, timeout: float | None) -> bool:
    """Look at one model; True when it was stopped by this."""
    if status not in _COSTS_MONEY | _CAN_BE_STARTED:
        return False
    try:
        marks = Marks.of(model)
    except ResourceNotFound:
        return False
    if marks.users or (marks.leavers and status in _CAN_BE_STARTED):
        return False
    if status in _CAN_BE_STARTED:
        # Who starts it next by other means must not be taken for the process that is dead. The start of one
        # that was killed a moment ago may still be under way.
        if model.client.retry.time() - (marks.started_at or 0.0) > GOOD_FOR:
            forget(model, marks.names)
        return False
    if not marks.abandoned:
        forget(model, marks.dead)  # a model of somebody else, which a process had joined
        return False
    if status == "STARTING" and not wait:
        return False
    return stop_unless_used(model, uuid.uuid4().hex[:12], timeout=timeout)


@contextlib.contextmanager
def _noting(errors: list[RekolabelsError], what: str) -> Generator[None]:
    try:
        yield
    except RekolabelsError as error:
        _log.warning("%s cannot be swept: %s", what, error)
        errors.append(error)


def _versions(client: Client) -> Iterator[tuple[ModelVersion, ModelDescription]]:
    for project in client.projects():
        with contextlib.suppress(ResourceNotFound):  # deleted meanwhile
            for found in client.api.describe_project_versions(project.arn):
                yield ModelVersion(client, found.arn, project.arn), found
