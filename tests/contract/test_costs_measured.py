"""What training and running have cost: the bill of the service and the measures of CloudWatch (moto's)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws
from sdk_backends import write_folder

from rekolabels import Client, RetryPolicy, errors
from rekolabels.costs import Prices
from rekolabels.formats import read_folder
from rekolabels.local import Durations, LocalService, ManualClock
from sdk_handles import client_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rekolabels import ModelVersion

PRICES = Prices("us-east-1", training_hour=1.0, inference_unit_hour=4.0)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Label folders."""
    return write_folder(tmp_path / "pictures")


def train(client: Client, pictures: Path) -> ModelVersion:
    """A trained model."""
    project = client.create_project("costs")
    project.create_datasets(read_folder(pictures))
    model = project.train("v1")
    model.wait_until_trained()
    return model


@pytest.fixture
def model(pictures: Path) -> Iterator[ModelVersion]:
    """A trained model of the embedded service, beside the CloudWatch of moto, in the time of the wall."""
    with mock_aws():
        session = boto3.Session("123456789012", "x", region_name="us-east-1")
        policy = RetryPolicy(first_poll=0.01, max_poll=0.05)
        with LocalService(engine="tiny", s3=session.client("s3")) as service, service.inside_moto():
            client = Client(session, bucket="costs", prices=PRICES, retry=policy)
            client.ensure_bucket()
            yield train(client, pictures)


def note(model: ModelVersion, begin: datetime, minutes: int, units: float) -> None:
    """Write what Rekognition writes: the units in service, each minute."""
    cloudwatch: Any = client_of(model).session.client("cloudwatch")
    for minute in range(minutes):
        cloudwatch.put_metric_data(
            Namespace="AWS/Rekognition",
            MetricData=[
                {
                    "MetricName": "InServiceInferenceUnits",
                    "Dimensions": [
                        {"Name": "ProjectName", "Value": "costs"},
                        {"Name": "VersionName", "Value": model.version_name},
                    ],
                    "Timestamp": begin + timedelta(minutes=minute),
                    "Value": units,
                    "Unit": "Count",
                }
            ],
        )


def minutes_ago(minutes: int) -> datetime:
    """A full five minutes about so long ago."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    return now - timedelta(minutes=minutes + now.minute % 5)


def test_what_a_run_has_cost_is_measured(model: ModelVersion) -> None:
    """Units that came and went, and a pause, as CloudWatch saw them; beside the estimate."""
    begin = minutes_ago(120)
    note(model, begin, 30, units=1)
    note(model, begin + timedelta(minutes=30), 15, units=3)
    note(model, begin + timedelta(minutes=90), 10, units=1)
    found = model.run_cost(begin, begin + timedelta(hours=2))
    assert found.unit_hours == pytest.approx((30 * 1 + 15 * 3 + 10 * 1) / 60)
    assert found.actual == pytest.approx(4 * 85 / 60)
    assert found.estimate == 4 * 2
    assert str(found).startswith("estimate 8.00 USD (2.00 h with 1 inference units), actual 5.67 USD")


def test_a_span_cuts_what_was_measured(model: ModelVersion) -> None:
    """Half a minute of a minute's value counts as half a minute."""
    begin = minutes_ago(60)
    note(model, begin, 10, units=2)
    found = model.run_cost(begin + timedelta(seconds=90), begin + timedelta(seconds=210))
    assert found.unit_hours == pytest.approx(2 * 120 / 3600)


def test_what_somebody_else_started_shows_since_when(model: ModelVersion) -> None:
    """No tag says when it was started; CloudWatch does, from the last pause on."""
    model.start(min_inference_units=2)
    model.wait_until_running()
    note(model, minutes_ago(600), 30, units=5)  # an earlier run
    begin = minutes_ago(60)
    note(model, begin, 60, units=2)
    (running,) = client_of(model).running_models()
    assert running.since == begin
    assert running.cost == pytest.approx(2 * 4, rel=0.1)
    model.stop()
    model.wait_until_stopped()


def test_what_nobody_measured_is_not_known(model: ModelVersion) -> None:
    """Neither a tag nor a value: no guess."""
    model.start()
    model.wait_until_running()
    (running,) = client_of(model).running_models()
    assert (running.since, running.cost) == (None, None)
    with pytest.raises(errors.InvalidInput, match="The start time of model version 'v1' is unknown"):
        model.run_cost()
    model.stop()
    model.wait_until_stopped()


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
        (datetime(2026, 1, 1), datetime(2026, 1, 2)),  # noqa: DTZ001 -- what is refused
    ],
)
def test_a_span_that_is_none_is_refused(model: ModelVersion, since: datetime, until: datetime) -> None:
    """Times without a zone mean something else on every machine."""
    with pytest.raises(errors.InvalidInput, match="expected datetimes with a time zone"):
        model.run_cost(since, until)


def test_without_cloudwatch_the_estimate_stands(pictures: Path) -> None:
    """The embedded service measures nothing; training and running are reckoned by its own clock."""
    clock = ManualClock()
    policy = RetryPolicy(clock=clock, time=clock, sleep=clock.sleep)
    durations = Durations(training=1800, starting=600)
    with LocalService(engine="tiny", clock=clock, durations=durations) as service:
        client = service.client(bucket="costs", prices=PRICES, retry=policy)
        model = train(client, pictures)
        training = model.training_cost()
        assert training.elapsed_seconds == pytest.approx(1800)
        assert training.billed_seconds is not None
        assert training.actual == PRICES.training(training.billed_seconds)
        assert client_of(model).project("costs").training_estimate().usual == training.actual
        with model.running(min_inference_units=2):
            clock.advance(3600)
            found = model.run_cost()
            assert (found.actual, found.in_service) == (None, None)
            assert found.estimate == pytest.approx(2 * 4, rel=0.25)  # the start of ten minutes included
            assert "actual unknown (not measured)" in str(found)
            (running,) = client.running_models()
            assert running.cost == pytest.approx(found.estimate)


def test_who_may_not_ask_cloudwatch_is_told(pictures: Path) -> None:
    """Asked for a measure the refusal comes through; the list of what runs is shown without it."""
    with LocalService(engine="tiny") as service:
        client = service.client(bucket="costs", prices=PRICES, retry=RetryPolicy(first_poll=0.01))
        model = train(client, pictures)
        model.start()
        model.wait_until_running()
        with Stubber(client._connection.cloudwatch.client) as stubber:
            for _ in range(2):
                stubber.add_client_error("get_metric_data", "AccessDenied", "not authorized", 403)
            with pytest.raises(errors.AccessDenied, match="GetMetricData"):
                model.run_cost(minutes_ago(10))
            (running,) = client.running_models()
            stubber.assert_no_pending_responses()
        assert (running.status, running.since) == ("RUNNING", None)
        model.stop()
        model.wait_until_stopped()


def test_long_spans_come_in_pages(pictures: Path) -> None:
    """Older values are asked for in longer periods; every page counts, and empty ones end nothing."""
    with LocalService(engine="tiny") as service:
        client = service.client(bucket="costs", prices=PRICES, retry=RetryPolicy(first_poll=0.01))
        model = train(client, pictures)
        begin = minutes_ago(60 * 24 * 30)
        pages: list[dict[str, Any]] = [
            {
                "MetricDataResults": [{"Id": "units", "Timestamps": [begin], "Values": [2.0]}],
                "NextToken": "a",
            },
            {"MetricDataResults": [], "NextToken": "b"},
            {
                "MetricDataResults": [
                    {"Id": "units", "Timestamps": [begin + timedelta(minutes=5)], "Values": [1.0]}
                ]
            },
        ]
        with Stubber(client._connection.cloudwatch.client) as stubber:
            for page in pages:
                stubber.add_response("get_metric_data", page)
            found = model.run_cost(begin)
            stubber.assert_no_pending_responses()
        assert found.unit_hours == pytest.approx((2 + 1) * 5 / 60)


def test_a_run_that_has_just_begun_has_a_cost(pictures: Path) -> None:
    """Its begin is kept in whole seconds, and never lies ahead."""
    clock = ManualClock()
    policy = RetryPolicy(clock=clock, time=clock, sleep=clock.sleep)
    with LocalService(engine="tiny", clock=clock, durations=Durations(training=1, starting=0)) as service:
        model = train(service.client(bucket="costs", prices=PRICES, retry=policy), pictures)
        clock.advance(1.9 - clock() % 1)
        asked = clock()
        with model.running():
            (begun,) = (float(value) for name, value in model.tags.items() if "started" in name)
            assert asked - 1 < begun <= asked
            clock.advance(0.01)
            assert model.run_cost().since.timestamp() == begun
