"""Draw puppies to learn with: no photographs needed, no download, the same pictures on every machine.

    python examples/draw_puppies.py puppies             # 160 portraits, one folder for each breed
    python examples/draw_puppies.py meadow --boxes      # 120 meadows with puppies, and where they are

Nobody sorts pictures without a slip: four of the portraits lie in the wrong folder, as in life; their names
begin with the letter of the right one. ``--slips 0`` sorts well. Meadows come with ``instances.json``, their
boxes in the format of COCO.
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
SIDE = 192  # pixels of a portrait; the service asks for at least 64
MEADOW = (480, 360)
HEAD = 400  # puppies are drawn large and made smaller, which softens their outlines

Colour = tuple[int, int, int]
COATS: dict[str, tuple[Colour, ...]] = {
    "beagle": ((176, 116, 62), (150, 98, 54), (196, 134, 80)),
    "corgi": ((222, 150, 76), (204, 128, 62), (188, 122, 70)),
    "dalmatian": ((240, 238, 232), (232, 230, 222)),
    "husky": ((104, 110, 122), (136, 138, 146), (172, 118, 78)),  # the last one: huskies may be red
}
WHITE = (248, 244, 236)
DARK = (44, 36, 34)


def main() -> None:
    """Draw what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the pictures are put")
    parser.add_argument("--boxes", action="store_true", help="several puppies in a picture, with boxes")
    parser.add_argument("--images", type=int, help="for each breed (40), or meadows in all (120)")
    parser.add_argument("--slips", type=int, default=4, help="portraits that are put into a wrong folder")
    parser.add_argument("--seed", type=int, default=7, help="another seed, other puppies")
    options = parser.parse_args()
    if options.boxes:
        count = draw_meadows(options.folder, images=options.images or 120, seed=options.seed)
    else:
        count = draw_portraits(
            options.folder, images=options.images or 40, slips=options.slips, seed=options.seed
        )
    print(f"{count} pictures in {options.folder}")


def draw_portraits(folder: Path, *, images: int, slips: int, seed: int) -> int:
    """Draw portraits into a folder for each breed, some of them into the wrong one."""
    chance = random.Random(seed)  # noqa: S311 -- pictures, not secrets
    pictures = [(breed, number) for breed in BREEDS for number in range(images)]
    wrong = set(chance.sample(pictures, slips))
    for breed, number in pictures:
        picture = background((SIDE, SIDE), chance)
        place_puppy(picture, breed, chance, size=chance.uniform(0.62, 0.95) * SIDE)
        picture = as_by_a_camera(picture, chance)
        label = BREEDS[(BREEDS.index(breed) + 1) % len(BREEDS)] if (breed, number) in wrong else breed
        path = folder / label / f"{breed[0]}{number:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=85)
    return len(pictures)


def draw_meadows(folder: Path, *, images: int, seed: int) -> int:
    """Draw meadows with one to three puppies, and write down where they are."""
    chance = random.Random(seed)  # noqa: S311 -- pictures, not secrets
    folder.mkdir(parents=True, exist_ok=True)
    labelled: list[LabelledImage] = []
    for number in range(images):
        picture = background(MEADOW, chance)
        boxes: list[BoundingBox] = []
        for place in chance.sample(
            range(3), chance.randint(1, 3)
        ):  # side by side, so that none hides another
            breed = chance.choice(BREEDS)
            left, top, right, bottom = place_puppy(
                picture, breed, chance, size=chance.uniform(95, 150), column=(place, 3)
            )
            boxes.append(BoundingBox(breed, left, top, right - left, bottom - top))
        name = f"{number:03}.jpg"
        as_by_a_camera(picture, chance).save(folder / name, quality=85)
        labelled.append(LabelledImage(name, boxes=boxes, size=ImageSize(*MEADOW)))
    write_coco(labelled, folder / "instances.json")
    return len(labelled)


def place_puppy(
    picture: Image.Image, breed: str, chance: random.Random, *, size: float, column: tuple[int, int] = (0, 1)
) -> tuple[int, int, int, int]:
    """Put a puppy into a picture, in one of several columns, and return its box: left, top, right, bottom."""
    head = draw_head(breed, chance)
    if chance.random() < 0.5:  # noqa: PLR2004 -- as often as not it looks the other way
        head = head.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    head = head.rotate(chance.uniform(-24, 24), Image.Resampling.BICUBIC)
    head = head.crop(head.getbbox())
    shrink = size / max(head.size)
    head = head.resize((round(head.width * shrink), round(head.height * shrink)), Image.Resampling.LANCZOS)
    at, columns = column
    width = picture.width // columns
    left = at * width + round(chance.uniform(0.1, 0.9) * max(0, width - head.width))
    top = round(chance.uniform(0.1, 0.9) * max(0, picture.height - head.height))
    picture.paste(head, (left, top), head)
    return left, top, left + head.width, top + head.height


def draw_head(breed: str, chance: random.Random) -> Image.Image:
    """Draw the head of a puppy on a transparent ground."""
    head = Image.new("RGBA", (HEAD, HEAD))
    pen = ImageDraw.Draw(head)
    coat = shade(chance.choice(COATS[breed]), chance, 14)
    ears = {"beagle": shade((112, 66, 38), chance, 12), "dalmatian": DARK}.get(breed, coat)
    hang = chance.uniform(-14, 14)
    if breed in {"beagle", "dalmatian"}:
        for left in (52, 278):
            pen.ellipse((left, 110, left + 72, 290 + hang), fill=ears)
    else:
        tall = chance.uniform(20, 50) if breed == "corgi" else chance.uniform(50, 76)
        for outer, tip, inner in ((96, 84 + hang, 180), (304, 316 + hang, 220)):
            pen.polygon([(outer, 180), (tip, tall), (inner, 112)], fill=ears)
            middle = (outer + inner) / 2
            pen.polygon(
                [(middle - 24, 160), ((tip + middle) / 2, tall + 42), (middle + 24, 136)],
                fill=shade((214, 160, 150), chance, 10),
            )
    pen.ellipse((92, 92, 308, 330), fill=coat)
    if breed == "husky":  # the mask
        pen.ellipse((112, 176, 288, 326), fill=WHITE)
        pen.ellipse((128, 150, 186, 214), fill=WHITE)
        pen.ellipse((214, 150, 272, 214), fill=WHITE)
        pen.polygon([(186, 214), (200, 112), (214, 214)], fill=coat)
    elif breed in {"beagle", "corgi"}:  # the blaze
        broad = chance.uniform(8, 26)
        pen.polygon([(200 - broad / 2, 98), (200 + broad / 2, 98), (236, 250), (164, 250)], fill=WHITE)
    else:
        for _ in range(chance.randint(9, 16)):  # the spots
            turn, far, wide = chance.uniform(0, 2 * math.pi), chance.uniform(30, 92), chance.uniform(7, 15)
            x, y = 200 + far * math.cos(turn), 205 + far * math.sin(turn)
            pen.ellipse((x - wide, y - wide, x + wide, y + wide), fill=DARK)
    draw_face(pen, breed, chance)
    return head


def draw_face(pen: ImageDraw.ImageDraw, breed: str, chance: random.Random) -> None:
    """Draw muzzle, nose, eyes and perhaps a tongue."""
    if chance.random() < 0.5:  # noqa: PLR2004 -- every second one is out of breath
        pen.ellipse((182, 284, 218, 348), fill=(226, 112, 120))
    pen.ellipse((142, 222, 258, 320), fill=WHITE)
    pen.ellipse((176, 226, 224, 262), fill=DARK)
    pen.line((200, 262, 200, 292), fill=DARK, width=5)
    pen.arc((164, 262, 200, 304), 20, 160, fill=DARK, width=5)
    pen.arc((200, 262, 236, 304), 20, 160, fill=DARK, width=5)
    iris = (88, 152, 206) if breed == "husky" and chance.random() < 0.7 else (70, 44, 30)  # noqa: PLR2004
    for x in (152, 248):
        pen.ellipse((x - 17, 168, x + 17, 202), fill=iris)
        pen.ellipse((x - 9, 176, x + 9, 194), fill=(12, 10, 10))
        pen.ellipse((x - 3, 176, x + 4, 183), fill=WHITE)


def background(size: tuple[int, int], chance: random.Random) -> Image.Image:
    """Draw a meadow, a carpet or a wall."""
    grounds: Sequence[tuple[Colour, Colour]] = (
        ((150, 196, 232), (92, 146, 70)),
        ((214, 204, 190), (142, 108, 84)),
        ((188, 178, 196), (120, 124, 140)),
    )
    upper, lower = (shade(colour, chance, 26) for colour in chance.choice(grounds))
    picture = Image.new("RGB", size, upper)
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, size[1] * chance.uniform(0.3, 0.7), *size), fill=lower)
    for _ in range(chance.randint(4, 12)):  # flowers, toys, what lies about
        x, y, wide = chance.uniform(0, size[0]), chance.uniform(0, size[1]), chance.uniform(3, 16)
        pen.ellipse((x, y, x + wide, y + wide), fill=shade((170, 150, 120), chance, 80))
    return picture


def as_by_a_camera(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Make it less perfect: light, blur and grain."""
    picture = ImageEnhance.Brightness(picture).enhance(chance.uniform(0.6, 1.25))
    picture = ImageEnhance.Color(picture).enhance(chance.uniform(0.3, 1.1))
    picture = picture.filter(ImageFilter.GaussianBlur(chance.uniform(0.0, 1.6)))
    grain = Image.frombytes("L", picture.size, chance.randbytes(picture.width * picture.height))
    grain = grain.point([128 + round((value - 128) * 0.18) for value in range(256)])
    return ImageChops.add(picture, Image.merge("RGB", [grain] * 3), 1, -128)


def shade(colour: Colour, chance: random.Random, most: float) -> Colour:
    """A colour a little lighter or darker."""
    by = chance.uniform(-most, most)
    red, green, blue = (min(255, max(0, round(value + by))) for value in colour)
    return red, green, blue


if __name__ == "__main__":
    main()
