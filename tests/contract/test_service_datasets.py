"""Datasets: their seven operations."""

from __future__ import annotations

import json
from typing import Any

import pytest
from service_backends import (
    Backend,
    backend_fixture,  # noqa: F401 - fixtures
    boxes_line,
    describe_dataset,
    make_dataset,
    make_project,
    manifest_line,
    open_backend,
    put_manifest,
    refused,
)

from rekolabels.local import Quotas
from rekolabels.manifest import check_manifest

URI = "s3://puppies/images"


def cats_and_dogs(count: int) -> list[str]:
    """Return manifest lines, alternately labelled dog and cat."""
    return [manifest_line(f"{URI}/{n}.png", "cat" if n % 2 else "dog") for n in range(count)]


def entries(backend: Backend, arn: str, **filters: Any) -> list[dict[str, Any]]:
    """Return all entries that match the filters."""
    pages = backend.rekognition.get_paginator("list_dataset_entries").paginate(DatasetArn=arn, **filters)
    return [json.loads(line) for page in pages for line in page["DatasetEntries"]]


def numbers(found: list[dict[str, Any]]) -> list[int]:
    """Return the numbers in the names of the images."""
    return [int(entry["source-ref"].rsplit("/", 1)[1].split(".")[0]) for entry in found]


def test_a_dataset_from_a_manifest(backend: Backend) -> None:
    """CREATE_IN_PROGRESS is followed by CREATE_COMPLETE, with statistics and AWS's message."""
    project = make_project(backend)
    source = put_manifest(backend, "a.manifest", cats_and_dogs(5))
    with backend.held():
        arn = backend.rekognition.create_dataset(
            ProjectArn=project, DatasetType="TRAIN", DatasetSource=source
        )["DatasetArn"]
        assert describe_dataset(backend, arn)["Status"] == "CREATE_IN_PROGRESS"
        with refused("ResourceNotReadyException"):
            backend.rekognition.list_dataset_entries(DatasetArn=arn)
        with refused("ResourceNotReadyException"):
            backend.rekognition.list_dataset_labels(DatasetArn=arn)
        with refused("ResourceInUseException"):
            backend.rekognition.delete_dataset(DatasetArn=arn)
        with refused("ResourceInUseException"):
            backend.rekognition.update_dataset_entries(DatasetArn=arn, Changes={"GroundTruth": b"{}"})
    assert "/dataset/train/" in arn
    done = describe_dataset(backend, arn)
    assert done["DatasetStats"] == {
        "LabeledEntries": 5,
        "TotalEntries": 5,
        "TotalLabels": 2,
        "ErrorEntries": 0,
    }
    assert (done["Status"], done["StatusMessageCode"]) == ("CREATE_COMPLETE", "SUCCESS")
    assert done["StatusMessage"] == "The dataset was successfully created from the manifest file."
    first = entries(backend, arn)[0]
    assert json.loads(cats_and_dogs(1)[0]) | {"cl-metadata": {"is_labeled": True}} == first


def test_a_project_has_one_dataset_of_each_type(backend: Backend) -> None:
    """A second dataset of the same type is refused until the first is deleted."""
    project = make_project(backend)
    arn = make_dataset(backend, project)
    assert describe_dataset(backend, arn)["DatasetStats"]["TotalEntries"] == 0
    with refused("ResourceAlreadyExistsException", arn):
        backend.rekognition.create_dataset(ProjectArn=project, DatasetType="TRAIN")
    make_dataset(backend, project, "TEST")
    (description,) = backend.rekognition.describe_projects()["ProjectDescriptions"]
    assert [dataset["DatasetType"] for dataset in description["Datasets"]] == ["TRAIN", "TEST"]
    with backend.held():
        backend.rekognition.delete_dataset(DatasetArn=arn)
        assert describe_dataset(backend, arn)["Status"] == "DELETE_IN_PROGRESS"
        with refused("ResourceInUseException"):
            backend.rekognition.delete_dataset(DatasetArn=arn)
    with refused("ResourceNotFoundException"):
        describe_dataset(backend, arn)
    assert make_dataset(backend, project) != arn


def test_a_copy_of_a_dataset(backend: Backend) -> None:
    """A dataset can be copied into another project; the copy outlives the original."""
    original = make_dataset(
        backend, make_project(backend), "TRAIN", [*cats_and_dogs(3), boxes_line(f"{URI}/9.png", "cat")]
    )
    copy = make_dataset(
        backend, make_project(backend, "fish"), "TEST", DatasetSource={"DatasetArn": original}
    )
    assert entries(backend, original) == entries(backend, copy)
    assert (
        describe_dataset(backend, copy)["DatasetStats"] == describe_dataset(backend, original)["DatasetStats"]
    )
    backend.rekognition.delete_dataset(DatasetArn=original)
    backend.settle()
    labels = backend.rekognition.list_dataset_labels(DatasetArn=copy)["DatasetLabelDescriptions"]
    assert labels[1] == {"LabelName": "cat", "LabelStats": {"EntryCount": 2, "BoundingBoxCount": 1}}


@pytest.mark.parametrize(
    "source", [{}, {"GroundTruthManifest": {}}, {"GroundTruthManifest": {"S3Object": {"Bucket": "puppies"}}}]
)
def test_an_incomplete_source_is_refused(backend: Backend, source: dict[str, Any]) -> None:
    """DatasetSource needs exactly one complete member."""
    with refused("InvalidParameterException"):
        backend.rekognition.create_dataset(
            ProjectArn=make_project(backend), DatasetType="TRAIN", DatasetSource=source
        )


def test_a_missing_source_is_refused(backend: Backend) -> None:
    """The manifest, the dataset to copy, or the project does not exist."""
    project = make_project(backend)
    source = {"GroundTruthManifest": {"S3Object": {"Bucket": "puppies", "Name": "none.manifest"}}}
    with refused("InvalidS3ObjectException", "none.manifest"):
        backend.rekognition.create_dataset(ProjectArn=project, DatasetType="TRAIN", DatasetSource=source)
    missing = f"{project.rsplit('/', 1)[0]}/dataset/train/1234567890123"
    with refused("ResourceNotFoundException", missing):
        make_dataset(backend, project, DatasetSource={"DatasetArn": missing})
    with refused("ResourceNotFoundException"):
        backend.rekognition.create_dataset(ProjectArn=f"{project}9", DatasetType="TRAIN")
    assert backend.rekognition.describe_projects()["ProjectDescriptions"][0]["Datasets"] == []


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{}", "x", *cats_and_dogs(4)], "The manifest file has too many terminal errors."),
        (
            [*cats_and_dogs(2), manifest_line("s3://other-bucket/a.png", "cat")],
            "The manifest file contains images from multiple S3 buckets.",
        ),
        (
            [manifest_line(f"{URI}/{n}.png", f"label{n}") for n in range(251)],
            "The manifest file has too many labels.",
        ),
    ],
)
def test_terminal_errors_fail_the_creation(backend: Backend, lines: list[str], message: str) -> None:
    """CREATE_FAILED with AWS's message; the dataset exists, is empty, and can be deleted."""
    arn = make_dataset(backend, make_project(backend), "TRAIN", lines)
    failed = describe_dataset(backend, arn)
    assert ("CREATE_FAILED", "CLIENT_ERROR", message) == (
        failed["Status"],
        failed["StatusMessageCode"],
        failed["StatusMessage"],
    )
    assert failed["DatasetStats"]["TotalEntries"] == 0
    with refused("ResourceInUseException"):
        backend.rekognition.update_dataset_entries(DatasetArn=arn, Changes={"GroundTruth": b"{}"})
    backend.rekognition.delete_dataset(DatasetArn=arn)


def test_an_empty_manifest_creates_an_empty_dataset(backend: Backend) -> None:
    """AWS documents no error for it, and neither does check_manifest: only training needs lines."""
    assert check_manifest(b"", stage="dataset").ok
    made = describe_dataset(backend, make_dataset(backend, make_project(backend), "TRAIN", []))
    assert (made["Status"], made["DatasetStats"]["TotalEntries"]) == ("CREATE_COMPLETE", 0)


def test_too_many_lines() -> None:
    """More lines than the quota fail the creation."""
    with open_backend("in process", quotas=Quotas(images_per_dataset=4)) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        arn = make_dataset(backend, make_project(backend), "TRAIN", cats_and_dogs(5))
        assert describe_dataset(backend, arn)["StatusMessage"] == "The manifest file has too many rows."


def test_lines_that_a_dataset_skips(backend: Backend) -> None:
    """Invalid JSON, a missing or invalid source-ref, and repeated images are skipped without an error."""
    lines = [
        *cats_and_dogs(16),
        "not json",
        '{"cat": 1}',
        manifest_line("https://puppies/1.png", "cat"),
        manifest_line(f"{URI}/3.png", "fish"),
    ]
    arn = make_dataset(backend, make_project(backend), "TRAIN", lines)
    assert describe_dataset(backend, arn)["DatasetStats"]["TotalEntries"] == 16
    assert "fish" not in entries(backend, arn)[3]


def test_entries_contain_their_errors(backend: Backend) -> None:
    """An invalid line is stored with its errors, and HasErrors=True finds it; False is not a filter."""
    bad = json.loads(manifest_line(f"{URI}/9.png", "cat"))
    bad["cat-metadata"]["type"] = "groundtruth/wrong"
    arn = make_dataset(backend, make_project(backend), "TRAIN", [*cats_and_dogs(9), json.dumps(bad)])
    assert describe_dataset(backend, arn)["DatasetStats"]["ErrorEntries"] == 1
    (entry,) = entries(backend, arn, HasErrors=True)
    assert entry["cl-errors"] == [
        {"code": "ERROR_NO_VALID_LABEL_ATTRIBUTES", "message": "No valid label attributes found."}
    ]
    assert entry["cat-metadata"]["cl-errors"][0]["code"] == "ERROR_UNSUPPORTED_USE_CASE_TYPE"
    assert len(entries(backend, arn, HasErrors=False)) == 10


def test_filters_are_combined_with_and(backend: Backend) -> None:
    """Filters are labels (any of them), Labeled, and a part of the source; all of them must match."""
    lines = [
        *cats_and_dogs(6),
        json.dumps({"source-ref": f"{URI}/6.png"}),
        boxes_line(f"{URI}/7.png", "cat", "owl"),
    ]
    arn = make_dataset(backend, make_project(backend), "TRAIN", lines)
    assert list(range(8)) == numbers(entries(backend, arn))
    assert numbers(entries(backend, arn, ContainsLabels=["cat", "owl"])) == [1, 3, 5, 7]
    assert numbers(entries(backend, arn, Labeled=False)) == [6]
    assert numbers(entries(backend, arn, Labeled=True)) == [0, 1, 2, 3, 4, 5, 7]
    assert numbers(entries(backend, arn, ContainsLabels=["cat"], SourceRefContains="7.p")) == [7]
    assert numbers(entries(backend, arn, ContainsLabels=["cat"], Labeled=False)) == []
    assert numbers(entries(backend, arn, SourceRefContains="%")) == []


def test_pages_of_entries_and_labels(backend: Backend) -> None:
    """Small pages have the same entries and labels in the same order; the last page has no token."""
    lines = [manifest_line(f"{URI}/{n}.png", f"label{n % 7}") for n in range(20)]
    arn = make_dataset(backend, make_project(backend), "TRAIN", lines)
    assert entries(backend, arn) == entries(backend, arn, PaginationConfig={"PageSize": 3})
    pages = backend.rekognition.get_paginator("list_dataset_labels").paginate(
        DatasetArn=arn, PaginationConfig={"PageSize": 2}
    )
    labels = [label["LabelName"] for page in pages for label in page["DatasetLabelDescriptions"]]
    assert [f"label{n}" for n in range(7)] == labels
    first = backend.rekognition.list_dataset_entries(DatasetArn=arn, MaxResults=5, NextToken="")
    assert len(first["DatasetEntries"]) == 5
    with refused("InvalidPaginationTokenException"):
        backend.rekognition.list_dataset_labels(DatasetArn=arn, NextToken=first["NextToken"])
    assert "NextToken" not in backend.rekognition.list_dataset_entries(DatasetArn=arn)
    assert "NextToken" not in backend.rekognition.list_dataset_labels(DatasetArn=arn)


def test_labels_with_values_that_are_strings(backend: Backend) -> None:
    """Lines of AWS's feedback solution have "0" as value; what is counted is what a training takes."""
    lines = [
        manifest_line(f"{URI}/0.png", "plum", plum="0"),
        manifest_line(f"{URI}/1.png", "fig", fig="-12"),
        manifest_line(f"{URI}/2.png", "date", date="zero"),
        manifest_line(f"{URI}/3.png", "apple", **{"apple-metadata": {}}),
    ]
    arn = make_dataset(backend, make_project(backend), "TRAIN", lines)
    stats = describe_dataset(backend, arn)["DatasetStats"]
    assert stats == {"TotalEntries": 4, "LabeledEntries": 2, "TotalLabels": 2, "ErrorEntries": 2}
    found = backend.rekognition.list_dataset_labels(DatasetArn=arn)["DatasetLabelDescriptions"]
    assert [label["LabelName"] for label in found] == ["plum", "fig"]
    assert [len(json.dumps(entry).split("cl-errors")) - 1 for entry in entries(backend, arn)] == [0, 0, 1, 1]


def test_labels_in_the_order_of_their_first_appearance(backend: Backend) -> None:
    """Labels are listed as the entries name them, in every page size; a replaced entry keeps its place."""
    lines = [
        manifest_line(f"{URI}/0.png", "plum", "apple"),
        manifest_line(f"{URI}/1.png", "fig", "plum"),
        boxes_line(f"{URI}/2.png", "date", "banana", "date"),
    ]
    arn = make_dataset(backend, make_project(backend), "TRAIN", lines)

    def labels(size: int) -> list[str]:
        pages = backend.rekognition.get_paginator("list_dataset_labels").paginate(
            DatasetArn=arn, PaginationConfig={"PageSize": size}
        )
        return [label["LabelName"] for page in pages for label in page["DatasetLabelDescriptions"]]

    assert [labels(size) for size in (1, 2, 100)] == [["plum", "apple", "fig", "date", "banana"]] * 3
    replaced = manifest_line(f"{URI}/0.png", "cherry", "apple").encode()
    backend.rekognition.update_dataset_entries(DatasetArn=arn, Changes={"GroundTruth": replaced})
    backend.settle()
    assert labels(100) == ["cherry", "apple", "fig", "plum", "date", "banana"]
    copy = make_dataset(backend, make_project(backend, "copies"), "TRAIN", DatasetSource={"DatasetArn": arn})
    found = backend.rekognition.list_dataset_labels(DatasetArn=copy)["DatasetLabelDescriptions"]
    assert [label["LabelName"] for label in found] == labels(100)


def test_an_update_replaces_and_adds(backend: Backend) -> None:
    """Entries of known images are replaced in place, others added; the service's own keys are rebuilt."""
    arn = make_dataset(backend, make_project(backend), "TRAIN", cats_and_dogs(2))
    known = entries(backend, arn)[1]
    sent = json.loads(manifest_line(f"{URI}/1.png", "owl")) | {
        "cl-metadata": {"is_labeled": False},
        "cl-errors": [{}],
    }
    content = "\n".join([json.dumps(sent), manifest_line(f"{URI}/2.png", "owl"), ""])
    with backend.held():
        backend.rekognition.update_dataset_entries(DatasetArn=arn, Changes={"GroundTruth": content.encode()})
        assert describe_dataset(backend, arn)["Status"] == "UPDATE_IN_PROGRESS"
        with refused("ResourceInUseException"):
            backend.rekognition.list_dataset_entries(DatasetArn=arn)
        with refused("ResourceInUseException"):
            backend.rekognition.update_dataset_entries(DatasetArn=arn, Changes={"GroundTruth": b"{}"})
        with refused("ResourceInUseException"):
            backend.rekognition.delete_dataset(DatasetArn=arn)
    assert describe_dataset(backend, arn)["Status"] == "UPDATE_COMPLETE"
    assert numbers(entries(backend, arn)) == [0, 1, 2]
    replaced = entries(backend, arn)[1]
    assert known != replaced
    assert replaced["cl-metadata"] == {"is_labeled": True}
    assert "cl-errors" not in replaced
    labels = backend.rekognition.list_dataset_labels(DatasetArn=arn)["DatasetLabelDescriptions"]
    assert [(one["LabelName"], one["LabelStats"]["EntryCount"]) for one in labels] == [("dog", 1), ("owl", 2)]


def test_a_failed_update_keeps_the_entries(backend: Backend) -> None:
    """UPDATE_FAILED with a message; the earlier entries stay, and the next update can succeed."""
    arn = make_dataset(backend, make_project(backend), "TRAIN", cats_and_dogs(2))
    other = manifest_line("s3://other-bucket/a.png", "cat").encode()
    backend.rekognition.update_dataset_entries(DatasetArn=arn, Changes={"GroundTruth": other})
    backend.settle()
    failed = describe_dataset(backend, arn)
    assert failed["Status"] == "UPDATE_FAILED"
    assert failed["StatusMessage"] == "The manifest file contains images from multiple S3 buckets."
    assert numbers(entries(backend, arn)) == [0, 1]
    good = manifest_line(f"{URI}/2.png", "cat").encode()
    backend.rekognition.update_dataset_entries(DatasetArn=arn, Changes={"GroundTruth": good})
    backend.settle()
    assert describe_dataset(backend, arn)["Status"] == "UPDATE_COMPLETE"
    with refused("InvalidParameterException", "UTF-8"):
        backend.rekognition.update_dataset_entries(DatasetArn=arn, Changes={"GroundTruth": b"\xff"})


def test_distribution_is_stratified_by_label(backend: Backend) -> None:
    """20 % of each label move to the empty test dataset; meanwhile both are UPDATE_IN_PROGRESS."""
    project = make_project(backend)
    train, test = (
        make_dataset(backend, project, "TRAIN", cats_and_dogs(20)),
        make_dataset(backend, project, "TEST"),
    )
    with backend.held():
        backend.rekognition.distribute_dataset_entries(Datasets=[{"Arn": test}, {"Arn": train}])
        assert [describe_dataset(backend, arn)["Status"] for arn in (train, test)] == [
            "UPDATE_IN_PROGRESS"
        ] * 2
        with refused("ResourceNotReadyException"):
            backend.rekognition.distribute_dataset_entries(Datasets=[{"Arn": test}, {"Arn": train}])
    assert [describe_dataset(backend, arn)["Status"] for arn in (train, test)] == ["UPDATE_COMPLETE"] * 2
    kept, moved = numbers(entries(backend, train)), numbers(entries(backend, test))
    assert (len(kept), len(moved)) == (16, 4)
    assert list(range(20)) == sorted(kept + moved)
    assert sum(number % 2 for number in moved) == 2
    with refused("InvalidParameterException", "not empty"):
        backend.rekognition.distribute_dataset_entries(Datasets=[{"Arn": train}, {"Arn": test}])


def test_datasets_that_cannot_be_distributed(backend: Backend) -> None:
    """Two datasets of one type or of two projects are refused; too few images fail both datasets."""
    project, other = make_project(backend), make_project(backend, "fish")
    train = make_dataset(backend, project, "TRAIN", [*cats_and_dogs(4), manifest_line(f"{URI}/9.png", "owl")])
    foreign, test = make_dataset(backend, other, "TEST"), make_dataset(backend, project, "TEST")
    for pair in ((train, train), (train, foreign)):
        with refused("InvalidParameterException"):
            backend.rekognition.distribute_dataset_entries(Datasets=[{"Arn": arn} for arn in pair])
    backend.rekognition.distribute_dataset_entries(Datasets=[{"Arn": train}, {"Arn": test}])
    backend.settle()
    for arn in (train, test):
        failed = describe_dataset(backend, arn)
        assert failed["Status"] == "UPDATE_FAILED"
        assert "enough labeled images to distribute" in failed["StatusMessage"]
    assert describe_dataset(backend, train)["DatasetStats"]["TotalEntries"] == 5
