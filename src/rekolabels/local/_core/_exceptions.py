"""Errors that operations answer with, as the service model names them, and what AWS says with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ERRORS", "ErrorForm", "ServiceException", "form_of"]


@attrs.frozen
class ErrorForm:
    """One error of the API as the service answers it: a row of the table in the documentation."""

    code: str
    status: int
    """HTTP status."""
    text: str
    """AWS's message. Empty: AWS publishes none. ``<...>`` stands for a value."""
    source: str
    """Where status and message come from; the page of the documentation says what the words mean."""

    @property
    def opening(self) -> str:
        """The text that stands before the message of the embedded service; empty if AWS's has values."""
        return "" if "<" in self.text else self.text


ERRORS: tuple[ErrorForm, ...] = (
    ErrorForm(
        "AccessDeniedException",
        400,
        "User: <user ARN> is not authorized to perform: <operation> on resource: <resource ARN>",
        "guide",
    ),
    ErrorForm(
        "ExpiredTokenException", 400, "The security token included in the request is expired", "common"
    ),
    ErrorForm("HumanLoopQuotaExceededException", 402, "", "model"),
    ErrorForm(
        "IdempotentParameterMismatchException",
        400,
        "The ClientRequestToken: <token> you have supplied is already in use.",
        "guide",
    ),
    ErrorForm("ImageTooLargeException", 400, "Image size is too large", "guide"),
    ErrorForm("InternalServerError", 500, "Internal server error", "guide"),
    ErrorForm("InvalidImageFormatException", 400, "Request has invalid image format", "guide"),
    ErrorForm("InvalidManifestException", 400, "", "model"),
    ErrorForm("InvalidPaginationTokenException", 400, "Invalid Pagination Token", "guide"),
    ErrorForm("InvalidParameterException", 400, "Request has invalid parameters", "guide"),
    ErrorForm("InvalidPolicyRevisionIdException", 400, "", "model"),
    ErrorForm(
        "InvalidS3ObjectException",
        400,
        "Unable to get object metadata from S3. Check object key, region and/or access permissions.",
        "guide",
    ),
    ErrorForm("LimitExceededException", 400, "", "guide"),
    ErrorForm("MalformedPolicyDocumentException", 400, "", "model"),
    ErrorForm("ProvisionedThroughputExceededException", 400, "Provisioned Rate exceeded", "guide"),
    ErrorForm("ResourceAlreadyExistsException", 400, "", "guide"),
    ErrorForm("ResourceInUseException", 400, "Specified resource is in use", "guide"),
    ErrorForm("ResourceNotFoundException", 400, "", "guide"),
    ErrorForm("ResourceNotReadyException", 400, "", "model"),
    ErrorForm("SerializationException", 400, "<what is wrong with the JSON>", "framework"),
    ErrorForm("ServiceQuotaExceededException", 400, "", "model"),
    ErrorForm("ThrottlingException", 500, "Service Unavailable", "guide"),
    ErrorForm("ThrottlingException", 400, "Slow down; sudden increase in rate of requests", "guide"),
    ErrorForm("UnknownOperationException", 400, "", "framework"),
    ErrorForm(
        "UnrecognizedClientException", 403, "The security token included in the request is invalid.", "common"
    ),
    ErrorForm(
        "ValidationException",
        400,
        "<number> validation error(s) detected: Value '<value>' at '<member>' failed to satisfy constraint: "
        "<constraint>",
        "logs",
    ),
)
"""Every error that the service answers with; the first of a code is the usual one."""

_USUAL: Mapping[str, ErrorForm] = {form.code: form for form in reversed(ERRORS)}


def form_of(code: str, status: int | None = None) -> ErrorForm:
    """Return the form of an error.

    Args:
        code: Its name; an unknown one, from an injected fault, has status 400 and no text.
        status: Its HTTP status; None for the usual one.

    >>> form_of("ThrottlingException").status, form_of("ThrottlingException", 400).opening
    (500, 'Slow down; sudden increase in rate of requests')
    """
    if status is None:
        return _USUAL.get(code) or ErrorForm(code, 400, "", "")
    found = (form for form in ERRORS if (form.code, form.status) == (code, status))
    return next(found, None) or ErrorForm(code, status, "", "")


class ServiceException(Exception):
    """A modelled error; an operation raises it and the client receives it as the response.

    Attributes:
        code: Name of the modelled error, such as ``ResourceInUseException``.
        message: What is wrong, for the caller. AWS's own text, where it is known, is put before it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @classmethod
    def invalid(cls, message: str) -> ServiceException:
        """Return an ``InvalidParameterException``: a parameter or combination that is not allowed."""
        return cls("InvalidParameterException", message)

    @classmethod
    def not_found(cls, kind: str, arn: str) -> ServiceException:
        """Return a ``ResourceNotFoundException`` for an ARN without a resource."""
        return cls("ResourceNotFoundException", f"The {kind} {arn} does not exist.")

    @classmethod
    def in_use(cls, message: str) -> ServiceException:
        """Return a ``ResourceInUseException``: the resource is busy, or the name exists."""
        return cls("ResourceInUseException", message)

    @classmethod
    def not_ready(cls, message: str) -> ServiceException:
        """Return a ``ResourceNotReadyException``: the resource exists but cannot be used yet."""
        return cls("ResourceNotReadyException", message)

    @classmethod
    def limit(cls, message: str) -> ServiceException:
        """Return a ``LimitExceededException``: the account has reached a quota."""
        return cls("LimitExceededException", message)
