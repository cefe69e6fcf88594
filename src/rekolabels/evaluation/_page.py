"""A result as a page that needs nothing else: no scripts, no network, works as an attachment of a mail.

Labels are hostile input: everything that comes from the result is escaped, and each label stands in its own
direction.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from rekolabels.evaluation._table import format_number, headline

if TYPE_CHECKING:
    from rekolabels.evaluation._result import EvaluationResult
    from rekolabels.evaluation._values import ConfusionMatrix

__all__ = ["make_fragment", "make_page"]

_MOST_CELLS = 60
"""Labels up to which the confusion matrix is shown; beyond, nobody can read it."""

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1d21; --paper: #fff; --soft: #5c6670; --line: #d9dee3; --heat: 11,
110, 153;
  --card: #f5f7f9; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --paper: #15181c; --soft: #9aa5b1; --line: #343b43; --heat: 77, 184, 230; --card:
  #1e2329; } }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 60rem; color: var(--ink); background:
var(--paper);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; }
p { margin: .25rem 0; color: var(--soft); overflow-wrap: anywhere; }
.scores { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin:
1.25rem 0; } .score { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding:
.75rem 1rem; } .score b { display: block; font-size: 1.75rem; line-height: 1.2; font-variant-numeric:
tabular-nums; } .score span { color: var(--soft); font-size: .875rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap;
} th { font-weight: 600; font-size: .875rem; } th:first-child, td:first-child { text-align: start; }
td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 6rem; }
tfoot td { font-weight: 600; border-bottom: 0; }
.heat { width: auto; } .heat td { text-align: center; min-width: 2.5rem; }
.heat th, .heat td:first-child { max-width: 9rem; overflow: hidden; text-overflow: ellipsis; white-space:
nowrap; }
""".strip()


def make_page(result: EvaluationResult) -> str:
    """Make the whole page."""
    scores = "".join(
        f'<div class="score"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
        for name, value in headline(result)
    )
    about = "".join(f"<p>{escape(line)}</p>" for line in _about(result))
    matrix = "" if result.confusion_matrix is None else _matrix(result.confusion_matrix)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Evaluation: F1 score {escape(format_number(result.f1))}</title>
<style>
{_STYLE}
</style>
</head>
<body>
<h1>Model evaluation</h1>
{about}
<div class="scores">{scores}</div>
<h2>Labels</h2>
{_table(result)}
{matrix}
</body>
</html>
"""


def make_fragment(result: EvaluationResult) -> str:
    """Make what a notebook shows: the scores and the table, in the notebook's own style."""
    scores = " &nbsp; ".join(f"{escape(name)} <b>{escape(value)}</b>" for name, value in headline(result))
    return f"<div><p>{scores}</p>{_table(result)}</div>"


def _about(result: EvaluationResult) -> list[str]:
    """What was evaluated, as far as it is known."""
    lines: list[str] = []
    if result.project_version_arn is not None:
        lines.append(result.project_version_arn)
    images = [
        f"{count:,} {what} images"
        for count, what in ((result.training_images, "training"), (result.test_images, "test"))
        if count is not None
    ]
    if images:
        lines.append(", ".join(images))
    if result.evaluated_at is not None:
        lines.append(f"Evaluated {result.evaluated_at:%Y-%m-%d %H:%M} UTC")
    return lines


def _table(result: EvaluationResult) -> str:
    names = ("Label", "F1 score", "Precision", "Recall", "Assumed threshold", "Test images")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = "".join(
        f"<tr><td><bdi>{_label(label)}</bdi></td>"
        f"{_cells(found.f1, found.precision, found.recall, found.threshold)}"
        f"<td>{'n/a' if found.test_images is None else found.test_images}</td></tr>\n"
        for label, found in result.labels.items()
    )
    total = "" if result.test_images is None else f"{result.test_images}"
    scores = _cells(result.f1, result.precision, result.recall)
    foot = f"<tr><td>All labels</td>{scores}<td></td><td>{total}</td></tr>"
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n'
        f"<tfoot>{foot}</tfoot></table></div>"
    )


def _cells(*values: float | None) -> str:
    return "".join(f"<td>{format_number(value)}</td>" for value in values)


def _matrix(matrix: ConfusionMatrix) -> str:
    if len(matrix.labels) > _MOST_CELLS:
        return f"<h2>Confusion matrix</h2>\n<p>Not shown for more than {_MOST_CELLS} labels.</p>"
    head = "".join(
        f'<th scope="col" title="{_label(label)}"><bdi>{_label(label)}</bdi></th>' for label in matrix.labels
    )
    rows = "".join(
        f'<tr><td title="{_label(truth)}"><bdi>{_label(truth)}</bdi></td>'
        f"{''.join(_heat(share) for share in row)}</tr>\n"
        for truth, row in zip(matrix.labels, matrix.rows(), strict=True)
    )
    return (
        "<h2>Confusion matrix</h2>\n<p>Of the images with the label on the left, the share that the model "
        'took for each label.</p>\n<div class="wide"><table class="heat">'
        f"<thead><tr><th></th>{head}</tr></thead>\n"
        f"<tbody>\n{rows}</tbody></table></div>"
    )


def _heat(share: float | None) -> str:
    """A cell whose colour is as strong as its share, faint enough for the figure to stay readable."""
    if share is None:
        return "<td>n/a</td>"
    strength = 0.6 * min(1.0, max(0.0, share))
    return f'<td style="background: rgba(var(--heat), {strength:.3f})">{share:.2f}</td>'


def _label(label: str) -> str:
    """Escape a label; signs that cannot be shown are spelled out."""
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in label
    )
    return escape(shown, quote=True)
