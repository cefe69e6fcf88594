"""The page in a real browser: sliders change the metrics, nothing else runs, and it opens quickly."""

from __future__ import annotations

import os
import re
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

import chromium
from evaluations import SCORES, TRUTHS, classifier, detector

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = (*chromium.FLAGS, "--hide-scrollbars")
pytestmark = pytest.mark.skipif(chromium.CHROMIUM is None, reason="needs chromium")


def browse(page: Path, *flags: str) -> str:
    """Open a page in a new browser and return its output."""
    assert chromium.CHROMIUM is not None
    profile = page.parent / f"profile-{time.monotonic_ns()}"
    done = subprocess.run(  # noqa: S603 - the installed browser and a page of this test
        [chromium.CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *flags, page.as_uri()],
        capture_output=True,
        check=True,
        timeout=120,
        env={**os.environ, "HOME": str(page.parent)},
    )
    return done.stdout.decode("utf-8", "replace")


def drive(page: Path, script: str) -> dict[str, str]:
    """Run a script in a copy of the page, and return the data attributes that it sets on the body.

    The content security policy of the copy also allows the script of the test.
    """
    import base64
    import hashlib

    text = page.read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = text.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    copy = page.with_name("driven.html")
    copy.write_text(text.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    found = re.search(r"<body([^>]*)>", browse(copy, "--dump-dom"))
    assert found is not None
    return dict(re.findall(r'data-(\w+)="([^"]*)"', found[1]))


MOVE = """
const put = (input, value) => {
  input.value = value;
  input.dispatchEvent(new Event("input", {bubbles: true}));
};
const note = (name) => {
  const read = (selector) => document.querySelector(selector).textContent;
  document.body.dataset[name] = [read('.card [data-metric="f1"]'), read('.card [data-metric="precision"]'),
    read('.card [data-metric="recall"]'), read('[data-mean="f1"]')].join(" ");
};
"""


def test_sliders_change_the_metrics(tmp_path: Path) -> None:
    """The page shows what ``result.at`` computes; the button restores the assumed thresholds."""
    result = classifier(TRUTHS, SCORES)
    page = result.save(tmp_path / "evaluation.html")

    seen = drive(
        page,
        MOVE
        + """
        note("before");
        put(document.querySelector(".card input"), 72); note("one");
        put(document.getElementById("every"), 90); note("every");
        document.getElementById("reset").click(); note("after");
        """,
    )

    first = next(iter(result.labels))
    one, every = result.at({first: 0.72}), result.at(0.9)
    for name, expected in (("before", result), ("one", one), ("every", every), ("after", result)):
        label = expected.labels[first]
        figures = (label.f1, label.precision, label.recall, expected.f1)
        assert " ".join("n/a" if value is None else f"{value:.3f}" for value in figures) == seen[name]
    assert seen["one"] != seen["before"]


def test_sliders_of_a_detector_start_at_the_assumed_threshold(tmp_path: Path) -> None:
    """Precision is unknown below it."""
    result = detector()
    page = result.save(tmp_path / "evaluation.html")

    seen = drive(page, MOVE + 'put(document.querySelectorAll(".card input")[1], 0); note("low");' + LEAST)

    complete_from = min(result.scores()[label].complete_from for label in list(result.labels)[1:2])
    assert float(seen["least"]) >= 100 * complete_from


LEAST = 'document.body.dataset.least = document.querySelectorAll(".card input")[1].value;'


def test_labels_execute_nothing(tmp_path: Path) -> None:
    """A label that is a script stays text in a browser that runs scripts."""
    labels = [
        "<script>document.title='bad'</script>",
        "</script><img src=x onerror=\"document.title='bad'\">",
    ]
    result = classifier([[label] for label in labels], [{labels[0]: 0.9, labels[1]: 0.8}] * 2)

    dom = browse(result.save(tmp_path / "evaluation.html"), "--dump-dom")

    assert "<title>Evaluation" in dom
    assert 'class="no-script"' not in dom, "the script of the page ran"


@pytest.mark.parametrize(("width", "scheme"), [(1100, 1), (1100, 0), (500, 1), (500, 0)])
def test_screenshots_in_two_sizes_and_themes(tmp_path: Path, width: int, scheme: int) -> None:
    """The page is drawn in light or dark colours, and is not wider than the window."""
    image_file = pytest.importorskip("PIL.Image", reason="the extra 'report' is not installed")
    page = detector().save(tmp_path / "evaluation.html")
    picture = tmp_path / "page.png"

    browse(
        page,
        f"--window-size={width},1400",
        f"--blink-settings=preferredColorScheme={scheme}",
        f"--screenshot={picture}",
    )

    with image_file.open(picture) as drawn:
        assert (width, 1400) == drawn.size
        corner = drawn.convert("L").getpixel((2, 2))
        assert (corner > 200) if scheme else (corner < 60)
        assert len(set(drawn.convert("L").resize((40, 40)).tobytes())) > 10
    wide = drive(page, "document.body.dataset.wide = document.documentElement.scrollWidth <= innerWidth;")
    assert wide["wide"] == "true"


def test_ten_thousand_images_open_quickly(tmp_path: Path) -> None:
    """The page loads in less than two seconds and is smaller than 5 MB."""
    page = classifier(TRUTHS * 500, SCORES * 500).save(tmp_path / "evaluation.html")

    seen = drive(page, "document.body.dataset.took = Math.round(performance.now());")

    assert page.stat().st_size < 5_000_000
    assert int(seen["took"]) < 2000
