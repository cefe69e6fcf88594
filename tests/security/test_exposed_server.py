"""The way out of the loopback interface: a token and an allow-list are required; the token is never shown."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from rekolabels import Client
from rekolabels.errors import AccessDenied, InvalidInput
from rekolabels.local import LocalService

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rekolabels.local._http._server import Server

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what these tests are about
TOKEN = "yV3-not_a_secret-0pQ7rS2tU9vW4xY1zA6bC8dE5fG"
NAME = "rekolabels.internal"


@pytest.fixture(scope="module")
def exposed() -> Iterator[tuple[Server, str]]:
    """Start a server on all interfaces; yield it, and what the loggers said."""
    said: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(f"{record.levelname} {self.format(record)}")

    logger = logging.getLogger("rekolabels")
    handler, level = Handler(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        with (
            LocalService(engine="tiny") as service,
            service.serve(host=EVERYWHERE, token=TOKEN, allowed_hosts=[NAME]) as server,
        ):
            client(server, TOKEN, "s3").create_bucket(Bucket="bucket")
            yield server, "\n".join(said)
            assert TOKEN not in "\n".join(said)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def client(server: Server, key: str, name: Literal["rekognition", "s3"], **config: Any) -> Any:
    """Return a client of the server with an access key ID."""
    session = boto3.Session(key, "any", region_name="us-east-1")
    url = f"http://127.0.0.1:{server.port}"
    settings = Config(retries={"total_max_attempts": 1}, **config)
    return session.client(name, endpoint_url=url, config=settings)


def exchange(server: Server, head: str) -> tuple[int, str]:
    """Send the head of a request and return the status and all that the server sends."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(f"{head}\r\n".encode())
        connection.shutdown(socket.SHUT_WR)
        response = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    return int(response.split(" ", 2)[1]), response


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.1", "10.0.0.1"])
@pytest.mark.parametrize(
    ("token", "names", "reason"),
    [
        (None, [NAME], "without an access token"),
        (None, [], "without an access token"),
        (TOKEN, [], "without the host names"),
        (TOKEN[:31], [NAME], "31 characters; at least 32"),
        ("", [NAME], "0 characters; at least 32"),
        (f"{TOKEN} ", [NAME], "not a valid access key ID"),
        (f"{TOKEN}/x", [NAME], "not a valid access key ID"),
        (f"{TOKEN}é", [NAME], "not a valid access key ID"),
        (TOKEN * 3, [NAME], "not a valid access key ID"),
        (TOKEN, ["*"], "Invalid host name"),
        (TOKEN, ["*.example.com"], "Invalid host name"),
        (TOKEN, [""], "Invalid host name"),
        (TOKEN, ["name:4900"], "Invalid host name"),
        (TOKEN, ["http://name"], "Invalid host name"),
        (TOKEN, NAME, "expected a list of host names"),
    ],
)
def test_other_addresses_are_refused_without_a_guard(
    host: str, token: str | None, names: list[str], reason: str
) -> None:
    """The error says what is missing, and does not contain the token."""
    with LocalService(engine="tiny") as service, pytest.raises(InvalidInput, match=reason) as caught:
        service.serve(host=host, token=token, allowed_hosts=names)

    assert not token or token not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("host", ["", "localhost", "name", "127.0.0.1:80", "127.1", "0"])
def test_an_address_is_an_ip_address(host: str) -> None:
    """A name, which may resolve to anything, is refused."""
    with LocalService(engine="tiny") as service, pytest.raises(InvalidInput, match="expected an IP address"):
        service.serve(host=host, token=TOKEN, allowed_hosts=[NAME])


def test_the_start_is_a_warning(exposed: tuple[Server, str]) -> None:
    """It names the address, the workspace, and what is exposed, and not the token."""
    server, said = exposed

    assert said.count("WARNING") == 1
    for part in (
        EVERYWHERE,
        str(server.port),
        "read, change and delete",
        "rekolabels-",
        NAME,
        "not encrypted",
    ):
        assert part in said
    assert server.url == f"http://{NAME}:{server.port}"


def test_the_token_is_shown_nowhere(exposed: tuple[Server, str]) -> None:
    """The variables of the clients contain it, but their representation does not."""
    server, _ = exposed

    assert server.environment["AWS_ACCESS_KEY_ID"] == TOKEN
    assert TOKEN not in repr(server) + repr(server.environment) + str(vars(server)) + str(server.environment)


def test_the_token_opens_everything(exposed: tuple[Server, str]) -> None:
    """Signed requests, presigned URLs of both signature versions, and streamed uploads are answered."""
    server, _ = exposed
    s3 = client(server, TOKEN, "s3")
    s3.put_object(Bucket="bucket", Key="a", Body=b"hello", ChecksumAlgorithm="SHA256")

    assert client(server, TOKEN, "rekognition").describe_projects()["ProjectDescriptions"] == []
    for version in ("s3v4", "s3"):
        signer = client(server, TOKEN, "s3", signature_version=version, s3={"addressing_style": "path"})
        url = signer.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "a"})
        path = url.partition(str(server.port))[2]
        status, response = exchange(
            server, f"GET {path} HTTP/1.1\r\nHost: {NAME}:80\r\nConnection: close\r\n"
        )
        assert status == 200
        assert response.endswith("\r\n\r\nhello")


@pytest.mark.parametrize("key", ["0" * 12, TOKEN[:-1], TOKEN + "a", TOKEN.swapcase(), "AKIDEXAMPLE"])
def test_other_keys_open_nothing(exposed: tuple[Server, str], key: str) -> None:
    """Neither Rekognition nor S3 answers them, and the SDK raises AccessDenied."""
    server, _ = exposed
    for call in (
        client(server, key, "rekognition").describe_projects,
        client(server, key, "s3").list_buckets,
    ):
        with pytest.raises(ClientError) as caught:
            call()
        response: Any = caught.value.response
        assert response["Error"]["Code"] in {"UnrecognizedClientException", "InvalidAccessKeyId"}
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 403
        assert TOKEN not in str(response)
    session = boto3.Session(key, "any", region_name="us-east-1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
        projects = Client(session).projects()
        with pytest.raises(AccessDenied):
            next(projects)


@pytest.mark.parametrize(
    "request_",
    [
        "GET / HTTP/1.1\r\nHost: HOST\r\n",
        "GET /bucket/a HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer TOKEN\r\n",
        "GET /bucket/a HTTP/1.1\r\nHost: HOST\r\nAuthorization: AWS4-HMAC-SHA256 Credential=/TOKEN\r\n",
        "GET /?X-Amz-Credential= HTTP/1.1\r\nHost: HOST\r\n",
        "GET /?X-Amz-Credential=other&X-Amz-Credential=TOKEN HTTP/1.1\r\nHost: HOST\r\n",
        "GET /?X-Amz-Credential=TOKEN&X-Amz-Credential=other HTTP/1.1\r\nHost: HOST\r\n",
        "GET /?X-Amz-Credential=TOKEN HTTP/1.1\r\nHost: HOST\r\nAuthorization: AWS other:x\r\n",
        "GET /?X-Amz-Credential=TOKEN HTTP/1.1\r\nHost: evil.example\r\n",
        "GET /?X-Amz-Credential=TOKEN HTTP/1.1\r\nHost: a.HOST\r\n",
        "GET /?X-Amz-Credential=TOKEN HTTP/1.1\r\nHost: HOST.evil.example\r\n",
        "GET /?X-Amz-Credential=TOKEN HTTP/1.1\r\nHost: 0.0.0.0\r\n",
        "GET /?X-Amz-Credential=TOKEN HTTP/1.1\r\nHost: HOST\r\nOrigin: http://evil.example\r\n",
        "GET /?X-Amz-Credential=TOKEN HTTP/1.1\r\nHost: HOST\r\nSec-Fetch-Site: cross-site\r\n",
        "POST / HTTP/1.1\r\nHost: HOST\r\nX-Amz-Target: RekognitionService.DescribeProjects\r\n",
    ],
)
def test_requests_without_the_token_or_the_name_are_refused(
    exposed: tuple[Server, str], request_: str
) -> None:
    """Status 403, whatever else the request has; the answer does not contain the token."""
    server, _ = exposed
    head = request_.replace("HOST", NAME).replace("TOKEN", TOKEN)

    status, response = exchange(server, head)

    assert status == 403
    assert TOKEN not in response


def test_a_token_guards_the_loopback_interface_as_well() -> None:
    """On a machine of several users, the others are refused."""
    with LocalService(engine="tiny") as service, service.serve(token=TOKEN) as server:
        assert client(server, TOKEN, "s3").list_buckets()["Buckets"] == []
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            client(server, "0" * 12, "s3").list_buckets()


@contextmanager
def running(command: Sequence[str]) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Start a command that serves; yield the process, the port, and the exports that it prints."""
    with subprocess.Popen(  # noqa: S603 - our own command
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            yield process, url.rpartition(":")[2], "".join(process.stdout.readline() for _ in range(6))
        finally:
            process.terminate()


def status(port: str, host: str, token: str) -> bytes:
    """Return the status of a request for the list of buckets."""
    request = f"GET /?X-Amz-Credential={token} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(port)), timeout=30) as connection:
        connection.sendall(request.encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))[9:12]


def test_the_command(tmp_path: Path) -> None:
    """It prints how to read the token instead of the token, and warns."""
    file = tmp_path / "the token"
    file.write_text(f"{TOKEN}\n")
    command = [sys.executable, "-m", "rekolabels", "serve", "--host", EVERYWHERE, "--token-file", str(file)]
    command += ["--allow-host", f"{NAME},other", "--allow-host", "third", "--verbose"]
    with running(command) as (process, port, exports):
        assert status(port, "third", TOKEN) == b"200"
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output) == (0, "")
    shell = subprocess.run(  # noqa: S603 - what the command printed
        ["/bin/sh", "-c", f"{exports}printf %s $AWS_ACCESS_KEY_ID"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert f"AWS_ENDPOINT_URL=http://{NAME}:{port}\n" in exports
    assert shell.stdout == TOKEN
    assert "listens on 0.0.0.0" in errors
    assert TOKEN not in exports + errors


def test_the_command_of_the_image(tmp_path: Path) -> None:
    """The entry point of the Dockerfile serves its names to those with the token, without privileges."""
    text = (Path(__file__).parents[2] / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    instructions = dict(line.split(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    token = tmp_path / "token"
    token.write_text(TOKEN)
    paths = {"python": sys.executable, "4900": "0", "/workspace": str(tmp_path / "ws")}
    paths["/run/secrets/token"] = str(token)
    command = [paths.get(word, word) for word in json.loads(instructions["ENTRYPOINT"])]

    with running([*command, "--allow-host", NAME]) as (_, port, _):
        assert [status(port, name, TOKEN) for name in ("localhost", "rekolabels", NAME)] == [b"200"] * 3
        assert status(port, "localhost", "other") == status(port, "evil.example", TOKEN) == b"403"
    assert int(instructions["USER"]) > 0


@pytest.mark.parametrize(
    "content", [None, b"short\n", b"\xff" * 40, b"", b"two words, which is long enough to be one"]
)
def test_the_command_refuses_a_bad_token(tmp_path: Path, content: bytes | None) -> None:
    """One line, without a traceback and without what is in the file; status 2."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    done = subprocess.run(  # noqa: S603 - our own command
        [
            sys.executable,
            "-m",
            "rekolabels",
            "serve",
            "--host",
            EVERYWHERE,
            "--token-file",
            file,
            "--allow-host",
            NAME,
        ],
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert not content or content.strip() not in done.stdout + done.stderr
