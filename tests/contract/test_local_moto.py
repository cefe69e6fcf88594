"""Bridge into moto: the Rekognition calls of any boto3 client inside mock_aws reach the service."""

from __future__ import annotations

from typing import Any

import boto3
from moto import mock_aws
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
