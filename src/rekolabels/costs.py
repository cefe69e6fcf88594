"""What training and running cost: prices as dated data that you can override, estimates, and a plan.

AWS publishes prices on its pricing page only, and changes them. The prices here are what public write-ups
report, with their date and source on them; give your own where it matters::

    client = Client(..., prices=Prices(region="eu-west-1", training_hour=1.2, inference_unit_hour=4.8))
"""

from __future__ import annotations

import math
import statistics
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Protocol

import attrs

from rekolabels.descriptions import UnitsInService
from rekolabels.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "KNOWN_PRICES",
    "Plan",
    "Prices",
    "RunCost",
    "RunningCost",
    "TrainingCost",
    "TrainingEstimate",
    "estimate_training",
    "plan",
    "prices_for",
]

_HOUR = 3600.0


class _Named(Protocol):
    @property
    def arn(self) -> str: ...
    @property
    def version_name(self) -> str: ...


if TYPE_CHECKING:
    from typing_extensions import TypeVar

    # The default lets users write RunningCost without an argument.
    ModelT = TypeVar("ModelT", bound=_Named, default=Any)
else:
    from typing import TypeVar

    ModelT = TypeVar("ModelT")


@attrs.frozen
class Prices:
    """The prices of a Region, in US dollars."""

    region: str
    """The AWS Region, such as ``us-east-1``."""
    training_hour: float
    """For an hour of a successful training; failed trainings are not charged."""
    inference_unit_hour: float
    """For an hour and inference unit of a running model, whether it is used or not."""
    as_of: str = "given by the caller"
    """When these prices were seen."""
    source: str = "given by the caller"
    """Where these prices were seen."""

    def __attrs_post_init__(self) -> None:
        for name in ("training_hour", "inference_unit_hour"):
            value = getattr(self, name)
            if not value >= 0:
                raise InvalidInput(f"{name} is {value!r}; expected US dollars, 0 or more.")

    def training(self, seconds: float) -> float:
        """Return what so many billed seconds of training cost, in US dollars.

        >>> KNOWN_PRICES["us-east-1"].training(1899)  # BillableTrainingTimeInSeconds
        0.5275
        """
        return self.training_hour * seconds / _HOUR

    def running(self, seconds: float, units: float = 1) -> float:
        """Return what running a model for so many seconds costs, in US dollars.

        >>> KNOWN_PRICES["us-east-1"].running(8 * 3600, units=2)
        64.0
        """
        return self.inference_unit_hour * units * seconds / _HOUR


KNOWN_PRICES: dict[str, Prices] = {
    "us-east-1": Prices(
        region="us-east-1",
        training_hour=1.0,
        inference_unit_hour=4.0,
        as_of="undated, read in 2026",
        source='README of the AWS demo "Amazon Rekognition Custom PPE Detection Demo Using Custom Labels"',
    )
}
"""The prices that are known here, by Region. Add or replace entries, or give ``Client(prices=...)``."""


def prices_for(region: str) -> Prices:
    """Return the known prices of a Region.

    Raises:
        InvalidInput: None are known.
    """
    if region not in KNOWN_PRICES:
        raise InvalidInput(
            f"No prices are known for {region}: see the pricing page of Amazon Rekognition and give them, "
            f"Client(..., prices=Prices(region={region!r}, training_hour=..., inference_unit_hour=...))."
        )
    return KNOWN_PRICES[region]


@attrs.frozen
class RunningCost(Generic[ModelT]):
    """A model that costs money now."""

    model: ModelT
    """The model version."""
    status: str
    """``STARTING``, ``RUNNING`` or ``STOPPING``."""
    inference_units: int
    """Units that it was started with."""
    since: datetime | None
    """When it was started, UTC; None when nobody can say."""
    cost: float | None
    """US dollars so far, by the client's prices; None when the time or the price is not known."""

    @property
    def arn(self) -> str:
        """ARN of the model version."""
        return self.model.arn

    @property
    def version_name(self) -> str:
        """Name of the model version."""
        return self.model.version_name


@attrs.frozen
class TrainingCost:
    """What a training has cost, estimated and billed. ``print()`` shows it."""

    elapsed_seconds: float
    """Time on the clock, from the begin of the training to its end, or until now while it goes on."""
    billed_seconds: int | None
    """``BillableTrainingTimeInSeconds``: what AWS bills. It may exceed the time on the clock, as machines
    that work at the same time are added up; None before the end, and after a training that failed."""
    prices: Prices
    """The prices of both amounts."""

    @property
    def estimate(self) -> float:
        """US dollars, by the time on the clock."""
        return self.prices.training(self.elapsed_seconds)

    @property
    def actual(self) -> float | None:
        """US dollars, by the billed seconds; None where nothing is billed (yet)."""
        return None if self.billed_seconds is None else self.prices.training(self.billed_seconds)

    def __str__(self) -> str:
        billed = "nothing billed" if self.billed_seconds is None else f"{self.billed_seconds:,} s billed"
        return (
            f"estimate {self.estimate:.2f} USD ({self.elapsed_seconds:,.0f} s by the clock), "
            f"actual {_dollars(self.actual)} ({billed}); {_basis(self.prices)}"
        )


@attrs.frozen
class TrainingEstimate:
    """What a training may cost, before it is begun, in US dollars. ``print()`` shows it."""

    least: float
    """The cheapest that was seen."""
    usual: float | None
    """The median of the earlier trainings; None when there are none."""
    most: float
    """The dearest that was seen."""
    basis: str
    """What it goes by."""
    prices: Prices
    """The prices that it was made with."""

    def __str__(self) -> str:
        return f"{self.least:.2f} to {self.most:.2f} USD, by {self.basis}; {_basis(self.prices)}"


def estimate_training(*, prices: Prices, earlier: Iterable[float] = ()) -> TrainingEstimate:
    """Estimate what a training will cost.

    AWS publishes no formula, and the time does not follow from the number of images alone; so the best guide
    are earlier trainings of the same project.

    Args:
        prices: The prices of the Region.
        earlier: Billed seconds of earlier trainings (``BillableTrainingTimeInSeconds``). Without any, the
            estimate is what the developer guide says: typically 30 minutes to 24 hours.

    >>> print(estimate_training(prices=KNOWN_PRICES["us-east-1"]))
    0.50 to 24.00 USD, by the guide: typically 30 minutes to 24 hours; prices of us-east-1, undated...
    >>> estimate_training(prices=KNOWN_PRICES["us-east-1"], earlier=[1899, 3600, 5400]).usual
    1.0
    """
    costs = [prices.training(seconds) for seconds in earlier]
    if not costs:
        guide = "the guide: typically 30 minutes to 24 hours"
        return TrainingEstimate(prices.training(_HOUR / 2), None, prices.training(24 * _HOUR), guide, prices)
    basis = f"{len(costs)} earlier training{'s' if len(costs) > 1 else ''}"
    return TrainingEstimate(min(costs), statistics.median(costs), max(costs), basis, prices)


@attrs.frozen
class RunCost:
    """What running a model has cost in a span of time, estimated and measured. ``print()`` shows it."""

    since: datetime
    """Begin of the span, UTC."""
    until: datetime
    """Its end, UTC."""
    inference_units: int
    """Units that the model was last started with."""
    in_service: tuple[UnitsInService, ...] | None
    """What CloudWatch has measured; None where there is no CloudWatch, as on the embedded service."""
    prices: Prices
    """The prices of both amounts."""

    @property
    def estimate(self) -> float:
        """US dollars, as if the model had run all the time with the units that it was started with."""
        return self.prices.running((self.until - self.since).total_seconds(), self.inference_units)

    @property
    def unit_hours(self) -> float | None:
        """Inference units times hours, as measured: 2 units for 8 hours are 16."""
        if self.in_service is None:
            return None
        return sum(item.unit_seconds for item in self.in_service) / _HOUR

    @property
    def actual(self) -> float | None:
        """US dollars, by the unit hours that were measured; None where nothing can be measured."""
        return None if self.unit_hours is None else self.prices.running(_HOUR, self.unit_hours)

    def __str__(self) -> str:
        hours = (self.until - self.since).total_seconds() / _HOUR
        measured = "not measured" if self.unit_hours is None else f"{self.unit_hours:.2f} unit hours measured"
        return (
            f"estimate {self.estimate:.2f} USD ({hours:.2f} h with {self.inference_units} inference units), "
            f"actual {_dollars(self.actual)} ({measured}); {_basis(self.prices)}"
        )


@attrs.frozen
class Plan:
    """How to analyse a number of images. ``print()`` shows it."""

    images: int
    """Images to analyse."""
    inference_units: int
    """Units to start the model with."""
    seconds: float
    """Time that the analysis takes, without the start of the model."""
    cost: float
    """What it costs, in US dollars, the start of the model included."""
    prices: Prices
    """The prices that it was made with."""

    def __str__(self) -> str:
        return (
            f"{self.images:,} images with {self.inference_units} inference units: "
            f"{self.seconds / _HOUR:.1f} h, {self.cost:.2f} USD "
            f"({_basis(self.prices)})"
        )


def plan(
    images: int,
    *,
    prices: Prices,
    images_per_second: float = 5.0,
    deadline: float | None = None,
    budget: float | None = None,
    max_units: int = 5,
    start_seconds: float = 900.0,
) -> Plan:
    """Plan the analysis of many images: the fewest inference units that keep the deadline and the budget.

    Args:
        images: How many images.
        prices: The prices of the Region.
        images_per_second: What one inference unit serves. AWS publishes no figure; texts of 2019 and 2020
            said up to 5. Measure yours with ``detect_many`` and one unit.
        deadline: Seconds until all must be done, the start of the model included.
        budget: US dollars at the most.
        max_units: Units that the account allows for a model; 5 by default.
        start_seconds: Time that the model takes to start, in which it is not useful but may be billed.

    Raises:
        InvalidInput: No number of units does it; the message says why.

    >>> print(plan(100_000, prices=KNOWN_PRICES["us-east-1"], deadline=3 * 3600))
    100,000 images with 3 inference units: 1.9 h, 25.22 USD (prices of us-east-1, undated...
    """
    if images < 0 or images_per_second <= 0 or max_units < 1 or not (budget is None or budget >= 0):
        raise InvalidInput("A plan needs images >= 0, images_per_second > 0, max_units >= 1 and budget >= 0.")
    units = 1
    if deadline is not None:
        useful = deadline - start_seconds
        most = int(max_units * images_per_second * max(0.0, useful))
        units = math.ceil(images / (images_per_second * useful)) if useful > 0 else max_units + 1
        if units > max_units:
            raise InvalidInput(
                f"{images:,} images cannot be done in {deadline / _HOUR:.1f} h: {max_units} inference units "
                f"at {images_per_second:g} images a second each do {most:,}, after a start of "
                f"{start_seconds / 60:.0f} min. Allow more time, or ask AWS for more units."
            )
        units = max(1, units)
    seconds = images / (images_per_second * units)
    cost = prices.running(seconds + start_seconds, units)
    if budget is not None and cost > budget:
        useful = max(0.0, budget / prices.running(1, units) - start_seconds)
        raise InvalidInput(
            f"{images:,} images cost {cost:.2f} USD with {units} inference units, more than {budget:.2f}, "
            f"which pays for {int(useful * images_per_second * units):,}: analyse fewer images, or allow "
            f"more money{' or time' if units > 1 else ''}."
        )
    return Plan(images, units, seconds, cost, prices)


def _basis(prices: Prices) -> str:
    """No amount without where and when its price was seen."""
    return f"prices of {prices.region}, {prices.as_of}; {prices.source}"


def _dollars(amount: float | None) -> str:
    return "unknown" if amount is None else f"{amount:.2f} USD"
