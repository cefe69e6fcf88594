"""Secrets do not leak: no log, repr, error, traceback or pickle contains a key, token or signature."""

from __future__ import annotations

import contextlib
import logging
import pickle
import socket
import traceback
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from sdk_backends import write_folder

from rekolabels import Client, RetryPolicy
from rekolabels._aws._errors import translate
from rekolabels.errors import AccessDenied, ConnectionFailed, RekolabelsError, ServiceError
from rekolabels.formats import read_folder
from rekolabels.local import LocalService

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

KEY = "AKIAFAKEFAKEFAKEFAKE"
SECRET = "fakeSecretKeyFakeSecretKeyFakeSecretKey0"
TOKEN = "FwoGFakeSessionTokenFakeSessionTokenFake"
PASSWORD = "fakeProxyPassword"
ONCE = RetryPolicy(attempts=1)


def session() -> boto3.Session:
    """Return a session with fake credentials."""
    return boto3.Session(KEY, SECRET, TOKEN, region_name="us-east-1")


def text_of(error: BaseException) -> str:
    """Return what a traceback shows of an error, its causes and their attributes."""
    parts = ["".join(traceback.format_exception(error))]
    link: BaseException | None = error
    while link is not None:
        parts.append(f"{link!r} {vars(link)!r}")
        link = link.__cause__ or link.__context__
    return "\n".join(parts)


def sent_headers(client: Any, sent: list[Mapping[str, Any]]) -> None:
    """Record the headers of a client's requests."""
    client.meta.events.register("before-send.*", lambda request, **_: sent.append(dict(request.headers)))


def fetch_missing(url: str) -> None:
    """Fetch a URL, and ignore that it does not exist."""
    try:
        urllib.request.urlopen(url)  # noqa: S310 - the server of this test
    except urllib.error.HTTPError as error:
        error.close()


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Logs, texts and pickles of a complete run over a socket, and the secrets that were sent."""
    pytest.importorskip("onnxruntime", reason="the extra 'local' is not installed")
    log: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            log.append(self.format(record))

    handler, logger = Handler(), logging.getLogger("rekolabels")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        folder = tmp_path_factory.mktemp("pictures")
        with LocalService() as service, service.serve() as server, pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", server.url)
            texts, pickles, secrets = whole_run(folder)
            texts += f"{server!r} {service!r}"
        yield {"log": "\n".join(log), "texts": texts, "pickles": pickles, "secrets": "\n".join(secrets)}
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def whole_run(folder: Path) -> tuple[str, str, list[str]]:
    """Go from images to detections, with errors; return texts, pickles and the secrets that were sent."""
    sent: list[Mapping[str, Any]] = []
    path_style = Config(s3={"addressing_style": "path"})
    client = Client(session(), bucket="puppies", config=path_style, retry=ONCE)
    sent_headers(client._connection.rekognition.client, sent)
    sent_headers(client._connection.s3.client, sent)
    client.ensure_bucket()
    project = client.create_project("secrets")
    project.create_datasets(read_folder(write_folder(folder)), test=0.4)
    model = project.train("v1")
    model.wait_until_trained()
    result = model.evaluation()
    with model.running() as running:
        outcomes = list(running.detect_many(sorted(folder.rglob("*.png"))))
    errors: list[RekolabelsError] = []
    for wrong in (
        lambda: client.create_project("secrets"),
        lambda: client.project("unknown"),
        lambda: model.detect(next(folder.rglob("*.png"))),
        lambda: Client(session(), bucket="puppies", config=path_style).model(model.arn + "1").describe(),
        lambda: Client(session(), bucket="Not-A-Bucket", config=path_style, retry=ONCE).ensure_bucket(),
    ):
        with pytest.raises(RekolabelsError) as caught:
            wrong()
        errors.append(caught.value)
    presigned = client._connection.s3.client.generate_presigned_url(
        "get_object", {"Bucket": "puppies", "Key": "none"}
    )
    fetch_missing(presigned)
    values = [
        client,
        project,
        model,
        result,
        *outcomes,
        *project.datasets(),
        project.describe(),
        model.describe(),
    ]
    shown = [
        repr(value) + str(value)
        for value in (*values, client.session, client._connection.rekognition, client._connection.s3, running)
    ]
    shown += [text_of(error) for error in errors]
    pickles = [picked for value in (*values, *errors) if (picked := pickled(value))]
    signatures = {
        header.decode() for headers in sent if isinstance(header := headers["Authorization"], bytes)
    }
    query = parse_qs(urlsplit(presigned).query)
    secrets = [signature.rpartition("Signature=")[2] for signature in signatures]
    secrets += query.get("X-Amz-Signature", []) + query.get("Signature", [])
    assert any(TOKEN.encode() in headers.get("X-Amz-Security-Token", b"") for headers in sent)
    return "\n".join(shown), "\n".join(pickles), [*secrets, KEY, SECRET, TOKEN]


def pickled(value: object) -> str:
    """Return the pickle of a value as text; empty if it cannot be pickled."""
    with contextlib.suppress(Exception):
        return pickle.dumps(value).decode("latin-1")
    return ""


@pytest.mark.parametrize("where", ["log", "texts", "pickles"])
def test_a_complete_run_shows_no_secret(output: dict[str, str], where: str) -> None:
    """Keys, tokens and signatures are sent but appear nowhere, at level DEBUG and with errors as well."""
    secrets = output["secrets"].split("\n")

    assert len(output[where]) > 1000
    assert len(secrets) > 10
    assert [secret for secret in secrets if secret in output[where]] == []


def test_the_log_shows_requests_without_their_queries(output: dict[str, str]) -> None:
    """The log has operation and status, but not the query, which may contain a signature."""
    assert '"GET /puppies/none?... HTTP/1.1" 404 Not Found' in output["log"]
    assert '"POST / HTTP/1.1" 200 OK RekognitionService.DetectCustomLabels' in output["log"]


def test_the_log_cannot_be_forged(caplog: pytest.LogCaptureFixture) -> None:
    """A request line cannot add lines or colours to the log."""
    with (
        caplog.at_level(logging.DEBUG, "rekolabels"),
        LocalService() as service,
        service.serve() as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection,
    ):
        connection.sendall(b"GET /\x1b[31m\x0bfake HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 4")
    messages = [record.getMessage() for record in caplog.records]

    assert any("fake" in message for message in messages)
    assert all(message.isprintable() for message in messages)


def test_tokens_in_error_responses_are_removed() -> None:
    """AWS answers a wrong signature with the signed headers, including the session token."""
    canonical = f"'POST\n/\n\nhost:rekognition.us-east-1.amazonaws.com\nx-amz-security-token:{TOKEN}\n\nhost'"
    message = f"The Canonical String for this request should have been\n{canonical}"
    answer: Any = {"Error": {"Code": "InvalidSignatureException", "Message": message}}
    cause = ClientError(answer, "DetectCustomLabels")
    error = translate(cause, "DetectCustomLabels")

    assert isinstance(error, AccessDenied)
    assert isinstance(error, ServiceError)
    assert "x-amz-security-token:..." in error.detail
    assert TOKEN not in text_of(error) + text_of(cause) + str(cause.response)


def test_passwords_of_proxies_are_removed() -> None:
    """The error for an unreachable proxy names it without user and password."""
    proxy = f"http://user:{PASSWORD}@127.0.0.1:9"
    client = Client(session(), config=Config(proxies={"http": proxy, "https": proxy}), retry=ONCE)
    with pytest.raises(ConnectionFailed) as caught:
        list(client.projects())

    assert "127.0.0.1" in str(caught.value)
    assert PASSWORD not in text_of(caught.value)
