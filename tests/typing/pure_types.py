"""The types that user code gets from the pure packages. ``make check`` reads this file; it is not run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

from rekolabels import BoundingBox, ImageSize, LabelledImage
from rekolabels.evaluation import (
    Comparison,
    ConfusionCounts,
    EvaluationResult,
    LabelMetrics,
    Mistake,
    ThresholdPolicy,
)
from rekolabels.formats import read_coco, read_csv, read_folder, read_ground_truth, read_voc, read_yolo
from rekolabels.manifest import (
    Issue,
    ManifestReport,
    RepairReport,
    check_manifest,
    format_line,
    parse_line,
    read_manifest,
    repair_manifest,
    write_manifest,
)
from rekolabels.splits import Balance, Split, folds, split


def values() -> None:
    """Labels and boxes accept iterables and are stored as tuples."""
    box = BoundingBox("puppy", 10, 20, 100, 80)
    image = LabelledImage(Path("dog.jpg"), labels={"puppy"}, boxes=[box], size=ImageSize(640, 480))
    assert_type(image.source, str)
    assert_type(image.labels, tuple[str, ...])
    assert_type(image.boxes, tuple[BoundingBox, ...])
    assert_type(image.size, ImageSize | None)
    assert_type(box.left, float)


def formats() -> None:
    """Every reader yields labelled images."""
    assert_type(read_folder("puppies"), Iterator[LabelledImage])
    assert_type(read_csv(Path("labels.csv")), Iterator[LabelledImage])
    assert_type(read_coco("instances.json"), Iterator[LabelledImage])
    assert_type(read_voc("Annotations"), Iterator[LabelledImage])
    assert_type(read_yolo("data.yaml"), Iterator[LabelledImage])
    assert_type(read_ground_truth("output.manifest"), Iterator[LabelledImage])


def manifests(images: list[LabelledImage]) -> None:
    """Reading, writing, checking and repairing manifests."""
    assert_type(read_manifest("train.manifest"), Iterator[LabelledImage])
    assert_type(write_manifest(images, "train.manifest"), int)
    assert_type(parse_line(format_line(images[0])), LabelledImage)
    report = check_manifest("train.manifest", testing="test.manifest")
    assert_type(report, ManifestReport)
    assert_type(report.ok, bool)
    for issue in report.issues:
        assert_type(issue, Issue)
        assert_type(issue.line, int | None)
    assert_type(repair_manifest("train.manifest", "repaired.manifest"), RepairReport)


def splits(images: list[LabelledImage]) -> None:
    """A split has two parts; folds are splits."""
    parts = split(images, test=0.25, seed=1, group_by=lambda image: image.source)
    assert_type(parts, Split)
    assert_type(parts.train, tuple[LabelledImage, ...])
    assert_type(parts.test, tuple[LabelledImage, ...])
    assert_type(parts.balance, Balance)
    for fold in folds(images, 5, seed=1):
        assert_type(fold, Split)


def evaluations(result: EvaluationResult, other: EvaluationResult) -> None:
    """Figures may be undefined, and say so."""
    assert_type(EvaluationResult.from_summary({}), EvaluationResult)
    assert_type(result.f1, float | None)
    assert_type(result.labels["puppy"], LabelMetrics)
    assert_type(result.labels["puppy"].threshold, float | None)
    assert_type(result.at(0.8), EvaluationResult)
    assert_type(result.confusion(), ConfusionCounts)
    assert_type(result.mistakes(), list[Mistake])
    assert_type(result.compare(other), Comparison)
    assert_type(result.save("evaluation.html"), Path)
    policy = ThresholdPolicy.load("policy.json")
    assert_type(policy, ThresholdPolicy)
