"""An S3 directory behind a client of boto3, in the same process, with a clock of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from botocore.config import Config

from rekolabels.local._http._in_process import make_session

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from rekolabels.local._s3 import S3Directory

MIB = 1024 * 1024
NOW = 1_700_000_000.0
"""2023-11-14T22:13:20Z."""


@attrs.define
class Clock:
    """A clock that stands where it is put."""

    now: float = NOW

    def __call__(self) -> float:
        """The time."""
        return self.now


class Door:
    """An application that stands for another one: making a client costs more than most tests."""

    app: S3Directory

    def __call__(self, *request: Any) -> Any:
        """Hand a request on."""
        return self.app(*request)


def make_client(app: S3Directory | Door, region: str = "us-east-1", **config: Any) -> S3Client:
    """A client of boto3 that does not repeat its calls."""
    session = make_session(app, account="123456789012", region=region)
    client: S3Client = session.client("s3", config=Config(retries={"total_max_attempts": 1}, **config))
    return client
