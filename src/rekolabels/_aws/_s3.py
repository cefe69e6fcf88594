"""Gateway to Amazon S3; the only module that calls boto3's S3 client."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs

from rekolabels._arguments import invalid
from rekolabels._aws._errors import call_boto3
from rekolabels._aws._retry import RetryPolicy, call_with_retries
from rekolabels._aws._session import SessionSettings, make_client, make_session
from rekolabels.descriptions import S3Location
from rekolabels.errors import (
    AccessDenied,
    BucketNotFound,
    ObjectNotFound,
    ResourceAlreadyExists,
    ResourceNotFound,
    ServiceError,
    WrongRegion,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from botocore.config import Config  # noqa: TC004 -- importing botocore can wait
    from mypy_boto3_s3 import S3Client  # noqa: TC004 -- the stubs are for type checkers only
    from mypy_boto3_s3.literals import BucketLocationConstraintType

__all__ = ["S3", "S3Settings", "check_bucket_name", "check_location", "other_region"]

R = TypeVar("R")

_DEFAULT_REGION = "us-east-1"
_NO_PERMISSION = frozenset({"403", "AccessDenied"})
_MANAGED_POLICY = "AWS's managed policy AmazonRekognitionCustomLabelsFullAccess"
_PERMISSIONS = {"HeadBucket": "ListBucket", "ListObjectsV2": "ListBucket"}
"""Permissions of the operations for which they have another name."""
_BAD_REQUEST = "400"
"""The answer to a HEAD request for a name that S3 does not allow, which has no body that says so."""


@attrs.frozen(eq=False, repr=False)
class S3:
    """Objects and buckets in S3."""

    client: S3Client
    policy: RetryPolicy
    settings: S3Settings | None = None
    """Settings to connect from another process; None if it would not find the same credentials."""
    processes: int = 1
    """Number of processes that upload images, including this one."""

    def _call(self, operation: str, bucket: str, function: Callable[[], R]) -> R:
        try:
            return call_with_retries(self.policy, lambda: call_boto3(operation, function))
        except AccessDenied as error:
            if error.code not in _NO_PERMISSION:
                raise
            raise error.explained(_no_access(operation, bucket)) from error

    def put(self, location: S3Location, body: bytes, *, content_type: str = "application/json") -> None:
        """Write an object (PutObject)."""
        self._call(
            "PutObject",
            location.bucket,
            lambda: self.client.put_object(
                Bucket=location.bucket, Key=location.key, Body=body, ContentType=content_type
            ),
        )

    def get(self, location: S3Location) -> bytes:
        """Return the content of an object (GetObject).

        Raises:
            ObjectNotFound: The object does not exist.
            BucketNotFound: The bucket does not exist.
        """

        def once() -> bytes:
            answer = self.client.get_object(Bucket=location.bucket, Key=location.key)
            return answer["Body"].read()

        try:
            return self._call("GetObject", location.bucket, once)
        except ObjectNotFound as error:
            raise error.explained(f"{location} does not exist or was deleted.") from error

    def get_file(self, location: S3Location, path: Path) -> None:
        """Stream an object into a file (GetObject).

        Raises:
            ObjectNotFound: The object does not exist.
            BucketNotFound: The bucket does not exist.
        """

        def once() -> None:
            answer = self.client.get_object(Bucket=location.bucket, Key=location.key)
            with path.open("wb") as file:
                file.writelines(answer["Body"].iter_chunks(1 << 20))

        try:
            self._call("GetObject", location.bucket, once)
        except ObjectNotFound as error:
            raise error.explained(f"{location} does not exist or was deleted.") from error

    def sizes(self, bucket: str, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield key and size in bytes of each object below a prefix (ListObjectsV2, 1,000 per call)."""
        parameters: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
        while True:
            page = self._call("ListObjectsV2", bucket, lambda: self.client.list_objects_v2(**parameters))
            for item in page.get("Contents", ()):
                yield item.get("Key", ""), item.get("Size", 0)
            token = page.get("NextContinuationToken")
            if not token:
                return
            parameters["ContinuationToken"] = token

    def check_bucket(self, bucket: str, region: str) -> None:
        """Check that a bucket exists, is accessible, and is in the Region (HeadBucket).

        Raises:
            BucketNotFound: The bucket does not exist.
            InvalidInput: S3 allows no bucket of this name.
            WrongRegion: The bucket is in another Region; Rekognition requires the Region of the call.
            AccessDenied: The bucket belongs to another account, or the caller lacks ``s3:ListBucket``.
        """
        try:
            answer = self._call("HeadBucket", bucket, lambda: self.client.head_bucket(Bucket=bucket))
        except WrongRegion as error:
            raise error.explained(_other_region_message(bucket, region)) from error
        except ResourceNotFound as error:
            raise BucketNotFound(
                f"Bucket {bucket!r} does not exist. Check the name, or create the bucket with "
                "client.ensure_bucket().",
                operation=error.operation,
                code=error.code,
                request_id=error.request_id,
                http_status=error.http_status,
                detail=error.detail,
            ) from error
        except ServiceError as error:
            if error.code == _BAD_REQUEST:
                _check_new_name(bucket)
            raise
        bucket_region = answer.get("BucketRegion") or region
        if bucket_region != region:
            metadata = answer["ResponseMetadata"]
            raise other_region(
                bucket,
                region,
                bucket_region,
                request_id=metadata.get("RequestId"),
                http_status=metadata.get("HTTPStatusCode"),
            )

    def bucket_region(self, bucket: str) -> str | None:
        """Return the Region of a bucket (HeadBucket); None if S3 does not report it.

        S3 reports it also to callers without access to the bucket. Errors are left to the call that needs the
        bucket, so this makes one attempt.
        """
        try:
            answer: Any = self.client.head_bucket(Bucket=bucket)
        except Exception as error:  # noqa: BLE001 -- of any kind: no network, no credentials, a stubbed client
            answer = getattr(error, "response", None) or {}  # errors of the network have the attribute, too
        headers: Mapping[str, str] = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return headers.get("x-amz-bucket-region")

    def create_bucket(self, bucket: str, region: str) -> None:
        """Create a bucket in the Region (CreateBucket).

        Raises:
            InvalidInput: S3 allows no new bucket of this name.
        """
        _check_new_name(bucket)

        def create() -> None:
            if region == _DEFAULT_REGION:
                # S3 rejects a location constraint for its oldest Region
                self.client.create_bucket(Bucket=bucket)
            else:
                constraint = cast("BucketLocationConstraintType", region)
                self.client.create_bucket(
                    Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": constraint}
                )

        try:
            self._call("CreateBucket", bucket, create)
        except ResourceAlreadyExists:
            # Ours: created by an attempt whose answer was lost, or by another process just now.
            self.check_bucket(bucket, region)


@attrs.frozen
class S3Settings:
    """What another process needs to connect to S3, with the credentials that boto3 finds there."""

    session: SessionSettings
    region_name: str
    config: Config | None
    policy: RetryPolicy

    def open(self) -> S3:
        """Return a gateway with these settings."""
        session = make_session(self.session)
        return S3(make_client(session, "s3", region_name=self.region_name, config=self.config), self.policy)


def _no_access(operation: str, bucket: str) -> str:
    permission = _PERMISSIONS.get(operation, operation)
    message = (
        f"No access to bucket {bucket!r}. The caller lacks the permission s3:{permission}, or the bucket "
        "belongs to another account (bucket names are unique in all of AWS: choose another name)."
    )
    if operation == "CreateBucket":
        return f"{message} {_MANAGED_POLICY} does not allow CreateBucket."
    if "custom-labels" in bucket:
        return message
    return f"{message} {_MANAGED_POLICY} covers only buckets whose names contain 'custom-labels'."


def other_region(
    bucket: str,
    region: str,
    bucket_region: str,
    *,
    request_id: str | None = None,
    http_status: int | None = None,
) -> WrongRegion:
    """Return the error for a bucket in another Region than the client's."""
    return WrongRegion(
        _other_region_message(bucket, region, bucket_region),
        operation="HeadBucket",
        code="WrongRegion",
        request_id=request_id,
        http_status=http_status,
    )


def _other_region_message(bucket: str, region: str, bucket_region: str | None = None) -> str:
    location = f"in {bucket_region}, not in {region}" if bucket_region else f"not in {region}"
    return (
        f"Bucket {bucket!r} is {location}, but Rekognition requires a bucket in the Region of the client. "
        f"Use another bucket, or `Client(region_name={bucket_region or '...'!r})`."
    )


def check_bucket_name(name: object) -> str:
    """Check the name of a bucket that may exist.

    Old buckets may have names that S3 no longer allows: capitals, underscores, more than 63 characters.
    """
    if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]", name):
        return name
    expected = (
        "a bucket name of at least 3 letters, digits, dots and hyphens, without s3:// and without a path"
    )
    pattern = r"(?:s3://|arn:[a-z-]+:s3:::)?([a-z0-9.-]{3,63})(?:/(.*))?"
    found = re.fullmatch(pattern, name) if isinstance(name, str) else None
    if found is None:
        raise invalid("bucket", name, expected)
    folder = (found[2] or "").strip("/")
    prefix = f", prefix={folder + '/'!r}" if folder else ""
    raise invalid("bucket", name, expected, f"Use bucket={found[1]!r}{prefix}.")


def _check_new_name(name: str) -> None:
    """Check that S3 allows a new bucket of this name."""
    if re.fullmatch(r"[a-z0-9]([a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]", name) and not re.fullmatch(
        r"\d+\.\d+\.\d+\.\d+|(xn--|sthree-|amzn-s3-demo-).*|.*(-s3alias|--ol-s3|\.mrap|--x-s3)", name
    ):
        return
    valid = re.sub(r"[^a-z0-9.-]+|\.{2,}", "-", name.lower()).strip("-.")[:63]
    fix = f"Use bucket={valid!r}." if valid != name else ""
    expected = "3 to 63 lower-case letters, digits, dots and hyphens, as S3 requires of new buckets"
    raise invalid("bucket", name, expected, fix)


def check_location(argument: str, value: object, *, needs_key: bool = False) -> S3Location:
    """Check a location in S3, an ``S3Location`` or an ``s3://`` URI.

    Args:
        argument: Name of the argument.
        value: The value that was given.
        needs_key: Whether it must be an object, rather than a bucket or a prefix.
    """
    if isinstance(value, str) and value[:5].lower() == "s3://":
        value = S3Location.parse(value)
    if isinstance(value, S3Location):
        if needs_key and not value.key:
            raise invalid(argument, value.uri, "an object, s3://bucket/key")
        return value
    fix = f"Use 's3://{value}'." if isinstance(value, str) and re.match(r"[a-z0-9.-]{3,63}/", value) else ""
    raise invalid(argument, value, "an S3Location or an s3:// URI", fix or "Upload local files first.")
