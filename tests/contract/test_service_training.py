"""Training: result files, failures, and data from datasets or manifests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from service_backends import (  # noqa: F401 - fixtures
    LABELS,
    Backend,
    Trained,
    backend_fixture,
    describe_version,
    make_dataset,
    make_project,
    make_version,
    manifest_line,
    open_backend,
    picture,
    put_manifest,
    put_pictures,
    read_result,
    trained_fixture,
)

from rekolabels.evaluation import EvaluationResult
from rekolabels.local import LocalService

FILES = (
    "EvaluationResultSummary",
    "ManifestSummary",
    "TestingGroundTruth",
    "TestingManifestWithValidation",
    "TrainingGroundTruth",
    "TrainingManifestWithValidation",
)


def lines_of(backend: Backend, key: str) -> list[dict[str, Any]]:
    """Return the parsed lines of a result file."""
    return [json.loads(line) for line in read_result(backend, key).splitlines()]


def s3_object_of(name: str) -> dict[str, Any]:
    """Return the S3Object of a result file, as answers contain it."""
    return {"S3Object": {"Bucket": "puppies", "Name": f"out/{name}-birds-v1.json"}}


def train(backend: Backend, training: list[str], testing: list[str]) -> dict[str, Any]:
    """Train with these lines, and return the description of the version."""
    project = make_project(backend)
    make_dataset(backend, project, "TRAIN", training)
    make_dataset(backend, project, "TEST", testing)
    return describe_version(backend, make_version(backend, project))


def test_result_files_and_their_description(trained: Trained) -> None:
    """The six files have AWS's names, and the description refers to them."""
    backend = trained.backend
    found = backend.s3.list_objects_v2(Bucket="puppies", Prefix="out/")["Contents"]
    names = [item["Key"] for item in found if item["Key"].endswith("-birds-v1.json")]
    assert [f"out/{name}-birds-v1.json" for name in FILES] == names
    described = describe_version(backend, trained.version)
    assert described["TrainingDataResult"] == {
        "Input": {},
        "Output": {"Assets": [{"GroundTruthManifest": s3_object_of("TrainingGroundTruth")}]},
        "Validation": {"Assets": [{"GroundTruthManifest": s3_object_of("TrainingManifestWithValidation")}]},
    }
    assert described["TestingDataResult"] == {
        "Input": {"AutoCreate": False},
        "Output": {
            "Assets": [{"GroundTruthManifest": s3_object_of("TestingGroundTruth")}],
            "AutoCreate": False,
        },
        "Validation": {"Assets": [{"GroundTruthManifest": s3_object_of("TestingManifestWithValidation")}]},
    }
    assert described["ManifestSummary"] == s3_object_of("ManifestSummary")
    assert described["EvaluationResult"]["Summary"] == s3_object_of("EvaluationResultSummary")
    assert described["BillableTrainingTimeInSeconds"] >= 1


def test_the_evaluation_summary(trained: Trained) -> None:
    """The summary can be read, its metrics are those of the description, and its counts are right."""
    backend = trained.backend
    summary = json.loads(read_result(backend, "out/EvaluationResultSummary-birds-v1.json"))
    result = EvaluationResult.from_summary(summary)
    described = describe_version(backend, trained.version)
    assert summary["EvaluationDetails"]["ProjectVersionArn"] == trained.version
    assert (result.training_images, result.test_images) == (18, 6)
    assert set(LABELS) == set(result.labels)
    assert result.f1 == pytest.approx(described["EvaluationResult"]["F1Score"], abs=1e-6)
    assert result.f1 == 1.0


def test_the_snapshots(trained: Trained) -> None:
    """They have one line for each image in use; test lines have the labels that were found or are true."""
    training = lines_of(trained.backend, "out/TrainingGroundTruth-birds-v1.json")
    testing = lines_of(trained.backend, "out/TestingGroundTruth-birds-v1.json")
    assert (len(training), len(testing)) == (18, 6)
    assert list(range(1, 7)) == [line["rekognition-custom-labels-object-id"] for line in testing]
    summary = json.loads(read_result(trained.backend, "out/EvaluationResultSummary-birds-v1.json"))
    labels = summary["EvaluationDetails"]["Labels"]
    for lines, kind in ((training, "training"), (testing, "training"), (testing, "evaluation")):
        named: set[str] = set()
        for line in lines:
            pairs = {at: line.get(f"rekognition-custom-labels-{kind}-{at}-metadata") for at in range(9)}
            ((at, metadata),) = [(at, found) for at, found in pairs.items() if found is not None]
            assert labels[at] == metadata["class-name"]
            named.add(metadata["class-name"])
        assert named == set(LABELS)
    found = testing[0]["rekognition-custom-labels-evaluation-0-metadata"]
    assert found["rekognition-custom-labels-evaluation-details"]["is-true-positive"]


def test_a_program_that_counts_the_pairs_finds_a_perfect_model(trained: Trained) -> None:
    """As AWS's notebook of metrics does: a label is found where its pair is present."""
    summary = json.loads(read_result(trained.backend, "out/EvaluationResultSummary-birds-v1.json"))
    right = total = 0
    for line in lines_of(trained.backend, "out/TestingGroundTruth-birds-v1.json"):
        for at in range(len(summary["EvaluationDetails"]["Labels"])):
            found = f"rekognition-custom-labels-evaluation-{at}" in line
            true = f"rekognition-custom-labels-training-{at}" in line
            total += found
            right += found and true
    assert (right, total) == (6, 6)


def test_invalid_lines_are_skipped_and_reported(backend: Backend) -> None:
    """With up to 20 % invalid lines training succeeds; the validation files list the errors."""
    backend.s3.put_object(Bucket="puppies", Key="broken.png", Body=picture("blobs", 9)[:-200])
    backend.s3.put_object(Bucket="puppies", Key="small.png", Body=picture("blobs", 9, width=32, height=32))
    training = [
        *put_pictures(backend, "train", 6),
        manifest_line("s3://puppies/broken.png", "blobs"),
        manifest_line("s3://puppies/small.png", "blobs"),
        manifest_line("s3://puppies/missing.png", "blobs"),
        json.dumps({"source-ref": "s3://puppies/unlabelled.png"}),
    ]
    described = train(backend, training, put_pictures(backend, "test", 2))
    assert described["Status"] == "TRAINING_COMPLETED", described["StatusMessage"]
    summary = json.loads(read_result(backend, "out/ManifestSummary-birds-v1.json"))
    assert summary["errors"] == []
    assert summary["statistics"]["training"] == {
        "use_case": "IMAGE_LEVEL_LABELS",
        "total_json_lines": 22,
        "valid_json_lines": 18,
        "invalid_json_lines": 3,
        "ignored_json_lines": 1,
        "error_json_line_indices": [19, 20, 21],
        "errors": [],
    }
    lines = lines_of(backend, "out/TrainingManifestWithValidation-birds-v1.json")
    message = "The image is invalid. Check S3 path and/or image properties."
    assert [[{"code": "ERROR_INVALID_IMAGE", "message": message}]] * 3 == [
        line["errors"] for line in lines[18:21]
    ]
    assert lines[21]["warnings"] == [
        {"code": "WARNING_UNANNOTATED_RECORD", "message": "Record is unannotated."}
    ]
    assert len(lines_of(backend, "out/TrainingGroundTruth-birds-v1.json")) == 18


@pytest.mark.parametrize(
    ("training", "testing", "message", "where"),
    [
        (
            ["blobs", "dark", "blobs", ""],
            ["blobs", "dark"],
            "The manifest file contains too many invalid rows.",
            "training",
        ),
        (["blobs", "blobs"], ["blobs", "blobs"], "The manifest file has too few labels.", "training"),
        (
            ["blobs", "dark", "stripes"],
            ["owl", "fish", "blobs"],
            "Less than 50% label overlap between the training and testing manifest files.",
            None,
        ),
    ],
)
def test_content_errors_fail_the_training(
    backend: Backend, training: list[str], testing: list[str], message: str, where: str | None
) -> None:
    """TRAINING_FAILED with AWS's message, which the manifest summary repeats."""
    for label in ("blobs", "dark", "stripes", "owl", "fish"):
        for number in range(4):
            backend.s3.put_object(Bucket="puppies", Key=f"{label}{number}.png", Body=picture(label, number))
    manifests = [
        [
            manifest_line(
                f"s3://puppies/{label}{n}.png" if label else "s3://puppies/none.png", label or "dark"
            )
            for n, label in enumerate(labels)
        ]
        for labels in (training, testing)
    ]
    described = train(backend, *manifests)
    assert ("TRAINING_FAILED", message) == (described["Status"], described["StatusMessage"])
    assert "Validation" in described["TrainingDataResult"]
    assert "Output" not in described["TrainingDataResult"]
    summary = json.loads(read_result(backend, described["ManifestSummary"]["S3Object"]["Name"]))
    errors = summary["errors"] if where is None else summary["statistics"][where]["errors"]
    assert message in [error["message"] for error in errors]


@pytest.mark.parametrize("auto", [False, True])
def test_damaged_images_are_reported_with_other_errors(backend: Backend, *, auto: bool) -> None:
    """A truncated image has a valid header; it is reported even if training fails for another reason."""
    names = ("train/blobs0.png", "broken.png", "train/blobs1.png", "train/blobs2.png", "train/blobs3.png")
    for name in names:
        data = picture("blobs", int(name[-5]) if name[-5].isdigit() else 9)
        backend.s3.put_object(Bucket="puppies", Key=name, Body=data[:-200] if name == "broken.png" else data)
    lines = [manifest_line(f"s3://puppies/{name}", "blobs") for name in names]
    asset = put_manifest(backend, "one-label.manifest", lines)
    testing: dict[str, Any] = {"AutoCreate": True} if auto else {"Assets": [asset]}
    version = make_version(
        backend, make_project(backend), "v1", TrainingData={"Assets": [asset]}, TestingData=testing
    )

    described = describe_version(backend, version)

    assert described["Status"] == "TRAINING_FAILED"
    assert "too few labels" in described["StatusMessage"]
    summary = json.loads(read_result(backend, described["ManifestSummary"]["S3Object"]["Name"]))
    assert summary["statistics"]["training"]["error_json_line_indices"] == [2]
    assert summary["statistics"]["training"]["valid_json_lines"] == 4


def test_missing_images(backend: Backend) -> None:
    """Training fails with an error of its own if no image can be fetched."""
    lines = [manifest_line(f"s3://puppies/none/{n}.png", LABELS[n % 3]) for n in range(6)]
    described = train(backend, lines, lines)
    assert described["Status"] == "TRAINING_FAILED"
    summary = json.loads(read_result(backend, "out/ManifestSummary-birds-v1.json"))
    codes = [error["code"] for error in summary["statistics"]["training"]["errors"]]
    assert "ERROR_FAILED_IMAGES_S3_COPY" in codes


def test_file_errors_write_no_validation_files(backend: Backend) -> None:
    """With an empty dataset or a missing output bucket, the message says so and no file is written."""
    project = make_project(backend)
    lines = put_pictures(backend, "train", 2)
    make_dataset(backend, project, "TRAIN")
    make_dataset(backend, project, "TEST", lines)
    described = describe_version(backend, make_version(backend, project, "v1"))
    assert described["StatusMessage"] == "The manifest file is empty."
    assert "ManifestSummary" not in described
    described = describe_version(
        backend, make_version(backend, project, "v2", OutputConfig={"S3Bucket": "nobucket"})
    )
    assert described["StatusMessage"] == "Unable to write to output S3 bucket."


def test_training_with_manifests_and_auto_create(backend: Backend) -> None:
    """A project without datasets trains with two manifests, or splits one 80/20."""
    project = make_project(backend)
    asset = put_manifest(backend, "all.manifest", put_pictures(backend, "train", 5))
    arn = make_version(
        backend, project, "split", TrainingData={"Assets": [asset]}, TestingData={"AutoCreate": True}
    )
    described = describe_version(backend, arn)
    assert described["Status"] == "TRAINING_COMPLETED", described["StatusMessage"]
    assert described["TrainingDataResult"]["Input"] == {"Assets": [asset]}
    assert described["TestingDataResult"]["Input"] == {"AutoCreate": True}
    assert described["TestingDataResult"]["Output"]["AutoCreate"] is True
    snapshots = [
        lines_of(backend, f"out/{part}GroundTruth-birds-split.json") for part in ("Training", "Testing")
    ]
    assert [len(lines) for lines in snapshots] == [12, 3]
    test = put_manifest(backend, "test.manifest", put_pictures(backend, "test", 2))
    arn = make_version(
        backend, project, "given", TrainingData={"Assets": [asset]}, TestingData={"Assets": [test]}
    )
    described = describe_version(backend, arn)
    assert described["Status"] == "TRAINING_COMPLETED", described["StatusMessage"]
    assert described["TestingDataResult"]["Input"] == {"Assets": [test], "AutoCreate": False}


def test_manifests_that_fail_the_training(backend: Backend) -> None:
    """A missing manifest, an empty one, and one that cannot be split."""
    project = make_project(backend)
    cases = {
        "missing": (
            {"GroundTruthManifest": {"S3Object": {"Bucket": "puppies", "Name": "no"}}},
            "file extension or contents are invalid",
        ),
        "empty": (put_manifest(backend, "empty.manifest", []), "is empty"),
        "few": (
            put_manifest(backend, "few.manifest", put_pictures(backend, "few", 1)),
            "to perform auto-split",
        ),
    }
    for name, (asset, message) in cases.items():
        options: dict[str, Any] = {"TrainingData": {"Assets": [asset]}, "TestingData": {"AutoCreate": True}}
        described = describe_version(backend, make_version(backend, project, name, **options))
        assert described["Status"] == "TRAINING_FAILED"
        assert message in described["StatusMessage"]


def test_the_key_prefix_of_result_files(backend: Backend) -> None:
    """One slash separates prefix and name; with an empty prefix there is none."""
    project = make_project(backend)
    lines = put_pictures(backend, "train", 2)
    for kind in ("TRAIN", "TEST"):
        make_dataset(backend, project, kind, lines)
    for version, prefix in (("v1", "a/b/"), ("v2", "")):
        output = {"S3Bucket": "puppies", "S3KeyPrefix": prefix}
        described = describe_version(backend, make_version(backend, project, version, OutputConfig=output))
        assert (
            described["ManifestSummary"]["S3Object"]["Name"]
            == f"{prefix}ManifestSummary-birds-{version}.json"
        )
        assert described["OutputConfig"] == output


def test_training_is_deterministic(backend: Backend) -> None:
    """Two models trained on the same datasets give identical confidences."""
    project = make_project(backend)
    make_dataset(backend, project, "TRAIN", put_pictures(backend, "train", 4))
    make_dataset(backend, project, "TEST", put_pictures(backend, "test", 2))
    answers: list[Any] = []
    for name in ("v1", "v2"):
        arn = make_version(backend, project, name)
        backend.rekognition.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1)
        backend.settle()
        image = {"Bytes": picture("blobs", 77)}
        answer = backend.rekognition.detect_custom_labels(ProjectVersionArn=arn, Image=image, MinConfidence=0)
        answers.append(answer["CustomLabels"])
    assert answers[0] == answers[1]


def test_another_s3() -> None:
    """With a client of another S3, images, manifests and result files are there only."""
    with (
        LocalService() as other,
        open_backend("in process", s3=other.session().client("s3")) as backend,
    ):
        backend.s3.create_bucket(Bucket="puppies")
        described = train(backend, put_pictures(backend, "train", 4), put_pictures(backend, "test", 2))
        assert described["Status"] == "TRAINING_COMPLETED", described["StatusMessage"]
        keys = [
            item["Key"] for item in other.session().client("s3").list_objects_v2(Bucket="puppies")["Contents"]
        ]
        assert "out/ManifestSummary-birds-v1.json" in keys
        assert not (backend.service.path / "s3").exists()
