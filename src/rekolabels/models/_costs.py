"""What a model version has cost: by the clock, and by what AWS has billed and measured."""

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

_LOOK_BACK = timedelta(days=62)
"""CloudWatch keeps values of five minutes for 63 days."""
_PAUSE = timedelta(minutes=15)
"""Values come some minutes late; a longer gap is a time in which the model did not run."""

ModelT = TypeVar("ModelT", bound="ModelHandle")

_log = logging.getLogger("rekolabels")


def training_cost(model: ModelHandle) -> TrainingCost:
    """What the training has cost."""
    found = model.describe()
    ended = found.training_ended_at or _now(model)
    begun = found.created_at or ended
    return TrainingCost(
        elapsed_seconds=(ended - begun).total_seconds(),
        billed_seconds=found.billable_training_seconds,
        prices=connection_of(model).prices(),
    )


def run_cost(model: ModelHandle, since: datetime | None, until: datetime | None) -> RunCost:
    """What running the model has cost in a span of time."""
    begin = since or _started_at(model)
    end = until or _now(model)
    if begin is None:
        raise InvalidInput(
            f"Nobody can say since when {model.version_name!r} runs, as model.running() has not started it: "
            "give since=datetime(..., tzinfo=timezone.utc)."
        )
    if begin.tzinfo is None or end.tzinfo is None or begin >= end:
        raise InvalidInput(
            f"since is {begin} and until is {end}; expected datetimes with a time zone, since the earlier."
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
    """What a model that runs now has cost since it was started: by its tags, or by CloudWatch."""
    units = found.min_inference_units or 1
    since, unit_seconds = _started_at(model), 0.0
    if since is not None:
        unit_seconds = units * max(0.0, (_now(model) - since).total_seconds())
    else:
        run = _present_run(model)
        if run:
            since, unit_seconds = run[0].since, sum(item.unit_seconds for item in run)
    cost = None
    if since is not None:
        try:
            cost = connection_of(model).prices().running(unit_seconds)
        except InvalidInput:
            _log.info("no prices are known for %s", connection_of(model).region_name)
    return RunningCost(model, found.status, units, since, cost)


def _present_run(model: ModelHandle) -> list[UnitsInService]:
    """What CloudWatch knows from the last pause on; nothing where it may not be asked, or is not."""
    now = _now(model)
    try:
        found = _measured(model, now - _LOOK_BACK, now) or []
    except RekolabelsError as error:
        _log.info("nobody can say since when %s runs: %s", model.version_name, error)
        return []
    first, begin = len(found), now
    while first and begin - found[first - 1].until <= _PAUSE:
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
