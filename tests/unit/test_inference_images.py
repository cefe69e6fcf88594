"""The images that detect accepts, and the conversions of detections."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from rekolabels import BoundingBox, Box, Detection, ImageSize, S3Location
from rekolabels.errors import InvalidImage, InvalidInput
from rekolabels.formats import read_coco, write_coco
from rekolabels.inference import draw, in_pixels, to_labelled_image, to_supervision
from rekolabels.inference._image import image_argument
from rekolabels.inference._pillow import MAX_BYTES
from rekolabels.manifest import read_manifest, write_manifest

if TYPE_CHECKING:
    from pathlib import Path


def noise(side: int) -> Image.Image:
    """Return an image that does not compress."""
    pixels = np.random.default_rng(1).integers(0, 255, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_images_in_memory_are_sent_without_loss() -> None:
    """Pillow images and NumPy arrays of any mode keep every pixel."""
    picture = noise(80)
    for given in (picture, np.asarray(picture), picture.convert("RGBA")):
        data = image_argument(given)
        assert isinstance(data, bytes)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), np.asarray(picture))


def test_images_are_seen_as_in_a_training() -> None:
    """Transparent parts are white, and 16 bits are scaled to 8, also in files that are re-encoded."""
    clear = Image.new("RGBA", (80, 80), (0, 0, 0, 0))
    deep = np.full((80, 80), 32_768, np.uint16)
    for given, grey in ((clear, 255), (deep, 128), (Image.fromarray(deep), 128)):
        data = image_argument(given)
        assert isinstance(data, bytes)
        assert Image.open(io.BytesIO(data)).convert("RGB").getpixel((5, 5)) == (grey, grey, grey)
    for kind in ("TIFF", "PNG"):
        file = io.BytesIO()
        large = Image.fromarray(np.full((80, 5000), 32_768, np.uint16))
        large.save(file, kind)
        data = image_argument(file.getvalue(), shrink=True)
        assert isinstance(data, bytes)
        assert Image.open(io.BytesIO(data)).convert("RGB").getpixel((5, 5)) == (128, 128, 128)


def test_images_without_pixels_are_refused() -> None:
    """Empty arrays and images, closed images and numbers have nothing to send."""
    closed = Image.new("RGB", (80, 80))
    closed.close()
    for given in (
        np.zeros((0, 80, 3), np.uint8),
        Image.new("RGB", (0, 0)),
        closed,
        np.array([], np.uint8),
        np.float64(3),
    ):
        with pytest.raises(InvalidImage):
            image_argument(given)


def test_s3_locations_are_passed_on() -> None:
    """Nothing is read or uploaded."""
    assert image_argument("s3://bucket/a b.jpg") == S3Location("bucket", "a b.jpg")
    assert image_argument(S3Location("bucket", "key")) == S3Location("bucket", "key")


def test_large_images_are_uploaded_to_s3(tmp_path: Path) -> None:
    """Images of 4 to 15 MB are uploaded; larger ones are rejected before they are read."""
    path = tmp_path / "large.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n".ljust(MAX_BYTES + 1, b"\0"))
    sent: list[tuple[int, str]] = []

    def upload(data: bytes, name: str) -> S3Location:
        sent.append((len(data), name))
        return S3Location("bucket", name)

    assert image_argument(path, upload=upload) == S3Location("bucket", "large.png")
    assert sent == [(MAX_BYTES + 1, "large.png")]
    with pytest.raises(InvalidImage, match="shrink=True"):
        image_argument(path)
    os.truncate(path, 16 * 2**20)
    with pytest.raises(InvalidImage, match="more than 15 MB"):
        image_argument(path, upload=upload)
    with pytest.raises(InvalidImage, match="more than 15 MB"), path.open("rb") as file:
        image_argument(file, upload=upload)


def rotated_photo(side: int = 2000, format: str = "JPEG") -> tuple[bytes, Image.Image]:  # noqa: A002 -- Pillow's word
    """Return a file with rotated pixels and an EXIF orientation, and the image as a viewer shows it."""
    upright = noise(side).resize((side, side // 2))
    exif = upright.getexif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise
    body = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(body, format, exif=exif, quality=100)
    return body.getvalue(), upright


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_shrink_reencodes_large_images(format: str) -> None:  # noqa: A002 -- Pillow's word
    """The result is within the limits and upright without an EXIF orientation."""
    photo, upright = rotated_photo(4200, format)
    assert len(photo) > MAX_BYTES
    data = image_argument(photo, shrink=True)
    assert isinstance(data, bytes)
    assert len(data) <= MAX_BYTES
    small = Image.open(io.BytesIO(data))
    assert small.format == "JPEG"
    assert small.getexif().get(0x0112) is None
    assert max(small.size) <= 4096
    assert small.width / small.height == pytest.approx(upright.width / upright.height, rel=0.01)
    with pytest.raises(InvalidImage, match="cannot be decoded"):
        image_argument(bytes(MAX_BYTES + 1), shrink=True)


def test_shrink_keeps_images_within_the_limits() -> None:
    """Small JPEG and PNG files are sent unchanged; other formats become JPEG."""
    picture = noise(80)
    for kind, same in (("JPEG", True), ("PNG", True), ("WEBP", False), ("TIFF", False), ("GIF", False)):
        body = io.BytesIO()
        picture.save(body, kind)
        data = image_argument(body.getvalue(), shrink=True)
        assert isinstance(data, bytes)
        assert (data == body.getvalue()) is same
        assert Image.open(io.BytesIO(data)).format == (kind if same else "JPEG")


def test_images_in_memory_are_sent_upright() -> None:
    """A Pillow image opened from a rotated photo is sent as viewers show it."""
    photo, upright = rotated_photo(200, "PNG")
    data = image_argument(Image.open(io.BytesIO(photo)))
    assert isinstance(data, bytes)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), np.asarray(upright))


def bad_images(folder: Path) -> list[tuple[object, str]]:
    """Return invalid images with their error messages."""
    empty = folder / "empty.jpg"
    empty.touch()
    text = folder / "text.txt"
    text.write_text("no image", encoding="utf-8")
    closed = text.open("rb")
    closed.close()
    return [
        (folder / "vanished.jpg", "vanished.jpg cannot be read: No such file"),
        (folder, "is a folder; expected an image"),
        ("a\0b.jpg", "cannot be read: embedded null byte"),
        (empty, "empty.jpg is empty"),
        (b"", "is empty"),
        (io.BytesIO(), "is empty"),
        (io.StringIO("no image"), "open it with mode 'rb'"),
        (closed, "cannot be read: .* closed file"),
        (np.zeros((2, 2, 2, 2), dtype=np.uint8), r"shape \(2, 2, 2, 2\) is not a valid image"),
        (np.zeros((64, 64, 3)), "array of float64 .* expected uint8"),
        ("s3://bucket", "expected an object, s3://bucket/key"),
        ("s3:///key", "Invalid S3 location"),
        ({}, r"image is \{\}; expected a path"),
        (None, "image is None; expected a path"),
    ]


def test_invalid_images_are_rejected(tmp_path: Path) -> None:
    """The error names the image and the supported types."""
    for image, message in bad_images(tmp_path):
        with pytest.raises(InvalidInput, match=message):
            image_argument(image)


def test_detections_become_a_labelled_image() -> None:
    """Boxes are in pixels and clipped to the image; each image-level label appears once."""
    found = [
        Detection("puppy", 90.0, Box(-0.1, 0.5, 0.5, 0.75)),
        Detection("indoors", 80.0),
        Detection("indoors", 70.0),
    ]
    image = to_labelled_image("s3://bucket/a.jpg", found, ImageSize(100, 200))
    assert image.labels == ("indoors",)
    assert image.boxes == (BoundingBox("puppy", 0.0, 100.0, 40.0, 100.0),)
    assert in_pixels(found[1], ImageSize(100, 200)) is None


def test_detections_can_be_written_as_training_data(tmp_path: Path) -> None:
    """Boxes survive manifests and COCO files; boxes need the size of the image, labels do not."""
    boxes = [Detection("puppy", 90.0, Box(0.25, 0.5, 0.5, 0.25)), Detection("dog", 80.0, Box(0, 0, 1, 1))]
    image = to_labelled_image("s3://bucket/a.jpg", boxes, ImageSize(640, 480))
    write_manifest([image], tmp_path / "train.manifest")
    assert [i.boxes for i in read_manifest(tmp_path / "train.manifest")] == [image.boxes]
    write_coco([image], tmp_path / "coco.json")
    assert [i.boxes for i in read_coco(tmp_path / "coco.json", images="s3://bucket/")] == [image.boxes]
    labels = to_labelled_image("s3://bucket/b.jpg", [Detection("indoors", 80.0)])
    write_manifest([labels], tmp_path / "labels.manifest")
    assert [i.labels for i in read_manifest(tmp_path / "labels.manifest")] == [("indoors",)]
    with pytest.raises(InvalidInput) as caught:
        to_labelled_image("s3://bucket/a.jpg", boxes)
    assert str(caught.value) == (
        "size is missing: the boxes of s3://bucket/a.jpg are shares of its width and height. Give "
        "size=ImageSize(width, height)."
    )


def test_boxes_are_clipped_to_the_image() -> None:
    """Boxes keep their part inside the image; each image-level label appears once."""
    found = [
        Detection("a", 90.0, Box(-0.1, -0.2, 0.5, 0.5)),
        Detection("b", 90.0, Box(0.75, 0.5, 0.5, 1.0)),
        Detection("dark", 80.0),
        Detection("dark", 70.0),
    ]
    image = to_labelled_image("a.jpg", found, ImageSize(200, 100))
    assert image.labels == ("dark",)
    assert [(b.label, b.left, b.top, b.width, b.height) for b in image.boxes] == [
        ("a", 0.0, 0.0, pytest.approx(80), pytest.approx(30)),
        ("b", 150.0, 50.0, 50.0, 50.0),
    ]


@pytest.mark.filterwarnings("ignore::UserWarning")  # supervision recommends OpenCV
def test_detections_are_converted_to_supervision() -> None:
    """Corners are in pixels, confidences are fractions, class ids are indices of labels."""
    supervision = pytest.importorskip("supervision", reason="needs the extra supervision")
    size = ImageSize(200, 100)
    found = [Detection("dog", 75.0, Box(0.25, 0.5, 0.5, 0.25)), Detection("ant", 50.0, Box(0, 0, 0.1, 0.1))]
    made = to_supervision(found, size)
    assert isinstance(made, supervision.Detections)
    np.testing.assert_allclose(made.xyxy, [[50, 50, 150, 75], [0, 0, 20, 10]])
    np.testing.assert_allclose(made.confidence, [0.75, 0.5])
    assert list(made.class_id) == [1, 0]
    assert list(made["class_name"]) == ["dog", "ant"]
    assert list(to_supervision(found, size, labels=["dog", "cat", "ant"]).class_id) == [0, 2]
    assert len(made[made.confidence > 0.6]) == 1
    assert len(to_supervision([], size)) == 0
    for wrong, labels, expected in (
        (found, ["cat"], "labels does not contain 'ant', 'dog'; expected all labels of the model."),
        (
            [*found, Detection("indoors", 80.0)],
            None,
            "Image-level labels cannot be converted: supervision.Detections has boxes only.",
        ),
    ):
        with pytest.raises(InvalidInput) as caught:
            to_supervision(wrong, size, labels=labels)
        assert str(caught.value) == expected


def test_drawings_are_upright(tmp_path: Path) -> None:
    """Every image that detect accepts can be drawn on; a rotated photo becomes upright."""
    photo, upright = rotated_photo(400, "PNG")
    path = tmp_path / "photo.png"
    path.write_bytes(photo)
    found = Detection("puppy", 90.0, Box(0.5, 0.25, 0.25, 0.5))
    with path.open("rb") as file:
        sources = [path, str(path), photo, file, Image.open(path), np.asarray(upright)]
        pictures = [draw(source, [found]) for source in sources]
    assert {picture.size for picture in pictures} == {upright.size}
    assert len({picture.tobytes() for picture in pictures}) == 1
    assert found.draw(Image.open(path)).tobytes() == pictures[0].tobytes()
    with pytest.raises(InvalidInput, match="is in S3"):
        draw("s3://bucket/a.jpg", [found])
    with pytest.raises(InvalidImage, match="cannot be decoded"):
        draw(photo[: len(photo) // 2], [found])


def test_labels_of_every_script_can_be_drawn() -> None:
    """Glyphs that the font lacks are drawn as boxes and cause no error."""
    picture = Image.new("RGB", (200, 100), "white")
    assert draw(picture, [Detection("子犬", 90.0), Detection("щенок", 80.0)]).size == (200, 100)


def test_drawing_does_not_change_the_original() -> None:
    """The copy has the line of the box; the original stays unchanged."""
    picture = Image.new("RGB", (200, 100), "white")
    drawn = draw(picture, [Detection("puppy", 90.0, Box(0.25, 0.25, 0.5, 0.5)), Detection("dog", 50.0)])
    assert picture.getcolors() == [(200 * 100, (255, 255, 255))]
    assert drawn.getpixel((50, 60)) != (255, 255, 255)
    assert drawn.getpixel((100, 60)) == (255, 255, 255)
