"""What the tests of the S3 directory share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from s3_clients import Clock, Door, make_client

from rekolabels.local._s3 import S3Directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client


@pytest.fixture
def clock() -> Clock:
    """The clock of the application."""
    return Clock()


@pytest.fixture
def app(tmp_path: Path, clock: Clock) -> Iterator[S3Directory]:
    """The application."""
    made = S3Directory(tmp_path / "root", clock=clock)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared() -> tuple[Door, S3Client]:
    """A client for all tests, and the door that it knocks at."""
    door = Door()
    return door, make_client(door)


@pytest.fixture
def s3(app: S3Directory, shared: tuple[Door, S3Client]) -> S3Client:
    """A client that sees the empty bucket ``dogs``."""
    door, client = shared
    door.app = app
    client.create_bucket(Bucket="dogs")
    return client
