"""Limits of speed: how many requests a second the service takes before it refuses."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import attrs

from rekolabels.errors import InvalidInput
from rekolabels.local._core._exceptions import ServiceException

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Limits", "Tps"]


def _positive(_instance: object, field: attrs.Attribute[float], value: float) -> None:
    if not value > 0:
        raise InvalidInput(f"Tps.{field.name} is {value!r}; expected requests a second, more than 0.")


@attrs.frozen
class Tps:
    """Requests a second, for ``LocalService(tps=...)``; the defaults are those of a new AWS account.

    Each is a token bucket that holds the requests of one second (one at least) and fills up by the service's
    clock. Who finds it empty gets ``ProvisionedThroughputExceededException``. ``math.inf`` is no limit.
    """

    detect_per_unit: float = attrs.field(default=5.0, validator=_positive)
    """DetectCustomLabels, for each inference unit of a model. AWS publishes no number now; it said "up to 5"
    in 2020. A model with ``MaxInferenceUnits`` has that many at once here."""
    detect: float = attrs.field(default=50.0, validator=_positive)
    """DetectCustomLabels, of an account in a Region."""
    control_plane: float = attrs.field(default=5.0, validator=_positive)
    """Every other operation, each for itself, of an account in a Region."""
    tags: float = attrs.field(default=10.0, validator=_positive)
    """TagResource, UntagResource and ListTagsForResource, each for itself."""
    get_media_job: float = attrs.field(default=20.0, validator=_positive)
    """GetMediaAnalysisJob."""

    def of(self, operation: str) -> float:
        """The limit of an operation for an account in a Region."""
        if operation in ("TagResource", "UntagResource", "ListTagsForResource"):
            return self.tags
        if operation == "GetMediaAnalysisJob":
            return self.get_media_job
        return self.detect if operation == "DetectCustomLabels" else self.control_plane


class Limits:
    """The buckets of one service; safe between threads."""

    def __init__(self, tps: Tps | None, clock: Callable[[], float]) -> None:
        self._tps = tps
        self._clock = clock
        self._guard = threading.Lock()
        self._buckets: dict[Hashable, tuple[float, float]] = {}

    def take(self, operation: str, account: str, region: str) -> None:
        """Count a request of an account.

        Raises:
            ServiceException: ``ProvisionedThroughputExceededException``.
        """
        if self._tps is not None:
            rate = self._tps.of(operation)
            if not self._has_token((operation, account, region), rate):
                raise _exceeded(f"The account sends more than {rate:g} {operation} requests a second.")

    def take_inference(self, version: str, units: int) -> None:
        """Count an image that a model shall look at.

        Raises:
            ServiceException: ``ProvisionedThroughputExceededException``.
        """
        if self._tps is not None and not self._has_token(version, self._tps.detect_per_unit * units):
            raise _exceeded(
                f"The model {version} cannot keep up with {units} inference units; start it with more of "
                "them, or send fewer requests."
            )

    def _has_token(self, key: Hashable, rate: float) -> bool:
        now, most = self._clock(), max(1.0, rate)
        with self._guard:
            tokens, last = self._buckets.get(key, (most, now))
            tokens = min(most, tokens + max(0.0, now - last) * rate) if rate < float("inf") else most
            granted = tokens >= 1.0
            self._buckets[key] = (tokens - 1.0 if granted else tokens, max(now, last))
        return granted


def _exceeded(message: str) -> ServiceException:
    return ServiceException("ProvisionedThroughputExceededException", message)
