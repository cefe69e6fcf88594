"""One table: which code of AWS becomes which exception of ours."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

from rekolabels import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from botocore.exceptions import ClientError

__all__ = ["CODES", "from_answer", "translate", "translated"]

R = TypeVar("R")

CODES: Mapping[str, type[errors.ServiceError]] = {
    # Rekognition, as its service model names them
    "AccessDeniedException": errors.AccessDenied,
    "ConflictException": errors.ResourceInUse,
    "HumanLoopQuotaExceededException": errors.LimitExceeded,
    "IdempotentParameterMismatchException": errors.InvalidRequest,
    "ImageTooLargeException": errors.ImageRejected,
    "InternalServerError": errors.ServiceFault,
    "InvalidImageFormatException": errors.ImageRejected,
    "InvalidManifestException": errors.InvalidRequest,
    "InvalidPaginationTokenException": errors.InvalidRequest,
    "InvalidParameterException": errors.InvalidRequest,
    "InvalidPolicyRevisionIdException": errors.PolicyRejected,
    "InvalidS3ObjectException": errors.ImageRejected,
    "LimitExceededException": errors.LimitExceeded,
    "MalformedPolicyDocumentException": errors.PolicyRejected,
    "ProvisionedThroughputExceededException": errors.Throttled,
    "ResourceAlreadyExistsException": errors.ResourceAlreadyExists,
    "ResourceInUseException": errors.ResourceInUse,
    "ResourceNotFoundException": errors.ResourceNotFound,
    "ResourceNotReadyException": errors.ResourceNotReady,
    "ServiceQuotaExceededException": errors.LimitExceeded,
    "SessionNotFoundException": errors.ResourceNotFound,
    "ThrottlingException": errors.Throttled,
    "VideoTooLargeException": errors.InvalidRequest,
    "ValidationException": errors.InvalidRequest,
    # S3
    "AccessDenied": errors.AccessDenied,
    "AuthorizationHeaderMalformed": errors.WrongRegion,
    "BucketAlreadyExists": errors.ResourceInUse,
    "BucketAlreadyOwnedByYou": errors.ResourceAlreadyExists,
    "IllegalLocationConstraintException": errors.WrongRegion,
    "InternalError": errors.ServiceFault,
    "InvalidBucketName": errors.InvalidRequest,
    "NoSuchBucket": errors.BucketNotFound,
    "NoSuchKey": errors.ObjectNotFound,
    "PermanentRedirect": errors.WrongRegion,
    "RequestTimeout": errors.ServiceFault,
    "ServiceUnavailable": errors.ServiceFault,
    "SlowDown": errors.Throttled,
    # every service
    "AccessDeniedFault": errors.AccessDenied,
    "ExpiredToken": errors.CredentialsExpired,
    "ExpiredTokenException": errors.CredentialsExpired,
    "IncompleteSignature": errors.AccessDenied,
    "InvalidAccessKeyId": errors.AccessDenied,
    "InvalidClientTokenId": errors.AccessDenied,
    "InvalidSignatureException": errors.AccessDenied,
    "RequestExpired": errors.CredentialsExpired,
    "RequestTimeTooSkewed": errors.AccessDenied,
    "SignatureDoesNotMatch": errors.AccessDenied,
    "Throttling": errors.Throttled,
    "TooManyRequestsException": errors.Throttled,
    "UnrecognizedClientException": errors.AccessDenied,
}
"""A code that is not listed becomes a plain :class:`~rekolabels.errors.ServiceError`, with its code on it."""

_HINTS: Mapping[type[errors.RekolabelsError], str] = {
    errors.AccessDenied: "Check the credentials and the IAM permissions of the caller.",
    errors.CredentialsExpired: "Renew the credentials, for example with 'aws sso login', and run it again.",
    errors.BucketNotFound: "Check its name, or make it with client.ensure_bucket().",
    errors.WrongRegion: "Use a bucket in the Region of the client, or a client for the bucket's Region: "
    "Client(region_name=...).",
    errors.LimitExceeded: "A quota of the account is reached; most can be raised in Service Quotas.",
    errors.Throttled: "Try again later, or slow down.",
    errors.ServiceFault: "The fault is on the side of the service; try again later.",
}


_CLOCK_CODES = frozenset({"InvalidSignatureException", "RequestTimeTooSkewed", "SignatureDoesNotMatch"})
_CLOCK = "Check the clock of this machine, which must be right to within minutes, and then the credentials."

_TOKEN = re.compile(r"(x-amz-security-token\W+)[^\s&'\"]+", re.IGNORECASE)
_SERVER_FAULT = 500  # the class of HTTP statuses, without the cost of importing http


def translated(operation: str, function: Callable[..., R], /, **parameters: Any) -> R:
    """Make a call of boto3; what botocore raises becomes an error of ours, and stays its cause."""
    try:
        return function(**parameters)
    except Exception as error:
        ours = translate(error, operation)
        if ours is None:
            raise
        raise ours from error


def translate(error: Exception, operation: str) -> errors.RekolabelsError | None:
    """Turn what botocore raised into an error of ours; None for what is not botocore's."""
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    if isinstance(error, boto.ClientError):
        _forget_token(error)
        return from_answer(error.response, operation)
    if isinstance(error, boto.NoRegionError):
        return errors.NoRegion(
            "No AWS Region is set: give Client(region_name=...), set AWS_DEFAULT_REGION, "
            "or run 'aws configure'. To work without AWS, use rekolabels.local.LocalService."
        )
    if isinstance(
        error,
        (
            boto.NoCredentialsError,
            boto.PartialCredentialsError,
            boto.CredentialRetrievalError,
            boto.TokenRetrievalError,
            boto.SSOError,
            boto.ProfileNotFound,
        ),
    ):
        return errors.NoCredentials(
            f"boto3 found no usable AWS credentials ({error}): run 'aws configure' or 'aws sso login', "
            "or set AWS_PROFILE. To work without AWS, use rekolabels.local.LocalService."
        )
    if isinstance(error, boto.ParamValidationError):
        return errors.InvalidInput(f"{operation}: {error}")
    if isinstance(
        error,
        # The last two: an answer that broke off in its body.
        (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError, ResponseParserError),
    ):
        return errors.ConnectionFailed(
            f"{operation}: no answer from the service ({error}). Check the network, the Region and "
            "AWS_ENDPOINT_URL, and run it again."
        )
    if isinstance(error, boto.BotoCoreError):
        return errors.ConfigurationError(f"{operation}: {error}")
    return None


def _forget_token(error: ClientError) -> None:
    """Take the session token out of an error: AWS tells back the headers that it could not verify."""
    said = error.response.get("Error", {})
    if "Message" in said:
        said["Message"] = _TOKEN.sub(r"\1...", said["Message"])
    error.args = tuple(_TOKEN.sub(r"\1...", str(argument)) for argument in error.args)


def from_answer(answer: Mapping[str, Any], operation: str) -> errors.ServiceError:
    """Turn an error answer, as botocore parsed it, into an error of ours."""
    said: Mapping[str, Any] = answer.get("Error", {})
    meta: Mapping[str, Any] = answer.get("ResponseMetadata", {})
    code, detail = str(said.get("Code", "Unknown")), str(said.get("Message", ""))
    status, request_id = meta.get("HTTPStatusCode"), meta.get("RequestId")
    kind = CODES.get(code) or _kind_by_status(code, status)
    hint = _CLOCK if code in _CLOCK_CODES else _HINTS.get(kind, "")
    message = f"{operation}: {code}: {detail}" + (f" {hint}" if hint else "")
    return kind(
        message,
        operation=operation,
        code=code,
        request_id=request_id,
        http_status=status,
        detail=detail,
        retry_after=_seconds_to_wait(meta.get("HTTPHeaders", {})),
    )


def _seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After``: seconds, or a date, which is compared with the date of the answer itself."""
    asked = headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked)
    try:
        until, now = (parsedate_to_datetime(text) for text in (asked, headers.get("date", "")))
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError):
        return None  # none was asked for, or not in a form that HTTP knows


def _kind_by_status(code: str, status: int | None) -> type[errors.ServiceError]:
    """S3 answers HEAD without a body, so that botocore has only the status for a code."""
    if status is not None and status >= _SERVER_FAULT:
        return errors.ServiceFault
    return {"404": errors.ObjectNotFound, "403": errors.AccessDenied, "301": errors.WrongRegion}.get(
        code, errors.ServiceError
    )
