"""Faults on request: what goes wrong, in which operation, how often."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, get_args

import attrs

from rekolabels._arguments import (
    check_choice,
    check_flag,
    check_fraction,
    check_instance,
    check_integer,
    check_items,
    check_number,
    check_text,
)
from rekolabels._display import counted
from rekolabels.errors import InvalidInput
from rekolabels.manifest.codes import CODES

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Fault", "FaultPlan"]

FaultKind = Literal["error", "drop", "slow", "fail", "stick", "expire"]

_SERVICE_ISSUE = "Amazon Rekognition experienced a service issue."


@attrs.frozen
class Fault:
    """One thing that goes wrong in the service. Create it with one of the class methods.

    ``operation`` is the name of a Rekognition operation (``"DescribeProjectVersions"``), ``"*"`` for all of
    them, or ``"S3"`` for every request to S3.

    >>> Fault.throttled("DetectCustomLabels", times=2).code
    'ThrottlingException'
    """

    kind: FaultKind
    """What goes wrong."""
    operation: str
    """Name of the operation, ``"*"`` for all, or ``"S3"``."""
    code: str = ""
    """Error code of the response or the failed job."""
    message: str = ""
    """Error message of the response or the failed job; empty for AWS's text with "Injected fault."."""
    status: int | None = None
    """HTTP status of the response; None for the usual one of the code."""
    seconds: float = 0.0
    """How long a response is delayed, a job hangs, or credentials are valid."""
    after: int = 0
    """Number of matching requests that pass before the fault strikes."""
    times: int | None = None
    """How often the fault strikes; None for no limit."""
    probability: float = 1.0
    """Probability (0 to 1) that a matching request after the first ``after`` ones is struck."""
    answered: bool = False
    """For a dropped connection: whether the request is carried out first."""

    def __attrs_post_init__(self) -> None:
        check_choice("kind", self.kind, get_args(FaultKind))
        check_text("operation", self.operation, "the name of an operation, '*' or 'S3'")
        check_instance("code", self.code, str, "an error code, as text")
        check_instance("message", self.message, str, "text")
        if self.status is not None:
            check_integer(
                "status",
                self.status,
                at_least=400,
                at_most=599,
                kind="an HTTP status of an error",
                optional=True,
            )
        check_number("seconds", self.seconds, at_least=0, kind="a number of seconds")
        check_integer("after", self.after, at_least=0, kind="a whole number of requests")
        if self.times is not None:
            check_integer("times", self.times, at_least=1, kind="a whole number of requests", optional=True)
        check_fraction("probability", self.probability)
        check_flag("answered", self.answered)

    @classmethod
    def error(
        cls,
        code: str,
        operation: str = "*",
        *,
        message: str = "",
        status: int | None = None,
        after: int = 0,
        times: int | None = None,
        probability: float = 1.0,
    ) -> Fault:
        """Return a fault that answers with an error of the service.

        Args:
            code: Any error code that a client should handle.
            operation: The operation that is struck.
            message: The error message. By default, AWS's text where it is known, and "Injected fault.".
            status: The HTTP status, 400 to 599; by default the usual one of the code.
            after: Number of matching requests that pass first.
            times: How often the fault strikes; None for no limit.
            probability: Probability (0 to 1) that a matching request is struck.
        """
        check_text("code", code, "an error code, such as 'ThrottlingException'")
        return cls(
            "error",
            operation,
            code,
            message,
            status=status,
            after=after,
            times=times,
            probability=probability,
        )

    @classmethod
    def throttled(
        cls, operation: str = "*", *, after: int = 0, times: int | None = None, probability: float = 1.0
    ) -> Fault:
        """Return a fault that answers with ``ThrottlingException`` (HTTP 500): "Service Unavailable"."""
        return cls.error("ThrottlingException", operation, after=after, times=times, probability=probability)

    @classmethod
    def slowed_down(
        cls, operation: str = "*", *, after: int = 0, times: int | None = None, probability: float = 1.0
    ) -> Fault:
        """Return a fault that answers with ``ThrottlingException`` (HTTP 400): "Slow down".

        AWS answers so to a sudden increase in the rate of requests. For S3, it is ``SlowDown`` (HTTP 503).
        """
        code, status = ("SlowDown", 503) if operation == "S3" else ("ThrottlingException", 400)
        return cls.error(code, operation, status=status, after=after, times=times, probability=probability)

    @classmethod
    def overloaded(
        cls, operation: str = "*", *, after: int = 0, times: int | None = None, probability: float = 1.0
    ) -> Fault:
        """Return a fault that answers with ``ProvisionedThroughputExceededException`` (HTTP 400)."""
        code = "ProvisionedThroughputExceededException"
        return cls.error(code, operation, after=after, times=times, probability=probability)

    @classmethod
    def broken(
        cls, operation: str = "*", *, after: int = 0, times: int | None = None, probability: float = 1.0
    ) -> Fault:
        """Return a fault that answers with ``InternalServerError`` (HTTP 500); ``InternalError`` for S3."""
        code = "InternalError" if operation == "S3" else "InternalServerError"
        return cls.error(code, operation, after=after, times=times, probability=probability)

    @classmethod
    def dropped(
        cls,
        operation: str = "*",
        *,
        answered: bool = False,
        after: int = 0,
        times: int | None = None,
        probability: float = 1.0,
    ) -> Fault:
        """Return a fault that closes the connection without a response.

        Args:
            operation: The operation that is struck.
            answered: Whether the request is carried out first; the client cannot see the difference.
            after: Number of matching requests that pass first.
            times: How often the fault strikes; None for no limit.
            probability: Probability (0 to 1) that a matching request is struck.
        """
        return cls("drop", operation, after=after, times=times, probability=probability, answered=answered)

    @classmethod
    def slow(
        cls,
        seconds: float,
        operation: str = "*",
        *,
        after: int = 0,
        times: int | None = None,
        probability: float = 1.0,
    ) -> Fault:
        """Return a fault that delays responses.

        Args:
            seconds: The delay: real time, or time of the service's clock when that has a ``sleep`` method.
            operation: The operation that is struck.
            after: Number of matching requests that pass first.
            times: How often the fault strikes; None for no limit.
            probability: Probability (0 to 1) that a matching request is struck.
        """
        return cls("slow", operation, seconds=seconds, after=after, times=times, probability=probability)

    @classmethod
    def fails(
        cls,
        operation: str,
        code: str = "",
        *,
        message: str = "",
        after: int = 0,
        times: int | None = None,
        probability: float = 1.0,
    ) -> Fault:
        """Return a fault that accepts the request and lets its job fail (``TRAINING_FAILED``, ...).

        Args:
            operation: CreateDataset, UpdateDatasetEntries, DistributeDatasetEntries, CreateProjectVersion,
                CopyProjectVersion, StartProjectVersion, StopProjectVersion or StartMediaAnalysisJob.
            code: A code of ``rekolabels.manifest.codes``, such as ``ERROR_EMPTY_MANIFEST``, whose message
                becomes the ``StatusMessage``. For a media analysis job, its failure code.
            message: A ``StatusMessage`` of your own.
            after: Number of matching requests that pass first.
            times: How often the fault strikes; None for no limit.
            probability: Probability (0 to 1) that a matching request is struck.

        Raises:
            InvalidInput: The code is unknown and no message is given.
        """
        check_instance("code", code, str, "a code of rekolabels.manifest.codes, as text")
        check_instance("message", message, str, "a message, as text")
        if code and not message:
            known = CODES.get(code)
            if known is None and operation != "StartMediaAnalysisJob":
                raise InvalidInput(
                    f"Unknown code {code!r}: expected one of rekolabels.manifest.codes.CODES. For another "
                    "code, give the message too: Fault.fails(operation, code, message='...')."
                )
            message = "" if known is None else known.message
        return cls(
            "fail",
            operation,
            code,
            message or _SERVICE_ISSUE,
            after=after,
            times=times,
            probability=probability,
        )

    @classmethod
    def stuck(
        cls,
        operation: str,
        seconds: float = math.inf,
        *,
        after: int = 0,
        times: int | None = None,
        probability: float = 1.0,
    ) -> Fault:
        """Return a fault that lets a job hang, so that for example a model stays in ``STOPPING``.

        Args:
            operation: An operation that starts a job, such as StopProjectVersion.
            seconds: How long the job hangs, by the service's clock; by default forever.
            after: Number of matching requests that pass first.
            times: How often the fault strikes; None for no limit.
            probability: Probability (0 to 1) that a matching request is struck.
        """
        return cls("stick", operation, seconds=seconds, after=after, times=times, probability=probability)

    @classmethod
    def expiring_credentials(cls, seconds: float) -> Fault:
        """Return a fault that answers with ``ExpiredTokenException`` once credentials have expired.

        Args:
            seconds: How long credentials are valid after their first request. They are identified by access
                key ID and session token; every ``LocalService.session()`` has new ones.
        """
        return cls("expire", "*", "ExpiredTokenException", seconds=seconds)


def _faults(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(
        check_items(
            "faults", faults, Fault, "a list of faults", "For example `FaultPlan([Fault.throttled()])`."
        )
    )


@attrs.frozen
class FaultPlan:
    """All faults of a service, for ``LocalService(faults=...)``.

    At most one fault ends a request: the first in the plan that strikes. Faults after it strike later
    requests. Which requests are struck depends on the seed and on the number of earlier requests of the same
    operation, not on time or other operations, so a failing test fails again.

    Args:
        faults: The faults, in order of precedence.
        seed: Seed for the probabilities.

    >>> plan = FaultPlan([Fault.throttled(probability=0.2), Fault.dropped("S3", times=1)], seed=7)
    >>> len(plan.faults)
    2
    """

    faults: tuple[Fault, ...] = attrs.field(converter=_faults, repr=counted("faults"))
    seed: int = 0

    def __attrs_post_init__(self) -> None:
        check_integer("seed", self.seed)
