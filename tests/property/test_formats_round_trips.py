"""Writing and reading again gives the same images, and damaged files raise only rekolabels errors."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_files import png
from rekolabels import formats, manifest
from rekolabels.errors import RekolabelsError
from rekolabels.images import BoundingBox, ImageSize, LabelledImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PREFIX = "s3://bucket/some prefix"
TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=12
).map(str.strip).filter(bool)  # fmt: skip
NAMES = st.from_regex(r"[a-zA-Z0-9_# %ü-]{1,8}", fullmatch=True).map(
    lambda stem: f"{stem.strip() or 'x'}.jpg"
)
SIDES = st.integers(64, 4096)


@st.composite
def boxes_in(draw: st.DrawFn, size: ImageSize) -> BoundingBox:
    """A box inside the frame, in whole pixels."""
    left, top = draw(st.integers(0, size.width - 2)), draw(st.integers(0, size.height - 2))
    width, height = draw(st.integers(1, size.width - left)), draw(st.integers(1, size.height - top))
    return BoundingBox(draw(TEXT), left, top, width, height)


@st.composite
def with_boxes(draw: st.DrawFn) -> list[LabelledImage]:
    """Images with boxes and different names."""
    images = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=4, unique_by=str.lower)):
        size = ImageSize(draw(SIDES), draw(SIDES))
        boxes = draw(st.lists(boxes_in(size), min_size=1, max_size=4))
        images.append(LabelledImage(f"{PREFIX}/{name}", boxes=boxes, size=size))
    return images


@st.composite
def with_labels(draw: st.DrawFn) -> list[LabelledImage]:
    """Images with image-level labels and different names."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique_by=str.lower))
    labels = st.lists(TEXT, min_size=1, max_size=4, unique=True)
    return [LabelledImage(f"{PREFIX}/{name}", draw(labels)) for name in names]


@given(with_boxes())
def test_coco_keeps_boxes(images: list[LabelledImage]) -> None:
    """Sources, sizes and boxes survive COCO."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "instances.json")
        formats.write_coco(images, file, relative_to=PREFIX)
        assert images == list(formats.read_coco(file, images=PREFIX, on_problem=formats.raise_problem))


@given(with_boxes())
def test_voc_keeps_boxes(images: list[LabelledImage]) -> None:
    """Sources, sizes and boxes survive Pascal VOC, in the order of the names."""
    with tempfile.TemporaryDirectory() as folder:
        formats.write_voc(images, folder)
        found = list(formats.read_voc(folder, images=PREFIX, on_problem=formats.raise_problem))
        assert sorted(images, key=str) == sorted(found, key=str)


@given(with_boxes())
def test_csv_keeps_boxes(images: list[LabelledImage]) -> None:
    """Sources, sizes and boxes survive the CSV layout with boxes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "boxes.csv")
        formats.write_csv(images, file, boxes=True, relative_to=PREFIX)
        assert images == list(formats.read_csv(file, images=PREFIX, on_problem=formats.raise_problem))


@given(with_boxes())
def test_yolo_keeps_boxes(images: list[LabelledImage]) -> None:
    """Boxes in whole pixels survive the conversion to ratios; PNG headers stand in for images."""
    with tempfile.TemporaryDirectory() as folder:
        formats.write_yolo(images, folder)
        for image in images:
            assert image.size is not None
            name = image.source.rsplit("/", 1)[-1]
            Path(folder, "images", name).write_bytes(png(image.size.width, image.size.height))
        found = list(formats.read_yolo(folder, on_problem=formats.raise_problem))
        expected = {image.source.rsplit("/", 1)[-1]: (image.boxes, image.size) for image in images}
        assert expected == {Path(image.source).name: (image.boxes, image.size) for image in found}


@given(with_boxes())
def test_boxes_survive_manifest_and_coco(images: list[LabelledImage]) -> None:
    """Images are the same after a manifest and COCO."""
    with tempfile.TemporaryDirectory() as folder:
        lines, file = Path(folder, "a.manifest"), Path(folder, "instances.json")
        manifest.write_manifest(images, lines)
        formats.write_coco(manifest.read_manifest(lines), file)
        found = list(formats.read_coco(file, images=PREFIX))
        assert images == found


@given(with_labels(), st.booleans())
def test_csv_keeps_labels(images: list[LabelledImage], header: bool) -> None:  # noqa: FBT001 - drawn
    """Sources and labels survive both CSV layouts for labels."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "labels.csv")
        formats.write_csv(images, file, header=header, relative_to=PREFIX)
        found = formats.read_csv(file, images=PREFIX, header=header, on_problem=formats.raise_problem)
        assert images == list(found)


@given(with_labels())
def test_ground_truth_reads_manifests(images: list[LabelledImage]) -> None:
    """Manifest lines are read the same way by read_ground_truth and read_manifest."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "output.manifest")
        manifest.write_manifest(images, file)
        found = list(formats.read_ground_truth(file, on_problem=formats.raise_problem))
        assert list(manifest.read_manifest(file)) == found


READERS: dict[str, Callable[..., Iterator[LabelledImage]]] = {
    "a.json": formats.read_coco,
    "a.csv": formats.read_csv,
    "a.xml": formats.read_voc,
    "data.yaml": formats.read_yolo,
    "a.manifest": formats.read_ground_truth,
}
# Nearly valid text reaches more code of a reader than random bytes.
SEEDS = {
    "a.json": '{"images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 64}], "annotations": '
    '[{"id": 1, "image_id": 1, "category_id": 2, "bbox": [1, 2, 3.5, 4], "iscrowd": 1, "segmentation": '
    '{"counts": "x"}}], "categories": [{"id": 2, "name": "cat"}], "info": {"year": 2020}}',
    "a.csv": 'filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,64,64,"cat",1,2,3,4\nb.jpg,,,,,,,\n',
    "a.xml": "<annotation><filename>a.jpg</filename><size><width>64</width><height>64</height></size>"
    "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>"
    "</object></annotation>",
    "data.yaml": "path: .\ntrain: images\nval: [images, list.txt]\nnames: {0: cat, 1: dog}\n",
    "a.manifest": '{"source-ref": "s3://b/a.jpg", "kind": [0, 1], "kind-metadata": {"class-map": '
    '{"0": "cat", "1": "dog"}, "confidence-map": {"0": 0.9}, '
    '"type": "groundtruth/image-classification-multilabel", '
    '"human-annotated": "yes", "creation-date": "2024-03-01T09:30:00"}}\n',
}


@st.composite
def damaged(draw: st.DrawFn, text: str) -> bytes:
    """A file in which a few pieces are overwritten, inserted or removed."""
    content = bytearray(text.encode())
    pieces = st.sampled_from(
        [b"", b"\0", b"\xff", b'"', b"{", b"[", b"<", b"&", b",", b"NaN", b"1e999", b"-1", b"null", b"../",
         b"9" * 5000]
    )  # fmt: skip
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 9))] = draw(pieces | st.binary(max_size=4))
    return bytes(content)


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
def test_damaged_files_raise_only_rekolabels_errors(name: str, data: st.DataObject) -> None:
    """A damaged file is read with problems, or refused with a RekolabelsError."""
    content = data.draw(damaged(SEEDS[name]) | st.binary(max_size=60))
    problems: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "images").mkdir()
        Path(folder, "images", "a.png").write_bytes(png(64, 64))
        Path(folder, "images", "a.txt").write_bytes(content)
        Path(folder, "list.txt").write_bytes(content)
        Path(folder, name).write_bytes(content)
        try:
            for image in READERS[name](Path(folder, name), on_problem=problems.append):
                assert isinstance(image, LabelledImage)
        except RekolabelsError as error:
            problems.append(error)
    assert all(str(problem) for problem in problems)
