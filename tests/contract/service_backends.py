"""The embedded service on each of its hosts, and the data that the contract tests send."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal
from wsgiref.util import setup_testing_defaults

import attrs
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from rekolabels.local import LocalService

if TYPE_CHECKING:
    from pathlib import Path

Host = Literal["in process", "socket"]
HOSTS: tuple[Host, ...] = ("in process", "socket")
LABELS = ("blobs", "dark", "stripes")
_SIDE = 64


@attrs.frozen
class Response:
    """An HTTP response of the service."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """Code of the error."""
        return str(json.loads(self.body)["__type"])

    @property
    def message(self) -> str:
        """Message of the error."""
        return str(json.loads(self.body)["Message"])


@attrs.frozen
class Backend:
    """A service and boto3 clients of it."""

    service: LocalService
    rekognition: Any
    s3: Any
    port: int | None = None

    def settle(self) -> None:
        """Wait until no job is in progress."""
        self.service._jobs.wait()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep jobs from starting within the block, so that a status such as CREATING lasts."""
        with self.service._jobs.hold():
            yield
        self.settle()

    def post(self, target: str, body: bytes, *, method: str = "POST") -> Response:
        """Send a body that an SDK would not send."""
        headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
        return (
            self._post_by_socket(method, body, headers)
            if self.port
            else self._post_in_process(method, body, headers)
        )

    def _post_by_socket(self, method: str, body: bytes, headers: Mapping[str, str]) -> Response:
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request(method, "/", body, dict(headers))
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Response(response.status, headers, response.read())
        finally:
            connection.close()

    def _post_in_process(self, method: str, body: bytes, headers: Mapping[str, str]) -> Response:
        environ: dict[str, Any] = {"REQUEST_METHOD": method, "CONTENT_LENGTH": str(len(body))}
        environ["wsgi.input"] = BytesIO(body)
        environ["HTTP_X_AMZ_TARGET"] = headers["X-Amz-Target"]
        setup_testing_defaults(environ)
        started: list[Any] = []
        chunks = self.service._app(environ, lambda *given: started.append(given))  # type: ignore[arg-type] # a plain recorder
        status, pairs = started[0]
        return Response(int(status[:3]), {name.lower(): value for name, value in pairs}, b"".join(chunks))


@attrs.frozen
class Trained:
    """A service with a project and a trained model; tests may start and stop the model."""

    backend: Backend
    project: str
    version: str


@contextmanager
def open_backend(host: Host, path: Path | None = None, **options: Any) -> Iterator[Backend]:
    """Open a service on one of its hosts."""
    with LocalService(path, **options) as service:
        if host == "in process":
            session = service.session()
            yield Backend(service, session.client("rekognition"), session.client("s3"))
            return
        server = service.serve()
        access, region = server.environment["AWS_ACCESS_KEY_ID"], server.environment["AWS_REGION"]
        session = boto3.Session(access, server.environment["AWS_SECRET_ACCESS_KEY"], region_name=region)
        no_retries = Config(retries={"total_max_attempts": 1})
        rekognition = session.client("rekognition", endpoint_url=server.url, config=no_retries)
        s3 = session.client("s3", endpoint_url=server.url, config=no_retries)
        with contextlib.closing(rekognition), contextlib.closing(s3):
            yield Backend(service, rekognition, s3, port=server.port)


@contextmanager
def refused(code: str, *parts: str) -> Iterator[None]:
    """Expect that the block raises this error and that its message contains the parts."""
    with pytest.raises(ClientError) as caught:
        yield
    error = caught.value.response["Error"]
    assert code == error["Code"], error
    for part in parts:
        assert part in error["Message"]


def picture(label: str, number: int, *, width: int = _SIDE, height: int = _SIDE) -> bytes:
    """Return a PNG that shows its label (stripes, a blob or darkness), with noise seeded by the number."""
    noise = random.Random(f"{label}/{number}")  # noqa: S311 - pictures, not secrets
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            grey = noise.randrange(15 if label == "dark" else 60)
            bright = (label == "stripes" and y % 8 < 4) or (
                label == "blobs" and 16 <= x < 48 and 16 <= y < 48
            )
            rows += bytes((grey + 190 if bright else grey,) * 3)
    return png(bytes(rows), width, height)


def png(rows: bytes, width: int, height: int) -> bytes:
    """Return a PNG of raw rows, each with its filter byte."""

    def chunk(name: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows, 1)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def manifest_line(uri: str, *labels: str, **more: Any) -> str:
    """Return a manifest line with image-level labels."""
    line: dict[str, Any] = {"source-ref": uri}
    for label in labels:
        line[label] = 1
        line[f"{label}-metadata"] = {
            "class-name": label,
            "confidence": 1,
            "type": "groundtruth/image-classification",
            "human-annotated": "yes",
            "creation-date": "2024-03-01T09:30:00",
            "job-name": f"labeling-job/{label}",
        }
    return json.dumps(line | more)


def boxes_line(uri: str, *labels: str) -> str:
    """Return a manifest line with a bounding box for each label."""
    boxes = [
        {"class_id": number, "left": 8, "top": 8, "width": 24, "height": 24} for number in range(len(labels))
    ]
    return json.dumps(
        {
            "source-ref": uri,
            "boxes": {"image_size": [{"width": 64, "height": 64, "depth": 3}], "annotations": boxes},
            "boxes-metadata": {
                "objects": [{"confidence": 1} for _ in labels],
                "class-map": {str(number): label for number, label in enumerate(labels)},
                "type": "groundtruth/object-detection",
                "human-annotated": "yes",
                "creation-date": "2024-03-01T09:30:00",
            },
        }
    )


def put_manifest(
    backend: Backend, name: str, lines: Sequence[str], *, bucket: str = "puppies"
) -> dict[str, Any]:
    """Store a manifest and return the DatasetSource that names it."""
    backend.s3.put_object(Bucket=bucket, Key=name, Body="\n".join(lines).encode())
    return {"GroundTruthManifest": {"S3Object": {"Bucket": bucket, "Name": name}}}


def put_pictures(backend: Backend, kind: str, count: int, *, bucket: str = "puppies") -> list[str]:
    """Store pictures of every label and return their manifest lines."""
    lines: list[str] = []
    for label in LABELS:
        for number in range(count):
            key = f"{kind}/{label}/{number}.png"
            backend.s3.put_object(
                Bucket=bucket, Key=key, Body=picture(label, number + 1000 * (kind == "test"))
            )
            lines.append(manifest_line(f"s3://{bucket}/{key}", label))
    return lines


def make_project(backend: Backend, name: str = "birds", **options: Any) -> str:
    """Create a project, wait for it and return its ARN."""
    arn = backend.rekognition.create_project(ProjectName=name, **options)["ProjectArn"]
    backend.settle()
    return str(arn)


def make_dataset(
    backend: Backend, project: str, kind: str = "TRAIN", lines: Sequence[str] | None = None, **options: Any
) -> str:
    """Create a dataset, wait for it and return its ARN."""
    if lines is not None:
        options["DatasetSource"] = put_manifest(
            backend, f"{kind.lower()}-{project.split('/')[1]}.manifest", lines
        )
    arn = backend.rekognition.create_dataset(ProjectArn=project, DatasetType=kind, **options)["DatasetArn"]
    backend.settle()
    return str(arn)


def describe_dataset(backend: Backend, arn: str) -> dict[str, Any]:
    """Return the description of a dataset."""
    description: dict[str, Any] = backend.rekognition.describe_dataset(DatasetArn=arn)["DatasetDescription"]
    return description


def describe_version(backend: Backend, arn: str) -> dict[str, Any]:
    """Return the description of a model version."""
    project_name, version_name = arn.split("/")[1], arn.split("/")[3]
    (project,) = backend.rekognition.describe_projects(ProjectNames=[project_name])["ProjectDescriptions"]
    (found,) = backend.rekognition.describe_project_versions(
        ProjectArn=project["ProjectArn"], VersionNames=[version_name]
    )["ProjectVersionDescriptions"]
    description: dict[str, Any] = found
    return description


def make_version(
    backend: Backend, project: str, name: str = "v1", *, wait: bool = True, **options: Any
) -> str:
    """Train a version, wait for it by default, and return its ARN."""
    settings = {"OutputConfig": {"S3Bucket": "puppies", "S3KeyPrefix": "out"}, **options}
    arn = backend.rekognition.create_project_version(ProjectArn=project, VersionName=name, **settings)[
        "ProjectVersionArn"
    ]
    if wait:
        backend.settle()
    return str(arn)


def read_result(backend: Backend, key: str) -> str:
    """Return the content of a result file."""
    content: bytes = backend.s3.get_object(Bucket="puppies", Key=key)["Body"].read()
    return content.decode()


@pytest.fixture(name="backend", params=HOSTS)
def backend_fixture(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Open a new service with a bucket."""
    with open_backend(request.param) as opened:
        opened.s3.create_bucket(Bucket="puppies")
        yield opened


@pytest.fixture(name="trained", scope="module", params=HOSTS)
def trained_fixture(request: pytest.FixtureRequest) -> Iterator[Trained]:
    """Open a service with a trained model of three labels."""
    with open_backend(request.param) as opened:
        opened.s3.create_bucket(Bucket="puppies")
        project = make_project(opened)
        make_dataset(opened, project, "TRAIN", put_pictures(opened, "train", 6))
        make_dataset(opened, project, "TEST", put_pictures(opened, "test", 2))
        yield Trained(opened, project, make_version(opened, project))
