"""Accuracy, training and detection times, and peak memory of the embedded service's models.

    python benchmarks/bench_engine.py --data ../shared/data --seeds 1 2 3

Everything runs through the public API: images are read, split (one fifth is held out) and uploaded, a model
version is trained, evaluated and started, and test images are detected one by one. Nothing was tuned on the
held-out images: the engine chooses its hyperparameters by cross-validation among the training images of the
same split. Missing sets are skipped. Each set runs in a process of its own, so that its first training is a
cold start, including libraries and network; the second one trains on the same images again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from rekolabels import LabelledImage
from rekolabels.evaluation import score_classification
from rekolabels.formats import read_folder, read_voc
from rekolabels.local import LocalService
from rekolabels.splits import split

if TYPE_CHECKING:
    from rekolabels.models import ModelVersion

_TEST = 0.2


@attrs.frozen
class Task:
    """A set to train on, and its targets."""

    name: str
    folder: str
    metric: str
    target: float
    """Minimum of the metric, as the mean over the seeds."""
    cold: float
    """Maximum time of the first training in seconds."""
    detect: float
    """Maximum time of one detection in milliseconds."""


TASKS = (
    Task("single label", "clothing-300", "macro F1", 0.95, 10, 30),
    Task("several labels", "playing-cards-120", "mAP", 0.65, 10, 30),
    Task("boxes, cards", "playing-cards-120", "mAP@0.5", 0.75, 60, 150),
    Task("boxes, cells", "blood-cells-120", "mAP@0.5", 0.83, 60, 150),
)
_AGAIN = 2.0
"""Maximum time of a second training on the same images in seconds."""


@attrs.frozen
class Measured:
    """The measurements of a task."""

    scores: Sequence[float]
    """The metric for each seed."""
    cold: float
    again: float
    detect: float
    megabytes: float


def main() -> None:
    """Print a table with one row for each task."""
    parser = argparse.ArgumentParser(description="Measure the training engine.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--only", choices=[task.name for task in TASKS])
    options = parser.parse_args()
    print("| | target | mean | a seed | first training | again | detect | peak memory |")
    print("|---|---|---|---|---|---|---|---|")
    for task in TASKS:
        if options.only not in {None, task.name}:
            continue
        if not (options.data / task.folder).is_dir():
            print(f"| {task.name} | skipped: there is no {options.data / task.folder} |")
            continue
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            print(row(task, pool.submit(measure, task, options.data, options.seeds).result()), flush=True)


def row(task: Task, found: Measured) -> str:
    """Return one row of the table; values that miss their target are marked."""
    mean = statistics.fmean(found.scores)
    scores = " ".join(f"{score:.3f}" for score in found.scores)
    cells = [
        f"{task.name}: {task.metric}",
        f"{task.target}",
        f"{mean:.3f}{mark(missed=mean < task.target)}",
        scores,
        f"{found.cold:.1f} s{mark(missed=found.cold > task.cold)}",
        f"{found.again:.1f} s{mark(missed=found.again > _AGAIN)}",
        f"{found.detect:.0f} ms{mark(missed=found.detect > task.detect)}",
        f"{found.megabytes:.0f} MB",
    ]
    return f"| {' | '.join(cells)} |"


def mark(*, missed: bool) -> str:
    """Return the mark for a value that misses its target."""
    return " (!)" if missed else ""


def measure(task: Task, data: Path, seeds: Sequence[int]) -> Measured:
    """Train with each seed in one workspace, so that features are computed only once."""
    images = read(task, data)
    scores: list[float] = []
    cold = again = detect = 0.0
    with tempfile.TemporaryDirectory() as workspace:
        for number, seed in enumerate(seeds):
            with LocalService(workspace, seed=seed) as service:
                client = service.client(bucket="bench")
                project = client.create_project(f"seed-{seed}")
                project.create_datasets(images, test=_TEST, seed=seed)
                model = project.train("v1")
                duration = seconds(model)
                held_out = split(images, test=_TEST, seed=seed).test
                if not number:
                    cold, again = duration, seconds(project.train("v2"))
                    detect = milliseconds(model, [one.source for one in held_out])
                scores.append(score(task, model, held_out))
    return Measured(scores, cold, again, detect, megabytes())


def read(task: Task, data: Path) -> list[LabelledImage]:
    """Return the labelled images of a task."""
    folder = data / task.folder
    if task.name == "single label":
        return list(read_folder(folder))
    boxed = list(read_voc(folder / "annotations", images=folder / "images"))
    if task.name != "several labels":
        return boxed
    return [LabelledImage(one.source, labels=sorted({box.label for box in one.boxes})) for one in boxed]


def seconds(model: ModelVersion) -> float:
    """Wait for a training, and return its duration by the clock of the service, in seconds."""
    model.wait_until_trained()
    described = model.describe()
    assert described.created_at is not None
    assert described.training_ended_at is not None
    return (described.training_ended_at - described.created_at).total_seconds()


def milliseconds(model: ModelVersion, images: Sequence[str]) -> float:
    """Return the median time of a detection in milliseconds, without the first, which loads the model."""
    with model.running(min_inference_units=1) as running:
        times: list[float] = []
        for image in images:
            started = time.perf_counter()
            running.detect(image)
            times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times[1:])


def score(task: Task, model: ModelVersion, held_out: Sequence[LabelledImage]) -> float:
    """Return the metric of a task on the held-out images.

    Classifiers predict them once more: the files of a training list no confidence below a threshold.
    """
    result = model.evaluation()
    if task.metric == "mAP@0.5":
        return result.mean_average_precision or 0.0
    with model.running() as running:
        predictions = [
            {found.label: found.confidence / 100 for found in running.detect(image.source, min_confidence=0)}
            for image in held_out
        ]
    if task.metric == "mAP":
        truths = [image.labels for image in held_out]
        scored = score_classification(truths, predictions, list(result.labels)).values()
        return statistics.fmean(one for label in scored if (one := label.average_precision()) is not None)
    return macro_f1(held_out, predictions)


def macro_f1(images: Sequence[LabelledImage], predictions: Sequence[Mapping[str, float]]) -> float:
    """Return the macro F1 when the most confident label is the prediction, so that no threshold matters."""
    pairs = [
        (image.labels[0], max(found, key=lambda label, found=found: found[label]))
        for image, found in zip(images, predictions, strict=True)
    ]
    return statistics.fmean(
        2 * pairs.count((label, label)) / sum((true == label) + (found == label) for true, found in pairs)
        for label in {true for true, _ in pairs}
    )


def megabytes() -> float:
    """Return the peak memory of this process in MB."""
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
