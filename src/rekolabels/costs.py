"""What training and running cost: prices as dated data that you can override, estimates, and a plan.

AWS publishes prices on its pricing page only, and changes them. The prices here are what public write-ups
report, with their date and source on them; give your own where it matters::

    client = Client(..., prices=Prices(region="eu-west-1", training_hour=1.2, inference_unit_hour=4.8))
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING

import attrs

from rekolabels.errors import InvalidInput

if TYPE_CHECKING:
    from rekolabels.models import ModelVersion  # noqa: TC004 -- a model is what costs, and asks what it costs

__all__ = ["KNOWN_PRICES", "Plan", "Prices", "RunningCost", "plan", "prices_for"]

_HOUR = 3600.0


@attrs.frozen
class Prices:
    """The prices of a Region, in US dollars."""

    region: str
    """The AWS Region, such as ``us-east-1``."""
    training_hour: float = attrs.field(validator=attrs.validators.ge(0))
    """For an hour of a successful training; failed trainings are not charged."""
    inference_unit_hour: float = attrs.field(validator=attrs.validators.ge(0))
    """For an hour and inference unit of a running model, whether it is used or not."""
    as_of: str = "given by the caller"
    """When these prices were seen."""
    source: str = "given by the caller"
    """Where these prices were seen."""

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
class RunningCost:
    """A model that costs money now."""

    model: ModelVersion
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
            f"(prices of {self.prices.region}, {self.prices.as_of}; {self.prices.source})"
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
    if images < 0 or images_per_second <= 0 or max_units < 1:
        raise InvalidInput("A plan needs images >= 0, images_per_second > 0 and max_units >= 1.")
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
        raise InvalidInput(
            f"{images:,} images cost {cost:.2f} USD with {units} inference units, more than {budget:.2f}: "
            "analyse fewer images, or allow more money or time."
        )
    return Plan(images, units, seconds, cost, prices)
