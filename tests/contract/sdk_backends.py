"""The backends of the SDK's contract tests, and images for them."""

from __future__ import annotations

import os
import struct
import uuid
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
import pytest

from rekolabels import RetryPolicy
from rekolabels.client import Client
from rekolabels.local import LocalService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

BACKENDS = ("in process", "over a socket", "inside moto", "S3 elsewhere", "AWS")
QUICK = RetryPolicy(first_poll=0.01, max_poll=0.05)
REGION = "us-east-1"
AWS_BUCKET, AWS_TRAINING = "REKOLABELS_AWS_BUCKET", "REKOLABELS_AWS_TRAINING"
# The tests remove the AWS settings of the machine; tests on AWS restore them.
_MACHINE = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
COLOURS = {"amber": (230, 160, 30), "blue": (30, 60, 220), "green": (40, 170, 60)}


def png(width: int, height: int, colour: tuple[int, int, int], mark: int) -> bytes:
    """Return a small image: a colour with a dark stripe, whose position makes the content unique."""
    rows = bytearray()
    for y in range(height):
        dark = mark % height <= y < mark % height + 5
        rows += b"\0" + bytes(value // 3 if dark else value for value in colour) * width
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", head),
            _chunk(b"IDAT", zlib.compress(bytes(rows))),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_folder(folder: Path, *, images: int = 6, labels: int = 2) -> Path:
    """Write label folders with images that even a small model can distinguish."""
    for label, colour in list(COLOURS.items())[:labels]:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(images):
            (folder / label / f"{number:02}.png").write_bytes(png(64, 64, colour, 7 * number))
    return folder


def named(client: Client, name: str) -> str:
    """Return a project name that is unique in the account."""
    return f"{client.prefix.rstrip('/')}-{name}"


@pytest.fixture(name="service", scope="module")
def service_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    """A local service for the module; each test uses its own names."""
    with LocalService(tmp_path_factory.mktemp("service")) as made:
        yield made


@pytest.fixture(name="client", params=BACKENDS)
def client_fixture(request: pytest.FixtureRequest, service: LocalService) -> Iterator[Client]:
    """A client of each backend, with its own prefix."""
    trains = request.node.get_closest_marker("trains") is not None
    with open_client(request.param, service, trains=trains) as client:
        client.ensure_bucket()
        yield client


@contextmanager
def open_client(backend: str, service: LocalService, *, trains: bool) -> Iterator[Client]:
    """Open a client of one backend.

    Backends that only differ in S3 use the tiny engine, which is fast.
    """
    prefix = f"rekolabels-contract-{uuid.uuid4().hex[:12]}/"
    if backend == "AWS":
        with _aws(prefix, trains=trains) as client:
            yield client
    elif backend == "in process":
        yield Client(service.session(), bucket="contract", prefix=prefix, retry=QUICK)
    elif backend == "over a socket":
        with service.serve() as server, pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", server.url)
            session = boto3.Session("test", "test", region_name=REGION)
            yield Client(session, bucket="contract", prefix=prefix, retry=QUICK)
    else:
        from moto import mock_aws

        with mock_aws(), LocalService(engine="tiny", s3=_moto_s3()) as elsewhere:
            if backend == "S3 elsewhere":
                yield Client(elsewhere.session(), bucket="contract", prefix=prefix, retry=QUICK)
            else:
                with elsewhere.inside_moto():
                    session = boto3.Session(region_name=REGION)
                    yield Client(session, bucket="contract", prefix=prefix, retry=QUICK)


def _moto_s3() -> S3Client:
    client: S3Client = boto3.client("s3", region_name=REGION)
    return client


@contextmanager
def _aws(prefix: str, *, trains: bool) -> Iterator[Client]:
    """Connect to AWS, and delete the projects and objects of this test afterwards."""
    bucket = os.environ.get(AWS_BUCKET)
    if not bucket:
        pytest.skip(f"AWS costs money: set {AWS_BUCKET} to a bucket of yours to test on it")
    if trains and not os.environ.get(AWS_TRAINING):
        pytest.skip(f"a training takes about an hour and costs money: set {AWS_TRAINING}=1")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED"):
            patch.delenv(name, raising=False)
        for name, value in _MACHINE.items():
            patch.setenv(name, value)
        client = Client(bucket=bucket, prefix=prefix)
        try:
            yield client
        finally:
            for project in client.projects():
                if project.name.startswith(prefix.rstrip("/")):
                    project.delete(cascade=True)
            for key, _ in list(client._connection.s3.sizes(bucket, prefix)):
                client._connection.s3.client.delete_object(Bucket=bucket, Key=key)
