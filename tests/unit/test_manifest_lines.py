"""Reading and writing manifest lines."""

from __future__ import annotations

import io
import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from rekolabels.errors import InvalidInput, InvalidManifest
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest import format_line, parse_line, read_manifest, write_manifest

if TYPE_CHECKING:
    from pathlib import Path

CLASSIFIED = (
    '{"source-ref":"s3://b/assets/camellia4.jpg","camellia":1,"camellia-metadata":{"confidence":1,'
    '"job-name":"labeling-job/camellia","class-name":"camellia","human-annotated":"yes",'
    '"creation-date":"2021-07-11T03:32:13.456Z","type":"groundtruth/image-classification"},"with_leaves":1,'
    '"with_leaves-metadata":{"confidence":1,"job-name":"labeling-job/with_leaves","class-name":"with_leaves",'
    '"human-annotated":"yes","creation-date":"2021-07-11T03:32:13.456Z",'
    '"type":"groundtruth/image-classification"},"cl-metadata":{"is_labeled":true}}'
)
BOXED = (
    '{"source-ref":"s3://b/board_3.jpg","parts":{"image_size":[{"width":1280,"height":960,"depth":3}],'
    '"annotations":[{"class_id":0,"left":100,"top":80,"width":240,"height":160,"id":"x"},'
    '{"class_id":1,"left":700,"top":400,"width":90.5,"height":120}]},"parts-metadata":{"objects":'
    '[{"confidence":0.9},{"confidence":0.8}],"class-map":{"0":"diode","1":"coil","7":"never"},'
    '"type":"groundtruth/object-detection","human-annotated":"yes","creation-date":"2024-03-01T09:30:00"},'
    '"camera":"left"}'
)
DIODE = BoundingBox("diode", 100, 80, 240, 160)
COIL = BoundingBox("coil", 700, 400, 90.5, 120)


def test_labels_of_a_line_are_read() -> None:
    """Image-level labels are in the order of the line; everything else is in the attributes."""
    image = parse_line(CLASSIFIED)

    assert image.source == "s3://b/assets/camellia4.jpg"
    assert image.labels == ("camellia", "with_leaves")
    assert image.attributes["cl-metadata"] == {"is_labeled": True}
    assert "source-ref" not in image.attributes


def test_boxes_of_a_line_are_read() -> None:
    """Boxes have their labels from the class map; the image has its size."""
    image = parse_line(BOXED)

    assert image.boxes == (DIODE, COIL)
    assert image.size == ImageSize(1280, 960)
    assert image.attributes["camera"] == "left"


@pytest.mark.parametrize("line", [CLASSIFIED, BOXED, '{"source-ref":"s3://b/1.jpg"}'])
def test_an_unchanged_line_is_written_byte_for_byte(line: str) -> None:
    """Reading and writing a line gives the same text."""
    assert line == format_line(parse_line(line))


def test_a_line_with_another_source_is_otherwise_unchanged() -> None:
    """An upload changes only the source."""
    moved = attrs.evolve(parse_line(CLASSIFIED), source="s3://other/1.jpg")

    assert CLASSIFIED.replace("s3://b/assets/camellia4.jpg", "s3://other/1.jpg") == format_line(moved)


def test_a_kept_label_keeps_its_metadata() -> None:
    """A removed label loses its metadata, a new one gets new metadata, the others are unchanged."""
    image = attrs.evolve(parse_line(CLASSIFIED), labels=("with_leaves", "red"))
    line = json.loads(format_line(image, created="2024-01-01T00:00:00"))

    before = json.loads(CLASSIFIED)
    assert before["with_leaves-metadata"] == line["with_leaves-metadata"]
    assert before["cl-metadata"] == line["cl-metadata"]
    assert "camellia" not in line
    assert "camellia-metadata" not in line
    assert line["red-metadata"]["creation-date"] == "2024-01-01T00:00:00"
    assert parse_line(json.dumps(line)).labels == ("with_leaves", "red")


def test_a_moved_box_keeps_its_confidence() -> None:
    """A clipped box keeps its unknown keys and its confidence."""
    image = attrs.evolve(parse_line(BOXED), boxes=(attrs.evolve(DIODE, left=90), COIL))
    line = json.loads(format_line(image))

    assert line["parts"]["annotations"][0] == {
        "class_id": 0, "left": 90, "top": 80, "width": 240, "height": 160, "id": "x",
    }  # fmt: skip
    assert line["parts-metadata"]["objects"] == [{"confidence": 0.9}, {"confidence": 0.8}]


def test_a_removed_box_removes_its_class() -> None:
    """Classes that no box used before are kept."""
    line = json.loads(format_line(attrs.evolve(parse_line(BOXED), boxes=(COIL,))))

    assert line["parts-metadata"]["class-map"] == {"1": "coil", "7": "never"}
    assert line["parts-metadata"]["objects"] == [{"confidence": 0.8}]


def test_a_renamed_and_a_new_box() -> None:
    """A box with another label keeps its confidence; a new one gets 1."""
    new = BoundingBox("fuse", 1, 2, 30, 40)
    image = attrs.evolve(parse_line(BOXED), boxes=(attrs.evolve(DIODE, label="led"), COIL, new))
    line = format_line(image)

    assert parse_line(line).boxes == image.boxes
    assert json.loads(line)["parts-metadata"]["objects"] == [
        {"confidence": 0.9}, {"confidence": 0.8}, {"confidence": 1},
    ]  # fmt: skip


def test_a_new_size_is_written() -> None:
    """The size of the image takes precedence over that of the line."""
    image = attrs.evolve(parse_line(BOXED), size=ImageSize(640, 480))

    assert parse_line(format_line(image)).size == ImageSize(640, 480)


def test_a_new_line_has_the_format_of_the_console() -> None:
    """The attribute is named after the label, has the value 1, and metadata as recorded from the service."""
    line = json.loads(format_line(LabelledImage("s3://b/1.jpg", ["rust"]), created="2024-03-01T09:30:00"))

    assert line == {
        "source-ref": "s3://b/1.jpg",
        "rust": 1,
        "rust-metadata": {
            "class-name": "rust",
            "confidence": 1,
            "type": "groundtruth/image-classification",
            "human-annotated": "yes",
            "creation-date": "2024-03-01T09:30:00",
            "job-name": "labeling-job/rust",
        },
    }


def test_labels_and_boxes_in_one_new_line() -> None:
    """A line can have both."""
    image = LabelledImage("s3://b/1.jpg", ["rust"], [DIODE, COIL], ImageSize(1280, 960))
    read = parse_line(format_line(image))

    assert (read.labels, read.boxes, read.size) == (("rust",), (DIODE, COIL), ImageSize(1280, 960))


@pytest.mark.parametrize(
    "labels",
    [
        ("rust", "rust-metadata"),
        ("rust-metadata", "rust"),
        ("source-ref",),
        ("cl", "errors", "warnings", "cl-errors", "cl-metadata"),
        ("rust", "rust"),
        ("bounding-box", "bounding-box-metadata"),
        ("a", "a-2", "a", "a-2-metadata"),
        ('"', "\\", "\n", "\x00", "\ud800", "ü", "<script>alert(1)</script>"),
    ],
)
def test_labels_with_clashing_keys(labels: tuple[str, ...]) -> None:
    """Every label is read again, whatever keys it would clash with."""
    image = LabelledImage("s3://b/1.jpg", labels, [DIODE], ImageSize(640, 480))
    read = parse_line(format_line(image))

    assert labels == read.labels
    assert read.boxes == (DIODE,)


def test_dates_are_written_in_utc() -> None:
    """Datetimes are converted to UTC, strings are unchanged, and there is a fixed default."""
    summer = timezone(timedelta(hours=2))
    image = LabelledImage("s3://b/1.jpg", ["a"])

    def date(created: datetime | str | None) -> str:
        metadata: dict[str, Any] = json.loads(format_line(image, created=created))["a-metadata"]
        return str(metadata["creation-date"])

    assert date(datetime(2024, 3, 1, 9, 30, tzinfo=summer)) == "2024-03-01T07:30:00.000Z"
    assert date("yesterday") == "yesterday"
    assert date(None) == "1970-01-01T00:00:00"


def test_boxes_need_a_size() -> None:
    """A manifest has the size beside the boxes."""
    with pytest.raises(InvalidManifest, match="has boxes but no size"):
        format_line(LabelledImage("s3://b/1.jpg", boxes=[DIODE]))


def test_attributes_must_be_json() -> None:
    """Other values raise an error."""
    with pytest.raises(InvalidManifest, match="not a JSON value"):
        format_line(LabelledImage("s3://b/1.jpg", attributes={"when": object()}))


def test_boxes_must_be_finite() -> None:
    """JSON cannot represent infinity."""
    box = attrs.evolve(DIODE, left=float("inf"))
    with pytest.raises(InvalidManifest, match="finite"):
        format_line(LabelledImage("s3://b/1.jpg", boxes=[box], size=ImageSize(640, 480)))


def test_labels_must_not_be_a_string() -> None:
    """A string instead of a list of labels is a common mistake."""
    with pytest.raises(InvalidInput, match=r"labels=\['rust'\]"):
        LabelledImage("s3://b/1.jpg", labels="rust")


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("", "ERROR_INVALID_JSON_LINE", "blank"),
        ("{", "ERROR_INVALID_JSON_LINE", "cut off"),
        ("[1]", "ERROR_INVALID_JSON_LINE", "not an object"),
        ('{"source-ref":"s3://b/1.jpg","x":NaN}', "ERROR_INVALID_JSON_LINE", "NaN"),
        ('{"source-ref":"s3://b/1.jpg","x":' + "9" * 5000 + "}", "ERROR_INVALID_JSON_LINE", "digits"),
        ('{"x":' + "[" * 40_000 + "]" * 40_000 + "}", "ERROR_INVALID_JSON_LINE", "deep"),
        ('{"x":"\ud800"}', "ERROR_INVALID_JSON_LINE", "surrogate"),
        (" " * 100_001, "LINE_TOO_LONG", "100,001 characters"),
        ('{"source_ref":"s3://b/1.jpg"}', "ERROR_MISSING_SOURCE_REF", "s3://bucket/key"),
        ('{"source-ref":7}', "ERROR_INVALID_SOURCE_REF_FORMAT", "7"),
        (CLASSIFIED.replace("class-name", "name"), "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT", "class"),
        (BOXED.replace('"left":100', '"left":"100"'), "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT", "'left'"),
        (BOXED.replace('"class_id":1', '"class_id":2'), "ERROR_MISSING_CLASS_MAP_ID", "class id 2"),
    ],
)  # fmt: skip
def test_lines_that_cannot_be_read(line: str, code: str, message: str) -> None:
    """The error has the line number, the reason and the service's code."""
    with pytest.raises(InvalidManifest, match=message) as caught:
        parse_line(line, line=3)

    assert caught.value.code == code
    assert caught.value.line == 3
    assert str(caught.value).startswith("Line 3 of the manifest ")


def test_all_kinds_of_sources_are_read(tmp_path: Path) -> None:
    """Paths, bytes, open files and lines work; a byte order mark, CRLF and blank lines are accepted."""
    text = f"{CLASSIFIED}\r\n\r\n{BOXED}"
    path = tmp_path / "train.manifest"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    expected = [parse_line(CLASSIFIED), parse_line(BOXED)]

    with path.open("rb") as file:
        assert expected == list(read_manifest(file))
    with path.open(encoding="utf-8-sig") as file:
        assert expected == list(read_manifest(file))
    assert expected == list(read_manifest(path))
    assert expected == list(read_manifest(str(path)))
    assert expected == list(read_manifest(text.encode()))
    assert expected == list(read_manifest(iter([CLASSIFIED, BOXED])))
    assert expected == list(read_manifest([CLASSIFIED.encode() + b"\n", BOXED.encode()]))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"\xff\xfe{\x00", "UTF-16"),
        ("{}".encode("utf-16-le"), "UTF-16"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "binary"),
        ("nowhere.manifest", "Cannot read nowhere"),
        ("s3://b/train.manifest", "is in S3"),
        (CLASSIFIED, "as bytes"),
        ([7], r"one is 7 \(int\)"),
    ],
)
def test_sources_that_are_not_manifests(source: Any, message: str) -> None:
    """The error says what the source is and what to do."""
    with pytest.raises(InvalidManifest, match=message):
        list(read_manifest(source))


def test_an_open_text_file_that_is_not_utf8() -> None:
    """Python's error is raised as InvalidManifest."""
    with pytest.raises(InvalidManifest, match="not UTF-8"):
        list(read_manifest(io.TextIOWrapper(io.BytesIO(b'{"\xff'), encoding="utf-8")))


def test_a_line_that_is_not_utf8() -> None:
    """The error has its line number and column."""
    with pytest.raises(InvalidManifest, match=r"Line 2 .* not UTF-8 text \(column 17\)"):
        list(read_manifest(b'{"source-ref":"a"}\n{"source-ref":"\xc3\xbc\xff"}'))


def test_a_huge_line_is_not_kept_in_memory() -> None:
    """The reader raises an error for a line of 50 MB."""

    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1, /) -> bytes:
            self.given += 1
            return b"x" * size if self.given < 800 else b""

    with pytest.raises(InvalidManifest, match="bytes; at most") as caught:
        list(read_manifest(Endless()))

    assert caught.value.code == "LINE_TOO_LONG"


def test_a_manifest_is_written_and_read_again(tmp_path: Path) -> None:
    """The file has all images, and no temporary file remains."""
    images = [parse_line(CLASSIFIED), parse_line(BOXED)]
    path = tmp_path / "out.manifest"

    assert write_manifest(iter(images), path) == 2
    assert images == list(read_manifest(path))
    assert [path] == list(tmp_path.iterdir())
    buffer = io.BytesIO()
    assert write_manifest(images, buffer) == 2
    assert path.read_bytes() == buffer.getvalue()


def test_a_failed_write_keeps_the_previous_file(tmp_path: Path) -> None:
    """Neither the previous content is lost nor a temporary file left behind."""
    path = tmp_path / "out.manifest"
    path.write_text("old")
    with pytest.raises(InvalidManifest):
        write_manifest([LabelledImage("s3://b/1.jpg"), LabelledImage("s3://b/2.jpg", boxes=[DIODE])], path)

    assert path.read_text() == "old"
    assert [path] == list(tmp_path.iterdir())
