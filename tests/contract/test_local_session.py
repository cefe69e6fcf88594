"""In-process session: it reaches only the service and leaves other sessions alone."""

from __future__ import annotations

import gc
import io
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError

from rekolabels import Client, ModelVersion, Retry, RetryPolicy
from rekolabels.errors import InvalidInput, MissingExtra, ServiceClosed
from rekolabels.local import LocalService

if TYPE_CHECKING:
    from pathlib import Path


def names(client: Any) -> list[str]:
    """Return the names of the buckets that a client lists."""
    return [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]


def test_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Profiles, endpoints, Regions and credentials of the environment do not affect the session."""
    for name, value in {
        "AWS_PROFILE": "missing",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "real",
        "AWS_SECRET_ACCESS_KEY": "real",
        "AWS_MAX_ATTEMPTS": "nonsense",
        "AWS_CA_BUNDLE": "/missing",
    }.items():
        monkeypatch.setenv(name, value)
    with LocalService() as service:
        session = service.session()
        assert (session.region_name, names(session.client("s3"))) == ("us-east-1", [])
        assert session.client("rekognition").describe_projects()["ProjectDescriptions"] == []
        credentials = session.get_credentials()
        assert credentials is not None
        assert credentials.access_key == "000000000000"


def test_other_sessions_are_not_affected() -> None:
    """A client of another session in the same process still uses its own endpoint."""
    with LocalService() as service:
        service.session().client("rekognition").describe_projects()
        other = boto3.Session("a", "b", region_name="us-east-1").client(
            "rekognition", endpoint_url="http://127.0.0.1:9", config=Config(retries={"total_max_attempts": 1})
        )
        with pytest.raises(EndpointConnectionError):
            other.describe_projects()


def test_the_endpoint_never_resolves() -> None:
    """The endpoint is a name that never resolves: a request that bypasses the handler reaches no server."""
    with LocalService() as service:
        client: Any = service.session().client(
            "rekognition", config=Config(retries={"total_max_attempts": 1})
        )
        assert client.meta.endpoint_url.endswith(".invalid")


def test_two_services_are_independent() -> None:
    """Two services in one process do not share projects or buckets."""
    with LocalService() as first, LocalService() as second:
        one, two = (service.session().client("s3") for service in (first, second))
        one.create_bucket(Bucket="mine")
        first.session().client("rekognition").create_project(ProjectName="birds")
        assert (names(one), names(two)) == (["mine"], [])
        assert second.session().client("rekognition").describe_projects()["ProjectDescriptions"] == []


@pytest.mark.parametrize("order", ["service first", "mock first", "client first"])
def test_inside_mock_aws(order: str) -> None:
    """The service and moto's mock do not interfere, whichever starts first."""
    from moto import mock_aws

    mock = mock_aws()
    if order == "mock first":
        mock.start()
    service = LocalService()
    session = service.session()
    if order == "client first":
        ours, rekognition = session.client("s3"), session.client("rekognition")
    if order != "mock first":
        mock.start()
    try:
        if order != "client first":
            ours, rekognition = session.client("s3"), session.client("rekognition")
        ours.create_bucket(Bucket="ours")
        theirs = boto3.client("s3", region_name="us-east-1")
        theirs.create_bucket(Bucket="theirs")
        rekognition.create_project(ProjectName="birds")
        assert len(rekognition.describe_projects()["ProjectDescriptions"]) == 1
        assert (names(ours), names(theirs)) == (["ours"], ["theirs"])
    finally:
        mock.stop()
    assert names(ours) == ["ours"]
    service.close()


def test_bodies_of_every_kind(tmp_path: Any) -> None:
    """Bytes, streams and multipart uploads are stored completely and can be downloaded in parts."""
    content = bytes(range(256)) * 40_000
    with LocalService() as service:
        client = service.session().client("s3")
        client.create_bucket(Bucket="bucket")
        client.put_object(Bucket="bucket", Key="bytes", Body=content)
        client.put_object(Bucket="bucket", Key="stream", Body=io.BytesIO(content))
        path = tmp_path / "file"
        path.write_bytes(content)
        client.upload_file(str(path), "bucket", "file")
        for key in ("bytes", "stream", "file"):
            body = client.get_object(Bucket="bucket", Key=key)["Body"]
            assert content[:1000] == body.read(1000)
            assert content[1000:] == b"".join(body.iter_chunks(70_000))
        target = tmp_path / "back"
        client.download_file("bucket", "file", str(target))
        assert content == target.read_bytes()
        assert (
            content[5:10] == client.get_object(Bucket="bucket", Key="file", Range="bytes=5-9")["Body"].read()
        )


def test_the_config_of_a_client_is_kept() -> None:
    """The caller's Config applies; buckets stay in the path unless it says otherwise."""
    with LocalService(region_name="eu-west-1") as service:
        client: Any = service.session().client("s3", config=Config(retries={"total_max_attempts": 7}))
        assert client.meta.config.retries["total_max_attempts"] == 7
        assert client.meta.config.s3["addressing_style"] == "path"
        assert client.meta.region_name == "eu-west-1"


def test_other_aws_services_fail() -> None:
    """A call of another AWS service is an error and opens no connection."""
    with LocalService() as service, pytest.raises(ClientError):
        service.session().client("dynamodb", config=Config(retries={"total_max_attempts": 1})).list_tables()


def test_a_closed_service() -> None:
    """A closed service gives no session; close() is idempotent; the repr shows the state."""
    service = LocalService()
    assert "us-east-1" in repr(service)
    service.close()
    service.close()
    assert "closed" in repr(service)
    with pytest.raises(InvalidInput, match="closed"):
        service.session()


def test_calls_to_a_closed_service_are_not_retried() -> None:
    """A client that outlives the service fails at once: it neither retries nor keeps waiting."""
    retries: list[Retry] = []
    with LocalService(engine="tiny") as service:
        client = service.client(retry=RetryPolicy(on_retry=retries.append))
        project = client.create_project("line")
        model = ModelVersion(
            client._connection, f"{project.arn.rpartition('/')[0]}/version/v1/1", project.arn
        )
    with pytest.raises(ServiceClosed, match="is closed"):
        list(client.projects())
    with pytest.raises(ServiceClosed, match="is closed"):
        model.wait_until_trained()
    assert retries == []


def test_a_client_keeps_its_service() -> None:
    """A client keeps the service alive; when the last reference is gone, so is a temporary workspace."""
    service = LocalService()
    path = service.path
    client = service.session().client("s3")
    del service
    gc.collect()
    client.create_bucket(Bucket="bucket")
    assert names(client) == ["bucket"]
    client.close()
    del client
    gc.collect()
    assert not path.exists()


def test_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the modules that train models the service does not start; the error names the extra."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"rekolabels\[local\]"):
        LocalService()


def test_the_start_imports_no_heavy_modules() -> None:
    """Starting the service and calling it imports neither NumPy nor the engine's libraries."""
    program = (
        "import sys\nfrom rekolabels.local import LocalService\n"
        "with LocalService() as service:\n    service.session().client('rekognition').describe_projects()\n"
        "print(sorted({'numpy', 'onnxruntime', 'sklearn', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 - our own program
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("options", [{"region_name": "Frankfurt"}, {"account_id": "12"}])
def test_invalid_region_or_account(options: dict[str, str]) -> None:
    """A Region or account that an ARN cannot contain is an error."""
    with pytest.raises(InvalidInput, match=next(iter(options))):
        LocalService(**options)  # type: ignore[arg-type] # one of two str options


def test_a_bucket_in_place_of_the_session() -> None:
    """The error shows that the bucket is given by keyword."""
    with pytest.raises(InvalidInput, match=r"`Client\(bucket='my-bucket'\)`"):
        Client("my-bucket")  # type: ignore[arg-type] # the mistake under test


@pytest.mark.parametrize(
    ("bucket", "fix"),
    [
        ("s3://my-bucket", " Use bucket='my-bucket'."),
        ("my-bucket/team-a", " Use bucket='my-bucket', prefix='team-a/'."),
        ("my bucket", ""),
        ("b", ""),
        ("", ""),
    ],
)
def test_invalid_bucket_names(bucket: str, fix: str) -> None:
    """An invalid bucket name fails before any call of S3; the error explains where a prefix belongs."""
    with LocalService() as service, pytest.raises(InvalidInput) as refused:
        service.client(bucket=bucket)
    assert str(refused.value) == (
        f"bucket is {bucket!r}; expected a bucket name of at least 3 letters, digits, dots and hyphens, "
        f"without s3:// and without a path.{fix}"
    )


def test_a_workspace_that_is_a_file(tmp_path: Path) -> None:
    """The message says so, instead of "File exists"."""
    path = tmp_path / "notes.txt"
    path.write_text("kept")
    with pytest.raises(InvalidInput) as caught:
        LocalService(path)
    assert (
        str(caught.value) == f"Cannot use the workspace {path}: it is not a folder. Choose a writable folder."
    )
