"""The training of a content moderation adapter: real, on the labels of the user's own manifest."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels.errors import CannotSplit, InvalidInput
from rekolabels.images import LabelledImage
from rekolabels.local._core._inference import store_model
from rekolabels.local._core._jsonl import read_lines
from rekolabels.local._engine import FeatureCache, Sample, UnusableImage, train
from rekolabels.local._jobs._manifests import choose_tests, message_of
from rekolabels.local._jobs._moderation import (
    BASE_MODEL,
    SAFE,
    AdapterLine,
    answers,
    confidences,
    evaluate_adapter,
    read_line,
)
from rekolabels.local._jobs._task import Task, TrainingStopped
from rekolabels.local._jobs._training_data import fetch_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from rekolabels.local._engine import Trained

__all__ = ["train_adapter"]

_THRESHOLD = 50.0
_MOST_INVALID = 0.2


@attrs.define
class _Side:
    """The training or the test lines."""

    lines: list[AdapterLine]
    problems: list[dict[str, str]] = attrs.field(factory=list[dict[str, str]])

    @property
    def usable(self) -> list[AdapterLine]:
        return [line for line in self.lines if line.code is None]

    def judge(self) -> None:
        """Note what makes the whole side useless."""
        bad = len(self.lines) - len(self.usable)
        if not self.lines:
            self._blame("ERROR_EMPTY_MANIFEST")
        elif bad > _MOST_INVALID * len(self.lines):
            self._blame("ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST")

    def summary(self) -> dict[str, Any]:
        """Its part of the manifest summary."""
        wrong = [number for number, line in enumerate(self.lines) if line.code is not None]
        return {
            "use_case": "CONTENT_MODERATION",
            "total_json_lines": len(self.lines),
            "valid_json_lines": len(self.lines) - len(wrong),
            "invalid_json_lines": len(wrong),
            "ignored_json_lines": 0,
            "error_json_line_indices": wrong,
            "errors": self.problems,
        }

    def _blame(self, code: str) -> None:
        self.problems.append({"code": code, "message": message_of(code)})


def train_adapter(task: Task) -> None:
    """Check the manifests, train, evaluate, write the results.

    Raises:
        TrainingStopped: The data is not fit for it; the message says why.
        FileProblem: A manifest cannot be read, or the output bucket not be written.
    """
    task.results.check_bucket()
    task.results.answer["BaseModelVersion"] = BASE_MODEL
    auto = bool(task.request["TestingData"].get("AutoCreate"))
    training = _read(task, "TrainingData")
    training.judge()
    if auto:
        testing = _split(training, task.context.seed)
    else:
        testing = _read(task, "TestingData")
        testing.judge()
    failure = next((one["message"] for side in (training, testing) for one in side.problems), None)
    trained = None
    if failure is None:
        try:
            trained = _learn(task, training.usable, testing.usable)
        except InvalidInput as error:
            failure = f"The labels of the manifest are not enough to learn from: {error}"
    _write_validation(task, training, testing)
    if trained is None:
        raise TrainingStopped(failure)
    _finish(task, training.usable, testing.usable, trained, auto=auto)


def _read(task: Task, member: str) -> _Side:
    path = task.folder / f"{member}.jsonl"
    fetch_manifest(task.context.s3(), task.request[member]["Assets"], path)
    with path.open("rb") as file:
        return _Side([_look(task, read_line(raw)) for raw in read_lines(file)])


def _look(task: Task, line: AdapterLine) -> AdapterLine:
    """Hold a good line against its image."""
    task.context.jobs.check()
    flaw = None if line.code is not None else task.images.flaw_of(line.source)
    return line if flaw is None else line.failed("ERROR_INVALID_IMAGE", str(flaw))


def _split(training: _Side, seed: int) -> _Side:
    """Take a fifth of the training lines for the test."""
    if training.problems:
        return _Side([])
    images = [
        None if line.code is not None else LabelledImage(line.source, tuple(sorted(_targets(line))))
        for line in training.lines
    ]
    try:
        chosen = choose_tests(images, seed=seed)
    except CannotSplit:
        code = "ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_AUTOSPLIT"
        training.problems.append({"code": code, "message": message_of(code)})
        return _Side([])
    tests = [line for number, line in enumerate(training.lines) if number in chosen]
    training.lines = [line for number, line in enumerate(training.lines) if number not in chosen]
    return _Side(tests)


def _targets(line: AdapterLine) -> frozenset[str]:
    return line.labels or frozenset({SAFE})


def _learn(task: Task, training: list[AdapterLine], testing: list[AdapterLine]) -> Trained:
    def samples(lines: list[AdapterLine]) -> list[Sample]:
        read = task.images.read
        return [Sample(one.source, functools.partial(read, one.source), _targets(one)) for one in lines]

    with FeatureCache(task.context.folder / "features.sqlite") as features:
        try:
            return train(
                samples(training),
                samples(testing),
                seed=task.context.seed,
                features=features,
                progress=task.report,
                engine=task.context.engine,
            )
        except UnusableImage as error:
            raise TrainingStopped(f"An image is damaged: {error}") from error


def _write_validation(task: Task, training: _Side, testing: _Side) -> None:
    paths: list[Path] = []
    for name, side in (("train", training), ("test", testing)):
        path = task.folder / f"{name}-annotated.jsonl"
        path.write_text("".join(f"{line.annotated}\n" for line in side.lines), encoding="utf-8")
        paths.append(path)
    summary: dict[str, Any] = {
        "errors": [],
        "statistics": {"training": training.summary(), "testing": testing.summary()},
    }
    task.results.write_validation(paths[0], paths[1], summary)


def _finish(
    task: Task, training: list[AdapterLine], testing: list[AdapterLine], trained: Trained, *, auto: bool
) -> None:
    found = [confidences(image) for image in trained.predictions]
    settings = task.request.get("FeatureConfig", {}).get("ContentModeration", {})
    threshold = settings.get("ConfidenceThreshold", _THRESHOLD)
    evaluation, score = evaluate_adapter([line.labels for line in testing], found, threshold)
    store_model(task.folder, trained.model, {})
    task.results.write_snapshots(
        (line.with_answers({}) for line in training),
        (line.with_answers(answers(one, task.job.arn)) for line, one in zip(testing, found, strict=True)),
        auto_created=auto,
    )
    now = datetime.fromtimestamp(task.context.clock(), UTC)
    labels = sorted({name for line in training for name in line.labels})
    evaluation["EvaluationDetails"] = {
        "EvaluationEndTimestamp": now.strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "Labels": labels,
        "NumberOfTestingImages": len(testing),
        "NumberOfTrainingImages": len(training),
        "ProjectVersionArn": task.job.arn,
    }
    task.results.write_evaluation(evaluation, score)
