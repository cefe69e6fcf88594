"""COCO: the lists come in any order, and each problem names the id of its entry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rekolabels.errors import InvalidInput
from rekolabels.formats import Problem, raise_problem, read_coco, write_coco
from rekolabels.images import BoundingBox, ImageSize, LabelledImage

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = [
    {"id": 1, "file_name": "a.jpg", "width": 100, "height": 80, "date_captured": "2013-11-14 17:02:52"},
    {"id": 2, "file_name": "sub/b.jpg", "width": 64, "height": 64},
]
CATEGORIES = [{"id": 7, "name": "cat", "supercategory": "animal"}, {"id": 9, "name": "dog"}]
ANNOTATIONS: list[dict[str, Any]] = [
    {"id": 1, "image_id": 1, "category_id": 9, "bbox": [1, 2.5, 30, 40]},
    {"id": 2, "image_id": 1, "category_id": 7, "bbox": [0, 0, 100, 80], "segmentation": [[1, 2, 3]]},
]


def write_file(folder: Path, content: object) -> Path:
    """Write a file: an object as JSON, text and bytes as they are."""
    path = folder / "x.json"
    text = content if isinstance(content, (str, bytes)) else json.dumps(content)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("order", ["iac", "cai", "aci"])
def test_lists_may_be_in_any_order(tmp_path: Path, order: str) -> None:
    """Boxes are matched with their image and category in any order; other members are skipped."""
    lists = {"i": ("images", IMAGES), "a": ("annotations", ANNOTATIONS), "c": ("categories", CATEGORIES)}
    content = {"info": {"a": [1, {}]}, **dict(lists[key] for key in order), "licenses": [], "version": 12}
    found = list(read_coco(write_file(tmp_path, content), images="s3://b/p", on_problem=raise_problem))
    boxes = (BoundingBox("dog", 1, 2.5, 30, 40), BoundingBox("cat", 0, 0, 100, 80))
    assert found == [
        LabelledImage("s3://b/p/a.jpg", boxes=boxes, size=ImageSize(100, 80)),
        LabelledImage("s3://b/p/sub/b.jpg", size=ImageSize(64, 64)),
    ]


def test_large_files_are_read_in_windows(tmp_path: Path) -> None:
    """Long entries, and those that the end of a window cuts, are read completely."""
    images = [
        {"id": n, "file_name": f"{n}.jpg", "width": 64, "height": 64, "x": "y" * (n * 37)} for n in range(999)
    ]
    for indent in (None, 3):
        text = json.dumps({"images": images, "annotations": [], "categories": []}, indent=indent)
        found = list(read_coco(write_file(tmp_path, text), images="s3://b", on_problem=raise_problem))
        assert [f"s3://b/{n}.jpg" for n in range(999)] == [image.source for image in found]


def test_an_s3_url_is_used_as_it_is(tmp_path: Path) -> None:
    """The field coco_url is used when it is an S3 URI, and ignored when it is a web address."""
    images = [IMAGES[0] | {"coco_url": "s3://other/a.jpg"}, IMAGES[1] | {"coco_url": "http://web/b.jpg"}]
    found = read_coco(write_file(tmp_path, {"images": images}), images="s3://b", on_problem=raise_problem)
    assert [image.source for image in found] == ["s3://other/a.jpg", "s3://b/sub/b.jpg"]


@pytest.mark.parametrize(
    ("annotation", "message", "lost"),
    [
        ({"category_id": 8}, "Annotation 1 of s3://b/a.jpg has category 8, which is not listed", "box"),
        ({"image_id": 5}, "Image 5 has annotations but is not listed (boxes: 1)", "box"),
        ({"bbox": None}, "expected four finite numbers", "box"),
        ({"bbox": [1, 2, 3]}, "expected four finite numbers", "box"),
        ({"bbox": [1, float("nan"), 3, 4]}, "expected four finite numbers", "box"),
        ({"bbox": [1, 2, float("inf"), 4]}, "expected four finite numbers", "box"),
        ({"bbox": [1, 2, 10**400, 4]}, "expected four finite numbers", "box"),
        ({"bbox": [1, 2, 0, 4]}, "has no area: 0 x 4", "box"),
        ({"bbox": [-1, 2, 3, 4]}, "leaves the frame of 100 x 80", "nothing"),
        ({"bbox": [98, 2, 3, 4]}, "leaves the frame of 100 x 80", "nothing"),
        ({"iscrowd": 1}, "Each crowd (iscrowd) is read as one box (annotation ids 1)", "nothing"),
        ({"segmentation": {"counts": "abc"}}, "RLE masks are ignored, only their boxes", "nothing"),
        ({"category_id": [1], "id": {"a": 1}}, "has category [1], which is not listed", "box"),
    ],
)
def test_flaws_of_annotations(tmp_path: Path, annotation: dict[str, Any], message: str, lost: str) -> None:
    """The problem names the id; an invalid box is left out, a box that leaves the frame is kept."""
    content = {"images": IMAGES, "annotations": [ANNOTATIONS[0] | annotation], "categories": CATEGORIES}
    problems: list[Problem] = []
    found = list(read_coco(write_file(tmp_path, content), images="s3://b", on_problem=problems.append))
    (problem,) = problems
    assert message in problem.message
    assert lost == problem.lost
    assert len(found) == 2
    assert int(lost == "nothing") == len(found[0].boxes)


def test_flaws_of_images_and_categories(tmp_path: Path) -> None:
    """Duplicate ids, missing names and sizes, paths that leave the folder, and entries of other types."""
    images = [*IMAGES, IMAGES[0], {"id": 3, "file_name": "../c.jpg"}, {"id": 4, "file_name": 5}]
    images += [{"id": 5, "file_name": "e.jpg", "width": 0, "height": "x"}]
    categories = [*CATEGORIES, {"id": 7, "name": "lion"}, {"id": 8}]
    problems: list[Problem] = []
    content = {"images": [*images, 3], "annotations": [], "categories": categories}
    found = list(read_coco(write_file(tmp_path, content), images="s3://b", on_problem=problems.append))
    assert [image.source for image in found] == ["s3://b/a.jpg", "s3://b/sub/b.jpg", "s3://b/e.jpg"]
    assert len(problems) == 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected an object"),
        ("[]", "expected an object"),
        ("{}", "Has no images"),
        ('{"images": {}}', "'images' is not a list"),
        ('{"images": [{"id": 1}', "comma or the end of the list, found the end of the file"),
        ('{"images": [{"id": 1,, }]}', "Not JSON at character 22"),
        ('{"images": []} x', "expected the end of the file"),
        ('{"images" []}', "expected a colon"),
        ("{1: []}", "expected a name in quotes"),
        ('{"images": [' + "[" * 100_000, "Nested too deeply"),
        ('{"images": [' + "9" * 5000 + "]}", "Cannot be read"),
        (b"\xff\xfe{\x00", "Is UTF-16 text"),
        (b'{"images": ["caf\xe9"]}', "Not UTF-8 text in line 1"),
        ('{"images": [{}]}', "Has no usable images"),
    ],
)  # fmt: skip
def test_invalid_files_are_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    """Truncated, malformed, deeply nested and binary files are refused with the position."""
    with pytest.raises(InvalidInput, match=message):
        list(read_coco(write_file(tmp_path, content)))


def test_writing_reports_what_coco_cannot_hold(tmp_path: Path) -> None:
    """Image-level labels and a missing size are reported; no images give a valid file."""
    problems: list[Problem] = []
    target = tmp_path / "out.json"
    assert write_coco([LabelledImage("a.jpg", ["cat"])], target, on_problem=problems.append) == 1
    assert [problem.lost for problem in problems] == ["label", "nothing"]
    assert write_coco([], target) == 0
    assert json.loads(target.read_text()) == {"images": [], "annotations": [], "categories": []}
