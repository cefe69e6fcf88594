"""Fixtures of the tests of the S3 directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from s3_clients import Clock, SwitchableApp, make_client

from rekolabels.local._s3 import S3Directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client


@pytest.fixture
def clock() -> Clock:
    """Return the clock of the application."""
    return Clock()


@pytest.fixture
def app(tmp_path: Path, clock: Clock) -> Iterator[S3Directory]:
    """Yield the application."""
    directory = S3Directory(tmp_path / "root", clock=clock)
    yield directory
    directory.close()


@pytest.fixture(scope="module")
def shared() -> tuple[SwitchableApp, S3Client]:
    """Return one client for all tests of a module, and the application that it calls."""
    switchable = SwitchableApp()
    return switchable, make_client(switchable)


@pytest.fixture
def s3(app: S3Directory, shared: tuple[SwitchableApp, S3Client]) -> S3Client:
    """Return a client of an S3 that holds the empty bucket ``dogs``."""
    switchable, client = shared
    switchable.app = app
    client.create_bucket(Bucket="dogs")
    return client
