"""Conversion of images that the service does not take."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rekolabels import Conversion
from rekolabels.datasets._conversion import Plan, convert, make_plan, resize_boxes
from rekolabels.datasets._image_checks import check_images
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest._image_probe import Probe, probe

Image = pytest.importorskip("PIL.Image", reason="the extra images")
ImageOps = pytest.importorskip("PIL.ImageOps", reason="the extra images")

if TYPE_CHECKING:
    from pathlib import Path


def encode(image: Any, kind: str, **how: Any) -> bytes:
    """Return an image file."""
    body = io.BytesIO()
    image.save(body, kind, **how)
    return body.getvalue()


def picture(width: int = 120, height: int = 80, mode: str = "RGB") -> Any:
    """Return an image that is red on the left, and blue in the right half."""
    image = Image.new("RGB", (width, height), "red")
    image.paste("blue", (width // 2, 0, width, height))
    return image.convert(mode)


def exif(orientation: int) -> Any:
    """Return an EXIF block."""
    block = Image.Exif()
    block[0x0112] = orientation
    return block


def opened(content: bytes) -> Any:
    """Open an image."""
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize(
    ("content", "reasons", "kind"),
    [
        (encode(picture(), "WEBP"), ("WebP",), "JPEG"),
        (encode(picture(), "TIFF"), ("TIFF",), "PNG"),
        (encode(picture(), "BMP"), ("BMP",), "PNG"),
        (encode(picture(mode="P"), "GIF"), ("GIF",), "PNG"),
        (encode(picture(mode="CMYK"), "JPEG"), ("CMYK",), "JPEG"),
        (encode(picture(mode="CMYK"), "TIFF"), ("TIFF",), "PNG"),
        (encode(Image.new("I;16", (90, 90), 40_000), "PNG"), ("16 bits per channel",), "PNG"),
        (encode(picture(5000, 2500), "JPEG"), ("5000 x 2500 pixels",), "JPEG"),
        (encode(picture(5000, 400), "PNG"), ("5000 x 400 pixels",), "PNG"),
        (encode(picture(2600, 2600), "BMP"), ("BMP",), "JPEG"),
    ],
)
def test_what_is_converted_and_to_what(content: bytes, reasons: tuple[str, ...], kind: str) -> None:
    """Lossless images stay lossless while they fit for sure; the result is one that the service takes."""
    plan = make_plan(content)
    assert isinstance(plan, Plan)
    assert (plan.reasons, plan.format) == (reasons, kind)
    converted = convert(content)
    image = opened(converted)
    assert (image.format, image.mode, image.size) == (kind, "RGB", (plan.size.width, plan.size.height))
    assert probe(converted).problem is None
    assert make_plan(converted) is None
    assert convert(content) == converted


@pytest.mark.parametrize(
    "content",
    [
        encode(picture(), "JPEG"),
        encode(picture(mode="L"), "JPEG"),
        encode(picture(), "JPEG", progressive=True, exif=exif(6)),
        encode(picture(mode="RGBA"), "PNG"),
        encode(picture(mode="P"), "PNG"),
        encode(picture(4096, 205), "PNG"),
        b"just text",
        b"",
    ],
)
def test_what_is_left_alone(content: bytes) -> None:
    """Images that the service takes are uploaded byte for byte; text is not an image."""
    assert make_plan(content) is None


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "JPEG"])
def test_the_orientation_is_applied(kind: str, orientation: int) -> None:
    """The converted image is upright, has no orientation left, and shows what a viewer shows."""
    image = picture(mode="CMYK") if kind == "JPEG" else picture()
    content = encode(image, kind, exif=exif(orientation))
    plan = make_plan(content)
    assert isinstance(plan, Plan)
    size = (80, 120) if orientation >= 5 else (120, 80)
    assert (plan.original, plan.size) == (ImageSize(*size), ImageSize(*size))
    converted = opened(convert(content))
    assert converted.size == size
    assert converted.getexif().get(0x0112) is None
    red = {1: "left", 2: "right", 3: "right", 4: "left", 5: "top", 6: "top", 7: "bottom", 8: "bottom"}
    at = {
        "left": (8, size[1] // 2),
        "right": (size[0] - 8, size[1] // 2),
        "top": (size[0] // 2, 8),
        "bottom": (size[0] // 2, size[1] - 8),
    }
    pixel = converted.getpixel(at[red[orientation]])
    assert pixel[0] > 180
    assert pixel[2] < 80


def test_pixels() -> None:
    """Transparent parts are white, 16 bits are scaled, and the first picture of several is used."""
    clear = Image.new("RGBA", (70, 70), (0, 0, 0, 0))
    assert opened(convert(encode(clear, "TIFF"))).getpixel((5, 5)) == (255, 255, 255)
    deep = Image.new("I;16", (70, 70), 32_768)
    assert opened(convert(encode(deep, "PNG"))).getpixel((5, 5)) == (128, 128, 128)
    frames = [Image.new("RGB", (70, 70), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "TIFF"):
        content = encode(frames[0], kind, save_all=True, append_images=frames[1:])
        assert opened(convert(content)).getpixel((5, 5)) == (255, 0, 0)


def test_a_file_over_15_mb_is_compressed() -> None:
    """The pixels stay, the bytes are reduced."""
    noise = Image.effect_noise((3000, 2000), 90)
    content = encode(
        Image.merge("RGB", [noise, noise.rotate(90), noise.rotate(180)]), "PNG", compress_level=1
    )
    assert len(content) > 15 * 2**20
    plan = make_plan(content)
    assert isinstance(plan, Plan)
    assert (plan.format, plan.size) == ("JPEG", ImageSize(3000, 2000))
    assert plan.reasons == (f"{len(content) / 2**20:.1f} MB",)
    assert len(convert(content)) <= 15 * 2**20


@pytest.mark.parametrize(
    ("content", "problem", "fault"),
    [
        (
            encode(picture(40, 90), "BMP"),
            "the image has 40 x 90 pixels; 64 to 4096 a side are allowed",
            "too small",
        ),
        (
            encode(picture(9000, 100), "PNG"),
            "the image has 4096 x 46 pixels; 64 to 4096 a side are allowed",
            "too small",
        ),
        (encode(picture(), "BMP")[:900], "the image cannot be decoded: ", "damaged"),
        (encode(picture(), "TIFF")[:900], "the image cannot be decoded: ", "damaged"),
        (encode(Image.new("F", (80, 80), 0.5), "TIFF"), "the image has 32 bits per pixel", "damaged"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "the image cannot be decoded: ", "damaged"),
        (b"\0\0\0\x18ftypavif", "the image cannot be decoded: ", "damaged"),
    ],
)
def test_what_cannot_be_converted(content: bytes, problem: str, fault: str) -> None:
    """The reason is one that the error can list."""
    found = make_plan(content)
    assert isinstance(found, Probe)
    assert found.problem is not None
    assert found.problem.startswith(problem)
    assert found.fault == fault


def test_images_that_pillow_does_not_open_are_too_large() -> None:
    """Not damaged: a panorama can be scaled down."""
    found = make_plan(encode(Image.new("L", (60_000, 3_000)), "JPEG"))
    assert isinstance(found, Probe)
    assert (found.fault, found.problem) == (
        "too large",
        "the image has far too many pixels; at most 89 million can be converted",
    )


def test_too_many_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that would exhaust the memory is not decoded."""
    monkeypatch.setattr("rekolabels.datasets._conversion.MAX_DECODED_PIXELS", 9_000)
    found = make_plan(encode(picture(), "BMP"))
    assert isinstance(found, Probe)
    assert found.fault == "too large"


def test_heic() -> None:
    """HEIC images are converted, and turned upright once."""
    pytest.importorskip("pi_heif", reason="the extra heic")
    heif = pytest.importorskip("pillow_heif", reason="it draws the images")
    for orientation, size in ((1, (120, 80)), (6, (80, 120))):
        body = io.BytesIO()
        heif.from_pillow(picture()).save(body, quality=90, exif=exif(orientation).tobytes())
        plan = make_plan(body.getvalue())
        assert isinstance(plan, Plan)
        assert (plan.reasons, plan.format, plan.size) == (("HEIC",), "JPEG", ImageSize(*size))
        assert opened(convert(body.getvalue())).size == size
    damaged = make_plan(body.getvalue()[:-200])
    assert isinstance(damaged, Probe)
    assert damaged.fault == "damaged"


def test_heic_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The problem names the extra."""
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    found = make_plan(b"\0\0\0\x18ftypheic")
    assert found == Probe(
        "Converting HEIC images needs the extra 'heic': pip install 'rekolabels[heic]'", "format"
    )


@pytest.mark.parametrize(
    ("frame", "box", "expected"),
    [
        (None, (100, 50, 400, 300), (50, 25, 200, 150)),
        (ImageSize(1000, 500), (100, 50, 400, 300), (50, 25, 200, 150)),
        (ImageSize(500, 250), (100, 50, 400, 200), (100, 50, 400, 200)),
        (ImageSize(2000, 1000), (0, 0, 2000, 1000), (0, 0, 500, 250)),
        (ImageSize(1000, 500), (900, 0, 200, 100), (450, 0, 100, 50)),
    ],
)
def test_boxes_are_scaled(
    frame: ImageSize | None, box: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    """They keep their places in the frame that they were drawn in."""
    plan = Plan(("WebP",), "JPEG", ImageSize(1000, 500), ImageSize(500, 250))
    image = resize_boxes(LabelledImage("a.webp", boxes=[BoundingBox("corgi", *box)], size=frame), plan)
    assert image == LabelledImage("a.webp", boxes=[BoundingBox("corgi", *expected)], size=ImageSize(500, 250))


@pytest.mark.parametrize("orientation", range(5, 9))
@pytest.mark.parametrize(
    ("kind", "mode"), [("WEBP", "RGB"), ("TIFF", "RGB"), ("JPEG", "CMYK"), ("JPEG", "RGB"), ("PNG", "RGB")]
)
def test_boxes_on_the_stored_pixels_are_turned(
    kind: str, mode: str, orientation: int, tmp_path: Path
) -> None:
    """If width and height are those before the EXIF orientation is applied, a box keeps its object."""
    image = Image.new("RGB", (120, 80), "red")
    image.paste("blue", (10, 20, 40, 70))
    path = tmp_path / "a"
    path.write_bytes(encode(image.convert(mode), kind, exif=exif(orientation)))
    box = BoundingBox("sky", 10, 20, 30, 50)
    given = LabelledImage(str(path), boxes=[box], size=ImageSize(120, 80))
    [checked] = check_images([given], "Failed", convert=True).images
    assert (checked.size, len(checked.boxes)) == (ImageSize(80, 120), 1)
    [box] = checked.boxes
    assert (box.width, box.height) == (50, 30)
    shown = ImageOps.exif_transpose(opened(path.read_bytes())).convert("RGB")
    inside = shown.crop((box.left + 6, box.top + 6, box.left + 44, box.top + 24))
    (_, red), _, (blue, _) = inside.getextrema()
    assert (red < 90, blue > 150) == (True, True)


def test_stated_sizes_that_are_wrong_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The boxes may be in the wrong places; the first image is named."""
    images: list[LabelledImage] = []
    for number, size in enumerate([(120, 80), (120, 80), (60, 40)]):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(encode(picture(), "JPEG", exif=exif(6 if number else 1), comment=str(number)))
        box = BoundingBox("corgi", 10, 10, 30, 20)
        images.append(LabelledImage(str(path), boxes=[box], size=ImageSize(*size)))
    check_images(images, "Failed", convert=False)
    [record] = caplog.records
    assert record.getMessage() == (
        f"2 images with boxes have another size than stated. First: {tmp_path / '1.jpg'} is said to have "
        "120 x 80 pixels, but has 80 x 120. Boxes that were drawn before the EXIF orientation was applied "
        "are turned with the image. Check whether the others were drawn on resized copies."
    )


def test_boxes_on_the_upright_image_stay(tmp_path: Path) -> None:
    """Without a size, boxes are relative to the image that viewers show."""
    path = tmp_path / "a.jpg"
    path.write_bytes(encode(picture(), "JPEG", exif=exif(6)))
    boxes = (BoundingBox("corgi", 10, 90, 30, 20),)
    for size in (None, ImageSize(80, 120)):
        images = [LabelledImage(str(path), boxes=boxes, size=size)]
        [checked] = check_images(images, "Failed", convert=False).images
        assert checked == LabelledImage(str(path), boxes=boxes, size=ImageSize(80, 120))


def test_a_box_at_the_edge_stays_inside() -> None:
    """No rounding error pushes a box out of the frame, where the service would ignore it."""
    for old in range(4097, 6000, 13):
        new = 4096
        plan = Plan(("x",), "JPEG", ImageSize(old, old), ImageSize(new, new))
        for left in (old / 3, old / 7, 11.1):
            box = BoundingBox("corgi", left, left, old - left, old - left)
            [scaled] = resize_boxes(LabelledImage("a", boxes=[box]), plan).boxes
            assert scaled.left + scaled.width <= new
            assert scaled.top + scaled.height <= new


def test_a_conversion_as_text() -> None:
    """The log has a line for each."""
    conversion = Conversion("a.webp", "WebP", "JPEG", ImageSize(120, 80))
    assert str(conversion) == "a.webp (WebP) to JPEG, 120 x 80 pixels"
