"""Credentials that end: those that boto3 can renew do so unnoticed; others are an error that helps."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
import pytest
from botocore.credentials import RefreshableCredentials

from rekolabels import Client, errors
from rekolabels.local import Fault, FaultPlan, LocalService, ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT = "111122223333"
LIFETIME = 30.0


@pytest.fixture
def clock() -> ManualClock:
    """A clock that only the test moves."""
    return ManualClock()


@pytest.fixture(autouse=True)
def endpoint(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A service that refuses credentials half a minute after it first saw them."""
    plan = FaultPlan([Fault.expiring_credentials(LIFETIME)])
    with LocalService(clock=clock, faults=plan) as service, service.serve() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server.url


def test_renewable_credentials_are_renewed_unnoticed(clock: ManualClock) -> None:
    """As those of roles and SSO are: each call here finds that they end within minutes, and gets new ones."""
    numbers = itertools.count()

    def renew() -> dict[str, Any]:
        soon = datetime.now(UTC) + timedelta(minutes=1)
        token = f"token-{next(numbers)}"
        return {
            "access_key": ACCOUNT,
            "secret_key": "any",
            "token": token,
            "expiry_time": soon.isoformat(),
        }

    core = botocore.session.Session()
    core._credentials = RefreshableCredentials.create_from_metadata(renew(), renew, "test")  # type: ignore[attr-defined] # the door that AWS documents for this
    client = Client(boto3.Session(botocore_session=core, region_name="us-east-1"))
    project = client.create_project("birds")
    for _ in range(3):
        clock.advance(2 * LIFETIME)
        assert project.describe().name == "birds"


def test_credentials_that_end_for_good_are_an_error(clock: ManualClock) -> None:
    """The message says how to get new ones; with them the work goes on."""

    def client(token: str) -> Client:
        return Client(boto3.Session(ACCOUNT, "any", token, region_name="us-east-1"))

    project = client("first").create_project("birds")
    clock.advance(2 * LIFETIME)
    with pytest.raises(errors.CredentialsExpired, match="aws sso login"):
        project.describe()
    assert client("second").project("birds").arn == project.arn
