"""Gateway to Amazon CloudWatch: the inference units that a model had in service over time.

Rekognition writes the metric ``InServiceInferenceUnits`` (namespace ``AWS/Rekognition``, dimensions
``ProjectName`` and ``VersionName``, unit Count) for models that were trained and started after August 2022.
There are no values while a model does not run.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels._aws._errors import call_boto3
from rekolabels._aws._retry import RetryPolicy, call_with_retries
from rekolabels.descriptions import UnitsInService
from rekolabels.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_cloudwatch import CloudWatchClient  # noqa: TC004 -- the stubs are for type checkers only
    from mypy_boto3_cloudwatch.type_defs import (
        GetMetricDataOutputTypeDef,
        MetricDataQueryTypeDef,
        MetricTypeDef,
    )

__all__ = ["CloudWatch"]

# Retention of CloudWatch by period, minus an hour of margin.
_RETENTION = {
    timedelta(seconds=60): timedelta(days=15, hours=-1),
    timedelta(seconds=300): timedelta(days=63, hours=-1),
    timedelta(hours=1): timedelta(days=455),
}


@attrs.frozen(eq=False, repr=False)
class CloudWatch:
    """The metrics of models in CloudWatch."""

    client: CloudWatchClient
    policy: RetryPolicy

    def units_in_service(
        self, project_name: str, version_name: str, since: datetime, until: datetime
    ) -> list[UnitsInService] | None:
        """Return the inference units over time, oldest first (GetMetricData).

        Args:
            project_name: Name of the project.
            version_name: Name of the model version.
            since: Start of the period, which decides how fine the values are that CloudWatch has kept.
            until: End of the period.

        Returns:
            The units; None if there is no CloudWatch, as on the embedded service.
        """
        age = datetime.fromtimestamp(self.policy.time(), UTC) - since
        period = next(
            (period for period, retention in _RETENTION.items() if age <= retention), timedelta(hours=1)
        )
        found: list[UnitsInService] = []
        try:
            for at, units in self._values(project_name, version_name, _floor(since, period), until, period):
                begin, end = max(at, since), min(at + period, until)
                if end > begin:
                    found.append(UnitsInService(begin, end, units))
        except ServiceError as error:
            if error.code == "UnknownOperationException":
                return None
            raise
        return sorted(found, key=lambda item: item.since)

    def _values(
        self, project_name: str, version_name: str, since: datetime, until: datetime, period: timedelta
    ) -> Iterator[tuple[datetime, float]]:
        """Yield the start of each period with the average of the units in it."""
        metric: MetricTypeDef = {
            "Namespace": "AWS/Rekognition",
            "MetricName": "InServiceInferenceUnits",
            "Dimensions": [
                {"Name": "ProjectName", "Value": project_name},
                {"Name": "VersionName", "Value": version_name},
            ],
        }
        query: MetricDataQueryTypeDef = {
            "Id": "units",
            "MetricStat": {"Metric": metric, "Period": int(period.total_seconds()), "Stat": "Average"},
        }
        token = ""
        while True:
            page = call_with_retries(self.policy, partial(self._page, query, since, until, token))
            for result in page["MetricDataResults"]:
                yield from zip(result.get("Timestamps", ()), result.get("Values", ()), strict=True)
            token = page.get("NextToken", "")
            if not token:
                return

    def _page(
        self, query: MetricDataQueryTypeDef, since: datetime, until: datetime, token: str
    ) -> GetMetricDataOutputTypeDef:
        more: dict[str, Any] = {"NextToken": token} if token else {}
        return call_boto3(
            "GetMetricData",
            self.client.get_metric_data,
            MetricDataQueries=[query],
            StartTime=since,
            EndTime=until,
            **more,
        )


def _floor(time: datetime, period: timedelta) -> datetime:
    """Return the start of the period that contains a time."""
    since_epoch = time - datetime(1970, 1, 1, tzinfo=UTC)
    return time - since_epoch % period
