"""Every operation of S3 that botocore knows is served, or answered with NotImplemented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from botocore.model import Shape
    from mypy_boto3_s3 import S3Client

MODEL = botocore.session.get_session().get_service_model("s3")
_SERVED = """
AbortMultipartUpload CompleteMultipartUpload CopyObject CreateBucket CreateMultipartUpload DeleteBucket
DeleteBucketCors DeleteBucketPolicy DeleteBucketTagging DeleteObject DeleteObjectTagging DeleteObjects
GetBucketAcl GetBucketCors GetBucketLocation GetBucketPolicy GetBucketTagging GetBucketVersioning GetObject
GetObjectAcl GetObjectAttributes GetObjectTagging HeadBucket HeadObject ListBuckets ListMultipartUploads
ListObjectVersions ListObjects ListObjectsV2 ListParts PutBucketAcl PutBucketCors PutBucketPolicy
PutBucketTagging PutObject PutObjectAcl PutObjectTagging UploadPart UploadPartCopy
"""
SERVED = frozenset(_SERVED.split())
# Operations of other endpoints, whose requests look like those of another operation.
ELSEWHERE = {"ListDirectoryBuckets", "WriteGetObjectResponse"}


def _value(shape: Any) -> Any:
    """Return the simplest valid value of a shape."""
    if shape.type_name == "structure":
        if getattr(shape, "is_tagged_union", False):
            name, member = next(iter(shape.members.items()))
            return {name: _value(member)}
        return _required(shape)
    if shape.type_name == "list":
        return [_value(shape.member)]
    if shape.type_name in {"string", "character"}:
        shortest = "a" * max(1, shape.metadata.get("min", 1))
        return (getattr(shape, "enum", None) or [shortest])[0]
    values: dict[str, Any] = {
        "integer": 1,
        "long": 1,
        "boolean": True,
        "timestamp": 0,
        "blob": b"a",
        "map": {},
    }
    return values[shape.type_name]


def _required(shape: Shape) -> dict[str, Any]:
    structure: Any = shape
    return {name: _value(structure.members[name]) for name in structure.required_members}


@pytest.mark.parametrize("name", sorted({*MODEL.operation_names} - SERVED - ELSEWHERE))
def test_operations_that_are_left_out(s3: S3Client, name: str) -> None:
    """They are answered with NotImplemented, and change nothing."""
    s3.put_object(Bucket="dogs", Key="rex", Body=b"woof")
    shape = MODEL.operation_model(name).input_shape
    parameters = _required(shape) if shape is not None else {}
    given = {"Bucket": "dogs", "Key": "rex"}
    parameters = {member: given.get(member, value) for member, value in parameters.items()}
    client: Any = s3

    with pytest.raises(ClientError) as raised:
        client._make_api_call(name, parameters)

    response: Any = raised.value.response
    assert response["Error"]["Code"] in {"NotImplemented", "501"}  # a HEAD has no document
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert s3.get_object(Bucket="dogs", Key="rex")["Body"].read() == b"woof"


def test_operations_that_are_served() -> None:
    """All of them exist."""
    assert {*MODEL.operation_names} >= SERVED
