"""The S3 client of a call: it reaches the buckets of one Region only, as Rekognition does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from rekolabels.local._core._arns import parse_arn

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from rekolabels.local._core._context import Context

__all__ = ["RegionalS3"]


class RegionalS3:
    """An S3 client that refuses the buckets of other Regions, for the time of one call or job.

    A bucket whose Region S3 does not report counts as one of this Region.

    Args:
        s3: Returns the boto3 S3 client.
        region: The Region of the call.
    """

    def __init__(self, s3: Callable[[], Any], region: str) -> None:
        self._s3 = s3
        self._region = region
        self._regions: dict[str, str | None] = {}

    @classmethod
    def of_job(cls, context: Context, arn: str) -> Self:
        """Return the client of a job on the resource with this ARN."""
        parts = parse_arn(arn)
        if parts is None:
            raise AssertionError(arn)  # jobs are for resources that exist
        return cls(context.s3, parts.region)

    def get_object(self, **parameters: Any) -> Any:
        """Call GetObject."""
        return self._client(parameters["Bucket"]).get_object(**parameters)

    def head_object(self, **parameters: Any) -> Any:
        """Call HeadObject."""
        return self._client(parameters["Bucket"]).head_object(**parameters)

    def put_object(self, **parameters: Any) -> Any:
        """Call PutObject."""
        return self._client(parameters["Bucket"]).put_object(**parameters)

    def copy_object(self, **parameters: Any) -> Any:
        """Call CopyObject; both buckets must be in the Region."""
        self.check_bucket(parameters["CopySource"]["Bucket"])
        return self._client(parameters["Bucket"]).copy_object(**parameters)

    def check_bucket(self, bucket: str) -> None:
        """Check that a bucket exists and is in the Region.

        Raises:
            ClientError: ``PermanentRedirect``: it is in another Region; or S3's answer to HeadBucket.
        """
        if bucket not in self._regions:
            answer = self._s3().head_bucket(Bucket=bucket)
            self._regions[bucket] = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
        region = self._regions[bucket] or self._region
        if region != self._region:
            message = f"The bucket is in {region}, and the request is for {self._region}."
            raise ClientError({"Error": {"Code": "PermanentRedirect", "Message": message}}, "HeadBucket")

    def _client(self, bucket: str) -> Any:
        self.check_bucket(bucket)
        return self._s3()
