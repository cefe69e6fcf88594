"""Regions: the SDK refuses those without Custom Labels and buckets of others; the service does as AWS."""

from __future__ import annotations

import json
import pickle
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from sdk_backends import QUICK, png, write_folder
from service_backends import manifest_line

from rekolabels import Client, LabelledImage, S3Location
from rekolabels.errors import InvalidInput, TrainingFailed, WrongRegion
from rekolabels.formats import read_folder
from rekolabels.local import LocalService
from rekolabels.regions import KNOWN_REGIONS, check_region

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rekolabels import ModelVersion, Project

ELSEWHERE = "eu-west-1"
REFUSED = "Bucket 'elsewhere' is in eu-west-1, not in us-east-1"
COLOURS = {"red": (255, 0, 0), "blue": (0, 0, 255)}


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    """A service in us-east-1, with images and a manifest in a bucket of each of two Regions."""
    with LocalService(engine="tiny") as made:
        s3: Any = made.session().client("s3")
        s3.create_bucket(Bucket="here")
        s3.create_bucket(Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": ELSEWHERE})
        for bucket in ("here", "elsewhere"):
            keys = [f"{label}{number}.png" for label in COLOURS for number in range(3)]
            for mark, key in enumerate(keys):
                image = png(64, 64, COLOURS[key[:-5]], mark)
                s3.put_object(Bucket=bucket, Key=key, Body=image)
            lines = [manifest_line(f"s3://{bucket}/{key}", key[:-5]) for key in keys]
            s3.put_object(Bucket=bucket, Key="all.manifest", Body="\n".join(lines).encode())
        yield made


@pytest.fixture(scope="module")
def model(service: LocalService, tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    """A running model."""
    project = client_of(service).create_project("birds")
    project.create_datasets(read_folder(write_folder(tmp_path_factory.mktemp("images"))), test=0.4)
    made = project.train("v1")
    made.wait_until_trained()
    made.start()
    made.wait_until_running()
    return made


def client_of(service: LocalService, bucket: str = "here") -> Client:
    """Return a client of us-east-1."""
    return Client(service.session(), bucket=bucket, retry=QUICK)


def rekognition(service: LocalService, region: str = "us-east-1") -> Any:
    """Return a boto3 client of a Region."""
    return service.session().client("rekognition", region_name=region)


def refusal(function: Any, **parameters: Any) -> tuple[str, str]:
    """Return the code and the message of the error that a boto3 call ends with."""
    with pytest.raises(ClientError) as raised:
        function(**parameters)
    error = raised.value.response["Error"]
    return error["Code"], error["Message"]


# -- the SDK -------------------------------------------------------------------------------------------------


def test_a_client_of_a_region_without_custom_labels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the Region is given or configured; the message lists the Regions that there are."""
    with pytest.raises(InvalidInput) as raised:
        Client(region_name="eu-west-3")
    assert str(raised.value) == (
        "region_name is 'eu-west-3'; expected a Region with Amazon Rekognition Custom Labels: "
        "ap-northeast-1, ap-northeast-2, ap-south-1, ap-southeast-1, ap-southeast-2, eu-central-1, "
        "eu-west-1, eu-west-2, us-east-1, us-east-2, us-west-2 (end of 2025). If AWS has added it since: "
        "`rekolabels.regions.KNOWN_REGIONS.add('eu-west-3')`."
    )
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ca-central-1")
    with pytest.raises(InvalidInput, match="region_name is 'ca-central-1'"):
        Client()


def test_regions_of_a_sweep_are_checked(service: LocalService) -> None:
    """Before any of them is asked."""
    with pytest.raises(InvalidInput, match=r"regions\[1\] is 'eu-west-3'"):
        client_of(service).sweep(regions=["us-east-1", "eu-west-3"])


def test_a_new_region_can_be_added() -> None:
    """For this process; a pickled client works where the Region is unknown."""
    KNOWN_REGIONS.add("eu-north-1")
    try:
        client = Client(region_name="eu-north-1")
        assert check_region("eu-north-1") == client.region_name == "eu-north-1"
        pickled = pickle.dumps(client)
    finally:
        KNOWN_REGIONS.discard("eu-north-1")

    assert pickle.loads(pickled).region_name == "eu-north-1"  # noqa: S301 -- pickled above
    with pytest.raises(InvalidInput):
        Client(region_name="eu-north-1")


def test_the_bucket_of_the_client_must_be_in_the_region(service: LocalService) -> None:
    """The error keeps the request that found it."""
    with pytest.raises(WrongRegion, match=REFUSED) as caught:
        client_of(service, "elsewhere").ensure_bucket()

    assert caught.value.request_id
    assert caught.value.http_status == 200


def test_a_training_needs_buckets_of_the_region(service: LocalService) -> None:
    """Neither its results nor its manifests may be elsewhere; nothing is requested."""
    project = client_of(service).create_project("outputs")
    here, elsewhere = S3Location("here", "all.manifest"), S3Location("elsewhere", "all.manifest")

    with pytest.raises(WrongRegion, match=REFUSED):
        project.train("v1", output="s3://elsewhere/out", training_manifest=here, auto_split=True)
    with pytest.raises(WrongRegion, match=REFUSED):
        project.train("v1", training_manifest=elsewhere, auto_split=True)
    with pytest.raises(WrongRegion, match=REFUSED):
        project.train("v1", training_manifest=here, testing_manifest=elsewhere)
    assert list(project.models()) == []


def test_a_dataset_needs_buckets_of_the_region(service: LocalService) -> None:
    """Neither its manifest, nor its images, nor new images may be elsewhere."""
    project = client_of(service).create_project("datasets")
    remote = [
        LabelledImage(f"s3://elsewhere/{label}{number}.png", labels=[label])
        for label in COLOURS
        for number in range(3)
    ]

    with pytest.raises(WrongRegion, match=REFUSED):
        project.create_dataset("train", "s3://elsewhere/all.manifest")
    with pytest.raises(WrongRegion, match=REFUSED):
        project.create_datasets(remote, test=0.4)
    assert project.datasets() == []

    dataset = project.create_dataset("train", "s3://here/all.manifest")
    with pytest.raises(WrongRegion, match=REFUSED):
        dataset.update(remote)


def test_a_copy_needs_an_output_of_the_region(service: LocalService, model: ModelVersion) -> None:
    """The bucket of the copy's results is checked first."""
    target: Project = client_of(service).create_project("copies")
    with pytest.raises(WrongRegion, match=REFUSED):
        model.copy_to(target, output="s3://elsewhere/copies")


def test_an_image_needs_a_bucket_of_the_region(model: ModelVersion) -> None:
    """Alone, or as one of many, whose other images have results."""
    with pytest.raises(WrongRegion, match=REFUSED):
        model.detect("s3://elsewhere/red0.png")
    outcomes = list(model.detect_many(["s3://elsewhere/red0.png", "s3://here/red0.png"]))
    assert [type(outcome.error) for outcome in outcomes] == [WrongRegion, type(None)]


def test_a_bucket_is_looked_up_once(model: ModelVersion, service: LocalService) -> None:
    """And not at all for images that are not in S3."""
    client = client_of(service)
    other = client.model(model.arn)
    calls: list[str] = []
    quick = client._connection._quick_s3.client
    quick.meta.events.register("before-call.s3", lambda model, **_: calls.append(model.name))
    other.detect(png(64, 64, COLOURS["red"], 0))
    assert calls == []
    for _ in range(3):
        other.detect("s3://here/red0.png")
    assert calls == ["HeadBucket"]


def test_a_bucket_that_cannot_be_looked_up_is_left_to_the_service(model: ModelVersion) -> None:
    """As for a caller that reaches Rekognition, but not S3."""
    with pytest.raises(Exception, match="InvalidS3ObjectException"):
        model.detect("s3://nowhere/red0.png")


@pytest.mark.parametrize(("told", "kind"), [("eu-west-1", WrongRegion), (None, type(None))])
def test_a_region_is_known_without_a_permission(
    service: LocalService, model: ModelVersion, told: str | None, kind: type
) -> None:
    """S3 reports the Region to callers without access, too; if it does not, the service decides."""
    client = client_of(service)
    headers = {} if told is None else {"x-amz-bucket-region": told}
    meta = {"HTTPStatusCode": 403, "HTTPHeaders": headers}
    denied = {"Error": {"Code": "403", "Message": "Forbidden"}, "ResponseMetadata": meta}
    events: Any = client._connection._quick_s3.client.meta.events
    events.register("before-call.s3.HeadBucket", lambda **_: (SimpleNamespace(status_code=403), denied))

    (outcome,) = client.model(model.arn).detect_many(["s3://here/red0.png"])
    assert type(outcome.error) is kind


# -- the embedded service ------------------------------------------------------------------------------------


def test_the_service_denies_other_regions(service: LocalService) -> None:
    """Every operation, with AWS's code; the message lists the Regions."""
    client = rekognition(service, "eu-west-3")
    code, message = refusal(client.describe_projects)

    assert code == "AccessDeniedException"
    assert message == (
        "The embedded service has no Custom Labels in eu-west-3, as AWS has none. The Regions are "
        f"{', '.join(sorted(KNOWN_REGIONS))}."
    )
    assert refusal(client.create_project, ProjectName="birds")[0] == "AccessDeniedException"
    with pytest.raises(InvalidInput, match="region_name is 'eu-west-3'"):
        LocalService(region_name="eu-west-3")


def test_the_service_refuses_images_of_other_regions(service: LocalService, model: ModelVersion) -> None:
    """DetectCustomLabels, with AWS's code."""
    client = rekognition(service)
    image = {"S3Object": {"Bucket": "elsewhere", "Name": "red0.png"}}
    code, message = refusal(client.detect_custom_labels, ProjectVersionArn=model.arn, Image=image)
    assert code == "InvalidS3ObjectException"
    assert message == (
        "Unable to get object metadata from S3. Check object key, region and/or access permissions. Cannot "
        "read image s3://elsewhere/red0.png: the bucket is in another Region."
    )


def test_the_service_refuses_manifests_of_other_regions(service: LocalService) -> None:
    """CreateDataset and StartMediaAnalysisJob, with AWS's code."""
    client = rekognition(service)
    arn = client.create_project(ProjectName="manifests")["ProjectArn"]
    manifest = {"S3Object": {"Bucket": "elsewhere", "Name": "all.manifest"}}
    source = {"GroundTruthManifest": manifest}

    code, _ = refusal(client.create_dataset, ProjectArn=arn, DatasetType="TRAIN", DatasetSource=source)
    assert code == "InvalidS3ObjectException"
    code, _ = refusal(
        client.start_media_analysis_job,
        Input=manifest,
        OutputConfig={"S3Bucket": "here"},
        OperationsConfig={"DetectModerationLabels": {}},
    )
    assert code == "InvalidS3ObjectException"


@pytest.mark.parametrize(
    ("output", "manifest", "message"),
    [
        ("elsewhere", "here", "Unable to write to output S3 bucket"),
        ("here", "elsewhere", "The manifest file extension or contents are invalid"),
    ],
)
def test_trainings_with_other_regions_fail(
    service: LocalService, output: str, manifest: str, message: str
) -> None:
    """With AWS's messages."""
    client = client_of(service)
    project = client.create_project(f"training-{output}")
    asset = {"GroundTruthManifest": {"S3Object": {"Bucket": manifest, "Name": "all.manifest"}}}
    rekognition(service).create_project_version(
        ProjectArn=project.arn,
        VersionName="v1",
        OutputConfig={"S3Bucket": output, "S3KeyPrefix": "out"},
        TrainingData={"Assets": [asset]},
        TestingData={"AutoCreate": True},
    )
    with pytest.raises(TrainingFailed, match=message):
        project.model("v1").wait_until_trained()


def test_images_of_other_regions_cannot_be_trained_with(service: LocalService) -> None:
    """The manifest is in the Region, its images are not."""
    client, s3 = client_of(service), service.session().client("s3")
    content = s3.get_object(Bucket="elsewhere", Key="all.manifest")["Body"].read()
    s3.put_object(Bucket="here", Key="foreign.manifest", Body=content)
    project = client.create_project("foreign-images")
    with pytest.raises(TrainingFailed):
        project.train(
            "v1", training_manifest="s3://here/foreign.manifest", auto_split=True
        ).wait_until_trained()
    (written,) = (
        s3.get_object(Bucket="here", Key=item["Key"])["Body"].read()
        for item in s3.list_objects_v2(Bucket="here", Prefix="foreign-images/v1")["Contents"]
        if "TrainingManifestWithValidation" in item["Key"]
    )
    assert "ERROR_INVALID_IMAGE" in str([json.loads(line) for line in written.splitlines()])


def test_a_service_in_another_region(tmp_path: Path) -> None:
    """Its bucket is made there, and everything works."""
    with LocalService(tmp_path / "workspace", region_name="ap-southeast-2", engine="tiny") as service:
        client = service.client(bucket="sydney")
        project = client.create_project("birds")
        project.create_datasets(read_folder(write_folder(tmp_path / "images")), test=0.4)
        project.train("v1").wait_until_trained()
        location = service.session().client("s3").get_bucket_location(Bucket="sydney")

    assert location["LocationConstraint"] == "ap-southeast-2"


def test_a_session_of_a_server_names_the_region(tmp_path: Path) -> None:
    """Over a socket, the Region is that of the signature."""
    with LocalService(tmp_path, engine="tiny") as service, service.serve() as server:
        session = boto3.Session("0" * 12, "x", region_name="sa-east-1")
        client = session.client("rekognition", endpoint_url=server.url)
        assert refusal(client.describe_projects)[0] == "AccessDeniedException"
