"""YOLO: ratios become pixels, and problems name the line of the label file."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from label_files import png, write_files
from rekolabels.errors import InvalidInput
from rekolabels.formats import Problem, raise_problem, read_yolo, write_yolo
from rekolabels.images import BoundingBox, ImageSize, LabelledImage

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("yaml")


def read_one(
    folder: Path, lines: str, names: str = "[cat, dog]"
) -> tuple[list[LabelledImage], list[Problem]]:
    """Read a dataset with one image, and return its images and problems."""
    data = f"train: images\nnames: {names}\n"
    write_files(folder, {"data.yaml": data, "images/a.png": png(), "labels/a.txt": lines})
    problems: list[Problem] = []
    return list(read_yolo(folder, on_problem=problems.append)), problems


def test_ratios_become_pixels(tmp_path: Path) -> None:
    """Centre, width and height become a box; six digits are enough for whole pixels."""
    images, problems = read_one(tmp_path, "1 0.155000 0.275000 0.290000 0.500000\n0 0.5 0.5 1 1 0.93\n")
    boxes = (BoundingBox("dog", 1, 2, 29, 40), BoundingBox("cat", 0, 0, 100, 80))
    assert images == [LabelledImage(str(tmp_path / "images" / "a.png"), (), boxes, ImageSize(100, 80))]
    assert problems == []


@pytest.mark.parametrize(
    ("start", "size"),
    [
        (b"GIF89a" + struct.pack("<HH", 100, 80), (100, 80)),
        (b"BM" + bytes(12) + struct.pack("<Iii", 40, 100, -80), (100, 80)),
        (b"BM" + bytes(12) + struct.pack("<IHH", 12, 100, 80), (100, 80)),
        (b"RIFF\x30\0\0\0WEBPVP8X" + bytes(8) + b"\x63\0\0\x4f\0\0", (100, 80)),
        (b"RIFF\x30\0\0\0WEBPVP8L" + bytes(4) + b"\x2f" + struct.pack("<I", 99 | 79 << 14), (100, 80)),
        (b"RIFF\x30\0\0\0WEBPVP8 " + bytes(10) + struct.pack("<HH", 100, 80), (100, 80)),
        (b"RIFF\x30\0\0\0WEBPVP8 ", None),
        (b"GIF89a" + bytes(4), None),
        (b"II*\0", None),
        (b"\0\0\0\x18ftypheic", None),
    ],
)
def test_other_formats(tmp_path: Path, start: bytes, size: tuple[int, int] | None) -> None:
    """WebP, BMP and GIF images are read, because create_datasets can convert them; others are reported."""
    data: dict[str, str | bytes] = {"data.yaml": "train: images\nnames: [cat]\n", "images/b.png": png()}
    write_files(tmp_path, {**data, "images/a.webp": start + bytes(40), "images/a.txt": "0 .5 .5 .5 .5"})
    problems: list[Problem] = []
    images = list(read_yolo(tmp_path, on_problem=problems.append))
    if size is None:
        assert [problem.lost for problem in problems] == ["image"]
        assert len(images) == 1
    else:
        assert problems == []
        assert images[0].size == ImageSize(*size)
        assert images[0].boxes == (BoundingBox("cat", 25, 20, 50, 40),)


def test_layouts_of_folders(tmp_path: Path) -> None:
    """Parts may be folders, lists of folders, lists of images, or paths with Roboflow's ../."""
    write_files(tmp_path, {
        "set/data.yaml": "path: ../set\ntrain: ../train/images\nval: [v1/images, v2]\ntest: test.txt\n"
                         "names:\n  0: cat\n  5: dog\n",
        "set/train/images/a.png": png(), "set/train/labels/a.txt": "5 .5 .5 .5 .5",
        "set/v1/images/images/b.png": png(), "set/v1/images/labels/b.txt": "0 .5 .5 .5 .5",
        "set/v2/c.png": png(), "set/v2/c.txt": "0 .5 .5 .5 .5",
        "set/test.txt": "./t/d.png\n\n", "set/t/d.png": png(), "set/t/.hidden.png": b"",
    })  # fmt: skip
    found = list(read_yolo(tmp_path / "set", on_problem=raise_problem))
    assert [image.source.rsplit("/", 1)[-1] for image in found] == ["a.png", "b.png", "c.png", "d.png"]
    assert [[box.label for box in image.boxes] for image in found] == [["dog"], ["cat"], ["cat"], []]
    assert [found[3]] == list(read_yolo(tmp_path / "set", parts=["test"]))


@pytest.mark.parametrize(
    ("line", "message", "lost"),
    [
        ("2 .5 .5 .1 .1", "Class 2 has no name", "box"),
        ("x .5 .5 .1 .1", "Class x has no name", "box"),
        ("0.5 .5 .5 .1 .1", "Class 0.5 has no name", "box"),
        ("0 .5 .5 .1", "Expected a class and four ratios", "box"),
        ("0 .5 .5 nan .1", "Expected a class and four ratios", "box"),
        ("0 .5 .5 .1 1e999", "Expected a class and four ratios", "box"),
        ("0 .5 .5 0 .1", "has no area", "box"),
        ("0 .9 .5 .4 .1", "leaves the frame of 100 x 80", "nothing"),
        ("0 .1 .1 .3 .1 .3 .4 .1 .4", "A polygon of 4 corners (cat) is read as its bounding box", "nothing"),
    ],
)
def test_flaws_are_reported_by_line(tmp_path: Path, line: str, message: str, lost: str) -> None:
    """The problem names the label file and the line."""
    images, problems = read_one(tmp_path, f"\n{line}\n")
    (problem,) = problems
    assert (str(tmp_path / "labels" / "a.txt"), 2, lost) == (problem.file, problem.line, problem.lost)
    assert message in problem.message
    assert int(lost == "nothing") == len(images[0].boxes)


def test_broken_files_are_left_out(tmp_path: Path) -> None:
    """A label file that is not UTF-8 and a file that is not an image are reported."""
    write_files(tmp_path, {"images/b.png": b"text", "images/c.png": png(), "labels/c.txt": b"\xff\xff"})
    images, problems = read_one(tmp_path, "")
    assert [image.boxes for image in images] == [()]
    assert [problem.file.rsplit("/", 1)[-1] for problem in problems] == ["b.png", "c.txt"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: [", "Not YAML"),
        ("- a\n- b\n", "Expected the keys"),
        ("train: images\n", "'names' is neither"),
        ("names: [a]\n", "none of the parts"),
        ("a: &a [x]\nb: [*a, *a]\n", "aliases"),
        ("!!python/object/apply:os.system ['true']", "Not YAML"),
        ("[" * 3000, "nested more than 10 levels deep"),
    ],
)
def test_invalid_data_yaml_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """Broken YAML, aliases, Python objects and a missing file are refused."""
    with pytest.raises(InvalidInput, match=message):
        list(read_yolo(write_files(tmp_path, {"data.yaml": text})))
    with pytest.raises(InvalidInput, match="Cannot be read"):
        read_yolo(tmp_path / "none.yaml")


def test_a_data_yaml_cannot_name_folders_elsewhere(tmp_path: Path) -> None:
    """Folders elsewhere are read only when the caller passes root."""
    write_files(tmp_path, {
        "else/images/a.png": png(), "d/e/data.yaml": "path: ../../else\ntrain: images\nnames: [cat]\n",
        "d/e/list.yaml": "train: list.txt\nval: 7\ntest: gone\nnames: [cat]\n",
        "d/e/list.txt": "../../else/images/a.png\n",
    })  # fmt: skip
    problems: list[Problem] = []
    with pytest.raises(InvalidInput, match="Has no usable images in train"):
        list(read_yolo(tmp_path / "d" / "e", on_problem=problems.append))
    assert "is outside the folder" in problems[0].message
    assert len(list(read_yolo(tmp_path / "d" / "e", root=tmp_path / "else", on_problem=raise_problem))) == 1
    with pytest.raises(InvalidInput, match="Has no usable images in train"):
        list(read_yolo(tmp_path / "d" / "e" / "list.yaml", on_problem=problems.append))
    assert [
        next(
            part
            for part in ("is outside the folder", "expected a path", "does not exist")
            if part in p.message
        )
        for p in problems[1:]
    ] == ["is outside the folder", "expected a path", "does not exist"]


def test_writing_reports_what_yolo_cannot_hold(tmp_path: Path) -> None:
    """Image-level labels, missing sizes and duplicate names are reported; names sets class numbers."""
    size, box = ImageSize(100, 80), BoundingBox("dog", 0, 0, 50, 40)
    images = [
        LabelledImage("x/a.jpg", ["cat"], [box], size),
        LabelledImage("y/a.jpg", size=size),
        LabelledImage("b.jpg"),
    ]
    problems: list[Problem] = []
    assert write_yolo(images, tmp_path / "new", names=["cat"], on_problem=problems.append) == 1
    assert [problem.lost for problem in problems] == ["image", "label", "image"]
    assert (tmp_path / "new" / "labels" / "a.txt").read_text().startswith("1 0.25000000 ")
    with pytest.raises(InvalidInput, match="Cannot be created"):
        write_yolo([], tmp_path / "new" / "data.yaml")


def test_fractions_of_a_pixel_are_kept(tmp_path: Path) -> None:
    """Only coordinates within rounding error of a whole pixel are rounded."""
    images, _ = read_one(tmp_path, "0 0.5 0.5 0.505 0.5\n")
    (box,) = images[0].boxes
    assert pytest.approx([24.75, 50.5]) == [box.left, box.width]


def test_class_names_are_written_unescaped(tmp_path: Path) -> None:
    """Letters of all scripts are written as they are; a path that is not a string is ignored."""
    image = LabelledImage("a.jpg", boxes=[BoundingBox("子犬", 0, 0, 50, 40)], size=ImageSize(100, 80))
    write_yolo([image], tmp_path)
    assert "子犬" in (tmp_path / "data.yaml").read_text(encoding="utf-8")
    write_files(tmp_path, {"x.yaml": "path: 7\ntrain: images\nnames: [cat]\n", "images/a.png": png()})
    assert len(list(read_yolo(tmp_path / "x.yaml", on_problem=raise_problem))) == 1
