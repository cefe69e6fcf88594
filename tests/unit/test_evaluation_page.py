"""The page and other reports: what they show, and that nothing from the result executes."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import attrs
import pytest

from evaluations import SCORES, TRUTHS, box, classifier, detector, detector_of
from recordings import recording
from rekolabels.errors import InvalidInput, ObjectNotFound
from rekolabels.evaluation import EvaluationResult, LabelMetrics, iou
from rekolabels.evaluation._report._figures import rules_note

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "]]>&\"'",
    "\u202eevil",
    "🐶",
    "[red]|*_@all",
]


class Page(HTMLParser):
    """Parser that collects the tags, attributes, text and script data of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.values: list[tuple[str, str | None]] = []
        self.text = ""
        self.data = ""
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record a tag."""
        self.tags.append(tag)
        self.values += attrs
        self._within = "data" if ("id", "data") in attrs else tag

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - signature of the base class
        """Record the end of an element."""
        self._within = ""

    def handle_data(self, data: str) -> None:
        """Record a text."""
        if self._within == "data":
            self.data += data
        elif self._within not in {"script", "style"}:
            self.text += data


def hostile() -> EvaluationResult:
    """Return a result with hostile labels and sources, in which every image is a mistake."""
    truths = [[label] for label in HOSTILE]
    scores = [dict.fromkeys(HOSTILE, 0.1) | {HOSTILE[at - 1]: 0.9} for at in range(len(HOSTILE))]
    return classifier(truths, scores, "s3://b/<script>alert(2)</script>")


def test_only_the_script_of_the_page_runs(tmp_path: Path) -> None:
    """The page has one script and one block of data, and no event handlers, links or external resources."""
    text = hostile().save(tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(text)

    assert 2 == page.tags.count("script")
    assert not set(page.tags) & {"link", "iframe", "a", "form", "object", "img"}
    assert not [name for name, _ in page.values if name.startswith("on") or name in {"src", "href"}]
    assert "default-src 'none'" in text
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]{44}'", text)
    assert "\u202e" not in page.text
    assert HOSTILE[0] in page.text
    assert len(HOSTILE) == len(json.loads(page.data)["labels"])


def test_page_shows_thresholds_matrix_mistakes_and_advice(tmp_path: Path) -> None:
    """The page has all sections that need the test images."""
    page = Page(classifier(TRUTHS, SCORES).save(tmp_path / "page.html").read_text(encoding="utf-8"))

    for wanted in ("Thresholds", "Confusion matrix", "Mistakes", "What to do next", "Ground truth: cat"):
        assert wanted in page.text
    assert page.values.count(("type", "range")) == 3
    assert "data-metric" in dict(page.values)


def test_page_says_which_rule_of_decision_each_part_uses(tmp_path: Path) -> None:
    """Metrics count by thresholds, the matrix by the most confident label, mAR without thresholds."""
    page = Page(classifier(TRUTHS, SCORES).save(tmp_path / "page.html").read_text(encoding="utf-8"))
    boxes = Page(detector().save(tmp_path / "boxes.html").read_text(encoding="utf-8"))
    summary = recording("evaluation-summary-classification")
    alone = EvaluationResult.from_summary(summary).save(tmp_path / "alone.html").read_text(encoding="utf-8")

    for text in (page.text, boxes.text, alone):
        assert "F1, precision and recall count the predictions that reach the assumed threshold" in text
    for text in (page.text, alone):
        assert "by their most confident label. The table of labels counts by the assumed thresholds" in text
        assert "so the diagonal is not the recall" in text
        assert "mAR" not in text
    assert "Here the two rules decide differently for 1 of 20 images." in page.text
    assert "4 mistakes at the assumed thresholds, the most confident first" in page.text
    assert "A slider begins at the threshold from which" in boxes.text
    assert "A slider begins" not in page.text
    assert "The cells count boxes at the assumed thresholds, as the table of labels does." in boxes.text
    assert (
        "mAR is the recall without thresholds, so it is at least as high as the overall recall" in boxes.text
    )


def test_picture_says_which_rule_of_decision_each_part_uses() -> None:
    """The note below it has one line for each rule."""
    assert rules_note(classifier(TRUTHS, SCORES), with_matrix=True) == (
        "F1, precision and recall count predictions that reach the assumed threshold of their label;\n"
        "the matrix counts the most confident label of each image, so its diagonal is not the recall."
    )
    assert rules_note(detector(), with_matrix=False) == (
        "F1, precision and recall count predictions that reach the assumed threshold of their label;\n"
        "mAP and mAR count predictions of any confidence."
    )


def test_page_at_other_thresholds(tmp_path: Path) -> None:
    """The metrics are those of the test images, so there is nothing to disagree with."""
    strict = classifier(TRUTHS, SCORES).at(0.9)

    page = Page(strict.save(tmp_path / "page.html").read_text(encoding="utf-8"))

    assert "disagree" not in page.text
    assert "0.900" in page.text


def test_page_of_a_detector_draws_boxes(tmp_path: Path) -> None:
    """True boxes and false positives, in pixels of the image."""
    page = Page(detector().save(tmp_path / "page.html").read_text(encoding="utf-8"))

    assert ("viewBox", "0 0 640 480") in page.values or ("viewbox", "0 0 640 480") in page.values
    assert page.values.count(("class", "true")) == 3
    assert page.values.count(("class", "false")) == 2
    assert "missed" in page.text
    assert "background" in page.text


def test_pictures_are_embedded_as_thumbnails(tmp_path: Path) -> None:
    """An image that is missing or damaged leaves a note."""
    image_file = pytest.importorskip("PIL.Image", reason="the extra 'report' is not installed")
    whole = io.BytesIO()
    image_file.new("RGBA", (2000, 1000), (200, 30, 30, 128)).save(whole, "PNG")
    answers = [whole.getvalue(), b"no image", None]

    def read(_source: str) -> bytes:
        answer = answers.pop(0) if answers else whole.getvalue()
        if answer is None:
            raise ObjectNotFound("gone", operation="GetObject", code="NoSuchKey")
        return answer

    result = attrs.evolve(classifier(TRUTHS, SCORES[::-1]), read_image=read)
    path = result.save(tmp_path / "page.html")
    page = Page(path.read_text(encoding="utf-8"))

    sources = [value or "" for name, value in page.values if name == "src"]
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert "Cannot decode the image" in page.text
    assert "Cannot read the image (ObjectNotFound)" in page.text
    assert path.stat().st_size < 200_000


def test_page_with_an_unreadable_snapshot_shows_the_summary(tmp_path: Path) -> None:
    """The page says why the test images are missing."""
    summary = classifier(TRUTHS, SCORES).to_summary()
    broken = EvaluationResult.from_summary(summary, snapshot=["{"])

    page = Page(broken.save(tmp_path / "page.html").read_text(encoding="utf-8"))

    assert "only the summary is shown" in page.text
    assert "Confusion matrix" in page.text


def test_page_shows_discrepancies(tmp_path: Path) -> None:
    """The page shows both values."""
    made = classifier(TRUTHS, SCORES)

    page = Page(attrs.evolve(made, precision=0.6).save(tmp_path / "page.html").read_text(encoding="utf-8"))

    assert "precision is 0.6 in the summary" in page.text


def test_page_explains_rows_that_do_not_add_up_to_1(tmp_path: Path) -> None:
    """The confusion matrix of the developer guide has such rows."""
    summary = recording("evaluation-summary-classification")

    page = Page(
        EvaluationResult.from_summary(summary).save(tmp_path / "page.html").read_text(encoding="utf-8")
    )

    assert "do not add up to 1" in page.text


def test_page_of_ten_thousand_images_is_small(tmp_path: Path) -> None:
    """Its size does not depend on the number of images."""
    result = classifier(TRUTHS * 500, SCORES * 500)

    assert result.save(tmp_path / "page.html").stat().st_size < 500_000


@pytest.mark.parametrize("count", [0, 1])
def test_page_with_hardly_any_test_images(tmp_path: Path, count: int) -> None:
    """Undefined metrics are shown as n/a."""
    result = classifier(TRUTHS[:count], SCORES[:count])

    assert "n/a" in Page(result.save(tmp_path / "page.html").read_text(encoding="utf-8")).text


def test_markdown_escapes_labels(tmp_path: Path) -> None:
    """No label becomes a link, a mention or a column."""
    lines = hostile().save(tmp_path / "evaluation.md").read_text(encoding="utf-8").splitlines()

    assert {7} == {line.count("|") for line in lines[2:]}
    assert not any(sign in line for line in lines[4:-1] for sign in "<@[*`")


def test_data_frame() -> None:
    """One row per label; undefined values are NaN."""
    pandas = pytest.importorskip("pandas", reason="the extra 'report' is not installed")
    frame = EvaluationResult(
        labels={"a": LabelMetrics(0.5, 0.25, 1.0, 0.75, 4), "b": LabelMetrics()}
    ).to_pandas()

    assert ["f1", "precision", "recall", "threshold", "test_images"] == list(frame.columns)
    assert 0.5 == frame.loc["a", "f1"]
    assert pandas.isna(frame.loc["b"]).all()


def test_rich_table_escapes_labels() -> None:
    """Rich does not treat a label as markup."""
    rich = pytest.importorskip("rich.console", reason="rich is not installed")
    console = rich.Console(file=io.StringIO(), width=120)

    console.print(hostile())

    assert "[red]|*_@all" in console.file.getvalue()


def test_label_issues() -> None:
    """The highest score comes first, for one label, several labels and boxes."""
    single = classifier(TRUTHS, SCORES).label_issues(min_score=0.1)
    assert [("cat", "dog"), ("dog", "cat")] == [(one.label, one.suggestion) for one in single][:2]
    assert single[0].score >= single[1].score > 0
    assert "cat may be dog (0.40)" in str(single[0])

    several = classifier([["cat", "dog"], []], [{"cat": 0.9, "dog": 0.1}, {"cat": 0.8, "dog": 0.2}])
    both = several.label_issues(min_score=0)
    assert [("dog", None), (None, "cat")] == [(one.label, one.suggestion) for one in both]
    assert "cat may be missing (0.30)" in str(both[1])
    assert several.label_issues() == []

    (missing,) = detector().label_issues(min_score=0.2)
    assert (None, "cap", 0.3) == (missing.label, missing.suggestion, missing.score)


def test_label_issue_of_a_box() -> None:
    """The score is half of the lead of another label in the place of the box, times the overlap."""
    shifted = box(11, "watch")
    found = detector_of(
        [[box(10)], [box(10, "watch")], [box(10)]],
        [
            [(shifted, 0.95), (box(12, "watch"), 0.5), (box(9), 0.1)],
            [(box(10, "watch"), 0.9)],
            [(box(10), 0.9)],
        ],
    )

    (issue,) = found.label_issues(min_score=0)

    assert (issue.label, issue.suggestion, issue.box) == ("cap", "watch", box(10))
    assert issue.score == pytest.approx(0.5 * (0.95 - 0.1) * iou(shifted, box(10)))


def test_only_probable_errors_are_listed_and_the_page_shows_the_same(tmp_path: Path) -> None:
    """Without a confident issue, there is no advice; of many, the page shows the first."""
    unsure = classifier(TRUTHS, SCORES)
    sure = classifier([["cat"]] * 30, [{"cat": 0.9, "dog": 0.1}] * 15 + [{"cat": 0.1, "dog": 0.9}] * 15)
    pages = [
        Page(result.save(tmp_path / "page.html").read_text(encoding="utf-8")).text
        for result in (unsure, sure)
    ]

    assert unsure.label_issues() == []
    assert "Labels to check" not in pages[0]
    assert "check the labels" not in pages[0]
    assert len(sure.label_issues()) == 15
    assert "First check the labels of 15 test images" in pages[1]
    assert "most of them are probably wrong. These are the first 12 of 15." in pages[1]
    assert pages[1].count("Should this be dog?") == 12


def test_invalid_scores_and_limits_of_issues() -> None:
    """They are refused before the test images are read."""
    with pytest.raises(InvalidInput, match=r"min_score is 75; .*use min_score=0\.75"):
        detector().label_issues(min_score=75)
    with pytest.raises(InvalidInput, match="limit is -1"):
        detector().label_issues(limit=-1)
