"""Make the images of the documentation from real runs of the tutorial on this machine.

    python tools/make_pictures.py --browser chromium

Needs the extras ``local`` and ``report``, and Chromium or Chrome for screenshots of pages. Writes to
``docs/images``. Text and lines have colours that are readable on light and on dark backgrounds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from rekolabels.formats import read_coco, read_folder
from rekolabels.inference import draw
from rekolabels.local import LocalService, find_label_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rekolabels import LabelledImage, ModelVersion
    from rekolabels.evaluation import EvaluationResult

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "images"
GREY, BLUE, RED = "#7d8590", "#2f81b7", "#d1495b"


def main() -> None:
    """Draw the puppies, train the models and write the images."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--browser", default="chromium", help="name or path of Chromium or Chrome")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_puppies(folder / "puppies")
        draw_puppies(folder / "unseen", "--images", "1", "--mislabelled", "0", "--seed", "8")
        draw_puppies(folder / "meadow", "--boxes")
        write_portraits(folder / "puppies")
        with LocalService(folder / "workspace") as service:
            write_overview(service, folder)
            write_first_model(service, folder, options.browser)
            fix_labels(folder / "puppies")
            write_second_model(service, folder)
            write_detector(service, folder)
    for path in sorted(TARGET.iterdir()):
        print(f"{path.stat().st_size / 1000:6.0f} kB  {path.relative_to(ROOT)}")


def draw_puppies(folder: Path, *arguments: str) -> None:
    """Run the drawing script of the tutorial."""
    script = ROOT / "examples" / "draw_puppies.py"
    subprocess.run([sys.executable, script, folder, *arguments], check=True)  # noqa: S603 -- our own script


def write_portraits(puppies: Path) -> None:
    """Write an image of some portraits of each folder."""
    rows = [sorted(breed.iterdir())[2:10] for breed in sorted(puppies.iterdir())]
    side = 96
    sheet = Image.new("RGB", (side * len(rows[0]), side * len(rows)))
    for row, paths in enumerate(rows):
        for column, path in enumerate(paths):
            sheet.paste(
                Image.open(path).resize((side, side), Image.Resampling.LANCZOS), (column * side, row * side)
            )
    sheet.save(TARGET / "puppies.jpg", quality=82)


def write_overview(service: LocalService, folder: Path) -> None:
    """Write the picture of the README: labelled images, the metrics of its model, and new images."""
    model = train(service, "Overview", read_folder(folder / "puppies"), test=0.2)
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


def write_first_model(service: LocalService, folder: Path, browser: str) -> None:
    """Train the first model of the tutorial; write screenshots of its page, and a threshold as SVG."""
    result = train(service, "First", read_folder(folder / "puppies")).evaluation()
    page = result.save(folder / "evaluation.html")
    for scheme in ("light", "dark"):
        take_screenshot(browser, page, TARGET / f"evaluation-page-{scheme}.png", dark=scheme == "dark")
    (TARGET / "threshold.svg").write_text(threshold_svg(result, "dalmatian"), encoding="utf-8")


def fix_labels(puppies: Path) -> None:
    """Write an image of the mislabelled portraits that cross-validation finds, and move them."""
    issues = find_label_errors(read_folder(puppies), folds=4, limit=4)
    captions = [f"in {issue.label}/\n{issue.suggestion}? {issue.score:.2f}" for issue in issues]
    paths = [Path(issue.image.source) for issue in issues]
    write_strip([Image.open(path) for path in paths], captions, TARGET / "wrong-labels.png")
    for issue, path in zip(issues, paths, strict=True):
        path.rename(puppies / str(issue.suggestion) / path.name)


def write_second_model(service: LocalService, folder: Path) -> None:
    """Train with the right labels, and write an image of detections in unseen portraits."""
    model = train(service, "Second", read_folder(folder / "puppies"))
    paths = sorted((folder / "unseen").rglob("*.jpg"))
    with model.running() as running:
        found = [running.detect(path)[0] for path in paths]
    captions = [f"{one.label}\n{one.confidence:.1f} %" for one in found]
    write_strip([Image.open(path) for path in paths], captions, TARGET / "detected.png")


def write_detector(service: LocalService, folder: Path) -> None:
    """Train a detector, and write an image of its detections in a test image."""
    meadow = folder / "meadow"
    model = train(service, "Meadow", read_coco(meadow / "instances.json", images=meadow))
    image = max(model.evaluation().images, key=lambda image: len(image.boxes))
    path = meadow / Path(image.source).name
    with model.running() as running:
        found = running.detect(path)
    draw(Image.open(path), found).save(TARGET / "meadow.jpg", quality=85)


def train(
    service: LocalService, name: str, images: Iterable[LabelledImage], *, test: float = 0.25
) -> ModelVersion:
    """Train a model as the tutorial does."""
    project = service.client(bucket="puppies").create_project(name)
    project.create_datasets(images, test=test, seed=7)
    model = project.train("v1")
    model.wait_until_trained()
    return model


def write_strip(images: Sequence[Image.Image], captions: Sequence[str], target: Path) -> None:
    """Write images side by side on a transparent background, each above its caption."""
    side, gap, text = 144, 12, 44
    strip = Image.new("RGBA", (len(images) * (side + gap) - gap, side + text))
    pen = ImageDraw.Draw(strip)
    font = ImageFont.load_default(15)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left = index * (side + gap)
        strip.paste(image.resize((side, side), Image.Resampling.LANCZOS), (left, 0))
        pen.multiline_text((left + side / 2, side + 6), caption, GREY, font, anchor="ma", align="center")
    strip.quantize(128, Image.Quantize.FASTOCTREE).save(target, optimize=True)


def threshold_svg(result: EvaluationResult, label: str) -> str:
    """Return an SVG of the model's confidence in a label, for images with and without that label."""
    threshold = result.labels[label].threshold or 0.0
    shapes = [
        f'<line x1="{x(tick)}" y1="30" x2="{x(tick)}" y2="136" stroke="{GREY}" stroke-opacity=".25"/>'
        f'<text x="{x(tick)}" y="154" text-anchor="middle">{tick}</text>'
        for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    ]
    for number, image in enumerate(result.images):
        confidence = next(one.confidence for one in image.verdicts if one.label == label)
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
    """Write a screenshot of the top of a page."""
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(  # noqa: S603 -- the browser that the user chose
            [
                browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--disable-sync", f"--user-data-dir={profile}", "--window-size=900,1290",
                f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                f"--screenshot={target}", page.as_uri(),
            ],
            check=True,
            capture_output=True,
        )  # fmt: skip
    Image.open(target).convert("RGB").quantize(160).save(target, optimize=True)


if __name__ == "__main__":
    main()
