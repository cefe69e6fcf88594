"""Bridge into moto: the Custom Labels calls of any boto3 client inside mock_aws reach the service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
from botocore.awsrequest import AWSPreparedRequest
from moto import mock_aws
from moto.rekognition import urls
from service_backends import (
    Backend,
    describe_version,
    make_dataset,
    make_project,
    make_version,
    put_pictures,
    refused,
)

from rekolabels.local import LocalService

if TYPE_CHECKING:
    import pytest


def test_a_training_inside_mock_aws() -> None:
    """The service answers Rekognition calls and trains a model on images in moto's S3."""
    with mock_aws():
        s3: Any = boto3.client("s3", region_name="us-east-1")
        with LocalService(s3=s3) as service, service.inside_moto():
            client: Any = boto3.client("rekognition", region_name="us-east-1")
            backend = Backend(service, client, s3)
            s3.create_bucket(Bucket="puppies")
            project = make_project(backend)
            make_dataset(backend, project, "TRAIN", put_pictures(backend, "train", 4))
            make_dataset(backend, project, "TEST", put_pictures(backend, "test", 1))
            found = describe_version(backend, make_version(backend, project))
            assert found["Status"] == "TRAINING_COMPLETED", found["StatusMessage"]
            keys = [item["Key"] for item in s3.list_objects_v2(Bucket="puppies", Prefix="out/")["Contents"]]
            assert "out/EvaluationResultSummary-birds-v1.json" in keys
            with refused("ResourceInUseException"):
                client.create_project(ProjectName="birds")


def test_moto_is_restored_after_the_block() -> None:
    """After the block, moto answers Rekognition calls itself again."""
    with mock_aws():
        client: Any = boto3.client("rekognition", region_name="us-east-1")
        arn = "arn:aws:rekognition:us-east-1:000000000000:project/a/version/b/1"
        with LocalService() as service, service.inside_moto(), refused("ResourceNotFoundException"):
            client.detect_custom_labels(ProjectVersionArn=arn, Image={"Bytes": b"x"})
        response = client.detect_custom_labels(ProjectVersionArn=arn, Image={"Bytes": b"x"})
        assert response["CustomLabels"][0]["Name"] == "MyLogo"


def test_other_operations_are_answered_by_moto() -> None:
    """The service answers Custom Labels only; moto's own mocks of other operations go on."""
    image: Any = {"S3Object": {"Bucket": "dogs", "Name": "rex.jpg"}}
    with mock_aws(), LocalService() as service, service.inside_moto():
        client: Any = boto3.client("rekognition", region_name="us-east-1")
        assert client.detect_labels(Image=image)["Labels"]
        assert client.detect_text(Image=image)["TextDetections"]
        assert client.describe_projects()["ProjectDescriptions"] == []


def test_the_account_is_that_of_moto(monkeypatch: pytest.MonkeyPatch) -> None:
    """ARNs have moto's account, whatever account moto was told to use, and whoever calls."""

    def account_of_new_project(name: str, **keys: Any) -> str:
        client: Any = boto3.client("rekognition", region_name="us-east-1", **keys)
        arn: str = client.create_project(ProjectName=name)["ProjectArn"]
        return arn.split(":")[4]

    with mock_aws(), LocalService() as service, service.inside_moto():
        assert account_of_new_project("usual") == "123456789012"
        role: Any = boto3.client("sts", region_name="us-east-1").assume_role(
            RoleArn="arn:aws:iam::444455556666:role/trainer", RoleSessionName="test"
        )["Credentials"]
        keys: Any = {
            "aws_access_key_id": role["AccessKeyId"],
            "aws_secret_access_key": role["SecretAccessKey"],
            "aws_session_token": role["SessionToken"],
        }
        assert account_of_new_project("assumed", **keys) == "444455556666"
        monkeypatch.setenv("MOTO_ACCOUNT_ID", "111122223333")
        assert account_of_new_project("set") == "111122223333"


def test_requests_of_older_motos() -> None:
    """Before 5.2.4, moto passed on the request that botocore was about to send."""
    sent: list[AWSPreparedRequest] = []
    with mock_aws(), LocalService() as service, service.inside_moto():
        client: Any = boto3.client("rekognition", region_name="us-east-1")
        client.meta.events.register_first("before-send", lambda request, **_: sent.append(request))
        client.create_project(ProjectName="newer")
        (request,) = sent
        headers_sent: Any = request.headers
        for name, value in list(headers_sent.items()):
            headers_sent[name] = value.decode() if isinstance(value, bytes) else value
        body: Any = b'{"ProjectName": "older"}'
        older = AWSPreparedRequest(request.method, request.url, headers_sent, body, stream_output=False)

        status, headers, answer = urls.url_paths["{0}/$"](older, older.url, older.headers)

        assert (status, headers["Content-Type"]) == (200, "application/x-amz-json-1.1")
        assert json.loads(answer)["ProjectArn"].split("/")[1] == "older"
