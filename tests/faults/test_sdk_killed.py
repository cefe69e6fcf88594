"""Scripts that are killed: the next run continues, and uploads no image twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sdk_backends import write_folder

ROOT = Path(__file__).parents[2]

# Runs the quickstart, records each uploaded image, and kills itself at an event.
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

def record(context, **_):
    if context["key"].startswith("images/"):
        with open(workspace + "/uploaded", "a") as file:
            file.write(context["key"] + "\\n")

options = argparse.Namespace(
    images=pathlib.Path(images), workspace=pathlib.Path(workspace), project="killed", seed=1,
    version="v1", aws=False,
)
with LocalService(pathlib.Path(workspace) / "service") as service:
    session = service.session()
    session.events.register("before-parameter-build.s3.PutObject", remember)
    session.events.register("after-call.s3.PutObject", record)
    if event != "never":
        session.events.register(event, die)
    client = Client(session, bucket="killed", retry=RetryPolicy(first_poll=0.01, max_poll=0.05))
    client.ensure_bucket()
    sys.exit(quickstart.run(client, options))
"""


def run(
    folder: Path, workspace: Path, event: str = "never", count: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run the quickstart in a process that kills itself at the n-th event of a kind."""
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
def test_a_killed_script_can_be_run_again(event: str, count: int, tmp_path: Path) -> None:
    """The second run succeeds, and each image was uploaded once."""
    folder = write_folder(tmp_path / "pictures", images=10)
    killed = run(folder, tmp_path, event, count)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    again = run(folder, tmp_path)
    assert again.returncode == 0, again.stderr
    assert "All labels" in again.stdout
    uploaded = (tmp_path / "uploaded").read_text().splitlines()
    assert sorted(set(uploaded)) == sorted(uploaded)
    # 20 images, minus the one that the quickstart holds back and those that were uploaded but not recorded
    assert 19 - 16 <= len(uploaded) <= 19
