"""Quotas that differ between Regions."""

from __future__ import annotations

import pytest

from rekolabels.local import Quotas


@pytest.mark.parametrize(
    ("region", "trainings", "media_jobs"),
    [
        ("us-east-1", 2, 20),
        ("us-west-2", 2, 20),
        ("eu-west-1", 2, 20),
        ("ap-southeast-2", 1, 5),
        ("eu-west-2", 2, 5),
    ],
)
def test_defaults_are_those_of_the_region(region: str, trainings: int, media_jobs: int) -> None:
    """As in the AWS General Reference."""
    assert (Quotas().trainings_in(region), Quotas().media_jobs_in(region)) == (trainings, media_jobs)


def test_a_number_applies_in_every_region() -> None:
    """It replaces the default of each."""
    quotas = Quotas(trainings=3, media_jobs=0)
    assert (quotas.trainings_in("ap-southeast-2"), quotas.media_jobs_in("us-east-1")) == (3, 0)
    assert Quotas.off().trainings_in("ap-southeast-2") > 10**9
