"""CSV: three layouts, with problems reported by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rekolabels.errors import InvalidInput
from rekolabels.formats import Problem, raise_problem, read_csv, write_csv
from rekolabels.images import BoundingBox, ImageSize, LabelledImage

if TYPE_CHECKING:
    from pathlib import Path


def write_file(folder: Path, text: str | bytes) -> Path:
    """Write a file."""
    path = folder / "x.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_the_layout_of_the_aws_sample(tmp_path: Path) -> None:
    """The image comes first, then its labels; empty fields, empty rows and a BOM are skipped."""
    path = write_file(tmp_path, "\ufeffa.jpg,cat,,dog\r\n\r\n,,\r\ns3://b/c.jpg,cat,cat\r\n")
    images = list(read_csv(path, images="s3://bucket/pets/", on_problem=raise_problem))
    assert [(image.source, image.labels) for image in images] == [
        ("s3://bucket/pets/a.jpg", ("cat", "dog")),
        ("s3://b/c.jpg", ("cat",)),
    ]


def test_the_layout_with_a_header(tmp_path: Path) -> None:
    """The header may have any order and case; further labels follow the columns or share a field."""
    path = write_file(
        tmp_path, 'id,Label,PATH\n1,cat|dog,a b/ü.jpg,bird\n2,"x, y",sub/../c.jpg\n3,fox,./d.jpg\n'
    )
    problems: list[Problem] = []
    files = [tmp_path / "a b" / "ü.jpg", tmp_path / "d.jpg"]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    images = list(read_csv(path, label_separator="|", on_problem=problems.append))
    expected = zip(files, [("cat", "dog", "bird"), ("fox",)], strict=True)
    assert [(str(path), labels) for path, labels in expected] == [(i.source, i.labels) for i in images]
    assert [(problem.line, problem.lost) for problem in problems] == [(3, "image")]


def test_the_layout_with_boxes(tmp_path: Path) -> None:
    """The rows of an image are merged; a row without a box is an image without boxes."""
    path = write_file(
        tmp_path,
        "filename,width,height,class,xmin,ymin,xmax,ymax\n"
        "a.jpg,100,80,cat,1,2,31,42\na.jpg,100,80,dog,0.5,0,10,10\nb.jpg,64,64,,,,,\n",
    )
    images = list(read_csv(path, images="s3://b", on_problem=raise_problem))
    boxes = (BoundingBox("cat", 1, 2, 30, 40), BoundingBox("dog", 0.5, 0, 9.5, 10))
    assert images == [
        LabelledImage("s3://b/a.jpg", boxes=boxes, size=ImageSize(100, 80)),
        LabelledImage("s3://b/b.jpg", size=ImageSize(64, 64)),
    ]


def test_flaws_are_reported_by_line(tmp_path: Path) -> None:
    """Repeated images, images outside the folder, missing labels and broken quotes name their line."""
    path = write_file(
        tmp_path, 'a.jpg,cat\na.jpg,cat\n../b.jpg,cat\n/etc/c.jpg,cat\nd.jpg\na.jpg,dog\n,x\n"e" f,g\n'
    )
    problems: list[Problem] = []
    images = list(read_csv(path, images="s3://pets", on_problem=problems.append))
    assert [image.source[10:] for image in images] == ["a.jpg", "d.jpg"]
    assert sorted(problem.line or 0 for problem in problems) == [2, 3, 4, 5, 6, 7, 8]
    assert "is outside 's3://pets'" in problems[1].message


def test_bad_boxes_are_reported_by_line(tmp_path: Path) -> None:
    """A box with NaN or missing numbers is left out; a box that leaves the frame is kept."""
    rows = ["cat,nan,0,5,5", "cat,1,2,,4", "cat,9,9,3,9", ",1,1,5,5", "cat,-3,0,5,5", "cat,90,0,105,5"]
    text = "filename,width,height,class,xmin,ymin,xmax,ymax\n" + "".join(
        f"a.jpg,100,80,{row}\n" for row in rows
    )
    problems: list[Problem] = []
    (image,) = read_csv(write_file(tmp_path, text), images="s3://b", on_problem=problems.append)
    assert [box.left for box in image.boxes] == [-3, 90]
    assert [(problem.line, problem.lost) for problem in problems] == [
        (2, "box"),
        (3, "box"),
        (4, "box"),
        (5, "box"),
        (6, "nothing"),
        (7, "nothing"),
    ]
    assert "leaves the frame of 100 x 80" in problems[-1].message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "Has no rows"),
        ("\n\n", "Has no rows"),
        ("path,size\na.jpg,3\n", "no column for the label"),
        ("label,size\ncat,3\n", "no column for the image"),
        ("a.jpg,cät\n".encode("utf-16"), "Is UTF-16 text"),
        (b"a.jpg,c\xe4t\n", "Not UTF-8 text in line 1"),
        ("a.jpg," + "x" * 2_000_000, "Has a line of 1,048,576 characters or more"),
    ],
)
def test_invalid_files_are_refused(tmp_path: Path, content: str | bytes, expected: str) -> None:
    """An empty file, a header without a needed column, and other encodings are refused."""
    header = True if "no column" in expected else None
    with pytest.raises(InvalidInput, match=expected):
        list(read_csv(write_file(tmp_path, content), header=header))


def test_unreadable_files_and_delimiters_are_refused(tmp_path: Path) -> None:
    """A missing file, a folder, an invalid name, and a delimiter of two characters are refused."""
    for path in (tmp_path / "none.csv", tmp_path, tmp_path / "a\0b"):
        with pytest.raises(InvalidInput, match=r"path is .*; expected the path of a CSV file"):
            list(read_csv(path))
    with pytest.raises(InvalidInput, match="delimiter is ';;'"):
        list(read_csv(write_file(tmp_path, "a,b"), delimiter=";;"))


def test_writing_reports_what_the_layout_cannot_hold(tmp_path: Path) -> None:
    """Boxes in the layout for labels, and labels in the layout for boxes, are reported."""
    image = LabelledImage("p/a.jpg", ["cat"], [BoundingBox("dog", 1, 2, 3, 4)], ImageSize(64, 64))
    problems: list[Problem] = []
    target = tmp_path / "out.csv"
    assert write_csv([image], target, relative_to="p", on_problem=problems.append) == 1
    assert target.read_text() == "path,label\na.jpg,cat\n"
    write_csv([image], target, boxes=True, on_problem=problems.append)
    assert target.read_text().splitlines()[1] == "p/a.jpg,64,64,dog,1,2,4,6"
    assert [problem.lost for problem in problems] == ["box", "label"]
    with pytest.raises(InvalidInput, match="Cannot be written"):
        write_csv([image], tmp_path / "none" / "out.csv")


def test_a_file_is_replaced_completely_or_not_at_all(tmp_path: Path) -> None:
    """When the images raise an error, the existing file stays."""
    target = tmp_path / "out.csv"
    target.write_text("before")

    def images() -> object:
        yield LabelledImage("a.jpg", ["cat"])
        raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        write_csv(images(), target)  # type: ignore[arg-type]  # a generator that fails
    assert target.read_text() == "before"
    assert [target] == list(tmp_path.iterdir())
