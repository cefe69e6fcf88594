"""Scripts that are run again, and interrupted by Ctrl-C: they end well, with one traceback at most."""

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs
import pytest
from document_pages import ROOT, commands, read_blocks
from sdk_backends import write_folder

from rekolabels.local import LocalService

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")

INTERRUPTS = int(os.environ.get("REKOLABELS_INTERRUPTS", "10"))
"""Number of random moments at which README's script is interrupted."""
SEED = int(os.environ.get("REKOLABELS_SEED", "7"))

TRAINED_AGAIN = (
    "Model version 'v1' of project 'PuppyChallenge' has status TRAINING_FAILED: The training was "
    "interrupted. Deleting it and training it again."
)
"""What a run logs that follows an interrupted training."""

# The first line shows that Python has installed its handler of Ctrl-C; before, the process just ends.
START = "import runpy; print('ready', flush=True); runpy.run_path('script.py', run_name='__main__')"


@attrs.frozen
class Run:
    """A script that has ended."""

    code: int
    output: str
    errors: str

    def check_interrupted(self) -> None:
        """Check that Ctrl-C gave one traceback of the main thread and nothing else."""
        lines = self.errors.splitlines()
        assert lines[:1] == ["Traceback (most recent call last):"], self.errors
        assert lines[-1] == "KeyboardInterrupt", self.errors
        assert [line for line in lines[1:-1] if line and not line.startswith("  ")] == [], self.errors
        # Python ends with 1 if a thread has called eval() after the interrupt, as some libraries do.
        assert self.code in {-signal.SIGINT, 1}

    def check_complete(self) -> None:
        """Check that the script ran to its end, and logged no more than that it trained again."""
        assert (self.code, self.errors.splitlines()) in [(0, []), (0, [TRAINED_AGAIN])], self.errors
        assert "All labels" in self.output


def run(
    folder: Path,
    *arguments: str,
    after: float | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Run:
    """Run ``script.py`` in a folder; send Ctrl-C after some seconds, unless it has ended."""
    with subprocess.Popen(  # noqa: S603 -- our own interpreter and scripts
        [sys.executable, *(arguments or ("-c", START))],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            if after is not None:
                process.stdout.readline()
                try:
                    process.wait(after)
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=300)
        except BaseException:
            process.kill()
            raise
    return Run(process.returncode, output, errors)


def readme_script() -> str:
    """Return the block of README that goes from images to detections, as a reader copies it."""
    blocks = [block.code for block in read_blocks(ROOT / "README.md") if block.language == "python"]
    return next(code for code in blocks if "LocalService(" in code and "model.running(" in code)


def prepare_as_in_readme(folder: Path) -> Path:
    """Do in an empty folder what README says before its script, with fewer images."""
    folder.mkdir(exist_ok=True)
    lines = [line for block in read_blocks(ROOT / "README.md") for line in commands(block)]
    drawing = [shlex.split(line)[1:] for line in lines if line.startswith("python examples/draw_puppies.py")]
    assert [words[1] for words in drawing] == ["puppies", "unseen"]
    drawing[0] += ["--images", "6", "--mislabelled", "0"]
    for script, *arguments in drawing:
        subprocess.run([sys.executable, ROOT / script, *arguments], cwd=folder, check=True)  # noqa: S603 -- ours
    (folder / "script.py").write_text(readme_script())
    return folder


def prepare(folder: Path, script: str) -> Path:
    """Write a script and images for it."""
    write_folder(folder / "puppies", images=6)
    (folder / "script.py").write_text(script)
    return folder


def check_workspace(folder: Path) -> None:
    """Check that nothing is left half done: one trained and stopped model, two datasets, no lease."""
    with LocalService(folder / "workspace") as service:
        project = service.client().project("PuppyChallenge")
        (model,) = project.models()
        assert (model.version_name, model.status) == ("v1", "STOPPED")
        assert [name for name in model.tags if name.startswith("rekolabels:")] == []
        assert {found.status for found in project.describe().datasets} == {"CREATE_COMPLETE"}
    names = {path.name for path in folder.iterdir()} - {"unseen"}
    assert names == {"evaluation.html", "puppies", "script.py", "workspace"}


# -- README's script -----------------------------------------------------------------------------------------


def test_the_script_of_the_readme_runs_again_and_again(tmp_path: Path) -> None:
    """Three times in a row, as it is printed; only the first run trains, and all print the same."""
    folder = prepare_as_in_readme(tmp_path)
    runs = [run(folder, "script.py") for _ in range(3)]
    for ended in runs:
        ended.check_complete()
    assert {ended.output for ended in runs} == {runs[0].output}
    check_workspace(folder)


def test_only_the_line_of_the_client_differs_on_aws(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With the line that README gives for AWS, the script does the same in a process of its own."""
    script = readme_script()
    (local,) = re.findall(r"^client = service\.client\(.*$", script, re.MULTILINE)
    _, _, on_aws = local.partition("# AWS: ")
    lines = [on_aws if line == local else line for line in script.splitlines() if "LocalService" not in line]
    folder = prepare_as_in_readme(tmp_path)
    (folder / "script.py").write_text("\n".join(lines) + "\n")
    assert "Client(bucket=" in on_aws
    with LocalService(tmp_path_factory.mktemp("aws")) as service, service.serve() as server:
        for _ in range(2):
            run(folder, "script.py", environment=server.environment).check_complete()
        assert [project.name for project in service.client().projects()] == ["PuppyChallenge"]


def test_the_script_of_the_readme_can_be_interrupted_at_any_moment(tmp_path: Path) -> None:
    """At random moments: one traceback at most, and the next run ends well."""
    dice = random.Random(SEED)  # noqa: S311 -- moments, not secrets
    first = prepare_as_in_readme(tmp_path / "first")
    began = time.monotonic()
    complete = run(first)
    complete.check_complete()
    duration = time.monotonic() - began
    for number in range(INTERRUPTS):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in ("puppies", "unseen"):
            shutil.copytree(first / name, folder / name)
        shutil.copy(first / "script.py", folder)
        interrupted = run(folder, after=dice.uniform(0, duration))
        if interrupted.code == 0:  # it was faster than the first
            interrupted.check_complete()
        elif not interrupted.errors:  # Python was shutting down, and had removed its handler of Ctrl-C
            assert interrupted.code == -signal.SIGINT
            assert interrupted.output == complete.output.removeprefix("ready\n")
        else:
            interrupted.check_interrupted()
        run(folder).check_complete()
        check_workspace(folder)


# -- every step ----------------------------------------------------------------------------------------------

# Sends itself Ctrl-C once, at the n-th event of a kind.
STEPS = """
import os, signal
from pathlib import Path
from rekolabels import Client, RetryPolicy
from rekolabels.formats import read_folder
from rekolabels.local import LocalService

left = {count}

def interrupt(**_):
    global left
    left -= 1
    if left == 0 and not os.path.exists("interrupted"):
        Path("interrupted").touch()
        os.kill(os.getpid(), signal.SIGINT)

def main(service):
    session = service.session()
    session.events.register("{event}", interrupt)
    client = Client(session, bucket="puppies", retry=RetryPolicy(first_poll=0.01, max_poll=0.05))
    project = client.create_project("PuppyChallenge", exist_ok=True)
    project.create_datasets(read_folder("puppies"), test=0.2, seed=7)
    model = project.train("v1", exist_ok=True)
    model.wait_until_trained()
    result = model.evaluation()
    print(result)
    result.save("evaluation.html")
    with model.running() as running:
        for outcome in running.detect_many(sorted(Path("puppies").rglob("*.png")), workers=4):
            assert outcome.error is None
"""
WITHOUT_WITH = "service = LocalService('workspace', engine='tiny')\nmain(service)\n"
WITH = "with LocalService('workspace', engine='tiny') as service:\n    main(service)\n"


@pytest.mark.parametrize(
    ("event", "count", "end"),
    [
        pytest.param("before-send.rekognition.CreateProject", 1, WITH, id="the project"),
        pytest.param("before-send.s3.PutObject", 3, WITHOUT_WITH, id="an upload"),
        pytest.param("before-send.rekognition.CreateDataset", 1, WITH, id="a dataset"),
        pytest.param("after-call.rekognition.CreateDataset", 2, WITHOUT_WITH, id="both datasets"),
        pytest.param("before-send.rekognition.CreateProjectVersion", 1, WITH, id="a training"),
        pytest.param(
            "after-call.rekognition.CreateProjectVersion", 1, WITHOUT_WITH, id="a training has begun"
        ),
        pytest.param("after-call.rekognition.DescribeProjectVersions", 2, WITH, id="waiting"),
        pytest.param("after-call.rekognition.StartProjectVersion", 1, WITH, id="a start, with"),
        pytest.param("after-call.rekognition.StartProjectVersion", 1, WITHOUT_WITH, id="a start"),
        pytest.param("before-send.rekognition.DetectCustomLabels", 5, WITH, id="detect_many, with"),
        pytest.param("before-send.rekognition.DetectCustomLabels", 5, WITHOUT_WITH, id="detect_many"),
        pytest.param("before-send.rekognition.StopProjectVersion", 1, WITH, id="a stop, with"),
        pytest.param("before-send.rekognition.StopProjectVersion", 1, WITHOUT_WITH, id="a stop"),
    ],
)
def test_every_step_can_be_interrupted(event: str, count: int, end: str, tmp_path: Path) -> None:
    """Before the request of a step is sent, or when it has just been answered."""
    folder = prepare(tmp_path, STEPS.format(event=event, count=count) + end)
    run(folder, "script.py").check_interrupted()
    run(folder, "script.py").check_complete()
    (folder / "interrupted").unlink()
    check_workspace(folder)


# -- trainings -----------------------------------------------------------------------------------------------

# The training reports when it computes features, and the main thread is interrupted meanwhile.
IN_TRAINING = """
import logging, os, signal
from rekolabels.formats import read_folder
from rekolabels.local import LocalService

class Interrupt(logging.Handler):
    def emit(self, record):
        if {stage!r} in record.getMessage() and not os.path.exists("interrupted"):
            open("interrupted", "w").close()
            os.kill(os.getpid(), signal.SIGINT)
            service._jobs.closing.wait(60)  # the training goes on when the interpreter exits

logger = logging.getLogger("rekolabels.local")
logger.setLevel(logging.INFO)
logger.addFilter(lambda record: Interrupt().emit(record) or record.levelno >= logging.WARNING)

service = LocalService("workspace")
client = service.client(bucket="puppies")
project = client.create_project("PuppyChallenge", exist_ok=True)
project.create_datasets(read_folder("puppies"), test=0.2, seed=7)
model = project.train("v1", exist_ok=True)
model.wait_until_trained()
result = model.evaluation()
print(result)
result.save("evaluation.html")
with model.running():
    pass
"""


@pytest.mark.parametrize("stage", ["features", "head"])
def test_a_real_training_can_be_interrupted(stage: str, tmp_path: Path) -> None:
    """It runs in a thread when the interpreter ends; the next run trains the version again, and says so."""
    folder = prepare(tmp_path, IN_TRAINING.format(stage=f": {stage},"))
    run(folder, "script.py").check_interrupted()
    again = run(folder, "script.py")
    again.check_complete()
    assert again.errors.splitlines() == [TRAINED_AGAIN]
    (folder / "interrupted").unlink()
    check_workspace(folder)


def test_a_training_that_nothing_waits_for(tmp_path: Path) -> None:
    """A script that ends while its training runs is told that the training ends with it."""
    script = IN_TRAINING.format(stage="never").partition("model.wait_until_trained()")[0]
    ended = run(prepare(tmp_path, script), "script.py")
    assert ended.code == 0
    (line,) = ended.errors.splitlines()
    assert line.startswith("Job version.train for arn:aws:rekognition:")
    assert line.endswith("was interrupted.")


# -- workers -------------------------------------------------------------------------------------------------

WORKERS = """
import os, signal
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from rekolabels import Client
from rekolabels.formats import read_folder
from rekolabels.local import LocalService

if __name__ == "__main__":
    with LocalService("workspace", engine="tiny") as service, service.serve() as server:
        os.environ.update(server.environment)
        project = service.client(bucket="puppies").create_project("PuppyChallenge")
        project.create_datasets(read_folder("puppies"))
        model = Client().model(project.train("v1").arn)
        model.wait_until_trained()
        images = [*Path("puppies").rglob("*.png")] * 20
        with model.running() as running:
            for number, outcome in enumerate(
                running.detect_many(images, executor=lambda: ProcessPoolExecutor(2))
            ):
                if number == 30:
                    os.killpg(os.getpgid(0), signal.SIGINT)  # as a terminal does
"""


def test_ctrl_c_reaches_the_workers_of_detect_many(tmp_path: Path) -> None:
    """A terminal sends it to all processes; the workers end without a traceback of their own."""
    folder = prepare(tmp_path, WORKERS)
    run(folder, "script.py").check_interrupted()


# -- blocks that are open when their service closes ----------------------------------------------------------

OPEN_BLOCK = """
import sys
from rekolabels.formats import read_folder
from rekolabels.local import LocalService

service = LocalService({path!r}, engine="tiny")
project = service.client(bucket="puppies").create_project("PuppyChallenge")
project.create_datasets(read_folder("puppies"))
model = project.train()
model.wait_until_trained()
"""
ENDINGS = {
    "closed in the block": "with model.running():\n    service.close()\n",
    "closed, never left": "block = model.running()\nblock.__enter__()\nservice.close()\n",
    "never closed, never left": "block = model.running()\nblock.__enter__()\n",
    "left at exit": "with model.running():\n    sys.exit(0)\n",
}


@pytest.mark.parametrize("path", [None, "workspace"], ids=["temporary", "workspace"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_an_open_block_ends_without_a_traceback(ending: str, path: str | None, tmp_path: Path) -> None:
    """Whether its service is closed before the block is left, or both end with the process."""
    folder = prepare(tmp_path, OPEN_BLOCK.format(path=path) + ENDINGS[ending])
    assert run(folder, "script.py") == Run(0, "", "")


# -- Ctrl-C that is pressed again ----------------------------------------------------------------------------

PRESSED_TWICE = """
import os, signal, threading
from rekolabels.local import LocalService

service = LocalService("workspace", engine="tiny")
close = service._jobs.close

def press_again():
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGINT)
    close()

service._jobs.close = press_again
raise KeyboardInterrupt
"""


def test_another_ctrl_c_at_the_end_of_the_process_changes_nothing(tmp_path: Path) -> None:
    """The service is already closing: the second one gives no second traceback."""
    run(prepare(tmp_path, PRESSED_TWICE)).check_interrupted()
