"""``running_models`` and ``sweep``: find the models that are billed, and stop those that no process uses."""

from __future__ import annotations

import contextlib
import logging
import uuid
from typing import TYPE_CHECKING

from rekolabels._aws._connection import connection_of
from rekolabels.errors import RekolabelsError, ResourceNotFound, SweepIncomplete
from rekolabels.models._costs import cost_so_far
from rekolabels.models._lease_tags import (
    ACTIVE_STATUSES,
    LEASE_TTL,
    LeaseTags,
    announce_stop,
    remove_announcement,
    remove_tags,
    stop_unless_used,
    wait_while,
)
from rekolabels.models._model_version import ModelVersion

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from rekolabels._aws._connection import Connection
    from rekolabels.costs import RunningCost
    from rekolabels.descriptions import ModelDescription

__all__ = ["running_models", "sweep"]

_STARTABLE_STATUSES = frozenset({"TRAINING_COMPLETED", "STOPPED", "COPYING_COMPLETED", "FAILED"})

_log = logging.getLogger("rekolabels")


def running_models(connection: Connection) -> Iterator[RunningCost[ModelVersion]]:
    """Yield the models of a Region that are starting, running or stopping, with their costs so far."""
    for model, found in _versions(connection):
        if found.status in ACTIVE_STATUSES:
            with contextlib.suppress(ResourceNotFound):  # deleted meanwhile
                yield cost_so_far(model, found)


def sweep(connections: Iterable[Connection], *, wait: bool, timeout: float | None) -> list[ModelVersion]:
    """Stop the models that dead processes left running, and remove their tags from models that have stopped.

    An error in one Region or model does not prevent the others from being swept.

    Args:
        connections: A connection to each Region.
        wait: Wait for models that are starting, and until the stopped ones have the status STOPPED.
        timeout: Seconds for each of the waits.

    Returns:
        The models that were stopped.

    Raises:
        SweepIncomplete: There were errors; raised after all other models are swept.
    """
    swept: list[ModelVersion] = []
    errors: list[RekolabelsError] = []
    for connection in connections:
        versions: list[tuple[ModelVersion, ModelDescription]] = []
        with _collecting(errors, connection.region_name):
            versions += _versions(connection)
        # Stop the billed models first.
        for model, found in sorted(versions, key=lambda version: version[1].status not in ACTIVE_STATUSES):
            with _collecting(errors, model.arn):
                if _sweep_model(model, found.status, wait=wait, timeout=timeout):
                    swept.append(model)
    if wait:
        for model in swept:
            with _collecting(errors, model.arn):
                wait_while(model, "STOPPING", timeout=timeout)
    if errors:
        raise SweepIncomplete(
            f"The sweep is incomplete: {len(swept)} models stopped, {len(errors)} Regions or models failed: "
            + "; ".join(map(str, errors)),
            stopped=tuple(model.arn for model in swept),
            errors=tuple(errors),
        )
    return swept


def _sweep_model(model: ModelVersion, status: str, *, wait: bool, timeout: float | None) -> bool:
    """Stop a model, or remove its expired tags; return whether it was stopped."""
    if status not in ACTIVE_STATUSES | _STARTABLE_STATUSES:
        return False
    try:
        tags = LeaseTags.fetch(model)
    except ResourceNotFound:
        return False
    if tags.holders or (tags.stopping and status in _STARTABLE_STATUSES):
        return False
    if status in _STARTABLE_STATUSES:
        # Without this, a sweep would stop the model after its next start by other means, as if the dead
        # process had started it. Wait first, since the start of a process that was just killed may be late.
        if tags.names and connection_of(model).retry.time() - (tags.started_at or 0.0) > LEASE_TTL:
            _remove_abandoned_tags(model)
        return False
    if not tags.abandoned:
        remove_tags(model, tags.expired)  # a model that was started by other means, and joined by a process
        return False
    if status == "STARTING" and not wait:
        return False
    return stop_unless_used(model, uuid.uuid4().hex[:12], timeout=timeout)


def _remove_abandoned_tags(model: ModelVersion) -> None:
    """Remove the tags of a model that has stopped, unless a process that slept starts it at this moment."""
    sweep_id = uuid.uuid4().hex[:12]
    try:
        announce_stop(model, sweep_id)
        tags = LeaseTags.fetch(model)  # after the announcement, as explained in _lease_tags
        is_stopped = model.status in _STARTABLE_STATUSES
    except ResourceNotFound:
        return
    if tags.holders or not is_stopped:
        remove_announcement(model, sweep_id)
    else:
        remove_tags(model, set(tags.names).difference(tags.stopping_tags_of_others(sweep_id)))


@contextlib.contextmanager
def _collecting(errors: list[RekolabelsError], name: str) -> Generator[None]:
    """Log and collect an error of the block instead of raising it."""
    try:
        yield
    except RekolabelsError as error:
        _log.warning("Could not sweep %s: %s", name, error)
        errors.append(error)


def _versions(connection: Connection) -> Iterator[tuple[ModelVersion, ModelDescription]]:
    """Yield all model versions of a Region with their descriptions."""
    for project in connection.rekognition.describe_projects():
        with contextlib.suppress(ResourceNotFound):  # deleted meanwhile
            for found in connection.rekognition.describe_project_versions(project.arn):
                yield ModelVersion(connection, found.arn, project.arn), found
