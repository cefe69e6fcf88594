"""HTML tables for notebooks, without style sheets and scripts, readable in light and in dark themes."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from rekolabels.evaluation._report._table import omission_note, plain_label, scores, table_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rekolabels.evaluation._values import ResultFields

__all__ = ["show_confusion", "show_result", "show_table"]

_MAX_MATRIX_LABELS = 30
"""Maximum number of labels for which the matrix is shown instead of the list of confusions."""


def show_result(result: ResultFields) -> str:
    """Return the headline scores and the table of the labels."""
    rows, hidden = table_rows(result)
    headline = " &nbsp; ".join(f"{escape(name)} <b>{escape(value)}</b>" for name, value in scores(result))
    note = f"<p>{escape(omission_note(hidden))}</p>" if hidden else ""
    return f"<div><p>{headline}</p>{_table(rows, last_is_total=True)}{note}</div>"


def show_table(headline: str, rows: Sequence[Sequence[str]]) -> str:
    """Return a line of text and a table; the first row is the header."""
    return f"<div><p>{escape(headline)}</p>{_table(rows)}</div>"


def show_confusion(
    headline: str,
    labels: Sequence[str],
    matrix: Sequence[Sequence[int]],
    confusions: Sequence[Sequence[str]],
) -> str:
    """Return a confusion matrix, or the list of confusions if there are too many labels for a matrix.

    Cells are the darker the larger their share of the row.
    """
    if len(labels) > _MAX_MATRIX_LABELS:
        return show_table(headline, confusions)
    names = [plain_label(label) for label in labels]
    rows = [["True \\ predicted", *names, "missed"]]
    shares: list[list[float]] = [[]]
    for name, counts in zip([*names, "background"], matrix, strict=True):
        rows.append([name, *(f"{count:,}" if count else "" for count in counts)])
        shares.append([count / (sum(counts) or 1) for count in counts])
    return f"<div><p>{escape(headline)}</p>{_table(rows, shares=shares)}</div>"


def _table(
    rows: Sequence[Sequence[str]],
    *,
    shares: Sequence[Sequence[float]] | None = None,
    last_is_total: bool = False,
) -> str:
    """Return a table with a header: the first column aligned left, the others right, as in text."""
    head, *body = rows
    foot = [body.pop()] if last_is_total else []
    tints = shares[1:] if shares is not None else [[0.0] * len(head)] * len(body)
    lines = [_line("td", row, tint) for row, tint in zip(body, tints, strict=True)]
    totals = "".join(_line("th", row, ()) for row in foot)
    return (
        f"<table><thead>{_line('th', head, ())}</thead><tbody>{''.join(lines)}</tbody>"
        f"<tfoot>{totals}</tfoot></table>"
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
