"""Hostile forms posted to S3: errors of S3, bounded memory, and nothing stored."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from s3_clients import make_client
from s3_forms import BOUNDARY, encode_form

from rekolabels.local._core._wsgi import ResponseStart
from rekolabels.local._s3 import S3Directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

CREDENTIAL = "123456789012/20260101/us-east-1/s3/aws4_request"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[S3Directory]:
    """Yield the application."""
    directory = S3Directory(tmp_path / "root")
    yield directory
    directory.close()


@pytest.fixture
def s3(app: S3Directory) -> S3Client:
    """Return a client, with the bucket ``dogs``."""
    client = make_client(app)
    client.create_bucket(Bucket="dogs")
    return client


def _signed(policy: bytes, **fields: str) -> dict[str, str]:
    """Return the fields of a form that is signed as the sessions of the service do."""
    encoded = base64.b64encode(policy)
    key = b"AWS4not-a-secret"
    for part in CREDENTIAL.split("/")[1:]:
        key = hmac.digest(key, part.encode(), "sha256")
    return {
        "key": "rex.jpg",
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": CREDENTIAL,
        "x-amz-date": "20260101T000000Z",
        "policy": encoded.decode(),
        "x-amz-signature": hmac.new(key, encoded, hashlib.sha256).hexdigest(),
        **fields,
    }


def _policy(*conditions: Any, expiration: Any = "2999-01-01T00:00:00Z") -> bytes:
    usual = [
        ["starts-with", f"${name}", ""]
        for name in ("key", "x-amz-algorithm", "x-amz-credential", "x-amz-date")
    ]
    return json.dumps({"expiration": expiration, "conditions": [*usual, *conditions]}).encode()


def _post(
    app: S3Directory, body: io.BufferedIOBase | io.RawIOBase, length: str, content_type: str = TYPE
) -> str:
    """Post a form; return the status, and the code of the error."""
    started = ResponseStart()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/dogs",
        "QUERY_STRING": "",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": length,
        "HTTP_HOST": "localhost",
        "wsgi.input": body,
        "wsgi.input_terminated": True,
    }
    answer = b"".join(app(environ, started)).decode()
    assert "InternalError" not in answer
    return f"{started.status_code} {answer.partition('<Code>')[2].partition('</Code>')[0]}".strip()


def _post_bytes(app: S3Directory, body: bytes, content_type: str = TYPE) -> str:
    return _post(app, io.BytesIO(body), str(len(body)), content_type)


def _is_empty(s3: S3Client, folder: Path) -> bool:
    """Return whether no object is stored, and no body is left on the disk."""
    bodies = [path for path in (folder / "root").rglob("*") if path.is_file()]
    left = [path for path in bodies if path.name != "lock" and not path.name.startswith("index.sqlite")]
    return "Contents" not in s3.list_objects_v2(Bucket="dogs") and left == []


def test_a_signed_form(app: S3Directory, s3: S3Client) -> None:
    """The forms of this module are accepted as long as nothing is wrong with them."""
    body, _ = encode_form(_signed(_policy()), b"woof")

    assert _post_bytes(app, body) == "204"
    assert s3.get_object(Bucket="dogs", Key="rex.jpg")["Body"].read() == b"woof"


POLICIES = {
    "empty": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "depth": b"[" * 5000,
    "some depth": b'{"expiration": "2999-01-01T00:00:00Z", "conditions": ' + b"[" * 900 + b"]" * 900 + b"}",
    "objects in depth": b'{"a":' * 1500 + b"1" + b"}" * 1500,
    "NUL": b"\x00" * 100,
    "UTF-16": _policy().decode().encode("utf-16")[:-1],
    "no expiration": b'{"conditions": []}',
    "expiration is a number": _policy(expiration=1e300),
    "expiration is a list": _policy(expiration=["2999-01-01T00:00:00Z"]),
    "expiration in another zone": _policy(expiration="2999-01-01T00:00:00+00:00"),
    "expiration in other digits": _policy(expiration="\uff12999-01-01T00:00:00"),
    "expiration of 5000 digits": b'{"expiration": ' + b"9" * 5000 + b', "conditions": []}',
    "no conditions": b'{"expiration": "2999-01-01T00:00:00Z"}',
    "conditions are an object": b'{"expiration": "2999-01-01T00:00:00Z", "conditions": {"key": "rex.jpg"}}',
    "condition is a string": _policy("key"),
    "condition is empty": _policy({}),
    "condition is an empty list": _policy([]),
    "condition without a dollar sign": _policy(["eq", "key", "rex.jpg"]),
    "condition with four parts": _policy(["eq", "$key", "rex.jpg", "more"]),
    "unknown operator": _policy(["matches", "$key", ".*"]),
    "operator is a list": _policy([["eq"], "$key", "rex.jpg"]),
    "value is a number": _policy({"key": 1}),
    "half of a surrogate pair": _policy(["\ud800", "$key", "\ud800"]),
    "range without an end": _policy(["content-length-range", 0]),
    "negative range": _policy(["content-length-range", -1, 10]),
    "range of floats": _policy(["content-length-range", 0, 1.5]),
    "range of truth": _policy(["content-length-range", False, True]),
    "range of 5000 digits": _policy(["content-length-range", "0", "9" * 5000]),
}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_hostile_policies_of_forms(app: S3Directory, s3: S3Client, tmp_path: Path, policy: bytes) -> None:
    """A policy that is none allows nothing, however well it is signed."""
    body, _ = encode_form(_signed(policy), b"woof")

    assert _post_bytes(app, body) in {"400 InvalidPolicyDocument", "403 AccessDenied"}
    assert _is_empty(s3, tmp_path)


FIELD = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
GOOD = encode_form(_signed(_policy()), b"woof")[0]
FORMS = {
    "empty": (b"", TYPE, "400 MalformedPOSTRequest"),
    "no boundary": (GOOD, "multipart/form-data", "412 PreconditionFailed"),
    "empty boundary": (GOOD, "multipart/form-data; boundary=", "400 MalformedPOSTRequest"),
    "boundary of 100 bytes": (GOOD, f"multipart/form-data; boundary={'x' * 100}", "400 MalformedPOSTRequest"),
    "another boundary": (GOOD, "multipart/form-data; boundary=other", "400 MalformedPOSTRequest"),
    "another type": (GOOD, "text/plain", "412 PreconditionFailed"),
    "URL-encoded": (b"key=rex.jpg", "application/x-www-form-urlencoded", "412 PreconditionFailed"),
    "text before the first part": (b"hello\r\n" + GOOD, TYPE, "400 MalformedPOSTRequest"),
    "cut off in the file": (GOOD[:-20], TYPE, "400 MalformedPOSTRequest"),
    "cut off in a field": (GOOD[:100], TYPE, "400 MalformedPOSTRequest"),
    "no file": (GOOD[: GOOD.index(b'name="file"')] + b"x", TYPE, "400 MalformedPOSTRequest"),
    "ends before the file": (f"--{BOUNDARY}--\r\n".encode(), TYPE, "400 InvalidArgument"),
    "no disposition": (
        f"--{BOUNDARY}\r\nX: y\r\n\r\n1\r\n".encode() + GOOD,
        TYPE,
        "400 MalformedPOSTRequest",
    ),
    "no name": ((FIELD % ("", "1")).encode() + GOOD, TYPE, "400 MalformedPOSTRequest"),
    "a name twice": ((FIELD % ("KEY", "other.jpg")).encode() + GOOD, TYPE, "400 InvalidArgument"),
    "not UTF-8": (GOOD.replace(b"rex.jpg", b"re\xff.jpg", 1), TYPE, "400 MalformedPOSTRequest"),
    "name is not UTF-8": (GOOD.replace(b'"key"', b'"\xff"', 1), TYPE, "400 MalformedPOSTRequest"),
    "a field of 30 KB": ((FIELD % ("x-ignore-a", "1" * 30_000)).encode() + GOOD, TYPE, "400 MaxPost"),
    "a thousand fields": (
        b"".join((FIELD % (f"x-ignore-{number}", "1")).encode() for number in range(1000)) + GOOD,
        TYPE,
        "400 MaxPost",
    ),
    "a name of 30 KB": ((FIELD % ("x-ignore-" + "a" * 30_000, "1")).encode() + GOOD, TYPE, "400 MaxPost"),
}


@pytest.mark.parametrize(("body", "content_type", "expected"), FORMS.values(), ids=FORMS)
def test_malformed_forms(
    app: S3Directory, s3: S3Client, tmp_path: Path, body: bytes, content_type: str, expected: str
) -> None:
    """They are refused, and nothing is stored."""
    assert _post_bytes(app, body, content_type).startswith(expected)
    assert _is_empty(s3, tmp_path)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"x-amz-meta-a": "b\r\nset-cookie: c"}, "400 InvalidArgument"),
        ({"x-amz-meta-a\r\nb": "c"}, "400 MalformedPOSTRequest"),
        ({"x-amz-meta-ä": "c"}, "400 InvalidArgument"),
        ({"x-amz-meta-a": "b" * 2049}, "400 MetadataTooLarge"),
        ({"content-type": "text/html\x00"}, "400 InvalidArgument"),
        ({"content-md5": base64.b64encode(bytes(16)).decode()}, "400 BadDigest"),
        ({"x-amz-checksum-sha256": base64.b64encode(bytes(32)).decode()}, "400 BadDigest"),
        ({"x-amz-storage-class": "SHELF"}, "400 InvalidStorageClass"),
        ({"x-amz-server-side-encryption": "rot13"}, "400 InvalidArgument"),
        ({"acl": "everyone"}, "400 InvalidArgument"),
        ({"tagging": "<!DOCTYPE d><Tagging/>"}, "400 MalformedXML"),
        ({"tagging": "a=1"}, "400 MalformedXML"),
        ({"key": "${filename}"}, "400 InvalidArgument"),
        ({"key": "\ud7ff" * 400}, "400 KeyTooLongError"),
    ],
)
def test_hostile_fields(
    app: S3Directory, s3: S3Client, tmp_path: Path, fields: dict[str, str], expected: str
) -> None:
    """Fields that the policy allows are still checked as the headers of PutObject are."""
    conditions = [["starts-with", f"${name}", ""] for name in fields]
    body, _ = encode_form(_signed(_policy(*conditions), **fields), b"woof", file_name="")

    assert _post_bytes(app, body) == expected
    assert _is_empty(s3, tmp_path)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("../../outside.jpg", "outside.jpg"),
        ("C:\\windows\\rex.jpg", "rex.jpg"),
        ("..", ".."),
        ("a; name=key", "a; name=key"),
        ("${filename}", "${filename}"),
    ],
)
def test_file_names(app: S3Directory, s3: S3Client, tmp_path: Path, name: str, key: str) -> None:
    """Their folders are dropped; what is left is part of the key, and leads nowhere."""
    body, _ = encode_form(_signed(_policy(), key="up/${filename}"), b"woof", file_name=name)

    assert _post_bytes(app, body) == "204"
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket="dogs")["Contents"]] == [f"up/{key}"]
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


class Endless(io.RawIOBase):
    """A form whose last part goes on for a gigabyte."""

    def __init__(self, start: bytes) -> None:
        super().__init__()
        self.start = start
        self.count = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return at most 64 KiB."""
        block, self.start = (self.start, b"") if self.start else (b"x" * min(max(size, 1), 2**16), b"")
        self.count += len(block)
        return block if self.count < 2**30 else b""


@pytest.mark.parametrize("length", [str(2**30), ""], ids=["announced", "streamed"])
@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"", "400 MaxPost"),
        (f"--{BOUNDARY}".encode(), "400 MalformedPOSTRequest"),
        (f"--{BOUNDARY}\r\n".encode(), "400 MaxPost"),
        ((FIELD % ("key", ""))[:-2].encode(), "400 MaxPost"),
    ],
    ids=["preamble", "boundary", "head", "field"],
)
def test_a_gigabyte_in_one_field(
    app: S3Directory, s3: S3Client, tmp_path: Path, start: bytes, expected: str, length: str
) -> None:
    """It is refused after the first block."""
    body = Endless(start)
    tracemalloc.start()
    answer = _post(app, body, length)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert answer.startswith(expected)
    assert body.count < 2**20
    assert peak < 4 * 2**20
    assert _is_empty(s3, tmp_path)


def test_a_gigabyte_in_the_file(app: S3Directory, s3: S3Client, tmp_path: Path) -> None:
    """The policy's limit ends the upload, in bounded memory; without a limit, the file is streamed."""
    signed = _signed(_policy(["content-length-range", 0, 2**20]))
    start = encode_form(signed, b"")[0].removesuffix(f"\r\n--{BOUNDARY}--\r\n".encode())
    body = Endless(start)
    tracemalloc.start()
    answer = _post(app, body, str(2**30))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert answer == "400 EntityTooLarge"
    assert body.count < 2 * 2**20
    assert peak < 4 * 2**20
    assert _is_empty(s3, tmp_path)


def test_files_that_look_like_boundaries(app: S3Directory, s3: S3Client) -> None:
    """A file may contain everything but the boundary, and is read in time that grows with its size only."""
    content = f"\r\n--{BOUNDARY[:-1]}".encode() * 200_000 + b"\r\n" + b"-" * 100
    body, _ = encode_form(_signed(_policy()), content)
    started = time.process_time()

    assert _post_bytes(app, body) == "204"

    assert time.process_time() - started < 5
    assert s3.get_object(Bucket="dogs", Key="rex.jpg")["Body"].read() == content
