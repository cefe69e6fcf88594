"""Missing, unreadable and invalid files: every reader names the file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from rekolabels.errors import InvalidInput, MissingExtra
from rekolabels.formats import (
    Problem,
    read_coco,
    read_csv,
    read_folder,
    read_ground_truth,
    read_voc,
    read_yolo,
    write_yolo,
)
from rekolabels.images import ImageSize, LabelledImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

FILES: Final[dict[str, Callable[..., Iterable[LabelledImage]]]] = {
    "coco": read_coco,
    "csv": read_csv,
    "ground_truth": read_ground_truth,
    "yolo": read_yolo,
}
ALL: Final[dict[str, Callable[..., Iterable[LabelledImage]]]] = {
    **FILES,
    "folder": read_folder,
    "voc": read_voc,
}


@pytest.mark.parametrize("name", ALL)
def test_an_invalid_path_is_refused(name: str) -> None:
    """A NUL character, which no file system accepts, raises InvalidInput."""
    with pytest.raises(InvalidInput, match="nul"):
        list(ALL[name]("nul\0character"))


@pytest.mark.parametrize("name", ALL)
def test_a_missing_path_is_named(tmp_path: Path, name: str) -> None:
    """The message names the path."""
    missing = tmp_path / "missing"

    with pytest.raises(InvalidInput) as caught:
        list(ALL[name](missing))

    assert str(missing) in str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_instead_of_a_file_is_refused(tmp_path: Path, name: str) -> None:
    """The message names the folder."""
    with pytest.raises(InvalidInput) as caught:
        list(FILES[name](tmp_path))

    assert str(tmp_path) in str(caught.value)


def test_a_data_yaml_that_is_not_text_or_too_large(tmp_path: Path) -> None:
    """YOLO: the message gives the position of the invalid byte, or the largest size."""
    latin = tmp_path / "data.yaml"
    latin.write_bytes("names: [größe]".encode("latin-1"))
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * ((1 << 18) + 1))

    with pytest.raises(InvalidInput, match="Not UTF-8 text at byte 10"):
        list(read_yolo(latin))
    with pytest.raises(InvalidInput, match="Larger than 256 kB"):
        list(read_yolo(large))


@pytest.mark.parametrize("names", ["names: {}", "names: {a: b}", "names: [null]", "names: 5"])
def test_a_data_yaml_without_classes(tmp_path: Path, names: str) -> None:
    """YOLO: classes are a list of names or a mapping from numbers to names."""
    file = tmp_path / "data.yaml"
    file.write_text(f"train: images\n{names}\n", encoding="utf-8")
    (tmp_path / "images").mkdir()

    with pytest.raises(InvalidInput, match="'names' is neither a list of classes nor a mapping"):
        list(read_yolo(file))


def test_invalid_parts_of_a_data_yaml_are_reported(tmp_path: Path) -> None:
    """YOLO: an invalid path and a list of images that is not text are reported."""
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe")
    file = tmp_path / "data.yaml"
    file.write_text('names: [a]\ntrain: "nul\\0character"\nval: list.txt\n', encoding="utf-8")
    problems: list[Problem] = []

    with pytest.raises(InvalidInput, match="Has no usable images"):
        list(read_yolo(file, on_problem=problems.append))
    assert [problem.lost for problem in problems] == ["file", "file"]
    assert "is not a valid path" in problems[0].message
    assert "Not UTF-8 text" in problems[1].message


def test_invalid_yaml_values_are_refused(tmp_path: Path) -> None:
    """YOLO: an impossible date is not valid YAML."""
    file = tmp_path / "data.yaml"
    file.write_text("names: [a]\ntrain: 2024-13-45\n", encoding="utf-8")

    with pytest.raises(InvalidInput, match="Not valid YAML"):
        list(read_yolo(file))


def test_an_oversized_annotation_is_left_out(tmp_path: Path) -> None:
    """Pascal VOC: a file of more than 16 MB is reported and left out, the others are read."""
    (tmp_path / "large.xml").write_bytes(b"<annotation>" + b" " * (16 << 20))
    (tmp_path / "small.xml").write_text(
        "<annotation><filename>s3://bucket/a.jpg</filename><size><width>64</width><height>64</height></size>"
        "<object><name>a</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
        "</object></annotation>",
        encoding="utf-8",
    )
    problems: list[Problem] = []

    images = list(read_voc(tmp_path, images="s3://bucket", on_problem=problems.append))

    assert [image.size for image in images] == [ImageSize(64, 64, 3)]
    assert [(problem.lost, "Larger than 16 MB" in problem.message) for problem in problems] == [
        ("image", True)
    ]


def test_an_image_in_s3_without_a_size(tmp_path: Path) -> None:
    """Pascal VOC: images in S3 are not read, so the annotation must state the size."""
    (tmp_path / "a.xml").write_text(
        "<annotation><filename>a.jpg</filename><object><name>a</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
        "<xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>",
        encoding="utf-8",
    )
    problems: list[Problem] = []

    list(read_voc(tmp_path, images="s3://bucket", on_problem=problems.append))

    assert any("States no valid size" in problem.message for problem in problems)


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("defusedxml.ElementTree", read_voc),
        ("yaml", lambda folder: list(read_yolo(folder / "data.yaml"))),
        ("yaml", lambda folder: write_yolo([], folder / "out")),
    ],
    ids=["read_voc", "read_yolo", "write_yolo"],
)
def test_without_the_extra_the_message_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, call: Callable[[Path], Any]
) -> None:
    """The error is raised before anything is read or written."""
    (tmp_path / "data.yaml").write_text("names: [a]\n", encoding="utf-8")
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(MissingExtra, match=r"rekolabels\[formats\]"):
        call(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["data.yaml"]
