"""Checking labelled images before they are written as a manifest."""

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
    """Yield images that alternate between two labels."""
    for number in range(start, start + count):
        yield LabelledImage(f"{folder}{number}.jpg", ["rust" if number % 2 else "clean"])


def codes(source: Any, **options: Any) -> list[str]:
    """Return the codes of the issues, without advice about their number."""
    return [issue.code for issue in check_manifest(source, **options) if issue.code != "FEW_IMAGES"]


def test_images_are_checked_like_their_manifest() -> None:
    """For images in S3, the report and the usable images are the same."""
    images = [*many(3000), *many(1), LabelledImage("s3://other/1.jpg", ["x" * 300])]
    lines = [format_line(image) for image in images]
    expected = check_manifest(lines, testing=lines[:20])
    report = check_manifest(iter(images), testing=images[:20])

    assert report.summary() == expected.summary()
    assert [(i.code, i.line, i.pointer) for i in report] == [(i.code, i.line, i.pointer) for i in expected]
    assert list(CheckedManifest(iter(images)).images()) == list(CheckedManifest(lines).images())


def test_a_folder_before_its_upload(tmp_path: Path) -> None:
    """Local paths are not errors; one issue says that they are not in S3 yet."""
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


def test_local_files_are_opened(tmp_path: Path) -> None:
    """The report names files that the service would reject and files that do not exist."""
    image = pytest.importorskip("PIL.Image")
    for number in range(12):
        image.new("RGB", (100, 80), (9 * number, 0, 0)).save(tmp_path / f"{number}.jpg")
    image.new("RGB", (10, 10)).save(tmp_path / "12.jpg")
    report = check_manifest(list(many(14, folder=f"{tmp_path}/")), open_images=True)

    assert not report.ok
    assert report.headline() == (
        "Training would not start: create_datasets() refuses the images. 2 of 14 images cannot be used."
    )
    wrong = [issue for issue in report if issue.code == "ERROR_INVALID_IMAGE"]
    assert [f"{tmp_path}/12.jpg", f"{tmp_path}/13.jpg"] == [issue.image for issue in wrong]
    assert "64 to 4096" in str(wrong[0])
    assert "FileNotFoundError" in str(wrong[1])


def test_a_missing_size_is_read_from_the_file(tmp_path: Path) -> None:
    """The upload does the same; without opening the file, the missing size is an issue."""
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
        (LabelledImage("1.jpg", attributes={"a": {1}}), "ERROR_INVALID_JSON_LINE"),
        (LabelledImage("1.jpg", boxes=[BOX]), "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT"),
        (
            LabelledImage("1.jpg", boxes=[attrs.evolve(BOX, left=math.nan)], size=ImageSize(640, 480)),
            "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT",
        ),
    ],
)
def test_a_bad_image_is_an_issue(image: LabelledImage, code: str) -> None:
    """The issue has the number of the image; the other images are checked."""
    report = check_manifest([*many(11, folder="a/"), image, *many(10, folder="b/")])

    issue = next(issue for issue in report if issue.level == "LINE")
    assert (issue.code, issue.line, issue.image) == (code, 12, image.source)
    assert (report.counts.total, report.counts.valid, report.counts.invalid) == (22, 21, 1)
    assert list(report.counts.error_lines) == [12]


def test_several_bad_images_keep_their_numbers() -> None:
    """Bad images may be first, last or adjacent."""
    bad = [LabelledImage(f"{number}.jpg", boxes=[BOX]) for number in range(4)]
    images = [*bad[:2], *many(3, folder="a/"), bad[2], *many(1, folder="b/"), bad[3]]
    issues = check_manifest(images)

    assert [issue.line for issue in issues if issue.level == "LINE"] == [1, 2, 6, 8]


def test_the_same_path_twice() -> None:
    """A local image that is given again is used once; in S3 it is an error, as in a manifest."""
    report = check_manifest([*many(20, folder="a"), *many(2, folder="a")])
    assert report.ok
    assert report.counts.total == 20
    repeated = [issue for issue in report if issue.code == "REPEATED_IMAGE"]
    assert [(issue.line, issue.image) for issue in repeated] == [(21, "a0.jpg"), (22, "a1.jpg")]
    assert repeated[0].detail == "'a0.jpg' is the same as 'a0.jpg'."
    assert "REPEATED_IMAGE" not in codes([*many(20, folder="a"), *many(1, folder="s")])
    assert "DUPLICATE_SOURCE_REF" in codes([*many(20), *many(1)])


def test_the_same_path_with_other_labels() -> None:
    """create_datasets refuses it, and the report says so."""
    report = check_manifest([*many(20, folder="a"), LabelledImage("a0.jpg", ["rust"])])
    assert not report.ok
    [issue] = [issue for issue in report if issue.code == "IMAGES_REFUSED"]
    assert "a0.jpg (clean) and a0.jpg (rust)" in issue.detail


def test_mixed_kinds_are_refused() -> None:
    """Images that are given must be of one kind, wherever they are; a manifest may mix them."""
    boxed = [LabelledImage(f"s3://bucket/b{n}.jpg", boxes=[BOX], size=ImageSize(640, 480)) for n in range(20)]
    assert "IMAGES_REFUSED" in codes([*many(20), *boxed])
    assert "IMAGES_REFUSED" not in codes(boxed)
    assert check_manifest([format_line(image) for image in (*many(20), *boxed)]).ok


def test_a_label_with_one_local_image() -> None:
    """Without test images, local images are checked as for create_datasets, which splits them."""
    images = [*many(20, folder="a"), LabelledImage("rare.jpg", ["rare"])]
    assert not check_manifest(images).ok
    assert check_manifest(images, testing=many(20, folder="b")).ok
    assert check_manifest([*many(20), LabelledImage("s3://bucket/rare.jpg", ["rare"])]).ok


def test_manifest_lines_must_not_have_local_paths() -> None:
    """Only labelled images may be local files."""
    line = format_line(LabelledImage("1.jpg", ["rust"]))

    assert "ERROR_INVALID_SOURCE_REF_FORMAT" in codes([line])


def test_images_and_lines_do_not_mix() -> None:
    """Other objects are rejected; the message shows them."""
    line = format_line(LabelledImage("s3://bucket/1.jpg", ["rust"]))
    mixed: Any = [*many(3), line]

    with pytest.raises(InvalidManifest, match=r"Image 4 is .*; expected a LabelledImage"):
        check_manifest(mixed)
    with pytest.raises(InvalidManifest, match=r"one is .* \(LabelledImage\)"):
        check_manifest(list(reversed(mixed[2:])))
    wrong: Any = 5
    with pytest.raises(InvalidManifest, match="source is 5; expected the path of a manifest"):
        check_manifest(wrong)
    assert codes([]) == ["ERROR_EMPTY_MANIFEST"]


def test_errors_of_a_reader_are_raised() -> None:
    """An error in the iterable of images is not an issue."""
    lines = [*map(format_line, many(3)), "{"]

    with pytest.raises(InvalidManifest, match="Line 4 of the manifest"):
        check_manifest(read_manifest(lines))


def test_images_are_streamed() -> None:
    """Memory grows by only a few bytes per image."""
    tracemalloc.start()
    try:
        report = check_manifest(many(20_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert report.counts.valid == 20_000
    assert peak < 10_000_000


def test_a_json_object_on_several_lines_is_written_on_one() -> None:
    """JSON may span lines; the objects of a manifest may not."""
    text = '{"source-ref": "s3://bucket/1.jpg",\n "camera": 7}\n'

    assert format_line(parse_line(text)) == '{"source-ref":"s3://bucket/1.jpg","camera":7}'
