"""Content moderation: adapters, the base model without labels, and media analysis jobs."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from service_backends import (
    HOSTS,
    Backend,
    describe_version,
    make_project,
    open_backend,
    picture,
    put_manifest,
    read_result,
    refused,
)

from rekolabels.local import Fault, FaultPlan, Quotas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OUTPUT = {"S3Bucket": "puppies", "S3KeyPrefix": "out"}
LABELS = {"blobs": ["Round Things"], "stripes": ["Round Things", "Stripes"], "dark": []}
NUMBERS = itertools.count()
BASE_MODEL = "local-without-moderation-labels"


@attrs.frozen
class Adapted:
    """A service with a trained adapter."""

    backend: Backend
    project: str
    adapter: str


def lines_of(backend: Backend, kind: str, count: int) -> list[str]:
    """Return lines of an adapter's manifest: dark images have no label, stripes have two."""
    lines = []
    for shape, names in LABELS.items():
        for number in range(count):
            key = f"{kind}/{shape}/{number}.png"
            seed = number + 1000 * (kind == "test")
            backend.s3.put_object(Bucket="puppies", Key=key, Body=picture(shape, seed))
            truth = {"ModerationLabels": [{"Name": name} for name in names]}
            lines.append(
                json.dumps({"source-ref": f"s3://puppies/{key}", "content-moderation-groundtruth": truth})
            )
    return lines


def moderation_project(backend: Backend, name: str = "guard") -> str:
    """Create a content moderation project."""
    return make_project(backend, name, Feature="CONTENT_MODERATION", AutoUpdate="ENABLED")


def train(backend: Backend, project: str, name: str, **options: Any) -> dict[str, Any]:
    """Train an adapter, wait, and return its description."""
    arn = backend.rekognition.create_project_version(
        ProjectArn=project, VersionName=name, OutputConfig=OUTPUT, **options
    )["ProjectVersionArn"]
    backend.settle()
    return version_of(backend, arn)


def version_of(backend: Backend, arn: str) -> dict[str, Any]:
    """Return the description of an adapter."""
    name, version = arn.split("/")[1], arn.split("/")[3]
    (project,) = backend.rekognition.describe_projects(ProjectNames=[name], Features=["CONTENT_MODERATION"])[
        "ProjectDescriptions"
    ]
    (found,) = backend.rekognition.describe_project_versions(
        ProjectArn=project["ProjectArn"], VersionNames=[version]
    )["ProjectVersionDescriptions"]
    description: dict[str, Any] = found
    return description


def assets(backend: Backend, name: str, lines: list[str]) -> dict[str, Any]:
    """Return training or test data with a manifest of these lines."""
    return {"Assets": [put_manifest(backend, name, lines)]}


@pytest.fixture(name="adapted", scope="module", params=HOSTS)
def adapted_fixture(request: pytest.FixtureRequest) -> Iterator[Adapted]:
    """Train an adapter of two labels."""
    with open_backend(request.param) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        project = moderation_project(backend)
        found = train(
            backend,
            project,
            "v1",
            TrainingData=assets(backend, "a.manifest", lines_of(backend, "train", 8)),
            TestingData=assets(backend, "b.manifest", lines_of(backend, "test", 3)),
            FeatureConfig={"ContentModeration": {"ConfidenceThreshold": 60.0}},
        )
        assert found["Status"] == "TRAINING_COMPLETED", found["StatusMessage"]
        yield Adapted(backend, project, found["ProjectVersionArn"])


def test_content_moderation_projects(adapted: Adapted) -> None:
    """They are listed only on request, with Feature and AutoUpdate, and have no datasets or policies."""
    client = adapted.backend.rekognition
    assert client.describe_projects()["ProjectDescriptions"] == []
    (found,) = client.describe_projects(Features=["CONTENT_MODERATION"])["ProjectDescriptions"]
    assert (found["Feature"], found["AutoUpdate"]) == ("CONTENT_MODERATION", "ENABLED")
    calls: list[Callable[[], Any]] = [
        lambda: client.create_project(ProjectName="x", Feature="CONTENT_MODERATION"),
        lambda: client.create_project(ProjectName="x", AutoUpdate="ENABLED"),
        lambda: client.create_dataset(ProjectArn=adapted.project, DatasetType="TRAIN"),
        lambda: client.put_project_policy(
            ProjectArn=adapted.project,
            PolicyName="p",
            PolicyDocument=json.dumps(
                {
                    "Statement": {
                        "Effect": "Allow",
                        "Principal": "*",
                        "Resource": "*",
                        "Action": "rekognition:CopyProjectVersion",
                    }
                }
            ),
        ),
        lambda: client.start_project_version(ProjectVersionArn=adapted.adapter, MinInferenceUnits=1),
        lambda: client.stop_project_version(ProjectVersionArn=adapted.adapter),
        lambda: client.detect_custom_labels(ProjectVersionArn=adapted.adapter, Image={"Bytes": b"x"}),
        lambda: client.copy_project_version(
            SourceProjectArn=adapted.project,
            SourceProjectVersionArn=adapted.adapter,
            DestinationProjectArn=adapted.project,
            VersionName="copy",
            OutputConfig=OUTPUT,
        ),
    ]
    for call in calls:
        with refused("InvalidParameterException"):
            call()


def test_result_files_of_an_adapter(adapted: Adapted) -> None:
    """The evaluation compares adapter and base model at the given and at twenty other thresholds."""
    backend, found = adapted.backend, version_of(adapted.backend, adapted.adapter)
    assert (found["Feature"], found["BaseModelVersion"]) == ("CONTENT_MODERATION", BASE_MODEL)
    assert found["FeatureConfig"] == {"ContentModeration": {"ConfidenceThreshold": 60.0}}
    summary = json.loads(read_result(backend, found["EvaluationResult"]["Summary"]["S3Object"]["Name"]))
    assert summary["AggregatedEvaluationResults"]["F1Score"] == pytest.approx(
        found["EvaluationResult"]["F1Score"]
    )
    assert found["EvaluationResult"]["F1Score"] > 0.9
    assert summary["EvaluationDetails"]["Labels"] == ["Round Things", "Stripes"]
    moderation = summary["ContentModeration"]
    own = moderation["InputConfidenceThresholdEvalResults"]
    assert own["ConfidenceThreshold"] == 60.0
    every = moderation["AllConfidenceThresholdsEvalResults"]
    assert [float(step) for step in range(5, 101, 5)] == [one["ConfidenceThreshold"] for one in every]
    for one in [own, *every]:
        rows = one["LabelEvaluationResults"]
        assert [row["Label"] for row in rows] == ["Round Things", "Stripes"]
        for row in rows:
            assert row["BaseModel"]["TruePositive"] == row["BaseModel"]["FalsePositive"] == 0
            assert sum(row["BaseModel"].values()) == sum(row["Adapter"].values()) == 9
        aggregated = one["AggregatedEvaluationResults"]["Adapter"]
        assert aggregated["TruePositive"] == sum(row["Adapter"]["TruePositive"] for row in rows)
    output = found["TestingDataResult"]["Output"]["Assets"][0]["GroundTruthManifest"]["S3Object"]["Name"]
    (line, *_) = map(json.loads, read_result(backend, output).splitlines())
    assert line["content-moderation-groundtruth"] == {"ModerationLabels": [{"Name": "Round Things"}]}
    assert line["detect-moderation-labels-base-model"] == {
        "ModerationLabels": [],
        "ModerationModelVersion": BASE_MODEL,
    }
    assert line["detect-moderation-labels"]["ProjectVersion"] == adapted.adapter
    assert line["detect-moderation-labels"]["ModerationLabels"][0]["Name"] == "Round Things"
    output = found["TrainingDataResult"]["Output"]["Assets"][0]["GroundTruthManifest"]["S3Object"]["Name"]
    (line, *_) = map(json.loads, read_result(backend, output).splitlines())
    assert set(line) == {"source-ref", "content-moderation-groundtruth"}


def test_an_adapter_needs_no_start(adapted: Adapted) -> None:
    """It is used as soon as it is trained; the base model finds nothing, as its name says."""
    client = adapted.backend.rekognition
    for shape, names in LABELS.items():
        image = {"Bytes": picture(shape, 77)}
        answer = client.detect_moderation_labels(Image=image, ProjectVersion=adapted.adapter)
        assert set(names) == {label["Name"] for label in answer["ModerationLabels"]}
        assert all(50 <= label["Confidence"] <= 100 for label in answer["ModerationLabels"])
        assert (answer["ProjectVersion"], answer["ModerationModelVersion"]) == (adapted.adapter, BASE_MODEL)
    every = client.detect_moderation_labels(Image=image, ProjectVersion=adapted.adapter, MinConfidence=0)
    assert len(every["ModerationLabels"]) == 2
    base = client.detect_moderation_labels(Image=image)
    assert (base["ModerationLabels"], base["ModerationModelVersion"]) == ([], BASE_MODEL)
    assert "ProjectVersion" not in base
    with refused("InvalidImageFormatException"):
        client.detect_moderation_labels(Image={"Bytes": b"no image"})
    with refused("ResourceNotFoundException"):
        client.detect_moderation_labels(Image=image, ProjectVersion=f"{adapted.adapter}9")
    with refused("InvalidParameterException", "HumanLoopConfig"):
        client.detect_moderation_labels(
            Image=image,
            HumanLoopConfig={
                "HumanLoopName": "a",
                "FlowDefinitionArn": "arn:aws:sagemaker:us-east-1:1:flow-definition/a",
            },
        )


def test_an_adapter_with_auto_create(adapted: Adapted) -> None:
    """AutoCreate takes 20 % of each label; the validation manifest has the errors of invalid lines."""
    backend = adapted.backend
    bad = [
        "{",
        json.dumps({"content-moderation-groundtruth": {"ModerationLabels": []}}),
        json.dumps({"source-ref": "nowhere", "content-moderation-groundtruth": {"ModerationLabels": []}}),
        json.dumps({"source-ref": "s3://puppies/a.png"}),
        json.dumps({"source-ref": "s3://puppies/a.png", "content-moderation-groundtruth": {}}),
        json.dumps(
            {
                "source-ref": "s3://puppies/a.png",
                "content-moderation-groundtruth": {"ModerationLabels": [{"Name": ""}]},
            }
        ),
        json.dumps(
            {
                "source-ref": "s3://puppies/missing.png",
                "content-moderation-groundtruth": {"ModerationLabels": []},
            }
        ),
    ]
    lines = lines_of(backend, "more", 10)
    data = assets(backend, "c.manifest", [*bad, *lines])
    found = train(backend, adapted.project, "split", TrainingData=data, TestingData={"AutoCreate": True})
    assert found["Status"] == "TRAINING_COMPLETED", found["StatusMessage"]
    assert found["TestingDataResult"]["Output"]["AutoCreate"] is True
    summary = json.loads(read_result(backend, found["ManifestSummary"]["S3Object"]["Name"]))
    training = summary["statistics"]["training"]
    assert (training["total_json_lines"], training["invalid_json_lines"]) == (31, 7)
    assert summary["statistics"]["testing"]["total_json_lines"] == 6
    place = found["TrainingDataResult"]["Validation"]["Assets"][0]["GroundTruthManifest"]["S3Object"]["Name"]
    annotated = [json.loads(line) for line in read_result(backend, place).splitlines()]
    assert [line["errors"][0]["code"] for line in annotated if "errors" in line] == [
        "ERROR_INVALID_JSON_LINE",
        "ERROR_MISSING_SOURCE_REF",
        "ERROR_INVALID_SOURCE_REF_FORMAT",
        "ERROR_NO_LABEL_ATTRIBUTES",
        "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT",
        "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT",
        "ERROR_INVALID_IMAGE",
    ]


@pytest.mark.parametrize(
    ("training", "testing", "part"),
    [
        ([], ["x"], "empty"),
        (["{", "{}"], ["{"], "invalid"),
        (None, {"AutoCreate": True}, "labels"),
    ],
)
def test_adapters_that_cannot_be_trained(adapted: Adapted, training: Any, testing: Any, part: str) -> None:
    """TRAINING_FAILED with the reason: no lines, too many invalid lines, a single label."""
    backend = adapted.backend
    if training is None:
        training = [line for line in lines_of(backend, "same", 6) if "dark" in line]
    data = assets(backend, "d.manifest", training)
    tests = testing if isinstance(testing, dict) else assets(backend, "e.manifest", testing)
    found = train(backend, adapted.project, f"fails-{part}", TrainingData=data, TestingData=tests)
    assert found["Status"] == "TRAINING_FAILED"
    assert part in found["StatusMessage"]
    with refused("ResourceNotReadyException", "TRAINING_FAILED"):
        backend.rekognition.detect_moderation_labels(
            Image={"Bytes": picture("dark", 1)}, ProjectVersion=found["ProjectVersionArn"]
        )


def test_required_parameters_of_an_adapter(adapted: Adapted) -> None:
    """Training needs both manifests (or AutoCreate); FeatureConfig, if any, must have ContentModeration."""
    backend = adapted.backend
    data = assets(backend, "f.manifest", ["{}"])
    for options in (
        {},
        {"TrainingData": data},
        {"TestingData": {"AutoCreate": True}},
        {"TrainingData": data, "TestingData": {}},
        {"TrainingData": data, "TestingData": {"AutoCreate": True}, "FeatureConfig": {}},
    ):
        with refused("InvalidParameterException"):
            train(backend, adapted.project, "never", **options)


def start_job(backend: Backend, lines: list[str], **options: Any) -> str:
    """Start a media analysis job and return its id."""
    name = f"job-{next(NUMBERS)}.manifest"
    backend.s3.put_object(Bucket="puppies", Key=name, Body="\n".join(lines).encode())
    settings = options.pop("settings", {})
    return str(
        backend.rekognition.start_media_analysis_job(
            **{
                "OperationsConfig": {"DetectModerationLabels": settings},
                "Input": {"S3Object": {"Bucket": "puppies", "Name": name}},
                "OutputConfig": OUTPUT,
                **options,
            }
        )["JobId"]
    )


def test_a_media_analysis_job(adapted: Adapted) -> None:
    """It ends with a result for every valid line, repeated ones too; the summary lists the invalid lines."""
    backend, client = adapted.backend, adapted.backend.rekognition
    backend.s3.put_object(Bucket="puppies", Key="stripes.png", Body=picture("stripes", 5))
    good = json.dumps({"source-ref": "s3://puppies/stripes.png"})
    lines = [good, good, "{", json.dumps({"source-ref": "s3://puppies/none.png"})]
    with backend.held():
        job_id = start_job(
            backend,
            lines,
            JobName="night",
            settings={"ProjectVersion": adapted.adapter, "MinConfidence": 40.0},
        )
        running = client.get_media_analysis_job(JobId=job_id)
        assert (running["Status"], running["JobName"]) == ("IN_PROGRESS", "night")
        assert "CompletionTimestamp" not in running
    assert len(job_id) == 64
    done = client.get_media_analysis_job(JobId=job_id)
    assert done["Status"] == "SUCCEEDED"
    assert done["CompletionTimestamp"] >= done["CreationTimestamp"]
    assert done["Results"]["S3Object"]["Name"] == f"out/{job_id}-results.jsonl"
    results = [json.loads(line) for line in read_result(backend, f"out/{job_id}-results.jsonl").splitlines()]
    assert len(results) == 2
    assert {"Round Things", "Stripes"} == {
        label["Name"] for label in results[0]["detect-moderation-labels"]["ModerationLabels"]
    }
    summary = json.loads(read_result(backend, f"out/{job_id}-manifest-summary.json"))
    assert summary["version"] == "1.0"
    assert summary["statistics"] == {"total-json-lines": 4, "valid-json-lines": 2, "invalid-json-lines": 2}
    assert [(one["code"], one["line-number"]) for one in summary["errors"]] == [
        ("INVALID_JSON_LINE", 3),
        ("INVALID_S3_OBJECT", 4),
    ]


def test_the_same_token_returns_the_same_job(adapted: Adapted) -> None:
    """With the same parameters; other parameters give IdempotentParameterMismatchException."""
    backend = adapted.backend
    lines = [json.dumps({"source-ref": "s3://puppies/stripes.png"})]
    source = {"Input": put_manifest(backend, "same.manifest", lines)["GroundTruthManifest"]}
    first = start_job(backend, lines, ClientRequestToken="t1", **source)
    assert first == start_job(backend, lines, ClientRequestToken="t1", **source)
    assert first != start_job(backend, lines, ClientRequestToken="t2", **source)
    with refused("IdempotentParameterMismatchException", first):
        start_job(backend, lines, ClientRequestToken="t1", JobName="other", **source)
    backend.settle()


def test_jobs_are_listed_newest_first(adapted: Adapted) -> None:
    """The list has pages; an unknown job id gives ResourceNotFoundException."""
    backend, client = adapted.backend, adapted.backend.rekognition
    job_ids = [start_job(backend, ["{}"], JobName=f"j{number}") for number in range(3)]
    backend.settle()
    first = client.list_media_analysis_jobs(MaxResults=2)
    assert job_ids[:0:-1] == [job["JobId"] for job in first["MediaAnalysisJobs"]]
    second = client.list_media_analysis_jobs(MaxResults=2, NextToken=first["NextToken"])
    assert job_ids[0] == second["MediaAnalysisJobs"][0]["JobId"]
    with refused("InvalidPaginationTokenException"):
        client.list_media_analysis_jobs(NextToken="x")
    with refused("ResourceNotFoundException"):
        client.get_media_analysis_job(JobId="0" * 64)


def test_required_parameters_of_a_job(adapted: Adapted) -> None:
    """A job needs an operation, a readable manifest with lines, and a trained adapter."""
    backend = adapted.backend
    with refused("InvalidParameterException", "DetectModerationLabels"):
        start_job(backend, ["{}"], OperationsConfig={})
    with refused("InvalidParameterException", "Input"):
        start_job(backend, ["{}"], Input={"S3Object": {"Bucket": "puppies"}})
    with refused("InvalidS3ObjectException", "none"):
        start_job(backend, ["{}"], Input={"S3Object": {"Bucket": "puppies", "Name": "none"}})
    with refused("InvalidManifestException"):
        start_job(backend, [])
    with refused("ResourceNotFoundException"):
        start_job(backend, ["{}"], settings={"ProjectVersion": f"{adapted.adapter}9"})
    failed = start_job(backend, ["{}"], OutputConfig={"S3Bucket": "no-such-bucket"})
    empty = start_job(backend, [" ", ""])
    backend.settle()
    for job_id, code in ((failed, "INVALID_OUTPUT_CONFIG"), (empty, "INVALID_MANIFEST")):
        found = backend.rekognition.get_media_analysis_job(JobId=job_id)
        assert (found["Status"], found["FailureDetails"]["Code"]) == ("FAILED", code)


def test_the_quota_of_jobs_and_a_fault() -> None:
    """The number of jobs in progress is limited; a job fails with the code of the fault plan."""
    plan = FaultPlan([Fault.fails("StartMediaAnalysisJob", "THROTTLED", times=1)])
    with open_backend("in process", quotas=Quotas(media_jobs=1), faults=plan) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        with backend.held():
            job_id = start_job(backend, ["{}"])
            with refused("LimitExceededException", "media analysis jobs in progress (1)"):
                start_job(backend, ["{}"])
        found = backend.rekognition.get_media_analysis_job(JobId=job_id)
        assert (found["Status"], found["FailureDetails"]["Code"]) == ("FAILED", "THROTTLED")


def test_a_model_is_not_an_adapter() -> None:
    """A Custom Labels model cannot detect moderation labels."""
    with open_backend("in process") as backend:
        backend.s3.create_bucket(Bucket="puppies")
        project = make_project(backend)
        data = assets(backend, "a.manifest", ["{}"])
        arn = backend.rekognition.create_project_version(
            ProjectArn=project,
            VersionName="v1",
            OutputConfig=OUTPUT,
            TrainingData=data,
            TestingData={"AutoCreate": True},
        )["ProjectVersionArn"]
        backend.settle()
        assert "Feature" not in describe_version(backend, arn)
        with refused("InvalidParameterException", "Custom Labels"):
            backend.rekognition.detect_moderation_labels(
                Image={"Bytes": picture("dark", 1)}, ProjectVersion=arn
            )
