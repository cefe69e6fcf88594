"""Costs of training and inference: billed by the service, and measured by moto's CloudWatch."""

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
    """Train a model."""
    project = client.create_project("costs")
    project.create_datasets(read_folder(pictures))
    model = project.train("v1")
    model.wait_until_trained()
    return model


@pytest.fixture
def model(pictures: Path) -> Iterator[ModelVersion]:
    """A trained model of the local service with moto's CloudWatch, in real time."""
    with mock_aws():
        session = boto3.Session("123456789012", "x", region_name="us-east-1")
        policy = RetryPolicy(first_poll=0.01, max_poll=0.05)
        with LocalService(engine="tiny", s3=session.client("s3")) as service, service.inside_moto():
            client = Client(session, bucket="costs", prices=PRICES, retry=policy)
            client.ensure_bucket()
            yield train(client, pictures)


def write_metric(model: ModelVersion, begin: datetime, minutes: int, units: float) -> None:
    """Write the units in service for each minute, as Rekognition does."""
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
    """Return the start of a five-minute period this many minutes ago."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    return now - timedelta(minutes=minutes + now.minute % 5)


def test_the_cost_of_a_run_is_measured(model: ModelVersion) -> None:
    """Changing units and a gap are measured; the estimate assumes constant use."""
    begin = minutes_ago(120)
    write_metric(model, begin, 30, units=1)
    write_metric(model, begin + timedelta(minutes=30), 15, units=3)
    write_metric(model, begin + timedelta(minutes=90), 10, units=1)
    found = model.run_cost(begin, begin + timedelta(hours=2))
    assert found.unit_hours == pytest.approx((30 * 1 + 15 * 3 + 10 * 1) / 60)
    assert found.actual == pytest.approx(4 * 85 / 60)
    assert found.estimate == 4 * 2
    assert str(found).startswith("estimate 8.00 USD (2.00 h with 1 inference unit), actual 5.67 USD")


def test_a_period_cuts_measurements(model: ModelVersion) -> None:
    """A period may begin and end within a minute."""
    begin = minutes_ago(60)
    write_metric(model, begin, 10, units=2)
    found = model.run_cost(begin + timedelta(seconds=90), begin + timedelta(seconds=210))
    assert found.unit_hours == pytest.approx(2 * 120 / 3600)


def test_the_start_time_of_a_model_started_by_other_means(model: ModelVersion) -> None:
    """Without a tag, the start time comes from CloudWatch, after the last gap."""
    model.start(min_inference_units=2)
    model.wait_until_running()
    write_metric(model, minutes_ago(600), 30, units=5)  # an earlier run
    begin = minutes_ago(60)
    write_metric(model, begin, 60, units=2)
    (running,) = client_of(model).running_models()
    assert running.since == begin
    assert running.cost == pytest.approx(2 * 4, rel=0.1)
    model.stop()
    model.wait_until_stopped()


def test_without_measurements_the_cost_is_unknown(model: ModelVersion) -> None:
    """Without a tag and without measurements, start time and cost are unknown."""
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
        (datetime(2026, 1, 1), datetime(2026, 1, 2)),  # noqa: DTZ001 -- the error under test
    ],
)
def test_invalid_periods(model: ModelVersion, since: datetime, until: datetime) -> None:
    """Datetimes without a time zone or in the wrong order are errors."""
    with pytest.raises(errors.InvalidInput, match="expected datetimes with a time zone"):
        model.run_cost(since, until)


def test_without_cloudwatch_there_are_estimates(pictures: Path) -> None:
    """Without CloudWatch there are only estimates, by the clock of the service."""
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
            assert found.estimate == pytest.approx(2 * 4, rel=0.25)  # including the ten minutes of the start
            assert "actual unknown (not measured)" in str(found)
            (running,) = client.running_models()
            assert running.cost == pytest.approx(found.estimate)


def test_without_permission_for_cloudwatch(pictures: Path) -> None:
    """``run_cost`` raises the error; ``running_models`` works without CloudWatch."""
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


def test_long_periods_have_several_pages(pictures: Path) -> None:
    """Every page of measurements counts, and an empty page does not end them."""
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


def test_the_cost_of_a_run_that_has_just_started(pictures: Path) -> None:
    """The start time is rounded down to seconds, so it is never in the future."""
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
