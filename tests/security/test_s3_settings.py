"""Hostile policies, tags, ACLs and CORS rules are refused with errors of S3, and nothing is stored."""

from __future__ import annotations

import io
import json
import tracemalloc
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError

from rekolabels.local._core._wsgi import ResponseStart
from rekolabels.local._http._in_process import make_session
from rekolabels.local._s3 import S3Directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

STATEMENT = {
    "Effect": "Allow",
    "Principal": "*",
    "Action": "s3:GetObject",
    "Resource": "arn:aws:s3:::dogs/*",
}
TEXT = json.dumps({"Version": "2012-10-17", "Statement": [STATEMENT]})


def _with(**changes: Any) -> str:
    members = {**STATEMENT, **changes}
    return json.dumps({"Statement": [{name: value for name, value in members.items() if value is not None}]})


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Client]:
    """Yield a client of an S3 that holds the bucket ``dogs`` with the object ``rex``."""
    app = S3Directory(tmp_path)
    client: S3Client = make_session(app, account="123456789012", region="us-east-1").client("s3")
    client.create_bucket(Bucket="dogs")
    client.put_object(Bucket="dogs", Key="rex", Body=b"1")
    yield client
    app.close()


POLICIES = {
    "no JSON": "{",
    "not an object": "[]",
    "a number": "1",
    "NaN": '{"Version": NaN}',
    "depth": "[" * 9000,
    "objects in depth": '{"a":' * 3000 + "1" + "}" * 3000,
    "size": TEXT + " " * 20_480,
    "duplicate member": '{"Version": "2012-10-17", "Version": "2012-10-17", "Statement": []}',
    "duplicate member of a statement": TEXT.replace('"Effect"', '"Effect": "Deny", "Effect"'),
    "lone surrogate": TEXT.replace("s3:GetObject", "\\ud800"),
    "number of 5000 digits": f'{{"Version": {"9" * 5000}}}',
    "unknown version": '{"Version": "2020-01-01", "Statement": []}',
    "version of another type": '{"Version": ["2012-10-17"], "Statement": []}',
    "no statement": '{"Version": "2012-10-17"}',
    "unknown member": '{"Statement": [], "Comment": ""}',
    "statement is a string": '{"Statement": "all"}',
    "unknown member of a statement": _with(Extra=1),
    "no effect": _with(Effect=None),
    "unknown effect": _with(Effect="Maybe"),
    "effect is a list": _with(Effect=["Allow"]),
    "no principal": _with(Principal=None),
    "principal and its opposite": _with(NotPrincipal="*"),
    "empty principal": _with(Principal={}),
    "unknown kind of principal": _with(Principal={"Dog": "rex"}),
    "principal is a number": _with(Principal={"AWS": 1}),
    "no action": _with(Action=None),
    "action of another service": _with(Action="iam:CreateUser"),
    "empty action": _with(Action=""),
    "no actions": _with(Action=[]),
    "nested actions": _with(Action=[["s3:GetObject"]]),
    "no resource": _with(Resource=None),
    "another bucket": _with(Resource="arn:aws:s3:::cats/*"),
    "another service": _with(Resource="arn:aws:sqs:::dogs"),
    "not an ARN": _with(Resource="dogs"),
    "only colons": _with(Resource=":::::::"),
    "condition is a list": _with(Condition=[]),
    "condition keys are a string": _with(Condition={"StringEquals": "a"}),
    "nested condition values": _with(Condition={"StringEquals": {"a": [["b"]]}}),
}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_hostile_policies(s3: S3Client, policy: str) -> None:
    """Each is refused with MalformedPolicy, and the policy of the bucket stays as it is."""
    s3.put_bucket_policy(Bucket="dogs", Policy=TEXT)

    with pytest.raises(ClientError) as raised:
        s3.put_bucket_policy(Bucket="dogs", Policy=policy)

    error: Any = raised.value.response
    assert error["Error"]["Code"] == "MalformedPolicy"
    assert error["Error"]["Message"]
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert s3.get_bucket_policy(Bucket="dogs")["Policy"] == TEXT


def test_policies_that_are_accepted(s3: S3Client) -> None:
    """Wildcards, lists, negations and conditions are valid."""
    for policy in (
        _with(Resource=["arn:aws:s3:::dogs", "arn:aws:s3:::d*/x", "arn:aws-cn:s3:::*"]),
        _with(Principal=None, NotPrincipal={"AWS": ["111122223333", "arn:aws:iam::111122223333:root"]}),
        _with(Action=None, NotAction="S3:Get*", Condition={"Bool": {"aws:SecureTransport": False}}),
        json.dumps({"Statement": STATEMENT}),
    ):
        s3.put_bucket_policy(Bucket="dogs", Policy=policy)
        assert s3.get_bucket_policy(Bucket="dogs")["Policy"] == policy


class Endless(io.RawIOBase):
    """A body that never ends, and counts what was read of it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return spaces, at most 64 KiB."""
        block = b" " * min(size, 2**16) if size >= 0 else b" " * 2**16
        self.count += len(block)
        return block


def _put(app: S3Directory, path: str, query: str, body: io.RawIOBase, length: str, **more: Any) -> bytes:
    started = ResponseStart()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "PUT",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_LENGTH": length,
        "HTTP_HOST": "localhost",
        "wsgi.input": body,
        **more,
    }
    return b"".join(app(environ, started))


@pytest.mark.parametrize("length", ["1073741824", ""], ids=["announced", "streamed"])
@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("/dogs", "policy", b"MalformedPolicy"),
        ("/dogs", "tagging", b"MalformedXML"),
        ("/dogs", "cors", b"MalformedXML"),
        ("/dogs", "acl", b"MalformedXML"),
        ("/dogs/rex", "tagging", b"MalformedXML"),
        ("/dogs/rex", "acl", b"MalformedXML"),
    ],
)
def test_documents_of_a_gigabyte(
    tmp_path: Path, s3: S3Client, path: str, query: str, code: bytes, length: str
) -> None:
    """They are refused by their length, or after a few megabytes; nothing holds them in memory."""
    assert s3.meta.region_name == "us-east-1"
    app = S3Directory(tmp_path)
    body = Endless()
    tracemalloc.start()
    answer = _put(app, path, query, body, length, **{"wsgi.input_terminated": True})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    app.close()

    assert b"<Code>" + code + b"</Code>" in answer
    assert body.count <= 5 * 2**20
    assert peak < 12 * 2**20


TAG = "<Tag><Key>a</Key><Value>1</Value></Tag>"
RULE = "<AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin>"
AGE = f"<MaxAgeSeconds>{'9' * 5000}</MaxAgeSeconds>"
GRANT = "<Grant><Grantee><ID>1</ID></Grantee><Permission>READ</Permission></Grant>"
DOCUMENTS = {
    "bomb": (
        "tagging",
        '<!DOCTYPE d [<!ENTITY a "aaaa">]><Tagging><TagSet>&a;</TagSet></Tagging>',
        "MalformedXML",
    ),
    "no tag set": ("tagging", "<Tagging/>", "MalformedXML"),
    "other elements": ("tagging", "<Tagging><TagSet><Dog/></TagSet></Tagging>", "MalformedXML"),
    "no value": ("tagging", "<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>", "MalformedXML"),
    "empty key": ("tagging", f"<Tagging><TagSet>{TAG.replace('a', '')}</TagSet></Tagging>", "MalformedXML"),
    "a million tags": ("tagging", f"<Tagging><TagSet>{TAG * 90_000}</TagSet></Tagging>", "BadRequest"),
    "line feed": (
        "tagging",
        f"<Tagging><TagSet>{TAG.replace('1', '&#10;')}</TagSet></Tagging>",
        "InvalidTag",
    ),
    "no rules": ("cors", "<CORSConfiguration/>", "MalformedXML"),
    "101 rules": (
        "cors",
        f"<CORSConfiguration>{f'<CORSRule>{RULE}</CORSRule>' * 101}</CORSConfiguration>",
        "MalformedXML",
    ),
    "no origin": (
        "cors",
        "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>",
        "MalformedXML",
    ),
    "two wildcards": (
        "cors",
        f"<CORSConfiguration><CORSRule>{RULE.replace('*', '*.*')}</CORSRule></CORSConfiguration>",
        "InvalidRequest",
    ),
    "age": (
        "cors",
        f"<CORSConfiguration><CORSRule>{RULE}{AGE}</CORSRule></CORSConfiguration>",
        "MalformedXML",
    ),
    "unknown element": (
        "cors",
        f"<CORSConfiguration><CORSRule>{RULE}<Dog/></CORSRule></CORSConfiguration>",
        "MalformedXML",
    ),
    "not an ACL": ("acl", "<Dog/>", "MalformedACLError"),
    "grant without grantee": (
        "acl",
        "<AccessControlPolicy><AccessControlList><Grant/></AccessControlList></AccessControlPolicy>",
        "MalformedACLError",
    ),
    "grant to another account": (
        "acl",
        f"<AccessControlPolicy><AccessControlList>{GRANT}</AccessControlList></AccessControlPolicy>",
        "NotImplemented",
    ),
}


@pytest.mark.parametrize(("query", "document", "code"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_hostile_documents(tmp_path: Path, s3: S3Client, query: str, document: str, code: str) -> None:
    """Each is refused with its error code, and nothing is set."""
    app = S3Directory(tmp_path)
    answer = _put(
        app, "/dogs", query, cast("Any", io.BytesIO(document.encode())), str(len(document.encode()))
    )
    app.close()

    assert f"<Code>{code}</Code>".encode() in answer
    for read, missing in ((s3.get_bucket_tagging, "NoSuchTagSet"), (s3.get_bucket_cors, "NoSuchCORS")):
        with pytest.raises(ClientError, match=missing):
            read(Bucket="dogs")
    assert len(s3.get_bucket_acl(Bucket="dogs")["Grants"]) == 1
