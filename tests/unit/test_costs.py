"""Prices, and plans made with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekolabels.costs import KNOWN_PRICES, Prices, TrainingCost, estimate_training, plan, prices_for
from rekolabels.errors import InvalidInput

PRICES = Prices("us-east-1", training_hour=1.0, inference_unit_hour=4.0)


def test_prices_carry_their_date_and_source() -> None:
    """No price without where and when it was seen."""
    for region, prices in KNOWN_PRICES.items():
        assert prices.region == region
        assert prices.as_of
        assert prices.source


def test_an_unknown_region_asks_for_its_prices() -> None:
    """A guess is no price."""
    with pytest.raises(InvalidInput, match=r"prices=Prices\(region='eu-west-1'"):
        prices_for("eu-west-1")


def test_a_training_is_billed_by_more_than_the_clock() -> None:
    """The recorded training of the reference: 1,639 s by the clock, 1,899 s billed."""
    cost = TrainingCost(elapsed_seconds=1639, billed_seconds=1899, prices=PRICES)
    assert (round(cost.estimate, 4), cost.actual) == (0.4553, 0.5275)
    assert str(cost).startswith("estimate 0.46 USD (1,639 s by the clock), actual 0.53 USD (1,899 s billed)")
    failed = TrainingCost(elapsed_seconds=1639, billed_seconds=None, prices=PRICES)
    assert failed.actual is None
    assert "actual unknown (nothing billed)" in str(failed)


@given(st.lists(st.floats(0, 10**6), min_size=1))
def test_an_estimate_lies_within_what_was_seen(earlier: list[float]) -> None:
    """Earlier trainings are the guide: the cheapest, the median, the dearest."""
    made = estimate_training(prices=PRICES, earlier=earlier)
    assert made.usual is not None
    assert (made.least, made.most) == (min(earlier) / 3600, max(earlier) / 3600)
    assert made.least <= made.usual <= made.most


def test_the_first_training_is_estimated_by_the_guide() -> None:
    """Half an hour to a day, and no usual one."""
    made = estimate_training(prices=PRICES)
    assert (made.least, made.usual, made.most) == (0.5, None, 24.0)


def test_a_plan_takes_the_fewest_units_that_keep_the_deadline() -> None:
    """One unit where it suffices, as many as it takes where it does not."""
    relaxed = plan(18_000, prices=PRICES, deadline=2 * 3600)
    assert (relaxed.inference_units, relaxed.seconds) == (1, 3600)
    assert relaxed.cost == 4.0 * (3600 + 900) / 3600
    assert plan(36_000, prices=PRICES, deadline=900 + 3600).inference_units == 2


def test_a_deadline_that_cannot_be_kept_is_refused() -> None:
    """The refusal says how many images can be done."""
    with pytest.raises(InvalidInput, match="each do 90,000"):
        plan(1_000_000, prices=PRICES, deadline=900 + 3600)
    with pytest.raises(InvalidInput, match="each do 0"):
        plan(1, prices=PRICES, deadline=60)


def test_a_budget_that_is_too_small_is_refused() -> None:
    """The refusal says what it would cost."""
    with pytest.raises(
        InvalidInput, match=r"cost 5\.00 USD with 1 inference units, more than 4\.00, which pays"
    ):
        plan(18_000, prices=PRICES, budget=4)
    assert plan(13_500, prices=PRICES, budget=4).cost == 4.0
    with pytest.raises(InvalidInput, match="pays for 13,500: analyse fewer images, or allow more money"):
        plan(13_501, prices=PRICES, budget=4)


@given(
    images=st.integers(0, 10**7),
    rate=st.floats(0.5, 50),
    hours=st.floats(0.3, 100),
    budget=st.floats(1, 10_000),
)
def test_a_plan_keeps_what_it_was_given(images: int, rate: float, hours: float, budget: float) -> None:
    """Whatever is asked: the plan keeps deadline and budget, or refuses; and one unit less would be late."""
    try:
        made = plan(images, prices=PRICES, images_per_second=rate, deadline=hours * 3600, budget=budget)
    except InvalidInput:
        return
    useful = hours * 3600 - 900
    assert made.seconds <= useful * (1 + 1e-9)
    assert made.cost <= budget
    if made.inference_units > 1:
        assert images / (rate * (made.inference_units - 1)) > useful * (1 - 1e-9)
