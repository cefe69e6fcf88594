"""Errors of AWS and botocore as ours: one table maps AWS's error codes to our exceptions."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

from rekolabels import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from botocore.exceptions import ClientError

__all__ = ["CODES", "call_boto3", "from_response", "translate"]

R = TypeVar("R")

CODES: Mapping[str, type[errors.ServiceError]] = {
    # Rekognition, from its service model
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
    # all services
    "SerializationException": errors.InvalidRequest,
    "UnknownOperationException": errors.InvalidRequest,
    "ValidationException": errors.InvalidRequest,
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
"""Other codes become a plain :class:`~rekolabels.errors.ServiceError` with the code as attribute."""

_HINTS: Mapping[type[errors.RekolabelsError], str] = {
    errors.AccessDenied: "Check the credentials and the IAM permissions of the caller.",
    errors.CredentialsExpired: "Renew the credentials, for example with `aws sso login`, and try again.",
    errors.BucketNotFound: "Check the name, or create the bucket with client.ensure_bucket().",
    errors.WrongRegion: "Use a bucket in the Region of the client, or a client in the Region of the bucket: "
    "`Client(region_name=...)`.",
    errors.LimitExceeded: "The account has reached a quota. Most quotas can be raised in Service Quotas.",
    errors.Throttled: "Send fewer requests, or try again later.",
    errors.ServiceFault: "The error is in the service. Try again later.",
}


_CLOCK_CODES = frozenset({"InvalidSignatureException", "RequestTimeTooSkewed", "SignatureDoesNotMatch"})
_CLOCK_HINT = (
    "Check that the clock of this machine is right to within five minutes, and check the credentials."
)

_EMBEDDED_SERVICE = "The embedded service"

_TOKEN = re.compile(r"(x-amz-security-token\W+)[^\s&'\"]+", re.IGNORECASE)
_SERVER_ERROR = 500  # http.HTTPStatus would cost import time


def call_boto3(operation: str, function: Callable[..., R], /, **parameters: Any) -> R:
    """Call a function of boto3 and raise botocore's errors as ours, with the original error as cause."""
    try:
        return function(**parameters)
    except Exception as error:
        ours = translate(error, operation)
        if ours is None:
            raise
        raise ours from error


def translate(error: Exception, operation: str) -> errors.RekolabelsError | None:
    """Return our error for an error of botocore; None for other errors."""
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    if isinstance(error, boto.ClientError):
        _remove_token(error)
        return from_response(error.response, operation)
    if isinstance(error, boto.NoRegionError):
        return errors.NoRegion(
            "No AWS Region is set. Use `Client(region_name=...)`, set AWS_DEFAULT_REGION, or run "
            "`aws configure`. To work without AWS, use rekolabels.local.LocalService."
        )
    if isinstance(
        error,
        (
            boto.NoCredentialsError,
            boto.PartialCredentialsError,
            boto.CredentialRetrievalError,
            boto.TokenRetrievalError,
            boto.SSOError,
        ),
    ):
        return errors.NoCredentials(
            f"boto3 found no usable AWS credentials ({str(error).rstrip('.')}). Run `aws configure` or "
            "`aws sso login`, or set AWS_PROFILE. To work without AWS, use rekolabels.local.LocalService."
        )
    if isinstance(error, boto.ProfileNotFound):
        return errors.NoCredentials(_missing_profile(error.kwargs["profile"]))
    if isinstance(error, boto.ParamValidationError):
        return errors.InvalidInput(f"{operation}: {_invalid_parameters(error.kwargs['report'])}")
    if isinstance(
        error,
        # The last two are raised for an incomplete response body.
        (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError, ResponseParserError),
    ):
        return errors.ConnectionFailed(
            f"{operation}: no response from the service ({str(error).rstrip('.')}). Check the network, the "
            "Region and AWS_ENDPOINT_URL, and try again."
        )
    if isinstance(error, boto.BotoCoreError):
        return errors.ConfigurationError(f"{operation}: {error}")
    return None


def _missing_profile(name: str) -> str:
    from botocore.session import Session

    found = Session().available_profiles
    known = f"This machine has {', '.join(map(repr, found))}." if found else "This machine has none."
    return (
        f"The AWS profile {name!r} does not exist. {known} Choose one with AWS_PROFILE or "
        f"`boto3.Session(profile_name=...)`, or create it with `aws configure --profile {name}`."
    )


_REPORTS: Mapping[str, str] = {
    r"Invalid type for parameter (\S+), value: (.*), type: <class '(.*)'>, valid types: <class '(\w+)'>.*": (
        "{0} is {1}, of type {2}; expected {3}"
    ),
    r"Invalid value for parameter (\S+), value: (.*), valid min value: (.*)": (
        "{0} is {1}; expected at least {2}"
    ),
    r"Invalid length for parameter (\S+), value: (.*), valid min length: (.*)": (
        "{0} has length {1}; expected at least {2}"
    ),
}
"""Sentences for what botocore reports about the parameters of a call."""
_MAX_VALUE = 100


def _invalid_parameters(report: str) -> str:
    sentences: list[str] = []
    for line in report.splitlines():
        text = line
        for pattern, sentence in _REPORTS.items():
            found = re.fullmatch(pattern, line)
            if found is not None:
                parts = [
                    part if len(part) <= _MAX_VALUE else f"{part[:_MAX_VALUE]}..." for part in found.groups()
                ]
                text = sentence.format(*parts)
        sentences.append(text)
    return f"{'. '.join(sentences)}."


def _remove_token(error: ClientError) -> None:
    """Remove the session token from an error: AWS repeats the headers whose signature it could not verify."""
    content = error.response.get("Error", {})
    if "Message" in content:
        content["Message"] = _TOKEN.sub(r"\1...", str(content["Message"]))
    error.args = tuple(_TOKEN.sub(r"\1...", str(argument)) for argument in error.args)


def from_response(response: Mapping[str, Any], operation: str) -> errors.ServiceError:
    """Return our error for an error response that botocore has parsed."""
    content: Mapping[str, Any] = response.get("Error", {})
    meta: Mapping[str, Any] = response.get("ResponseMetadata", {})
    code, detail = str(content.get("Code", "Unknown")), str(content.get("Message", ""))
    status, request_id = meta.get("HTTPStatusCode"), meta.get("RequestId")
    kind = CODES.get(code) or _kind_by_status(code, status)
    hint = _CLOCK_HINT if code in _CLOCK_CODES else _HINTS.get(kind, "")
    if detail.startswith(_EMBEDDED_SERVICE):
        hint = ""  # its messages say what to do
    reason = f": {detail.rstrip('.')}." if detail else "."
    request = f", request id {request_id}" if request_id else ""
    message = f"{operation} failed{reason} {hint}".rstrip() + f" [{code}{request}]"
    return kind(
        message,
        operation=operation,
        code=code,
        request_id=request_id,
        http_status=status,
        detail=detail,
        retry_after=_retry_after(meta.get("HTTPHeaders", {})),
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of ``Retry-After``; a date is compared with the date of the response."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        until, now = (parsedate_to_datetime(text) for text in (value, headers.get("date", "")))
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None  # no header, or not in a format of HTTP


def _kind_by_status(code: str, status: int | None) -> type[errors.ServiceError]:
    """Return the error class for a response to HEAD, which has no body and only its status as code."""
    if status is not None and status >= _SERVER_ERROR:
        return errors.ServiceFault
    return {"404": errors.ObjectNotFound, "403": errors.AccessDenied, "301": errors.WrongRegion}.get(
        code, errors.ServiceError
    )
