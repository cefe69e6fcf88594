"""Policies of posted forms: what a form may contain, signed by whoever gave it to the browser."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
import reprlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels.local._core._credentials import SECRET, is_account_id
from rekolabels.local._s3._errors import S3Error
from rekolabels.manifest._json import is_list, is_object

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FormPolicy", "check_form"]

_ALGORITHM = "AWS4-HMAC-SHA256"
_CREDENTIAL = re.compile(r"(?P<key>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]+)/s3/aws4_request", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_SHA1_SIZE = 20  # bytes of the HMAC of signature version 2
_MAX_DIGITS = 15
# Fields that no condition needs to name, and how the names of others start.
_EXEMPT_PREFIXES = ("x-amz-checksum-", "x-ignore-")
_EXEMPT = frozenset({"awsaccesskeyid", "file", "policy", "signature", "x-amz-signature"})
_OPERATORS = frozenset({"eq", "starts-with"})
_RANGE_PARTS = 3


@attrs.frozen
class FormPolicy:
    """The sizes that a policy allows."""

    smallest: int = 0
    """Bytes."""
    largest: int | None = None
    """Bytes; None for no limit."""


def check_form(fields: Mapping[str, str], bucket: str, now: float) -> FormPolicy:
    """Check the fields of a form against its policy.

    The signature is verified if the access key ID is an account ID, as in the sessions and servers of the
    service; the secret keys of other access keys are not known.

    Args:
        fields: Values by lower-case name; ``key`` with the name of the file filled in.
        bucket: The bucket.
        now: Seconds since 1970.

    Raises:
        S3Error: ``AccessDenied`` without a policy, or when it has expired or does not allow the form;
            ``InvalidArgument``, ``SignatureDoesNotMatch`` or ``InvalidPolicyDocument``.
    """
    encoded = fields.get("policy")
    if not encoded:
        raise S3Error(
            "AccessDenied", "The form has no policy. Make one with boto3's generate_presigned_post()."
        )
    _check_signature(fields, encoded)
    document = _decode(encoded)
    expiration = _expiration(document.get("expiration"))
    conditions = document.get("conditions")
    if not is_list(conditions):
        raise _invalid("Policy missing conditions.")
    values = {**fields, "bucket": bucket}
    allowed = FormPolicy()
    named = {"bucket"}
    problem = "" if now < expiration else "Policy expired."
    for condition in conditions:
        if is_list(condition) and condition[:1] == ["content-length-range"]:
            allowed = _narrowed(allowed, _size_range(condition))
            continue
        for operator, name, value in _comparisons(condition):
            named.add(name)
            if not _holds(operator, name, value, values.get(name, "")) and not problem:
                problem = f"Policy Condition failed: {json.dumps([operator, f'${name}', value])}"
    extra = sorted(name for name in fields.keys() - named - _EXEMPT if not name.startswith(_EXEMPT_PREFIXES))
    if extra and not problem:
        problem = f"Extra input fields: {', '.join(extra)[:1000]}"
    if problem:
        raise S3Error("AccessDenied", f"Invalid according to Policy: {problem}")
    return allowed


# -- signatures ----------------------------------------------------------------------------------------------


def _check_signature(fields: Mapping[str, str], policy: str) -> None:
    if "x-amz-signature" in fields or "x-amz-credential" in fields or "x-amz-algorithm" in fields:
        for name in ("x-amz-signature", "x-amz-credential", "x-amz-algorithm", "x-amz-date"):
            _require(fields, name)
        if fields["x-amz-algorithm"] != _ALGORITHM:
            raise S3Error(
                "InvalidArgument",
                f"X-Amz-Algorithm only supports {_ALGORITHM}.",
                ArgumentName="X-Amz-Algorithm",
            )
        match = _CREDENTIAL.fullmatch(fields["x-amz-credential"])
        if match is None:
            raise S3Error(
                "InvalidArgument",
                'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".',
                ArgumentName="X-Amz-Credential",
            )
        signature = fields["x-amz-signature"]
        key = match["key"]
        expected = _sign_v4(policy, match["date"], match["region"]) if is_account_id(key) else signature
        if not _SIGNATURE.fullmatch(signature) or not hmac.compare_digest(signature, expected):
            raise _does_not_match(key)
        return
    _require(fields, "awsaccesskeyid")
    _require(fields, "signature")
    key, text = fields["awsaccesskeyid"], fields["signature"]
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    expected_digest = hmac.digest(SECRET.encode(), policy.encode(), "sha1") if is_account_id(key) else digest
    if len(digest) != _SHA1_SIZE or not hmac.compare_digest(digest, expected_digest):
        raise _does_not_match(key)


def _sign_v4(text: str, date: str, region: str) -> str:
    key = f"AWS4{SECRET}".encode()
    for part in (date, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _require(fields: Mapping[str, str], name: str) -> None:
    if not fields.get(name):
        raise S3Error(
            "InvalidArgument",
            f"Bucket POST must contain a field named '{name}'. If it is specified, please check the order of"
            " the fields.",
            ArgumentName=name,
        )


def _does_not_match(key: str) -> S3Error:
    hint = f" For this access key ID, the secret access key is {SECRET!r}." if is_account_id(key) else ""
    return S3Error(
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your key and"
        f" signing method.{hint}",
    )


# -- documents -----------------------------------------------------------------------------------------------


def _decode(encoded: str) -> Mapping[str, Any]:
    try:
        document: object = json.loads(base64.b64decode("".join(encoded.split()), validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise _invalid("Invalid JSON.") from error
    if not is_object(document):
        raise _invalid("Invalid JSON.")
    return document


def _expiration(value: object) -> float:
    if value is None:
        raise _invalid("Policy missing expiration.")
    try:
        # A literal Z: %z alone would accept other time zones as well.
        text = re.sub(r"\.\d{1,9}Z\Z", "Z", value if isinstance(value, str) else "")
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise _invalid(f"Invalid 'expiration' value: {reprlib.repr(value)}") from error


def _size_range(condition: list[Any]) -> FormPolicy:
    sizes = condition[1:]
    if len(condition) != _RANGE_PARTS or not all(_is_size(size) for size in sizes):
        raise _invalid(f"Invalid content-length-range: {reprlib.repr(condition)}. Expected two numbers.")
    return FormPolicy(int(sizes[0]), int(sizes[1]))


def _is_size(value: object) -> bool:
    if isinstance(value, str):
        return re.fullmatch(f"[0-9]{{1,{_MAX_DIGITS}}}", value) is not None
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**_MAX_DIGITS


def _narrowed(one: FormPolicy, other: FormPolicy) -> FormPolicy:
    """Return the sizes that both policies allow."""
    limits = [limit for limit in (one.largest, other.largest) if limit is not None]
    return FormPolicy(max(one.smallest, other.smallest), min(limits, default=None))


def _comparisons(condition: object) -> list[tuple[str, str, str]]:
    """Return the operator, the lower-case name of the field, and the value of each comparison."""
    if is_object(condition) and condition:
        pairs = [("eq", name, value) for name, value in condition.items()]
    elif is_list(condition) and len(condition) == _RANGE_PARTS and str(condition[1]).startswith("$"):
        pairs = [(condition[0], str(condition[1])[1:], condition[2])]
    else:
        pairs = []
    if not pairs or not all(
        isinstance(operator, str) and operator.lower() in _OPERATORS and isinstance(value, str)
        for operator, _, value in pairs
    ):
        raise _invalid(f"Invalid condition: {reprlib.repr(condition)}")
    return [(operator.lower(), name.lower(), value) for operator, name, value in pairs]


def _holds(operator: str, name: str, value: str, given: str) -> bool:
    if operator == "eq":
        return given == value
    if name == "content-type":
        # A list of types: each of them counts.
        return all(one.strip().startswith(value) for one in given.split(","))
    return given.startswith(value)


def _invalid(problem: str) -> S3Error:
    return S3Error("InvalidPolicyDocument", f"Invalid Policy: {problem}")
