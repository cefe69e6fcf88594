"""Hostile values end in our own errors or in a result, never in an exception of Python or of another library.

A test fails when a reader or writer passes a value on to code that cannot hold it: numbers of hundreds of
digits, NaN, values of another type, halves of surrogate pairs, names that the file system refuses.
"""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from rekolabels import formats
from rekolabels.errors import InvalidEvaluation, InvalidInput
from rekolabels.evaluation import (
    ChosenThreshold,
    EvaluationResult,
    LabelMetrics,
    SnapshotImage,
    ThresholdPolicy,
    read_training_snapshot,
    read_validation,
    write_training_snapshot,
)
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest import read_manifest, write_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from rekolabels.formats import Problem
    from rekolabels.local import LocalService

HUGE = int("7" * 400)
"""An integer beyond the range of a float."""
SURROGATE = "half \ud83d"
"""JSON can hold half of a surrogate pair, UTF-8 cannot."""
VALUES: dict[str, Any] = {
    "400 digits": HUGE,
    "-400 digits": -HUGE,
    "1e300": 1e300,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "a word": "word",
    "a digit that is not ASCII": "٣",
    "a surrogate": SURROGATE,
    "a list": [1],
    "an object": {"a": 1},
    "true": True,
    "null": None,
}


@pytest.fixture(params=VALUES)
def value(request: pytest.FixtureRequest) -> Any:
    """Return one value after the other."""
    return VALUES[request.param]


# -- label files ---------------------------------------------------------------------------------------------

COCO_FIELDS = [
    ("images", "id"),
    ("images", "file_name"),
    ("images", "coco_url"),
    ("images", "width"),
    ("annotations", "id"),
    ("annotations", "image_id"),
    ("annotations", "category_id"),
    ("annotations", "bbox"),
    ("annotations", "iscrowd"),
    ("annotations", "segmentation"),
    ("categories", "id"),
    ("categories", "name"),
]


@pytest.mark.parametrize(("part", "field"), COCO_FIELDS)
def test_coco_values(tmp_path: Path, part: str, field: str, value: Any) -> None:
    """COCO: what cannot be used is reported, and what was read can be written in every format."""
    content: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 100}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    content[part][0][field] = value
    check_coco(tmp_path, content)


@pytest.mark.parametrize("side", range(4))
def test_coco_sides(tmp_path: Path, side: int, value: Any) -> None:
    """COCO: the same, for one side of a box next to fractions."""
    sides: list[Any] = [1.5, 2.5, 3.5, 4.5]
    sides[side] = value
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 100}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": sides}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    check_coco(tmp_path, content)


def check_coco(folder: Path, content: dict[str, Any]) -> None:
    """Read the content as a COCO file, and write what was read."""
    file = folder / "coco.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    problems: list[Problem] = []
    images = list[LabelledImage]()
    with suppress(InvalidInput):  # no usable image
        images += formats.read_coco(file, images="s3://b", on_problem=problems.append)
    assert all(str(problem) for problem in problems)
    write_in_all_formats(folder, images)


WRITERS: dict[str, Callable[[Iterable[LabelledImage], Path], object]] = {
    "coco": lambda images, folder: formats.write_coco(images, folder / "out.json"),
    "csv": lambda images, folder: formats.write_csv(images, folder / "out.csv"),
    "csv with boxes": lambda images, folder: formats.write_csv(images, folder / "out.csv", boxes=True),
    "folder": lambda images, folder: formats.write_folder(images, folder / "out"),
    "manifest": lambda images, folder: write_manifest(images, folder / "out.manifest"),
    "voc": lambda images, folder: formats.write_voc(images, folder / "voc"),
    "yolo": lambda images, folder: formats.write_yolo(images, folder / "yolo"),
}


def write_in_all_formats(folder: Path, images: Iterable[LabelledImage]) -> None:
    """Write images in every format; a format may refuse them."""
    pytest.importorskip("yaml")
    images = list(images)
    for write in WRITERS.values():
        try:
            write(images, folder)
        except InvalidInput as error:
            str(error).encode()


BOX = BoundingBox("cat", 1, 2, 3, 4)
SIZE = ImageSize(100, 80)
IMAGES: dict[str, LabelledImage] = {
    "a surrogate in a label": LabelledImage("a.jpg", labels=[SURROGATE]),
    "a surrogate in the label of a box": LabelledImage(
        "a.jpg", boxes=[BoundingBox(SURROGATE, 1, 2, 3, 4)], size=SIZE
    ),
    "a surrogate in the name": LabelledImage(f"{SURROGATE}.jpg", labels=["cat"], boxes=[BOX], size=SIZE),
    "a byte that is not UTF-8 in the name": LabelledImage(
        "a\udcff.jpg", labels=["cat"], boxes=[BOX], size=SIZE
    ),
    "a name that is too long": LabelledImage("a" * 300 + ".jpg", labels=["cat"], boxes=[BOX], size=SIZE),
    "a name with a NUL": LabelledImage("a\0.jpg", labels=["cat"], boxes=[BOX], size=SIZE),
    "no name": LabelledImage("", labels=["cat"], boxes=[BOX], size=SIZE),
    "a label that is too long": LabelledImage("a.jpg", labels=["cat" * 1000]),
    "a label with a NUL": LabelledImage(
        "a.jpg", labels=["a\0"], boxes=[BoundingBox("\0", 1, 2, 3, 4)], size=SIZE
    ),
    "no size": LabelledImage("a.jpg", boxes=[BOX]),
    "a huge size": LabelledImage("a.jpg", boxes=[BOX], size=ImageSize(HUGE, 1)),
    "NaN": LabelledImage("a.jpg", boxes=[BoundingBox("cat", float("nan"), 1, HUGE, 4)], size=SIZE),
    "huge numbers": LabelledImage("a.jpg", boxes=[BoundingBox("cat", HUGE, 1.5, HUGE, 4.5)], size=SIZE),
    "infinity": LabelledImage("a.jpg", boxes=[BoundingBox("cat", 1, 1, float("inf"), 4)], size=SIZE),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", IMAGES)
def test_what_formats_cannot_hold(tmp_path: Path, writer: str, name: str) -> None:
    """A writer reports or refuses an image, and its error is printable."""
    pytest.importorskip("yaml")
    (tmp_path / "a.jpg").write_bytes(b"image")
    try:
        WRITERS[writer]([IMAGES[name]], tmp_path)
    except InvalidInput as error:
        str(error).encode()
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".part")]


def test_surrogates_survive_where_a_format_can_hold_them(tmp_path: Path) -> None:
    """COCO, YOLO and manifests have escapes; CSV and Pascal VOC do not, and name the text."""
    pytest.importorskip("yaml")
    image = LabelledImage("a.jpg", boxes=[BoundingBox(SURROGATE, 1, 2, 3, 4)], size=SIZE)

    formats.write_coco([image], tmp_path / "a.json")
    write_manifest([image], tmp_path / "a.manifest")
    (coco,) = formats.read_coco(tmp_path / "a.json", images="s3://b")
    (read,) = read_manifest(tmp_path / "a.manifest")

    assert (coco.boxes, read.boxes) == (image.boxes, image.boxes)
    for write in (WRITERS["csv with boxes"], WRITERS["voc"]):
        with pytest.raises(InvalidInput, match=r"half \\ud83d.* is not valid Unicode text"):
            write([image], tmp_path)


@pytest.mark.parametrize("field", ["type", "class-name", "class-map", "confidence-map", "failure-reason"])
@pytest.mark.parametrize("label", [1, [0, 1], {"annotations": []}])
def test_ground_truth_metadata(tmp_path: Path, field: str, label: Any, value: Any) -> None:
    """Ground Truth: metadata of any type."""
    metadata = {"type": "groundtruth/image-classification-multilabel", "class-map": {"0": "a"}, field: value}
    line = {"source-ref": "s3://b/a.jpg", "a": label, "a-metadata": metadata}
    file = tmp_path / "output.manifest"
    file.write_text(json.dumps(line), encoding="utf-8")
    problems: list[Problem] = []

    write_in_all_formats(tmp_path, formats.read_ground_truth(file, on_problem=problems.append))

    assert all(str(problem) for problem in problems)


YAML_VALUES = [
    "!!timestamp word",
    "!!int ''",
    "!!float ''",
    "!!bool word",
    "!!binary ü",
    "!!null word",
    "!!set {a, b}",
    "!!pairs [a: b]",
    "2001-99-99",
    "0x" + "f" * 4000,
    "9" * 4000,
    ".nan",
    r'"\ud83d"',
    "{? [a] : b}",
]


@pytest.mark.parametrize("text", YAML_VALUES)
@pytest.mark.parametrize(
    "place", ["train: {}\nnames: [a]", "train: images\nnames: {}", "train: x\nnames: [{}]"]
)
def test_yaml_values(tmp_path: Path, place: str, text: str) -> None:
    """YOLO: values that PyYAML cannot convert."""
    pytest.importorskip("yaml")
    file = tmp_path / "data.yaml"
    file.write_text(place.replace("{}", text), encoding="utf-8")
    problems: list[Problem] = []
    with suppress(InvalidInput):
        list(formats.read_yolo(file, on_problem=problems.append))
    assert all(str(problem) for problem in problems)


# -- evaluations ---------------------------------------------------------------------------------------------

SUMMARY_FIELDS: dict[str, tuple[str | int, ...]] = {
    "F1 score": ("AggregatedEvaluationResults", "F1Score"),
    "mAP": ("AggregatedEvaluationResults", "AveragePrecision"),
    "matrix": ("AggregatedEvaluationResults", "ConfusionMatrix"),
    "share": ("AggregatedEvaluationResults", "ConfusionMatrix", 0, "Value"),
    "truth": ("AggregatedEvaluationResults", "ConfusionMatrix", 0, "GroundTruthLabel"),
    "end": ("EvaluationDetails", "EvaluationEndTimestamp"),
    "labels": ("EvaluationDetails", "Labels"),
    "images": ("EvaluationDetails", "NumberOfTestingImages"),
    "ARN": ("EvaluationDetails", "ProjectVersionArn"),
    "label": ("LabelEvaluationResults", 0, "Label"),
    "images of a label": ("LabelEvaluationResults", 0, "NumberOfTestingImages"),
    "threshold": ("LabelEvaluationResults", 0, "Metrics", "Threshold"),
    "metrics": ("LabelEvaluationResults", 0, "Metrics"),
    "unknown": ("LabelEvaluationResults", 0, "Unknown"),
    "version": ("Version",),
}


def summary() -> dict[str, Any]:
    """Return a valid summary of a classifier."""
    metrics = {"F1Score": 0.9, "Precision": 0.9, "Recall": 0.9, "Threshold": 0.5}
    return {
        "Version": 1,
        "AggregatedEvaluationResults": {
            "ConfusionMatrix": [{"GroundTruthLabel": "cat", "PredictedLabel": "cat", "Value": 1.0}],
            "F1Score": 0.9,
        },
        "EvaluationDetails": {"Labels": ["cat"], "NumberOfTestingImages": 5},
        "LabelEvaluationResults": [{"Label": "cat", "NumberOfTestingImages": 5, "Metrics": metrics}],
    }


def put(content: Any, path: tuple[str | int, ...], value: Any) -> None:
    """Replace a value in nested lists and objects."""
    for step in path[:-1]:
        content = content[step]
    content[path[-1]] = value


@pytest.mark.parametrize("field", SUMMARY_FIELDS)
def test_summary_values(tmp_path: Path, field: str, value: Any) -> None:
    """A summary is refused, or shown, saved in every format and turned into a data frame."""
    content = summary()
    put(content, SUMMARY_FIELDS[field], value)
    try:
        result = EvaluationResult.from_summary(json.loads(json.dumps(content)))
    except InvalidEvaluation as error:
        str(error).encode()
        return
    use(result, tmp_path)


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_times_outside_of_the_calendar(tmp_path: Path, time: str) -> None:
    """A time that does not exist in UTC is kept as text."""
    content = summary()
    put(content, SUMMARY_FIELDS["end"], time)
    result = EvaluationResult.from_summary(content)

    assert result.evaluated_at is None
    assert result.extra["EvaluationDetails"] == {"EvaluationEndTimestamp": time}
    use(result, tmp_path)


def use(result: EvaluationResult, folder: Path) -> None:
    """Show a result and save it in every format."""
    shown: Any = result
    assert str(shown)
    assert shown._repr_html_()
    for extension in ("csv", "html", "json", "md"):
        path = result.save(folder / f"result.{extension}")
        assert path.read_text(encoding="utf-8")
    pytest.importorskip("pandas")
    assert len(result.to_pandas()) == len(result.labels)


def test_saved_surrogates(tmp_path: Path) -> None:
    """JSON holds the label itself, CSV and the page its escape."""
    content = summary()
    put(content, SUMMARY_FIELDS["label"], SURROGATE)
    result = EvaluationResult.from_summary(content)

    saved = json.loads(result.save(tmp_path / "a.json").read_bytes())
    assert EvaluationResult.from_summary(saved) == result
    assert r"half \ud83d" in result.save(tmp_path / "a.csv").read_text(encoding="utf-8")
    assert r"half \ud83d" in result.save(tmp_path / "a.html").read_text(encoding="utf-8")


EVALUATION = "rekognition-custom-labels-evaluation"
DETAILS = {f"{EVALUATION}-details": {"is-false-positive": True}}
SNAPSHOT_FIELDS: dict[str, tuple[str | int, ...]] = {
    "source": ("source-ref",),
    "attribute": (EVALUATION,),
    "sizes": (EVALUATION, "image_size"),
    "size": (EVALUATION, "image_size", 0),
    "width": (EVALUATION, "image_size", 0, "width"),
    "depth": (EVALUATION, "image_size", 0, "depth"),
    "annotations": (EVALUATION, "annotations"),
    "annotation": (EVALUATION, "annotations", 0),
    "class id": (EVALUATION, "annotations", 0, "class_id"),
    "left": (EVALUATION, "annotations", 0, "left"),
    "width of a box": (EVALUATION, "annotations", 0, "width"),
    "metadata": (f"{EVALUATION}-metadata",),
    "class map": (f"{EVALUATION}-metadata", "class-map"),
    "class": (f"{EVALUATION}-metadata", "class-map", "0"),
    "objects": (f"{EVALUATION}-metadata", "objects"),
    "object": (f"{EVALUATION}-metadata", "objects", 0),
    "confidence": (f"{EVALUATION}-metadata", "objects", 0, "confidence"),
    "details": (f"{EVALUATION}-metadata", "objects", 0, f"{EVALUATION}-details"),
}


@pytest.mark.parametrize("field", SNAPSHOT_FIELDS)
def test_snapshot_values(tmp_path: Path, field: str, value: Any) -> None:
    """A testing snapshot is refused, or shown and saved; so is a training snapshot."""
    line: dict[str, Any] = {
        "source-ref": "s3://b/a.jpg",
        EVALUATION: {
            "annotations": [{"class_id": 0, "left": 1, "top": 2, "width": 3, "height": 4}],
            "image_size": [{"width": 100, "height": 80, "depth": 3}],
        },
        f"{EVALUATION}-metadata": {"class-map": {"0": "cat"}, "objects": [{"confidence": 0.9, **DETAILS}]},
    }
    put(line, SNAPSHOT_FIELDS[field], value)
    text = json.dumps(line)
    try:
        use(EvaluationResult.from_snapshot([text]), tmp_path)
    except InvalidEvaluation as error:
        str(error).encode()
    training = text.replace("custom-labels-evaluation", "custom-labels-training")
    try:
        images = list(read_training_snapshot([training]))
    except InvalidEvaluation as error:
        str(error).encode()
        return
    for written in write_training_snapshot(images, datetime(2026, 1, 1, tzinfo=UTC)):
        written.encode()


def test_written_snapshots() -> None:
    """Labels with surrogates, and sides that are not numbers of pixels."""
    image = SnapshotImage(SURROGATE, labels=[SURROGATE], boxes=[BoundingBox("a", 1e308, 1, 1, 1)], size=SIZE)
    (line,) = write_training_snapshot([image], datetime(2026, 1, 1, tzinfo=UTC))

    assert json.loads(line.encode())["source-ref"] == SURROGATE


def test_issues_of_any_type(value: Any) -> None:
    """A manifest with validation may have codes and messages of any type."""
    line = json.dumps({"errors": [{"code": value, "message": value}, value], "warnings": value})
    for found in read_validation([line]):
        assert all(isinstance(code, str) for code in found.codes)


# -- policies ------------------------------------------------------------------------------------------------


POLICY_FIELDS: dict[str, tuple[str | int, ...]] = {
    "version": ("version",),
    "goal": ("goal",),
    "model": ("model_arn",),
    "digest": ("test_manifest_sha256",),
    "labels": ("labels",),
    "label": ("labels", "cat"),
    "threshold": ("labels", "cat", "threshold"),
    "precision": ("labels", "cat", "precision"),
    "interval": ("labels", "cat", "recall_interval"),
    "support": ("labels", "cat", "support"),
    "note": ("labels", "cat", "note"),
}


@pytest.mark.parametrize("field", POLICY_FIELDS)
def test_policy_values(tmp_path: Path, field: str, value: Any) -> None:
    """A policy is refused when it is read, not when it is used."""
    content = json.loads(ThresholdPolicy({"cat": ChosenThreshold(0.5)}, "by hand").to_json())
    put(content, POLICY_FIELDS[field], value)
    try:
        policy = ThresholdPolicy.from_json(json.dumps(content))
    except InvalidInput as error:
        str(error).encode()
        return
    with suppress(InvalidInput):
        policy.check_model("arn")
    assert 0 <= policy.min_confidence <= 100
    assert hash(policy) == hash(ThresholdPolicy.load(policy.save(tmp_path / "policy.json")))


def test_a_policy_with_surrogates(tmp_path: Path) -> None:
    """It is saved as JSON escapes."""
    policy = ThresholdPolicy({SURROGATE: ChosenThreshold(0.5, note=SURROGATE)}, SURROGATE)

    assert ThresholdPolicy.load(policy.save(tmp_path / "policy.json")) == policy
    policy.to_json().encode()


def test_huge_counts_of_our_own() -> None:
    """A result that a program made may have counts beyond the integers of pandas."""
    pytest.importorskip("pandas")
    result = EvaluationResult(labels={"cat": LabelMetrics(test_images=HUGE), "dog": LabelMetrics()})

    assert result.to_pandas()["test_images"]["cat"] == HUGE


# -- HTTP ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    """Return a service with an object of ten bytes."""
    pytest.importorskip("onnxruntime", reason="the extra 'local' is not installed")
    from rekolabels.local import LocalService

    with LocalService() as running:
        session: Any = running.session()
        s3 = session.client("s3")
        s3.create_bucket(Bucket="bucket")
        s3.put_object(Bucket="bucket", Key="key", Body=b"0123456789")
        UPLOAD.append(s3.create_multipart_upload(Bucket="bucket", Key="key")["UploadId"])
        yield running


UPLOAD: list[str] = []
"""The id of the upload that the service has."""
DIGITS = "9" * 5000
"""More digits than Python converts."""
HEADERS = {
    "a range to a huge end": ("GET", f"Range: bytes=2-{DIGITS}", 206, "23456789"),
    "a range from a huge start": ("GET", f"Range: bytes={DIGITS}-", 416, "InvalidRange"),
    "the last bytes": ("GET", f"Range: bytes=-{DIGITS}", 206, "0123456789"),
    "zeros": ("GET", f"Range: bytes={'0' * 5000}3-{'0' * 5000}4", 206, "34"),
    "a day of many digits": (
        "GET",
        f"If-Modified-Since: Mon, {DIGITS[:30]} Jan 2020 00:00:00 GMT",
        200,
        "0123456789",
    ),
    "a year of many digits": (
        "GET",
        "If-Modified-Since: Mon, 01 Jan 99999999999 00:00:00 GMT",
        200,
        "0123456789",
    ),
    "a copied range": (
        "PUT",
        f"x-amz-copy-source: /bucket/key\r\nx-amz-copy-source-range: bytes=0-{DIGITS}\r\nContent-Length: 0",
        400,
        "InvalidArgument",
    ),
    "a length": ("PUT", f"Content-Length: {DIGITS}", 400, ""),
    "a length of many digits": ("PUT", f"Content-Length: {DIGITS[:30]}", 400, ""),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers(service: LocalService, name: str) -> None:
    """Numbers of thousands of digits in the headers of requests are answered as S3 answers them."""
    method, header, status, body = HEADERS[name]
    path = f"/bucket/key?partNumber=1&uploadId={UPLOAD[0]}" if "copy" in header else "/bucket/key"
    with (
        service.serve() as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=60) as client,
    ):
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n\r\n"
        client.sendall(head.encode())
        answer = b"".join(iter(lambda: client.recv(65536), b"")).decode()

    assert answer.startswith(f"HTTP/1.1 {status} "), answer
    assert body in answer
