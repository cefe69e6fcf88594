"""boto3 clients of an in-process S3 directory, and a clock that tests set."""

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
    """A clock that stands still at ``now``, in seconds since 1970."""

    now: float = NOW

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class SwitchableApp:
    """A WSGI application that forwards to ``app``, so that many tests share one client.

    Making a client takes longer than most tests.
    """

    app: S3Directory

    def __call__(self, *request: Any) -> Any:
        """Forward a request."""
        return self.app(*request)


def make_client(app: S3Directory | SwitchableApp, region: str = "us-east-1", **config: Any) -> S3Client:
    """Return a boto3 client that never retries."""
    session = make_session(app, account="123456789012", region=region)
    client: S3Client = session.client("s3", config=Config(retries={"total_max_attempts": 1}, **config))
    return client
