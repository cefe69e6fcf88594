"""A workspace with one resource of every kind, and a valid request for each operation on it."""

from __future__ import annotations

import base64
import json
import shutil
from typing import TYPE_CHECKING, Any

from fuzz_manifest import LINES
from s3_forms import encode_form
from service_backends import Backend, make_dataset, make_project, make_version, put_pictures

from rekolabels.local import LocalService, ManualClock

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PREFIX", "Workspace", "documents", "json_request", "s3_requests"]

PREFIX = "RekognitionService."
_START = 1_700_000_000


def _http(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def json_request(operation: str, document: Any) -> bytes:
    """Return an HTTP request that calls an operation of Rekognition."""
    return _http("POST", "/", json.dumps(document).encode(), X_Amz_Target=PREFIX + operation)


class Workspace:
    """A workspace with one resource of every kind, created once and copied for each service.

    Args:
        home: An empty folder for the workspaces; beside them it has ``secret.txt``, which no request may
            read.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "secret.txt").write_text("a file that no request may reach")
        self._template = home / "template"
        with LocalService(self._template, clock=ManualClock(_START)) as service:
            session = service.session()
            backend = Backend(service, session.client("rekognition"), session.client("s3"))
            backend.s3.create_bucket(Bucket="puppies")
            self.project = make_project(backend)
            self.empty = make_project(backend, "empty")
            self.train = make_dataset(backend, self.project, "TRAIN", put_pictures(backend, "train", 3))
            self.test = make_dataset(backend, self.project, "TEST", put_pictures(backend, "test", 1))
            self.version = make_version(backend, self.project)
            backend.rekognition.start_project_version(ProjectVersionArn=self.version, MinInferenceUnits=1)
            backend.s3.put_object(Bucket="puppies", Key="lines.manifest", Body="\n".join(LINES).encode())
            self.upload = backend.s3.create_multipart_upload(Bucket="puppies", Key="parts")["UploadId"]
            self.etag = backend.s3.upload_part(
                Bucket="puppies", Key="parts", UploadId=self.upload, PartNumber=1, Body=b"part"
            )["ETag"]
            self.picture = backend.s3.get_object(Bucket="puppies", Key="train/blobs/0.png")["Body"].read()
            backend.settle()

    def open(self) -> LocalService:
        """Open a service on a new copy of the workspace."""
        copy = self.home / "workspace"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self._template, copy)
        return LocalService(copy, clock=ManualClock(_START + 3600))


def documents(workspace: Workspace) -> dict[str, Any]:
    """Return a valid request for each operation of Rekognition."""
    project = {"ProjectArn": workspace.project}
    empty = {"ProjectArn": workspace.empty}
    version = {"ProjectVersionArn": workspace.version}
    train = {"DatasetArn": workspace.train}
    manifest = {"GroundTruthManifest": {"S3Object": {"Bucket": "puppies", "Name": "lines.manifest"}}}
    lines = base64.b64encode("\n".join(LINES[:3]).encode()).decode()
    picture = base64.b64encode(workspace.picture).decode()
    output = {"OutputConfig": {"S3Bucket": "puppies", "S3KeyPrefix": "out"}}
    source = {"SourceProjectArn": workspace.project, "SourceProjectVersionArn": workspace.version}
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "111122223333"},
        "Action": "rekognition:CopyProjectVersion",
        "Resource": workspace.version,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return {
        "CreateProject": {"ProjectName": "new", "Tags": {"team": "a"}},
        "DescribeProjects": {"MaxResults": 2, "ProjectNames": ["birds"]},
        "CreateDataset": {**empty, "DatasetType": "TRAIN", "DatasetSource": manifest},
        "DescribeDataset": train,
        "UpdateDatasetEntries": {**train, "Changes": {"GroundTruth": lines}},
        "ListDatasetEntries": {**train, "Labeled": True, "MaxResults": 3, "ContainsLabels": ["dark"]},
        "ListDatasetLabels": train,
        "DistributeDatasetEntries": {"Datasets": [{"Arn": workspace.train}, {"Arn": workspace.test}]},
        "CreateProjectVersion": {**empty, "VersionName": "v2", **output},
        "DescribeProjectVersions": {**project, "VersionNames": ["v1"]},
        "StartProjectVersion": {**version, "MinInferenceUnits": 1},
        "DetectCustomLabels": {**version, "Image": {"Bytes": picture}, "MinConfidence": 10, "MaxResults": 2},
        "StopProjectVersion": version,
        "DeleteProjectVersion": version,
        "DeleteDataset": {"DatasetArn": workspace.test},
        "DeleteProject": empty,
        "PutProjectPolicy": {**project, "PolicyName": "p", "PolicyDocument": policy},
        "ListProjectPolicies": project,
        "DeleteProjectPolicy": {**project, "PolicyName": "p"},
        "CopyProjectVersion": {
            **source,
            **output,
            "DestinationProjectArn": workspace.empty,
            "VersionName": "copy",
        },
        "TagResource": {"ResourceArn": workspace.version, "Tags": {"a": "b"}},
        "UntagResource": {"ResourceArn": workspace.version, "TagKeys": ["a"]},
        "ListTagsForResource": {"ResourceArn": workspace.version},
        "ListMediaAnalysisJobs": {"MaxResults": 5},
    }


def s3_requests(workspace: Workspace) -> list[bytes]:
    """Return a valid request for each operation of S3."""
    part = f"<Part><PartNumber>1</PartNumber><ETag>{workspace.etag}</ETag></Part>"
    complete = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>"
    objects = "<Object><Key>a</Key></Object><Object><Key>b</Key></Object>"
    delete = f"<Delete>{objects}<Quiet>true</Quiet></Delete>"
    location = "<LocationConstraint>eu-west-1</LocationConstraint>"
    region = f"<CreateBucketConfiguration>{location}</CreateBucketConfiguration>"
    chunked = (
        b"5;chunk-signature=00\r\nhello\r\n0;chunk-signature=00\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    )
    chunked_headers = {
        "Content_Encoding": "aws-chunked",
        "x_amz_decoded_content_length": "5",
        "x_amz_content_sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "x_amz_trailer": "x-amz-checksum-crc32",
    }
    signed = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20231114T230000Z&X-Amz-Expires=3600&X-Amz-Signature=0"
    )
    upload = f"uploadId={workspace.upload}"
    return [
        _http("GET", "/"),
        _http("PUT", "/kittens", region.encode()),
        _http("HEAD", "/puppies"),
        _http("GET", "/puppies?list-type=2&prefix=train/&delimiter=/&max-keys=2&encoding-type=url"),
        _http("GET", "/puppies?marker=train&max-keys=1"),
        _http("PUT", "/puppies/a/b.txt", b"hello", x_amz_meta_name="rex", If_None_Match="*"),
        _http("PUT", "/puppies/c", chunked, **chunked_headers),
        _http("PUT", "/puppies/copy", x_amz_copy_source="/puppies/lines.manifest"),
        _http("GET", "/puppies/train/blobs/0.png", Range="bytes=0-9"),
        _http("GET", f"/puppies/lines.manifest?{signed}"),
        _http("HEAD", "/puppies/lines.manifest", If_Modified_Since="Tue, 14 Nov 2023 00:00:00 GMT"),
        _http("DELETE", "/puppies/a/b.txt"),
        _http("POST", "/puppies?delete", delete.encode()),
        _http("POST", "/puppies/d?uploads"),
        _http("PUT", f"/puppies/parts?partNumber=1&{upload}", b"part"),
        _http("POST", f"/puppies/parts?{upload}", complete.encode()),
        _http("GET", f"/puppies/parts?{upload}&max-parts=1"),
        _http("DELETE", f"/puppies/parts?{upload}"),
        _http("GET", "/puppies?uploads"),
        _http("DELETE", "/kittens"),
        *_settings_requests(),
        _form_request(),
    ]


def _settings_requests() -> list[bytes]:
    """Return a valid request for each operation on tags, policies, ACLs, CORS rules and attributes."""
    tags = b"<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"
    rule = b"<CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule>"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "rekognition.amazonaws.com"},
        "Action": ["s3:GetObject"],
        "Resource": "arn:aws:s3:::puppies/*",
        "Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"}},
    }
    grant = b"<Grant><Grantee><ID>%s</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant>" % (
        b"0" * 64
    )
    acl = b"<AccessControlPolicy><AccessControlList>%s</AccessControlList></AccessControlPolicy>" % grant
    return [
        _http("PUT", "/puppies?tagging", tags),
        _http("PUT", "/puppies/lines.manifest?tagging", tags),
        _http("PUT", "/puppies/e", b"1", x_amz_tagging="a=1&b=%20", x_amz_acl="public-read"),
        _http(
            "PUT", "/puppies?policy", json.dumps({"Version": "2012-10-17", "Statement": [statement]}).encode()
        ),
        _http("PUT", "/puppies?cors", b"<CORSConfiguration>%s</CORSConfiguration>" % rule),
        _http("PUT", "/puppies/lines.manifest?acl", acl),
        _http("GET", "/puppies?versions&max-keys=1&key-marker=a&version-id-marker=null"),
        _http(
            "GET",
            "/puppies/lines.manifest?attributes",
            x_amz_object_attributes="ETag,ObjectParts,ObjectSize",
            x_amz_max_parts="1",
        ),
        _http("DELETE", "/puppies/e", If_Match="*", x_amz_if_match_size="1"),
        *[_http("GET", f"/puppies?{name}") for name in ("tagging", "policy", "cors", "acl", "versioning")],
    ]


def _form_request() -> bytes:
    """Return a request that uploads a file with a form."""
    conditions = [["starts-with", "$key", "up/"], ["content-length-range", 0, 100], {"acl": "private"}]
    policy = json.dumps({"expiration": "2033-01-01T00:00:00Z", "conditions": conditions}).encode()
    fields = {
        "key": "up/${filename}",
        "acl": "private",
        "AWSAccessKeyId": "AKIAIOSFODNN7EXAMPLE",
        "signature": base64.b64encode(bytes(20)).decode(),
        "policy": base64.b64encode(policy).decode(),
    }
    body, content_type = encode_form(fields, b"woof")
    return _http("POST", "/puppies", body, Content_Type=content_type)
