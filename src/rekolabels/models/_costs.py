"""Costs of a model version: estimated from times, and measured by AWS."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from rekolabels._aws._arns import parse_version_arn
from rekolabels._aws._connection import connection_of
from rekolabels.costs import RunCost, RunningCost, TrainingCost
from rekolabels.errors import InvalidInput, RekolabelsError
from rekolabels.models._lease_tags import LeaseTags

if TYPE_CHECKING:
    from rekolabels.descriptions import ModelDescription, UnitsInService
    from rekolabels.models._handle import ModelHandle

__all__ = ["cost_so_far", "run_cost", "training_cost"]

_LOOKBACK = timedelta(days=62)
"""CloudWatch keeps five-minute values for 63 days."""
_MAX_GAP = timedelta(minutes=15)
"""Values arrive some minutes late. In a longer gap the model did not run."""

ModelT = TypeVar("ModelT", bound="ModelHandle")

_log = logging.getLogger("rekolabels")


def training_cost(model: ModelHandle) -> TrainingCost:
    """Return the cost of the training, or of its time so far."""
    found = model.describe()
    ended = found.training_ended_at or _now(model)
    began = found.created_at or ended
    return TrainingCost(
        # The clock of this machine may be behind that of the service.
        elapsed_seconds=max(0.0, (ended - began).total_seconds()),
        billed_seconds=found.billable_training_seconds,
        prices=connection_of(model).prices(),
    )


def run_cost(model: ModelHandle, since: datetime | None, until: datetime | None) -> RunCost:
    """Return the cost of running the model in a period."""
    begin = since or _started_at(model)
    end = until or _now(model)
    if begin is None:
        raise InvalidInput(
            f"The start time of model version {model.version_name!r} is unknown, because model.running() did "
            "not start it. Give it: `since=datetime(..., tzinfo=timezone.utc)`."
        )
    if begin.tzinfo is None or end.tzinfo is None or begin >= end:
        raise InvalidInput(
            f"since is {begin} and until is {end}; expected datetimes with a time zone, since before until."
        )
    prices = connection_of(model).prices()
    found = model.describe()
    measured = _measured(model, begin, end)
    return RunCost(
        since=begin,
        until=end,
        inference_units=found.min_inference_units or 1,
        in_service=None if measured is None else tuple(measured),
        prices=prices,
    )


def cost_so_far(model: ModelT, found: ModelDescription) -> RunningCost[ModelT]:
    """Return the cost of a running model since its start, from its lease tags or from CloudWatch."""
    units = found.min_inference_units or 1
    since, unit_seconds = _started_at(model), 0.0
    if since is not None:
        unit_seconds = units * max(0.0, (_now(model) - since).total_seconds())
    else:
        run = _current_run(model)
        if run:
            since, unit_seconds = run[0].since, sum(item.unit_seconds for item in run)
    cost = None
    if since is not None:
        try:
            cost = connection_of(model).prices().running(unit_seconds)
        except InvalidInput:
            _log.info("No prices are known for %s.", connection_of(model).region_name)
    return RunningCost(model, found.status, units, since, cost)


def _current_run(model: ModelHandle) -> list[UnitsInService]:
    """Return the measured units since the last gap; empty if CloudWatch cannot be read."""
    now = _now(model)
    try:
        found = _measured(model, now - _LOOKBACK, now) or []
    except RekolabelsError as error:
        _log.info("The start time of %s is unknown: %s", model.version_name, error)
        return []
    first, begin = len(found), now
    while first and begin - found[first - 1].until <= _MAX_GAP:
        first -= 1
        begin = found[first].since
    return found[first:]


def _measured(model: ModelHandle, since: datetime, until: datetime) -> list[UnitsInService] | None:
    project_name, version_name = parse_version_arn(model.arn)
    return connection_of(model).cloudwatch.units_in_service(project_name, version_name, since, until)


def _started_at(model: ModelHandle) -> datetime | None:
    started_at = LeaseTags.fetch(model).started_at
    return None if started_at is None else datetime.fromtimestamp(started_at, UTC)


def _now(model: ModelHandle) -> datetime:
    return datetime.fromtimestamp(connection_of(model).retry.time(), UTC)
