"""Errors that operations answer with, as the service model names them."""

from __future__ import annotations

__all__ = ["ServiceException", "status_of"]

# The model declares both as server faults; every other error of these operations is a client error.
_SERVER_FAULTS = frozenset({"InternalServerError", "ThrottlingException"})


class ServiceException(Exception):
    """A modelled error; an operation raises it and the client receives it as the response.

    Attributes:
        code: Name of the modelled error, such as ``ResourceInUseException``.
        message: What is wrong, for the caller.
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


def status_of(code: str) -> int:
    """Return the HTTP status of an error code.

    >>> status_of("ThrottlingException"), status_of("ResourceNotFoundException")
    (500, 400)
    """
    if code in _SERVER_FAULTS:
        return 500
    return 402 if code == "HumanLoopQuotaExceededException" else 400
