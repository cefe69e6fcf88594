"""What every S3 does: one suite for the S3 directory, in process and over a socket, and for moto."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from datetime import timedelta
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws

from rekolabels.local._http._in_process import make_session
from rekolabels.local._s3 import S3Directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

MIB = 1024 * 1024
CONFIG = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})


class _QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # sends "100 Continue", which boto3 otherwise waits one second for

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the standard library's
        """Log nothing."""


class _ThreadedServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind without the standard library's DNS query, which takes seconds without a network."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]
        self.setup_environ()


@pytest.fixture(params=["in process", "socket", "moto"])
def s3(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[S3Client]:
    """Yield a client of an S3 that holds the empty bucket ``dogs``."""
    if request.param == "moto":
        with mock_aws():
            client = boto3.client(
                "s3",
                region_name="us-east-1",
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
                config=CONFIG,
            )
            client.create_bucket(Bucket="dogs")
            yield client
        return
    app = S3Directory(tmp_path)
    session = make_session(app, account="123456789012", region="us-east-1")
    if request.param == "in process":
        client = session.client("s3", config=CONFIG)
        client.create_bucket(Bucket="dogs")
        yield client
    else:
        server = make_server("127.0.0.1", 0, app, server_class=_ThreadedServer, handler_class=_QuietHandler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        client = boto3.client(
            "s3",
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            endpoint_url=f"http://127.0.0.1:{server.server_port}",
            config=CONFIG,
        )
        client.create_bucket(Bucket="dogs")
        yield client
        client.close()
        server.shutdown()
        server.server_close()
        thread.join()
    app.close()


def _code(raised: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response: Any = raised.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def _is_moto(s3: S3Client) -> bool:
    """Return whether the backend is moto; tests skip what moto is known to do differently from S3."""
    return s3.meta.endpoint_url.endswith("amazonaws.com")


def _keys(answer: Any) -> list[str]:
    return [entry["Key"] for entry in answer.get("Contents", [])]


def _prefixes(answer: Any) -> list[str]:
    return [entry["Prefix"] for entry in answer.get("CommonPrefixes", [])]


# -- buckets -------------------------------------------------------------------------------------------------


def test_buckets_are_created_listed_and_deleted(s3: S3Client) -> None:
    """A bucket reports the Region that it was created in, and is gone after DeleteBucket."""
    s3.create_bucket(Bucket="cats", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})

    assert sorted(bucket["Name"] for bucket in s3.list_buckets()["Buckets"]) == ["cats", "dogs"]
    assert s3.get_bucket_location(Bucket="cats")["LocationConstraint"] == "eu-west-1"
    assert s3.get_bucket_location(Bucket="dogs")["LocationConstraint"] is None
    assert s3.head_bucket(Bucket="cats")["BucketRegion"] == "eu-west-1"

    s3.delete_bucket(Bucket="cats")

    with pytest.raises(ClientError) as raised:
        s3.head_bucket(Bucket="cats")
    assert _code(raised) == ("404", 404)


def test_a_bucket_can_be_created_again_in_us_east_1_only(s3: S3Client) -> None:
    """us-east-1 accepts it; other Regions answer with BucketAlreadyOwnedByYou."""
    s3.create_bucket(Bucket="dogs")
    ireland: Any = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(Bucket="cats", CreateBucketConfiguration=ireland)

    with pytest.raises(ClientError) as raised:
        s3.create_bucket(Bucket="cats", CreateBucketConfiguration=ireland)

    assert _code(raised) == ("BucketAlreadyOwnedByYou", 409)


def test_a_bucket_with_objects_is_not_deleted(s3: S3Client) -> None:
    """DeleteBucket never deletes objects."""
    s3.put_object(Bucket="dogs", Key="rex.jpg", Body=b"x")

    with pytest.raises(ClientError) as raised:
        s3.delete_bucket(Bucket="dogs")

    assert _code(raised) == ("BucketNotEmpty", 409)


@pytest.mark.parametrize(
    "call", ["list_objects_v2", "list_objects", "get_object", "put_object", "delete_objects"]
)
def test_missing_buckets(s3: S3Client, call: str) -> None:
    """Every operation on a missing bucket fails with NoSuchBucket."""
    arguments: dict[str, Any] = {"Bucket": "wolves"}
    if call in {"get_object", "put_object"}:
        arguments["Key"] = "rex.jpg"
    if call == "delete_objects":
        arguments["Delete"] = {"Objects": [{"Key": "rex.jpg"}]}

    with pytest.raises(ClientError) as raised:
        getattr(s3, call)(**arguments)

    assert _code(raised) == ("NoSuchBucket", 404)


# -- objects -------------------------------------------------------------------------------------------------


def test_objects_are_returned_as_they_were_put(s3: S3Client) -> None:
    """Bytes, ETag, standard headers and user metadata are the same."""
    put = s3.put_object(
        Bucket="dogs",
        Key="train/rex 1.jpg",
        Body=b"woof",
        ContentType="image/jpeg",
        CacheControl="max-age=60",
        ContentDisposition='attachment; filename="rex.jpg"',
        ContentEncoding="gzip",
        ContentLanguage="en",
        Metadata={"breed": "Poodle, standard"},
    )

    got = s3.get_object(Bucket="dogs", Key="train/rex 1.jpg")
    head = s3.head_object(Bucket="dogs", Key="train/rex 1.jpg")

    assert got["Body"].read() == b"woof"
    assert put["ETag"] == f'"{hashlib.md5(b"woof", usedforsecurity=False).hexdigest()}"'
    for answer in (got, head):
        assert answer["ETag"] == put["ETag"]
        assert answer["ContentLength"] == 4
        assert answer["ContentType"] == "image/jpeg"
        assert answer["CacheControl"] == "max-age=60"
        assert answer["ContentDisposition"] == 'attachment; filename="rex.jpg"'
        assert answer["ContentEncoding"] == "gzip"
        assert answer["ContentLanguage"] == "en"
        assert answer["Metadata"] == {"breed": "Poodle, standard"}
        assert answer["AcceptRanges"] == "bytes"


def test_missing_objects(s3: S3Client) -> None:
    """Reading fails with NoSuchKey; deleting succeeds."""
    with pytest.raises(ClientError) as raised:
        s3.get_object(Bucket="dogs", Key="none")
    assert _code(raised) == ("NoSuchKey", 404)
    with pytest.raises(ClientError) as raised:
        s3.head_object(Bucket="dogs", Key="none")
    assert _code(raised) == ("404", 404)
    assert s3.delete_object(Bucket="dogs", Key="none")["ResponseMetadata"]["HTTPStatusCode"] == 204


@pytest.mark.parametrize(
    ("wanted", "status", "expected"),
    [
        ("bytes=0-3", 206, b"0123"),
        ("bytes=3-", 206, b"3456789"),
        ("bytes=-2", 206, b"89"),
        ("bytes=8-99", 206, b"89"),
        ("bytes=-99", 206, b"0123456789"),
        ("bytes=9-9", 206, b"9"),
    ],
)
def test_ranges(s3: S3Client, wanted: str, status: int, expected: bytes) -> None:
    """A range returns its bytes and Content-Range."""
    s3.put_object(Bucket="dogs", Key="ten", Body=b"0123456789")

    got = s3.get_object(Bucket="dogs", Key="ten", Range=wanted)

    assert got["ResponseMetadata"]["HTTPStatusCode"] == status
    assert got["Body"].read() == expected
    first = b"0123456789".index(expected)
    assert got["ContentRange"] == f"bytes {first}-{first + len(expected) - 1}/10"


def test_a_range_beyond_the_object(s3: S3Client) -> None:
    """It is answered with InvalidRange."""
    s3.put_object(Bucket="dogs", Key="ten", Body=b"0123456789")

    with pytest.raises(ClientError) as raised:
        s3.get_object(Bucket="dogs", Key="ten", Range="bytes=10-")

    assert _code(raised) == ("InvalidRange", 416)


def test_conditional_reads(s3: S3Client) -> None:
    """If-Match, If-None-Match and If-Modified-Since decide whether the object is sent."""
    etag = s3.put_object(Bucket="dogs", Key="rex", Body=b"x")["ETag"]

    assert s3.get_object(Bucket="dogs", Key="rex", IfMatch=etag)["Body"].read() == b"x"
    assert s3.get_object(Bucket="dogs", Key="rex", IfNoneMatch='"other"')["Body"].read() == b"x"
    with pytest.raises(ClientError) as raised:
        s3.get_object(Bucket="dogs", Key="rex", IfNoneMatch=etag)
    assert _code(raised) == ("304", 304)
    with pytest.raises(ClientError) as raised:
        s3.get_object(Bucket="dogs", Key="rex", IfMatch='"other"')
    assert _code(raised) == ("PreconditionFailed", 412)
    modified = s3.head_object(Bucket="dogs", Key="rex")["LastModified"]
    with pytest.raises(ClientError) as raised:
        s3.get_object(Bucket="dogs", Key="rex", IfModifiedSince=modified)
    assert _code(raised) == ("304", 304)


def test_conditional_writes(s3: S3Client) -> None:
    """``If-None-Match: *`` only creates; If-Match only replaces the version with this ETag."""
    etag = s3.put_object(Bucket="dogs", Key="rex", Body=b"1", IfNoneMatch="*")["ETag"]

    with pytest.raises(ClientError) as raised:
        s3.put_object(Bucket="dogs", Key="rex", Body=b"2", IfNoneMatch="*")
    assert _code(raised) == ("PreconditionFailed", 412)
    with pytest.raises(ClientError) as raised:
        s3.put_object(Bucket="dogs", Key="rex", Body=b"2", IfMatch='"0123"')
    assert _code(raised) == ("PreconditionFailed", 412)
    s3.put_object(Bucket="dogs", Key="rex", Body=b"3", IfMatch=etag)
    assert s3.get_object(Bucket="dogs", Key="rex")["Body"].read() == b"3"


def test_writes_unless_the_object_has_an_etag(s3: S3Client) -> None:
    """``If-None-Match`` with an ETag refuses to replace that version only."""
    if _is_moto(s3):
        pytest.skip("moto refuses every existing object")
    etag = s3.put_object(Bucket="dogs", Key="rex", Body=b"1")["ETag"]

    with pytest.raises(ClientError) as raised:
        s3.put_object(Bucket="dogs", Key="rex", Body=b"2", IfNoneMatch=etag)
    assert _code(raised) == ("PreconditionFailed", 412)
    s3.put_object(Bucket="dogs", Key="rex", Body=b"3", IfNoneMatch='"0123"')
    assert s3.get_object(Bucket="dogs", Key="rex")["Body"].read() == b"3"


def test_conditional_deletes(s3: S3Client) -> None:
    """An object is deleted only while it has the given ETag, date of modification and size."""
    if _is_moto(s3):
        pytest.skip("moto ignores the conditions")
    etag = s3.put_object(Bucket="dogs", Key="rex", Body=b"woof")["ETag"]
    modified = s3.head_object(Bucket="dogs", Key="rex")["LastModified"]
    failing: list[Any] = [
        {"IfMatch": '"0123"'},
        {"IfMatchLastModifiedTime": modified - timedelta(seconds=1)},
        {"IfMatchSize": 5},
    ]
    for conditions in failing:
        with pytest.raises(ClientError) as raised:
            s3.delete_object(Bucket="dogs", Key="rex", **conditions)
        assert _code(raised) == ("PreconditionFailed", 412)

    s3.delete_object(Bucket="dogs", Key="rex", IfMatch=etag, IfMatchLastModifiedTime=modified, IfMatchSize=4)

    assert _keys(s3.list_objects_v2(Bucket="dogs")) == []
    with pytest.raises(ClientError) as raised:
        s3.delete_object(Bucket="dogs", Key="rex", IfMatch="*")
    assert _code(raised) == ("NoSuchKey", 404)


def test_conditional_deletes_of_several_objects(s3: S3Client) -> None:
    """Each object has its own conditions, and its own answer."""
    if _is_moto(s3):
        pytest.skip("moto ignores the conditions")
    etag = s3.put_object(Bucket="dogs", Key="a", Body=b"x")["ETag"]
    s3.put_object(Bucket="dogs", Key="b", Body=b"x")
    modified = s3.put_object(Bucket="dogs", Key="c", Body=b"x") and s3.head_object(Bucket="dogs", Key="c")

    answer = s3.delete_objects(
        Bucket="dogs",
        Delete={
            "Objects": [
                {"Key": "a", "ETag": etag, "Size": 1},
                {"Key": "b", "ETag": '"0123"'},
                {"Key": "c", "LastModifiedTime": modified["LastModified"]},
            ]
        },
    )

    assert [entry["Key"] for entry in answer["Deleted"]] == ["a", "c"]
    assert [(entry["Key"], entry["Code"]) for entry in answer["Errors"]] == [("b", "PreconditionFailed")]


def test_delete_objects(s3: S3Client) -> None:
    """Existing and missing keys are both reported as deleted."""
    for key in ("a", "b&<c", "d"):
        s3.put_object(Bucket="dogs", Key=key, Body=b"x")

    answer = s3.delete_objects(
        Bucket="dogs", Delete={"Objects": [{"Key": key} for key in ("a", "b&<c", "none")]}
    )

    assert sorted(entry["Key"] for entry in answer["Deleted"]) == ["a", "b&<c", "none"]
    assert _keys(s3.list_objects_v2(Bucket="dogs")) == ["d"]


def test_copies(s3: S3Client) -> None:
    """Metadata is copied, or replaced on request."""
    s3.put_object(Bucket="dogs", Key="a +%/é", Body=b"x", ContentType="image/png", Metadata={"n": "1"})

    s3.copy_object(Bucket="dogs", Key="b", CopySource={"Bucket": "dogs", "Key": "a +%/é"})
    s3.copy_object(
        Bucket="dogs",
        Key="c",
        CopySource={"Bucket": "dogs", "Key": "a +%/é"},
        MetadataDirective="REPLACE",
        Metadata={"n": "2"},
        ContentType="image/jpeg",
    )

    same, other = s3.get_object(Bucket="dogs", Key="b"), s3.get_object(Bucket="dogs", Key="c")
    assert (same["Body"].read(), same["Metadata"], same["ContentType"]) == (b"x", {"n": "1"}, "image/png")
    assert (other["Body"].read(), other["Metadata"], other["ContentType"]) == (b"x", {"n": "2"}, "image/jpeg")


def test_invalid_copies(s3: S3Client) -> None:
    """A missing source, a changed source, and an object copied onto itself are refused."""
    s3.put_object(Bucket="dogs", Key="a", Body=b"x")

    with pytest.raises(ClientError) as raised:
        s3.copy_object(Bucket="dogs", Key="b", CopySource={"Bucket": "dogs", "Key": "none"})
    assert _code(raised) == ("NoSuchKey", 404)
    if not _is_moto(s3):  # moto ignores the conditions
        with pytest.raises(ClientError) as raised:
            s3.copy_object(Bucket="dogs", Key="b", CopySource="dogs/a", CopySourceIfMatch='"0"')
        assert _code(raised) == ("PreconditionFailed", 412)
    with pytest.raises(ClientError) as raised:
        s3.copy_object(Bucket="dogs", Key="a", CopySource={"Bucket": "dogs", "Key": "a"})
    assert _code(raised) == ("InvalidRequest", 400)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("deflate, gzip", "deflate, gzip"),
        ("gzip,br", "gzip,br"),
        ("gzip, aws-chunked", "gzip"),
        ("aws-chunked, gzip", "gzip"),
        ("aws-chunked", None),
    ],
)
def test_content_encodings_are_kept_as_given(s3: S3Client, given: str, kept: str | None) -> None:
    """Only ``aws-chunked``, which belongs to the request, is left out."""
    if _is_moto(s3) and "aws-chunked" in given:
        pytest.skip("moto takes the body apart")
    s3.put_object(Bucket="dogs", Key="rex", Body=b"x", ContentEncoding=given)

    assert s3.head_object(Bucket="dogs", Key="rex").get("ContentEncoding") == kept


def get_rex(s3: S3Client) -> GetObjectOutputTypeDef:
    """Get an object, and close its body, which would keep the connection open."""
    got = s3.get_object(Bucket="dogs", Key="rex")
    got["Body"].close()
    return got


def test_server_side_encryption(s3: S3Client) -> None:
    """What a request asks for is returned by every operation on the object."""
    asked: Any = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/dogs", "BucketKeyEnabled": True}
    put = s3.put_object(Bucket="dogs", Key="rex", Body=b"x", **asked)
    got = get_rex(s3)
    s3.put_object(Bucket="dogs", Key="max", Body=b"x", ServerSideEncryption="AES256")

    for answer in (put, got, s3.head_object(Bucket="dogs", Key="rex")):
        assert answer["ServerSideEncryption"] == "aws:kms"
        assert answer["SSEKMSKeyId"] == "alias/dogs"
        assert answer["BucketKeyEnabled"] is True
    assert s3.head_object(Bucket="dogs", Key="max")["ServerSideEncryption"] == "AES256"
    if _is_moto(s3):
        return  # moto encrypts nothing by default, as S3 did until 2023, and accepts any algorithm
    s3.put_object(Bucket="dogs", Key="plain", Body=b"x")
    assert s3.head_object(Bucket="dogs", Key="plain")["ServerSideEncryption"] == "AES256"
    copied = s3.copy_object(Bucket="dogs", Key="copy", CopySource="dogs/rex")
    assert copied["ServerSideEncryption"] == "AES256"
    unknown: Any = "rot13"
    with pytest.raises(ClientError) as raised:
        s3.put_object(Bucket="dogs", Key="none", Body=b"x", ServerSideEncryption=unknown)
    assert _code(raised) == ("InvalidArgument", 400)


def test_object_attributes(s3: S3Client) -> None:
    """ETag, size, storage class and checksum come without the body, as far as they were asked for."""
    put = s3.put_object(Bucket="dogs", Key="rex", Body=b"woof", ChecksumAlgorithm="SHA256")

    found = s3.get_object_attributes(
        Bucket="dogs", Key="rex", ObjectAttributes=["ETag", "Checksum", "StorageClass", "ObjectSize"]
    )

    assert (found["ETag"], found["ObjectSize"]) == (put["ETag"].strip('"'), 4)
    assert found["StorageClass"] == "STANDARD"
    assert found["Checksum"]["ChecksumSHA256"] == put["ChecksumSHA256"]
    assert "LastModified" in found
    some: Any = s3.get_object_attributes(Bucket="dogs", Key="rex", ObjectAttributes=["ObjectSize"])
    assert some["ObjectSize"] == 4
    assert "ETag" not in some
    with pytest.raises(ClientError) as raised:
        s3.get_object_attributes(Bucket="dogs", Key="none", ObjectAttributes=["ETag"])
    assert _code(raised) == ("NoSuchKey", 404)


# -- tags, policies, ACLs, CORS rules ------------------------------------------------------------------------


def test_tags_of_objects(s3: S3Client) -> None:
    """They are set with the object or later, counted, replaced as a whole, and deleted."""
    s3.put_object(Bucket="dogs", Key="rex", Body=b"x", Tagging="breed=Toy%20Poodle&fur=")
    tags: Any = s3.get_object_tagging(Bucket="dogs", Key="rex")["TagSet"]
    assert sorted((tag["Key"], tag["Value"]) for tag in tags) == [("breed", "Toy Poodle"), ("fur", "")]
    assert get_rex(s3)["TagCount"] == 2

    s3.put_object_tagging(
        Bucket="dogs", Key="rex", Tagging={"TagSet": [{"Key": "size", "Value": "1 m: a/b+c=d.e_f@g-h"}]}
    )
    assert s3.get_object_tagging(Bucket="dogs", Key="rex")["TagSet"] == [
        {"Key": "size", "Value": "1 m: a/b+c=d.e_f@g-h"}
    ]

    s3.delete_object_tagging(Bucket="dogs", Key="rex")
    assert s3.get_object_tagging(Bucket="dogs", Key="rex")["TagSet"] == []
    assert "TagCount" not in get_rex(s3)


def test_tags_of_copies(s3: S3Client) -> None:
    """They are copied, or replaced on request."""
    s3.put_object(Bucket="dogs", Key="rex", Body=b"x", Tagging="a=1")

    s3.copy_object(Bucket="dogs", Key="same", CopySource="dogs/rex")
    s3.copy_object(
        Bucket="dogs", Key="other", CopySource="dogs/rex", TaggingDirective="REPLACE", Tagging="b=2"
    )

    assert s3.get_object_tagging(Bucket="dogs", Key="same")["TagSet"] == [{"Key": "a", "Value": "1"}]
    assert s3.get_object_tagging(Bucket="dogs", Key="other")["TagSet"] == [{"Key": "b", "Value": "2"}]


def test_tags_of_uploads(s3: S3Client) -> None:
    """An object that is uploaded in parts gets the tags of its upload."""
    upload, sent = _start_upload(s3, {1: b"a"}, Tagging="a=1")
    s3.complete_multipart_upload(Bucket="dogs", Key="big", UploadId=upload, MultipartUpload={"Parts": sent})

    assert s3.get_object_tagging(Bucket="dogs", Key="big")["TagSet"] == [{"Key": "a", "Value": "1"}]


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ([("a", "1"), ("a", "2")], "InvalidTag"),
        ([("aws:a", "1")], "InvalidTag"),
        ([("a" * 129, "1")], "InvalidTag"),
        ([("a", "1" * 257)], "InvalidTag"),
        ([(f"{number}", "1") for number in range(11)], "BadRequest"),
    ],
    ids=["twice", "system", "long key", "long value", "many"],
)
def test_invalid_tags(s3: S3Client, tags: list[tuple[str, str]], code: str) -> None:
    """They are refused, and the object keeps its tags."""
    s3.put_object(Bucket="dogs", Key="rex", Body=b"x", Tagging="a=1")
    if _is_moto(s3) and (len(tags) == 2 or len(tags[0][0] + tags[0][1]) > 128):
        pytest.skip("moto accepts them")

    with pytest.raises(ClientError) as raised:
        s3.put_object_tagging(
            Bucket="dogs",
            Key="rex",
            Tagging={"TagSet": [{"Key": key, "Value": value} for key, value in tags]},
        )

    assert _code(raised) == (code, 400)
    assert s3.get_object_tagging(Bucket="dogs", Key="rex")["TagSet"] == [{"Key": "a", "Value": "1"}]


def test_tags_of_buckets(s3: S3Client) -> None:
    """They are set, replaced as a whole, and deleted."""
    with pytest.raises(ClientError) as raised:
        s3.get_bucket_tagging(Bucket="dogs")
    assert _code(raised) == ("NoSuchTagSet", 404)

    s3.put_bucket_tagging(Bucket="dogs", Tagging={"TagSet": [{"Key": "team", "Value": "puppies"}]})
    assert s3.get_bucket_tagging(Bucket="dogs")["TagSet"] == [{"Key": "team", "Value": "puppies"}]

    s3.delete_bucket_tagging(Bucket="dogs")
    with pytest.raises(ClientError) as raised:
        s3.get_bucket_tagging(Bucket="dogs")
    assert _code(raised) == ("NoSuchTagSet", 404)


POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "AWSRekognitionS3ReadOnly",
                "Effect": "Allow",
                "Principal": {"Service": "rekognition.amazonaws.com"},
                "Action": ["s3:GetObject", "s3:GetObjectTagging"],
                "Resource": "arn:aws:s3:::dogs/*",
                "Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"}},
            }
        ],
    },
    indent=1,
)


def test_bucket_policies(s3: S3Client) -> None:
    """A policy is kept as it was put, and deleted with or without one."""
    with pytest.raises(ClientError) as raised:
        s3.get_bucket_policy(Bucket="dogs")
    assert _code(raised) == ("NoSuchBucketPolicy", 404)

    s3.put_bucket_policy(Bucket="dogs", Policy=POLICY)
    assert s3.get_bucket_policy(Bucket="dogs")["Policy"] == POLICY

    s3.delete_bucket_policy(Bucket="dogs")
    s3.delete_bucket_policy(Bucket="dogs")
    with pytest.raises(ClientError) as raised:
        s3.get_bucket_policy(Bucket="dogs")
    assert _code(raised) == ("NoSuchBucketPolicy", 404)


def test_cors_rules(s3: S3Client) -> None:
    """They are kept as they were put, and deleted."""
    with pytest.raises(ClientError) as raised:
        s3.get_bucket_cors(Bucket="dogs")
    assert _code(raised) == ("NoSuchCORSConfiguration", 404)
    rules: list[Any] = [
        {
            "AllowedHeaders": ["*"],
            "AllowedMethods": ["GET", "PUT"],
            "AllowedOrigins": ["https://*.example.com", "http://localhost:3000"],
            "ExposeHeaders": ["ETag"],
            "MaxAgeSeconds": 3000,
        }
    ]

    s3.put_bucket_cors(Bucket="dogs", CORSConfiguration={"CORSRules": rules})
    assert s3.get_bucket_cors(Bucket="dogs")["CORSRules"] == rules

    s3.delete_bucket_cors(Bucket="dogs")
    with pytest.raises(ClientError) as raised:
        s3.get_bucket_cors(Bucket="dogs")
    assert _code(raised) == ("NoSuchCORSConfiguration", 404)
    rules[0]["AllowedMethods"] = ["LOOK"]
    with pytest.raises(ClientError) as raised:
        s3.put_bucket_cors(Bucket="dogs", CORSConfiguration={"CORSRules": rules})
    assert _code(raised) == ("InvalidRequest", 400)


def _grants(answer: Any) -> list[tuple[str, str]]:
    return sorted(
        (grant["Grantee"].get("URI", "owner").rpartition("/")[2], grant["Permission"])
        for grant in answer["Grants"]
    )


def test_canned_acls(s3: S3Client) -> None:
    """Objects and buckets are private unless a canned ACL was given, with them or later."""
    s3.put_object(Bucket="dogs", Key="rex", Body=b"x")
    s3.put_object(Bucket="dogs", Key="max", Body=b"x", ACL="public-read")
    private = [("owner", "FULL_CONTROL")]
    public = [("AllUsers", "READ"), ("owner", "FULL_CONTROL")]

    assert _grants(s3.get_bucket_acl(Bucket="dogs")) == private
    assert _grants(s3.get_object_acl(Bucket="dogs", Key="rex")) == private
    assert _grants(s3.get_object_acl(Bucket="dogs", Key="max")) == public

    s3.put_bucket_acl(Bucket="dogs", ACL="public-read")
    s3.put_object_acl(Bucket="dogs", Key="rex", ACL="public-read-write")
    s3.put_object_acl(Bucket="dogs", Key="max", ACL="private")

    assert _grants(s3.get_bucket_acl(Bucket="dogs")) == public
    if not _is_moto(s3):  # moto returns one grant of the two
        assert _grants(s3.get_object_acl(Bucket="dogs", Key="rex")) == [
            ("AllUsers", "READ"),
            ("AllUsers", "WRITE"),
            ("owner", "FULL_CONTROL"),
        ]
    assert _grants(s3.get_object_acl(Bucket="dogs", Key="max")) == private


# -- versions ------------------------------------------------------------------------------------------------


def test_buckets_are_not_versioned(s3: S3Client) -> None:
    """GetBucketVersioning has no status; each object has the one version ``null``, which can be deleted."""
    assert "Status" not in s3.get_bucket_versioning(Bucket="dogs")
    for key in ("a", "b", "c"):
        s3.put_object(Bucket="dogs", Key=key, Body=b"x")

    listed: Any = s3.list_object_versions(Bucket="dogs", Prefix="")
    assert [
        (version["Key"], version["VersionId"], version["IsLatest"], version["Size"])
        for version in listed["Versions"]
    ] == [("a", "null", True, 1), ("b", "null", True, 1), ("c", "null", True, 1)]
    assert "DeleteMarkers" not in listed

    s3.delete_object(Bucket="dogs", Key="a", VersionId="null")
    s3.delete_objects(Bucket="dogs", Delete={"Objects": [{"Key": "b", "VersionId": "null"}]})
    assert _keys(s3.list_objects_v2(Bucket="dogs")) == ["c"]


def test_pages_of_versions(s3: S3Client) -> None:
    """boto3's paginator returns each version once, and ``bucket.object_versions`` empties a bucket."""
    for key in ("a", "b/1", "b/2", "c", "é"):
        s3.put_object(Bucket="dogs", Key=key, Body=b"x")

    pages = s3.get_paginator("list_object_versions").paginate(Bucket="dogs", PaginationConfig={"PageSize": 2})
    keys = [version["Key"] for page in pages for version in page.get("Versions", [])]
    grouped = s3.list_object_versions(Bucket="dogs", Delimiter="/")

    assert keys == ["a", "b/1", "b/2", "c", "é"]
    assert [version["Key"] for version in grouped["Versions"]] == ["a", "c", "é"]
    assert _prefixes(grouped) == ["b/"]


# -- listings ------------------------------------------------------------------------------------------------


def test_listings_are_in_utf_8_order(s3: S3Client) -> None:
    """Keys are sorted by their UTF-8 bytes, which differs from UTF-16 and from locales."""
    keys = ["a", "B", "a/b", "a b", "é", "\uff00", "\U0001f436", "Z"]
    for key in keys:
        s3.put_object(Bucket="dogs", Key=key, Body=b"x")

    assert sorted(keys, key=str.encode) == _keys(s3.list_objects_v2(Bucket="dogs"))
    assert sorted(keys, key=str.encode) == _keys(s3.list_objects(Bucket="dogs"))


def test_prefixes_and_delimiters(s3: S3Client) -> None:
    """Keys with a delimiter after the prefix are grouped into common prefixes."""
    for key in ("a.jpg", "train/1.jpg", "train/2.jpg", "train/x/3.jpg", "test/1.jpg"):
        s3.put_object(Bucket="dogs", Key=key, Body=b"x")

    top = s3.list_objects_v2(Bucket="dogs", Delimiter="/")
    below = s3.list_objects_v2(Bucket="dogs", Prefix="train/", Delimiter="/")

    assert (_keys(top), _prefixes(top), top["KeyCount"]) == (["a.jpg"], ["test/", "train/"], 3)
    assert (_keys(below), _prefixes(below)) == (["train/1.jpg", "train/2.jpg"], ["train/x/"])


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_pages_hold_every_entry_once(s3: S3Client, size: int) -> None:
    """With any page size, every entry is listed exactly once, in both versions of the listing."""
    for key in ("a", "b/1", "b/2", "c", "d/1", "d/2", "e"):
        s3.put_object(Bucket="dogs", Key=key, Body=b"x")

    # moto's ListObjects (version 1) repeats common prefixes on every page.
    for call in ("list_objects_v2",) if _is_moto(s3) else ("list_objects_v2", "list_objects"):
        paginator: Any = s3.get_paginator(call)  # type: ignore[call-overload] # the name is a variable
        pages = list(paginator.paginate(Bucket="dogs", PaginationConfig={"PageSize": size}))
        grouped = list(paginator.paginate(Bucket="dogs", Delimiter="/", PaginationConfig={"PageSize": size}))

        assert [key for page in pages for key in _keys(page)] == ["a", "b/1", "b/2", "c", "d/1", "d/2", "e"]
        assert [key for page in grouped for key in _keys(page)] == ["a", "c", "e"]
        assert [prefix for page in grouped for prefix in _prefixes(page)] == ["b/", "d/"]


def test_start_after(s3: S3Client) -> None:
    """A listing can start after any key, whether it exists or not."""
    for key in ("a", "b", "c"):
        s3.put_object(Bucket="dogs", Key=key, Body=b"x")

    assert _keys(s3.list_objects_v2(Bucket="dogs", StartAfter="a")) == ["b", "c"]
    assert _keys(s3.list_objects_v2(Bucket="dogs", StartAfter="aa")) == ["b", "c"]
    assert _keys(s3.list_objects(Bucket="dogs", Marker="b")) == ["c"]


# -- multipart uploads ---------------------------------------------------------------------------------------


def _start_upload(s3: S3Client, parts: dict[int, bytes], **arguments: Any) -> tuple[str, list[Any]]:
    upload = s3.create_multipart_upload(Bucket="dogs", Key="big", **arguments)["UploadId"]
    sent = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(Bucket="dogs", Key="big", UploadId=upload, PartNumber=number, Body=body)[
                "ETag"
            ],
        }
        for number, body in parts.items()
    ]
    return upload, sent


def test_multipart_uploads(s3: S3Client) -> None:
    """The parts are joined by number; the ETag is computed from theirs."""
    bodies = {1: b"a" * 5 * MIB, 3: b"b" * 5 * MIB, 7: b"c"}
    upload, sent = _start_upload(s3, bodies, ContentType="image/png", Metadata={"n": "1"})

    listed = s3.list_parts(Bucket="dogs", Key="big", UploadId=upload)["Parts"]
    assert [(part["PartNumber"], part["Size"]) for part in listed] == [(1, 5 * MIB), (3, 5 * MIB), (7, 1)]
    assert [entry["UploadId"] for entry in s3.list_multipart_uploads(Bucket="dogs")["Uploads"]] == [upload]
    assert _keys(s3.list_objects_v2(Bucket="dogs")) == []

    done = s3.complete_multipart_upload(
        Bucket="dogs", Key="big", UploadId=upload, MultipartUpload={"Parts": sent}
    )

    digests = b"".join(hashlib.md5(body, usedforsecurity=False).digest() for body in bodies.values())
    assert done["ETag"] == f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-3"'
    got = s3.get_object(Bucket="dogs", Key="big")
    assert got["Body"].read() == b"".join(bodies.values())
    assert (got["ContentType"], got["Metadata"]) == ("image/png", {"n": "1"})
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="dogs")


def test_aborted_uploads(s3: S3Client) -> None:
    """The parts are removed, and no object appears."""
    upload, _ = _start_upload(s3, {1: b"a"})

    s3.abort_multipart_upload(Bucket="dogs", Key="big", UploadId=upload)

    with pytest.raises(ClientError) as raised:
        s3.list_parts(Bucket="dogs", Key="big", UploadId=upload)
    assert _code(raised) == ("NoSuchUpload", 404)
    assert _keys(s3.list_objects_v2(Bucket="dogs")) == []


@pytest.mark.parametrize("code", ["InvalidPart", "InvalidPartOrder", "EntityTooSmall"])
def test_invalid_parts(s3: S3Client, code: str) -> None:
    """A part that was not uploaded, a wrong order, or a part too small: no object is created."""
    if code == "InvalidPartOrder" and _is_moto(s3):
        pytest.skip("moto sorts the parts itself")
    first = b"a" if code == "EntityTooSmall" else b"a" * 5 * MIB
    upload, sent = _start_upload(s3, {1: first, 2: b"b" * 5 * MIB})
    if code == "InvalidPart":
        sent[1]["ETag"] = '"0123456789abcdef0123456789abcdef"'
    elif code == "InvalidPartOrder":
        sent.reverse()

    with pytest.raises(ClientError) as raised:
        s3.complete_multipart_upload(
            Bucket="dogs", Key="big", UploadId=upload, MultipartUpload={"Parts": sent}
        )

    assert _code(raised) == (code, 400)
    assert len(s3.list_parts(Bucket="dogs", Key="big", UploadId=upload)["Parts"]) == 2


def test_uploads_that_are_completed_twice(s3: S3Client) -> None:
    """A repeated request, as a client sends that lost the response, gets the same answer."""
    if _is_moto(s3):
        pytest.skip("moto answers NoSuchUpload")
    upload, sent = _start_upload(s3, {1: b"a"}, ServerSideEncryption="AES256")
    where: Any = {"Bucket": "dogs", "Key": "big", "UploadId": upload}
    first: Any = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": sent})
    s3.put_object(Bucket="dogs", Key="big", Body=b"newer")

    again: Any = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": sent})

    assert {**first, "ResponseMetadata": {}} == {**again, "ResponseMetadata": {}}
    assert s3.get_object(Bucket="dogs", Key="big")["Body"].read() == b"newer"
    other: Any = [{"PartNumber": 1, "ETag": '"0123456789abcdef0123456789abcdef"'}]
    with pytest.raises(ClientError) as raised:
        s3.complete_multipart_upload(**where, MultipartUpload={"Parts": other})
    assert _code(raised) == ("NoSuchUpload", 404)


def test_pages_of_parts(s3: S3Client) -> None:
    """Each page names the part after which the next one starts."""
    upload, _ = _start_upload(s3, {1: b"a", 2: b"b", 5: b"c"})
    where: Any = {"Bucket": "dogs", "Key": "big", "UploadId": upload}

    first = s3.list_parts(**where, MaxParts=2)
    second = s3.list_parts(**where, MaxParts=2, PartNumberMarker=first["NextPartNumberMarker"])

    assert [part["PartNumber"] for part in first["Parts"]] == [1, 2]
    assert (first["IsTruncated"], first["NextPartNumberMarker"]) == (True, 2)
    assert [part["PartNumber"] for part in second["Parts"]] == [5]
    assert second["IsTruncated"] is False


def test_single_parts(s3: S3Client) -> None:
    """A part of an object is a range of it; an object that was put whole is its own part 1."""
    if _is_moto(s3):
        pytest.skip("moto ignores part numbers")
    upload, sent = _start_upload(s3, {1: b"a" * 5 * MIB, 2: b"bc"})
    s3.complete_multipart_upload(Bucket="dogs", Key="big", UploadId=upload, MultipartUpload={"Parts": sent})
    s3.put_object(Bucket="dogs", Key="small", Body=b"woof")

    part = s3.get_object(Bucket="dogs", Key="big", PartNumber=2)
    whole: Any = s3.get_object(Bucket="dogs", Key="small", PartNumber=1)

    assert part["Body"].read() == b"bc"
    assert part["ContentRange"] == f"bytes {5 * MIB}-{5 * MIB + 1}/{5 * MIB + 2}"
    assert whole["Body"].read() == b"woof"
    assert "PartsCount" not in whole
    assert part["PartsCount"] == 2
    assert whole["ContentRange"] == "bytes 0-3/4"
    assert whole["ResponseMetadata"]["HTTPStatusCode"] == 206


def test_attributes_of_parts(s3: S3Client) -> None:
    """The parts of an object are counted, and listed with their checksums in pages."""
    if _is_moto(s3):
        pytest.skip("moto does not know the parts")
    upload, sent = _start_upload(s3, {1: b"a" * 5 * MIB, 2: b"b"}, ChecksumAlgorithm="SHA256")
    s3.complete_multipart_upload(Bucket="dogs", Key="big", UploadId=upload, MultipartUpload={"Parts": sent})

    found = s3.get_object_attributes(Bucket="dogs", Key="big", ObjectAttributes=["ObjectParts"])
    parts: Any = found["ObjectParts"]
    assert parts["TotalPartsCount"] == 2
    assert [(part["PartNumber"], part["Size"]) for part in parts["Parts"]] == [(1, 5 * MIB), (2, 1)]
    assert parts["Parts"][1]["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(b"b").digest()).decode()
    page: Any = s3.get_object_attributes(
        Bucket="dogs", Key="big", ObjectAttributes=["ObjectParts"], MaxParts=1, PartNumberMarker=0
    )["ObjectParts"]
    assert (page["IsTruncated"], page["NextPartNumberMarker"], len(page["Parts"])) == (True, 1, 1)


def test_upload_part_copy(s3: S3Client) -> None:
    """A part can be a range of an object."""
    s3.put_object(Bucket="dogs", Key="source", Body=b"0123456789")
    upload = s3.create_multipart_upload(Bucket="dogs", Key="big")["UploadId"]

    part = s3.upload_part_copy(
        Bucket="dogs",
        Key="big",
        UploadId=upload,
        PartNumber=1,
        CopySource="dogs/source",
        CopySourceRange="bytes=2-4",
    )
    s3.complete_multipart_upload(
        Bucket="dogs",
        Key="big",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]},
    )

    assert s3.get_object(Bucket="dogs", Key="big")["Body"].read() == b"234"


def test_the_transfer_manager_of_boto3(s3: S3Client, tmp_path: Path) -> None:
    """upload_file and download_file work; they use several threads and parts."""
    content = bytes(range(256)) * 4096 * 18
    source, target = tmp_path / "source.bin", tmp_path / "target.bin"
    source.write_bytes(content)

    s3.upload_file(str(source), "dogs", "big", ExtraArgs={"Metadata": {"n": "1"}})
    s3.download_file("dogs", "big", str(target))

    assert target.read_bytes() == content
    assert s3.head_object(Bucket="dogs", Key="big")["Metadata"] == {"n": "1"}
