"""The gateway to Amazon CloudWatch: how many inference units a model had in service, and when.

Rekognition writes the metric ``InServiceInferenceUnits`` (namespace ``AWS/Rekognition``, dimensions
``ProjectName`` and ``VersionName``, unit Count) for models that were trained and started after August 2022.
While a model does not run there are no values.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels._aws._errors import translated
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

# How long CloudWatch keeps values of each period, with an hour to spare.
_KEPT = {
    timedelta(seconds=60): timedelta(days=15, hours=-1),
    timedelta(seconds=300): timedelta(days=63, hours=-1),
    timedelta(hours=1): timedelta(days=455),
}


@attrs.frozen(eq=False, repr=False)
class CloudWatch:
    """What CloudWatch knows of models."""

    client: CloudWatchClient
    policy: RetryPolicy

    def units_in_service(
        self, project_name: str, version_name: str, since: datetime, until: datetime
    ) -> list[UnitsInService] | None:
        """GetMetricData: the units by time, oldest first, as fine as CloudWatch has kept them.

        None where there is no CloudWatch, as on the embedded service.
        """
        age = datetime.fromtimestamp(self.policy.time(), UTC) - since
        period = next((period for period, kept in _KEPT.items() if age <= kept), timedelta(hours=1))
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
        """Yield the averages of periods, with the begin of each."""
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
        return translated(
            "GetMetricData",
            self.client.get_metric_data,
            MetricDataQueries=[query],
            StartTime=since,
            EndTime=until,
            **more,
        )


def _floor(moment: datetime, period: timedelta) -> datetime:
    """The begin of the period that a moment falls into."""
    since_epoch = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return moment - since_epoch % period
