"""What can be given as an image, and what detections can become."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from rekolabels import BoundingBox, Box, Detection, ImageSize, S3Location
from rekolabels.errors import InvalidImage, InvalidInput
from rekolabels.inference import draw, in_pixels, to_labelled_image
from rekolabels.inference._image import MAX_BYTES, image_argument

if TYPE_CHECKING:
    from pathlib import Path


def noise(side: int) -> Image.Image:
    """A picture that does not compress."""
    pixels = np.random.default_rng(1).integers(0, 255, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_pictures_in_memory_are_sent_without_loss() -> None:
    """A Pillow image and a NumPy array arrive pixel by pixel, whatever their mode."""
    picture = noise(80)
    for given in (picture, np.asarray(picture), picture.convert("RGBA")):
        data = image_argument(given)
        assert isinstance(data, bytes)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), np.asarray(picture))


def test_places_in_s3_are_passed_on() -> None:
    """Nothing is read or sent."""
    assert image_argument("s3://bucket/a b.jpg") == S3Location("bucket", "a b.jpg")
    assert image_argument(S3Location("bucket", "key")) == S3Location("bucket", "key")


def test_large_images_go_by_way_of_s3(tmp_path: Path) -> None:
    """From 4 to 15 MB they are uploaded; above they are refused before they are read."""
    path = tmp_path / "large.png"
    path.write_bytes(bytes(MAX_BYTES + 1))
    sent: list[tuple[int, str]] = []

    def upload(data: bytes, name: str) -> S3Location:
        sent.append((len(data), name))
        return S3Location("bucket", name)

    assert image_argument(path, upload=upload) == S3Location("bucket", "large.png")
    assert sent == [(MAX_BYTES + 1, "large.png")]
    with pytest.raises(InvalidImage, match="shrink=True"):
        image_argument(path)
    with path.open("ab") as file:
        file.truncate(16 * 2**20)
    with pytest.raises(InvalidImage, match="more than 15 MB"):
        image_argument(path, upload=upload)


def test_shrinking_is_done_when_it_is_allowed() -> None:
    """The result fits, shows the same picture, and keeps its orientation tag."""
    picture = noise(2000)
    exif = picture.getexif()
    exif[0x0112] = 6
    body = io.BytesIO()
    picture.save(body, "PNG", exif=exif)
    assert len(body.getvalue()) > MAX_BYTES
    data = image_argument(body.getvalue(), shrink=True)
    assert isinstance(data, bytes)
    assert len(data) <= MAX_BYTES
    small = Image.open(io.BytesIO(data))
    assert small.getexif()[0x0112] == 6
    with pytest.raises(InvalidImage, match="cannot be decoded"):
        image_argument(bytes(MAX_BYTES + 1), shrink=True)


def test_other_things_are_refused() -> None:
    """The error lists what can be given."""
    with pytest.raises(InvalidInput, match="not dict"):
        image_argument({})


def test_detections_become_labels() -> None:
    """Boxes come in pixels, cut at the frame; image-level labels are listed once."""
    found = [
        Detection("puppy", 90.0, Box(-0.1, 0.5, 0.5, 0.75)),
        Detection("indoors", 80.0),
        Detection("indoors", 70.0),
    ]
    image = to_labelled_image("s3://bucket/a.jpg", found, ImageSize(100, 200))
    assert image.labels == ("indoors",)
    assert image.boxes == (BoundingBox("puppy", 0.0, 100.0, 40.0, 100.0),)
    assert in_pixels(found[1], ImageSize(100, 200)) is None


def test_drawing_leaves_the_original_alone() -> None:
    """The copy differs inside the box's line, the original not at all."""
    picture = Image.new("RGB", (200, 100), "white")
    drawn = draw(picture, [Detection("puppy", 90.0, Box(0.25, 0.25, 0.5, 0.5)), Detection("dog", 50.0)])
    assert picture.getcolors() == [(200 * 100, (255, 255, 255))]
    assert drawn.getpixel((50, 60)) != (255, 255, 255)
    assert drawn.getpixel((100, 60)) == (255, 255, 255)
