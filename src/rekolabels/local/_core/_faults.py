"""Faults on request: what goes wrong, where, how often."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import attrs

from rekolabels.errors import InvalidInput
from rekolabels.manifest.codes import CODES

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Fault", "FaultPlan"]

FaultKind = Literal["error", "drop", "slow", "fail", "stick", "expire"]

_SERVICE_ISSUE = "Amazon Rekognition experienced a service issue."


@attrs.frozen
class Fault:
    """One thing that goes wrong. Make it with one of the class methods.

    ``operation`` is the name of an operation of Rekognition (``"DescribeProjectVersions"``), ``"*"`` for all
    of them, or ``"S3"`` for every request to S3.

    >>> Fault.throttled("DetectCustomLabels", times=2).code
    'ThrottlingException'
    """

    kind: FaultKind
    operation: str
    code: str = ""
    """Of the error."""
    message: str = ""
    seconds: float = 0.0
    """Of a slow reply, a state that lasts, or credentials."""
    after: int = 0
    """Requests of the operation that are let through first."""
    times: int | None = None
    """How often it strikes; None for no end."""
    probability: float = 1.0
    """Of each request after the first ``after``, 0 to 1; drawn from the plan's seed."""
    answered: bool = False
    """Of a dropped connection: whether the request is carried out before."""

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise InvalidInput(f"probability is {self.probability!r}; expected a number from 0 to 1.")
        if self.after < 0 or (self.times is not None and self.times < 1):
            raise InvalidInput(
                f"after is {self.after!r} and times is {self.times!r}; expected 0 or more, and 1 or more."
            )
        if not self.seconds >= 0:
            raise InvalidInput(f"seconds is {self.seconds!r}; expected 0 or more.")

    @classmethod
    def error(
        cls,
        code: str,
        operation: str = "*",
        *,
        message: str = "This is a fault on request.",
        after: int = 0,
        times: int | None = None,
        probability: float = 1.0,
    ) -> Fault:
        """An answer with an error of the service: any code that a client should be ready for."""
        return cls("error", operation, code, message, after=after, times=times, probability=probability)

    @classmethod
    def throttled(
        cls, operation: str = "*", *, after: int = 0, times: int | None = None, probability: float = 1.0
    ) -> Fault:
        """``ThrottlingException`` (HTTP 500): the service cannot take the request now."""
        return cls.error("ThrottlingException", operation, after=after, times=times, probability=probability)

    @classmethod
    def overloaded(
        cls, operation: str = "*", *, after: int = 0, times: int | None = None, probability: float = 1.0
    ) -> Fault:
        """``ProvisionedThroughputExceededException`` (HTTP 400): too many requests."""
        code = "ProvisionedThroughputExceededException"
        return cls.error(code, operation, after=after, times=times, probability=probability)

    @classmethod
    def broken(
        cls, operation: str = "*", *, after: int = 0, times: int | None = None, probability: float = 1.0
    ) -> Fault:
        """``InternalServerError`` (HTTP 500); for S3 its ``InternalError``."""
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
        """The connection breaks off without an answer.

        Args:
            operation: Where.
            answered: Whether the request is carried out before; a client cannot tell.
            after: Requests that are let through first.
            times: How often; None for no end.
            probability: Of each request.
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
        """The answer takes its time: of the wall, or of a clock that has a ``sleep`` of its own."""
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
        """The request is taken, and its work fails: ``CREATE_FAILED``, ``TRAINING_FAILED``, ``FAILED``, ...

        Args:
            operation: CreateDataset, UpdateDatasetEntries, DistributeDatasetEntries, CreateProjectVersion,
                CopyProjectVersion, StartProjectVersion, StopProjectVersion or StartMediaAnalysisJob.
            code: A code of ``rekolabels.manifest``, such as ``ERROR_EMPTY_MANIFEST``, whose message becomes
                the ``StatusMessage``; for a media analysis job its failure code.
            message: The ``StatusMessage`` in words of your own.
            after: Requests that are let through first.
            times: How often; None for no end.
            probability: Of each request.

        Raises:
            InvalidInput: The code is not known, and no message is given.
        """
        if code and not message:
            known = CODES.get(code)
            if known is None and operation != "StartMediaAnalysisJob":
                raise InvalidInput(
                    f"code is {code!r}, which the service does not know; take one of "
                    "rekolabels.manifest.codes.CODES, or give a message."
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
        """The work of an operation does not come to its end: a model stays in ``STOPPING``.

        Args:
            operation: One whose work goes on after its answer, such as StopProjectVersion.
            seconds: How long, by the service's clock; without end when not given.
            after: Requests that are let through first.
            times: How often; None for no end.
            probability: Of each request.
        """
        return cls("stick", operation, seconds=seconds, after=after, times=times, probability=probability)

    @classmethod
    def expiring_credentials(cls, seconds: float) -> Fault:
        """Credentials are good for this long after they are first seen, then ``ExpiredTokenException``.

        Credentials are told apart by access key id and session token; every ``LocalService.session()`` has
        new ones.
        """
        return cls("expire", "*", "ExpiredTokenException", seconds=seconds)


def _faults(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(faults)


@attrs.frozen
class FaultPlan:
    """Everything that goes wrong in a service, for ``LocalService(faults=...)``.

    Faults that end a request take turns: the first of the plan that strikes is the one that happens, the
    others wait for a later request. Which requests are struck depends on the seed and on how many requests
    of their operation came before, not on the time or on other operations: a test that fails fails again.

    >>> plan = FaultPlan([Fault.throttled(probability=0.2), Fault.dropped("S3", times=1)], seed=7)
    >>> len(plan.faults)
    2
    """

    faults: tuple[Fault, ...] = attrs.field(converter=_faults)
    seed: int = 0
