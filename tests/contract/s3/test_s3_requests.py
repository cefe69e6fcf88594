"""The S3 directory's responses to requests that no SDK sends: malformed, hostile, or unsupported."""

from __future__ import annotations

import base64
import io
import os
import time
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs
import pytest
from s3_clients import MIB, make_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client
    from s3_clients import Clock

    from rekolabels.local._s3 import S3Directory


@attrs.frozen
class Reply:
    """A response of the application."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def _call(
    app: S3Directory,
    method: str,
    path: str,
    query: str = "",
    *,
    body: bytes = b"",
    host: str = "127.0.0.1",
    **headers: str,
) -> Reply:
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(
        status: str, answered: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        assert exc_info is None
        started.append((status, answered))
        return lambda _: None

    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": query,
        "CONTENT_LENGTH": headers.pop("content_length", str(len(body))),
        "HTTP_HOST": host,
        "wsgi.input": io.BytesIO(body),
        **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
    }
    blocks = app(environ, start_response)
    content = b"".join(blocks)
    getattr(blocks, "close", lambda: None)()
    ((status, answered),) = started
    return Reply(int(status[:3]), {name.lower(): value for name, value in answered}, content)


def _error(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()


def _listed(s3: S3Client) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket="dogs").get("Contents", [])]


def test_digests_are_verified(app: S3Directory, s3: S3Client) -> None:
    """A body that does not match its digest or checksum is refused, and nothing is stored."""
    zeros = base64.b64encode(bytes(16)).decode()
    crc = base64.b64encode(bytes(4)).decode()

    for headers, expected in (
        ({"content_md5": zeros}, (400, "BadDigest")),
        ({"content_md5": "not base64"}, (400, "InvalidDigest")),
        ({"x_amz_checksum_crc32": crc}, (400, "BadDigest")),
        ({"x_amz_checksum_crc32": "AAAA"}, (400, "InvalidRequest")),
        ({"x_amz_checksum_sha1": base64.b64encode(bytes(20)).decode()}, (400, "BadDigest")),
        ({"x_amz_checksum_sha256": base64.b64encode(bytes(32)).decode()}, (400, "BadDigest")),
        ({"x_amz_checksum_crc99": crc}, (501, "NotImplemented")),
        ({"x_amz_checksum_crc32": crc, "x_amz_checksum_crc32c": crc}, (400, "InvalidRequest")),
        ({"x_amz_content_sha256": "0" * 64}, (400, "XAmzContentSHA256Mismatch")),
        ({"x_amz_content_sha256": "something"}, (400, "InvalidArgument")),
    ):
        assert _error(_call(app, "PUT", "/dogs/rex", body=b"woof", **headers)) == expected

    assert _listed(s3) == []


def test_checksums_that_are_stored_unverified(app: S3Directory, s3: S3Client) -> None:
    """A checksum that the standard library cannot compute is returned for the reader to verify."""
    value = base64.b64encode(bytes(8)).decode()

    assert _call(app, "PUT", "/dogs/rex", body=b"woof", x_amz_checksum_crc64nvme=value).status == 200

    assert s3.head_object(Bucket="dogs", Key="rex", ChecksumMode="ENABLED")["ChecksumCRC64NVME"] == value


def test_a_body_that_ends_early(app: S3Directory, s3: S3Client) -> None:
    """When the connection ends early, or the length is unknown or too large, nothing is stored."""
    assert _error(_call(app, "PUT", "/dogs/rex", body=b"woof", content_length="5")) == (
        400,
        "IncompleteBody",
    )
    assert _error(_call(app, "PUT", "/dogs/rex", transfer_encoding="chunked")) == (
        411,
        "MissingContentLength",
    )
    assert _error(_call(app, "PUT", "/dogs/rex", content_length=str(5 * 1024**3 + 1))) == (
        400,
        "EntityTooLarge",
    )

    assert _listed(s3) == []


def _chunked(body: bytes, size: int, *, signature: str = "", trailer: str = "") -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(f"{len(piece):x}{signature}\r\n".encode() + piece + b"\r\n" for piece in pieces)
    return chunks + f"0{signature}\r\n{trailer}\r\n".encode()


@pytest.mark.parametrize("size", [1, 3, 4, 100_000])
def test_aws_chunked_bodies_are_decoded(app: S3Directory, size: int) -> None:
    """With signatures, with trailers, and with both, the object is the content of the chunks."""
    body = b"woof" * 3
    crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    signed = f";chunk-signature={'a' * 64}"
    trailer = f"x-amz-checksum-crc32:{crc}\r\n"
    for kind, data, announced in (
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", _chunked(body, size, signature=signed), ""),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", _chunked(body, size, trailer=trailer), "x-amz-checksum-crc32"),
        (
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            _chunked(body, size, signature=signed, trailer=f"{trailer}x-amz-trailer-signature:00\r\n"),
            "x-amz-checksum-crc32",
        ),
    ):
        _call(app, "PUT", "/dogs")
        reply = _call(
            app,
            "PUT",
            "/dogs/rex",
            body=data,
            x_amz_content_sha256=kind,
            x_amz_decoded_content_length=str(len(body)),
            x_amz_trailer=announced,
            content_encoding="aws-chunked,gzip",
        )
        assert reply.status == 200
        got = _call(app, "GET", "/dogs/rex", x_amz_checksum_mode="ENABLED")
        assert (got.body, got.headers["content-encoding"]) == (body, "gzip")
        assert got.headers.get("x-amz-checksum-crc32", "") == (crc if announced else "")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"4\r\nwoof\r\n0\r\n\r\n", (400, "MalformedTrailerError")),
        (b"4\r\nwoof\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", (400, "BadDigest")),
        (b"4\r\nwoof\r\n0\r\nnonsense\r\n\r\n", (400, "MalformedTrailerError")),
        (b"4\r\nwoof\r\n", (400, "IncompleteBody")),
        (b"4\r\nwo", (400, "IncompleteBody")),
        (b"3\r\nwoof\r\n0\r\n\r\n", (400, "InvalidRequest")),
        (b"-4\r\nwoof\r\n0\r\n\r\n", (400, "InvalidRequest")),
        (b"0x4\r\nwoof\r\n0\r\n\r\n", (400, "InvalidRequest")),
        (b"ffffffffffffffffffffffff\r\nwoof\r\n0\r\n\r\n", (400, "InvalidRequest")),
        (b"4" * 10_000, (400, "IncompleteBody")),
        (b"2\r\nwo\r\n0\r\n\r\n", (400, "IncompleteBody")),
        (b"", (400, "IncompleteBody")),
    ],
)
def test_malformed_aws_chunked_bodies(
    app: S3Directory, s3: S3Client, data: bytes, expected: tuple[int, str]
) -> None:
    """Each is refused with its error code, and nothing is stored."""
    reply = _call(
        app,
        "PUT",
        "/dogs/rex",
        body=data,
        x_amz_content_sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        x_amz_decoded_content_length="4",
        x_amz_trailer="x-amz-checksum-crc32",
    )

    assert _error(reply) == expected
    assert _listed(s3) == []


def test_presigned_urls(app: S3Directory, s3: S3Client, clock: Clock) -> None:
    """They work until they expire, and may override the response headers."""
    s3.put_object(Bucket="dogs", Key="rex 1.jpg", Body=b"woof", ContentType="image/jpeg")
    url = urlsplit(
        s3.generate_presigned_url(
            "get_object",
            Params={"Bucket": "dogs", "Key": "rex 1.jpg", "ResponseContentType": "text/plain"},
            ExpiresIn=60,
        )
    )
    # botocore signs with the real clock; the clock of the application is set by the test.
    for passed, expected in ((30, 200), (61, 403)):
        clock.now = time.time() + passed
        reply = _call(app, "GET", "/dogs/rex 1.jpg", url.query)
        assert reply.status == expected
        if expected == 200:
            assert (reply.body, reply.headers["content-type"]) == (b"woof", "text/plain")
        else:
            assert b"Request has expired" in reply.body


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20231114T221320Z&X-Amz-Expires=1", (404, "NoSuchKey")),
        (
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20231114T221318Z&X-Amz-Expires=1",
            (403, "AccessDenied"),
        ),
        (
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=yesterday&X-Amz-Expires=1",
            (400, "AuthorizationQueryParametersError"),
        ),
        (
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20231114T221320Z&X-Amz-Expires=604801",
            (400, "AuthorizationQueryParametersError"),
        ),
        (
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20231114T221320Z",
            (400, "AuthorizationQueryParametersError"),
        ),
        ("AWSAccessKeyId=a&Signature=b&Expires=1700000001", (404, "NoSuchKey")),
        ("AWSAccessKeyId=a&Signature=b&Expires=1699999999", (403, "AccessDenied")),
        ("AWSAccessKeyId=a&Signature=b&Expires=never", (403, "AccessDenied")),
    ],
)
def test_when_presigned_urls_expire(
    app: S3Directory, s3: S3Client, query: str, expected: tuple[int, str]
) -> None:
    """URLs of both signature versions expire at the exact second."""
    assert s3.meta.region_name == "us-east-1"

    assert _error(_call(app, "GET", "/dogs/none", query)) == expected


def test_buckets_in_the_host_name(app: S3Directory, s3: S3Client) -> None:
    """Virtual-hosted requests work for AWS's host names, localhost, and existing buckets elsewhere."""
    s3.put_object(Bucket="dogs", Key="cats/rex", Body=b"woof")

    for host in ("dogs.s3.us-east-1.amazonaws.com", "dogs.localhost:4900", "dogs.lan"):
        assert _call(app, "GET", "/cats/rex", host=host).body == b"woof"
    for host in ("s3.us-east-1.amazonaws.com", "localhost:4900", "storage.lan", "[::1]:4900"):
        assert _call(app, "GET", "/dogs/cats/rex", host=host).body == b"woof"
    virtual = make_client(app, s3={"addressing_style": "virtual"})
    virtual.create_bucket(Bucket="wolves")
    virtual.put_object(Bucket="wolves", Key="x", Body=b"1")
    assert s3.get_object(Bucket="wolves", Key="x")["Body"].read() == b"1"


def test_signatures_for_unknown_regions(app: S3Directory, s3: S3Client) -> None:
    """s3cmd signs the first request for the Region ``US``; the bucket is created where the service is."""
    signature = "AWS4-HMAC-SHA256 Credential=a/20260101/US/s3/aws4_request,Signature=b"

    assert _call(app, "PUT", "/cats", authorization=signature).status == 200
    assert s3.head_bucket(Bucket="cats")["BucketRegion"] == "us-east-1"


@pytest.mark.parametrize(
    "name",
    ["Dogs", "ab", "a" * 64, "-dogs", "dogs-", "do..gs", "192.168.1.1", "xn--dogs", "dogs_1", ".rekolabels"],
)
def test_invalid_bucket_names(app: S3Directory, name: str) -> None:
    """They are refused by S3's rules, which also keeps every bucket inside the root folder."""
    assert _error(_call(app, "PUT", f"/{name}")) == (400, "InvalidBucketName")
    assert _error(_call(app, "GET", f"/{name}")) == (400, "InvalidBucketName")


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        *[
            ("GET", "/dogs", name)
            for name in ("encryption", "lifecycle", "policyStatus", "ownershipControls")
        ],
        *[("PUT", "/dogs", name) for name in ("versioning", "encryption", "lifecycle", "website", "logging")],
        *[("GET", "/dogs/rex", name) for name in ("torrent", "retention", "legal-hold")],
        *[("PUT", "/dogs/rex", name) for name in ("legal-hold", "retention", "whatever-comes-next")],
        ("POST", "/dogs/rex", "restore"),
        ("POST", "/dogs/rex", "select&select-type=2"),
    ],
)
def test_unsupported_operations(app: S3Directory, s3: S3Client, method: str, path: str, query: str) -> None:
    """Other operations of S3 are refused; above all, they do not read or write the object instead."""
    s3.put_object(Bucket="dogs", Key="rex", Body=b"1")

    assert _error(_call(app, method, path, query)) == (501, "NotImplemented")
    assert s3.get_object(Bucket="dogs", Key="rex")["Body"].read() == b"1"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x_amz_server_side_encryption_customer_algorithm": "AES256"}, (501, "NotImplemented")),
        ({"x_amz_object_lock_mode": "GOVERNANCE"}, (501, "NotImplemented")),
        ({"x_amz_tagging": "a=b&a=c"}, (400, "InvalidArgument")),
        ({"x_amz_tagging": "a=%ff"}, (400, "InvalidArgument")),
        ({"x_amz_tagging": "&".join(["a=b"] * 1000)}, (400, "InvalidArgument")),
        ({"x_amz_tagging": "a=%0A"}, (400, "InvalidTag")),
        ({"x_amz_acl": "everyone"}, (400, "InvalidArgument")),
        ({"x_amz_acl": "aws-exec-read"}, (501, "NotImplemented")),
        ({"x_amz_grant_read": "id=1"}, (501, "NotImplemented")),
        ({"x_amz_server_side_encryption": "rot13"}, (400, "InvalidArgument")),
        ({"x_amz_server_side_encryption_aws_kms_key_id": "alias/dogs"}, (400, "InvalidArgument")),
        ({"x_amz_storage_class": "GLACIER"}, (501, "NotImplemented")),
        ({"x_amz_storage_class": "SHELF"}, (400, "InvalidStorageClass")),
        ({"x_amz_meta_a": "x" * 2049}, (400, "MetadataTooLarge")),
        ({"if_match": '"0"'}, (404, "NoSuchKey")),
        ({"x_amz_meta_a": "b\r\nset-cookie: c"}, (400, "InvalidArgument")),
        ({"x_amz_copy_source": "dogs"}, (400, "InvalidArgument")),
        ({"x_amz_copy_source": "dogs/a?versionId=1"}, (400, "InvalidArgument")),
        ({"x_amz_copy_source": "dogs/%ff"}, (400, "InvalidArgument")),
    ],
)
def test_headers_that_are_refused(
    app: S3Directory, s3: S3Client, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    """No header is silently ignored, and nothing is stored."""
    assert _error(_call(app, "PUT", "/dogs/rex", body=b"1", **headers)) == expected
    assert _listed(s3) == []


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/dogs", "max-keys=-1", (400, "InvalidArgument")),
        ("/dogs", "max-keys=x", (400, "InvalidArgument")),
        ("/dogs", "list-type=3", (400, "InvalidArgument")),
        ("/dogs", "list-type=2&continuation-token=x", (400, "InvalidArgument")),
        ("/dogs", "encoding-type=base64", (400, "InvalidArgument")),
        ("/dogs", "prefix=%ff", (400, "InvalidURI")),
        ("/dogs", "versions&version-id-marker=null", (400, "InvalidArgument")),
        ("/dogs", "versions&key-marker=a&version-id-marker=1", (400, "InvalidArgument")),
        ("/dogs/rex", "versionId=1", (400, "InvalidArgument")),
        ("/dogs/rex", "attributes", (400, "InvalidArgument")),
        ("/dogs/rex", "partNumber=0", (400, "InvalidArgument")),
        ("/dogs/rex", "partNumber=2", (416, "InvalidPartNumber")),
        ("/dogs/rex", "uploadId=none", (404, "NoSuchUpload")),
        ("/dogs/rex", "response-content-type=a%0d%0ab", (400, "InvalidArgument")),
        ("/dogs/rex", "response-content-type=%F0%9F%90%B6", (400, "InvalidArgument")),
        ("/dogs/" + "x" * 1025, "", (400, "KeyTooLongError")),
    ],
)
def test_invalid_parameters(
    app: S3Directory, s3: S3Client, path: str, query: str, expected: tuple[int, str]
) -> None:
    """Each is answered with S3's error code for it."""
    s3.put_object(Bucket="dogs", Key="rex", Body=b"1")

    assert _error(_call(app, "GET", path, query)) == expected


def test_unknown_methods(app: S3Directory, s3: S3Client) -> None:
    """They are answered with 405."""
    assert s3.meta.region_name == "us-east-1"

    assert _error(_call(app, "PATCH", "/dogs/rex")) == (405, "MethodNotAllowed")
    assert _error(_call(app, "DELETE", "/")) == (405, "MethodNotAllowed")


BOMB = b"""<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<Delete><Object><Key>&b;</Key></Object></Delete>"""


@pytest.mark.parametrize(
    "document",
    [
        BOMB,
        BOMB.decode().encode("utf-16"),
        b'<!DOCTYPE d SYSTEM "file:///etc/passwd"><Delete/>',
        b"<Delete>" * 300_000,
        b"<Delete>" + b" " * 5 * MIB + b"</Delete>",
        b"<Delete></Delete>",
        b"<Delete><Object></Object></Delete>",
        b"<Delete>" + b"<Object><Key>a</Key></Object>" * 1001 + b"</Delete>",
        b"<Other/>",
        b"{}",
        b"",
        b"\xff\xfe",
    ],
    ids=range(12),
)
def test_documents_that_are_refused(app: S3Directory, s3: S3Client, document: bytes) -> None:
    """Entities, depth, length or wrong elements: MalformedXML, and nothing is deleted."""
    s3.put_object(Bucket="dogs", Key="a", Body=b"1")

    assert _error(_call(app, "POST", "/dogs", "delete", body=document)) == (400, "MalformedXML")
    assert _listed(s3) == ["a"]


def test_errors_carry_the_request_id(app: S3Directory, s3: S3Client) -> None:
    """The request id is in the headers and in the document; the key is escaped."""
    assert s3.meta.region_name == "us-east-1"

    reply = _call(app, "GET", "/dogs/<none>&")

    request_id = reply.headers["x-amz-request-id"]
    assert f"<RequestId>{request_id}</RequestId>".encode() in reply.body
    assert b"<Key>&lt;none&gt;&amp;</Key>" in reply.body
    assert reply.headers["content-type"] == "application/xml"
    assert _call(app, "HEAD", "/dogs/none").body == b""


def test_disk_errors_become_internal_errors(
    app: S3Directory, s3: S3Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk is logged and answered with InternalError, and leaves the old object in place."""
    s3.put_object(Bucket="dogs", Key="rex", Body=b"1")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        reply = _call(app, "PUT", "/dogs/rex", body=b"2")

    assert _error(reply) == (500, "InternalError")
    assert b"No space left" in reply.body
    assert "PUT /dogs/rex failed." in caplog.text
    assert s3.get_object(Bucket="dogs", Key="rex")["Body"].read() == b"1"
