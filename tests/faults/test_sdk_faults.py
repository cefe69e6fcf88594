"""From images to an evaluation under faults: it succeeds, or fails with our error and can be run again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sdk_backends import write_folder

from rekolabels import RekolabelsError, RetryPolicy
from rekolabels.formats import read_folder
from rekolabels.local import Fault, FaultPlan, LocalService

if TYPE_CHECKING:
    from pathlib import Path

    from rekolabels import Client, ModelVersion

QUICK = RetryPolicy(first_poll=0.005, max_poll=0.02, first_delay=0.001, max_delay=0.01)
MANY_RUNS = 12


def run_all_steps(client: Client, folder: Path) -> ModelVersion:
    """Do all steps from images to an evaluation, like a script that is run again after an error."""
    client.ensure_bucket()
    project = client.create_project("faults", exist_ok=True)
    project.create_datasets(read_folder(folder), seed=1)
    versions = list(project.models())
    model = versions[0] if versions else project.train("v1")
    model.wait_until_trained()
    assert sorted(model.evaluation().labels) == ["amber", "blue"]
    return model


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(
            [Fault.throttled(probability=0.3), Fault.error("SlowDown", "S3", probability=0.3)],
            id="throttling",
        ),
        pytest.param([Fault.broken(probability=0.2), Fault.broken("S3", probability=0.2)], id="faults"),
        pytest.param([Fault.dropped(probability=0.2), Fault.dropped("S3", probability=0.2)], id="lost"),
        pytest.param([Fault.dropped(answered=True, probability=0.15)], id="lost answers"),
    ],
)
def test_all_steps_under_faults(faults: list[Fault], tmp_path: Path) -> None:
    """Each run succeeds or fails with our error; after several runs everything exists once."""
    folder = write_folder(tmp_path / "pictures")
    with LocalService(faults=FaultPlan(faults, seed=5)) as service:
        for _ in range(MANY_RUNS):
            try:
                client = service.client(bucket="faults", retry=QUICK)
                model = run_all_steps(client, folder)
                break
            except RekolabelsError as error:
                last = error
        else:
            pytest.fail(f"not done after {MANY_RUNS} runs: {last}")
        names = [project.name for project in client.projects()]
        assert names == ["faults"]
        project = client.project("faults")
        assert [found.version_name for found in project.models()] == [model.version_name]
        assert sum(dataset.describe().total_entries for dataset in project.datasets()) == 12


def test_many_images_under_faults(tmp_path: Path) -> None:
    """Of a thousand images under 5 % of faults, each gets exactly one outcome."""
    folder = write_folder(tmp_path / "pictures")
    faults = [
        Fault.overloaded("DetectCustomLabels", probability=0.02),
        Fault.broken("DetectCustomLabels", probability=0.02),
        Fault.dropped("DetectCustomLabels", probability=0.01),
    ]
    with LocalService(faults=FaultPlan(faults, seed=5)) as service:
        model = run_all_steps(service.client(bucket="faults", retry=QUICK), folder)
        images = [path.read_bytes() for path in sorted(folder.rglob("*.png"))] * 84
        with model.running() as running:
            outcomes = list(running.detect_many(images))
    assert [outcome.image for outcome in outcomes] == images
    assert [outcome.error for outcome in outcomes if outcome.error is not None] == []
