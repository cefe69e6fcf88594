"""The check of labelled images that are no manifest yet."""

from __future__ import annotations

import math
import tracemalloc
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from rekolabels.errors import InvalidManifest
from rekolabels.formats import read_folder
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest import CheckedManifest, check_manifest, format_line, parse_line, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BOX = BoundingBox("rust", 10, 10, 20, 20)


def many(count: int, *, folder: str = "s3://bucket/", start: int = 0) -> Iterator[LabelledImage]:
    """Images of two labels in turn."""
    for number in range(start, start + count):
        yield LabelledImage(f"{folder}{number}.jpg", ["rust" if number % 2 else "clean"])


def codes(source: Any, **options: Any) -> list[str]:
    """What is wrong with the training images."""
    return [issue.code for issue in check_manifest(source, **options) if issue.code != "FEW_IMAGES"]


def test_images_are_checked_as_their_manifest_is() -> None:
    """In S3 the report is the same; so are the images that come out."""
    images = [*many(3000), *many(1), LabelledImage("s3://other/1.jpg", ["x" * 300])]
    lines = [format_line(image) for image in images]
    expected = check_manifest(lines, testing=lines[:20])
    report = check_manifest(iter(images), testing=images[:20])

    assert report.summary() == expected.summary()
    assert [(i.code, i.line, i.pointer) for i in report] == [(i.code, i.line, i.pointer) for i in expected]
    assert list(CheckedManifest(iter(images)).images()) == list(CheckedManifest(lines).images())


def test_a_folder_before_its_upload(tmp_path: Path) -> None:
    """Paths are no mistakes; that they are not in S3 yet is said once."""
    image = pytest.importorskip("PIL.Image")
    for number in range(20):
        path = tmp_path / ("rust" if number % 2 else "clean") / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        image.new("RGB", (100, 80)).save(path)
    report = check_manifest(read_folder(tmp_path))

    assert report.ok
    [issue] = report
    assert (issue.code, issue.level, issue.path) == ("IMAGES_NOT_UPLOADED", "ADVICE", "the images")
    assert "20 images" in issue.detail
    assert report.counts.buckets == {}
    assert report.counts.label_images == {"clean": 10, "rust": 10}


def test_the_files_are_looked_into(tmp_path: Path) -> None:
    """Where they lie; the report names those that the service would refuse, and those that are not there."""
    image = pytest.importorskip("PIL.Image")
    for number in range(12):
        image.new("RGB", (100, 80)).save(tmp_path / f"{number}.jpg")
    image.new("RGB", (10, 10)).save(tmp_path / "12.jpg")
    report = check_manifest(list(many(14, folder=f"{tmp_path}/")), open_images=True)

    assert report.ok
    wrong = [issue for issue in report if issue.code == "ERROR_INVALID_IMAGE"]
    assert [f"{tmp_path}/12.jpg", f"{tmp_path}/13.jpg"] == [issue.image for issue in wrong]
    assert "64 to 4096" in str(wrong[0])
    assert "FileNotFoundError" in str(wrong[1])


def test_a_missing_size_is_looked_up(tmp_path: Path) -> None:
    """As the upload does; without a look into the file it is said that it is missing."""
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (100, 80)).save(tmp_path / "1.jpg")
    images = [LabelledImage(str(tmp_path / "1.jpg"), boxes=[BOX, BoundingBox("rust", 90, 0, 20, 20)])]

    assert "ERROR_INVALID_BOUNDING_BOX" in codes(images, open_images=True)
    [issue] = [issue for issue in check_manifest(images) if issue.level == "LINE"]
    assert (issue.code, issue.image) == ("ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT", images[0].source)
    assert "has boxes but no size" in issue.detail


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (LabelledImage("https://example.org/1.jpg", ["rust"]), "ERROR_INVALID_SOURCE_REF_FORMAT"),
        (LabelledImage("s3://bucket", ["rust"]), "ERROR_INVALID_SOURCE_REF_FORMAT"),
        (LabelledImage(" ", ["rust"]), "ERROR_INVALID_SOURCE_REF_FORMAT"),
        (LabelledImage("1.jpg", [""]), "ERROR_INVALID_LABEL_NAME_LENGTH"),
        (LabelledImage("1.jpg", ["x" * 100_000]), "LINE_TOO_LONG"),
        (LabelledImage("1.jpg", [None]), "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT"),  # type: ignore[list-item]
        (LabelledImage("1.jpg", attributes={"a": {1}}), "ERROR_INVALID_JSON_LINE"),
        (LabelledImage("1.jpg", boxes=[BOX]), "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT"),
        (
            LabelledImage("1.jpg", boxes=[attrs.evolve(BOX, left=math.nan)], size=ImageSize(640, 480)),
            "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT",
        ),
    ],
)
def test_a_bad_image_is_an_issue(image: LabelledImage, code: str) -> None:
    """It has its number, and the images around it are checked."""
    report = check_manifest([*many(11, folder="a/"), image, *many(10, folder="b/")])

    issue = next(issue for issue in report if issue.level == "LINE")
    assert (issue.code, issue.line, issue.image) == (code, 12, image.source)
    assert (report.counts.total, report.counts.valid, report.counts.invalid) == (22, 21, 1)
    assert list(report.counts.error_lines) == [12]


def test_several_bad_images_keep_their_numbers() -> None:
    """At the beginning, at the end and side by side."""
    bad = LabelledImage("1.jpg", boxes=[BOX])
    images = [bad, bad, *many(3, folder="a/"), bad, *many(1, folder="b/"), bad]
    issues = [issue for issue in check_manifest(images) if issue.code != "DUPLICATE_SOURCE_REF"]

    assert [issue.line for issue in issues if issue.level == "LINE"] == [1, 2, 6, 8]


def test_the_same_path_twice() -> None:
    """One image, one line; but paths that differ by their first letter are two."""
    assert "DUPLICATE_SOURCE_REF" in codes([*many(20, folder="a"), *many(1, folder="a")])
    assert "DUPLICATE_SOURCE_REF" not in codes([*many(20, folder="a"), *many(20, folder="s")])


def test_a_manifest_file_does_not_name_paths() -> None:
    """The freedom is for images, not for lines."""
    line = format_line(LabelledImage("1.jpg", ["rust"]))

    assert "ERROR_INVALID_SOURCE_REF_FORMAT" in codes([line])


def test_images_and_lines_do_not_mix() -> None:
    """Nor is anything else taken; the message says what was found."""
    line = format_line(LabelledImage("s3://bucket/1.jpg", ["rust"]))
    mixed: Any = [*many(3), line]

    with pytest.raises(InvalidManifest, match="Image 4 is of type str"):
        check_manifest(mixed)
    with pytest.raises(InvalidManifest, match="one is of type LabelledImage"):
        check_manifest(list(reversed(mixed[2:])))
    wrong: Any = 5
    with pytest.raises(InvalidManifest, match="object of type int"):
        check_manifest(wrong)
    assert codes([]) == ["ERROR_EMPTY_MANIFEST"]


def test_errors_of_a_reader_are_its_own() -> None:
    """What gives out the images may fail; that is no issue of the images."""
    lines = [*map(format_line, many(3)), "{"]

    with pytest.raises(InvalidManifest, match="Line 4 of the manifest"):
        check_manifest(read_manifest(lines))


def test_images_stream() -> None:
    """Images are not gathered: memory does not grow with their number but for a few bytes each."""
    tracemalloc.start()
    try:
        report = check_manifest(many(20_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert report.counts.valid == 20_000
    assert peak < 10_000_000


def test_a_line_of_several_lines_is_written_as_one() -> None:
    """JSON may be laid out over lines; a manifest may not."""
    text = '{"source-ref": "s3://bucket/1.jpg",\n "camera": 7}\n'

    assert format_line(parse_line(text)) == '{"source-ref":"s3://bucket/1.jpg","camera":7}'
