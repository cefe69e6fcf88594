"""Server-side encryption: which key encrypts an object is stored and returned, without effect on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rekolabels.local._s3._errors import S3Error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rekolabels.local._s3._request import Request

__all__ = ["ENCRYPTION", "encryption_headers", "requested_encryption"]

ENCRYPTION = "x-amz-server-side-encryption"
_KEY_ID = f"{ENCRYPTION}-aws-kms-key-id"
_BUCKET_KEY = f"{ENCRYPTION}-bucket-key-enabled"
_CONTEXT = f"{ENCRYPTION}-context"
_KEPT = (ENCRYPTION, _KEY_ID, _BUCKET_KEY)
_DEFAULT = "AES256"
"""The encryption of every new object for which the request names none, as in S3 since 2023."""
_WITH_KEY = frozenset({"aws:kms", "aws:kms:dsse"})


def requested_encryption(request: Request) -> dict[str, str]:
    """Return the encryption headers of a request, which are stored with the object.

    Raises:
        S3Error: ``InvalidArgument`` for an unknown algorithm, or a key without an algorithm that uses keys.
    """
    algorithm = request.header(ENCRYPTION)
    if algorithm not in {None, _DEFAULT, *_WITH_KEY}:
        raise S3Error(
            "InvalidArgument",
            "The encryption method specified is not supported. Use AES256, aws:kms or aws:kms:dsse.",
            ArgumentName=ENCRYPTION,
            ArgumentValue=algorithm or "",
        )
    for name in (_KEY_ID, _CONTEXT):
        if request.header(name) and algorithm not in _WITH_KEY:
            raise S3Error(
                "InvalidArgument",
                f"The header {name} requires {ENCRYPTION}: aws:kms.",
                ArgumentName=name,
            )
    given = {name: request.headers[name] for name in (ENCRYPTION, _KEY_ID) if request.header(name)}
    if request.headers.get(_BUCKET_KEY, "").lower() == "true":  # botocore wrote "True" before 1.36
        given[_BUCKET_KEY] = "true"
    return {ENCRYPTION: _DEFAULT, **given}


def encryption_headers(stored: Mapping[str, str]) -> dict[str, str]:
    """Return the encryption headers among those that are stored with an object."""
    return {name: stored[name] for name in _KEPT if name in stored}
