"""Credentials of the service's clients."""

from __future__ import annotations

import re

__all__ = ["SECRET", "is_account_id", "user_arn"]

SECRET = "not-a-secret"  # noqa: S105 - the same for everyone; only the forms of browsers are verified by it
"""The secret access key of the sessions and servers of the service."""
_ACCOUNT_ID = re.compile(r"\d{12}", re.ASCII)


def is_account_id(access_key: str) -> bool:
    """Return whether an access key ID is the ID of an account, as in the sessions of the service."""
    return _ACCOUNT_ID.fullmatch(access_key) is not None


def user_arn(account: str) -> str:
    """Return the ARN of the callers of an account: they have no user or role here, so each is its root."""
    return f"arn:aws:iam::{account}:root"
