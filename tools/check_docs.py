"""Open each page of the documentation in Chromium, in a wide and in a narrow window (part of `make docs`).

    python tools/check_docs.py                          # docs/_build/html
    python tools/check_docs.py --screenshots FOLDER     # also write a picture of each page, light and dark

Prints the longest pages, and exits with 1 if a page is wider than its window or a page of the reference is
longer than 8,000 pixels. Without Chromium it says so and exits with 0.
"""

from __future__ import annotations

import argparse
import html
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import chromium  # noqa: E402 -- from tests/

WIDTHS = (1280, 390)
"""A laptop and a phone."""
LONGEST = 8000
"""Most pixels of a page of the reference at the first width."""
HEIGHT = 900
SHOWN = 10
NOT_READ = {"genindex", "py-modindex", "search"}
"""Pages that Sphinx adds."""

MEASURE = """
<body><script>
const rows = [];
const scrolls = (element) => {
  for (let at = element.parentElement; at; at = at.parentElement)
    if (at.ownerDocument.defaultView.getComputedStyle(at).overflowX !== "visible") return true;
  return false;
};
const measure = async (page, width) => {
  const frame = document.createElement("iframe");
  frame.style = `width: ${width}px; height: HEIGHTpx; border: 0`;
  frame.src = page;
  document.body.append(frame);
  await new Promise((done) => { frame.onload = done; });
  const root = frame.contentDocument.documentElement;
  const wide = root.scrollWidth <= width ? [] : [...frame.contentDocument.querySelectorAll("article *")]
    .filter((one) => one.getBoundingClientRect().right > width + 1 && !scrolls(one))
    .map((one) => `${one.tagName.toLowerCase()}.${one.className}: ${one.textContent.trim().slice(0, 60)}`);
  const overflow = root.scrollWidth - width;
  rows.push({page, width, height: root.scrollHeight, overflow, wide: wide.slice(0, 3)});
  frame.remove();
};
(async () => {
  for (const width of WIDTHS) for (const page of PAGES) await measure(page, width);
  document.body.dataset.rows = JSON.stringify(rows);
})();
</script></body>
"""


def main() -> int:
    """Check the pages, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("built", type=Path, nargs="?", default=ROOT / "docs" / "_build" / "html")
    parser.add_argument("--screenshots", type=Path, help="folder for pictures of all pages")
    options = parser.parse_args()
    if chromium.CHROMIUM is None:
        print("The pages were not measured: Chromium is not installed.")
        return 0
    pages = [
        page
        for page in sorted(options.built.resolve().rglob("*.html"))
        if page.stem not in NOT_READ and "_modules" not in page.parts
    ]
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(pages, Path(folder))
        if options.screenshots is not None:
            options.screenshots.mkdir(parents=True, exist_ok=True)
            for row in rows:
                take_screenshots(row, name_of(row, options.built), options.screenshots, Path(folder))
    return report(rows, options.built)


def name_of(row: dict[str, Any], built: Path) -> str:
    """Return the name of a page, such as ``reference/client``."""
    path = Path(row["page"].removeprefix("file://"))
    return path.relative_to(built.resolve()).with_suffix("").as_posix()


def measure(pages: list[Path], folder: Path) -> list[dict[str, Any]]:
    """Return the size of each page at each width."""
    text = MEASURE.replace("HEIGHT", str(HEIGHT)).replace("WIDTHS", json.dumps(WIDTHS))
    harness = folder / "measure.html"
    harness.write_text(text.replace("PAGES", json.dumps([page.as_uri() for page in pages])), encoding="utf-8")
    dom = browse(harness, folder, "--virtual-time-budget=600000", "--dump-dom")
    found = re.search(r'<body data-rows="([^"]*)"', dom)
    if found is None:
        sys.exit(f"Chromium did not measure the pages:\n{dom[-2000:]}")
    rows: list[dict[str, Any]] = json.loads(html.unescape(found[1]))
    return rows


def take_screenshots(row: dict[str, Any], name: str, target: Path, folder: Path) -> None:
    """Write a light and a dark picture of a page in its full length."""
    width, height = row["width"], min(row["height"], 16_000)  # Chromium draws no larger picture
    frame = folder / "frame.html"
    frame.write_text(
        f'<body style="margin: 0"><iframe src="{row["page"]}" '
        f'style="width: {width}px; height: {height}px; border: 0"></iframe></body>',
        encoding="utf-8",
    )
    for scheme, number in (("light", 1), ("dark", 0)):
        picture = target / f"{name.replace('/', '-')}-{width}-{scheme}.png"
        browse(
            frame,
            folder,
            f"--window-size={width},{height}",
            f"--blink-settings=preferredColorScheme={number}",
            "--hide-scrollbars",
            f"--screenshot={picture}",
        )


def browse(page: Path, folder: Path, *flags: str) -> str:
    """Open a page in a new browser, and return its output."""
    command = [
        str(chromium.CHROMIUM),
        *chromium.FLAGS,
        "--allow-file-access-from-files",
        f"--user-data-dir={folder / 'profile'}",
        *flags,
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, check=True, timeout=600)  # noqa: S603 -- our own pages
    return done.stdout.decode("utf-8", "replace")


def report(rows: list[dict[str, Any]], built: Path) -> int:
    """Print the longest pages and what is wrong, and return the exit status."""
    wide = [row for row in rows if row["width"] == WIDTHS[0]]
    for row in sorted(wide, key=lambda row: -row["height"])[:SHOWN]:
        print(f"{row['height']:6} px  {name_of(row, built)}")
    faults = [
        f"{name_of(row, built)} is {row['overflow']} px wider than {row['width']} px: {row['wide']}"
        for row in rows
        if row["overflow"] > 0
    ]
    faults += [
        f"{name_of(row, built)} has {row['height']} px, more than {LONGEST}; split it."
        for row in wide
        if name_of(row, built).startswith("reference/") and row["height"] > LONGEST
    ]
    print("\n".join(faults) if faults else f"{len(wide)} pages fit into their windows.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
