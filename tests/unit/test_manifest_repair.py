"""Repairing manifests: repairs, remaining issues, and their report."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from rekolabels.errors import InvalidManifest
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest import format_line, parse_line, repair_manifest

if TYPE_CHECKING:
    from pathlib import Path

DATE = "2024-03-01T09:30:00"


def labelled(key: str = "1.jpg", label: str = "rust") -> dict[str, Any]:
    """Return a valid line with a label."""
    line: dict[str, Any] = json.loads(format_line(LabelledImage(f"s3://bucket/{key}", [label]), created=DATE))
    return line


def boxed(*places: tuple[float, float, float, float], size: ImageSize | None = None) -> dict[str, Any]:
    """Return a line with boxes."""
    boxes = [BoundingBox("coil", *place) for place in places]
    image = LabelledImage("s3://bucket/1.jpg", boxes=boxes, size=size or ImageSize(640, 480))
    line: dict[str, Any] = json.loads(format_line(image, created=DATE))
    return line


def repaired(*lines: Any, **arguments: Any) -> tuple[list[str], list[str]]:
    """Return the repaired lines and the descriptions of the repairs."""
    file = io.BytesIO()
    texts = [line if isinstance(line, str) else json.dumps(line, separators=(",", ":")) for line in lines]
    report = repair_manifest(texts, file, created=DATE, **arguments)
    return file.getvalue().decode().splitlines(), [repair.description for repair in report.repairs]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ((-1, -0.5, 20, 20), (0, 0, 19, 19.5)),
        ((630, 470, 11, 10.25), (630, 470, 10, 10)),
        ((10, 10, 20, 20), (10, 10, 20, 20)),
    ],
)
def test_a_box_outside_by_a_pixel_is_clipped(place: Any, expected: Any) -> None:
    """Rounding errors are at most one pixel."""
    [line], repairs = repaired(boxed(place))

    assert parse_line(line).boxes == (BoundingBox("coil", *expected),)
    assert repairs == ["box clipped to the image"] * (place != expected)


@pytest.mark.parametrize(
    "place", [(-2, 10, 20, 20), (630, 10, 12, 20), (640, 10, 1, 20), (10, 10, 1, 1), (10, 10, -5, 5)]
)
def test_other_invalid_boxes_are_not_changed(place: Any) -> None:
    """It is not known what was meant."""
    line = boxed(place)
    [text], repairs = repaired(line)

    assert json.loads(text) == line
    assert repairs == []


def test_a_box_without_area_is_removed() -> None:
    """Its confidence is removed too; the other boxes keep theirs."""
    line = boxed((10, 10, 0, 20), (10, 10, 20, 20))
    line["bounding-box-metadata"]["objects"] = [{"confidence": 0.1}, {"confidence": 0.2}]
    [text], repairs = repaired(line)

    assert parse_line(text).boxes == (BoundingBox("coil", 10, 10, 20, 20),)
    assert json.loads(text)["bounding-box-metadata"]["objects"] == [{"confidence": 0.2}]
    assert repairs == ["box without area removed"]


@pytest.mark.parametrize("name", ["creation-date", "human-annotated", "confidence", "type"])
def test_missing_metadata_of_a_label_is_filled_in(name: str) -> None:
    """The repair is unambiguous."""
    line = labelled()
    del line["rust-metadata"][name]
    [text], repairs = repaired(line)

    assert json.loads(text) == labelled()
    assert len(repairs) == 1
    assert name in repairs[0]


def test_a_value_that_is_a_string_becomes_an_integer() -> None:
    """Lines of AWS's feedback solution have "0" as value. Other strings stay: nothing says which number."""
    texts, repairs = repaired(labelled() | {"rust": "-7"}, labelled("2.jpg") | {"rust": "seven"})

    assert [json.loads(text)["rust"] for text in texts] == [-7, "seven"]
    assert repairs == ["value made an integer"]


def test_missing_metadata_of_boxes_is_filled_in() -> None:
    """Type, confidences and depth are filled in, and the size becomes a list."""
    line = boxed((10, 10, 20, 20))
    del line["bounding-box-metadata"]["type"], line["bounding-box-metadata"]["objects"]
    line["bounding-box"]["image_size"] = {"width": 640, "height": 480}
    [text], repairs = repaired(line)

    assert json.loads(text) == boxed((10, 10, 20, 20))
    assert len(repairs) == 4


def test_a_missing_size_is_taken_from_the_image() -> None:
    """This needs open_images."""
    image = pytest.importorskip("PIL.Image", reason="Pillow comes with the extra local")
    buffer = io.BytesIO()
    image.new("RGB", (640, 480)).save(buffer, "PNG")
    line = boxed((10, 10, 20, 20))
    del line["bounding-box"]["image_size"]

    [untouched], no_repairs = repaired(line)
    [text], repairs = repaired(line, open_images=True, open_image=lambda _: buffer.getvalue())

    assert (json.loads(untouched), no_repairs) == (line, [])
    assert parse_line(text).size == ImageSize(640, 480)
    assert repairs == ["image_size filled in from the image"]


def test_repeated_lines_are_removed() -> None:
    """Only lines with the same labels are removed; a line with other labels remains an issue."""
    file = io.BytesIO()
    other = json.dumps(labelled(label="clean"))
    report = repair_manifest([json.dumps(labelled()), "", json.dumps(labelled()), other], file)

    assert len(file.getvalue().splitlines()) == 2
    assert [(repair.line, repair.description) for repair in report.repairs] == [
        (2, "blank line removed"),
        (3, "repeated line removed"),
    ]
    assert report.remaining.issue_counts["DUPLICATE_SOURCE_REF"] == 1
    assert "repeated line removed" in str(report)


def test_valid_lines_are_not_changed(tmp_path: Path) -> None:
    """Lines are kept byte for byte; the target may be the source, and loses its byte order mark."""
    path = tmp_path / "train.manifest"
    good = '{ "source-ref" : "s3://bucket/\u00fc.jpg", "x": 1.50 , "cl-metadata": {} }'
    path.write_bytes(b"\xef\xbb\xbf" + good.encode() + b"\n{broken\n\xff\n")
    report = repair_manifest(path, path)

    assert path.read_bytes() == good.encode() + b"\n{broken\n"
    assert dict(report.repair_counts) == {"unreadable line removed": 1, "byte order mark removed": 1}
    assert report.remaining.issue_counts["ERROR_INVALID_JSON_LINE"] == 1


def test_all_line_ends_become_newlines() -> None:
    """This includes line ends at block boundaries, and a file without a final newline."""
    line = json.dumps(labelled("x" * 1000 + ".jpg")).encode()
    lines = [line.replace(b"/x", b"/%d" % number) for number in range(100)]
    file = io.BytesIO()
    repair_manifest(b"\r\n".join(lines) + b"\r", file)

    assert file.getvalue().split(b"\n") == [*lines, b""]


def test_lines_beyond_the_limits_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check stops at the limits; the repair does not."""
    monkeypatch.setattr("rekolabels.manifest._scan.MANIFEST_BYTES", 10_000)
    lines = [labelled(f"{number}.jpg") for number in range(3000)]

    assert len(repaired(*lines)[0]) == 3000


def test_sources_that_are_not_manifests(tmp_path: Path) -> None:
    """The target is not created."""
    with pytest.raises(InvalidManifest, match="UTF-16"):
        repair_manifest(b"\xff\xfe{", tmp_path / "out")
    with pytest.raises(InvalidManifest, match="Cannot read"):
        repair_manifest(tmp_path / "nowhere", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
