"""What a notebook shows: tables without style sheet and script, for light ground and for dark."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from rekolabels.evaluation._report._table import between, plain_label, scores, table_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rekolabels.evaluation._values import ResultFields

__all__ = ["show_confusion", "show_result", "show_table"]

_MOST_LABELS = 30
"""Labels up to which a matrix is shown; with more, a list of what was taken for something else."""


def show_result(result: ResultFields) -> str:
    """The scores and the table."""
    rows, hidden = table_rows(result)
    shown = " &nbsp; ".join(f"{escape(name)} <b>{escape(value)}</b>" for name, value in scores(result))
    note = f"<p>{escape(between(hidden))}</p>" if hidden else ""
    return f"<div><p>{shown}</p>{_table(rows, last_is_sum=True)}{note}</div>"


def show_table(headline: str, rows: Sequence[Sequence[str]]) -> str:
    """A line of text and a table."""
    return f"<div><p>{escape(headline)}</p>{_table(rows)}</div>"


def show_confusion(
    headline: str, labels: Sequence[str], matrix: Sequence[Sequence[int]], listed: Sequence[Sequence[str]]
) -> str:
    """The matrix, the darker the more of a row; for many labels, the list of what was confused."""
    if len(labels) > _MOST_LABELS:
        return show_table(headline, listed)
    names = [plain_label(label) for label in labels]
    rows = [["True, and taken for", *names, "missed"]]
    shares: list[list[float]] = [[]]
    for name, counts in zip([*names, "nothing there"], matrix, strict=True):
        rows.append([name, *(f"{count:,}" if count else "" for count in counts)])
        shares.append([count / (sum(counts) or 1) for count in counts])
    return f"<div><p>{escape(headline)}</p>{_table(rows, shares=shares)}</div>"


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
