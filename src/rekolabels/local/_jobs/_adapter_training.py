"""Training of a content moderation adapter on the labels of the user's own manifest."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels._files import open_private
from rekolabels.errors import CannotSplit, InvalidInput
from rekolabels.images import LabelledImage
from rekolabels.local._core._models import store_model
from rekolabels.local._core._s3_objects import read_lines
from rekolabels.local._engine import Sample, UnusableImage
from rekolabels.local._jobs._manifests import choose_test_images, content_error, fetch_manifest
from rekolabels.local._jobs._moderation import (
    BASE_MODEL,
    DEFAULT_MIN_CONFIDENCE,
    NO_LABEL,
    AdapterLine,
    evaluate_adapter,
    label_confidences,
    predictions,
    read_line,
)
from rekolabels.local._jobs._training_run import UnusableData

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rekolabels.local._engine import TrainingResult
    from rekolabels.local._jobs._training_run import TrainingRun

__all__ = ["train_adapter"]

_MAX_INVALID_SHARE = 0.2
"""Share of invalid lines, 0 to 1, up to which a manifest can be trained with."""


@attrs.define
class _Manifest:
    """The training or test lines, with what is wrong with them."""

    lines: list[AdapterLine]
    errors: list[dict[str, str]] = attrs.field(factory=list[dict[str, str]])
    """Content errors of the manifest as a whole."""

    @property
    def usable(self) -> list[AdapterLine]:
        return [line for line in self.lines if line.code is None]

    def check(self) -> None:
        """Note the content errors."""
        invalid = len(self.lines) - len(self.usable)
        if not self.lines:
            self.errors.append(content_error("ERROR_EMPTY_MANIFEST"))
        elif invalid > _MAX_INVALID_SHARE * len(self.lines):
            self.errors.append(content_error("ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST"))

    def summary(self) -> dict[str, Any]:
        """Return the statistics for the manifest summary."""
        invalid = [index for index, line in enumerate(self.lines) if line.code is not None]
        return {
            "use_case": "CONTENT_MODERATION",
            "total_json_lines": len(self.lines),
            "valid_json_lines": len(self.lines) - len(invalid),
            "invalid_json_lines": len(invalid),
            "ignored_json_lines": 0,
            "error_json_line_indices": invalid,
            "errors": self.errors,
        }


def train_adapter(run: TrainingRun) -> None:
    """Train an adapter: check the manifests, train, evaluate, write the results.

    Raises:
        UnusableData: The data cannot be trained with.
        ManifestFileError: A manifest cannot be read, or the output bucket cannot be written.
    """
    run.result_files.check_bucket()
    run.result_files.description["BaseModelVersion"] = BASE_MODEL
    auto_create = bool(run.request["TestingData"].get("AutoCreate"))
    train = _read_manifest(run, "TrainingData")
    train.check()
    if auto_create:
        test = _split(train, run.context.seed)
    else:
        test = _read_manifest(run, "TestingData")
        test.check()
    failure = next((error["message"] for part in (train, test) for error in part.errors), None)
    trained = None
    if failure is None:
        try:
            trained = _fit(run, train.usable, test.usable)
        except InvalidInput as error:
            failure = f"Cannot train with the labels of the manifest: {error}"
    _write_validation(run, train, test)
    if trained is None:
        raise UnusableData(failure)
    _write_results(run, train.usable, test.usable, trained, auto_create=auto_create)


def _read_manifest(run: TrainingRun, member: str) -> _Manifest:
    path = run.folder / f"{member}.jsonl"
    fetch_manifest(run.s3, run.request[member]["Assets"], path)
    with path.open("rb") as file:
        return _Manifest([_check_image(run, read_line(raw)) for raw in read_lines(file)])


def _check_image(run: TrainingRun, line: AdapterLine) -> AdapterLine:
    """Check the image of a valid line."""
    run.context.jobs.check()
    problem = None if line.code is not None else run.images.problem_with(line.source)
    return line if problem is None else line.with_error("ERROR_INVALID_IMAGE", str(problem))


def _split(train: _Manifest, seed: int) -> _Manifest:
    """Move 20 % of the training lines to a new test manifest."""
    if train.errors:
        return _Manifest([])
    images = [
        None if line.code is not None else LabelledImage(line.source, tuple(sorted(_targets(line))))
        for line in train.lines
    ]
    try:
        chosen = choose_test_images(images, seed=seed)
    except CannotSplit:
        train.errors.append(content_error("ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_AUTOSPLIT"))
        return _Manifest([])
    test = [line for index, line in enumerate(train.lines) if index in chosen]
    train.lines = [line for index, line in enumerate(train.lines) if index not in chosen]
    return _Manifest(test)


def _targets(line: AdapterLine) -> frozenset[str]:
    return line.labels or frozenset({NO_LABEL})


def _fit(run: TrainingRun, train: Sequence[AdapterLine], test: Sequence[AdapterLine]) -> TrainingResult:
    def samples(lines: Sequence[AdapterLine]) -> list[Sample]:
        read = run.images.read
        return [Sample(line.source, functools.partial(read, line.source), _targets(line)) for line in lines]

    try:
        return run.fit(samples(train), samples(test))
    except UnusableImage as error:
        raise UnusableData(f"An image is damaged: {error}") from error


def _write_validation(run: TrainingRun, train: _Manifest, test: _Manifest) -> None:
    paths: list[Path] = []
    for name, manifest in (("train", train), ("test", test)):
        path = run.folder / f"{name}-annotated.jsonl"
        with open_private(path, "w") as file:
            file.writelines(f"{line.validation_line}\n" for line in manifest.lines)
        paths.append(path)
    statistics = {"training": train.summary(), "testing": test.summary()}
    run.result_files.write_validation(paths[0], paths[1], {"errors": [], "statistics": statistics})


def _write_results(
    run: TrainingRun,
    train: Sequence[AdapterLine],
    test: Sequence[AdapterLine],
    trained: TrainingResult,
    *,
    auto_create: bool,
) -> None:
    found = [label_confidences(image) for image in trained.predictions]
    settings = run.request.get("FeatureConfig", {}).get("ContentModeration", {})
    threshold = settings.get("ConfidenceThreshold", DEFAULT_MIN_CONFIDENCE)
    evaluation, f1 = evaluate_adapter([line.labels for line in test], found, threshold)
    store_model(run.folder, trained.model, {})
    run.result_files.write_snapshots(
        (line.output_line({}) for line in train),
        (line.output_line(predictions(one, run.job.arn)) for line, one in zip(test, found, strict=True)),
        auto_created=auto_create,
    )
    now = datetime.fromtimestamp(run.context.clock(), UTC)
    evaluation["EvaluationDetails"] = {
        "EvaluationEndTimestamp": now.strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "Labels": sorted({name for line in train for name in line.labels}),
        "NumberOfTestingImages": len(test),
        "NumberOfTrainingImages": len(train),
        "ProjectVersionArn": run.job.arn,
    }
    run.result_files.write_evaluation(evaluation, f1)
