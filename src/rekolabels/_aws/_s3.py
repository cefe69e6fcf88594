"""The gateway to Amazon S3. Nothing else in rekolabels calls the S3 client of boto3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs

from rekolabels._aws._errors import translated
from rekolabels._aws._retry import RetryPolicy, call_with_retries
from rekolabels._aws._session import SessionSettings, make_client, make_session
from rekolabels.errors import (
    AccessDenied,
    BucketNotFound,
    ObjectNotFound,
    ResourceAlreadyExists,
    ResourceNotFound,
    WrongRegion,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from botocore.config import Config  # noqa: TC004 -- importing botocore can wait
    from mypy_boto3_s3 import S3Client  # noqa: TC004 -- the stubs are for type checkers only
    from mypy_boto3_s3.literals import BucketLocationConstraintType

    from rekolabels.descriptions import S3Location

__all__ = ["S3", "S3Settings"]

R = TypeVar("R")

_DEFAULT_REGION = "us-east-1"


@attrs.frozen(eq=False, repr=False)
class S3:
    """Objects in S3."""

    client: S3Client
    policy: RetryPolicy
    settings: S3Settings | None = None
    """What an equal s3 is opened by in another process; None where that cannot be."""
    processes: int = 1
    """Processes that may upload at once, this one included."""

    def _call(self, operation: str, function: Callable[[], R]) -> R:
        return call_with_retries(self.policy, lambda: translated(operation, function))

    def put(self, location: S3Location, body: bytes, *, content_type: str = "application/json") -> None:
        """Write an object."""
        self._call(
            "PutObject",
            lambda: self.client.put_object(
                Bucket=location.bucket, Key=location.key, Body=body, ContentType=content_type
            ),
        )

    def get(self, location: S3Location) -> bytes:
        """Read an object.

        Raises:
            ObjectNotFound: It does not exist.
            BucketNotFound: Its bucket does not exist.
        """

        def once() -> bytes:
            answer = self.client.get_object(Bucket=location.bucket, Key=location.key)
            return answer["Body"].read()

        try:
            return self._call("GetObject", once)
        except ObjectNotFound as error:
            raise error.explained(f"{location} does not exist (any more).") from error

    def get_file(self, location: S3Location, path: Path) -> None:
        """Read an object into a file, streaming.

        Raises:
            ObjectNotFound: It does not exist.
            BucketNotFound: Its bucket does not exist.
        """

        def once() -> None:
            answer = self.client.get_object(Bucket=location.bucket, Key=location.key)
            with path.open("wb") as file:
                file.writelines(answer["Body"].iter_chunks(1 << 20))

        try:
            self._call("GetObject", once)
        except ObjectNotFound as error:
            raise error.explained(f"{location} does not exist (any more).") from error

    def sizes(self, bucket: str, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield key and size in bytes of each object whose key begins with the prefix; 1,000 a call."""
        parameters: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
        while True:
            page = self._call("ListObjectsV2", lambda: self.client.list_objects_v2(**parameters))
            for item in page.get("Contents", ()):
                yield item.get("Key", ""), item.get("Size", 0)
            token = page.get("NextContinuationToken")
            if not token:
                return
            parameters["ContinuationToken"] = token

    def check_bucket(self, bucket: str, region: str) -> None:
        """Make sure that a bucket exists, may be used, and lies in the Region.

        Raises:
            BucketNotFound: It does not exist.
            WrongRegion: It lies in another Region; the service asks for the Region of the call.
            AccessDenied: It belongs to somebody else, or the caller lacks ``s3:ListBucket``.
        """
        try:
            answer = self._call("HeadBucket", lambda: self.client.head_bucket(Bucket=bucket))
        except WrongRegion as error:
            raise error.explained(_other_region(bucket, region)) from error
        except AccessDenied as error:
            raise error.explained(
                f"No access to the bucket {bucket!r}: it belongs to somebody else (bucket names are shared "
                "by all of AWS, take another one), or the caller lacks s3:ListBucket."
            ) from error
        except ResourceNotFound as error:
            raise BucketNotFound(
                f"The bucket {bucket!r} does not exist: check its name, or client.ensure_bucket() makes it.",
                operation=error.operation,
                code=error.code,
                request_id=error.request_id,
                http_status=error.http_status,
                detail=error.detail,
            ) from error
        where = answer.get("BucketRegion") or region
        if where != region:
            raise WrongRegion(
                _other_region(bucket, region) + f" It lies in {where}.",
                operation="HeadBucket",
                code="WrongRegion",
                request_id=answer["ResponseMetadata"].get("RequestId"),
                http_status=answer["ResponseMetadata"].get("HTTPStatusCode"),
            )

    def create_bucket(self, bucket: str, region: str) -> None:
        """Make a bucket in the Region."""

        def create() -> None:
            if region == _DEFAULT_REGION:
                # S3 takes no location constraint for its oldest Region
                self.client.create_bucket(Bucket=bucket)
            else:
                where = cast("BucketLocationConstraintType", region)
                self.client.create_bucket(
                    Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": where}
                )

        try:
            self._call("CreateBucket", create)
        except ResourceAlreadyExists:
            # It is the caller's: made by a try whose answer was lost, or by another process in this moment.
            self.check_bucket(bucket, region)


@attrs.frozen
class S3Settings:
    """A s3 as another process opens it: with the credentials that boto3 finds there."""

    session: SessionSettings
    region_name: str
    config: Config | None
    policy: RetryPolicy

    def open(self) -> S3:
        """Open the s3."""
        session = make_session(self.session)
        return S3(make_client(session, "s3", region_name=self.region_name, config=self.config), self.policy)


def _other_region(bucket: str, region: str) -> str:
    return (
        f"The bucket {bucket!r} does not lie in {region}, but the service asks for buckets in the Region of "
        "the call: take a bucket there, or Client(region_name=...)."
    )
