"""Expiring credentials: boto3 renews those that it can; for others there is an error."""

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
    """A service that rejects credentials half a minute after their first use."""
    plan = FaultPlan([Fault.expiring_credentials(LIFETIME)])
    with LocalService(clock=clock, faults=plan) as service, service.serve() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server.url


def test_renewable_credentials_are_renewed(clock: ManualClock) -> None:
    """Credentials like those of roles and SSO are renewed before each call, because they expire soon."""
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
    core._credentials = RefreshableCredentials.create_from_metadata(renew(), renew, "test")  # type: ignore[attr-defined] # as AWS documents it
    client = Client(boto3.Session(botocore_session=core, region_name="us-east-1"))
    project = client.create_project("birds")
    for _ in range(3):
        clock.advance(2 * LIFETIME)
        assert project.describe().name == "birds"


def test_expired_credentials_are_an_error(clock: ManualClock) -> None:
    """The message says how to renew them; new credentials work."""

    def client(token: str) -> Client:
        return Client(boto3.Session(ACCOUNT, "any", token, region_name="us-east-1"))

    project = client("first").create_project("birds")
    clock.advance(2 * LIFETIME)
    with pytest.raises(errors.CredentialsExpired, match="aws sso login"):
        project.describe()
    assert client("second").project("birds").arn == project.arn
