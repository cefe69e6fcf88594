"""A result as text."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rekolabels.evaluation._values import ResultFields

__all__ = [
    "align",
    "between",
    "format_number",
    "format_table",
    "plain_label",
    "scores",
    "table_rows",
]

_LONGEST = 40
"""Columns that a label may take."""
_MOST_ROWS = 60
"""Labels that are shown at most."""
_ENDS = 25
"""How many of the best and of the worst are shown when there are more."""
_UNDEFINED = "n/a"


def format_table(result: ResultFields) -> str:
    """Give the headline scores and a table of the labels, aligned also for wide letters."""
    rows, hidden = table_rows(result)
    lines = align(rows)
    if hidden:
        lines.insert(1 + _ENDS, between(hidden))
    head = "   ".join(f"{name} {value}" for name, value in scores(result))
    return "\n".join([head, "", *lines])


def table_rows(result: ResultFields) -> tuple[list[list[str]], int]:
    """The table with its head and its last row, and how many labels are left out of its middle."""
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
    hidden = len(rows) - 2 * _ENDS if len(rows) > _MOST_ROWS else 0
    shown = [*rows[:_ENDS], *rows[-_ENDS:]] if hidden else rows
    total = "" if result.test_images is None else str(result.test_images)
    means = [format_number(value) for value in (result.f1, result.precision, result.recall)]
    return [head, *shown, ["All labels", *means, "", total]], hidden


def between(hidden: int) -> str:
    """Say that labels are left out of the middle of a table."""
    return f"... {hidden} labels in between: see .labels, or save(...) the result"


def scores(result: ResultFields) -> list[tuple[str, str]]:
    """The aggregated scores in the console's words."""
    shown = [
        ("F1 score", result.f1),
        ("Average precision", result.precision),
        ("Overall recall", result.recall),
    ]
    if result.kind == "detection":
        shown += [("mAP", result.mean_average_precision), ("mAR", result.mean_average_recall)]
    return [(name, format_number(value)) for name, value in shown]


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
