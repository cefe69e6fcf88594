"""Run the Python samples and AWS CLI commands of AWS's developer guide against the embedded service.

The guide is not part of this repository. Give the folder of a checkout of
``awsdocs/amazon-rekognition-custom-labels-developer-guide`` that still has its pages in ``doc_source`` (the
last commit removed them): ``make conformance GUIDE=FOLDER``. Every block is run as it is printed, in the
order of a project's life; only the placeholders are replaced (``model_arn``, ``bucket``). A block that cannot
run on AWS either, such as a command with an option that does not exist, is corrected first, and the report
says so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import boto3
from guide_blocks import Block, Language, read_guide
from run_conformance import LABELS, manifest_line, picture, service, write_data

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HERE = Path(__file__).parent
BUCKET = "puppies"
DEADLINE = 120
FAILURE = re.compile(
    r"^(ERROR:|Traceback|Problem |Failed |Distribution failed|.*error occurred:)", re.MULTILINE
)
"""The samples catch their errors, print them and return status 0."""
QUOTES = "its JSON has double quotes between double quotes"

CREATE_DATASET = (
    "md-create-dataset-ground-truth-sdk",
    "md-create-manifest-file",
)
"""Two pages with the same command and sample."""


@attrs.frozen
class Outcome:
    """What became of a block."""

    status: str
    """``ran``, ``corrected`` (ran after a correction), ``skipped`` or ``FAILED``."""
    detail: str = ""


@attrs.frozen
class Guide:
    """The blocks of a checkout, and how they are run."""

    blocks: list[Block]
    aws: Path
    python: str
    folder: Path
    """The working folder of the samples."""
    outcomes: dict[Block, Outcome] = attrs.field(factory=dict)

    def cli(self, page: str, number: int = 1, *, prints: str = "", **how: Any) -> None:
        """Run a command of a page; it must return JSON that contains ``prints``."""
        path = f"{self.aws.parent}{os.pathsep}{os.environ['PATH']}"
        self._run(
            page, "AWS CLI", number, prints, lambda code: (["bash", "-c", f"{code}\n"], {"PATH": path}), **how
        )

    def sample(
        self,
        page: str,
        number: int = 1,
        *,
        arguments: Sequence[str] = (),
        prints: str,
        calls: str = "",
        **how: Any,
    ) -> None:
        """Run a Python sample of a page; ``calls`` is what follows its last line."""

        def command(code: str) -> tuple[list[str], dict[str, str]]:
            program = self.folder / "sample.py"
            program.write_text(f"{code}\n{calls}\n", encoding="utf-8")
            return [self.python, str(program), *arguments], {"PYTHONPATH": str(HERE / "stand_ins")}

        self._run(page, "Python", number, prints, command, **how)

    def skip(self, page: str, language: Language, why: str) -> None:
        """Report the first block of a page as skipped."""
        if block := self._find(page, language, 1):
            self._note(block, Outcome("skipped", why))

    def _find(self, page: str, language: Language, number: int) -> Block | None:
        found = (b for b in self.blocks if (b.page, b.language, b.number) == (page, language, number))
        return next(found, None)

    def _run(
        self,
        page: str,
        language: Language,
        number: int,
        prints: str,
        command: Callable[[str], tuple[list[str], dict[str, str]]],
        *,
        edits: Mapping[str, str] | None = None,
        corrections: Mapping[str, str] | None = None,
        why: str = "",
        answers: str = "",
    ) -> None:
        block = self._find(page, language, number)
        if block is None:
            return
        code = block.code
        for old, new in {**(corrections or {}), **(edits or {})}.items():
            if old not in code:
                self._note(block, Outcome("FAILED", f"The block no longer contains {old!r}."))
                return
            code = code.replace(old, new)
        arguments, environment = command(code)
        done = subprocess.run(  # noqa: S603 - what the caller asked to run
            arguments,
            env=os.environ | environment,
            cwd=self.folder,
            input=answers,
            capture_output=True,
            text=True,
            check=False,
        )
        output = done.stdout + done.stderr
        if done.returncode or FAILURE.search(output) or prints not in output:
            outcome = Outcome("FAILED", output.strip() or f"It printed nothing, expected {prints!r}.")
        else:
            outcome = Outcome("corrected", why) if corrections else Outcome("ran")
        self._note(block, outcome)

    def _note(self, block: Block, outcome: Outcome) -> None:
        self.outcomes[block] = outcome
        detail = f": {outcome.detail}" if outcome.detail else ""
        sys.stdout.write(f"{outcome.status:<9} {block.language:<7} {block}{detail}\n")
        sys.stdout.flush()

    def report(self) -> None:
        """Print the blocks without a step, and the sums."""
        for block in self.blocks:
            if block not in self.outcomes:
                self._note(block, Outcome("FAILED", f"{Path(__file__).name} did not run this block."))
        for language in ("Python", "AWS CLI"):
            statuses = [one.status for block, one in self.outcomes.items() if block.language == language]
            sums = ", ".join(
                f"{statuses.count(one)} {one}" for one in ("ran", "corrected", "skipped", "FAILED")
            )
            sys.stdout.write(f"{language}, {len(statuses)} blocks: {sums}\n")


def main() -> int:
    """Run the blocks of the guide and report each; return 0 if none failed and none is unknown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--guide", type=Path, required=True, help="folder with a checkout of the guide")
    parser.add_argument("--tools", type=Path, required=True, help="folder with cli/ (an environment)")
    parser.add_argument("--python", default=sys.executable, help="Python that runs the samples")
    arguments = parser.parse_args()
    blocks = read_guide(arguments.guide)
    if not blocks:
        sys.stderr.write(
            f"No samples below {arguments.guide}: check out a commit with pages in doc_source, such as the "
            "parent of the last one.\n"
        )
        return 2
    aws = arguments.tools.absolute() / "cli" / "bin" / "aws"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder / "data")
        with service(folder / "workspace") as environment:
            os.environ.update(environment)
            guide = Guide(blocks, aws, arguments.python, folder)
            try:
                run(guide)
            finally:
                guide.report()
    return 1 if any(outcome.status == "FAILED" for outcome in guide.outcomes.values()) else 0


# The steps. Each creates what its blocks need; ARNs are read from the service, not from what a sample prints.


def run(guide: Guide) -> None:
    """Run all steps in the order of a project's life."""
    upload(guide)
    projects(guide)
    datasets(guide)
    entries(guide)
    train(guide)
    describe_model(guide)
    tags(guide)
    start(guide)
    detect(guide)
    stop(guide)
    convert(guide)
    delete(guide)


def rekognition() -> Any:
    """Return a client of Rekognition."""
    return boto3.client("rekognition")


def project(name: str) -> str:
    """Return the ARN of a project that exists, or of a new one."""
    found = rekognition().describe_projects(ProjectNames=[name])["ProjectDescriptions"]
    return str(
        found[0]["ProjectArn"] if found else rekognition().create_project(ProjectName=name)["ProjectArn"]
    )


def dataset(name: str, kind: str, *, empty: bool = False, manifest: str = "") -> str:
    """Return the ARN of a project's dataset that exists, or of a new one."""
    arn = project(name)
    for description in rekognition().describe_projects(ProjectNames=[name])["ProjectDescriptions"]:
        for found in description.get("Datasets", []):
            if found["DatasetType"] == kind:
                return str(found["DatasetArn"])
    place = {"Bucket": BUCKET, "Name": manifest or f"{kind.lower()}.manifest"}
    source = {"GroundTruthManifest": {"S3Object": place}}
    made = rekognition().create_dataset(
        ProjectArn=arn, DatasetType=kind, **({} if empty else {"DatasetSource": source})
    )["DatasetArn"]
    settled(made)
    return str(made)


def settled(arn: str) -> None:
    """Wait until a dataset is no longer created or updated."""
    until(lambda: not status_of_dataset(arn).endswith("IN_PROGRESS"))


def status_of_dataset(arn: str) -> str:
    """Return the status of a dataset."""
    return str(rekognition().describe_dataset(DatasetArn=arn)["DatasetDescription"]["Status"])


def model(version: str) -> Any:
    """Return the description of a version of the guide's project; None without one."""
    found = rekognition().describe_project_versions(ProjectArn=project("my_project"), VersionNames=[version])
    return next(iter(found["ProjectVersionDescriptions"]), None)


def model_arn(version: str) -> str:
    """Return the ARN of a version of the guide's project, trained first if it does not exist."""
    if model(version) is None:
        dataset("my_project", "TRAIN")
        dataset("my_project", "TEST")
        output = {"S3Bucket": BUCKET, "S3KeyPrefix": "out"}
        rekognition().create_project_version(
            ProjectArn=project("my_project"), VersionName=version, OutputConfig=output
        )
    until(lambda: not model(version)["Status"].endswith("IN_PROGRESS"))
    return str(model(version)["ProjectVersionArn"])


def until(condition: Callable[[], bool]) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("The service did not reach the expected state.")
        time.sleep(0.1)


def upload(guide: Guide) -> None:
    """Create the bucket, and the console's bucket from which the guide copies example images."""
    s3 = boto3.client("s3")
    data = guide.folder / "data"
    s3.create_bucket(Bucket=BUCKET)
    for path in data.rglob("*.png"):
        s3.upload_file(str(path), BUCKET, f"images/{path.relative_to(data).as_posix()}")
    for path in data.glob("*.manifest"):
        s3.upload_file(str(path), BUCKET, path.name)
    console = "custom-labels-console-region-numbers"
    s3.create_bucket(Bucket=console)
    for number, kind in enumerate(("training", "test"), 1):
        s3.put_object(
            Bucket=console, Key=f"assets/rooms_1_{kind}_dataset/1.png", Body=picture(LABELS[0], kind)
        )
        guide.cli(
            "tutorial-classification",
            number,
            edits={"rooms_version number_": "rooms_1_"},
            prints=f"download: s3://{console}/assets/rooms_1_{kind}_dataset/1.png",
        )
    guide.cli(
        "tm-debugging-aggregate-errors", edits={"bucket name": BUCKET}, prints='"Permission": "FULL_CONTROL"'
    )


def projects(guide: Guide) -> None:
    """Create and describe projects."""
    guide.cli("mp-create-project", prints='"ProjectArn": "arn:aws:rekognition:')
    guide.sample("mp-create-project", arguments=["second"], prints="ARN: arn:aws:rekognition:")
    guide.cli("md-distributing-datasets", edits={"my_project": "third"}, prints='"ProjectArn"')
    guide.sample("md-distributing-datasets", arguments=["fourth"], prints="ARN: arn:aws:rekognition:")
    dataset("described", "TRAIN")
    guide.cli(
        "md-describing-project-sdk", edits={"project_name": "described"}, prints='"DatasetType": "TRAIN"'
    )
    guide.sample(
        "md-describing-project-sdk", arguments=["--project_name", "described"], prints="project/described/"
    )


def datasets(guide: Guide) -> None:
    """Create datasets in every way, and describe them."""
    for page, name in zip(CREATE_DATASET, ("my_project", "second"), strict=True):
        arn = project(name)
        edits = {"project_arn": arn, "type type": "type TRAIN", '"bucket"': f'"{BUCKET}"'}
        guide.cli(page, edits={**edits, "manifest_file": "train.manifest"}, prints='"DatasetArn"')
        settled(dataset(name, "TRAIN"))
        guide.sample(
            page, arguments=[arn, "test", BUCKET, "test.manifest"], prints="Finished creating dataset"
        )
    arn, source = project("third"), dataset("my_project", "TRAIN")
    page = "md-create-dataset-existing-dataset-sdk"
    edits = {"project_arn": arn, "dataset_type": "TRAIN", "dataset_arn": source}
    guide.cli(page, edits=edits, prints='"DatasetArn"')
    settled(dataset("third", "TRAIN"))
    guide.sample(page, arguments=[arn, "test", source], prints="Finished creating dataset")
    arn = project("fourth")
    guide.cli("md-add-dataset", edits={"project_arn": arn, "dataset_type": "TRAIN"}, prints='"DatasetArn"')
    settled(dataset("fourth", "TRAIN", empty=True))
    guide.sample("md-add-dataset", arguments=[arn, "test"], prints="Finished creating")
    page = "md-describing-dataset-sdk"
    guide.cli(page, edits={"dataset_arn": source}, prints='"LabeledEntries": 12')
    guide.sample(page, arguments=[source], prints="CREATE_COMPLETE")


def entries(guide: Guide) -> None:
    """List, add and distribute entries."""
    page, arn = "md-listing-dataset-entries-sdk", dataset("my_project", "TRAIN")
    guide.cli(page, 1, edits={"dataset_arn": arn}, prints="images/train/dark/0.png")
    guide.cli(page, 2, edits={"dataset_arn": arn}, prints='"DatasetEntries": []')
    guide.sample(page, arguments=[arn, "false"], prints="No more entries. Total:12")
    empty = dataset("fourth", "TRAIN", empty=True)
    edits = {"dataset_arn": empty, "s3://your_bucket/your_image": f"s3://{BUCKET}/images/train/dark/0.png"}
    guide.cli(
        "md-add-images",
        edits=edits,
        corrections={"--cli-binary-format raw-in-base64-out": ""},
        why="its option --cli-binary-format is of AWS CLI 2; AWS CLI 1 sends blobs as they are",
    )
    settled(empty)
    line = manifest_line(f"s3://{BUCKET}/images/train/dark/1.png", "dark")
    (guide.folder / "updates").write_text(line, encoding="utf-8")
    guide.sample("md-add-images", arguments=[empty, "updates"], prints="UPDATE_COMPLETE")
    for name in ("by_command", "by_sample"):
        train, test = dataset(name, "TRAIN"), dataset(name, "TEST", empty=True)
        if name == "by_command":
            edits = {"training_dataset_arn": train, "test_dataset_arn": test}
            guide.cli("md-distributing-datasets", 2, edits=edits)
            settled(train)
            settled(test)
        else:
            guide.sample(
                "md-distributing-datasets", 2, arguments=[train, test], prints="Distribution complete"
            )


def train(guide: Guide) -> None:
    """Train three models: by a command, by a sample, and by the command of the page about tags."""
    arn = project("my_project")
    dataset("my_project", "TRAIN")
    dataset("my_project", "TEST")
    output = {"output_bucket": BUCKET, "output_folder": "out"}
    edits = {"project_arn": arn, '"version_name"': '"v1"', **output}
    guide.cli("training-model", edits=edits, prints='"ProjectVersionArn"')
    model_arn("v1")
    arguments = [arn, "v2", BUCKET, "out", "--tag_name", "key3", "--tag_value", "value3"]
    guide.sample("training-model", arguments=arguments, prints="Status: TRAINING_COMPLETED")
    guide.cli(
        "tm-tagging-model",
        1,
        corrections={
            '--project-name "project name"': f'--project-arn "{arn}" --version-name v3',
            '{ "S3Location": { "Bucket": "output bucket", "Prefix":  "output folder" } }': (
                f'{{ "S3Bucket": "{BUCKET}", "S3KeyPrefix": "out" }}'
            ),
        },
        why="CreateProjectVersion has neither --project-name nor S3Location",
        prints='"ProjectVersionArn"',
    )
    for version in ("v1", "v2", "v3"):
        model_arn(version)


def describe_model(guide: Guide) -> None:
    """Describe a model."""
    arn = project("my_project")
    page = "md-describing-model-sdk"
    guide.cli(page, edits={"project_arn": arn, "version_name": "v1"}, prints='"TRAINING_COMPLETED"')
    guide.sample(page, arguments=[arn, "v1"], prints="Status: TRAINING_COMPLETED")
    edits = {"'project_arn'": repr(arn), "'version_name'": "'v1'"}
    guide.sample("tm-debugging-getting-validation-data", edits=edits, prints='"ManifestSummary"')


def tags(guide: Guide) -> None:
    """Tag a model, find it, and remove the tags."""
    page, arn = "tm-tagging-model", model_arn("v1")
    guide.cli(page, 2, edits={"resource-arn resource-arn": f"resource-arn {arn}"})
    guide.cli(page, 3, edits={"resource-arn resource-arn": f"resource-arn {arn}"}, prints='"key1": "value1"')
    guide.sample(page, arguments=["key1", "value1"], prints=f"Model version: {arn}")
    guide.cli(page, 4, edits={"resource-arn resource-arn": f"resource-arn {arn}"})


def start(guide: Guide) -> None:
    """Start two models."""
    guide.cli("rm-start", edits={"model_arn": model_arn("v1")}, prints='"STARTING"')
    until(lambda: model("v1")["Status"] == "RUNNING")
    arguments = [project("my_project"), model_arn("v2"), "1"]
    guide.sample("rm-start", arguments=arguments, prints="Status: RUNNING")


def detect(guide: Guide) -> None:
    """Detect labels by commands and samples, in an object, a file and a video."""
    arn, name = model_arn("v1"), "images/test/stripes/0.png"
    place = {"model_arn": arn, '"bucket"': f'"{BUCKET}"', '"image"': f'"{name}"'}
    expected = '"Name": "stripes"'
    guide.cli("detecting-custom-labels", edits=place, prints=expected)
    quoted = {'"{"S3Object"': '\'{"S3Object"', '}}"': "}}'"}
    place = {"model_arn": arn, "MY_BUCKET": BUCKET, "PATH_TO_MY_IMAGE": name}
    for page, number in (("gs-step-get-a-prediction", 1), ("tutorial-classification", 3)):
        guide.cli(page, number, corrections=quoted, why=QUOTES, edits=place, prints=expected)
    page = "detecting-custom-labels"
    guide.sample(page, arguments=[arn, name, "--bucket", BUCKET], prints="Custom labels detected: 1")
    local = str(guide.folder / "data" / "test" / "dark" / "0.png")
    guide.sample(page, arguments=[arn, local], prints="Custom labels detected: 1")
    place = {'"bucket"': repr(BUCKET), '"image"': repr(name), "'model arn'": repr(arn)}
    guide.sample(
        "ex-lambda", edits=place, calls="print(lambda_handler({}, None))", prints="'statusCode': 200"
    )
    if importlib.util.find_spec("cv2") is None and guide.python == sys.executable:
        guide.skip("ex-video-extraction", "Python", "needs OpenCV (pip install opencv-python-headless)")
        return
    video = guide.folder / "video.avi"
    program = (
        "import sys, cv2\n"
        "frame = cv2.imread(sys.argv[2])\n"
        "writer = cv2.VideoWriter(sys.argv[1], cv2.VideoWriter_fourcc(*'MJPG'), 2, frame.shape[1::-1])\n"
        "[writer.write(frame) for _ in range(4)]\n"
    )
    subprocess.run([guide.python, "-c", program, str(video), local], check=True)  # noqa: S603 - the program above
    edits = {'"video file"': repr(str(video)), '"project arn"': repr(arn)}
    guide.sample("ex-video-extraction", edits=edits, prints="'Timestamp': 1000.0")


def stop(guide: Guide) -> None:
    """Stop both models."""
    guide.cli("rm-stop", edits={"my model version": model_arn("v1")}, prints='"STOPPING"')
    until(lambda: model("v1")["Status"] == "STOPPED")
    guide.sample("rm-stop", arguments=[project("my_project"), model_arn("v2")], prints="Status: STOPPED")


def convert(guide: Guide) -> None:
    """Convert a COCO file and a manifest of a multi-label job, and create a dataset from the first."""
    coco = {
        "images": [
            {"id": 1, "file_name": "0.png", "width": 64, "height": 64, "date_captured": "2024-03-01 09:30:00"}
        ],
        "categories": [{"id": 0, "name": "dog"}, {"id": 1, "name": "cat"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [4, 4, 30, 30]}],
    }
    (guide.folder / "coco.json").write_text(json.dumps(coco), encoding="utf-8")
    edits = {
        "'bucket'": repr(BUCKET),
        "path to custom labels manifest file/": "converted/",
        "path to images/": "images/train/dark/",
        "path to input COCO dataset and output Custom Labels manifest/": "./",
        "path to COCO images/": "./",
        "COCO dataset JSON file name": "coco.json",
    }
    guide.sample("md-coco-transform-example", edits=edits, prints="converted/custom_labels.manifest")
    job = "image-label-attribute-name"
    metadata = {
        "class-map": {"0": "dog", "1": "cat"},
        "confidence-map": {"0": 0.9, "1": 0.8},
        "type": "groundtruth/image-classification-multilabel",
        "job-name": "labeling-job/animals",
        "human-annotated": "yes",
        "creation-date": "2024-03-01T09:30:00",
    }
    line = {"source-ref": f"s3://{BUCKET}/images/train/dark/0.png", job: [0, 1], f"{job}-metadata": metadata}
    (guide.folder / "examplefromdocumentation.manifest").write_text(json.dumps(line) + "\n", encoding="utf-8")
    guide.sample("md-gt-cl-transform", prints="")
    made = dataset("converted", "TRAIN", manifest="converted/custom_labels.manifest")
    stats = rekognition().describe_dataset(DatasetArn=made)["DatasetDescription"]["DatasetStats"]
    if stats["LabeledEntries"] != 1:
        raise RuntimeError(f"The manifest that the COCO sample wrote was not accepted: {stats}.")


def delete(guide: Guide) -> None:
    """Delete models, datasets and projects."""
    arn = project("my_project")
    guide.cli("tm-delete-model", edits={"model_arn": model_arn("v1")}, prints='"DELETING"')
    until(lambda: model("v1") is None)
    arguments = [arn, model_arn("v2")]
    guide.sample("tm-delete-model", arguments=arguments, answers="delete\n", prints="Finished deleting model")
    page, arn = "md-delete-dataset", dataset("third", "TRAIN")
    guide.cli(page, edits={"dataset-arn dataset-arn": f"dataset-arn {arn}"})
    guide.sample(page, arguments=[dataset("third", "TEST")], prints="Finished deleting dataset")
    guide.cli("mp-delete-project", edits={"project_arn": project("to_delete")}, prints='"DELETING"')
    arguments = [project("to_delete_too")]
    guide.sample("mp-delete-project", arguments=arguments, prints="Finished deleting project")


if __name__ == "__main__":
    sys.exit(main())
