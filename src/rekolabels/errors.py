"""Exceptions that rekolabels raises.

``except RekolabelsError`` catches all of them; the branches say where the cause is::

    RekolabelsError
    ├── InvalidInput (ValueError)        an argument or a file is not valid
    │   ├── InvalidImage                 an image file that the service would reject
    │   ├── InvalidManifest              a manifest, or a line of one
    │   ├── InvalidEvaluation            an evaluation file that cannot be read
    │   ├── GoalNotReached               labels that reach a precision or recall at no threshold
    │   ├── CannotSplit                  images that cannot be divided into training and test
    │   └── ServiceClosed                the embedded service was closed
    ├── MissingExtra (ImportError)       an optional package is not installed
    ├── ConfigurationError               this machine is not set up for AWS
    │   ├── NoCredentials
    │   └── NoRegion
    ├── ConnectionFailed                 the service did not answer
    ├── ServiceError                     AWS answered with an error code
    │   ├── AccessDenied
    │   ├── CredentialsExpired           the session ended: sign in again
    │   ├── InvalidRequest               the service rejected a parameter
    │   ├── ResourceNotFound
    │   │   ├── ObjectNotFound           an S3 object does not exist
    │   │   └── BucketNotFound
    │   ├── WrongRegion                  a bucket in another Region
    │   ├── ResourceAlreadyExists
    │   ├── ResourceInUse
    │   ├── ResourceNotReady
    │   ├── LimitExceeded                a quota of the account is reached
    │   ├── Throttled                    too many requests: retry later
    │   ├── ServiceFault                 an internal error of AWS: retry later
    │   ├── ImageRejected                too large, neither JPEG nor PNG, or not readable from S3
    │   └── PolicyRejected               a project policy or its revision id
    ├── JobFailed                        a job of the service failed
    │   ├── DatasetFailed
    │   ├── TrainingFailed
    │   └── ModelFailed                  starting, stopping or copying a model
    ├── JournalFailed                    the journal of detect_many cannot be read or written
    ├── WorkerLost                       an image of detect_many ended the worker process that read it
    ├── ExecutorBroken                   the executor of detect_many broke and cannot be made again
    ├── ModelRegressed (AssertionError)  a model is worse than its baseline
    ├── LeaseEnded                       a limit of model.running() was reached; the model was stopped
    ├── SweepIncomplete                  client.sweep() could not check or stop every model
    ├── UnexpectedStatus                 a status from which the goal of a wait cannot be reached
    └── WaitTimedOut (TimeoutError)      a wait ended before the job did; the job continues
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Self

__all__ = [
    "AccessDenied",
    "BucketNotFound",
    "CannotSplit",
    "ConfigurationError",
    "ConnectionFailed",
    "CredentialsExpired",
    "DatasetFailed",
    "ExecutorBroken",
    "GoalNotReached",
    "ImageRejected",
    "InvalidEvaluation",
    "InvalidImage",
    "InvalidInput",
    "InvalidManifest",
    "InvalidRequest",
    "JobFailed",
    "JournalFailed",
    "LeaseEnded",
    "LimitExceeded",
    "MissingExtra",
    "ModelFailed",
    "ModelRegressed",
    "NoCredentials",
    "NoRegion",
    "ObjectNotFound",
    "PolicyRejected",
    "RekolabelsError",
    "ResourceAlreadyExists",
    "ResourceInUse",
    "ResourceNotFound",
    "ResourceNotReady",
    "ServiceClosed",
    "ServiceError",
    "ServiceFault",
    "SweepIncomplete",
    "Throttled",
    "TrainingFailed",
    "UnexpectedStatus",
    "WaitTimedOut",
    "WorkerLost",
    "WrongRegion",
]


class RekolabelsError(Exception):
    """Base class of all exceptions that rekolabels raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions with keyword arguments do not pickle by themselves; worker processes send theirs back.
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


def _rebuild(kind: type[RekolabelsError], args: tuple[Any, ...], state: Mapping[str, Any]) -> RekolabelsError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class InvalidInput(RekolabelsError, ValueError):
    """An argument or a file is not valid; the message says what, where and how to fix it."""


class InvalidImage(InvalidInput):
    """An image file that the service would reject: unreadable, or of the wrong format, size or dimensions.

    Attributes:
        sources: The paths of all such images, if many were checked at once; otherwise empty.
    """

    def __init__(self, message: str, *, sources: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.sources = tuple(sources)


class InvalidManifest(InvalidInput):
    """A manifest, or a line of one, that cannot be read.

    Attributes:
        line: Number of the line, from 1; None when the whole file is affected.
        code: The service's code for the error, such as ``ERROR_INVALID_JSON_LINE``; None when it has none.
    """

    def __init__(self, message: str, *, line: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.code = code


class InvalidEvaluation(InvalidInput):
    """An evaluation file that cannot be read."""


class GoalNotReached(InvalidInput):
    """Labels that reach the precision or recall of a threshold policy at no threshold.

    Attributes:
        reachable: The best value that each of these labels reaches, 0 to 1; None if it is unknown.
    """

    def __init__(self, message: str, *, reachable: Mapping[str, float | None]) -> None:
        super().__init__(message)
        self.reachable = reachable


class CannotSplit(InvalidInput):
    """Images that cannot be divided into training and test images, such as a label with a single image."""


class ServiceClosed(InvalidInput):
    """The embedded service was closed, or its process is ending: create a new ``LocalService``."""


class MissingExtra(RekolabelsError, ImportError):
    """An optional package is not installed; the message names the extra that installs it.

    Attributes:
        extra: Name of the extra, as in ``rekolabels[extra]``.
        purpose: What needs the package.
    """

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the extra '{extra}': pip install 'rekolabels[{extra}]'.")
        self.extra = extra
        self.purpose = purpose


class ConfigurationError(RekolabelsError):
    """This machine is not set up for AWS."""


class NoCredentials(ConfigurationError):
    """boto3 found no usable credentials."""


class NoRegion(ConfigurationError):
    """No AWS Region is set."""


class ConnectionFailed(RekolabelsError):
    """The service did not answer: no network, a wrong endpoint, or a timeout."""


class ServiceError(RekolabelsError):
    """AWS answered with an error code.

    Attributes:
        operation: The operation that was called, such as ``CreateProject``.
        code: AWS's error code, such as ``ResourceInUseException``.
        request_id: The request id that AWS support asks for; None when the response had none.
        http_status: HTTP status of the response; None when it is not known.
        detail: AWS's message, without our explanation.
        retry_after: Seconds that the service asked to wait before a retry; None when it did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        operation: str,
        code: str,
        request_id: str | None = None,
        http_status: int | None = None,
        detail: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.code = code
        self.request_id = request_id
        self.http_status = http_status
        self.detail = detail
        self.retry_after = retry_after

    def explained(self, explanation: str) -> Self:
        """Return a copy of this error whose message begins with an explanation; raise it ``from`` this one.

        Args:
            explanation: What happened and what to do; AWS's operation, code and message follow in brackets.
        """
        return type(self)(
            f"{explanation} [{self.operation}: {self.code}: {self.detail}]",
            operation=self.operation,
            code=self.code,
            request_id=self.request_id,
            http_status=self.http_status,
            detail=self.detail,
            retry_after=self.retry_after,
        )


class AccessDenied(ServiceError):
    """The caller lacks a permission."""


class CredentialsExpired(ServiceError):
    """The credentials have expired; sign in again (``aws sso login``) or get a new session token."""


class InvalidRequest(ServiceError):
    """The service rejected a parameter or a combination of parameters.

    ``code`` is ``ValidationException`` or ``SerializationException`` if the request breaks a rule of the API,
    and ``InvalidParameterException`` if the service itself does not accept it.
    """


class ResourceNotFound(ServiceError):
    """The project, dataset, model version, bucket or object does not exist."""


class ObjectNotFound(ResourceNotFound):
    """An S3 object does not exist."""


class BucketNotFound(ResourceNotFound):
    """An S3 bucket does not exist."""


class WrongRegion(ServiceError):
    """A bucket is in another Region than the client."""


class ResourceAlreadyExists(ServiceError):
    """The project already has a dataset of this kind, or a policy with this name."""


class ResourceInUse(ServiceError):
    """The resource is busy, or its name is already in use."""


class ResourceNotReady(ServiceError):
    """The resource exists but is not ready, such as a model that is not running."""


class LimitExceeded(ServiceError):
    """A quota of the account is reached."""


class Throttled(ServiceError):
    """The service accepts no more requests now; retry later."""


class ServiceFault(ServiceError):
    """An internal error of AWS; retry later."""


class ImageRejected(ServiceError):
    """The service rejected an image: too large, neither JPEG nor PNG, or not readable from S3."""


class PolicyRejected(ServiceError):
    """The service rejected a project policy or its revision id."""


class JobFailed(RekolabelsError):
    """The service accepted a job and reported that it failed.

    Attributes:
        arn: ARN of the dataset or model version.
        status: Its status, such as ``TRAINING_FAILED``.
        status_message: The service's message; empty when there is none.
    """

    def __init__(self, message: str, *, arn: str, status: str, status_message: str = "") -> None:
        super().__init__(message)
        self.arn = arn
        self.status = status
        self.status_message = status_message


class DatasetFailed(JobFailed):
    """A dataset could not be created or updated."""


class TrainingFailed(JobFailed):
    """A training failed.

    Attributes:
        codes: The service's codes for errors in the training data, such as
            ``ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST``, from the manifest summary; empty without a summary.
        summary: The manifest summary (``ManifestSummary-<project>-<version>.json``); empty when the service
            wrote none.
    """

    def __init__(
        self,
        message: str,
        *,
        arn: str,
        status: str,
        status_message: str = "",
        codes: Sequence[str] = (),
        summary: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, arn=arn, status=status, status_message=status_message)
        self.codes = tuple(codes)
        self.summary: Mapping[str, Any] = summary or {}


class ModelFailed(JobFailed):
    """A model could not be started, stopped or copied."""


class JournalFailed(RekolabelsError):
    """The journal of ``detect_many`` cannot be read or written, for example because the disk is full."""


class WorkerLost(RekolabelsError):
    """The worker process of ``detect_many`` died each time it processed this image, even with it alone."""


class ExecutorBroken(RekolabelsError):
    """The executor of ``detect_many`` cannot be used any more, and cannot be made again."""


# Protocols, because rekolabels.evaluation imports this module. *args and **kwargs stand for its parameters.
class _Difference(Protocol):
    """One metric of two models (``evaluation.Difference``)."""

    @property
    def label(self) -> str | None: ...
    @property
    def before(self) -> float | None: ...
    @property
    def after(self) -> float | None: ...
    @property
    def change(self) -> float | None: ...
    @property
    def interval(self) -> tuple[float, float] | None: ...


class _Comparison(Protocol):
    """Two models on the same test images (``evaluation.Comparison``)."""

    @property
    def differences(self) -> Sequence[_Difference]: ...
    @property
    def images(self) -> int: ...
    @property
    def left_out(self) -> int: ...
    def difference(self, *args: Any, **kwargs: Any) -> _Difference: ...
    def worse(self, *args: Any, **kwargs: Any) -> Sequence[_Difference]: ...
    def table(self) -> list[list[str]]: ...
    def headline(self) -> str: ...


class ModelRegressed(RekolabelsError, AssertionError):
    """A model is worse than the baseline that it was compared with.

    Attributes:
        comparison: The whole :class:`~rekolabels.evaluation.Comparison`.
    """

    def __init__(self, message: str, *, comparison: _Comparison) -> None:
        super().__init__(message)
        self.comparison = comparison


class LeaseEnded(RekolabelsError):
    """A limit of ``model.running()`` (idle time, duration, cost) was reached, and the model was stopped."""


class SweepIncomplete(RekolabelsError):
    """``client.sweep()`` could not check or stop every model; it stopped the others.

    Attributes:
        stopped: ARNs of the model versions that were stopped.
        errors: One error for each Region or model version that failed.
    """

    def __init__(
        self, message: str, *, stopped: tuple[str, ...], errors: tuple[RekolabelsError, ...]
    ) -> None:
        super().__init__(message)
        self.stopped = stopped
        self.errors = errors


class UnexpectedStatus(RekolabelsError):
    """A resource reached a status from which the goal of a wait cannot be reached, or no longer exists.

    Attributes:
        arn: ARN of the resource.
        status: Its status; None when the resource no longer exists.
    """

    def __init__(self, message: str, *, arn: str, status: str | None) -> None:
        super().__init__(message)
        self.arn = arn
        self.status = status


class WaitTimedOut(RekolabelsError, TimeoutError):
    """A wait ended before the job did. The job continues; the message says how to resume waiting.

    Attributes:
        arn: ARN of the resource.
        status: Its last known status.
        waited: Seconds that were waited.
    """

    def __init__(self, message: str, *, arn: str, status: str | None, waited: float) -> None:
        super().__init__(message)
        self.arn = arn
        self.status = status
        self.waited = waited
