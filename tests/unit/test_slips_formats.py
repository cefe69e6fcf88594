"""Slips in label formats: each raises an error that names the value and the fix."""
# ruff: noqa: E501 - one slip a line, so that they can be compared

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from label_files import png, write_files
from rekolabels import formats as typed_formats
from rekolabels.errors import InvalidImage
from rekolabels.formats import read_csv, read_yolo, write_coco
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from slips import Slip, check, slip

if TYPE_CHECKING:
    from pathlib import Path

    from rekolabels.formats import Problem

IMAGE = LabelledImage("a.jpg", ["cat"])
BOXED = LabelledImage("a.jpg", boxes=[BoundingBox("cat", 1, 2, 30, 40)], size=ImageSize(100, 80))
formats: Any = typed_formats
"""The module, as callers without types see it."""
COCO = {"images": [{"id": 1, "file_name": "gone.jpg", "width": 9, "height": 9}], "annotations": []}


def workbook() -> bytes:
    """Make the beginning of an Excel workbook."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
    return content.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make the files that the slips name."""
    pytest.importorskip("yaml")
    pytest.importorskip("defusedxml")
    voc = "<annotation><filename>a.png</filename></annotation>"
    return write_files(
        tmp_path,
        {
            "pics/cat/1.png": png(),
            "a.png": png(),
            "flat/1.png": png(),
            "text.txt": "text",
            "labels.csv": "path,label\na.png,cat\n",
            "semicolon.csv": "path;label\na.png;cat\n",
            "plain.csv": "a.png;cat\nb.png;dog\n",
            "tab.csv": "path\tlabel\na.png\tcat\n",
            "quoted.csv": '"path";"label"\n"a.png";"cat"\n',
            "latin.csv": "path,label\na.png,cat\nb.png,caf\u00e9\n".encode("latin-1"),
            "utf16.csv": "path,label\na.png,cat\n".encode("utf-16"),
            "gone.csv": "path,label\nx/1.png,cat\nx/2.png,cat\nx/3.png,cat\nx/4.png,cat\n",
            "header.csv": "path,label\n",
            "names.csv": "photo,kind\na.png,cat\n",
            "labels.xlsx": workbook(),
            "labels.csv.gz": b"\x1f\x8b\x08\x00rest",
            "gone.json": json.dumps(COCO),
            "none.json": json.dumps({"images": [], "annotations": []}),
            "results.json": "[]",
            "VOC/train/Annotations/a.xml": voc,
            "VOC/test/Annotations/a.xml": voc,
            "lost/b.xml": voc.replace("a.png", "b.png"),
            "yolo/data.yaml": "train: images\nval: images\nnames: [cat]\n",
            "yolo/images/a.png": png(),
            "empty.yaml": "train: nowhere\nnames: [cat]\n",
            "void/.hidden": "",
        },
    )


# fmt: off
READERS = [
    slip("a missing file", lambda f: formats.read_csv(f / "label.csv"), "FOLDER/label.csv", "does not exist", "labels.csv"),
    slip("a folder as CSV", formats.read_csv, "path is 'FOLDER'", "It is a folder", "FOLDER/gone.csv"),
    slip("a folder as COCO", formats.read_coco, "It is a folder", "Pass a file in it", "gone.json"),
    slip("no path", lambda _: formats.read_csv(None), "path is None", "the path of a CSV file"),
    slip("an empty path", lambda _: formats.read_coco(""), "path is ''", "the path of a COCO file"),
    slip("a list of paths", lambda _: formats.read_csv(["a.csv"]), "path is ['a.csv']"),
    slip("bytes as a path", lambda _: formats.read_coco(b"a.json"), "path is b'a.json'"),
    slip("CSV in S3", lambda _: formats.read_csv("s3://b/a.csv"), "'s3://b/a.csv'", "Download it first"),
    slip("COCO on the web", lambda _: formats.read_coco("https://x.org/a.json"), "'https://x.org/a.json'", "Download it"),
    slip("Ground Truth in S3", lambda _: formats.read_ground_truth("s3://b/output.manifest"), "'s3://b/output.manifest'"),
    slip("a folder of Ground Truth", lambda f: formats.read_ground_truth(f / "pics"), "FOLDER/pics", "It is a folder"),
    slip("images in S3", lambda _: formats.read_folder("s3://my-bucket/pets"), "'s3://my-bucket/pets'", "Download it first"),
    slip("no folder", lambda _: formats.read_folder(None), "path is None", "a folder for each label"),
    slip("a file as folder", lambda f: formats.read_folder(f / "a.png"), "FOLDER/a.png", "A file, not a folder", "<label>"),
    slip("a missing folder", lambda f: formats.read_folder(f / "nowhere"), "FOLDER/nowhere", "does not exist", "<label>"),
    slip("an empty folder", lambda f: formats.read_folder(f / "void"), "FOLDER/void", "Contains no images", "<label>"),
    slip("images without a label folder", lambda f: formats.read_folder(f / "flat"), "FOLDER/flat", "Contains no images"),
    slip("a list as callback", lambda f: formats.read_folder(f / "pics", on_problem=[]), "on_problem is []", "problems.append"),
    slip("no callback", lambda f: formats.read_csv(f / "labels.csv", on_problem=None), "on_problem is None", "a function"),
    slip("a strict reader", lambda f: formats.read_csv(f / "plain.csv", header=False, on_problem=formats.raise_problem), "';'"),
]
CSV = [
    slip("semicolons", lambda f: formats.read_csv(f / "semicolon.csv"), "separated by ';'", "Pass delimiter=';'"),
    slip("semicolons without a header", lambda f: formats.read_csv(f / "plain.csv"), "'a.png;cat'", "Pass delimiter=';'"),
    slip("tabs", lambda f: formats.read_csv(f / "tab.csv"), r"separated by '\t'", r"Pass delimiter='\t'"),
    slip("quotes and semicolons", lambda f: formats.read_csv(f / "quoted.csv"), "FOLDER/quoted.csv", "Pass delimiter=';'"),
    slip("commas as semicolons", lambda f: formats.read_csv(f / "labels.csv", delimiter=";"), "Pass delimiter=','"),
    slip("Latin-1", lambda f: formats.read_csv(f / "latin.csv"), "in line 3", r"b'b.png,caf\xe9'", "encoding='cp1252'"),
    slip("UTF-16", lambda f: formats.read_csv(f / "utf16.csv"), "Is UTF-16 text", "Pass encoding='utf-16'"),
    slip("Excel", lambda f: formats.read_csv(f / "labels.xlsx"), "FOLDER/labels.xlsx", "Is an Excel workbook", "Save it as CSV"),
    slip("gzip", lambda f: formats.read_csv(f / "labels.csv.gz"), "Is a gzip archive", "Unpack it"),
    slip("an image as CSV", lambda f: formats.read_csv(f / "a.png"), "FOLDER/a.png", "Is a PNG image", "Expected CSV text"),
    slip("missing images", lambda f: formats.read_csv(f / "gone.csv"), "None of its images exists", "x/1.png", "and 1 more", "images='s3://"),
    slip("a header alone", lambda f: formats.read_csv(f / "header.csv"), "FOLDER/header.csv", "no usable images below its header"),
    slip("other columns", lambda f: formats.read_csv(f / "names.csv", header=True), "'photo,kind'", "no column for the image", "filename"),
    slip("a long delimiter", lambda f: formats.read_csv(f / "labels.csv", delimiter=";;"), "delimiter is ';;'", "one character"),
    slip("no delimiter", lambda f: formats.read_csv(f / "labels.csv", delimiter=""), "delimiter is ''", "one character"),
    slip("an unknown encoding", lambda f: formats.read_csv(f / "labels.csv", encoding="latin-99"), "encoding is 'latin-99'", "cp1252"),
    slip("an encoding of bytes", lambda f: formats.read_csv(f / "labels.csv", encoding="hex"), "encoding is 'hex'"),
    slip("a separator of no text", lambda f: formats.read_csv(f / "labels.csv", label_separator=""), "label_separator is ''"),
    slip("the name of a header", lambda f: formats.read_csv(f / "labels.csv", header="path"), "header is 'path'", "True or False"),
    slip("a missing image folder", lambda f: formats.read_csv(f / "labels.csv", images=f / "picks"), "FOLDER/picks", "Did you mean 'FOLDER/pics'"),
    slip("a bucket without a name", lambda f: formats.read_csv(f / "labels.csv", images="s3://"), "'s3://'", "s3://bucket/key"),
    slip("images as a number", lambda f: formats.read_csv(f / "labels.csv", images=5), "images is 5", "the folder of the images"),
]
OTHERS = [
    slip("COCO without its images", lambda f: formats.read_coco(f / "gone.json"), "Its image does not exist", "FOLDER/gone.jpg", "images='<folder"),
    slip("COCO with an empty list", lambda f: formats.read_coco(f / "none.json"), "FOLDER/none.json", "Has no images"),
    slip("COCO results", lambda f: formats.read_coco(f / "results.json"), "FOLDER/results.json", "expected an object with lists"),
    slip("a CSV as COCO", lambda f: formats.read_coco(f / "labels.csv"), "Not JSON", "'path,label"),
    slip("Excel as COCO", lambda f: formats.read_coco(f / "labels.xlsx"), "Is an Excel workbook"),
    slip("the parent of VOC", lambda f: formats.read_voc(f / "VOC"), "Contains no .xml files", "read_voc('FOLDER/VOC/test/Annotations')", "train"),
    slip("VOC without images", lambda f: formats.read_voc(f / "lost"), "Its image does not exist", "FOLDER/lost/b.png", "images="),
    slip("VOC in S3", lambda _: formats.read_voc("s3://b/Annotations"), "'s3://b/Annotations'", "Download it"),
    slip("VOC with a missing image folder", lambda f: formats.read_voc(f / "lost", images=f / "jpegs"), "images is 'FOLDER/jpegs'"),
    slip("a CSV as VOC", lambda f: formats.read_voc(f / "labels.csv"), "Contains no usable annotations"),
    slip("one part as text", lambda f: formats.read_yolo(f / "yolo", parts="train"), "parts is 'train'", "parts=['train']"),
    slip("a part by another name", lambda f: formats.read_yolo(f / "yolo", parts=["validation"]), "parts[0] is 'validation'", "Did you mean 'val'"),
    slip("one of two parts", lambda f: formats.read_yolo(f / "yolo", parts=["train", "valid"]), "parts[1] is 'valid'", "Did you mean 'val'"),
    slip("a part that is missing", lambda f: formats.read_yolo(f / "yolo", parts=["test"]), "parts[0] is 'test'", "'train' or 'val'"),
    slip("no parts", lambda f: formats.read_yolo(f / "yolo", parts=[]), "parts is []", "['train']"),
    slip("YOLO without images", lambda f: formats.read_yolo(f / "empty.yaml"), "train ('nowhere')", "pass root="),
    slip("YOLO without data.yaml", lambda f: formats.read_yolo(f / "pics"), "FOLDER/pics/data.yaml", "Expected a data.yaml"),
    slip("YOLO with a missing root", lambda f: formats.read_yolo(f / "yolo", root=f / "rot"), "root is 'FOLDER/rot'", "does not exist"),
    slip("a URL as image", lambda _: formats.image_size("https://x.org/a.jpg"), "https://x.org/a.jpg", "Download it", error=InvalidImage),
    slip("bytes as image", lambda _: formats.image_size(5), "path is 5", "the path of an image file"),
    slip("text as image", lambda f: formats.image_size(f / "text.txt"), "FOLDER/text.txt", "Neither JPEG nor PNG", error=InvalidImage),
]
# fmt: on
TABLE = {"filename": ["a.jpg"], "species": ["cat"]}
# fmt: off
FRAMES = [
    slip("another name for images", lambda _: formats.from_dataframe(TABLE), "no column 'path'", "'filename', 'species'", "image='filename'"),
    slip("a misspelt column", lambda _: formats.from_dataframe(TABLE, image="filename", label="specie"), "'specie'", "label='species'"),
    slip("a path of a table", lambda _: formats.from_dataframe("labels.csv"), "frame is 'labels.csv'", "read_csv()"),
    slip("a list of rows", lambda _: formats.from_dataframe([{"path": "a.jpg"}]), "frame is [{'path': 'a.jpg'}]", "pandas.DataFrame"),
    slip("no table", lambda _: formats.from_dataframe(None), "frame is None", "a DataFrame"),
    slip("columns of different lengths", lambda _: formats.from_dataframe({"path": ["a", "b"], "label": ["x"]}), "2 rows", "1"),
    slip("one label for all", lambda _: formats.from_dataframe({"path": ["a.jpg"], "label": "cat"}), "frame['label'] is 'cat'"),
    slip("a number as column", lambda _: formats.from_dataframe(TABLE, image=0), "image is 0", "the name of a column"),
    slip("integer labels", lambda _: formats.from_dataframe({"path": ["a.jpg"], "label": [3]}), "Row 1", "(a.jpg)", "3 (int)", ".map(str)"),
    slip("float labels", lambda _: formats.from_dataframe({"path": ["a.jpg"], "label": [1.0]}), "1.0 (float)", "frame['label'].map(str)"),
    slip("a list of numbers", lambda _: formats.from_dataframe({"path": ["a.jpg"], "label": [[1, 2]]}), "[1, 2] (list)"),
    slip("the name of a dataset", lambda _: formats.from_huggingface("beans"), "'beans'", "load_dataset('beans', split='train')"),
    slip("all splits", lambda _: formats.from_huggingface({"train": [], "test": []}), "'train', 'test'", "dataset['train']"),
    slip("a number as dataset", lambda _: formats.from_huggingface(5), "dataset is 5", "one split"),
    slip("another column of images", lambda _: formats.from_huggingface([{"img": "a.png"}]), "no column 'image'", "'img'"),
    slip("rows of text", lambda _: formats.from_huggingface(["a.png"]), "row 0 of the dataset is 'a.png'", "a mapping"),
    slip("not from supervision", lambda _: formats.from_supervision(TABLE), "dataset is", "supervision"),
    slip("the name of samples", lambda _: formats.from_fiftyone("quickstart"), "'quickstart'", "fiftyone.load_dataset('quickstart')"),
    slip("samples of text", lambda _: formats.from_fiftyone(["a.jpg"]), "samples[0] is 'a.jpg'", "a sample of FiftyOne"),
    slip("no samples", lambda _: formats.from_fiftyone(None), "samples is None", "FiftyOne"),
]
# fmt: on


def used_up() -> Any:
    """Return a generator that has no images left."""
    images = (image for image in [IMAGE])
    list(images)
    return images


# fmt: off
WRITERS = [
    slip("a folder as images", lambda f: formats.write_coco("pics", f / "o.json"), "images is 'pics'", "read_folder('pics')"),
    slip("a CSV as images", lambda f: formats.write_coco("a.csv", f / "o.json"), "images is 'a.csv'", "read_csv('a.csv')"),
    slip("a Path as images", lambda f: formats.write_csv(f / "pics", f / "o.csv"), "images is", "read_folder('FOLDER/pics')"),
    slip("one image", lambda f: formats.write_csv(IMAGE, f / "o.csv"), "LabelledImage(source='a.jpg'", "images=[image]"),
    slip("a list of paths to write", lambda f: formats.write_csv(["a.jpg"], f / "o.csv"), "images[0] is 'a.jpg'", "LabelledImage('a.jpg'"),
    slip("a dict", lambda f: formats.write_coco({"a.jpg": "cat"}, f / "o.json"), "images is {'a.jpg': 'cat'}"),
    slip("no images", lambda f: formats.write_voc(None, f / "out"), "images is None", "labelled images"),
    slip("a generator that is used up", lambda f: formats.write_coco(used_up(), f / "o.json"), "used up", "images = list("),
    slip("a missing target folder", lambda f: formats.write_coco([IMAGE], f / "out" / "o.json"), "FOLDER/out", "does not exist", "mkdir"),
    slip("a missing folder for CSV", lambda f: formats.write_csv([IMAGE], f / "out" / "o.csv"), "FOLDER/out", "does not exist", "mkdir"),
    slip("a folder as target", lambda f: formats.write_csv([IMAGE], f / "pics"), "FOLDER/pics", "folder"),
    slip("a target in S3", lambda _: formats.write_coco([IMAGE], "s3://b/o.json"), "target is 's3://b/o.json'"),
    slip("no target", lambda _: formats.write_csv([IMAGE], None), "target is None", "the path of a CSV file"),
    slip("a file as target folder", lambda f: formats.write_voc([BOXED], f / "text.txt"), "FOLDER/text.txt", "Cannot be created"),
    slip("a number as target folder", lambda _: formats.write_folder([IMAGE], 5), "folder is 5"),
    slip("a folder in S3", lambda _: formats.write_yolo([BOXED], "s3://b/yolo"), "folder is 's3://b/yolo'"),
    slip("names as text", lambda f: formats.write_yolo([BOXED], f / "out", names="cat"), "names is 'cat'", "names=['cat']"),
    slip("names as numbers", lambda f: formats.write_yolo([BOXED], f / "out", names=[1]), "names[0] is 1"),
    slip("boxes as text", lambda f: formats.write_csv([IMAGE], f / "o.csv", boxes="yes"), "boxes is 'yes'", "True or False"),
    slip("relative to a number", lambda f: formats.write_csv([IMAGE], f / "o.csv", relative_to=5), "relative_to is 5"),
]
# fmt: on


@pytest.mark.parametrize("slip", [*READERS, *CSV, *OTHERS, *FRAMES, *WRITERS])
def test_slips(slip: Slip, folder: Path) -> None:
    """The error names the value and the fix, and no file is left behind."""
    check(slip, folder)


def test_an_encoding_can_be_given(folder: Path) -> None:
    """The encoding that the message suggests reads the file."""
    images = list(read_csv(folder / "latin.csv", images="s3://b", encoding="cp1252"))
    assert [image.labels for image in images] == [("cat",), ("café",)]
    images = list(read_csv(folder / "utf16.csv", encoding="utf-16"))
    assert [image.labels for image in images] == [("cat",)]


def test_some_missing_images_are_reported_together(folder: Path) -> None:
    """One problem gives their number and the first names; the other images are read."""
    write_files(folder, {"some.csv": "path,label\na.png,cat\nx/1.png,cat\nx/2.png,cat\n"})
    problems: list[Problem] = []

    images = list(read_csv(folder / "some.csv", on_problem=problems.append))

    assert [image.source for image in images] == [str(folder / "a.png")]
    assert [str(problem).replace(str(folder), "FOLDER") for problem in problems] == [
        (
            "FOLDER/some.csv:3: 2 of 3 images do not exist: FOLDER/x/1.png, FOLDER/x/2.png (image left out). Pass "
            "images='<folder of the images>', or images='s3://<bucket>/<prefix>' if they are in S3."
        )
    ]


def test_the_only_yaml_file_of_a_folder_is_read(folder: Path) -> None:
    """Exports name it after the dataset rather than data.yaml."""
    (folder / "yolo" / "data.yaml").rename(folder / "yolo" / "pets.yaml")
    assert len(list(read_yolo(folder / "yolo", parts=["train"]))) == 1


def test_a_format_reports_what_many_images_lose_once(folder: Path) -> None:
    """Writing a thousand labels as COCO gives one problem, with their number."""
    problems: list[Problem] = []
    images = [LabelledImage(f"{number}.jpg", ["cat"], size=ImageSize(9, 9)) for number in range(1000)]

    write_coco(images, folder / "o.json", on_problem=problems.append)

    assert [str(problem).replace(str(folder), "FOLDER") for problem in problems] == [
        "FOLDER/o.json: COCO has no image-level labels: 1,000 images, such as 0.jpg (label left out)."
    ]
