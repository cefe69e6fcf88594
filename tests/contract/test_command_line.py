"""The command ``rekolabels``: what it prints, its exit statuses, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sdk_backends import QUICK, write_folder

from rekolabels import BoundingBox, ImageSize, LabelledImage, errors
from rekolabels.__main__ import main
from rekolabels._version import __version__
from rekolabels.formats import read_coco, read_csv, read_folder, write_coco
from rekolabels.local import LocalService
from rekolabels.manifest import read_manifest, write_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rekolabels import ModelVersion

ROOT = Path(__file__).parents[2]
BOXES = [
    LabelledImage(
        f"s3://cards/{number}.jpg", boxes=[BoundingBox(label, 10, 20, 30, 40)], size=ImageSize(640, 480)
    )
    for number, label in enumerate(["king", "queen"] * 5)
]


@pytest.fixture(name="manifest")
def manifest_fixture(tmp_path: Path) -> Path:
    """A manifest that could be trained with."""
    images = [
        LabelledImage(f"s3://pets/{label}/{number}.jpg", [label])
        for label in ("cat", "dog")
        for number in range(10)
    ]
    write_manifest(images, tmp_path / "train.manifest")
    return tmp_path / "train.manifest"


@pytest.fixture(name="broken")
def broken_fixture(manifest: Path) -> Path:
    """A manifest with one bad line, which could still be trained with."""
    path = manifest.with_name("broken.manifest")
    path.write_text(manifest.read_text() + '{"source-ref": "no URI"}\n')
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run a command in this process, and return its status and what it printed."""
    status = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_the_command_is_installed() -> None:
    """The entry point is the function that ``python -m rekolabels`` calls."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, name = scripts["rekolabels"].partition(":")
    assert (scripts.keys(), getattr(import_module(module), name)) == ({"rekolabels"}, main)


def test_the_version() -> None:
    """``python -m rekolabels --version`` prints the version."""
    command = [sys.executable, "-m", "rekolabels", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 -- our own command
    assert done.stdout == f"rekolabels {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["train"], ["check"], ["convert", "a", "b"], ["sweep", "--timeout", "x"]]
)
def test_usage_errors_have_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Argparse names the mistake."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: rekolabels" in capsys.readouterr().err


class TestCheck:
    """``rekolabels check``."""

    def test_a_good_manifest(self, manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Status 0, and one line."""
        text = "Training would start: classification, 2 labels, 20 usable training images."
        assert run(capsys, "check", manifest) == (0, f"{manifest}: {text}\n", "")

    def test_issues_have_status_1(
        self, manifest: Path, broken: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Every manifest is checked; one with a bad line is a finding, even if a training would start."""
        status, printed, _ = run(capsys, "check", manifest, broken)
        assert (status, printed.count("Training would start")) == (1, 2)
        assert f"{broken}:21" in printed

    def test_json(self, manifest: Path, broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """An object for each manifest, as ManifestReport.to_json() gives it."""
        status, printed, _ = run(capsys, "check", "--json", manifest, broken)
        good, bad = json.loads(printed)
        assert (status, good["manifest"], good["issues"]) == (1, str(manifest), [])
        assert [issue["line"] for issue in bad["issues"]] == [21]

    def test_a_pair(self, manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Both manifests are counted; several pairs in one command are an error."""
        status, printed, _ = run(capsys, "check", manifest, "--testing", manifest)
        assert "20 usable test images" in printed
        assert status in {0, 1}
        status, printed, error = run(capsys, "check", manifest, manifest, "--testing", manifest)
        assert (status, printed, error.count("\n")) == (2, "", 1)
        assert "--testing is given with 2 manifests" in error

    def test_a_dataset(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """One label is enough for a dataset, but not for a training."""
        path = tmp_path / "one.manifest"
        write_manifest([LabelledImage("s3://pets/1.jpg", ["cat"])], path)
        assert run(capsys, "check", path, "--stage", "dataset")[0] == 0
        assert run(capsys, "check", path)[0] == 1

    def test_a_missing_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """It is an error, not a finding."""
        status, printed, error = run(capsys, "check", tmp_path / "none.manifest")
        assert (status, printed, error.count("\n")) == (2, "", 1)
        assert "none.manifest', which does not exist; expected a manifest, or a folder" in error

    def test_a_label_folder(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """It is checked like the images of create_datasets; a file that is left out is a finding."""
        folder = write_folder(tmp_path / "pictures")
        status, printed, error = run(capsys, "check", folder, "--open-images", "--testing", folder)
        assert (status, error) == (0, "")
        counts = "2 labels, 12 usable training images, 12 usable test images."
        assert printed.startswith(f"{folder}: Training would start: classification, {counts}\n")
        broken = next(path for path in sorted(folder.rglob("*")) if path.is_file())
        broken.write_bytes(broken.read_bytes()[:-40])
        assert "ERROR_INVALID_IMAGE" in run(capsys, "check", folder, "--open-images")[1]
        broken.write_bytes(b"no image")
        status, printed, error = run(capsys, "check", folder, "--json")
        assert (status, json.loads(printed)[0]["manifest"], error.count("\n")) == (1, str(folder), 1)
        assert error.startswith(f"{broken}: Neither JPEG nor PNG.")

    def test_images_in_s3_are_not_opened(self, manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The command needs no credentials, and says which option asked for them."""
        status, printed, error = run(capsys, "check", manifest, "--open-images")
        assert (status, printed, error.count("\n")) == (2, "", 1)
        assert "Cannot open 's3://pets/cat/0.jpg': --open-images opens images of this machine" in error


class TestConvert:
    """``rekolabels convert``."""

    def test_a_folder_to_csv_to_a_manifest(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """What is read back are the same images and labels."""
        folder = write_folder(tmp_path / "pictures")
        table, manifest = tmp_path / "labels.csv", tmp_path / "train.manifest"
        assert run(capsys, "convert", folder, table, "--from", "folder", "--to", "csv") == (
            0,
            f"{table}: 12 images, 0 problems.\n",
            "",
        )
        assert [image.labels for image in read_csv(table)] == [image.labels for image in read_folder(folder)]
        status, printed, _ = run(
            capsys, "convert", table, manifest, "--from", "csv", "--to", "manifest", "--images", "s3://pets"
        )
        assert (status, printed) == (0, f"{manifest}: 12 images, 0 problems.\n")
        assert {image.source[:10] for image in read_manifest(manifest)} == {"s3://pets/"}

    @pytest.mark.parametrize("name", ["coco", "voc", "yolo", "csv"])
    def test_boxes(self, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Each format with boxes takes those of a manifest."""
        write_manifest(BOXES, tmp_path / "train.manifest")
        target = tmp_path / name
        status, printed, error = run(
            capsys, "convert", tmp_path / "train.manifest", target, "--from", "manifest", "--to", name
        )
        assert (status, printed, error) == (0, f"{target}: 10 images, 0 problems.\n", "")

    def test_problems_have_status_1(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """What COCO cannot hold is named; with --json it is part of the answer."""
        write_manifest([LabelledImage("s3://pets/1.jpg", ["cat"])], tmp_path / "a.manifest")
        words = [
            "convert",
            tmp_path / "a.manifest",
            tmp_path / "a.json",
            "--from",
            "manifest",
            "--to",
            "coco",
        ]
        status, printed, error = run(capsys, *words)
        assert (status, " 2 problems." in printed, "s3://pets/1.jpg" in error) == (1, True, True)
        status, printed, error = run(capsys, *words, "--json")
        answer: dict[str, Any] = json.loads(printed)
        assert (status, error, len(answer["problems"])) == (1, "", 2)
        assert "s3://pets/1.jpg" in answer["problems"][0]["message"]

    def test_images_of_this_machine_in_a_manifest(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The service would reject the manifest: one problem, with what to do."""
        folder, target = write_folder(tmp_path / "pictures"), tmp_path / "train.manifest"
        status, printed, error = run(
            capsys, "convert", folder, target, "--from", "folder", "--to", "manifest"
        )
        assert (status, printed, error.count("\n")) == (1, f"{target}: 12 images, 1 problem.\n", 1)
        assert error.startswith(f"{target}: 12 images on this machine, such as {folder}")
        assert "create_datasets() uploads them" in error
        assert len(list(read_manifest(target))) == 12

    def test_many_problems_of_one_kind(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Ten are printed and the others counted; with --json, all are listed."""
        folder = write_folder(tmp_path / "pictures")
        for number in range(25):
            (next(folder.iterdir()) / f"{number}.xml").write_text("<annotation/>")
        words = ["convert", folder, tmp_path / "labels.csv", "--from", "folder", "--to", "csv"]
        status, printed, error = run(capsys, *words)
        assert (status, printed) == (1, f"{tmp_path / 'labels.csv'}: 12 images, 25 problems.\n")
        assert error.count("\n") == 11
        assert error.endswith("\nand 15 more: Neither JPEG nor PNG. The service accepts no other format.\n")
        assert len(json.loads(run(capsys, *words, "--json")[1])["problems"]) == 25

    @pytest.mark.parametrize("name", ["folder", "manifest"])
    def test_a_place_that_does_not_apply(
        self, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A folder of labels says where its images are, and so does a manifest."""
        status, printed, error = run(
            capsys, "convert", tmp_path, tmp_path / "x", "--from", name, "--to", "csv", "--images", "y"
        )
        assert (status, printed) == (2, "")
        assert "--images is 'y'" in error

    def test_an_error_of_ours_is_one_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Status 2, and no traceback; an existing target stays as it is."""
        (tmp_path / "b.json").write_text("kept")
        (tmp_path / "a.json").write_text("no JSON")
        status, printed, error = run(
            capsys, "convert", tmp_path / "a.json", tmp_path / "b.json", "--from", "coco", "--to", "coco"
        )
        assert (status, printed, error.count("\n")) == (2, "", 1)
        assert error.startswith("rekolabels: ")
        assert (tmp_path / "b.json").read_text() == "kept"


class TestModels:
    """``rekolabels running`` and ``rekolabels sweep``, on the embedded service."""

    @pytest.fixture(name="model")
    def model_fixture(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelVersion]:
        """A trained model of a service that the commands find."""
        with LocalService(tmp_path / "workspace", engine="tiny") as service, service.serve() as server:
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            project = service.client(bucket="pets", retry=QUICK).create_project("pets")
            project.create_datasets(read_folder(write_folder(tmp_path / "pictures")))
            model = project.train("v1")
            model.wait_until_trained()
            yield model

    def test_nothing_runs(self, model: ModelVersion, capsys: pytest.CaptureFixture[str]) -> None:
        """Status 0: a job in CI can check that nothing is billed."""
        assert model.status == "TRAINING_COMPLETED"
        assert run(capsys, "running") == (0, "No model is running.\n", "")
        assert run(capsys, "running", "--json") == (0, "[]\n", "")

    def test_a_running_model_has_status_1(
        self, model: ModelVersion, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Its ARN, status, units, start and cost are printed."""
        with model.running(min_inference_units=2):
            status, printed, _ = run(capsys, "running", "--region", "us-east-1", "--region", "eu-west-1")
            (listed,) = json.loads(run(capsys, "running", "--json")[1])
        since = datetime.fromisoformat(listed.pop("since"))
        assert (datetime.now(UTC) - since).total_seconds() < 600
        assert 0 <= listed.pop("cost") < 1
        assert listed == {"arn": model.arn, "status": "RUNNING", "inference_units": 2}
        assert status == 1
        assert printed.startswith("RUNNING, 2 units, since 20")
        assert printed.endswith(f" USD: {model.arn}\n")

    def test_a_model_of_a_killed_process_is_swept(
        self, model: ModelVersion, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A model that was started by other means is left alone."""
        model.start()
        model.wait_until_running()
        assert run(capsys, "sweep") == (0, "0 models stopped.\n", "")
        long_ago = str(int(time.time()) - 86_400)
        model.tag({"rekolabels:started:0123456789ab": long_ago, "rekolabels:lease:0123456789ab": long_ago})
        assert run(capsys, "sweep") == (0, f"Stopped {model.arn}.\n1 model stopped.\n", "")
        assert model.status == "STOPPED"
        assert json.loads(run(capsys, "sweep", "--json", "--no-wait")[1]) == {"stopped": []}

    def test_no_region(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """The message names the option of the command, not the argument of the client."""
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
        text = "No AWS Region is set. Use --region REGION, set AWS_DEFAULT_REGION, or run `aws configure`."
        assert run(capsys, "running") == (2, "", f"rekolabels: {text}\n")

    def test_an_error_of_the_sdk(self, capsys: pytest.CaptureFixture[str]) -> None:
        """It is one line, with status 2."""
        status, printed, error = run(capsys, "running", "--region", "")
        assert (status, printed, error.count("\n")) == (2, "", 1)


def test_interrupts_are_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C ends a command with status 130, and nothing is printed."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rekolabels.manifest.check_manifest", interrupt)
    assert run(capsys, "check", __file__) == (130, "", "")


def test_errors_with_several_lines_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log has one line for each failed command."""

    def fail(*_: object, **__: object) -> None:
        raise errors.InvalidInput("Fix these:\n  a\n  b")

    monkeypatch.setattr("rekolabels.manifest.check_manifest", fail)
    assert run(capsys, "check", __file__) == (2, "", "rekolabels: Fix these: a b\n")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGPIPE")
def test_a_reader_that_has_gone_is_quiet(tmp_path: Path) -> None:
    """``rekolabels check ... | head -1`` prints no error."""
    path = tmp_path / "bad.manifest"
    path.write_text('{"source-ref": "no"}\n' * 3000)
    command = [sys.executable, "-m", "rekolabels", "check", "--json", *[str(path)] * 3]
    # Unbuffered, Python does not notice that the rest of a large write was not accepted.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(  # noqa: S603 -- our own command
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "[\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 141


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send signals to another process")
def test_a_signal_ends_a_wait(tmp_path: Path) -> None:
    """Ctrl-C while a command reads its input: status 130, and no traceback."""
    fifo = tmp_path / "endless.manifest"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "rekolabels", "check", str(fifo)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,  # noqa: S603 -- our own command
        fifo.open("w"),  # returns when the command has opened the file
    ):
        process.send_signal(signal.SIGINT)
        printed, error = process.communicate(timeout=60)
    assert (process.returncode, printed, error) == (130, "", "")


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send signals to another process")
def test_serve_prints_json(tmp_path: Path) -> None:
    """The endpoint and the variables as an object; a token is not printed."""
    (tmp_path / "token").write_text("t" * 40)
    command = [sys.executable, "-m", "rekolabels", "serve", "--json", "--token-file", str(tmp_path / "token")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 -- our own command
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "}\n")
        answer = json.loads("".join(lines) + "}")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    assert answer["url"] == answer["environment"]["AWS_ENDPOINT_URL"]
    assert "AWS_ACCESS_KEY_ID" not in answer["environment"]


def test_the_coco_file_of_a_conversion_is_read_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """COCO to COCO keeps every box."""
    write_coco(BOXES, tmp_path / "a.json")
    run(capsys, "convert", tmp_path / "a.json", tmp_path / "b.json", "--from", "coco", "--to", "coco")
    assert [image.boxes for image in read_coco(tmp_path / "b.json")] == [image.boxes for image in BOXES]
