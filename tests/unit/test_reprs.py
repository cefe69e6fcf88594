"""The repr of every public class is one short line."""

from __future__ import annotations

import inspect
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from sdk_backends import QUICK, write_folder

import rekolabels
from public_names import listed, resolve
from rekolabels import BoundingBox, Box, Detection, ImageSize, LabelledImage, errors
from rekolabels.costs import Prices, RunCost, plan
from rekolabels.descriptions import EntryError, LabelCount, ProjectPolicy, UnitsInService
from rekolabels.evaluation import (
    AdapterCounts,
    AdapterEvaluation,
    AdapterThreshold,
    Counts,
    Discrepancy,
    EvaluationResult,
    LabelIssue,
    ScoredLabel,
    SnapshotImage,
    ThresholdPolicy,
    ValidationIssue,
    ValidationLine,
    evaluate_classification,
    write_testing_snapshot,
)
from rekolabels.formats import Problem, read_folder
from rekolabels.inference import Outcome, VideoFrame
from rekolabels.local import Durations, Fault, FaultPlan, LocalService, ManualClock, Quotas, Tps
from rekolabels.manifest import CheckedManifest, check_manifest, codes, repair_manifest
from rekolabels.splits import split
from rekolabels.testing import Recorded, Trainer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST = 320
"""Characters: four lines of a terminal, with the ARN or the message that some values have."""
NOW = datetime(2026, 12, 31, 23, 59, 59, 123456, tzinfo=UTC)
TWO_BOXES = [BoundingBox("corgi", 10.5, 20.5, 30.5, 40.5), BoundingBox("dalmatian", 1, 2, 3, 4)]
NOT_SHOWN = {"Detects"}
"""A base class."""


def values() -> Iterator[object]:
    """Yield values of the pure packages and of the embedded service, as large as they get."""
    boxed = LabelledImage("s3://bucket/a.jpg", boxes=TWO_BOXES, size=ImageSize(640, 480))
    yield from (boxed, TWO_BOXES[0], ImageSize(640, 480), SnapshotImage("s3://bucket/a.jpg", boxes=TWO_BOXES))
    yield rekolabels.Conversion("scans/1.tif", "TIFF, 5000 x 2500 pixels", "JPEG", ImageSize(4096, 2048))
    detection = Detection("dalmatian", 98.46153259277344, Box(0.1234567, 0.2345678, 0.3456789, 0.456789))
    yield from (detection, detection.box, Outcome(b"x" * 4_000_000, (detection,) * 20))
    yield Outcome("/home/somebody/pictures/of/dogs/a.jpg", error=errors.InvalidImage("a.jpg is empty"))
    yield VideoFrame("clip.mp4", 12.48, ImageSize(1920, 1080), b"x" * 1_000_000)
    yield from (EntryError("s3://bucket/a.jpg", "ERROR_X", "Wrong."), LabelCount("corgi", 10, 2))
    yield ProjectPolicy("share", "x" * 2000, "0123456789abcdef0123456789abcdef", NOW, NOW)
    yield UnitsInService(NOW, NOW, 1.5)
    prices = Prices(region="ap-southeast-2", training_hour=1.0, inference_unit_hour=4.0)
    yield from (
        prices,
        plan(100_000, prices=prices),
        RunCost(NOW, NOW, 5, (UnitsInService(NOW, NOW, 1),) * 99, prices),
    )
    images = [LabelledImage(f"s3://b/{label}/{n}.jpg", [label]) for label in "abcdef" for n in range(20)]
    parts = split(images)
    yield from (parts, parts.balance, parts.balance.labels[0])
    many = check_manifest([b'{"source-ref": 5}'] * 2000)
    yield from (many, many.issues[0], many.counts)
    line = b'{"source-ref": "s3://b/a.jpg", "l": 0, "l-metadata": {"class-name": "cat"}}'
    repaired = repair_manifest([line], io.BytesIO())
    yield from (repaired, *repaired.repairs[:1])
    yield CheckedManifest([b"{}"])
    yield from codes.CODES.values()
    yield Problem("labels.csv", "The label is missing", "Add it.", 7)
    counts = Counts(12_345, 12_345, 12_345, 12_345)
    adapters = AdapterCounts(counts, counts)
    threshold = AdapterThreshold(55.0, adapters, dict.fromkeys("abcdef", adapters))
    yield from (counts, adapters, threshold, AdapterEvaluation(threshold, (threshold,) * 20))
    yield Discrepancy("dalmatian", "precision", 0.123456789, 0.987654321)
    issue = ValidationIssue("ERROR_INVALID_BOUNDING_BOX", "The box is wrong.", "error", "a.annotations[0]")
    yield from (issue, ValidationLine(5, "s3://bucket/a.jpg", (issue,) * 9, {}))
    yield from (Fault.throttled(), FaultPlan([Fault.throttled()] * 9), Quotas(), Quotas.off(), Tps())
    yield from (Durations(training=3600), ManualClock(5), Quotas(projects=1, running_models=7))
    error = errors.Throttled("Rate exceeded", operation="DescribeProjects", code="ThrottlingException")
    yield from (rekolabels.RetryPolicy(), rekolabels.Retry(error, 2, 0.4))
    yield rekolabels.S3Location("bucket", "train/corgi.jpg")


def evaluations() -> Iterator[object]:
    """Yield what an evaluation consists of."""
    labels = [f"label {number}" for number in range(30)]
    truths = [[label] for label in labels for _ in range(4)]
    scores = [dict.fromkeys(labels, 1 / 7) | {truth[0]: 0.987654321} for truth in truths]
    scores[0] = {labels[5]: 0.7654321, labels[0]: 0.1234567}
    found = evaluate_classification(truths, scores, labels, project_version_arn="arn:aws:" + "x" * 90)
    images = [SnapshotImage(f"s3://bucket/{number}.jpg", truth) for number, truth in enumerate(truths)]
    lines = list(write_testing_snapshot(images, found.verdicts, NOW))
    result = EvaluationResult.from_snapshot(lines)
    yield from (found, found.result, result, result.labels[labels[0]], result.confusion_matrix)
    first = next(iter(result.images))
    yield from (first, first.verdicts[0], result.mistakes()[0], result.confusion())
    yield LabelIssue(first, labels[0], labels[5], 0.64, TWO_BOXES[0])
    comparison = result.compare(result, n_resamples=5)
    yield from (comparison, comparison.mcnemar, comparison.differences[0])
    scored = result.scores()[labels[0]]
    yield from (scored, scored.calibration(), scored.calibration().bins[0], ScoredLabel([0.5], [0.1] * 9))
    policy = ThresholdPolicy.best_f1(result, min_support=1)
    yield from (policy, policy.labels[labels[0]], result.box_metrics())


def handles(folder: Path) -> Iterator[object]:
    """Yield what the SDK returns for a project on the embedded service."""
    clock = ManualClock(0)
    with LocalService(folder / "workspace", engine="tiny", clock=clock) as service:
        yield service
        with service.serve() as server:
            yield server
        client = service.client(bucket="pets", prices=Prices("us-east-1", 1.0, 4.0), retry=QUICK)
        project = client.create_project("PuppyChallenge")
        yield from (client, project)
        yield from project.create_datasets(read_folder(write_folder(folder / "pictures")))
        model = project.train("v1")
        yield from (model, model.wait_until_trained(), model.validation(), model.training_cost())
        yield from (project.describe(), *project.describe().datasets, project.datasets()[0].describe())
        yield from (project.training_estimate(), next(project.datasets()[0].labels()))
        with model.running() as running:
            yield from (running, next(client.running_models()))
        yield Trainer(client, folder, {})
        yield Recorded(QUICK)


@pytest.fixture(name="examples", scope="module")
def examples_fixture(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """Examples of all public classes."""
    return [*values(), *evaluations(), *handles(tmp_path_factory.mktemp("reprs"))]


def test_a_repr_is_one_short_line(examples: list[object]) -> None:
    """It fits into a list or a log line, however many images or labels the value has."""
    shown = {type(example).__name__: repr(example) for example in examples}
    assert {
        name: text for name, text in shown.items() if "\n" in text or len(text) > LONGEST or " at 0x" in text
    } == {}


def test_a_text_of_several_lines_is_shown_in_notebooks(examples: list[object]) -> None:
    """A report or table at the end of a cell looks as ``print`` shows it."""
    texts = {type(example).__name__: str(example) for example in examples}
    tables = {type(example).__name__ for example in examples if hasattr(example, "_repr_html_")}
    assert {name for name, text in texts.items() if "\n" in text} - tables == set()
    report = check_manifest([LabelledImage("s3://pets/1.jpg", ["cat"])])
    assert report._repr_html_().startswith('<pre style="white-space: pre-wrap">Training would not start: ')


def test_every_public_class_has_an_example(examples: list[object]) -> None:
    """A new class gets one here."""
    classes: list[Any] = [resolve(name) for name in listed() if inspect.isclass(resolve(name))]
    names = {cls.__name__ for cls in classes if not issubclass(cls, BaseException)}
    assert names - NOT_SHOWN - {type(example).__name__ for example in examples} == set()


def test_a_repr_counts_what_it_leaves_out() -> None:
    """Many items are a number, one is shown."""
    one = LabelledImage("a.jpg", boxes=TWO_BOXES[:1])
    two = LabelledImage("a.jpg", boxes=TWO_BOXES)
    assert "boxes=(BoundingBox(label='corgi', left=10.5, top=20.5, width=30.5, height=40.5),)" in repr(one)
    assert repr(two) == "LabelledImage(source='a.jpg', labels=(), boxes=<2 boxes>, size=None)"


def test_quotas_show_what_differs() -> None:
    """The repr is the call that makes them."""
    shown = [Quotas(), Quotas(running_models=1), Quotas.off()]
    assert [repr(quotas) for quotas in shown] == ["Quotas()", "Quotas(running_models=1)", "Quotas.off()"]
    assert [eval(repr(quotas)) for quotas in shown] == shown  # noqa: S307 -- that is what is tested
