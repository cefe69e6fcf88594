"""Saved and displayed results: the formats, and that hostile labels do no harm."""

from __future__ import annotations

import csv
import json
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from rekolabels.errors import InvalidInput, MissingExtra
from rekolabels.evaluation import (
    Comparison,
    ConfusionCounts,
    Difference,
    EvaluationResult,
    LabelMetrics,
    McNemar,
    evaluate_classification,
)

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = ['<script>alert("1")</script>', "=1+1", "a&b'\"", "\u202egnp.exe", "🐶 \n", "$x^2$", "مرحبا"]


@pytest.fixture
def result() -> EvaluationResult:
    """Result with hostile labels."""
    truths = [[label] for label in HOSTILE]
    predictions = [dict.fromkeys(HOSTILE, 0.1) | {label: 0.9} for label in HOSTILE]
    return evaluate_classification(truths, predictions, HOSTILE, training_images=70).result


class Tags(HTMLParser):
    """Parser that collects the tags, attributes and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record a tag."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        """Record a text."""
        self.text += data


def test_page_executes_and_loads_nothing(result: EvaluationResult, tmp_path: Path) -> None:
    """Labels stay text; the page has no script, event handler, link or external picture."""
    page = Tags()
    page.feed(result.save(tmp_path / "evaluation.html").read_text(encoding="utf-8"))

    assert not page.tags & {"script", "img", "link", "iframe", "a", "form"}
    assert not {name for name in page.attributes if name.startswith("on") or name in {"src", "href"}}
    assert HOSTILE[0] in page.text
    assert "\u202e" not in page.text, "a character that reverses the text direction is escaped"


def test_page_shows_scores_table_and_matrix(result: EvaluationResult, tmp_path: Path) -> None:
    """The scores are named as in the console."""
    page = Tags()
    page.feed(result.save(tmp_path / "evaluation.html").read_text(encoding="utf-8"))

    for wanted in (
        "F1 score",
        "Average precision",
        "Overall recall",
        "Assumed threshold",
        "Confusion matrix",
    ):
        assert wanted in page.text
    assert "70 training images, 7 test images" in page.text


def test_notebook_shows_the_table(result: EvaluationResult) -> None:
    """Labels are escaped as in the page."""
    fragment = Tags()
    fragment.feed(result._repr_html_())

    assert "table" in fragment.tags
    assert not fragment.tags & {"script", "style", "img", "link"}
    assert HOSTILE[0] in fragment.text


def test_notebook_shows_the_confusion_matrix_or_a_list() -> None:
    """Few labels give a matrix, many a list; labels are escaped."""
    labels = ("<b>cat</b>", "dog")
    few = ConfusionCounts(labels, {labels: 3, ("dog", "dog"): 9, ("dog", None): 1})._repr_html_()
    assert few.count("<td") == 3 * 4
    assert "<b>" not in few
    assert "9 of 13 correct" in few

    names = tuple(f"label {number:02}" for number in range(40))
    many = ConfusionCounts(names, {(names[0], names[1]): 2, (None, names[3]): 1})
    assert many._repr_html_().count("<td") == 2 * 3
    assert many.table() == [
        ["True label", "Predicted label", "Count"],
        ["label 00", "label 01", "2"],
        ["(background)", "label 03", "1"],
    ]


def test_notebook_shows_a_comparison() -> None:
    """The headline and the table of the printed text."""
    differences = (
        Difference(None, "f1", 0.5, 0.75, (0.1, 0.4)),
        Difference("<i>", "f1", None, 0.5, None),
    )
    comparison = Comparison(differences, 20, 0, McNemar(1, 9), {})
    shown = Tags()
    shown.feed(comparison._repr_html_())

    assert comparison._repr_html_().count("<tr") == 1 + len(differences)
    assert "i" not in shown.tags
    assert str(comparison).splitlines()[0] in shown.text


def test_json_is_a_summary(result: EvaluationResult, tmp_path: Path) -> None:
    """The file can be read back as an evaluation summary."""
    saved = json.loads(result.save(str(tmp_path / "evaluation.JSON")).read_text(encoding="utf-8"))

    assert result == EvaluationResult.from_summary(saved)


def test_csv_has_no_formulas(tmp_path: Path) -> None:
    """A label that looks like a formula is quoted; undefined values are empty."""
    labels = {"=1+1": LabelMetrics(0.5, 0.25, 1.0, 0.75, 4), "b": LabelMetrics()}
    path = EvaluationResult(f1=0.5, labels=labels).save(tmp_path / "evaluation.csv")

    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))

    assert rows == [
        ["label", "f1", "precision", "recall", "threshold", "test_images"],
        ["'=1+1", "0.5", "0.25", "1.0", "0.75", "4"],
        ["b", "", "", "", "", ""],
        ["(all labels)", "0.5", "", "", "", ""],
    ]


def test_png(result: EvaluationResult, tmp_path: Path) -> None:
    """A picture is drawn for hostile labels and for many labels."""
    pytest.importorskip("matplotlib", reason="the extra 'report' is not installed")
    many = EvaluationResult(labels={f"label {n}": LabelMetrics(f1=0.5) for n in range(100)})

    assert result.save(tmp_path / "few.png").read_bytes().startswith(b"\x89PNG")
    assert many.save(tmp_path / "many.png").read_bytes().startswith(b"\x89PNG")


def test_png_without_matplotlib_names_the_extra(
    result: EvaluationResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the extra, and no file is written."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    with pytest.raises(MissingExtra, match=r"rekolabels\[report\]"):
        result.save(tmp_path / "evaluation.png")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["evaluation.docx", "evaluation"])
def test_unsupported_extensions_raise(result: EvaluationResult, tmp_path: Path, name: str) -> None:
    """The error lists the supported extensions."""
    with pytest.raises(InvalidInput, match=r"Use \.html, \.png, \.csv, \.json or \.md"):
        result.save(tmp_path / name)
