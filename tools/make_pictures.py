"""Make the images of the documentation: run the tutorial and the page on boxes, and keep what they draw.

    python tools/make_pictures.py --browser chromium

Needs the extras ``local`` and ``report``, and Chromium or Chrome for screenshots of pages. Writes to
``docs/images``. Text and lines have colours that are readable on light and on dark backgrounds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageDraw, ImageFont

from rekolabels.formats import read_folder
from rekolabels.local import LocalService

if TYPE_CHECKING:
    from rekolabels import ModelVersion

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "contract")]

from document_pages import TUTORIAL, read_blocks, run_block  # noqa: E402 -- the same

from chromium import FLAGS  # noqa: E402 -- after the path is set

TARGET = ROOT / "docs" / "images"
DRAWN = {
    "puppies.jpg": "puppies.jpg",
    "issues.jpg": "issues.jpg",
    "detected.jpg": "detected.jpg",
    "found.jpg": "meadow.jpg",
}
"""What the pages draw, and its name in the documentation."""
GREY, BLUE, RED = "#7d8590", "#2f81b7", "#d1495b"
WIDTH, TALLEST, MARGIN = 900, 8000, 24


def main() -> None:
    """Run the pages and write the images."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--browser", default="chromium", help="name or path of Chromium or Chrome")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "puppy-challenge"
        folder.mkdir()
        shutil.copytree(ROOT / "examples", folder.parent / "examples")
        os.chdir(folder)
        for page in (TUTORIAL, ROOT / "docs" / "boxes.md"):
            run(page, folder)
        for drawn, image in DRAWN.items():
            shutil.copy(folder / drawn, TARGET / image)
        with LocalService("workspace") as service:
            model = service.client(bucket="puppies").project("PuppyChallenge").model("v1")
            (TARGET / "threshold.svg").write_text(threshold_svg(model, "dalmatian"), encoding="utf-8")
        for scheme in ("light", "dark"):
            target = TARGET / f"evaluation-page-{scheme}.png"
            take_screenshot(options.browser, folder / "evaluation.html", target, dark=scheme == "dark")
        os.chdir(ROOT)
        write_overview(Path(name) / "overview")
    for path in sorted(TARGET.iterdir()):
        print(f"{path.stat().st_size / 1000:6.0f} kB  {path.relative_to(ROOT)}")


def run(page: Path, folder: Path) -> None:
    """Run the blocks of a page."""
    names: dict[str, object] = {"__name__": "__main__"}
    for block in read_blocks(page):
        print(run_block(block, folder, names) or "", end="")


def write_overview(folder: Path) -> None:
    """Write the picture of the README: labelled images, the metrics of its model, and new images."""
    draw_puppies(folder / "puppies")
    draw_puppies(folder / "unseen", "--images", "1", "--mislabelled", "0", "--seed", "8")
    with LocalService(folder / "workspace") as service:
        project = service.client(bucket="puppies").create_project("Overview")
        project.create_datasets(read_folder(folder / "puppies"), test=0.2, seed=7)
        model = project.train("v1")
        model.wait_until_trained()
        result = model.evaluation()
        with model.running() as running:
            found = {path: running.detect(path)[0] for path in sorted((folder / "unseen").rglob("*.jpg"))}
    picture = Image.new("RGBA", (1600, 480))
    pen = ImageDraw.Draw(picture)
    text, title = ImageFont.load_default(24), ImageFont.load_default(28)
    for left, heading in ((0, "your labelled images"), (640, "F1 score of the model"), (1150, "new images")):
        pen.text((left + 225, 0), heading, GREY, title, anchor="ma")
    for middle in (570, 1080):
        pen.line([(middle, 230), (middle + 24, 260), (middle, 290)], GREY, 5, joint="curve")

    for row, breed in enumerate(sorted(result.labels)):
        top = 60 + 106 * row
        pen.text((118, top + 48), f"{breed}/", GREY, text, anchor="rm")
        for column, path in enumerate(sorted((folder / "puppies" / breed).iterdir())[2:6]):
            picture.paste(thumbnail(path, 96), (134 + 102 * column, top))
        f1 = result.labels[breed].f1 or 0.0
        pen.text((758, top + 48), breed, GREY, text, anchor="rm")
        pen.rounded_rectangle((774, top + 30, 774 + 220 * f1, top + 66), 6, BLUE)
        pen.text((1006, top + 48), f"{f1:.3f}", GREY, text, anchor="lm")

    for number, (path, detected) in enumerate(found.items()):
        left, top = 1180 + 216 * (number % 2), 60 + 212 * (number // 2)
        picture.paste(thumbnail(path, 160), (left, top))
        caption = f"{detected.label} {detected.confidence:.1f} %"
        pen.text((left + 80, top + 166), caption, GREY, text, anchor="ma")
    picture.quantize(200, Image.Quantize.FASTOCTREE).save(TARGET / "overview.png", optimize=True)


def thumbnail(path: Path, side: int) -> Image.Image:
    """Return a square image in another size."""
    return Image.open(path).resize((side, side), Image.Resampling.LANCZOS)


def draw_puppies(folder: Path, *arguments: str) -> None:
    """Run the drawing script of the tutorial."""
    script = ROOT / "examples" / "draw_puppies.py"
    subprocess.run([sys.executable, script, folder, *arguments], check=True)  # noqa: S603 -- our own script


def threshold_svg(model: ModelVersion, label: str) -> str:
    """Return an SVG of the model's confidence in a label, for test images with and without that label."""
    result = model.evaluation()
    images = list(result.images)
    with model.running() as running:  # the evaluation lists no confidence below a threshold
        found = [running.detect(image.source, min_confidence=0) for image in images]
    threshold = result.labels[label].threshold or 0.0
    shapes = [
        f'<line x1="{x(tick)}" y1="30" x2="{x(tick)}" y2="136" stroke="{GREY}" stroke-opacity=".25"/>'
        f'<text x="{x(tick)}" y="154" text-anchor="middle">{tick}</text>'
        for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    ]
    for number, (image, detections) in enumerate(zip(images, found, strict=True)):
        confidence = next(one.confidence / 100 for one in detections if one.label == label)
        has_label = label in image.labels
        cx = x(confidence)
        cy = (62 if has_label else 118) + 5 * (number % 7 - 3)  # spread dots that would overlap
        colour = BLUE if has_label is (confidence >= threshold) else RED
        shapes.append(f'<circle cx="{cx}" cy="{cy}" r="3.2" fill="{colour}"/>')
    threshold_x = x(threshold)
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 176">',
        f'<g font-family="sans-serif" font-size="12" fill="{GREY}">',
        f'<text x="128" y="66" text-anchor="end">{label}</text>',
        '<text x="128" y="122" text-anchor="end">something else</text>',
        *shapes,
        f'<path d="M{threshold_x} 22V136" stroke="{GREY}" stroke-width="2" stroke-dasharray="5 4"/>',
        f'<text x="{threshold_x}" y="14" text-anchor="middle">assumed threshold {threshold:.2f}</text>',
        f'<text x="{x(0.5)}" y="172" text-anchor="middle">confidence of “{label}”</text>',
        "</g></svg>\n",
    ]
    return "\n".join(parts)


def x(confidence: float) -> float:
    """Return the horizontal position of a confidence."""
    return round(150 + 550 * confidence, 1)


def take_screenshot(browser: str, page: Path, target: Path, *, dark: bool) -> None:
    """Write a screenshot of a whole page, without the empty space below it."""
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(  # noqa: S603 -- the browser that the user chose
            [
                browser, *FLAGS, "--hide-scrollbars", f"--user-data-dir={profile}",
                f"--window-size={WIDTH},{TALLEST}",
                f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                f"--screenshot={target}", page.as_uri(),
            ],
            check=True,
            capture_output=True,
        )  # fmt: skip
    image = Image.open(target).convert("RGB")
    empty = Image.new("RGB", image.size, image.getpixel((0, TALLEST - 1)))
    _, _, _, bottom = ImageChops.difference(image, empty).getbbox() or (0, 0, WIDTH, TALLEST)
    image.crop((0, 0, WIDTH, min(TALLEST, bottom + MARGIN))).quantize(160).save(target, optimize=True)


if __name__ == "__main__":
    main()
