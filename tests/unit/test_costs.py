"""Prices, cost estimates and plans."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekolabels.costs import (
    KNOWN_PRICES,
    Prices,
    RunCost,
    TrainingCost,
    estimate_training,
    plan,
    prices_for,
)
from rekolabels.descriptions import UnitsInService
from rekolabels.errors import InvalidInput

PRICES = Prices("us-east-1", training_hour=1.0, inference_unit_hour=4.0)


def test_prices_carry_their_date_and_source() -> None:
    """Every known price has a date and a source."""
    for region, prices in KNOWN_PRICES.items():
        assert prices.region == region
        assert prices.as_of
        assert prices.source


def test_billed_seconds_may_exceed_elapsed_seconds() -> None:
    """The training recorded from AWS: 1,639 s elapsed, 1,899 s billed."""
    cost = TrainingCost(elapsed_seconds=1639, billed_seconds=1899, prices=PRICES)
    assert (round(cost.estimate, 4), cost.actual) == (0.4553, 0.5275)
    assert str(cost).startswith("estimate 0.46 USD (1,639 s elapsed), actual 0.53 USD (1,899 s billed)")
    failed = TrainingCost(elapsed_seconds=1639, billed_seconds=None, prices=PRICES)
    assert failed.actual is None
    assert "actual unknown (nothing billed)" in str(failed)


@given(st.lists(st.floats(0, 10**6), min_size=1))
def test_an_estimate_spans_earlier_trainings(earlier: list[float]) -> None:
    """The estimate is the lowest, median and highest cost of earlier trainings."""
    made = estimate_training(prices=PRICES, earlier=earlier)
    assert made.usual is not None
    assert (made.least, made.most) == (min(earlier) / 3600, max(earlier) / 3600)
    assert made.least <= made.usual <= made.most


def test_the_first_training_is_estimated_by_the_developer_guide() -> None:
    """Without earlier trainings: half an hour to a day, and no usual cost."""
    made = estimate_training(prices=PRICES)
    assert (made.least, made.usual, made.most) == (0.5, None, 24.0)


def test_a_plan_uses_the_fewest_units_that_meet_the_deadline() -> None:
    """One unit if it is enough, and otherwise as many as necessary."""
    relaxed = plan(18_000, prices=PRICES, deadline=2 * 3600)
    assert (relaxed.inference_units, relaxed.seconds) == (1, 3600)
    assert relaxed.cost == 4.0 * (3600 + 900) / 3600
    assert plan(36_000, prices=PRICES, deadline=900 + 3600).inference_units == 2


def test_a_deadline_that_cannot_be_met_is_an_error() -> None:
    """The error says how many images can be analysed."""
    with pytest.raises(InvalidInput, match="each can analyse 90,000"):
        plan(1_000_000, prices=PRICES, deadline=900 + 3600)
    with pytest.raises(InvalidInput, match="each can analyse 0"):
        plan(1, prices=PRICES, deadline=60)


def test_a_budget_that_is_too_small_is_an_error() -> None:
    """The error says what the plan would cost."""
    with pytest.raises(
        InvalidInput, match=r"cost 5\.00 USD with 1 inference unit, more than the budget of 4\.00 USD"
    ):
        plan(18_000, prices=PRICES, budget=4)
    assert plan(13_500, prices=PRICES, budget=4).cost == 4.0
    with pytest.raises(InvalidInput, match="enough for 13,500 images"):
        plan(13_501, prices=PRICES, budget=4)


@given(
    images=st.integers(0, 10**7),
    rate=st.floats(0.5, 50),
    hours=st.floats(0.3, 100),
    budget=st.floats(1, 10_000),
)
def test_a_plan_meets_deadline_and_budget(images: int, rate: float, hours: float, budget: float) -> None:
    """A plan meets deadline and budget or is an error; with one unit less it would be late."""
    try:
        made = plan(images, prices=PRICES, images_per_second=rate, deadline=hours * 3600, budget=budget)
    except InvalidInput:
        return
    useful = hours * 3600 - 900
    assert made.seconds <= useful * (1 + 1e-9)
    assert made.cost <= budget
    if made.inference_units > 1:
        assert images / (rate * (made.inference_units - 1)) > useful * (1 - 1e-9)


def test_an_estimate_names_its_basis() -> None:
    """The developer guide or earlier trainings, and date and source of the prices."""
    known = "prices of us-east-1, given by the caller; given by the caller"
    assert [str(estimate_training(prices=PRICES, earlier=[3600] * count)) for count in range(3)] == [
        f"0.50 to 24.00 USD, based on the developer guide: typically 30 minutes to 24 hours; {known}",
        f"1.00 to 1.00 USD, based on 1 earlier training; {known}",
        f"1.00 to 1.00 USD, based on 2 earlier trainings; {known}",
    ]


def test_a_run_is_billed_by_the_units_in_service() -> None:
    """Measured unit hours give the actual cost; without measurements it is unknown."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    middle, end = begin + timedelta(hours=1), begin + timedelta(hours=4)
    in_service = (UnitsInService(begin, middle, 1.0), UnitsInService(middle, end, 2.0))
    cost = RunCost(begin, end, 2, in_service, PRICES)
    assert (cost.estimate, cost.unit_hours, cost.actual) == (32.0, 7.0, 28.0)
    known = "prices of us-east-1, given by the caller; given by the caller"
    assert str(cost) == (
        "estimate 32.00 USD (4.00 h with 2 inference units), "
        f"actual 28.00 USD (7.00 unit hours measured); {known}"
    )
    unmeasured = RunCost(begin, end, 1, None, PRICES)
    assert (unmeasured.estimate, unmeasured.unit_hours, unmeasured.actual) == (16.0, None, None)
    assert str(unmeasured) == (
        f"estimate 16.00 USD (4.00 h with 1 inference unit), actual unknown (not measured); {known}"
    )


def test_prices_are_for_one_unit_by_default() -> None:
    """Costs are computed to the second."""
    assert (PRICES.running(3600), PRICES.running(1800, 3), PRICES.training(1800)) == (4.0, 6.0, 0.5)


@pytest.mark.parametrize("price", [-1, math.inf, math.nan])
def test_prices_are_amounts(price: float) -> None:
    """An infinite price would make every cost and budget infinite."""
    with pytest.raises(InvalidInput, match="inference_unit_hour is"):
        Prices("us-east-1", 1.0, price)


def test_one_unit_is_singular() -> None:
    """As in most plans."""
    assert str(plan(1, prices=PRICES)).startswith("1 image with 1 inference unit: ")


def test_a_plan_prints_its_numbers() -> None:
    """Images, units, hours and dollars, including the start of the model."""
    made = plan(36_000, prices=PRICES, deadline=900 + 3600)
    assert (made.images, made.seconds, made.cost) == (36_000, 3600.0, 10.0)
    assert str(made) == (
        "36,000 images with 2 inference units: 1.0 h, 10.00 USD "
        "(prices of us-east-1, given by the caller; given by the caller)"
    )


@pytest.mark.parametrize(
    ("images", "rate", "units", "budget"),
    [(-1, 5, 5, None), (1, 0, 5, None), (1, -5, 5, None), (1, 5, 0, None), (1, 5, 5, -0.01)],
)
def test_invalid_numbers_of_a_plan(images: int, rate: float, units: int, budget: float | None) -> None:
    """Each invalid argument is an error by itself."""
    with pytest.raises(InvalidInput) as caught:
        plan(images, prices=PRICES, images_per_second=rate, max_units=units, budget=budget)
    assert re.match(r"(images|images_per_second|max_units|budget) is -?[0-9.]+; expected ", str(caught.value))


def test_the_smallest_plan() -> None:
    """No images need one unit; the budget may be less than a dollar if the start costs less."""
    made = plan(0, prices=PRICES, max_units=1, budget=0.5, start_seconds=360)
    assert (made.inference_units, made.seconds, made.cost) == (1, 0.0, 0.4)


def test_errors_of_a_plan() -> None:
    """The messages say what is possible and what to change."""
    with pytest.raises(InvalidInput) as caught:
        plan(1_000_000, prices=PRICES, deadline=900 + 3600)
    assert str(caught.value) == (
        "Cannot analyse 1,000,000 images in 1.2 h. 5 inference units at 5 images per second each can analyse "
        "90,000, after a start of 15 min. Allow more time, or request a higher quota of units."
    )
    with pytest.raises(InvalidInput) as caught:
        plan(36_000, prices=PRICES, deadline=900 + 3600, budget=6)
    assert str(caught.value) == (
        "36,000 images cost 10.00 USD with 2 inference units, more than the budget of 6.00 USD, which is "
        "enough for 18,000 images. Analyse fewer images, or allow a larger budget or more time."
    )
    with pytest.raises(InvalidInput) as caught:
        plan(18_000, prices=PRICES, budget=4)
    assert str(caught.value) == (
        "18,000 images cost 5.00 USD with 1 inference unit, more than the budget of 4.00 USD, which is "
        "enough for 13,500 images. Analyse fewer images, or allow a larger budget."
    )


def test_unknown_prices_name_the_call_that_gives_them() -> None:
    """The message shows how to give prices for the Region."""
    with pytest.raises(InvalidInput) as caught:
        prices_for("eu-west-1")
    assert str(caught.value) == (
        "No prices are known for eu-west-1. Read them from AWS: "
        "`Client(..., prices=Prices.from_aws(region_name='eu-west-1'))`. Or look them up on the pricing page "
        "of Amazon Rekognition: `Client(..., prices=Prices(region='eu-west-1', training_hour=..., "
        "inference_unit_hour=...))`."
    )


def test_a_plan_knows_the_quota_of_the_account() -> None:
    """More units than 50 calls per second can use do not make it faster, unless the quota is higher."""
    fast = plan(180_000, prices=PRICES, images_per_second=25, deadline=900 + 3600)
    assert (fast.inference_units, fast.seconds) == (2, 3600)
    with pytest.raises(InvalidInput, match="a quota of 50 images per second can analyse 180,000, after"):
        plan(180_001, prices=PRICES, images_per_second=25, deadline=900 + 3600)
    raised = plan(
        360_000, prices=PRICES, images_per_second=25, deadline=900 + 3600, max_images_per_second=100
    )
    assert raised.inference_units == 4
    assert plan(7200, prices=PRICES, images_per_second=100).seconds == 144
