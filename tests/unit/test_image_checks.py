"""Every image is checked before anything is uploaded: one error lists all problems."""

from __future__ import annotations

import io
import logging
import sys
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from rekolabels.datasets._image_checks import CheckedImages, check_images
from rekolabels.errors import InvalidImage, InvalidInput, MissingExtra
from rekolabels.formats import read_folder
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest import check_manifest

Image = pytest.importorskip("PIL.Image", reason="draws images")

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ONE_KIND = (
    "Use one kind per dataset: `[i for i in images if i.boxes]` or `[i for i in images if not i.boxes]`."
)
SAME_PICTURE = "The same picture has different labels or boxes:"
KEEP_ONE = "Keep one of them, or give one image with all of its labels."
COLOURS = {"corgi": "orange", "husky": "grey"}


def draw(
    path: Path, kind: str = "PNG", size: tuple[int, int] = (80, 70), colour: str = "red", **how: Any
) -> str:
    """Write an image that is unlike all others, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, colour)
    number = zlib.crc32(path.name.encode())
    image.paste((number % 256, number // 256 % 256, number // 65536 % 256), (0, 0, size[0], size[1] // 2))
    image.save(path, kind, **how)
    return str(path)


def cut(path: str, share: float) -> str:
    """Cut the end of a file off."""
    with open(path, "r+b") as file:  # noqa: PTH123 - the paths of these tests are strings
        file.truncate(int(file.seek(0, io.SEEK_END) * share))
    return path


def check(images: Iterable[LabelledImage], *, convert: bool = False) -> CheckedImages:
    """Check images as create_datasets does."""
    return check_images(list(images), "Cannot create the datasets", convert=convert)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two labels with four images each, JPEG and PNG."""
    for label, colour in COLOURS.items():
        for number in range(2):
            draw(tmp_path / label / f"{label}-{number}.png", colour=colour)
            draw(tmp_path / label / f"{label}-{number}.jpg", "JPEG", colour=colour)
    return tmp_path


def test_good_images_pass(folder: Path) -> None:
    """Local images get their digests and sizes; images in S3 are not opened."""
    remote = LabelledImage("s3://bucket/1.jpg", ["corgi"])
    checked = check([remote, *read_folder(folder)])
    assert checked.images[0] == remote
    assert len(checked.images) == 9
    assert {len(local.digest) for local in checked.local.values()} == {64}
    assert {image.size for image in checked.images[1:]} == {ImageSize(80, 70)}


def test_the_missing_size_is_that_of_the_upright_image(tmp_path: Path) -> None:
    """Boxes are relative to the upright image, so its size goes into the manifest."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = draw(tmp_path / "a.jpg", "JPEG", exif=exif)
    [image] = check([LabelledImage(path, boxes=[BoundingBox("corgi", 1, 1, 60, 70)])]).images
    assert image.size == ImageSize(70, 80)


def test_one_error_lists_everything(folder: Path) -> None:
    """All kinds of problems, with counts, first examples and what to do; and the paths as an attribute."""
    images = list(read_folder(folder))
    bad = [
        cut(draw(folder / "bad" / "cut.jpg", "JPEG", (300, 300)), 0.6),
        cut(draw(folder / "bad" / "cut.png", "PNG", (300, 300)), 0.6),
        draw(folder / "bad" / "small.png", size=(63, 64)),
        draw(folder / "bad" / "large.png", size=(4097, 300)),
        draw(folder / "bad" / "long.png", size=(64, 1300)),
        draw(folder / "bad" / "a.webp", "WEBP"),
        str(folder / "bad" / "text.jpg"),
        str(folder / "bad" / "missing.jpg"),
    ]
    (folder / "bad" / "text.jpg").write_text("just text")
    images += [LabelledImage(path, ["pug"]) for path in bad]
    images.append(LabelledImage(images[0].source, ["husky"]))
    boxed = draw(folder / "bad" / "boxed.png")
    images.append(LabelledImage(boxed, boxes=[BoundingBox("pug", 0, 0, 9, 9)]))
    with pytest.raises(InvalidImage) as caught:
        check(images)
    assert caught.value.sources == tuple(bad)
    text = str(caught.value).replace(f"{folder}/", "")
    assert text.splitlines() == [
        "Cannot create the datasets: 8 of 18 images cannot be used. Nothing was uploaded.",
        "  Not readable (1): check the paths and permissions.",
        "    bad/missing.jpg: the file cannot be read (No such file or directory)",
        "  Damaged or cut off (2): copy or save them again.",
        *[line for line in text.splitlines() if "bad/cut." in line],
        "  Not images (1): leave them out.",
        "    bad/text.jpg: the file is neither JPEG nor PNG",
        "  Other formats than JPEG and PNG (1): use convert=True.",
        "    bad/a.webp: the file is neither JPEG nor PNG, but WebP",
        "  Too large (1): use convert=True, or scale them down.",
        "    bad/large.png: the image has 4097 x 300 pixels; 64 to 4096 a side are allowed",
        "  Too small (1): use larger versions of them.",
        "    bad/small.png: the image has 63 x 64 pixels; 64 to 4096 a side are allowed",
        "  Too long and narrow (1): crop them.",
        "    bad/long.png: the image has 64 x 1300 pixels; an aspect ratio of at most 20:1 is allowed",
        (
            "  To go on without them, read the images again and pass "
            "`[i for i in images if i.source not in error.sources]`."
        ),
        f"  1 of 18 images have bounding boxes and 17 have image-level labels only. {ONE_KIND}",
        f"  {SAME_PICTURE} corgi/corgi-0.jpg (corgi) and corgi/corgi-0.jpg (husky). {KEEP_ONE}",
    ]
    assert [line.split(": ")[0].strip() for line in text.splitlines() if "bad/cut." in line] == [
        "bad/cut.jpg",
        "bad/cut.png",
    ]
    good = [image for image in images[:8] if image.source not in caught.value.sources]
    assert len(check(good).images) == 8


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "progressive"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.97])
def test_a_truncated_image_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    """Wherever it is cut off, and with Pillow as without."""
    path = tmp_path / "a.jpg"
    how = {"progressive": True} if kind == "progressive" else {}
    noise = Image.effect_noise((300, 200), 80).convert("RGB")
    noise.save(path, "PNG" if kind == "PNG" else "JPEG", **how)
    images = [LabelledImage(str(path), ["corgi"])]
    assert len(check(images).images) == 1
    cut(str(path), share)
    with pytest.raises(InvalidImage, match=r"Damaged or cut off \(1\)"):
        check(images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "PIL", None)
        with pytest.raises(InvalidImage, match=r"Damaged or cut off \(1\)"):
            check(images)


def test_without_pillow_good_images_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files with an end pass the cheap check, also with bytes behind the end and with a thumbnail."""
    with (folder / "corgi" / "corgi-0.jpg").open("ab") as file:
        file.write(b"more")
    expected = check(read_folder(folder))
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert check(read_folder(folder)) == expected
    with pytest.raises(MissingExtra, match=r"convert=True needs the extra 'images'"):
        check(read_folder(folder), convert=True)


def test_a_thumbnail_is_not_the_end_of_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thumbnail in the EXIF block of a truncated JPEG has an end of its own."""
    small = io.BytesIO()
    Image.new("RGB", (16, 16)).save(small, "JPEG")
    path = tmp_path / "a.jpg"
    Image.effect_noise((200, 200), 80).save(path, "JPEG", exif=b"Exif\0\0" + small.getvalue())
    cut(str(path), 0.8)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(InvalidImage, match="its end is missing"):
        check([LabelledImage(str(path), ["corgi"])])


def test_labels_without_any_usable_image(folder: Path) -> None:
    """The error names labels all of whose images are in an unsupported format."""
    for number in range(7):
        draw(folder / "pug" / f"{number}.webp", "WEBP")
    draw(folder / "husky" / "one.tif", "TIFF")
    with pytest.raises(InvalidImage) as caught:
        check(read_folder(folder))
    lines = str(caught.value).splitlines()
    assert "  Other formats than JPEG and PNG (8): use convert=True." in lines
    assert "    and 3 more" in lines
    assert "  All images of these labels are among them: 'pug'." in lines


def test_the_same_picture_under_two_labels(folder: Path) -> None:
    """Copies under other names are found by their content; the message names both files and their labels."""
    content = (folder / "corgi" / "corgi-1.png").read_bytes()
    (folder / "husky" / "a copy.png").write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        check(read_folder(folder))
    assert str(caught.value).replace(f"{folder}/", "") == (
        f"Cannot create the datasets: {SAME_PICTURE} corgi/corgi-1.png (corgi) and husky/a copy.png (husky). "
        f"{KEEP_ONE} Nothing was uploaded."
    )


def test_copies_with_the_same_label(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A copy with another name is an image of its own; the same file again is used once."""
    content = (folder / "corgi" / "corgi-1.png").read_bytes()
    (folder / "corgi" / "copy.png").write_bytes(content)
    assert len(check(read_folder(folder)).images) == 9
    assert caplog.records == []
    images = list(read_folder(folder))
    assert len(check([*images, images[0]]).images) == 9
    [record] = caplog.records
    assert "are the same file; it is used once" in record.getMessage()


def test_labels_and_boxes_mixed(folder: Path) -> None:
    """The message has the counts and two lines of code; images without labels do not count."""
    images = list(read_folder(folder))
    boxes = [BoundingBox("corgi", 1, 1, 30, 30)]
    mixed = [
        LabelledImage(images[0].source, boxes=boxes),
        LabelledImage(images[1].source),
        LabelledImage("s3://bucket/1.jpg", boxes=boxes, size=ImageSize(80, 70)),
        *images[2:],
    ]
    with pytest.raises(InvalidInput) as caught:
        check(mixed)
    assert str(caught.value) == (
        "Cannot create the datasets: 2 of 9 images have bounding boxes and 6 have image-level labels only. "
        f"{ONE_KIND} Nothing was uploaded."
    )
    assert len(check(mixed[:3]).images) == 3


def test_labels_that_differ_in_case_or_spaces(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They are a warning, not an error."""
    for name in ("Corgi", "cor gi"):
        draw(folder / name / f"{name}.png")
    check(read_folder(folder))
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "The labels 'Corgi' and 'cor gi' and 'corgi' differ only in case, spaces or Unicode form; the model "
        "learns them as different labels."
    )


def test_labels_that_look_the_same(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The warning shows how they differ."""
    for name in ("caf\xe9", "cafe\u0301"):
        draw(folder / name / f"{name!a}.png")
    check(read_folder(folder))
    [record] = caplog.records
    assert r"The labels 'cafe\u0301' and 'caf\xe9' differ only in" in record.getMessage()


def test_the_rest_is_checked_as_well(folder: Path) -> None:
    """What the other images lack together is in the same error."""
    bad = cut(draw(folder / "husky" / "cut.png", size=(300, 300)), 0.5)
    with pytest.raises(InvalidImage) as caught:
        check_images(
            list(read_folder(folder)),
            "Cannot create the datasets",
            convert=False,
            check_rest=lambda good: [f"Of the other {len(good)} images: none."],
        )
    assert str(caught.value).endswith("\n  Of the other 8 images: none.")
    assert caught.value.sources == (bad,)


def test_hostile_paths(tmp_path: Path) -> None:
    """Folders, invalid names and URLs are unreadable files, not exceptions of other kinds."""
    for source in (str(tmp_path), "nul\0character", "https://example.org/1.jpg", "x" * 5000):
        with pytest.raises(InvalidImage, match=r"Not readable \(1\)"):
            check([LabelledImage(source, ["corgi"])])


def test_memory_is_flat(tmp_path: Path) -> None:
    """No content is kept: of 50 images of 400 kB each, only those in work are in memory."""
    paths = []
    for number in range(50):
        paths.append(str(tmp_path / f"{number}.bmp"))
        Image.effect_noise((370, 370), 80).convert("RGB").save(paths[-1], "BMP")
    images = [LabelledImage(path, ["corgi"]) for path in paths]
    tracemalloc.start()
    try:
        check(images, convert=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * 410_000


def test_check_manifest_reports_the_same(folder: Path) -> None:
    """The report says that create_datasets refuses the images, and why."""
    assert check_manifest(read_folder(folder), open_images=True).ok
    cut(draw(folder / "husky" / "cut.png", size=(300, 300)), 0.5)
    (folder / "husky" / "copy.png").write_bytes((folder / "corgi" / "corgi-1.png").read_bytes())
    report = check_manifest(read_folder(folder), open_images=True)
    [issue] = [issue for issue in report if issue.code == "IMAGES_REFUSED"]
    assert not report.ok
    assert issue.detail.replace(f"{folder}/", "") == (
        f"1 of 10 images cannot be used. {SAME_PICTURE} corgi/corgi-1.png (corgi) and husky/copy.png (husky)."
        f" {KEEP_ONE}"
    )
    assert report.headline().startswith(
        "Training would not start: create_datasets() refuses the images. 1 of 10"
    )


def test_a_large_file_whose_header_has_no_pixels(tmp_path: Path) -> None:
    """It is reported by its name, like any other file that is too large."""
    path = draw(tmp_path / "huge.png")
    with open(path, "r+b") as file:  # noqa: PTH123 - the paths of these tests are strings
        file.seek(16)
        file.write(bytes(8))  # width and height
        file.truncate(15 * 2**20 + 1)
    with pytest.raises(InvalidImage, match=r"huge\.png.*larger than 15 MB"):
        check([LabelledImage(path, ["corgi"])])
