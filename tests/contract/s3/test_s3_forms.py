"""PostObject: uploads with the forms that boto3's ``generate_presigned_post`` makes."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from s3_forms import encode_form, error_code, post

from rekolabels.local import LocalService

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client


def _client(url: str, key: str, secret: str, signature: str = "s3v4") -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(signature_version=signature),
    )


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    """Yield a service that listens, for the posts of browsers."""
    with LocalService(engine="tiny") as running:
        yield running


@pytest.fixture(scope="module")
def s3(service: LocalService) -> S3Client:
    """Return a client of the server, with the bucket ``dogs``."""
    server = service.serve()
    variables = server.environment
    client = _client(server.url, variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"])
    client.create_bucket(Bucket="dogs")
    return client


def test_a_presigned_post(s3: S3Client) -> None:
    """The file is stored under its key, with the type, metadata, tags and ACL of the form."""
    tagging = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"
    fields = {
        "Content-Type": "image/jpeg",
        "x-amz-meta-breed": "Pudel ü",
        "tagging": tagging,
        "acl": "private",
    }
    form = s3.generate_presigned_post(
        "dogs",
        "train/${filename}",
        Fields=fields,
        Conditions=[
            ["starts-with", "$Content-Type", "image/"],
            {"x-amz-meta-breed": "Pudel ü"},
            {"tagging": tagging},
            {"acl": "private"},
            ["content-length-range", 1, 100],
        ],
    )

    answer = post(form, b"woof\r\n--x\r\n" * 4, file_name="C:\\photos\\rex.jpg")

    assert (answer.status, answer.body) == (204, b"")
    got = s3.get_object(Bucket="dogs", Key="train/rex.jpg")
    assert got["Body"].read() == b"woof\r\n--x\r\n" * 4
    assert answer.headers["etag"] == got["ETag"]
    assert got["ContentType"] == "image/jpeg"
    assert got["Metadata"] == {
        "breed": "Pudel Ã¼"
    }  # UTF-8 bytes in a header, which botocore reads as Latin-1
    assert s3.get_object_tagging(Bucket="dogs", Key="train/rex.jpg")["TagSet"] == [{"Key": "a", "Value": "1"}]


@pytest.mark.parametrize(("given", "status"), [("200", 200), ("201", 201), ("204", 204), ("404", 204)])
def test_the_status_of_success(s3: S3Client, given: str, status: int) -> None:
    """It is 204 unless the form asks for 200, or for 201 and a document."""
    form = s3.generate_presigned_post(
        "dogs",
        "rex 1.jpg",
        Fields={"success_action_status": given},
        Conditions=[{"success_action_status": given}],
    )

    answer = post(form, b"woof")

    assert answer.status == status
    assert answer.headers["location"] == f"{s3.meta.endpoint_url}/dogs/rex%201.jpg"
    assert (b"<Key>rex 1.jpg</Key>" in answer.body) == (status == 201)


@pytest.mark.parametrize(
    ("target", "location"),
    [
        (
            "http://localhost:3000/done",
            "http://localhost:3000/done?bucket=dogs&key=a%2Fb%20c&etag=%22{etag}%22",
        ),
        (
            "https://example.com/?a=1#x",
            "https://example.com/?a=1&bucket=dogs&key=a%2Fb%20c&etag=%22{etag}%22",
        ),
        ("javascript:alert(1)", ""),
        ("http://example.com/\r\nset-cookie: a", ""),
        ("http://[", ""),
    ],
)
def test_redirects(s3: S3Client, target: str, location: str) -> None:
    """The browser goes on to the page in the form; what is not a web page is ignored, as in S3."""
    form = s3.generate_presigned_post(
        "dogs",
        "a/b c",
        Fields={"success_action_redirect": target},
        Conditions=[["starts-with", "$success_action_redirect", ""]],
    )

    answer = post(form, b"woof")

    assert answer.status == (303 if location else 204)
    if location:
        assert answer.headers["location"] == location.format(etag=answer.headers["etag"].strip('"'))


def test_a_connection_after_a_post(s3: S3Client) -> None:
    """It serves the next request: what follows the file was read too."""
    form = s3.generate_presigned_post("dogs", "rex.jpg")
    parts = urlsplit(form["url"])
    body, content_type = encode_form({**form["fields"]}, b"woof", after={"submit": "Upload"})
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    for _ in range(2):
        connection.request("POST", parts.path, body, {"Content-Type": content_type})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 204
    connection.close()


def _conditions(*conditions: Any) -> dict[str, Any]:
    return {"Conditions": list(conditions)}


@pytest.mark.parametrize(
    ("presigned", "changes", "status", "code"),
    [
        ({}, {"key": "other.jpg"}, 403, "AccessDenied"),
        ({}, {"x-amz-meta-extra": "1"}, 403, "AccessDenied"),
        (_conditions({"acl": "private"}), {"acl": "public-read"}, 403, "AccessDenied"),
        (_conditions({"acl": "private"}), {}, 403, "AccessDenied"),
        (
            _conditions(["starts-with", "$Content-Type", "image/"]),
            {"Content-Type": "text/html"},
            403,
            "AccessDenied",
        ),
        (
            _conditions(["starts-with", "$Content-Type", "image/"]),
            {"Content-Type": "image/png,text/html"},
            403,
            "AccessDenied",
        ),
        (_conditions(["content-length-range", 0, 3]), {}, 400, "EntityTooLarge"),
        (_conditions(["content-length-range", 5, 9]), {}, 400, "EntityTooSmall"),
        (
            _conditions(["content-length-range", 0, 9], ["content-length-range", 0, 3]),
            {},
            400,
            "EntityTooLarge",
        ),
        ({"ExpiresIn": -1}, {}, 403, "AccessDenied"),
        ({}, {"x-amz-signature": "0" * 64}, 403, "SignatureDoesNotMatch"),
        ({}, {"x-amz-signature": "none"}, 403, "SignatureDoesNotMatch"),
        ({}, {"x-amz-signature": "é"}, 403, "SignatureDoesNotMatch"),
        ({}, {"x-amz-signature": None}, 400, "InvalidArgument"),
        ({}, {"x-amz-credential": "someone"}, 400, "InvalidArgument"),
        ({}, {"x-amz-algorithm": "AWS4-RSA"}, 400, "InvalidArgument"),
        ({}, {"policy": "e30="}, 403, "SignatureDoesNotMatch"),
        ({}, {"policy": None}, 403, "AccessDenied"),
        ({}, {"key": None}, 400, "InvalidArgument"),
        ({}, {"key": "x" * 1025}, 400, "KeyTooLongError"),
    ],
)
def test_forms_that_the_policy_does_not_allow(
    s3: S3Client, presigned: dict[str, Any], changes: dict[str, str | None], status: int, code: str
) -> None:
    """They are refused with the error of S3, and nothing is stored."""
    form = s3.generate_presigned_post("dogs", "refused.jpg", **presigned)
    fields = {**form["fields"], **changes}
    kept = {name: value for name, value in fields.items() if value is not None}

    answer = post({"url": form["url"], "fields": kept}, b"woof")

    assert (answer.status, error_code(answer)) == (status, code)
    assert "Contents" not in s3.list_objects_v2(Bucket="dogs", Prefix="refused")
    assert "Contents" not in s3.list_objects_v2(Bucket="dogs", Prefix="other.jpg")


def test_a_wrong_signature_names_the_secret_key(s3: S3Client) -> None:
    """Signatures of account IDs are verified with the one secret key, which the error names."""
    form = s3.generate_presigned_post("dogs", "rex.jpg")

    answer = post({"url": form["url"], "fields": {**form["fields"], "x-amz-signature": "0" * 64}}, b"woof")

    assert b"the secret access key is 'not-a-secret'" in answer.body


@pytest.mark.parametrize("signature", ["s3v4", "s3"])
def test_other_access_keys(s3: S3Client, signature: str) -> None:
    """Their secret keys are not known: the signature only has to look like one."""
    other = _client(s3.meta.endpoint_url, "AKIAIOSFODNN7EXAMPLE", "anything", signature)
    form = other.generate_presigned_post("dogs", "other-key.jpg")

    assert post(form, b"woof").status == 204
    assert s3.get_object(Bucket="dogs", Key="other-key.jpg")["Body"].read() == b"woof"


@pytest.mark.parametrize(
    ("secret", "changes", "status", "code"),
    [
        ("not-a-secret", {}, 204, ""),
        ("another", {}, 403, "SignatureDoesNotMatch"),
        ("not-a-secret", {"signature": "AAAA"}, 403, "SignatureDoesNotMatch"),
        ("not-a-secret", {"signature": "é"}, 403, "SignatureDoesNotMatch"),
        ("not-a-secret", {"signature": ""}, 400, "InvalidArgument"),
        ("not-a-secret", {"AWSAccessKeyId": ""}, 400, "InvalidArgument"),
    ],
)
def test_signatures_of_version_2(
    s3: S3Client, secret: str, changes: dict[str, str], status: int, code: str
) -> None:
    """boto3 makes them for other endpoints than AWS's, unless told otherwise."""
    form = _client(s3.meta.endpoint_url, "123456789012", secret, "s3").generate_presigned_post(
        "dogs", "v2.jpg"
    )

    answer = post({"url": form["url"], "fields": {**form["fields"], **changes}}, b"woof")

    assert (answer.status, error_code(answer)) == (status, code)
