"""The examples run, and do what their docstrings say."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rekolabels.formats import read_coco, read_folder
from rekolabels.manifest import check_manifest

if TYPE_CHECKING:
    import pytest

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
    assert run(monkeypatch, "draw_puppies.py", tmp_path, "--boxes", "--images", 6) == 0
    images = list(read_coco(tmp_path / "instances.json", images=tmp_path))
    assert {len(image.boxes) for image in images} <= {1, 2, 3}
    assert [str(issue) for issue in check_manifest(images, open_images=True) if issue.level != "ADVICE"] == []


def test_the_gate_passes_a_better_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second model with twice the images passes; the page, table and policy are written."""
    run(monkeypatch, "draw_puppies.py", tmp_path / "puppies", "--images", 10, "--mislabelled", 0)
    ended = run(monkeypatch, "release_gate.py", tmp_path / "puppies", "--output", tmp_path / "release")
    assert ended == 0
    assert sorted(path.name for path in (tmp_path / "release").iterdir()) == [
        "evaluation.html",
        "evaluation.md",
        "policy.json",
    ]
    policy = json.loads((tmp_path / "release" / "policy.json").read_text())
    assert sorted(policy["labels"]) == ["beagle", "corgi", "dalmatian", "husky"]
    assert "All labels" in capsys.readouterr().out


def test_the_gate_reports_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With too few images it exits with 2 and the error of the SDK."""
    run(monkeypatch, "draw_puppies.py", tmp_path / "puppies", "--images", 1, "--mislabelled", 0)
    assert run(monkeypatch, "release_gate.py", tmp_path / "puppies", "--output", tmp_path / "release") == 2
    assert "CannotSplit" in capsys.readouterr().err


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
