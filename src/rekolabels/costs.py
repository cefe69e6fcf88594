"""Costs of training and inference: prices, estimates, measured costs and plans.

Prices differ between Regions and change. The known prices come from public sources, which they name with a
date. Read AWS's own price list where it matters, or give your prices::

    client = Client(..., prices=Prices.from_aws(region_name="eu-west-1"))
    client = Client(..., prices=Prices(region="eu-west-1", training_hour=1.2, inference_unit_hour=4.8))
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol

import attrs

from rekolabels._arguments import (
    check_instance,
    check_integer,
    check_items,
    check_number,
    check_seconds,
    check_text,
    invalid,
)
from rekolabels._display import counted
from rekolabels.descriptions import UnitsInService
from rekolabels.errors import InvalidInput

__all__ = [
    "ACCOUNT_IMAGES_PER_SECOND",
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

ACCOUNT_IMAGES_PER_SECOND: Final = 50.0
"""Calls of DetectCustomLabels per second that an account may make in a Region, for all its models together,
unless AWS has raised the quota (AWS General Reference, read in 2026)."""

_HOUR = 3600.0
_MOST = 10**15
"""Larger counts are neither of images nor of units."""


class _Named(Protocol):
    @property
    def arn(self) -> str: ...
    @property
    def version_name(self) -> str: ...


if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    import boto3
    from typing_extensions import TypeVar

    # The default lets users write RunningCost without an argument.
    ModelT = TypeVar("ModelT", bound=_Named, default=Any)
else:
    from typing import TypeVar

    ModelT = TypeVar("ModelT")


@attrs.frozen
class Prices:
    """Prices of a Region, in US dollars."""

    region: str
    """The AWS Region, such as ``us-east-1``."""
    training_hour: float
    """Price of an hour of training; failed trainings are not billed. 0 or more."""
    inference_unit_hour: float
    """Price of an inference unit of a running model per hour, whether it is used or not. 0 or more."""
    as_of: str = "given by the caller"
    """Date of the prices."""
    source: str = attrs.field(default="given by the caller", repr=False)
    """Source of the prices."""

    def __attrs_post_init__(self) -> None:
        check_text("region", self.region, "an AWS Region, such as 'us-east-1'")
        for name in ("training_hour", "inference_unit_hour"):
            price = check_number(
                name, getattr(self, name), at_least=0, at_most=_MOST, kind="a number of US dollars"
            )
            object.__setattr__(self, name, price)

    @classmethod
    def from_aws(
        cls,
        session: boto3.Session | None = None,
        *,
        region_name: str | None = None,
        cache: str | os.PathLike[str] | None = None,
        max_age: float = 7 * 86_400,
    ) -> Prices:
        """Read the prices of a Region from the AWS Price List API (GetProducts).

        They are kept in a file, with the date from which they apply and the source, so that AWS is asked once
        a week. If AWS cannot be asked, or its price list has no such prices, the file is used whatever its
        age, then the known prices of the Region; a warning is logged.

        The caller needs the permission ``pricing:GetProducts`` on ``*``. The call is free.

        Args:
            session: The boto3 session; by default a new one with boto3's credential chain.
            region_name: The Region; by default that of the session.
            cache: The file; by default ``rekolabels/prices-<Region>.json`` in the user's folder for caches. A
                user without a home folder has none.
            max_age: Seconds for which the file is used without a call.

        Raises:
            NoRegion: No Region is set.
            NoCredentials: boto3 found no credentials.
            AccessDenied: The caller lacks the permission.
            InvalidInput: The Region has no Custom Labels, AWS could not be asked and no other prices are
                known, or the given file cannot be written.
        """
        from rekolabels._aws._pricing import prices_from_aws

        return prices_from_aws(session, region_name, cache, max_age)

    def training(self, seconds: float) -> float:
        """Return the cost of billed training seconds, in US dollars.

        >>> KNOWN_PRICES["us-east-1"].training(1899)  # BillableTrainingTimeInSeconds
        0.5275
        """
        return self.training_hour * _seconds("seconds", seconds) / _HOUR

    def running(self, seconds: float, units: float = 1) -> float:
        """Return the cost of running a model with inference units for seconds, in US dollars.

        >>> KNOWN_PRICES["us-east-1"].running(8 * 3600, units=2)
        64.0
        """
        units = check_number("units", units, at_least=0)
        return self.inference_unit_hour * units * _seconds("seconds", seconds) / _HOUR


KNOWN_PRICES: dict[str, Prices] = {
    "us-east-1": Prices(
        region="us-east-1",
        training_hour=1.0,
        inference_unit_hour=4.0,
        as_of="undated, read in 2026",
        source='README of the AWS demo "Amazon Rekognition Custom PPE Detection Demo Using Custom Labels"',
    )
}
"""Known prices by Region. Add or replace entries, or give ``Client(prices=...)``."""


def prices_for(region: str) -> Prices:
    """Return the known prices of a Region.

    Raises:
        InvalidInput: No prices are known for the Region.
    """
    check_text("region", region, "an AWS Region, such as 'us-east-1'")
    if region not in KNOWN_PRICES:
        raise InvalidInput(
            f"No prices are known for {region}. Read them from AWS: "
            f"`Client(..., prices=Prices.from_aws(region_name={region!r}))`. Or look them up on the pricing "
            f"page of Amazon Rekognition: `Client(..., prices=Prices(region={region!r}, training_hour=..., "
            "inference_unit_hour=...))`."
        )
    return KNOWN_PRICES[region]


@attrs.frozen
class RunningCost(Generic[ModelT]):
    """A model that is billed now, with its cost so far."""

    model: ModelT
    """The model version."""
    status: str
    """``STARTING``, ``RUNNING`` or ``STOPPING``."""
    inference_units: int
    """Inference units that it was started with."""
    since: datetime | None = attrs.field(repr=str)
    """When it was started, UTC; None if that is unknown."""
    cost: float | None
    """US dollars so far, by the client's prices; None if the start time or the prices are unknown."""

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
    """Cost of a training, estimated and billed; ``print()`` shows both."""

    elapsed_seconds: float
    """Seconds from the start of the training to its end, or until now if it has not ended."""
    billed_seconds: int | None
    """Seconds that AWS bills (``BillableTrainingTimeInSeconds``). They may exceed the elapsed seconds,
    because the times of parallel machines are added up. None before the end, and after a failed training."""
    prices: Prices
    """Prices of both amounts."""

    @property
    def estimate(self) -> float:
        """US dollars for the elapsed seconds."""
        return self.prices.training(self.elapsed_seconds)

    @property
    def actual(self) -> float | None:
        """US dollars for the billed seconds; None if nothing is billed (yet)."""
        return None if self.billed_seconds is None else self.prices.training(self.billed_seconds)

    def __str__(self) -> str:
        billed = "nothing billed" if self.billed_seconds is None else f"{self.billed_seconds:,} s billed"
        return (
            f"estimate {self.estimate:.2f} USD ({self.elapsed_seconds:,.0f} s elapsed), "
            f"actual {_dollars(self.actual)} ({billed}); {_basis(self.prices)}"
        )


@attrs.frozen
class TrainingEstimate:
    """Expected cost of a training, in US dollars; ``print()`` shows it."""

    least: float
    """Lowest cost of an earlier training."""
    usual: float | None
    """Median cost of the earlier trainings; None if there are none."""
    most: float
    """Highest cost of an earlier training."""
    basis: str
    """What the estimate is based on."""
    prices: Prices
    """Prices of the estimate."""

    def __str__(self) -> str:
        return f"{self.least:.2f} to {self.most:.2f} USD, based on {self.basis}; {_basis(self.prices)}"


def estimate_training(*, prices: Prices, earlier: Iterable[float] = ()) -> TrainingEstimate:
    """Estimate the cost of a training.

    AWS publishes no formula, and the duration depends on more than the number of images. Earlier trainings of
    the same project are the best basis.

    Args:
        prices: The prices of the Region.
        earlier: Billed seconds of earlier trainings (``BillableTrainingTimeInSeconds``). Without any, the
            estimate uses the developer guide: typically 30 minutes to 24 hours.

    >>> print(estimate_training(prices=KNOWN_PRICES["us-east-1"]))
    0.50 to 24.00 USD, based on the developer guide: typically 30 minutes to 24 hours; prices of us-east-1,
    undated...
    >>> estimate_training(prices=KNOWN_PRICES["us-east-1"], earlier=[1899, 3600, 5400]).usual
    1.0
    """
    _check_prices(prices)
    expected = "a list of billed seconds, such as [1899, 3600]"
    billed: list[object] = check_items("earlier", earlier, object, expected)
    costs = [prices.training(_seconds(f"earlier[{at}]", seconds)) for at, seconds in enumerate(billed)]
    if not costs:
        guide = "the developer guide: typically 30 minutes to 24 hours"
        return TrainingEstimate(prices.training(_HOUR / 2), None, prices.training(24 * _HOUR), guide, prices)
    basis = f"{len(costs)} earlier training{'s' if len(costs) > 1 else ''}"
    return TrainingEstimate(min(costs), statistics.median(costs), max(costs), basis, prices)


@attrs.frozen
class RunCost:
    """Cost of running a model in a period, estimated and measured; ``print()`` shows both."""

    since: datetime = attrs.field(repr=str)
    """Start of the period, UTC."""
    until: datetime = attrs.field(repr=str)
    """End of the period, UTC."""
    inference_units: int
    """Inference units that the model was last started with."""
    in_service: tuple[UnitsInService, ...] | None = attrs.field(repr=counted("periods"))
    """Measurements of CloudWatch; None if there is no CloudWatch, as on the embedded service."""
    prices: Prices
    """Prices of both amounts."""

    @property
    def estimate(self) -> float:
        """US dollars if the model ran in the whole period with the units that it was started with."""
        return self.prices.running((self.until - self.since).total_seconds(), self.inference_units)

    @property
    def unit_hours(self) -> float | None:
        """Measured inference units times hours: 2 units for 8 hours are 16. None without measurements."""
        if self.in_service is None:
            return None
        return sum(item.unit_seconds for item in self.in_service) / _HOUR

    @property
    def actual(self) -> float | None:
        """US dollars for the measured unit hours; None without measurements."""
        return None if self.unit_hours is None else self.prices.running(_HOUR, self.unit_hours)

    def __str__(self) -> str:
        hours = (self.until - self.since).total_seconds() / _HOUR
        measured = "not measured" if self.unit_hours is None else f"{self.unit_hours:.2f} unit hours measured"
        return (
            f"estimate {self.estimate:.2f} USD ({hours:.2f} h with {_units(self.inference_units)}), "
            f"actual {_dollars(self.actual)} ({measured}); {_basis(self.prices)}"
        )


@attrs.frozen
class Plan:
    """Inference units, time and cost to analyse a number of images; ``print()`` shows them."""

    images: int
    """Number of images."""
    inference_units: int
    """Inference units to start the model with."""
    seconds: float
    """Seconds that the analysis takes, without the start of the model."""
    cost: float
    """US dollars, including the start of the model."""
    prices: Prices
    """Prices of the estimate."""

    def __str__(self) -> str:
        return (
            f"{self.images:,} image{'' if self.images == 1 else 's'} with {_units(self.inference_units)}: "
            f"{self.seconds / _HOUR:.1f} h, {self.cost:.2f} USD "
            f"({_basis(self.prices)})"
        )


def _units(count: float) -> str:
    return f"{count} inference unit{'' if count == 1 else 's'}"


def plan(
    images: int,
    *,
    prices: Prices,
    images_per_second: float = 5.0,
    deadline: float | None = None,
    budget: float | None = None,
    max_units: int = 5,
    max_images_per_second: float = ACCOUNT_IMAGES_PER_SECOND,
    start_seconds: float = 900.0,
) -> Plan:
    """Return the smallest number of inference units that meets a deadline, with time and cost.

    Args:
        images: Number of images.
        prices: The prices of the Region.
        images_per_second: Throughput of one inference unit. AWS publishes no number; texts of 2019 and 2020
            say up to 5. Measure yours with ``detect_many`` and one unit.
        deadline: Seconds within which all images must be analysed, including the start of the model.
        budget: Maximum cost in US dollars.
        max_units: Quota of inference units of a model; 5 by default in AWS.
        max_images_per_second: Quota of the account for calls of DetectCustomLabels, for all models together;
            50 by default in AWS.
        start_seconds: Seconds that the model takes to start. It serves no images in that time, but may be
            billed.

    Raises:
        InvalidInput: No number of units meets deadline and budget, or an argument is out of range.

    >>> print(plan(100_000, prices=KNOWN_PRICES["us-east-1"], deadline=3 * 3600))
    100,000 images with 3 inference units: 1.9 h, 25.22 USD (prices of us-east-1, undated...
    """
    if isinstance(images, Collection):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
        raise invalid("images", images, "the number of images", "Pass len(images).")
    images = check_integer("images", images, at_least=0, at_most=_MOST)
    _check_prices(prices)
    images_per_second = check_number("images_per_second", images_per_second, above=0, at_most=_MOST)
    if deadline is not None:
        deadline = _seconds("deadline", deadline)
    if budget is not None:
        budget = check_number("budget", budget, at_least=0, kind="a number of US dollars", optional=True)
    max_units = check_integer("max_units", max_units, at_least=1, at_most=_MOST)
    most = check_number("max_images_per_second", max_images_per_second, above=0, at_most=_MOST)
    start_seconds = _seconds("start_seconds", start_seconds)
    units = 1
    if deadline is not None:
        useful = max(0.0, deadline - start_seconds)
        per_unit = images_per_second * useful
        capacity = min(max_units * per_unit, most * useful)
        if deadline <= start_seconds or images > capacity:
            by_account = most < max_units * images_per_second
            what = (
                f"An account with a quota of {most:g} images per second"
                if by_account
                else (f"{max_units} inference units at {images_per_second:g} images per second each")
            )
            raise InvalidInput(
                f"Cannot analyse {images:,} images in {deadline / _HOUR:.1f} h. {what} can analyse "
                f"{math.floor(capacity):,}, after a start of {start_seconds / 60:.0f} min. Allow more time, "
                f"or request a higher quota of {'calls' if by_account else 'units'}."
            )
        units = min(max_units, max(1, math.ceil(images / per_unit))) if images else 1
    rate = min(images_per_second * units, most)
    seconds = images / rate
    cost = prices.running(seconds + start_seconds, units)
    if budget is not None and cost > budget:
        useful = max(0.0, budget / prices.running(1, units) - start_seconds)
        raise InvalidInput(
            f"{images:,} images cost {cost:.2f} USD with {units} inference "
            f"unit{'s' if units > 1 else ''}, more than the budget of {budget:.2f} USD, which is enough for "
            f"{int(useful * rate):,} images. Analyse fewer images, or allow a larger "
            f"budget{' or more time' if units > 1 else ''}."
        )
    return Plan(images, units, seconds, cost, prices)


def _seconds(name: str, value: object) -> float:
    """Check a number of seconds, which may not be None."""
    seconds = check_seconds(name, value)
    if seconds is None or math.isinf(seconds):
        raise invalid(name, value, "a number of seconds, 0 or more")
    return seconds


def _check_prices(prices: object) -> None:
    fix = f"Pass prices_for({prices!r})." if isinstance(prices, str) else "Pass prices_for('us-east-1')."
    check_instance("prices", prices, Prices, "the Prices of a Region", fix)


def _basis(prices: Prices) -> str:
    """Return Region, date and source of prices, which every printed amount shows."""
    return f"prices of {prices.region}, {prices.as_of}; {prices.source}"


def _dollars(amount: float | None) -> str:
    return "unknown" if amount is None else f"{amount:.2f} USD"
