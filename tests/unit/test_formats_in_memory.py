"""Ground Truth output, tables, datasets of other libraries, and writing label folders."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rekolabels.errors import InvalidInput
from rekolabels.formats import (
    Problem,
    from_dataframe,
    from_fiftyone,
    from_huggingface,
    from_supervision,
    raise_problem,
    read_folder,
    read_ground_truth,
    write_folder,
)
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest import format_line, parse_line

if TYPE_CHECKING:
    from pathlib import Path

COMMON = {"human-annotated": "yes", "creation-date": "2024-03-01T09:30:00", "job-name": "labeling-job/pets"}
SINGLE = {
    "source-ref": "s3://b/1.jpg",
    "pets": 0,
    "pets-metadata": {
        "class-name": "cat",
        "confidence": 0.9,
        "type": "groundtruth/image-classification",
        **COMMON,
    },
}
SEVERAL = {
    "source-ref": "s3://b/2.jpg",
    "pets": [1, 0],
    "pets-metadata": {
        "class-map": {"0": "cat", "1": "dog"},
        "confidence-map": {"0": 0.8, "1": 0.7},
        "type": "groundtruth/image-classification-multilabel",
        **COMMON,
    },
}
FAILED = {
    "source-ref": "s3://b/3.jpg",
    "pets-metadata": {"job-name": "x", "failure-reason": "ClientError: gone"},
}
OTHER = {
    "source-ref": "s3://b/4.jpg",
    "mask-ref": "s3://b/m.png",
    "mask-ref-metadata": {"type": "groundtruth/semantic-segmentation"},
}


def png(width: int = 100, height: int = 80) -> bytes:
    """Make the header of a PNG."""
    return (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
        + width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    )  # fmt: skip


def ground_truth(folder: Path, *lines: Any) -> tuple[list[LabelledImage], list[Problem]]:
    """Read an output manifest of lines that are given as objects, text or bytes."""
    raw = [
        line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()
        for line in lines
    ]
    (folder / "output.manifest").write_bytes(b"\n".join(raw) + b"\n")
    problems: list[Problem] = []
    return list(read_ground_truth(folder / "output.manifest", on_problem=problems.append)), problems


def test_usable_lines_are_manifest_lines(tmp_path: Path) -> None:
    """Classification and boxes are read as by read_manifest, including unknown keys."""
    box = LabelledImage("s3://b/5.jpg", boxes=[BoundingBox("cat", 1, 2, 3, 4)], size=ImageSize(100, 80))
    lines = [json.dumps(SINGLE | {"camera": 7}), format_line(box)]
    images, problems = ground_truth(tmp_path, *lines)
    assert [parse_line(line) for line in lines] == images
    assert images[0].attributes["camera"] == 7
    assert problems == []


def test_multi_label_lines_are_converted(tmp_path: Path) -> None:
    """Each class becomes an attribute, in the order of the list, as in the developer guide."""
    ((image,), problems) = ground_truth(tmp_path, SEVERAL)
    assert image.labels == ("dog", "cat")
    assert dict(image.attributes) == {
        "pets0": 0,
        "pets0-metadata": {
            "class-name": "dog", "confidence": 0.7, "type": "groundtruth/image-classification", **COMMON,
        },
        "pets1": 1,
        "pets1-metadata": {
            "class-name": "cat", "confidence": 0.8, "type": "groundtruth/image-classification", **COMMON,
        },
    }  # fmt: skip
    assert problems == []


@pytest.mark.parametrize(
    ("line", "message", "lost"),
    [
        (FAILED, "The task 'pets' failed: ClientError: gone", "image"),
        (
            OTHER,
            "'mask-ref' comes from a job type that Custom Labels does not support: groundtruth/semantic-seg",
            "image",
        ),
        (SINGLE | OTHER, "'mask-ref' comes from a job type", "label"),
        (SEVERAL | {"pets": [1, 5]}, "Class 5 of 'pets' is not in its class-map", "label"),
        (SEVERAL | {"pets": []}, "'pets' has no class", "image"),
        ("{", "Not JSON", "image"),
        ("[1]", "Not a JSON object", "image"),
        (b"\xff\xfe", "Not UTF-8 text", "image"),
        ("[" * 50_000, "Not JSON", "image"),
        ({"a": 1}, "has no 'source-ref'", "image"),
        (SINGLE | {"source-ref": "s3://b/" + "x" * 100_000}, "characters; at most", "image"),
        ("x" * 5_000_000, "too long", "image"),
    ],
)
def test_rejected_and_failed_lines_are_reported(tmp_path: Path, line: Any, message: str, lost: str) -> None:
    """The problem names the line; the lines around it are read."""
    images, problems = ground_truth(tmp_path, SINGLE, line, "", SINGLE)
    (problem,) = problems
    assert message in problem.message
    assert (2, lost) == (problem.line, problem.lost)
    assert 2 + (lost == "label") == len(images)


def test_a_missing_output_manifest_is_refused(tmp_path: Path) -> None:
    """A missing file raises InvalidInput."""
    with pytest.raises(InvalidInput, match="Cannot be read"):
        list(read_ground_truth(tmp_path / "none"))


def test_tables() -> None:
    """Cells hold strings, lists or nothing; columns may have other names."""
    problems: list[Problem] = []
    table = {"path": ["a", "b", "c", None, "e"], "y": ["cat", ["cat", "dog", "cat"], float("nan"), "x", 3]}
    images = list(from_dataframe(table, label="y", on_problem=problems.append))
    assert [(i.source, i.labels) for i in images] == [
        ("a", ("cat",)),
        ("b", ("cat", "dog")),
        ("c", ()),
        ("e", ("3",)),
    ]
    assert [problem.lost for problem in problems] == ["nothing", "image"]
    with pytest.raises(InvalidInput, match="has no columns 'path' and 'z'"):
        from_dataframe(table, label="z")


def test_pandas() -> None:
    """A pandas DataFrame is read like any table."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"path": ["a", "b"], "label": ["cat", None]})
    assert [image.labels for image in from_dataframe(frame)] == [("cat",), ()]


class _Rows(list[dict[str, Any]]):
    """Rows with features, like a Hugging Face dataset."""

    def __init__(self, rows: list[dict[str, Any]], features: dict[str, Any]) -> None:
        super().__init__(rows)
        self.features = features


def test_hugging_face_classification(tmp_path: Path) -> None:
    """Numbered labels get their names; embedded images are written, local images keep their paths."""
    local = tmp_path / "local.png"
    local.write_bytes(png())
    rows: list[dict[str, Any]] = [
        {"image": {"path": str(local), "bytes": None}, "label": 1},
        {"image": {"path": "gone.png", "bytes": png(64, 64)}, "label": [0, 1]},
        {"image": SimpleNamespace(filename="", save=lambda path: path.write_bytes(png())), "label": "free"},
        {"image": None, "label": 0},
        {"image": str(local), "label": None},
    ]
    dataset = _Rows(rows, {"label": SimpleNamespace(names=["cat", "dog"])})
    problems: list[Problem] = []
    images = list(from_huggingface(dataset, tmp_path / "out", on_problem=problems.append))
    assert [image.labels for image in images] == [("dog",), ("cat", "dog"), ("free",), ()]
    assert [str(local), str(tmp_path / "out" / "000001.png")] == [image.source for image in images[:2]]
    assert images[1].size == ImageSize(64, 64)
    assert [problem.file for problem in problems] == ["row 3"]
    with pytest.raises(InvalidInput, match="row 1: The image is embedded"):
        list(from_huggingface(dataset))


def test_hugging_face_detection(tmp_path: Path) -> None:
    """Boxes come from the column objects, with the names of a nested ClassLabel."""
    local = tmp_path / "local.png"
    local.write_bytes(png())
    names = SimpleNamespace(names=["cat", "dog"])
    for features in (
        {"objects": SimpleNamespace(feature={"category": names})},
        {"objects": [{"category": [names]}]},
        {"objects": {"category": SimpleNamespace(feature=names)}},
    ):
        row = {"image": str(local), "objects": {"bbox": [[1, 2, 3, 4]], "category": [1]}}
        (image,) = from_huggingface(_Rows([row], features), on_problem=raise_problem)
        assert (BoundingBox("dog", 1, 2, 3, 4),) == image.boxes


def test_supervision(tmp_path: Path) -> None:
    """Detections and classifications are read by path, and class ids become names."""
    local = tmp_path / "local.png"
    local.write_bytes(png())
    found = {
        str(local): SimpleNamespace(class_id=[1], xyxy=[(1.0, 2.0, 4.0, 6.0)]),
        "s3://b/x.jpg": SimpleNamespace(class_id=[0, 1], confidence=None),
        "s3://b/y.jpg": SimpleNamespace(class_id=None),
    }
    images = list(from_supervision(SimpleNamespace(classes=["cat", "dog"], annotations=found)))
    assert (BoundingBox("dog", 1, 2, 3, 4),) == images[0].boxes
    assert [image.labels for image in images] == [(), ("cat", "dog"), ()]
    with pytest.raises(InvalidInput, match="Expected a dataset of supervision, not int"):
        from_supervision(3)


class _Sample(dict[str, Any]):
    """A sample with attributes and fields, like one of FiftyOne."""

    def __init__(self, filepath: str, metadata: Any = None, **fields: Any) -> None:
        super().__init__(fields)
        self.filepath = filepath
        self.metadata = metadata


def test_fiftyone(tmp_path: Path) -> None:
    """All three kinds of fields are read; ratios become pixels by the metadata or the image file."""
    local = tmp_path / "local.png"
    local.write_bytes(png())
    detections = SimpleNamespace(
        detections=[SimpleNamespace(label="cat", bounding_box=[0.1, 0.25, 0.5, 0.5])]
    )
    samples = [
        _Sample(str(local), ground_truth=SimpleNamespace(label="cat")),
        _Sample(
            str(local), y=1, ground_truth=SimpleNamespace(classifications=[SimpleNamespace(label="dog")])
        ),
        _Sample(str(local), ground_truth=detections),
        _Sample("gone.png", SimpleNamespace(width=10, height=8), ground_truth=detections),
        _Sample("gone.png", ground_truth=detections),
        _Sample(str(local)),
    ]
    problems: list[Problem] = []
    images = list(from_fiftyone(samples, on_problem=problems.append))
    assert [image.labels for image in images] == [("cat",), ("dog",), (), (), (), ()]
    assert (BoundingBox("cat", 10, 20, 50, 40),) == images[2].boxes
    assert (BoundingBox("cat", 1, 2, 5, 4),) == images[3].boxes
    assert [problem.lost for problem in problems] == ["nothing", "box", "nothing"]
    beyond = SimpleNamespace(detections=[SimpleNamespace(label="cat", bounding_box=[0.9, 0.25, 0.5, 0.5])])
    list(from_fiftyone([_Sample(str(local), ground_truth=beyond)], on_problem=problems.append))
    assert "Detection 0 (cat) leaves the frame of 100 x 80" in problems[-1].message


def test_label_folders_are_written_and_read(tmp_path: Path) -> None:
    """A folder is written as it was read; what label folders cannot hold is reported and left out."""
    for name in ("cat/1.png", "dog/2.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(png())
    images = list(read_folder(tmp_path / "in"))
    box = BoundingBox("x", 1, 1, 5, 5)
    one = images[0].source
    strange = [
        LabelledImage(one, ["a", "b"]), LabelledImage(one),
        LabelledImage(one, ["../up"]), LabelledImage(one, [".x"]), LabelledImage("s3://b/k.png", ["cat"]),
        LabelledImage(one, ["cat"]), LabelledImage(one, ["new"], [box]),
    ]  # fmt: skip
    problems: list[Problem] = []
    assert write_folder([*images, *strange], tmp_path / "out", on_problem=problems.append) == 3
    assert [problem.lost for problem in problems] == ["image"] * 6 + ["box"]
    found = [(image.source.rsplit("/", 1)[-1], image.labels) for image in read_folder(tmp_path / "out")]
    assert found == [("1.png", ("cat",)), ("2.png", ("dog",)), ("1.png", ("new",))]
    with pytest.raises(InvalidInput, match="Cannot be written"):
        write_folder(images, one)
