"""Draw images of puppies to train with: nothing to download, and the same images on every machine.

    python examples/draw_puppies.py puppies             # 160 portraits, one folder for each breed
    python examples/draw_puppies.py meadow --boxes      # 120 meadows with puppies and bounding boxes

As in real data, some labels are wrong: four portraits are in the folder of another breed. Their file names
begin with the first letter of the right one. ``--mislabelled 0`` puts all portraits into the right folder.
Bounding boxes are written to ``instances.json``, in COCO format.
"""

from __future__ import annotations

import argparse
import math
import random
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

from rekolabels import BoundingBox, ImageSize, LabelledImage
from rekolabels.formats import write_coco

if TYPE_CHECKING:
    from collections.abc import Sequence

BREEDS = ("beagle", "corgi", "dalmatian", "husky")
SIDE = 192  # pixels; the service requires at least 64
MEADOW = (480, 360)
HEAD = 400  # puppies are drawn large and scaled down, which softens their outlines

Colour = tuple[int, int, int]
COATS: dict[str, tuple[Colour, ...]] = {
    "beagle": ((176, 116, 62), (150, 98, 54), (196, 134, 80)),
    "corgi": ((222, 150, 76), (204, 128, 62), (188, 122, 70)),
    "dalmatian": ((240, 238, 232), (232, 230, 222)),
    "husky": ((104, 110, 122), (136, 138, 146), (172, 118, 78)),  # huskies can be red, too
}
WHITE = (248, 244, 236)
DARK = (44, 36, 34)


def main() -> None:
    """Draw the images that the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder for the images")
    parser.add_argument("--boxes", action="store_true", help="draw several puppies in an image, with boxes")
    parser.add_argument("--images", type=int, help="portraits of each breed (40), or meadows (120)")
    parser.add_argument("--mislabelled", type=int, default=4, help="portraits to put into a wrong folder")
    parser.add_argument("--seed", type=int, default=7, help="another seed draws other images")
    options = parser.parse_args()
    images = (120 if options.boxes else 40) if options.images is None else options.images
    if images < 1:
        parser.error(f"--images is {images}; expected 1 or more")
    if not 0 <= options.mislabelled <= images * len(BREEDS):
        parser.error(f"--mislabelled is {options.mislabelled}; expected 0 to {images * len(BREEDS)}")
    if options.boxes:
        count = draw_meadows(options.folder, images=images, seed=options.seed)
    else:
        count = draw_portraits(
            options.folder,
            images=images,
            mislabelled=options.mislabelled,
            seed=options.seed,
        )
    print(f"{count} images in {options.folder}")


def draw_portraits(folder: Path, *, images: int, mislabelled: int, seed: int) -> int:
    """Draw portraits into one folder for each breed, some into a wrong one; return how many."""
    rng = random.Random(seed)  # noqa: S311 -- images, not secrets
    portraits = [(breed, number) for breed in BREEDS for number in range(images)]
    wrong = set(rng.sample(portraits, mislabelled))
    for breed, number in portraits:
        image = background((SIDE, SIDE), rng)
        place_puppy(image, breed, rng, size=rng.uniform(0.62, 0.95) * SIDE)
        image = add_camera_effects(image, rng)
        label = BREEDS[(BREEDS.index(breed) + 1) % len(BREEDS)] if (breed, number) in wrong else breed
        path = folder / label / f"{breed[0]}{number:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=85)
    return len(portraits)


def draw_meadows(folder: Path, *, images: int, seed: int) -> int:
    """Draw meadows with one to three puppies, and write their boxes; return how many."""
    rng = random.Random(seed)  # noqa: S311 -- images, not secrets
    folder.mkdir(parents=True, exist_ok=True)
    labelled: list[LabelledImage] = []
    for number in range(images):
        image = background(MEADOW, rng)
        boxes: list[BoundingBox] = []
        # One puppy in a column at most, so that they do not overlap.
        for column in rng.sample(range(3), rng.randint(1, 3)):
            breed = rng.choice(BREEDS)
            left, top, right, bottom = place_puppy(
                image, breed, rng, size=rng.uniform(95, 150), column=(column, 3)
            )
            boxes.append(BoundingBox(breed, left, top, right - left, bottom - top))
        name = f"{number:03}.jpg"
        add_camera_effects(image, rng).save(folder / name, quality=85)
        labelled.append(LabelledImage(name, boxes=boxes, size=ImageSize(*MEADOW)))
    write_coco(labelled, folder / "instances.json")
    return len(labelled)


def place_puppy(
    image: Image.Image, breed: str, rng: random.Random, *, size: float, column: tuple[int, int] = (0, 1)
) -> tuple[int, int, int, int]:
    """Draw a puppy in one column of an image, and return its box: left, top, right, bottom."""
    head = draw_head(breed, rng)
    if rng.random() < 0.5:  # noqa: PLR2004 -- half of them look the other way
        head = head.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    head = head.rotate(rng.uniform(-24, 24), Image.Resampling.BICUBIC)
    head = head.crop(head.getbbox())
    shrink = size / max(head.size)
    head = head.resize((round(head.width * shrink), round(head.height * shrink)), Image.Resampling.LANCZOS)
    index, columns = column
    width = image.width // columns
    left = index * width + round(rng.uniform(0.1, 0.9) * max(0, width - head.width))
    top = round(rng.uniform(0.1, 0.9) * max(0, image.height - head.height))
    image.paste(head, (left, top), head)
    return left, top, left + head.width, top + head.height


def draw_head(breed: str, rng: random.Random) -> Image.Image:
    """Draw the head of a puppy on a transparent background."""
    head = Image.new("RGBA", (HEAD, HEAD))
    pen = ImageDraw.Draw(head)
    coat = shade(rng.choice(COATS[breed]), rng, 14)
    ears = {"beagle": shade((112, 66, 38), rng, 12), "dalmatian": DARK}.get(breed, coat)
    hang = rng.uniform(-14, 14)
    if breed in {"beagle", "dalmatian"}:
        for left in (52, 278):
            pen.ellipse((left, 110, left + 72, 290 + hang), fill=ears)
    else:
        tall = rng.uniform(20, 50) if breed == "corgi" else rng.uniform(50, 76)
        for outer, tip, inner in ((96, 84 + hang, 180), (304, 316 + hang, 220)):
            pen.polygon([(outer, 180), (tip, tall), (inner, 112)], fill=ears)
            middle = (outer + inner) / 2
            pen.polygon(
                [(middle - 24, 160), ((tip + middle) / 2, tall + 42), (middle + 24, 136)],
                fill=shade((214, 160, 150), rng, 10),
            )
    pen.ellipse((92, 92, 308, 330), fill=coat)
    if breed == "husky":  # the mask
        pen.ellipse((112, 176, 288, 326), fill=WHITE)
        pen.ellipse((128, 150, 186, 214), fill=WHITE)
        pen.ellipse((214, 150, 272, 214), fill=WHITE)
        pen.polygon([(186, 214), (200, 112), (214, 214)], fill=coat)
    elif breed in {"beagle", "corgi"}:  # the blaze
        broad = rng.uniform(8, 26)
        pen.polygon([(200 - broad / 2, 98), (200 + broad / 2, 98), (236, 250), (164, 250)], fill=WHITE)
    else:
        for _ in range(rng.randint(9, 16)):  # the spots
            angle, distance, radius = rng.uniform(0, 2 * math.pi), rng.uniform(30, 92), rng.uniform(7, 15)
            x, y = 200 + distance * math.cos(angle), 205 + distance * math.sin(angle)
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=DARK)
    draw_face(pen, breed, rng)
    return head


def draw_face(pen: ImageDraw.ImageDraw, breed: str, rng: random.Random) -> None:
    """Draw the muzzle, nose and eyes, and sometimes a tongue."""
    if rng.random() < 0.5:  # noqa: PLR2004 -- half of them pant
        pen.ellipse((182, 284, 218, 348), fill=(226, 112, 120))
    pen.ellipse((142, 222, 258, 320), fill=WHITE)
    pen.ellipse((176, 226, 224, 262), fill=DARK)
    pen.line((200, 262, 200, 292), fill=DARK, width=5)
    pen.arc((164, 262, 200, 304), 20, 160, fill=DARK, width=5)
    pen.arc((200, 262, 236, 304), 20, 160, fill=DARK, width=5)
    iris = (88, 152, 206) if breed == "husky" and rng.random() < 0.7 else (70, 44, 30)  # noqa: PLR2004
    for x in (152, 248):
        pen.ellipse((x - 17, 168, x + 17, 202), fill=iris)
        pen.ellipse((x - 9, 176, x + 9, 194), fill=(12, 10, 10))
        pen.ellipse((x - 3, 176, x + 4, 183), fill=WHITE)


def background(size: tuple[int, int], rng: random.Random) -> Image.Image:
    """Draw a meadow, a carpet or a wall."""
    backgrounds: Sequence[tuple[Colour, Colour]] = (
        ((150, 196, 232), (92, 146, 70)),
        ((214, 204, 190), (142, 108, 84)),
        ((188, 178, 196), (120, 124, 140)),
    )
    upper, lower = (shade(colour, rng, 26) for colour in rng.choice(backgrounds))
    image = Image.new("RGB", size, upper)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, size[1] * rng.uniform(0.3, 0.7), *size), fill=lower)
    for _ in range(rng.randint(4, 12)):  # flowers or toys
        x, y, wide = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(3, 16)
        pen.ellipse((x, y, x + wide, y + wide), fill=shade((170, 150, 120), rng, 80))
    return image


def add_camera_effects(image: Image.Image, rng: random.Random) -> Image.Image:
    """Vary the brightness and colour, and add blur and grain."""
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.6, 1.25))
    image = ImageEnhance.Color(image).enhance(rng.uniform(0.3, 1.1))
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 1.6)))
    grain = Image.frombytes("L", image.size, rng.randbytes(image.width * image.height))
    grain = grain.point([128 + round((value - 128) * 0.18) for value in range(256)])
    return ImageChops.add(image, Image.merge("RGB", [grain] * 3), 1, -128)


def shade(colour: Colour, rng: random.Random, limit: float) -> Colour:
    """Return a slightly lighter or darker colour."""
    change = rng.uniform(-limit, limit)
    red, green, blue = (min(255, max(0, round(value + change))) for value in colour)
    return red, green, blue


if __name__ == "__main__":
    main()
