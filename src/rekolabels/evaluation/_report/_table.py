"""Text tables, and the texts that all reports share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rekolabels._display import align, text_width

if TYPE_CHECKING:
    from rekolabels.evaluation._values import ResultFields

__all__ = [
    "HEADER",
    "format_number",
    "format_table",
    "omission_note",
    "plain_label",
    "scores",
    "table_rows",
]

HEADER = ("Label", "F1 score", "Precision", "Recall", "Assumed threshold", "Test images")
"""Column names of the table of labels."""
_MAX_LABEL_WIDTH = 40
"""Maximum width of a label, in terminal columns."""
_MAX_ROWS = 60
"""Maximum number of labels that are all shown."""
_END_ROWS = 25
"""Number of the best and of the worst labels that are shown otherwise."""
_UNDEFINED = "n/a"


def format_table(result: ResultFields) -> str:
    """Return the headline scores and an aligned table of the labels."""
    rows, hidden = table_rows(result)
    lines = align(rows)
    if hidden:
        lines.insert(1 + _END_ROWS, omission_note(hidden))
    headline = "   ".join(f"{name} {value}" for name, value in scores(result))
    return "\n".join([headline, "", *lines])


def table_rows(result: ResultFields) -> tuple[list[list[str]], int]:
    """Return the table with its header and totals, and the number of labels omitted from the middle."""
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
    hidden = len(rows) - 2 * _END_ROWS if len(rows) > _MAX_ROWS else 0
    shown = [*rows[:_END_ROWS], *rows[-_END_ROWS:]] if hidden else rows
    total = "" if result.test_images is None else str(result.test_images)
    means = [format_number(value) for value in (result.f1, result.precision, result.recall)]
    return [[*HEADER], *shown, ["All labels", *means, "", total]], hidden


def omission_note(hidden: int) -> str:
    """Return the note that replaces the labels in the middle of a long table."""
    return f"... {hidden} more labels; see result.labels or result.save('evaluation.html')"


def scores(result: ResultFields) -> list[tuple[str, str]]:
    """Return the names and values of the aggregated metrics, named as in the AWS console."""
    values = [
        ("F1 score", result.f1),
        ("Average precision", result.precision),
        ("Overall recall", result.recall),
    ]
    if result.kind == "detection":
        values += [("mAP", result.mean_average_precision), ("mAR", result.mean_average_recall)]
    return [(name, format_number(value)) for name, value in values]


def format_number(value: float | None) -> str:
    """Format a metric with three decimals; ``n/a`` if it is undefined."""
    return _UNDEFINED if value is None else f"{value:.3f}"


def plain_label(label: str) -> str:
    r"""Escape the control characters of a label, and truncate a long label.

    Examples:
        >>> plain_label("two\nlines")
        'two\\nlines'
    """
    safe = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in label
    )
    if text_width(safe) <= _MAX_LABEL_WIDTH:
        return safe
    while text_width(safe) > _MAX_LABEL_WIDTH - 1:
        safe = safe[:-1]
    return f"{safe}…"
