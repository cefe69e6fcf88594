"""The workflows: pinned actions, least permissions, and a tag that no shell ever reads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml", reason="the extra 'formats' is not installed")

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}|\./\.github/workflows/\w+\.yml")
FROM_OUTSIDE = re.compile(r"\$\{\{|\$GITHUB_|\$\{GITHUB_|\$RELEASE_TAG|\$\{RELEASE_TAG")


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the steps of all jobs, and the jobs that call another workflow."""
    jobs = workflow["jobs"].values()
    return [step for job in jobs for step in job.get("steps", [job])]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_only_what_is_pinned(path: Path) -> None:
    """Actions are named by commit, tokens may read by default, and scripts read no value from outside."""
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = steps(workflow)
    assert [step["uses"] for step in found if "uses" in step and not PINNED.fullmatch(step["uses"])] == []
    assert [step["run"] for step in found if "run" in step and FROM_OUTSIDE.search(step["run"])] == []
    assert workflow["permissions"] == {"contents": "read"}
    checkouts = [step for step in found if step.get("uses", "").startswith("actions/checkout@")]
    assert [step for step in checkouts if step["with"]["persist-credentials"] is not False] == []


@pytest.mark.parametrize(
    "tag", ["v1;id>&2", "v1.0.0;touch owned", "v1.0.0\ntouch owned", "$(touch owned)", "v1.0"]
)
@pytest.mark.parametrize("way", ["argument", "environment"])
def test_a_hostile_tag_is_refused(tag: str, way: str, tmp_path: Path) -> None:
    """A tag that is not a version ends the release before anything is built; nothing runs what is in it."""
    arguments, environment = (["--tag", tag], {}) if way == "argument" else ([], {"RELEASE_TAG": tag})
    done = subprocess.run(  # noqa: S603 -- our own script
        [sys.executable, ROOT / "tools" / "check_wheel.py", "--dist", tmp_path / "dist", *arguments],
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tag!r} is not a release tag such as v0.1.0.\n"
    assert list(tmp_path.iterdir()) == []
