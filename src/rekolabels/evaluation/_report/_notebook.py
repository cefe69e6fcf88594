"""What a notebook shows: tables without style sheet and script, for light ground and for dark."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from rekolabels.evaluation._report._table import between, headline, plain_label, table_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rekolabels.evaluation._compare import Comparison
    from rekolabels.evaluation._confusion import ConfusionCounts
    from rekolabels.evaluation._result import EvaluationResult

__all__ = ["show_comparison", "show_confusion", "show_result"]

_MOST_LABELS = 30
"""Labels up to which a matrix is shown; with more, a list of what was taken for something else."""


def show_result(result: EvaluationResult) -> str:
    """The scores and the table."""
    rows, hidden = table_rows(result)
    scores = " &nbsp; ".join(f"{escape(name)} <b>{escape(value)}</b>" for name, value in headline(result))
    note = f"<p>{escape(between(hidden))}</p>" if hidden else ""
    return f"<div><p>{scores}</p>{_table(rows, last_is_sum=True)}{note}</div>"


def show_comparison(comparison: Comparison) -> str:
    """The differences of two models."""
    return f"<div><p>{escape(comparison.headline())}</p>{_table(comparison.table())}</div>"


def show_confusion(confusion: ConfusionCounts) -> str:
    """The matrix, the darker the more of a row."""
    if len(confusion.labels) > _MOST_LABELS:
        return f"<div><p>{escape(confusion.headline())}</p>{_table(confusion.table())}</div>"
    names = [plain_label(label) for label in confusion.labels]
    rows = [["True, and taken for", *names, "missed"]]
    shares: list[list[float]] = [[]]
    for name, counts in zip([*names, "nothing there"], confusion.rows(), strict=True):
        rows.append([name, *(f"{count:,}" if count else "" for count in counts)])
        shares.append([count / (sum(counts) or 1) for count in counts])
    return f"<div><p>{escape(confusion.headline())}</p>{_table(rows, shares=shares)}</div>"


def _table(
    rows: Sequence[Sequence[str]],
    *,
    shares: Sequence[Sequence[float]] | None = None,
    last_is_sum: bool = False,
) -> str:
    """A table with a head: the first column to the left, the others to the right, as in text."""
    head, *body = rows
    foot = [body.pop()] if last_is_sum else []
    tints = shares[1:] if shares is not None else [[0.0] * len(head)] * len(body)
    lines = [_line("td", row, tint) for row, tint in zip(body, tints, strict=True)]
    sums = "".join(_line("th", row, ()) for row in foot)
    return (
        f"<table><thead>{_line('th', head, ())}</thead><tbody>{''.join(lines)}</tbody>"
        f"<tfoot>{sums}</tfoot></table>"
    )


def _line(tag: str, row: Sequence[str], shares: Iterable[float]) -> str:
    first, *others = row
    tints = [*shares, *[0.0] * len(others)]
    cells = "".join(
        f'<{tag} style="text-align: right{_tint(share)}">{escape(cell)}</{tag}>'
        for cell, share in zip(others, tints, strict=False)
    )
    return f'<tr><{tag} style="text-align: left"><bdi>{escape(first)}</bdi></{tag}>{cells}</tr>'


def _tint(share: float) -> str:
    return f"; background: rgba(47, 129, 183, {0.6 * share:.2f})" if share else ""
