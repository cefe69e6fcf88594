"""A result as text."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rekolabels.evaluation._result import EvaluationResult

__all__ = ["align", "format_number", "format_table", "headline", "plain_label"]

_LONGEST = 40
"""Columns that a label may take."""
_MOST_ROWS = 60
"""Labels that are shown at most."""
_ENDS = 25
"""How many of the best and of the worst are shown when there are more."""
_UNDEFINED = "n/a"


def format_table(result: EvaluationResult) -> str:
    """Give the headline scores and a table of the labels, aligned also for wide letters."""
    head = ["Label", "F1 score", "Precision", "Recall", "Assumed threshold", "Test images"]
    rows = [
        [
            plain_label(label),
            format_number(metrics.f1),
            format_number(metrics.precision),
            format_number(metrics.recall),
            format_number(metrics.threshold),
            _UNDEFINED if metrics.test_images is None else str(metrics.test_images),
        ]
        for label, metrics in result.labels.items()
    ]
    hidden = len(rows) - 2 * _ENDS
    shown = rows if len(rows) <= _MOST_ROWS else [*rows[:_ENDS], *rows[-_ENDS:]]
    total = "" if result.test_images is None else str(result.test_images)
    last = [
        "All labels",
        format_number(result.f1),
        format_number(result.precision),
        format_number(result.recall),
    ]
    lines = align([head, *shown, [*last, "", total]])
    if shown is not rows:
        lines.insert(1 + _ENDS, f"... {hidden} labels in between: see .labels, or save(...) the result")
    scores = "   ".join(f"{name} {value}" for name, value in headline(result))
    return "\n".join([scores, "", *lines])


def headline(result: EvaluationResult) -> list[tuple[str, str]]:
    """The aggregated scores in the console's words."""
    scores = [
        ("F1 score", result.f1),
        ("Average precision", result.precision),
        ("Overall recall", result.recall),
    ]
    if result.kind == "detection":
        scores += [("mAP", result.mean_average_precision), ("mAR", result.mean_average_recall)]
    return [(name, format_number(value)) for name, value in scores]


def format_number(value: float | None) -> str:
    """Three decimals, or ``n/a``."""
    return _UNDEFINED if value is None else f"{value:.3f}"


def plain_label(label: str) -> str:
    r"""A label that cannot break a line or steer a terminal, shortened if need be.

    Examples:
        >>> plain_label("two\nlines")
        'two\\nlines'
    """
    safe = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in label
    )
    if _width(safe) <= _LONGEST:
        return safe
    while _width(safe) > _LONGEST - 1:
        safe = safe[:-1]
    return f"{safe}…"


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out rows of text: the first column to the left, the others to the right."""
    widths = [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines: list[str] = []
    for first, *others in rows:
        cells = [first + " " * (widths[0] - _width(first))]
        cells += [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def _width(text: str) -> int:
    """Columns in a terminal: wide letters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
