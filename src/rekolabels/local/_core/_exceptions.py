"""The errors that the service answers with: a code of the service model and a message."""

from __future__ import annotations

__all__ = ["ServiceException", "status_of"]

# Both are server faults in the model; every other error of these operations is the caller's.
_SERVER_FAULTS = frozenset({"InternalServerError", "ThrottlingException"})


class ServiceException(Exception):
    """A request that is answered with an error of the service model.

    Attributes:
        code: The name of the modelled error, such as ``ResourceInUseException``.
        message: What is wrong, for the caller's eyes.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @classmethod
    def invalid(cls, message: str) -> ServiceException:
        """A parameter, or a combination of them, that is not allowed."""
        return cls("InvalidParameterException", message)

    @classmethod
    def not_found(cls, kind: str, arn: str) -> ServiceException:
        """An ARN that names nothing."""
        return cls("ResourceNotFoundException", f"The {kind} {arn} does not exist.")

    @classmethod
    def in_use(cls, message: str) -> ServiceException:
        """A resource that is busy, or a name that is taken."""
        return cls("ResourceInUseException", message)

    @classmethod
    def not_ready(cls, message: str) -> ServiceException:
        """A resource that exists but cannot be used yet."""
        return cls("ResourceNotReadyException", message)

    @classmethod
    def limit(cls, message: str) -> ServiceException:
        """A quota of the account that is reached."""
        return cls("LimitExceededException", message)


def status_of(code: str) -> int:
    """The HTTP status that belongs to an error code.

    >>> status_of("ThrottlingException"), status_of("ResourceNotFoundException")
    (500, 400)
    """
    if code in _SERVER_FAULTS:
        return 500
    return 402 if code == "HumanLoopQuotaExceededException" else 400
