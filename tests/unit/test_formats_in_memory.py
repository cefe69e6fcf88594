"""Tables and datasets of other libraries: pandas, Hugging Face, supervision and FiftyOne."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from label_files import png
from rekolabels.errors import InvalidInput
from rekolabels.formats import (
    Problem,
    from_dataframe,
    from_fiftyone,
    from_huggingface,
    from_supervision,
    raise_problem,
)
from rekolabels.images import BoundingBox, ImageSize

if TYPE_CHECKING:
    from pathlib import Path


def test_tables() -> None:
    """Cells hold strings, lists or nothing; columns may have other names."""
    problems: list[Problem] = []
    table = {
        "path": ["a", "b", "c", None, "e"],
        "y": ["cat", ["cat", "dog", "cat"], float("nan"), "x", ["3"]],
    }
    images = list(from_dataframe(table, label="y", on_problem=problems.append))
    assert [(i.source, i.labels) for i in images] == [
        ("a", ("cat",)),
        ("b", ("cat", "dog")),
        ("c", ()),
        ("e", ("3",)),
    ]
    assert [problem.lost for problem in problems] == ["nothing", "image"]
    with pytest.raises(InvalidInput, match=r"has no column 'z'. Its columns are 'path', 'y'"):
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
    with pytest.raises(InvalidInput, match="dataset is 3; expected"):
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
