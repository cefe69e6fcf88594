"""The part of a page where thresholds are moved: a card for each label, with its curve and its figures."""

from __future__ import annotations

import json
import math
from html import escape
from typing import TYPE_CHECKING, Any

from rekolabels.evaluation._report._page_text import label_text
from rekolabels.evaluation._report._table import format_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rekolabels.evaluation._metrics import ScoredLabel
    from rekolabels.evaluation._result import EvaluationResult

__all__ = ["data_block", "threshold_cards"]

_MOST_CARDS = 60
_STEPS = 100
_POINTS = 120


def chosen_labels(result: EvaluationResult, scores: Mapping[str, ScoredLabel]) -> list[str]:
    """The labels with a card: the worst ones, where there are too many for all."""
    labels = [label for label in result.labels if label in scores and scores[label].support]
    return labels[-_MOST_CARDS:]


def threshold_cards(result: EvaluationResult, scores: Mapping[str, ScoredLabel]) -> str:
    """A card for each label: precision-recall curve, slider, figures."""
    labels = chosen_labels(result, scores)
    if not labels:
        return ""
    hidden = len(result.labels) - len(labels)
    note = f" The {len(labels)} labels with the lowest F1 are shown." if hidden else ""
    cards = "".join(_card(number, label, result, scores[label]) for number, label in enumerate(labels))
    return (
        '<section id="thresholds"><h2>Thresholds</h2>\n<p>Move a threshold and see what it does to the '
        "label, and "
        f"to the means over all labels.{note} The figures are counted on the test images; the curve shows "
        "precision (upwards) against recall.</p>\n"
        '<div class="now"><span>At these thresholds</span> '
        '<span>F1 score <b data-mean="f1"></b></span> <span>Average precision <b '
        'data-mean="precision"></b></span> '
        '<span>Overall recall <b data-mean="recall"></b></span>'
        '<label>All labels <input type="range" id="every" min="0" max="100" step="1" value="50"></label>'
        '<button type="button" id="reset">Assumed thresholds</button></div>\n'
        f'<div class="cards">{cards}</div></section>'
    )


def data_block(result: EvaluationResult, scores: Mapping[str, ScoredLabel]) -> str:
    """What the script of the page counts with, as JSON that cannot end its element."""
    labels = chosen_labels(result, scores)
    shown = [_numbers(result, label, scores[label]) for label in labels]
    others = [
        [found.f1, found.precision, found.recall]
        for label, found in result.labels.items()
        if label not in set(labels)
    ]
    content = json.dumps({"labels": shown, "others": others}, separators=(",", ":"))
    return content.replace("<", "\\u003c").replace("&", "\\u0026")


def _numbers(result: EvaluationResult, label: str, scored: ScoredLabel) -> dict[str, Any]:
    counts = [scored.counts(step / _STEPS) for step in range(_STEPS + 1)]
    found = result.labels[label]
    return {
        "threshold": found.threshold,
        "assumed": [found.f1, found.precision, found.recall],
        "support": scored.support,
        "floor": math.ceil(scored.floor * _STEPS - 1e-9),
        "right": [one.true_positives for one in counts],
        "wrong": [one.false_positives for one in counts],
    }


def _card(number: int, label: str, result: EvaluationResult, scored: ScoredLabel) -> str:
    found = result.labels[label]
    at = 50 if found.threshold is None else round(100 * found.threshold)
    least = min(100, math.ceil(scored.floor * _STEPS - 1e-9))
    threshold = format_number(found.threshold)
    name = label_text(label)
    return (
        f'<div class="card" data-label="{number}"><h3><bdi>{name}</bdi></h3>'
        f'<svg viewBox="-4 -4 108 108" role="img" aria-label="Precision-recall curve of {name}">'
        '<path class="axes" d="M0 0V100H100M0 50H100M50 0V100M0 0H100V100"/>'
        f'<path class="curve" d="{_path(scored)}"/>{_dot(found.precision, found.recall)}</svg>'
        f'<label>Threshold <output>{threshold}</output><input type="range" min="{least}" max="100" step="1" '
        f'value="{max(least, at)}" aria-label="Threshold of {name}"></label>'
        f'<dl><div><dt>F1</dt><dd data-figure="f1">{format_number(found.f1)}</dd></div>'
        f'<div><dt>Precision</dt><dd data-figure="precision">{format_number(found.precision)}</dd></div>'
        f'<div><dt>Recall</dt><dd data-figure="recall">{format_number(found.recall)}</dd></div></dl>'
        f"<p>{_average(scored)}</p></div>\n"
    )


def _average(scored: ScoredLabel) -> str:
    average = format_number(scored.average_precision())
    limit = " at most" if scored.floor else ""
    return f"{escape(str(scored.support))} in the test images, average precision (area){limit} {average}"


def _path(scored: ScoredLabel) -> str:
    points = [
        (counts.recall, counts.precision)
        for _, counts in scored.curve()
        if counts.recall is not None and counts.precision is not None
    ]
    step = max(1, math.ceil(len(points) / _POINTS))
    kept = points[::step] + ([points[-1]] if points else [])
    return (
        "M" + "L".join(f"{100 * recall:.1f} {100 - 100 * precision:.1f}" for recall, precision in kept)
        if kept
        else ""
    )


def _dot(precision: float | None, recall: float | None) -> str:
    hidden = ' visibility="hidden"' if precision is None or recall is None else ""
    return f'<circle r="3.5" cx="{100 * (recall or 0):.1f}" cy="{100 - 100 * (precision or 0):.1f}"{hidden}/>'
