"""Pascal VOC: boxes from XML, with problems reported by file."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from label_files import png
from rekolabels.errors import InvalidInput
from rekolabels.formats import Problem, raise_problem, read_voc, write_voc
from rekolabels.images import BoundingBox, ImageSize, LabelledImage

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("defusedxml")

GOOD = (
    "<annotation><filename>{name}</filename><size><width>100</width><height>80</height><depth>3</depth></size>"
    "<object><name>cat</name><pose>Left</pose><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>31</xmax>"
    "<ymax>42.5</ymax></bndbox><part><name>ear</name></part></object></annotation>"
)


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Make a dataset with one image, in the usual folders."""
    for name in ("Annotations", "JPEGImages"):
        (tmp_path / name).mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text(GOOD.format(name="a.png"))
    (tmp_path / "JPEGImages" / "a.png").write_bytes(png())
    return tmp_path


def read(voc: Path) -> tuple[list[LabelledImage], list[Problem]]:
    """Read a dataset, and return its images and problems."""
    problems: list[Problem] = []
    return list(read_voc(voc / "Annotations", on_problem=problems.append)), problems


def test_boxes_are_read(voc: Path) -> None:
    """Corners become left, top, width and height; images beside the annotations are found."""
    images, problems = read(voc)
    source = str(voc / "JPEGImages" / "a.png")
    assert images == [LabelledImage(source, (), [BoundingBox("cat", 1, 2, 30, 40.5)], ImageSize(100, 80))]
    assert problems == []
    assert images == list(read_voc(voc / "Annotations" / "a.xml", on_problem=raise_problem))


def test_images_in_s3_have_the_size_of_the_xml(voc: Path) -> None:
    """Images in S3 are not read."""
    (image,) = read_voc(voc / "Annotations", images="s3://b/p", on_problem=raise_problem)
    assert (image.source, image.size) == ("s3://b/p/a.png", ImageSize(100, 80))


@pytest.mark.parametrize(
    ("old", "new", "message", "lost"),
    [
        ("<xmin>1<", "<xmin>x<", "Object 1 (cat): expected four finite numbers", "box"),
        ("<xmin>1<", "<xmin>nan<", "Object 1 (cat): expected four finite numbers", "box"),
        ("<xmin>1</xmin>", "", "Object 1 (cat): expected four finite numbers", "box"),
        ("<xmin>1<", "<xmin>50<", "Object 1 (cat) has no area: -19 x 40.5", "box"),
        ("<name>cat</name>", "", "Object 1 has no label", "box"),
        ("<xmax>31<", "<xmax>131<", "Object 1 (cat) leaves the frame of 100 x 80", "nothing"),
        ("<width>100<", "<width>0<", "States no valid size; the image has 100 x 80", "nothing"),
        ("<width>100<", "<width>90<", "States the size 90 x 80, but the image has 100 x 80", "nothing"),
        ("a.png", "b.png", "Image 'b.png' does not exist", "nothing"),
        ("a.png", "a", "Image 'a' does not exist", "nothing"),
        ("annotation>", "html>", "The root element is <html>, not <annotation>", "image"),
        ("</annotation>", "", "Not XML", "image"),
        ("a.png", "../a.png", "is outside", "image"),
    ],
)
def test_flaws_are_reported_by_file(voc: Path, old: str, new: str, message: str, lost: str) -> None:
    """The problem names the file and the object, and what was left out."""
    file = voc / "Annotations" / "a.xml"
    (voc / "Annotations" / "z.xml").write_text(GOOD.format(name="a.png"))
    file.write_text(file.read_text().replace(old, new))
    images, problems = read(voc)
    assert str(file) == problems[0].file
    assert message in problems[0].message
    assert lost == problems[0].lost
    assert 1 + int(lost != "image") == len(images)
    assert all(image.size == ImageSize(100, 80) for image in images)


def test_a_rotated_image_keeps_the_size_of_its_boxes(voc: Path) -> None:
    """Exchanged width and height mean that the tool applied the EXIF orientation."""
    (voc / "JPEGImages" / "a.png").write_bytes(png(80, 100))
    images, problems = read(voc)
    assert images[0].size == ImageSize(100, 80)
    assert "drawn on the rotated image" in problems[0].message


def test_boxes_before_the_orientation_is_applied(voc: Path) -> None:
    """They are in the frame that the XML states; create_datasets turns them."""
    pillow = pytest.importorskip("PIL.Image")
    for orientation, problem in ((1, None), (6, "drawn on the stored image")):
        exif = pillow.Exif()
        exif[0x0112] = orientation
        pillow.new("RGB", (100, 80)).save(voc / "JPEGImages" / "a.png", exif=exif)
        images, problems = read(voc)
        assert images[0].size == ImageSize(100, 80)
        assert [problem in found.message for found in problems if problem] == ([True] if problem else [])
        assert len(problems) == (problem is not None)


def test_missing_and_broken_images_are_left_out(voc: Path) -> None:
    """Images that do not exist or are neither JPEG nor PNG are reported."""
    for name in ("b", "c"):
        (voc / "Annotations" / f"{name}.xml").write_text(GOOD.format(name=f"{name}.png"))
    (voc / "JPEGImages" / "b.png").write_bytes(b"just text")
    images, problems = read(voc)
    assert len(images) == 1
    assert "Neither JPEG nor PNG" in problems[0].message
    assert "1 of 3 images do not exist" in problems[1].message


def test_images_of_other_formats_are_kept(voc: Path) -> None:
    """They have the stated size; create_datasets can convert them."""
    (voc / "JPEGImages" / "a.png").write_bytes(b"GIF89a")
    images, problems = read(voc)
    assert ([image.size for image in images], problems) == ([ImageSize(100, 80)], [])


@pytest.mark.parametrize(
    "content",
    [
        '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;">]><annotation>&c;</annotation>',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotation><filename>&b;</filename></annotation>',
        '<?xml version="1.0" encoding="nonsense"?><annotation/>',
        "\0\0\0",
        "",
    ],
)
def test_bombs_and_broken_files_are_left_out(voc: Path, content: str) -> None:
    """Entities are not expanded; the other files are read."""
    (voc / "Annotations" / "b.xml").write_text(content)
    images, problems = read(voc)
    assert len(images) == 1
    assert [problem.lost for problem in problems] == ["image"]


def test_folders_without_annotations(tmp_path: Path) -> None:
    """A missing folder, an empty folder and an invalid name are refused."""
    for path in (tmp_path, tmp_path / "none", tmp_path / ("x" * 300)):
        with pytest.raises(InvalidInput, match="Expected the folder of Pascal VOC annotations"):
            read_voc(path)


def test_writing_reports_what_voc_cannot_hold(tmp_path: Path) -> None:
    """Image-level labels, missing sizes and duplicate names are reported."""
    problems: list[Problem] = []
    images = [LabelledImage("x/a.jpg", ["cat"]), LabelledImage("y/a.png", size=ImageSize(64, 64))]
    assert write_voc(images, tmp_path / "new", on_problem=problems.append) == 1
    assert [problem.lost for problem in problems] == ["image", "label", "nothing"]
    with pytest.raises(InvalidInput, match="Cannot be"):
        write_voc(images, tmp_path / "new" / "a.xml")


@pytest.mark.parametrize(
    ("name", "labels", "boxes"),
    [
        ("blood-cells-120", {"RBC", "WBC", "Platelets"}, 1635),
        ("playing-cards-120", {"ace", "king", "queen", "jack", "ten", "nine"}, 207),
    ],
)
def test_real_datasets_are_read(name: str, labels: set[str], boxes: int, data: Path, tmp_path: Path) -> None:
    """Real datasets are read completely, and an error in one file is reported."""
    images = list(read_voc(data / name / "annotations", on_problem=raise_problem))
    assert (120, boxes) == (len(images), sum(len(image.boxes) for image in images))
    assert labels == {box.label for image in images for box in image.boxes}
    shutil.copytree(data / name / "annotations", tmp_path / "annotations")
    broken = sorted((tmp_path / "annotations").iterdir())[5]
    broken.write_text(broken.read_text().replace("<xmax>", "<xmax>9", 1))
    problems: list[Problem] = []
    again = read_voc(tmp_path / "annotations", images=data / name / "images", on_problem=problems.append)
    assert len(list(again)) == 120
    assert [str(broken)] == [problem.file for problem in problems]


def test_line_breaks_and_tabs_in_labels_survive(tmp_path: Path) -> None:
    """They are escaped, because XML turns them into blanks; other control characters are dropped."""
    image = LabelledImage("a.png", boxes=[BoundingBox("one\r\ntwo\tthree\x07", 1, 2, 30, 40)])
    assert write_voc([image], tmp_path, on_problem=lambda _: None) == 1
    assert "<name>one&#13;&#10;two&#9;three</name>" in (tmp_path / "a.xml").read_text(encoding="utf-8")
    (again,) = read_voc(tmp_path, images="s3://b", on_problem=lambda _: None)
    assert [box.label for box in again.boxes] == ["one\r\ntwo\tthree"]
