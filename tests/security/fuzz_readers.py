"""Fuzz target ``readers``: everything that reads a file, except manifests, which have a target of their own.

An input is the name of a reader on the first line, and the content of its file after it.
"""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import fuzz_mutation as mutation
from fuzz_manifest import LINES

from rekolabels import Detection, RetryPolicy, formats
from rekolabels.errors import JournalFailed, RekolabelsError
from rekolabels.evaluation import (
    ChosenThreshold,
    EvaluationResult,
    SnapshotImage,
    ThresholdPolicy,
    Verdict,
    find_label_issues,
    read_training_snapshot,
    read_validation,
    write_testing_snapshot,
    write_training_snapshot,
)
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.inference import draw
from rekolabels.manifest import format_line, read_manifest, write_manifest
from rekolabels.testing import Recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

_CREATED = datetime(2026, 1, 2, tzinfo=UTC)
_SIZE = ImageSize(100, 80)
_BOXES = [BoundingBox("cat", 1, 2, 30, 40), BoundingBox("dog", 10.5, 20, 30, 40)]
_IMAGES = [
    LabelledImage("a.png", labels=["cat", "dog"], size=_SIZE),
    LabelledImage("b.png", boxes=_BOXES, size=_SIZE),
]
_VERDICTS = [
    [Verdict("cat", 0.9, "true positive"), Verdict("dog", 0.4, "false negative")],
    [
        Verdict("cat", 0.9, "true positive", _BOXES[0]),
        Verdict("dog", 0.0, "false negative", _BOXES[1]),
        Verdict("dog", 0.6, "false positive", BoundingBox("dog", 60, 20, 30, 40)),
    ],
]
_ARN = "arn:aws:rekognition:us-east-1:123456789012:project/p"


def _png() -> bytes:
    image = io.BytesIO()
    _picture().save(image, "PNG")
    return image.getvalue()


def _picture() -> Any:
    from PIL import Image

    return Image.effect_noise((100, 80), 50).convert("RGB")


class ReaderTarget:
    """Reads files of every kind, and uses what it reads; counts files.

    Attributes:
        strict: Whether ``run`` raises our own errors, too.
    """

    name = "readers"
    unit = "files"

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rekolabels-fuzz-"))
        self.png = _png()
        self.strict = False
        self.readers: dict[bytes, Callable[[bytes], None]] = {
            b"coco": self._coco,
            b"csv": self._csv,
            b"edits": self._edits,
            b"ground truth": self._ground_truth,
            b"image": self._image,
            b"issues": self._issues,
            b"journal": self._journal,
            b"policy": self._policy,
            b"recorded": self._recorded,
            b"rows": self._rows,
            b"snapshot": self._snapshot,
            b"summary": self._summary,
            b"training": self._training,
            b"voc": self._voc,
            b"yaml": self._yaml,
            b"yolo": self._yolo,
        }
        self.seeds = [name + b"\n" + content for name, content in self._contents()]

    def close(self) -> None:
        """Remove the files."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def mutate(self, data: bytes, rng: Random) -> bytes:
        """Change a value of JSON, an element of XML, or bytes of anything else."""
        name, _, content = data.partition(b"\n")
        if name in {b"image", b"journal", b"csv", b"yaml", b"yolo"}:
            if rng.random() < 0.5 and name not in {b"image", b"journal"}:
                text = mutation.text(content.decode("utf-8", "replace"), rng)
                return name + b"\n" + text.encode("utf-8", "surrogatepass")
            return name + b"\n" + mutation.raw(content, rng)
        if name == b"voc":
            return name + b"\n" + mutation.xml_text(content, rng)
        lines = content.split(b"\n")
        place = rng.randrange(len(lines))
        lines[place] = mutation.json_text(lines[place], rng)
        return name + b"\n" + b"\n".join(lines)

    def run(self, data: bytes) -> int:
        """Read a file; an error must be our own and printable.

        Raises:
            Exception: Any other exception is a finding.
        """
        name, _, content = data.partition(b"\n")
        read = self.readers.get(name)
        if read is None:
            return 1
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "images").mkdir(parents=True)
        for image in ("a.png", "b.png", "images/a.png"):
            (self.folder / image).write_bytes(self.png)
        self.problems: list[formats.Problem] = []
        try:
            read(content)
        except RekolabelsError as error:
            str(error).encode()
            if self.strict:
                raise
        for problem in self.problems:
            str(problem).encode()
        return 1

    # -- label files -----------------------------------------------------------------------------------------

    def _file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def _write(self, images: Iterable[LabelledImage]) -> None:
        """Write images in all formats."""
        images = list(images)
        report = self.problems.append
        out = self.folder / "out"
        out.mkdir()
        writers: tuple[Callable[[], object], ...] = (
            lambda: formats.write_coco(images, out / "a.json", on_problem=report),
            lambda: formats.write_csv(images, out / "a.csv", on_problem=report),
            lambda: formats.write_csv(images, out / "b.csv", boxes=True, on_problem=report),
            lambda: formats.write_folder(images, out / "labels", on_problem=report),
            lambda: formats.write_voc(images, out / "voc", on_problem=report),
            lambda: formats.write_yolo(images, out / "yolo", on_problem=report),
            lambda: write_manifest(images, out / "a.manifest"),
        )
        for write in writers:
            try:
                write()
            except RekolabelsError as error:
                str(error).encode()

    def _coco(self, content: bytes) -> None:
        file = self._file("coco.json", content)
        self._write(formats.read_coco(file, images="s3://b", on_problem=self.problems.append))

    def _csv(self, content: bytes) -> None:
        file = self._file("a.csv", content)
        self._write(formats.read_csv(file, images="s3://b", on_problem=self.problems.append))

    def _ground_truth(self, content: bytes) -> None:
        file = self._file("output.manifest", content)
        self._write(formats.read_ground_truth(file, on_problem=self.problems.append))

    def _voc(self, content: bytes) -> None:
        self._file("a.xml", content)
        self._write(formats.read_voc(self.folder, images=self.folder, on_problem=self.problems.append))

    def _yaml(self, content: bytes) -> None:
        self._file("data.yaml", content)
        self._write(formats.read_yolo(self.folder, on_problem=self.problems.append))

    def _yolo(self, content: bytes) -> None:
        self._file("data.yaml", b"names: [cat, dog]\ntrain: images\n")
        self._file("images/a.txt", content)
        self._write(formats.read_yolo(self.folder, on_problem=self.problems.append))

    def _rows(self, content: bytes) -> None:
        """Read rows as a table and as a dataset of Hugging Face."""
        try:
            found: Any = json.loads(content)
        except (ValueError, RecursionError):
            return
        if not isinstance(found, list):
            return
        rows: list[dict[str, Any]] = [row for row in found if isinstance(row, dict)]  # pyright: ignore[reportUnknownVariableType] - JSON
        report = self.problems.append
        keys: set[str] = {"path", "label"}.intersection(*rows) if rows else set()
        table = {key: [row[key] for row in rows] for key in keys}
        with suppress(RekolabelsError):
            self._write(formats.from_dataframe(table, on_problem=report))
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        self._write(formats.from_huggingface(rows, self.folder / "embedded", on_problem=report))

    def _edits(self, content: bytes) -> None:
        """Write the images of a manifest with other labels and boxes."""
        for image in read_manifest(content):
            changes: tuple[dict[str, Any], ...] = (
                {"labels": [*image.labels, "new", "new"]},
                {"labels": image.labels[1:], "boxes": image.boxes[1:]},
                {"boxes": [*reversed(image.boxes), *_BOXES], "size": _SIZE},
                {"attributes": dict(image.attributes), "labels": ["cl"]},
            )
            for changed in changes:
                with suppress(RekolabelsError):
                    format_line(attrs.evolve(image, **changed)).encode()

    # -- evaluations -----------------------------------------------------------------------------------------

    def _use(self, result: EvaluationResult) -> None:
        """Do everything that a user can do with a result."""
        self._call(lambda: str(result))
        shown: Any = result
        self._call(shown._repr_html_)
        self._call(result.to_pandas)
        self._call(lambda: result.adapter)
        for extension in ("csv", "html", "json", "md"):
            self._call(lambda extension=extension: result.save(self.folder / f"a.{extension}"))  # type: ignore[misc]
        if result.snapshot is None:
            return
        for use in (
            result.mistakes,
            result.label_issues,
            result.scores,
            lambda: result.at(0.5),
            result.discrepancies,
            result.confusion,
            result.box_metrics,
            lambda: result.compare(result, n_resamples=10),
            lambda: result.assert_no_regression(result),
            lambda: ThresholdPolicy.best_f1(result),
            lambda: ThresholdPolicy.recall_at_least(result, 0.9),
            lambda: find_label_issues(result.images),
        ):
            self._call(use)

    @staticmethod
    def _call(use: Callable[[], object]) -> None:
        try:
            use()
        except RekolabelsError as error:
            str(error).encode()

    def _summary(self, content: bytes) -> None:
        try:
            summary = json.loads(content)
        except (ValueError, RecursionError):
            return
        self._use(EvaluationResult.from_summary(summary))

    def _snapshot(self, content: bytes) -> None:
        self._use(EvaluationResult.from_snapshot(content))

    def _training(self, content: bytes) -> None:
        images = list(read_training_snapshot(content.split(b"\n")))
        for line in write_training_snapshot(images, _CREATED):
            line.encode()

    def _issues(self, content: bytes) -> None:
        for line in read_validation(content.split(b"\n")):
            assert all(isinstance(code, str) for code in line.codes)
            str(line)

    def _policy(self, content: bytes) -> None:
        policy = ThresholdPolicy.from_json(content)
        self._call(lambda: policy.check_model(_ARN))
        policy.apply([Detection("cat", 50.0)])
        assert 0 <= policy.min_confidence <= 100
        hash(policy)
        assert ThresholdPolicy.load(policy.save(self.folder / "policy.json")) == policy

    # -- others ----------------------------------------------------------------------------------------------

    def _image(self, content: bytes) -> None:
        with suppress(RekolabelsError):
            formats.image_size(self._file("a.jpg", content))
        with suppress(RekolabelsError):
            draw(content, [Detection("cat", 50.0)])
        from rekolabels.inference._image import image_argument

        image_argument(content, shrink=True)

    def _model(self) -> Any:
        project = {
            "ProjectArn": f"{_ARN}/1",
            "Status": "CREATED",
            "CreationTimestamp": "2026-01-01T00:00:00Z",
        }
        client = Recorded(RetryPolicy())(
            {"operation": "DescribeProjects", "response": {"ProjectDescriptions": [project]}},
            {"operation": "DetectCustomLabels", "response": {"CustomLabels": []}},
        )
        return client.model(f"{_ARN}/version/v/1")

    def _journal(self, content: bytes) -> None:
        """Continue with a journal; SQLite itself finds damaged pages."""
        file = self._file("journal", content)
        with suppress(JournalFailed):
            for outcome in self._model().detect_many(["s3://b/a.jpg"], journal=file, workers=1):
                str(outcome)

    def _recorded(self, content: bytes) -> None:
        file = self._file("recorded.json", content)
        client = Recorded(RetryPolicy())(file)
        with suppress(RekolabelsError):
            for project in client.projects():
                str(project)

    def _contents(self) -> Iterable[tuple[bytes, bytes]]:
        """Yield valid content for every reader."""
        yield from self._label_contents()
        yield from self._evaluation_contents()
        yield from self._other_contents()

    def _label_contents(self) -> Iterable[tuple[bytes, bytes]]:
        out = self.folder
        formats.write_coco(_IMAGES[1:], out / "a.json")
        yield b"coco", (out / "a.json").read_bytes()
        formats.write_csv(_IMAGES[:1], out / "a.csv")
        yield b"csv", (out / "a.csv").read_bytes()
        formats.write_csv(_IMAGES[1:], out / "a.csv", boxes=True)
        yield b"csv", (out / "a.csv").read_bytes()
        yield from ((b"ground truth", line.encode()) for line in LINES)
        yield from ((b"edits", line.encode()) for line in LINES)
        formats.write_voc(_IMAGES[1:], out / "voc")
        yield b"voc", (out / "voc" / "b.xml").read_bytes()
        yield b"yaml", b"path: .\ntrain: images\nval: [images]\nnames:\n  0: cat\n  1: dog\n"
        yield b"yaml", b"{train: images, names: [cat, dog]}"
        yield b"yolo", b"0 0.5 0.5 0.25 0.25\n1 0.5 0.5 0.1 0.1 0.9\n0 0.1 0.1 0.2 0.1 0.2 0.2\n"
        row = {"path": "a.png", "label": ["cat"], "image": {"path": "a.png", "bytes": None}}
        objects = {"bbox": [[1, 2, 3, 4]], "category": [0]}
        yield b"rows", json.dumps([row, {**row, "label": 1, "objects": objects, "image": "a.png"}]).encode()

    @staticmethod
    def _evaluation_contents() -> Iterable[tuple[bytes, bytes]]:
        snapshot_images = [
            SnapshotImage(image.source, image.labels, image.boxes, image.size) for image in _IMAGES
        ]
        snapshot_images[0] = attrs.evolve(snapshot_images[0], size=None)
        summary: dict[str, Any] = {}
        for image, verdicts in zip(snapshot_images, _VERDICTS, strict=True):
            lines = "\n".join(write_testing_snapshot([image], [verdicts], _CREATED)).encode()
            yield b"snapshot", lines
            summary = EvaluationResult.from_snapshot(lines).to_summary()
            yield b"summary", json.dumps(summary).encode()
        counts = dict.fromkeys(("TruePositive", "FalsePositive", "FalseNegative", "TrueNegative"), 1)
        both = {"BaseModel": counts, "Adapter": counts}
        threshold = {
            "ConfidenceThreshold": 50,
            "AggregatedEvaluationResults": both,
            "LabelEvaluationResults": [{"Label": "a", **both}],
        }
        moderation = {
            "InputConfidenceThresholdEvalResults": threshold,
            "AllConfidenceThresholdsEvalResults": [threshold],
        }
        yield b"summary", json.dumps({**summary, "ContentModeration": moderation}).encode()
        yield b"training", "\n".join(write_training_snapshot(snapshot_images, _CREATED)).encode()
        issue = {"code": "ERROR_INVALID_IMAGE", "message": "text"}
        yield (
            b"issues",
            json.dumps({"source-ref": "s3://b/a", "errors": [issue], "a": {"warnings": [issue]}}).encode(),
        )
        chosen = ChosenThreshold(0.5, 0.9, 0.8, (0.8, 1.0), (0.7, 0.9), 20, "few")
        yield b"policy", ThresholdPolicy({"cat": chosen}, "by hand", _ARN).to_json().encode()

    def _other_contents(self) -> Iterable[tuple[bytes, bytes]]:
        project = {
            "ProjectArn": f"{_ARN}/1",
            "Status": "CREATED",
            "CreationTimestamp": "2026-01-01T00:00:00Z",
            "Datasets": (),
        }
        response: dict[str, Any] = {"ProjectDescriptions": [project]}
        recorded = {"operation": "DescribeProjects", "response": response}
        yield b"recorded", json.dumps(recorded).encode()
        failure = {"Error": {"Code": "AccessDeniedException", "Message": "no"}}
        yield b"recorded", json.dumps({"operation": "DescribeProjects", "response": failure}).encode()
        for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
            image = io.BytesIO()
            exif = _picture().getexif()
            exif[0x0112] = 6
            _picture().resize((20, 16)).save(
                image, kind, **({} if kind in {"BMP", "PPM"} else {"exif": exif})
            )
            yield b"image", image.getvalue()
        journal = self.folder / "journal"
        with suppress(RekolabelsError):
            for _ in self._model().detect_many(["s3://b/a.jpg"], journal=journal, workers=1):
                pass
        with closing(sqlite3.connect(journal)) as database:
            database.execute("PRAGMA journal_mode = DELETE")
        yield b"journal", journal.read_bytes()
