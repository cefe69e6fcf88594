"""Every error that rekolabels raises.

One ``except RekolabelsError`` catches them all; the branches say who has to act::

    RekolabelsError
    ├── InvalidInput (ValueError)        something given to rekolabels is not as it must be
    │   ├── InvalidImage                 an image file that the service would refuse
    │   ├── InvalidManifest              a manifest, or a line of one
    │   ├── InvalidEvaluation            an evaluation file that cannot be understood
    │   └── CannotSplit                  images that cannot be divided into training and test
    ├── MissingExtra (ImportError)       an optional package is not installed
    ├── ConfigurationError               the machine is not set up for AWS
    │   ├── NoCredentials
    │   └── NoRegion
    ├── ConnectionFailed                 no answer from the service
    ├── ServiceError                     AWS answered with an error; its code is on it
    │   ├── AccessDenied
    │   ├── CredentialsExpired           the session ended; new credentials mend it
    │   ├── InvalidRequest               the service did not accept a parameter
    │   ├── ResourceNotFound
    │   │   ├── ObjectNotFound           an S3 object is not there
    │   │   └── BucketNotFound
    │   ├── WrongRegion                  a bucket of another Region
    │   ├── ResourceAlreadyExists
    │   ├── ResourceInUse
    │   ├── ResourceNotReady
    │   ├── LimitExceeded                a quota of the account
    │   ├── Throttled                    too many requests, try again later
    │   ├── ServiceFault                 a fault on the side of AWS, try again later
    │   ├── ImageRejected                too large, not JPEG or PNG, or not readable from S3
    │   └── PolicyRejected               a project policy, or its revision
    ├── JobFailed                        the service took the job and reported that it failed
    │   ├── DatasetFailed
    │   ├── TrainingFailed
    │   └── ModelFailed                  starting, stopping or copying a model
    ├── JournalFailed                    the journal of detect_many cannot be written
    ├── ModelRegressed (AssertionError)  a model is worse than its baseline
    ├── LeaseEnded                       a limit was reached, the model stopped
    ├── SweepIncomplete                  not everything could be looked at or stopped
    ├── UnexpectedStatus                 a status from which no way leads on
    └── WaitTimedOut (TimeoutError)      the wait ended, the job goes on
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from rekolabels.evaluation import Comparison

__all__ = [
    "AccessDenied",
    "BucketNotFound",
    "CannotSplit",
    "ConfigurationError",
    "ConnectionFailed",
    "CredentialsExpired",
    "DatasetFailed",
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
    "ServiceError",
    "ServiceFault",
    "SweepIncomplete",
    "Throttled",
    "TrainingFailed",
    "UnexpectedStatus",
    "WaitTimedOut",
    "WrongRegion",
]


class RekolabelsError(Exception):
    """The root of the tree: whatever rekolabels raises on purpose is one of these."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions with keyword arguments do not pickle by themselves; workers send theirs home so.
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


def _rebuild(kind: type[RekolabelsError], args: tuple[Any, ...], state: Mapping[str, Any]) -> RekolabelsError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class InvalidInput(RekolabelsError, ValueError):
    """Something given to rekolabels is not as it must be; the message says what, where and how to mend it."""


class InvalidImage(InvalidInput):
    """An image file that the service would refuse: wrong format, size, dimensions, or not readable."""


class InvalidManifest(InvalidInput):
    """A manifest, or a line of one, that cannot be read.

    Attributes:
        line: The number of the line, from 1; None when the file as a whole is meant.
        code: The service's code for this mistake (``ERROR_INVALID_JSON_LINE``), where it has one.
    """

    def __init__(self, message: str, *, line: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.code = code


class InvalidEvaluation(InvalidInput):
    """An evaluation file that cannot be understood."""


class CannotSplit(InvalidInput):
    """Images that cannot be divided into a training and a test dataset, such as a label with one image."""


class MissingExtra(RekolabelsError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the extra '{extra}': pip install 'rekolabels[{extra}]'")
        self.extra = extra
        self.purpose = purpose


class ConfigurationError(RekolabelsError):
    """The machine is not set up for AWS."""


class NoCredentials(ConfigurationError):
    """boto3 found no usable credentials."""


class NoRegion(ConfigurationError):
    """No AWS Region is set."""


class ConnectionFailed(RekolabelsError):
    """No answer from the service: no network, a wrong endpoint, or a time-out."""


class ServiceError(RekolabelsError):
    """AWS answered with an error.

    Attributes:
        operation: The operation that was called, such as ``CreateProject``.
        code: The error code of AWS, such as ``ResourceInUseException``.
        request_id: The request id that AWS support asks for; None when the answer had none.
        http_status: The HTTP status of the answer; None when it is not known.
        detail: The message of AWS, without our explanation.
        retry_after: Seconds that the service asked to wait before the next try; None when it did not.
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
        """Return the same error in words for the situation; raise it ``from`` this one."""
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
    """The credentials were valid once; new ones mend it (``aws sso login``, a new session token)."""


class InvalidRequest(ServiceError):
    """The service did not accept a parameter, or a combination of them."""


class ResourceNotFound(ServiceError):
    """The named project, dataset, model version, bucket or object does not exist."""


class ObjectNotFound(ResourceNotFound):
    """An S3 object does not exist."""


class BucketNotFound(ResourceNotFound):
    """An S3 bucket does not exist."""


class WrongRegion(ServiceError):
    """A bucket lies in another Region than the call."""


class ResourceAlreadyExists(ServiceError):
    """The project already has such a dataset, or a policy of that name."""


class ResourceInUse(ServiceError):
    """The resource is busy, or its name is taken."""


class ResourceNotReady(ServiceError):
    """The resource exists but cannot be used yet, such as a model that is not running."""


class LimitExceeded(ServiceError):
    """A quota of the account is reached."""


class Throttled(ServiceError):
    """The service cannot take more requests now; it can be tried again later."""


class ServiceFault(ServiceError):
    """A fault on the side of AWS; it can be tried again later."""


class ImageRejected(ServiceError):
    """The service refused an image: too large, neither JPEG nor PNG, or not readable from S3."""


class PolicyRejected(ServiceError):
    """The service refused a project policy or its revision id."""


class JobFailed(RekolabelsError):
    """The service took the job and reported that it failed.

    Attributes:
        arn: The ARN of the dataset or model version.
        status: Its status, such as ``TRAINING_FAILED``.
        status_message: The service's own message; empty when it gave none.
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
        codes: The service's codes for the training data, such as
            ``ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST``, from the manifest summary; empty when it wrote none.
        summary: The manifest summary as the service wrote it (``ManifestSummary-<project>-<version>.json``);
            empty when it wrote none.
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


class ModelRegressed(RekolabelsError, AssertionError):
    """A model is worse than the baseline that it was compared with.

    Attributes:
        comparison: The whole comparison.
    """

    def __init__(self, message: str, *, comparison: Comparison) -> None:
        super().__init__(message)
        self.comparison = comparison


class LeaseEnded(RekolabelsError):
    """A limit of ``model.running()`` was reached (idle time, duration, cost), and the model was stopped."""


class SweepIncomplete(RekolabelsError):
    """``client.sweep()`` could not look at, or not stop, everything; what it could, it has stopped.

    Attributes:
        stopped: ARNs of the model versions that were stopped.
        errors: What went wrong, one for each Region or model version that failed.
    """

    def __init__(
        self, message: str, *, stopped: tuple[str, ...], errors: tuple[RekolabelsError, ...]
    ) -> None:
        super().__init__(message)
        self.stopped = stopped
        self.errors = errors


class UnexpectedStatus(RekolabelsError):
    """A wait met a status from which there is no way to its goal, or the resource vanished.

    Attributes:
        arn: The ARN of the resource.
        status: The status that was met; None when the resource no longer exists.
    """

    def __init__(self, message: str, *, arn: str, status: str | None) -> None:
        super().__init__(message)
        self.arn = arn
        self.status = status


class WaitTimedOut(RekolabelsError, TimeoutError):
    """The wait ended before the job did; the job goes on, and the message says how to attach to it again.

    Attributes:
        arn: The ARN of the resource.
        status: Its last status.
        waited: How long was waited, in seconds.
    """

    def __init__(self, message: str, *, arn: str, status: str | None, waited: float) -> None:
        super().__init__(message)
        self.arn = arn
        self.status = status
        self.waited = waited
