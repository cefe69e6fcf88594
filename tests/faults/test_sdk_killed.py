"""A process that is killed in the middle: run again, it goes on, and sends no image twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sdk_backends import write_folder

ROOT = Path(__file__).parents[2]

# Runs the quickstart, notes each image that has arrived in S3, and kills itself at a given moment.
RUN = """
import argparse, importlib.util, os, pathlib, signal, sys
from rekolabels import Client, RetryPolicy
from rekolabels.local import LocalService

quickstart_file, images, workspace, event, count = sys.argv[1:]
spec = importlib.util.spec_from_file_location("quickstart", quickstart_file)
quickstart = importlib.util.module_from_spec(spec)
spec.loader.exec_module(quickstart)
left = int(count)

def die(**_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def remember(params, context, **_):
    context["key"] = params["Key"]

def note(context, **_):
    if context["key"].startswith("images/"):
        with open(workspace + "/arrived", "a") as file:
            file.write(context["key"] + "\\n")

options = argparse.Namespace(
    images=pathlib.Path(images), workspace=pathlib.Path(workspace), project="killed", seed=1,
    retrain=False, aws=False,
)
with LocalService(pathlib.Path(workspace) / "service") as service:
    session = service.session()
    session.events.register("before-parameter-build.s3.PutObject", remember)
    session.events.register("after-call.s3.PutObject", note)
    if event != "never":
        session.events.register(event, die)
    client = Client(session, bucket="killed", retry=RetryPolicy(first_poll=0.01, max_poll=0.05))
    client.ensure_bucket()
    sys.exit(quickstart.walk(client, options))
"""


def run(
    folder: Path, workspace: Path, event: str = "never", count: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run the quickstart in a process of its own, which dies at the n-th event of a kind."""
    arguments = [str(ROOT / "examples" / "quickstart.py"), str(folder), str(workspace), event, str(count)]
    return subprocess.run(  # noqa: S603 -- our own interpreter and script
        [sys.executable, "-c", RUN, *arguments], check=False, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("event", "count"),
    [
        pytest.param("after-call.s3.PutObject", 1, id="after the first image"),
        pytest.param("after-call.s3.PutObject", 11, id="in the middle of the upload"),
        pytest.param("before-call.rekognition.CreateDataset", 1, id="before the first dataset"),
        pytest.param("after-call.rekognition.CreateDataset", 1, id="after the first dataset"),
        pytest.param("after-call.rekognition.CreateDataset", 2, id="after the second dataset"),
        pytest.param("after-call.rekognition.CreateProjectVersion", 1, id="as the training begins"),
        pytest.param("after-call.rekognition.DescribeProjectVersions", 3, id="in the middle of the training"),
    ],
)
def test_a_killed_run_goes_on(event: str, count: int, tmp_path: Path) -> None:
    """Whatever the moment: the second run ends well, and every image went over the wire once."""
    folder = write_folder(tmp_path / "pictures", images=10)
    killed = run(folder, tmp_path, event, count)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    again = run(folder, tmp_path)
    assert again.returncode == 0, again.stderr
    assert "All labels" in again.stdout
    arrived = (tmp_path / "arrived").read_text().splitlines()
    assert sorted(set(arrived)) == sorted(arrived)
    # 20 images less the one that is kept out, less any whose arrival the kill left unnoted
    assert 19 - 16 <= len(arrived) <= 19
