"""Request rate limits: how many requests per second the service accepts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import attrs

from rekolabels._arguments import check_number, check_text
from rekolabels.local._core._exceptions import ServiceException

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Throttle", "Tps"]


def _check_rate(_instance: object, field: attrs.Attribute[float], value: float) -> None:
    check_number(
        f"Tps.{field.name}", value, above=0, kind="a number of requests per second (math.inf for no limit)"
    )


@attrs.frozen
class Tps:
    """Requests per second (TPS) that ``LocalService(tps=...)`` accepts; defaults as for a new AWS account.

    Each limit is a token bucket that holds the requests of one second (at least one) and refills by the
    service's clock. When it is empty, the service answers with ``ProvisionedThroughputExceededException``.
    Use ``math.inf`` for an unlimited rate.
    """

    detect_per_unit: float = attrs.field(default=5.0, validator=_check_rate)
    """DetectCustomLabels, per inference unit of a model. AWS no longer publishes this number; in 2020 it was
    "up to 5". For a model with ``MaxInferenceUnits``, the limit is that of all its units from the start."""
    detect: float = attrs.field(default=50.0, validator=_check_rate)
    """DetectCustomLabels, per account and Region."""
    control_plane: float = attrs.field(default=5.0, validator=_check_rate)
    """Every other operation, separately, per account and Region."""
    tags: float = attrs.field(default=10.0, validator=_check_rate)
    """TagResource, UntagResource and ListTagsForResource, separately, per account and Region."""
    get_media_job: float = attrs.field(default=20.0, validator=_check_rate)
    """GetMediaAnalysisJob, per account and Region."""

    def of(self, operation: str) -> float:
        """Return the limit of an operation for one account in one Region, in requests per second.

        Raises:
            InvalidInput: The operation is not a name.
        """
        check_text("operation", operation, "the name of an operation")
        if operation in ("TagResource", "UntagResource", "ListTagsForResource"):
            return self.tags
        if operation == "GetMediaAnalysisJob":
            return self.get_media_job
        return self.detect if operation == "DetectCustomLabels" else self.control_plane


class Throttle:
    """The token buckets of one service; safe between threads.

    Args:
        tps: The limits; None for no limits.
        clock: The clock of the service.
    """

    def __init__(self, tps: Tps | None, clock: Callable[[], float]) -> None:
        self._tps = tps
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[Hashable, tuple[float, float]] = {}

    def take(self, operation: str, account: str, region: str) -> None:
        """Count a request against the limits of its account.

        Raises:
            ServiceException: ``ProvisionedThroughputExceededException``.
        """
        if self._tps is not None:
            rate = self._tps.of(operation)
            if not self._take_token((operation, account, region), rate):
                raise _throughput_exceeded(
                    f"The account exceeds {rate:g} {operation} requests per second. Send fewer requests."
                )

    def take_inference(self, version: str, units: int) -> None:
        """Count an image against the limit of a model.

        Args:
            version: ARN of the model version.
            units: Inference units of the model.

        Raises:
            ServiceException: ``ProvisionedThroughputExceededException``.
        """
        if self._tps is not None:
            rate = self._tps.detect_per_unit * units
            if not self._take_token(version, rate):
                raise _throughput_exceeded(
                    f"The model {version} exceeds {rate:g} requests per second with {units} inference units. "
                    "Start it with more inference units, or send fewer requests."
                )

    def _take_token(self, key: Hashable, rate: float) -> bool:
        now, capacity = self._clock(), max(1.0, rate)
        with self._lock:
            tokens, last = self._buckets.get(key, (capacity, now))
            tokens = min(capacity, tokens + max(0.0, now - last) * rate) if rate < float("inf") else capacity
            granted = tokens >= 1.0
            self._buckets[key] = (tokens - 1.0 if granted else tokens, max(now, last))
        return granted


def _throughput_exceeded(message: str) -> ServiceException:
    return ServiceException("ProvisionedThroughputExceededException", message)
