"""The recorded answers about copies, policies and media analysis jobs have their counterparts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from service_backends import Trained, make_project, picture, trained_fixture  # noqa: F401 - fixtures
from test_service_recorded import added, differences, without_metadata

from recordings import recording

if TYPE_CHECKING:
    from collections.abc import Mapping

OUTPUT = {"S3Bucket": "puppies", "S3KeyPrefix": "output-location"}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "Statement1",
            "Effect": "ALLOW",
            "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
            "Action": "rekognition:CopyProjectVersion",
            "Resource": "*",
        }
    ],
}


@pytest.fixture(scope="module", name="answers")
def answers_fixture(trained: Trained) -> Mapping[str, Any]:
    """What the service says to the recorded requests, in an order that makes sense."""
    backend, client = trained.backend, trained.backend.rekognition
    made: dict[str, Any] = {}
    policy = {"ProjectArn": trained.project, "PolicyName": "testPolicy"}
    made["put-project-policy"] = client.put_project_policy(**policy, PolicyDocument=json.dumps(POLICY))
    revision = made["put-project-policy"]["PolicyRevisionId"]
    made["list-project-policies"] = client.list_project_policies(
        ProjectArn=trained.project, MaxResults=5, NextToken=""
    )
    made["delete-project-policy"] = client.delete_project_policy(**policy, PolicyRevisionId=revision)
    made["copy-project-version"] = client.copy_project_version(
        SourceProjectArn=trained.project,
        SourceProjectVersionArn=trained.version,
        DestinationProjectArn=make_project(backend, "DestinationProject"),
        VersionName="DestinationVersionName_cross_account",
        OutputConfig=OUTPUT,
        Tags={"key1": "val1"},
        KmsKeyId="arn:1234abcd-12ab-34cd-56ef-1234567890ab",
    )
    backend.s3.put_object(Bucket="puppies", Key="look.png", Body=picture("stripes", 5))
    line = json.dumps({"source-ref": "s3://puppies/look.png"})
    backend.s3.put_object(Bucket="puppies", Key="input-manifest.json", Body=line.encode())
    made["start-media-analysis-job"] = client.start_media_analysis_job(
        JobName="job-name",
        Input={"S3Object": {"Bucket": "puppies", "Name": "input-manifest.json"}},
        OperationsConfig={"DetectModerationLabels": {"MinConfidence": 50}},
        OutputConfig=OUTPUT,
    )
    backend.settle()
    job = made["start-media-analysis-job"]["JobId"]
    made["get-media-analysis-job"] = client.get_media_analysis_job(JobId=job)
    made["list-media-analysis-jobs"] = client.list_media_analysis_jobs(MaxResults=10)
    return made


@pytest.mark.parametrize(
    "name",
    [
        "copy-project-version",
        "delete-project-policy",
        "get-media-analysis-job",
        "list-media-analysis-jobs",
        "list-project-policies",
        "put-project-policy",
        "start-media-analysis-job",
    ],
)
def test_the_recorded_fields(answers: Mapping[str, Any], name: str) -> None:
    """Nothing recorded is missing, and nothing else is there."""
    recorded, ours = recording(name), without_metadata(answers[name])
    # the job of the recording used an adapter; this one has none
    missing = [one for one in differences(recorded, ours) if "ProjectVersion is missing" not in one]
    assert missing == []
    assert list(added(recorded, ours)) == []
