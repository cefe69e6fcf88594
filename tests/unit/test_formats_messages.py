"""The exact messages of all readers and writers: the problem, what is left out, and the fix."""
# ruff: noqa: E501 -- each message is on one line, so that it can be searched for

from __future__ import annotations

import json
import textwrap
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from label_files import png, write_files
from rekolabels import errors
from rekolabels.formats import (
    Problem,
    from_dataframe,
    from_fiftyone,
    from_huggingface,
    from_supervision,
    raise_problem,
    read_coco,
    read_csv,
    read_folder,
    read_ground_truth,
    read_voc,
    read_yolo,
    write_coco,
    write_csv,
    write_folder,
    write_voc,
    write_yolo,
)
from rekolabels.images import BoundingBox, ImageSize, LabelledImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from rekolabels.formats import OnProblem

BOX = BoundingBox("dog", 0, 0, 50, 40)


def collect(work: Callable[[OnProblem], Iterable[LabelledImage] | int], folder: Path) -> tuple[int, str]:
    """Return the number of images and the problems, one per line, with FOLDER for the folder."""
    problems: list[Problem] = []
    found = work(problems.append)
    count = found if isinstance(found, int) else len(list(found))
    return count, "".join(f"{problem}\n" for problem in problems).replace(str(folder), "FOLDER")


def message_of(work: Callable[[], Iterable[LabelledImage]], folder: Path) -> str:
    """Return the message of the InvalidInput that is raised, with FOLDER for the folder."""
    with pytest.raises(errors.InvalidInput) as caught:
        list(work())
    return str(caught.value).replace(str(folder), "FOLDER")


def dedent(text: str) -> str:
    """Return a block of text without its indent."""
    return textwrap.dedent(text).lstrip("\n")


def test_coco(tmp_path: Path) -> None:
    """Problems name the ids of entries."""
    images: list[object] = [
        {"id": 1, "file_name": "a.jpg", "width": 100, "height": 80},
        {"id": 1, "file_name": "b.jpg"},
        {"id": 3, "file_name": "../c.jpg"},
        {"id": 4, "file_name": 5},
        {"id": 5, "file_name": "e.jpg", "width": 0, "height": "x"},
    ]
    cat = {"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]}
    annotations: list[object] = [
        {**cat, "id": 1, "category_id": 8},
        {**cat, "id": 2, "image_id": 7},
        {**cat, "id": 3, "bbox": [1, 2, 3]},
        {**cat, "id": 4, "bbox": [1, 2, 0, 4]},
        {**cat, "id": 5, "bbox": [98, 2, 3, 4], "iscrowd": 1},
        {**cat, "id": 6, "segmentation": {"counts": "x"}},
        3,
    ]
    categories = [{"id": 7, "name": "cat"}, {"id": 7, "name": "lion"}, {"id": 8}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    write_files(tmp_path, {"x.json": json.dumps(content)})

    found = collect(
        lambda report: read_coco(tmp_path / "x.json", images="s3://b", on_problem=report), tmp_path
    )

    assert found == (
        2,
        dedent("""
            FOLDER/x.json: 'annotations' has entries that are not objects: 1 (box left out).
            FOLDER/x.json: Two categories have the id 7: cat and lion; the first is used. Give each its own id.
            FOLDER/x.json: Category 8 has no name (label left out). Name it.
            FOLDER/x.json: Each crowd (iscrowd) is read as one box (annotation ids 5). Remove them if single objects matter.
            FOLDER/x.json: RLE masks are ignored, only their boxes are read (annotation ids 6).
            FOLDER/x.json: Annotation 1 of s3://b/a.jpg has category 8, which is not listed (box left out). Add it to 'categories'.
            FOLDER/x.json: Annotation 3 of s3://b/a.jpg (cat): expected four finite numbers, found [1, 2, 3] (box left out). Fix it or remove it.
            FOLDER/x.json: Annotation 4 of s3://b/a.jpg (cat) has no area: 0 x 4 pixels (box left out). Redraw it or remove it.
            FOLDER/x.json: Annotation 5 of s3://b/a.jpg (cat) leaves the frame of 100 x 80: left 98, top 2, width 3, height 4. Clip it: the service ignores such boxes.
            FOLDER/x.json: Image 1 is listed twice (image left out). Give each image its own id.
            FOLDER/x.json: Image '../c.jpg' is outside 's3://b' (image left out). Name images relative to their folder.
            FOLDER/x.json: Expected the name of an image file, found 5 (image left out).
            FOLDER/x.json: Image 5 (s3://b/e.jpg) has no valid size: 0 x 'x'. Set width and height in pixels: a manifest needs them.
            FOLDER/x.json: Image 7 has annotations but is not listed (boxes: 1) (box left out). Add it to 'images'.
        """),
    )


def test_many_crowds_are_summarized(tmp_path: Path) -> None:
    """The problem names three ids."""
    images = [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}]
    crowds = [
        {"id": n, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4], "iscrowd": 1} for n in range(9)
    ]
    content = {"images": images, "annotations": crowds, "categories": [{"id": 7, "name": "cat"}]}
    write_files(tmp_path, {"x.json": json.dumps(content)})

    _, text = collect(
        lambda report: read_coco(tmp_path / "x.json", images="s3://b", on_problem=report), tmp_path
    )

    assert "Each crowd (iscrowd) is read as one box (annotation ids 0, 1, 2 and 6 more)." in text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[]", "Not JSON at character 1: expected an object with lists, found '[]'"),
        ('{"images": {}}', "'images' is not a list"),
        ("{}", "Has no images. Expected a COCO file with the lists 'images', 'annotations' and 'categories'"),
        (
            '{"images": [{"id": 1}',
            "Not JSON at character 22: expected a comma or the end of the list, found the end of the file",
        ),
        (
            '{"images": [{"id": 1,, }]}',
            "Not JSON at character 22: Expecting property name enclosed in double quotes, found ', }]}'",
        ),
        ('{"images": []} x', "Not JSON at character 16: expected the end of the file, found 'x'"),
        ('{"images" []}', "Not JSON at character 11: expected a colon, found '[]}'"),
        ("{1: []}", "Not JSON at character 3: expected a name in quotes, found ': []}'"),
        ('{"images": [' + "[" * 100_000, "Nested too deeply for image labels"),
        (b"\xff\xfe{\x00", "Is UTF-16 text. Expected JSON text"),
    ],
)
def test_invalid_coco_files(tmp_path: Path, content: str | bytes, expected: str) -> None:
    """The message gives the position, what was expected and what was found."""
    write_files(tmp_path, {"x.json": content})
    assert f"FOLDER/x.json: {expected}." == message_of(lambda: read_coco(tmp_path / "x.json"), tmp_path)


def test_csv(tmp_path: Path) -> None:
    """Problems name the lines of rows."""
    text = (
        'path,label\na.jpg,cat\na.jpg,dog\n../b.jpg,cat\nc.jpg,\n"d.jpg"x,cat\nb.jpg,cat\na.jpg,late\n,cat\n'
    )
    write_files(tmp_path, {"a.csv": text})

    found = collect(lambda report: read_csv(tmp_path / "a.csv", images="s3://b", on_problem=report), tmp_path)

    assert found == (
        3,
        dedent("""
            FOLDER/a.csv:3: Image a.jpg occurs again (image left out). Put all labels of an image in one row.
            FOLDER/a.csv:4: Image '../b.jpg' is outside 's3://b' (image left out). Name images relative to their folder.
            FOLDER/a.csv:6: Not CSV: ',' expected after '"' (image left out). Check the quotes.
            FOLDER/a.csv:5: Image c.jpg has no label. Label it.
            FOLDER/a.csv:8: Image a.jpg occurs again (image left out). Put all labels of an image in one row.
            FOLDER/a.csv:9: Expected the name of an image file, found '' (image left out).
        """),
    )


def test_csv_with_boxes(tmp_path: Path) -> None:
    """Problems name the lines of boxes; the size may be stated in one row of an image only."""
    text = (
        "filename,width,height,class,xmin,ymin,xmax,ymax\n"
        "a.jpg,100,80,cat,1,2,3,x\n"
        "a.jpg,100,80,,1,2,3,4\n"
        "a.jpg,100,80,cat,3,2,1,4\n"
        "a.jpg,,,cat,90,2,110,4\n"
    )
    write_files(tmp_path, {"b.csv": text})

    found = collect(lambda report: read_csv(tmp_path / "b.csv", images="s3://b", on_problem=report), tmp_path)

    assert found == (
        1,
        dedent("""
            FOLDER/b.csv:2: The box (cat): expected four finite numbers, found ['1', '2', '3', 'x'] (box left out). Fix it or remove it.
            FOLDER/b.csv:3: The box has no label (box left out). Label it or remove it.
            FOLDER/b.csv:4: The box (cat) has no area: -2 x 2 pixels (box left out). Redraw it or remove it.
            FOLDER/b.csv:5: The box (cat) leaves the frame of 100 x 80: left 90, top 2, width 20, height 2. Clip it: the service ignores such boxes.
        """),
    )


def test_invalid_csv_files(tmp_path: Path) -> None:
    """The message lists the accepted column names."""
    write_files(tmp_path, {"empty.csv": "", "x.csv": "path,x\na,b\n", "name.csv": "name,label\na,b\n"})
    for name, expected in (
        ("empty", "Has no rows. Expected an image and its labels in each row"),
        (
            "x",
            "The header 'path,x' has no column for the label. Expected one of label, labels, class, class_name, category",
        ),
        (
            "name",
            "The header 'name,label' has no column for the image. Expected one of path, filename, file_name, file, image, image_path, source, source-ref, filepath",
        ),
    ):
        message = message_of(lambda name=name: read_csv(tmp_path / f"{name}.csv", header=True), tmp_path)  # type: ignore[misc]  # the loop's
        assert message == f"FOLDER/{name}.csv: {expected}."


def test_folders(tmp_path: Path) -> None:
    """Problems name the paths of files."""
    write_files(
        tmp_path,
        {
            "in/cat/a.png": png(),
            "in/cat/b.png": "text",
            "in/cat/c.png": b"",
            "in/cat/d.png": png()[:20],
            "in/cat/e.jpg": b"\xff\xd8\xff\xc0",
            "in/cat/f.png": png(0, 5),
            "in/loose.png": png(),
        },
    )
    (tmp_path / "in" / "dog").mkdir()
    (tmp_path / "in" / "dog" / "loop").symlink_to(tmp_path / "in")

    found = collect(lambda report: read_folder(tmp_path / "in", on_problem=report), tmp_path)

    assert found == (
        1,
        dedent("""
            FOLDER/in/cat/b.png: Neither JPEG nor PNG. The service accepts no other format (image left out). Remove it or convert it to JPEG or PNG.
            FOLDER/in/cat/c.png: The file is empty. Expected a JPEG or PNG image (image left out). Remove it or convert it to JPEG or PNG.
            FOLDER/in/cat/d.png: A PNG file that is truncated or damaged before its size (image left out). Remove it or convert it to JPEG or PNG.
            FOLDER/in/cat/e.jpg: A JPEG file that is truncated or damaged before its size (image left out). Remove it or convert it to JPEG or PNG.
            FOLDER/in/cat/f.png: Its header states the size 0 x 5 (image left out). Remove it or convert it to JPEG or PNG.
            FOLDER/in/dog/loop: A link to a folder above it. Remove the link.
            FOLDER/in: Not in a label folder: FOLDER/in/loose.png (image left out). If they are images, move them into folders that are named after their labels.
        """),
    )


def test_invalid_folders(tmp_path: Path) -> None:
    """The parts of a split are read and reported; a folder without images is refused with the layout."""
    write_files(tmp_path, {"s/train/a.png": png(), "s/test/b.png": png(), "empty/cat/.x": "x"})
    assert collect(lambda report: read_folder(tmp_path / "s", on_problem=report), tmp_path) == (
        2,
        dedent("""
            FOLDER/s: The folders test, train are read as labels, but look like the parts of a split. Read each part: read_folder('FOLDER/s/test').
        """),
    )
    layout = "Expected a folder for each label, with its JPEG or PNG images"
    assert message_of(lambda: read_folder(tmp_path / "empty"), tmp_path) == (
        f"FOLDER/empty: Contains no images. {layout}: FOLDER/empty/<label>/<image>.jpg."
    )
    assert message_of(lambda: read_folder(tmp_path / "gone"), tmp_path) == (
        f"FOLDER/gone: The folder does not exist. {layout}: folder/<label>/<image>.jpg."
    )
    assert message_of(lambda: read_folder(tmp_path / "s" / "test" / "b.png"), tmp_path) == (
        f"FOLDER/s/test/b.png: A file, not a folder. {layout}: folder/<label>/<image>.jpg."
    )


def test_ground_truth(tmp_path: Path) -> None:
    """Problems name the lines."""

    def line(**members: Any) -> str:
        return json.dumps({"source-ref": "s3://b/a.jpg", **members})

    job = {"job-name": "j", "human-annotated": "yes", "creation-date": "2026-01-02T03:04:05"}
    several = {**job, "type": "groundtruth/image-classification-multilabel", "class-map": {"0": "cat"}}
    segmentation = {**job, "type": "groundtruth/semantic-segmentation"}
    verification = {**job, "class-name": "bad", "type": "groundtruth/label-verification"}
    content = [
        "{",
        "[1]",
        line(**{"j-metadata": {"failure-reason": "no worker"}}),
        line(**{"j-metadata": {"type": "groundtruth/x"}}),
        line(**{"j": [0, 9], "j-metadata": several}),
        line(**{"j": [], "j-metadata": several}),
        line(**{"s-ref": "s3://b/m.png", "s-ref-metadata": segmentation}),
        line(**{"v": 1, "v-metadata": verification}),
        '{"source-ref": 7}',
    ]
    write_files(tmp_path, {"o.manifest": "\n".join(content).encode() + b"\n\xff\n" + b" " * 4_000_001})

    found = collect(lambda report: read_ground_truth(tmp_path / "o.manifest", on_problem=report), tmp_path)

    assert found == (
        1,
        dedent("""
            FOLDER/o.manifest:1: Not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1) (image left out). Remove the line.
            FOLDER/o.manifest:2: Not a JSON object (image left out). Remove the line.
            FOLDER/o.manifest:3: The task 'j' failed: no worker (image left out).
            FOLDER/o.manifest:4: The task 'j' failed: the label attribute is missing (image left out).
            FOLDER/o.manifest:5: Class 9 of 'j' is not in its class-map (label left out).
            FOLDER/o.manifest:6: 'j' has no class (image left out).
            FOLDER/o.manifest:7: 's-ref' comes from a job type that Custom Labels does not support: groundtruth/semantic-segmentation (image left out).
            FOLDER/o.manifest:8: 'v' comes from a job type that Custom Labels does not support: groundtruth/label-verification (bad) (image left out).
            FOLDER/o.manifest:9: Line 9 of the manifest has 7 as 'source-ref', not the URI of an image such as s3://bucket/key (image left out). Fix or remove the line.
            FOLDER/o.manifest:10: Not UTF-8 text (image left out). Remove the line.
            FOLDER/o.manifest:11: The line is too long for a manifest (image left out).
        """),
    )


def test_voc(tmp_path: Path) -> None:
    """Problems name the file and the number of the object."""
    pytest.importorskip("defusedxml")

    def voc(name: str, rest: str) -> str:
        return f"<annotation><filename>{name}</filename>{rest}</annotation>"

    def size(width: int, height: int) -> str:
        return f"<size><width>{width}</width><height>{height}</height></size>"

    def box_element(label: str, xmin: str, xmax: str) -> str:
        corners = f"<xmin>{xmin}</xmin><ymin>2</ymin><xmax>{xmax}</xmax><ymax>40</ymax>"
        return f"<object><name>{label}</name><bndbox>{corners}</bndbox></object>"

    cat = box_element("cat", "1", "30")
    write_files(
        tmp_path,
        {
            "JPEGImages/a.png": png(),
            "JPEGImages/g.png": "x",
            "JPEGImages/i.png": png(),
            "Annotations/a.xml": voc("a.png", ""),
            "Annotations/b.xml": voc("b.png", cat),
            "Annotations/c.xml": "<a",
            "Annotations/d.xml": "<b/>",
            "Annotations/e.xml": '<!DOCTYPE x [<!ENTITY e "e">]><annotation>&e;</annotation>',
            "Annotations/f.xml": voc("a.png", size(80, 100) + cat),
            "Annotations/g.xml": voc("g.png", cat),
            "Annotations/h.xml": voc(
                "a.png", size(50, 50) + box_element("", "1", "300") + box_element("cat", "x", "30")
            ),
            "Annotations/i.xml": voc("i.jpg", cat),
            "Annotations/j.xml": voc("s3://b/j.png", cat),
            "Annotations/k.xml": voc("../k.png", cat),
            "Annotations/l.xml": " " * (16 * 1024 * 1024 + 1),
        },
    )
    (tmp_path / "Annotations" / "m.xml").mkdir()

    found = collect(lambda report: read_voc(tmp_path / "Annotations", on_problem=report), tmp_path)

    assert found == (
        5,
        dedent("""
            FOLDER/Annotations/a.xml: States no valid size; the image has 100 x 80 pixels.
            FOLDER/Annotations/a.xml: Has no boxes. Label the image: the service ignores images without labels.
            FOLDER/Annotations/c.xml: Not XML: unclosed token: line 1, column 0 (image left out). Export it again.
            FOLDER/Annotations/d.xml: The root element is <b>, not <annotation> (image left out). Remove it.
            FOLDER/Annotations/e.xml: Declares entities: EntitiesForbidden(name='e', system_id=None, public_id=None) (image left out). Export it again.
            FOLDER/Annotations/f.xml: States the size 80 x 100, but the image has 100 x 80; the stated size is used, because the boxes were drawn on the rotated image. Rotate the image file itself.
            FOLDER/Annotations/g.xml: FOLDER/JPEGImages/g.png: Neither JPEG nor PNG. The service accepts no other format (image left out). Fix or remove the image.
            FOLDER/Annotations/h.xml: States the size 50 x 50, but the image has 100 x 80 pixels; the size of the image is used. Check the boxes: they may have been drawn on another version of the image.
            FOLDER/Annotations/h.xml: Object 1 has no label (box left out). Label it or remove it.
            FOLDER/Annotations/h.xml: Object 2 (cat): expected four finite numbers, found ['x', '2', '30', '40'] (box left out). Fix it or remove it.
            FOLDER/Annotations/h.xml: Has no boxes. Label the image: the service ignores images without labels.
            FOLDER/Annotations/i.xml: Image 'i.jpg' does not exist; FOLDER/JPEGImages/i.png is used instead.
            FOLDER/Annotations/i.xml: States no valid size; the image has 100 x 80 pixels.
            FOLDER/Annotations/j.xml: States no valid size. Fill in <size>: a manifest needs it.
            FOLDER/Annotations/k.xml: Image '../k.png' is outside 'FOLDER/JPEGImages' (image left out). Name images relative to their folder.
            FOLDER/Annotations/l.xml: Larger than 16 MB, which no annotation of an image is (image left out).
            FOLDER/Annotations/m.xml: Cannot be read: Is a directory (image left out). Check its permissions.
            FOLDER/Annotations: 1 of 7 images do not exist: FOLDER/JPEGImages/b.png (image left out). Pass images='<folder of the images>', or images='s3://<bucket>/<prefix>' if they are in S3.
        """),
    )
    expected = "Expected the folder of Pascal VOC annotations."
    assert message_of(lambda: read_voc(tmp_path / "JPEGImages"), tmp_path) == (
        f"FOLDER/JPEGImages: Contains no .xml files. {expected}"
    )
    assert message_of(lambda: read_voc(tmp_path / "gone"), tmp_path) == (
        f"FOLDER/gone: The file or folder does not exist. {expected}"
    )


def test_yolo(tmp_path: Path) -> None:
    """Problems name the lines of label files, and the paths of images and parts."""
    pytest.importorskip("yaml")
    write_files(
        tmp_path,
        {
            "data.yaml": "path: .\ntrain: images\nval: [7, gone]\ntest: list.txt\nnames: [cat]\n",
            "images/a.png": png(),
            "images/b.png": "x",
            "images/c.png": png(),
            "labels/a.txt": "2 .5 .5 .1 .1\n0 .5 .5 .1\n0 .5 .5 0 .1\n0 .9 .5 .4 .1\n0 .1 .1 .3 .1 .3 .4 .1 .4\n",
            "labels/c.txt": b"\xff",
            "list.txt": "../../else.png\n",
            "bad.yaml": "train: bad.txt\nval: images\nnames: [cat, dog]\n",
            "bad.txt": b"\xff",
            "d/e/data.yaml": "train: ../../images\nnames: [cat]\n",
        },
    )

    found = collect(lambda report: read_yolo(tmp_path, on_problem=report), tmp_path)

    assert found == (
        1,
        dedent("""
            FOLDER/labels/a.txt:1: Class 2 has no name (box left out). Add it to 'names' in data.yaml.
            FOLDER/labels/a.txt:2: Expected a class and four ratios, found 0 .5 .5 .1 (box left out). Fix or remove the line.
            FOLDER/labels/a.txt:3: The box (cat) has no area: 0 x 8 pixels (box left out). Redraw it or remove it.
            FOLDER/labels/a.txt:4: The box (cat) leaves the frame of 100 x 80: left 70, top 36, width 40, height 8. Clip it: the service ignores such boxes.
            FOLDER/labels/a.txt:5: A polygon of 4 corners (cat) is read as its bounding box.
            FOLDER/images/b.png: Neither JPEG nor PNG. The service accepts no other format (image left out). Fix or remove it.
            FOLDER/labels/c.txt: Not UTF-8 text at byte 0. Expected a YOLO label file (image left out). Export it again.
            FOLDER/data.yaml: 'val': expected a path, found 7 (file left out).
            FOLDER/data.yaml: 'gone' does not exist (file left out). Fix the path or pass root='<folder of the dataset>'.
            FOLDER/list.txt:1: '../../else.png' is outside the folder of the list (image left out).
        """),
    )
    _, text = collect(lambda report: read_yolo(tmp_path / "bad.yaml", on_problem=report), tmp_path)
    assert text.startswith(
        "FOLDER/bad.txt: Not UTF-8 text at byte 0. Expected a list of images (file left out).\n"
    )
    assert message_of(lambda: read_yolo(tmp_path / "d" / "e"), tmp_path) == (
        "FOLDER/d/e/data.yaml: Has no usable images in train ('../../images'). Check the paths, or pass root='<folder of the dataset>'."
    )
    assert message_of(lambda: read_yolo(tmp_path / "d" / "e", on_problem=raise_problem), tmp_path) == (
        "FOLDER/d/e/data.yaml: '../../images' is outside the folder of the dataset (file left out). To read it, pass root='<folder of the dataset>'."
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a\n", "Expected the keys 'names' and 'train', 'val' or 'test'"),
        ("train: x\n", "'names' is neither a list of classes nor a mapping from numbers to classes"),
        ("names: [a]\n", "Has none of the parts train, val, test"),
        ("a: &a [x]\nb: [*a]\n", "Has YAML aliases, which a data.yaml does not need"),
    ],
)
def test_invalid_data_yaml_files(tmp_path: Path, text: str, expected: str) -> None:
    """The message says what a data.yaml must have."""
    pytest.importorskip("yaml")
    write_files(tmp_path, {"x.yaml": text})
    assert f"FOLDER/x.yaml: {expected}." == message_of(lambda: read_yolo(tmp_path / "x.yaml"), tmp_path)
    assert message_of(lambda: read_yolo(tmp_path / "gone.yaml"), tmp_path) == (
        "FOLDER/gone.yaml: Cannot be read: No such file or directory. Expected a data.yaml."
    )


class _Sample(dict[str, Any]):
    """A sample with attributes and fields, like one of FiftyOne."""

    def __init__(self, filepath: str, **fields: Any) -> None:
        super().__init__(fields)
        self.filepath = filepath


def test_libraries(tmp_path: Path) -> None:
    """Problems name the number of the row or the path of the image."""
    write_files(tmp_path, {"a.png": png(), "b.png": "x"})
    good, bad = str(tmp_path / "a.png"), str(tmp_path / "b.png")
    table = {"path": ["a", None, "b"], "label": ["x", "y", None]}
    assert collect(lambda report: from_dataframe(table, on_problem=report), tmp_path) == (
        2,
        dedent("""
            table: Row 2 has no image: None (image left out).
            table: Row 3 (b) has no label: None. Label it.
        """),
    )
    boxed = {"image": good, "objects": {"bbox": [[1, 2, 0, 4]], "category": [1]}}
    rows = [{"image": None}, {"image": bad}, boxed]
    assert collect(lambda report: from_huggingface(rows, on_problem=report), tmp_path) == (
        2,
        dedent("""
            row 0: Expected an image, found None (image left out).
            row 1: FOLDER/b.png: Neither JPEG nor PNG. The service accepts no other format. Fix or remove it.
            row 2: Object 0 (1) has no area: 0 x 4 pixels (box left out). Redraw it or remove it.
        """),
    )
    found = {good: SimpleNamespace(class_id=[0], xyxy=[(1, 2, 1, 4)])}
    dataset = SimpleNamespace(classes=["c"], annotations=found)
    assert collect(lambda report: from_supervision(dataset, on_problem=report), tmp_path) == (
        1,
        "FOLDER/a.png: Detection 0 (c) has no area: 0 x 2 pixels (box left out). Redraw it or remove it.\n",
    )
    flat = SimpleNamespace(detections=[SimpleNamespace(label="cat", bounding_box=[0.1, 0.2, 0, 0.5])])
    samples = [_Sample(good), _Sample(bad, ground_truth=flat), _Sample(good, ground_truth=flat)]
    assert collect(lambda report: from_fiftyone(samples, on_problem=report), tmp_path) == (
        3,
        dedent("""
            FOLDER/a.png: Field 'ground_truth' is empty. Label the sample or pass another field.
            FOLDER/b.png: Neither JPEG nor PNG. The service accepts no other format. Fix or remove it.
            FOLDER/b.png: Its boxes are ratios and its size is unknown (box left out).
            FOLDER/a.png: Detection 0 (cat) has no area: 0 x 40 pixels (box left out). Redraw it or remove it.
        """),
    )


def test_an_image_opened_from_a_file_keeps_its_path(tmp_path: Path) -> None:
    """A Pillow image that was opened from a file is not written again."""
    write_files(tmp_path, {"a.png": png()})
    picture = SimpleNamespace(filename=str(tmp_path / "a.png"), save=None)
    (image,) = from_huggingface([{"image": picture}])
    assert image.source == str(tmp_path / "a.png")


def test_writers(tmp_path: Path) -> None:
    """Problems name the image and what the format cannot hold."""
    both = LabelledImage("x/a.jpg", ["cat"], [BOX])
    again = LabelledImage("y/a.jpg", size=ImageSize(9, 9))
    assert collect(lambda report: write_coco([both], tmp_path / "o.json", on_problem=report), tmp_path) == (
        1,
        dedent("""
            FOLDER/o.json: COCO has no image-level labels: x/a.jpg (label left out).
            FOLDER/o.json: COCO states sizes, and these have none: x/a.jpg. Set their size.
        """),
    )
    assert collect(lambda report: write_csv([both], tmp_path / "o.csv", on_problem=report), tmp_path) == (
        1,
        "FOLDER/o.csv: This layout has no boxes: x/a.jpg (box left out). Pass boxes=True.\n",
    )
    assert collect(
        lambda report: write_csv([both], tmp_path / "o.csv", boxes=True, on_problem=report), tmp_path
    ) == (1, "FOLDER/o.csv: This layout has no image-level labels: x/a.jpg (label left out).\n")
    assert collect(
        lambda report: write_voc([both, again], tmp_path / "voc", on_problem=report), tmp_path
    ) == (
        1,
        dedent("""
            y/a.jpg: Another image is also named a (image left out). Write it to another folder.
            FOLDER/voc: Pascal VOC has no image-level labels: x/a.jpg (label left out).
            FOLDER/voc: Pascal VOC states sizes, and these have none: x/a.jpg. Set their size.
        """),
    )
    pytest.importorskip("yaml")
    sized = LabelledImage("x/a.jpg", ["cat"], [BOX], ImageSize(100, 80))
    unsized = LabelledImage("b.jpg")
    for _ in range(2):  # an existing folder is accepted
        assert collect(
            lambda report: write_yolo([sized, again, unsized], tmp_path / "yolo", on_problem=report), tmp_path
        ) == (
            1,
            dedent("""
                y/a.jpg: Another image is also named a (image left out). Write it to another folder.
                FOLDER/yolo: YOLO has no image-level labels: x/a.jpg (label left out).
                FOLDER/yolo: YOLO needs sizes, and these have none: b.jpg (image left out). Set their size.
            """),
        )


def test_label_folders_are_written(tmp_path: Path) -> None:
    """Problems name the image and what a label folder cannot hold."""
    write_files(tmp_path, {"a.png": png()})
    one = str(tmp_path / "a.png")
    images = [
        LabelledImage(one, ["a", "b"]),
        LabelledImage(one, ["../up"]),
        LabelledImage("s3://b/k.png", ["cat"]),
        LabelledImage(one, ["cat"], [BOX]),
        LabelledImage(one, ["cat"]),
    ]
    assert collect(lambda report: write_folder(images, tmp_path / "out", on_problem=report), tmp_path) == (
        1,
        dedent("""
            FOLDER/a.png: Label '../up' cannot be the name of a folder (image left out).
            FOLDER/a.png: FOLDER/out/cat/a.png already exists (image left out). Write to an empty folder.
            FOLDER/out: A label folder holds images with one label, and these have 2: FOLDER/a.png (image left out).
            FOLDER/out: Not local files: s3://b/k.png (image left out). Download them first.
            FOLDER/out: A label folder has no boxes: FOLDER/a.png (box left out).
        """),
    )
