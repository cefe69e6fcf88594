"""The examples run, and do what their docstrings say."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import attrs
import pytest
from sdk_backends import write_folder

from rekolabels.formats import read_coco, read_folder
from rekolabels.local import LocalService
from rekolabels.manifest import check_manifest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(monkeypatch: pytest.MonkeyPatch, script: str, *arguments: object) -> int:
    """Run an example as from the command line, and return its exit code."""
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    try:
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_drawn_portraits_can_be_trained_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same seed draws the same images; the requested number are in a wrong folder."""
    for name in ("one", "two"):
        assert run(monkeypatch, "draw_puppies.py", tmp_path / name, "--images", 5, "--mislabelled", 2) == 0
    first, second = (sorted((tmp_path / name).rglob("*.jpg")) for name in ("one", "two"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    wrong = [path for path in first if path.name[0] != path.parent.name[0]]
    assert (len(first), len(wrong)) == (20, 2)
    assert check_manifest(read_folder(tmp_path / "one"), open_images=True).ok


def test_drawn_meadows_have_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each meadow has one to three boxes, all within the image."""
    assert run(monkeypatch, "draw_puppies.py", tmp_path, "--boxes", "--images", 24) == 0
    images = list(read_coco(tmp_path / "instances.json", images=tmp_path))
    assert {len(image.boxes) for image in images} <= {1, 2, 3}
    assert [str(issue) for issue in check_manifest(images, open_images=True) if issue.level != "ADVICE"] == []


@pytest.mark.parametrize("arguments", [["--images", 0], ["--images", -3], ["--mislabelled", 161]])
def test_images_that_cannot_be_drawn(
    arguments: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The option and its range are named, and nothing is drawn."""
    assert run(monkeypatch, "draw_puppies.py", tmp_path, *arguments) == 2
    assert f"{arguments[0]} is {arguments[1]}; expected" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a folder with the workspace of the gate: v2 learned the same as v1, v3 from exchanged labels."""
    images = list(read_folder(write_folder(tmp_path / "images", images=20)))
    monkeypatch.chdir(tmp_path)
    with LocalService("workspace", engine="tiny") as service:
        project = service.client(bucket="colours").create_project("Colours")
        train, _ = project.create_datasets(images, test=0.5, seed=7)
        labels = [count.label for count in train.labels()]
        for version in ("v1", "v2"):
            project.train(version).wait_until_trained()
        train.update(
            [attrs.evolve(entry, labels=set(labels) - {*entry.labels}) for entry in list(train.entries())]
        )
        project.train("v3").wait_until_trained()
    return tmp_path


def test_the_gate_passes_an_equal_model(
    released: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The comparison is printed, and the report of the candidate is written."""
    assert run(monkeypatch, "release_gate.py", "Colours", "v1", "v2") == 0
    out = capsys.readouterr().out
    assert out.startswith("20 shared test images.")
    assert out.endswith("\nv2 may be released.\n")
    assert sorted(path.name for path in (released / "release").iterdir()) == [
        "evaluation.html",
        "evaluation.md",
    ]


@pytest.mark.usefixtures("released")
def test_the_gate_stops_a_worse_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It exits with 1 and says what is worse, on average and for each label."""
    assert run(monkeypatch, "release_gate.py", "Colours", "v1", "v3") == 1
    out = capsys.readouterr().out
    assert "\nOn average: F1 fell from 1.0 to " in out
    assert out.endswith("\nv3 is worse. Do not release it.\n")


@pytest.mark.usefixtures("released")
def test_the_gate_reports_errors(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It exits with 2 and the error of the SDK when there is nothing to compare with."""
    assert run(monkeypatch, "release_gate.py", "Colours", "v1", "v9") == 2
    assert capsys.readouterr().err == (
        "Cannot compare v9 with v1: Project 'Colours' has no model version 'v9'. Train it with "
        "project.train('v9').\n"
    )


def test_the_quickstart_continues_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two runs train once and show the same metrics."""
    run(monkeypatch, "draw_puppies.py", tmp_path / "puppies", "--images", 8, "--mislabelled", 0)
    options = ["--images", tmp_path / "puppies", "--workspace", tmp_path / "workspace"]
    tables = []
    for _ in range(2):
        capsys.readouterr()
        assert run(monkeypatch, "quickstart.py", *options) == 0
        tables.append(capsys.readouterr().out.partition("F1 score")[2].partition("Prediction for")[0])
    assert tables[0] == tables[1] != ""
    assert (tmp_path / "workspace" / "puppies-split-7-v1.html").is_file()


def test_an_interrupted_quickstart_says_how_to_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C ends it with the status of an interrupted program, and without a traceback."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rekolabels.Project.create_datasets", interrupt)
    images = write_folder(tmp_path / "images")
    assert run(monkeypatch, "quickstart.py", "--images", images, "--workspace", tmp_path / "work") == 130
    assert capsys.readouterr().err == "\nInterrupted. Run the same command again to continue.\n"
