"""STS: GetCallerIdentity on the endpoint of the embedded service, as many programs call it first."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from rekolabels.local import LocalService

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rekolabels.local._http._server import Server

ACCOUNT = "123456789012"
TOKEN = "t" * 40


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    """A service of an account."""
    with LocalService(engine="tiny", account_id=ACCOUNT) as made:
        yield made


@pytest.fixture(scope="module")
def server(service: LocalService) -> Iterator[Server]:
    """A server of it."""
    with service.serve() as running:
        yield running


def client(url: str, key: str = ACCOUNT) -> Any:
    """Return a boto3 client of a server."""
    return boto3.Session(key, "x", region_name="eu-west-3").client("sts", endpoint_url=url)


def identity(sts: Any) -> dict[str, str]:
    """Return what GetCallerIdentity answers."""
    answer = sts.get_caller_identity()
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert answer["ResponseMetadata"]["RequestId"]
    return {name: answer[name] for name in ("Account", "Arn", "UserId")}


def test_the_caller_is_the_account(service: LocalService, server: Server) -> None:
    """In process and over a socket, in every Region."""
    expected = {"Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:root", "UserId": ACCOUNT}
    assert identity(service.session().client("sts")) == expected
    assert identity(client(server.url)) == expected
    assert identity(client(server.url, "AKIAEXAMPLE")) == expected


def test_the_access_key_may_be_the_account(server: Server) -> None:
    """As for Rekognition."""
    assert identity(client(server.url, "210987654321"))["Account"] == "210987654321"


def test_a_presigned_request(server: Server) -> None:
    """As programs send it that prove who they are."""
    url = client(server.url).generate_presigned_url("get_caller_identity", HttpMethod="GET")
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 -- of the server of this test
        assert f"<Account>{ACCOUNT}</Account>".encode() in answer.read()


def test_other_operations_are_refused(server: Server) -> None:
    """With a code of STS, and the name of the operation."""
    with pytest.raises(ClientError) as raised:
        client(server.url).get_session_token()
    error: Any = raised.value.response["Error"]
    assert (error["Code"], error["Type"]) == ("InvalidAction", "Sender")
    assert error["Message"] == (
        "The embedded service does not implement sts:GetSessionToken, only GetCallerIdentity."
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"Action",
        b"Action=" + b"x" * 100_000,
        b"&".join([b"a=b"] * 5_000),
        b"<a/>",
        b"Action=%3Cscript%3E%00",
    ],
)
def test_malformed_forms_are_refused(server: Server, body: bytes) -> None:
    """With a valid document."""
    request = urllib.request.Request(server.url, body)  # noqa: S310 -- of the server of this test
    credential = f"AWS4-HMAC-SHA256 Credential={ACCOUNT}/20260101/us-east-1/sts/aws4_request"
    request.add_header("Authorization", credential)
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=10)  # noqa: S310 -- the same
    with raised.value as answer:
        assert answer.code == 400
        assert b"<Code>InvalidAction</Code>" in answer.read()


def test_the_access_token_is_required(service: LocalService) -> None:
    """A server with a token answers no caller without it."""
    with service.serve(token=TOKEN) as guarded:
        assert identity(client(guarded.url, TOKEN))["Account"] == ACCOUNT
        with pytest.raises(ClientError) as raised:
            client(guarded.url).get_caller_identity()
    assert raised.value.response["Error"]["Code"] == "InvalidClientTokenId"
