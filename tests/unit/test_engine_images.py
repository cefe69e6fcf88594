"""Images are checked against the limits before they are decoded, and decoded as a viewer shows them."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest

from rekolabels.images import ImageSize
from rekolabels.local._engine import UnusableImage, check_image

pil = pytest.importorskip("PIL.Image", reason="the extra 'local' is not installed")

from rekolabels.local._engine._images import MAX_BYTES, decode  # noqa: E402 - it needs Pillow


def encode(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    """Encode a Pillow image."""
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def plain(width: int = 80, height: int = 96, mode: str = "RGB", color: Any = None) -> Any:
    """Make an image of one colour."""
    return pil.new(mode, (width, height), color)


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that states a size and has no pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + end


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_size_is_read_from_the_header(kind: str) -> None:
    """The header of both formats holds the size."""
    assert check_image(encode(plain(80, 96), kind)) == ImageSize(80, 96, 3)


def test_grey_images_have_one_channel() -> None:
    """The depth is the number of channels in the file."""
    assert check_image(encode(plain(mode="L"))).depth == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encode(plain(), "GIF"), "format"),
        (encode(plain(), "BMP"), "format"),
        (b"", "format"),
        (b"not an image", "format"),
        (encode(plain(63, 80)), "too small"),
        (encode(plain(4097, 300)), "too large"),
        (encode(plain(64, 1281)), "aspect ratio"),
        (png_header(100_000, 100_000), "too large"),
        (png_header(1, 0), "too small"),
        (b"\x89PNG\r\n\x1a\n" + bytes(MAX_BYTES), "too large"),
        (b"\xff\xd8\xff\xe0\x00\x10", "unreadable"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "unreadable"),
    ],
)
def test_unusable_images_are_rejected_by_their_header(data: bytes, reason: str) -> None:
    """They are rejected before any pixel is decoded, so a decompression bomb is harmless."""
    for function in (check_image, decode):
        with pytest.raises(UnusableImage) as caught:
            function(data)
        assert reason == caught.value.reason


@pytest.mark.parametrize("sides", [(64, 64), (4096, 205), (64, 1280)])
def test_the_limits_themselves_are_allowed(sides: tuple[int, int]) -> None:
    """64 and 4096 pixels and 20:1 are allowed."""
    assert check_image(encode(plain(*sides))) == ImageSize(*sides)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_truncated_images_are_unreadable(kind: str) -> None:
    """Half a file cannot be decoded, although its header is intact."""
    noise = pil.effect_noise((200, 200), 80).convert("RGB")
    data = encode(noise, kind)

    with pytest.raises(UnusableImage, match="damaged or incomplete") as caught:
        decode(data[: len(data) // 2])

    assert caught.value.reason == "unreadable"


def test_images_are_rotated_by_their_exif_orientation() -> None:
    """Size and pixels are those of the upright image."""
    image = plain(100, 200, color=(255, 0, 0))
    image.paste((0, 0, 255), (0, 0, 100, 100))  # blue above, red below
    exif = pil.Exif()
    exif[0x0112] = 6  # to be rotated 90 degrees clockwise
    data = encode(image, "JPEG", exif=exif, quality=95)

    rotated: Any = decode(data)

    assert check_image(data) == ImageSize(200, 100)
    assert rotated.size == (200, 100)
    red, _, blue = rotated.split()
    assert red.getpixel((20, 50)) > 200
    assert blue.getpixel((180, 50)) > 200


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_rotated_as_by_pillow(orientation: int) -> None:
    """JPEG and PNG, with EXIF in either byte order, match ImageOps.exif_transpose."""
    from PIL import ImageOps

    image = pil.effect_noise((90, 70), 60).convert("RGB")
    exif = pil.Exif()
    exif[0x0112] = orientation
    data = encode(image, "PNG", exif=exif)

    expected = ImageOps.exif_transpose(pil.open(io.BytesIO(data)))

    assert decode(data).tobytes() == expected.tobytes()
    assert check_image(data) == ImageSize(*expected.size)
    for exif_bytes in (
        exif.tobytes(),
        b"Exif\x00\x00MM\x00*\x00\x00\x00\x08"
        + bytes.fromhex(f"0001 0112 0003 00000001 {orientation:04x}0000 00000000"),
    ):
        assert check_image(encode(image, "JPEG", exif=exif_bytes)) == ImageSize(*expected.size)


def test_a_damaged_exif_block_is_ignored() -> None:
    """The image is used as it is stored."""
    data = encode(plain(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f")

    assert check_image(data) == ImageSize(80, 96)
    assert decode(data).size == (80, 96)


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (plain(mode="CMYK", color=(0, 255, 255, 0)), "JPEG", (255, 0, 0)),
        (plain(mode="RGBA", color=(255, 0, 0, 0)), "PNG", (255, 255, 255)),
        (plain(mode="LA", color=(0, 128)), "PNG", (127, 127, 127)),
        (plain(mode="I;16", color=0x8000), "PNG", (128, 128, 128)),
        (plain(mode="1", color=1), "PNG", (255, 255, 255)),
        (plain(color=(0, 128, 0)).quantize(4), "PNG", (0, 128, 0)),
    ],
    ids=["CMYK", "RGBA", "LA", "16 bits", "1 bit", "palette"],
)
def test_other_modes_become_rgb(image: Any, kind: str, expected: tuple[int, int, int]) -> None:
    """Transparent pixels are put on white; 16 bits are scaled, not clipped."""
    decoded = decode(encode(image, kind))

    assert decoded.mode == "RGB"
    seen: Any = decoded.getpixel((40, 40))
    assert seen == pytest.approx(expected, abs=2)


def test_large_jpegs_are_decoded_at_a_fraction() -> None:
    """The decoded image is never smaller than the side that is asked for."""
    decoded = decode(encode(plain(1600, 1200), "JPEG"), side=320)

    assert decoded.size == (800, 600)
