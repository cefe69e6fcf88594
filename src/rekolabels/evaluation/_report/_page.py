"""A result as a page that needs nothing else: no network, works from a file and as an attachment of a mail.

Labels are hostile input: everything that comes from the result is escaped, each label stands in its own
direction, and the page's own policy lets no script run but the one that moves the thresholds.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

import attrs

from rekolabels.errors import RekolabelsError
from rekolabels.evaluation._confusion import ConfusionCounts, count_confusion
from rekolabels.evaluation._images import EvaluatedImage, Mistake, find_mistakes
from rekolabels.evaluation._label_issues import LabelIssue, find_label_issues
from rekolabels.evaluation._metrics import Counts, ScoredLabel
from rekolabels.evaluation._recompute import Discrepancy, compare_with_summary, tally
from rekolabels.evaluation._report._advice import give_advice
from rekolabels.evaluation._report._sections import (
    data_block,
    disputed_labels,
    label_text,
    threshold_cards,
    worst_mistakes,
)
from rekolabels.evaluation._report._table import format_number, scores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rekolabels.evaluation._values import ConfusionMatrix, ResultFields

__all__ = ["make_page"]

_MOST_CELLS = 60
"""Labels up to which the confusion matrix is shown; beyond, nobody can read it."""
_MOST_DISCREPANCIES = 8
_OFF = 0.01
"""How far a row of shares may be from 1 before the page says why."""


@attrs.frozen
class _Seen:
    """What the test images tell, as far as they can be read."""

    scores: dict[str, ScoredLabel] = attrs.field(factory=dict[str, ScoredLabel])
    counts: dict[str, Counts] = attrs.field(factory=dict[str, Counts])
    confusion: ConfusionCounts | None = None
    mistakes: list[Mistake] | None = None
    issues: list[LabelIssue] = attrs.field(factory=list[LabelIssue])
    discrepancies: tuple[Discrepancy, ...] = ()
    problem: str | None = None


def make_page(
    result: ResultFields,
    images: Callable[[], Iterable[EvaluatedImage]] | None,
    read_image: Callable[[str], bytes] | None,
) -> str:
    """Make the whole page."""
    seen = _look(result, images)
    script = files("rekolabels.evaluation._report").joinpath("page.js").read_text(encoding="utf-8")
    style = files("rekolabels.evaluation._report").joinpath("page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    cards = threshold_cards(result, seen.scores)
    moving = ""
    if cards:
        data = data_block(result, seen.scores)
        moving = f'<script type="application/json" id="data">{data}</script>\n<script>{script}</script>'
    shown = "".join(
        f'<div class="score"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
        for name, value in scores(result)
    )
    about = "".join(f"<p>{escape(line)}</p>" for line in _about(result))
    advice = "".join(
        f"<li>{label_text(line)}</li>"
        for line in give_advice(result, seen.counts, seen.confusion, seen.issues)
    )
    mistakes = "" if seen.mistakes is None else worst_mistakes(seen.mistakes, read_image)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline';\
 img-src data:; script-src 'sha256-{digest}'">
<title>Evaluation: F1 score {escape(format_number(result.f1))}</title>
<style>
{style}</style>
</head>
<body class="unscripted">
<h1>Model evaluation</h1>
{about}
<div class="scores">{shown}</div>
{_notices(seen)}
<h2>What to do next</h2>
<ul class="advice">{advice}</ul>
<h2>Labels</h2>
{_table(result)}
{cards}
{_confusion(result, seen)}
{mistakes}
{disputed_labels(seen.issues, read_image)}
{moving}
</body>
</html>
"""


def _look(result: ResultFields, read: Callable[[], Iterable[EvaluatedImage]] | None) -> _Seen:
    """Go through the test images; a snapshot that cannot be read leaves the summary to be shown."""
    if read is None:
        return _Seen()
    try:
        images: Sequence[EvaluatedImage] = tuple(read())
    except RekolabelsError as error:
        return _Seen(problem=str(error))
    found = tally(images)
    return _Seen(
        found.scored({label: metrics.threshold for label, metrics in result.labels.items()}),
        {label: found.counts(label) for label in found.labels},
        count_confusion(images, None, 0.5, result.labels),
        find_mistakes(images, None, None, None),
        find_label_issues(images),
        compare_with_summary(images, result),
    )


def _about(result: ResultFields) -> list[str]:
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


def _notices(seen: _Seen) -> str:
    if seen.problem is not None:
        text = label_text(seen.problem)
        said = "The test images could not be read, so only the summary is shown"
        return f'<div class="notice"><p>{said}: {text}</p></div>'
    if not seen.discrepancies:
        return ""
    told = [f"<li>{label_text(str(one))}</li>" for one in seen.discrepancies[:_MOST_DISCREPANCIES]]
    hidden = len(seen.discrepancies) - len(told)
    more = f"<li>and {hidden} more</li>" if hidden else ""
    return (
        '<div class="notice"><p>The summary and the test images disagree. The table shows the summary; '
        f"thresholds, matrix and mistakes below are counted on the "
        f"images.</p><ul>{''.join(told)}{more}</ul></div>"
    )


def _table(result: ResultFields) -> str:
    names = ("Label", "F1 score", "Precision", "Recall", "Assumed threshold", "Test images")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = "".join(
        f"<tr><td><bdi>{label_text(label)}</bdi></td>"
        f"{_cells(found.f1, found.precision, found.recall, found.threshold)}"
        f"<td>{'n/a' if found.test_images is None else found.test_images}</td></tr>\n"
        for label, found in result.labels.items()
    )
    total = "" if result.test_images is None else f"{result.test_images}"
    means = _cells(result.f1, result.precision, result.recall)
    foot = f"<tr><td>All labels</td>{means}<td></td><td>{total}</td></tr>"
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n'
        f"<tfoot>{foot}</tfoot></table></div>"
    )


def _cells(*values: float | None) -> str:
    return "".join(f"<td>{format_number(value)}</td>" for value in values)


def _confusion(result: ResultFields, seen: _Seen) -> str:
    """The matrix: counts where the images are known, else the shares of the summary."""
    labels = result.confusion_matrix.labels if seen.confusion is None and result.confusion_matrix else ()
    if seen.confusion is not None:
        labels = seen.confusion.labels
    if not labels:
        return ""
    if len(labels) > _MOST_CELLS:
        return f"<h2>Confusion matrix</h2>\n<p>Not shown for more than {_MOST_CELLS} labels.</p>"
    if seen.confusion is not None:
        return _counts(seen.confusion, detection=result.kind == "detection")
    return "" if result.confusion_matrix is None else _shares(result.confusion_matrix)


def _counts(confusion: ConfusionCounts, *, detection: bool) -> str:
    what = "boxes at the assumed thresholds" if detection else "images by their most confident label"
    rows = confusion.rows()
    missed = any(row[-1] for row in rows[:-1])
    background = any(rows[-1])
    names = [*confusion.labels, *(["missed"] if missed else [])]
    body: list[tuple[str, Sequence[int]]] = [
        (label, row if missed else row[:-1]) for label, row in zip(confusion.labels, rows, strict=False)
    ]
    if background:
        body.append(("background", rows[-1] if missed else rows[-1][:-1]))
    cells = [
        (name, [(f"{count:,}" if count else "", count / (sum(row) or 1)) for count in row])
        for name, row in body
    ]
    return _heat_table(f"True label on the left, what the model took it for above; {what}.", names, cells)


def _shares(matrix: ConfusionMatrix) -> str:
    text = "Of the images with the label on the left, the share that the model took for each label."
    if any(abs(sum(share or 0.0 for share in row) - 1) > _OFF for row in matrix.rows() if any(row)):
        text += (
            " The rows of this file do not add up to 1: the service divides by the number of images of the "
            "label above, not of the one on the left, so the shares are off where the labels have different "
            "numbers of test images."
        )
    cells = [
        (truth, [("n/a", 0.0) if share is None else (f"{share:.2f}", share) for share in row])
        for truth, row in zip(matrix.labels, matrix.rows(), strict=True)
    ]
    return _heat_table(text, matrix.labels, cells)


def _heat_table(
    text: str, names: Sequence[str], rows: Sequence[tuple[str, Sequence[tuple[str, float]]]]
) -> str:
    """Cells whose colour is as strong as their share, faint enough for the figure to stay readable."""
    head = "".join(
        f'<th scope="col" title="{label_text(name)}"><bdi>{label_text(name)}</bdi></th>' for name in names
    )
    body = "".join(
        f'<tr><td title="{label_text(name)}"><bdi>{label_text(name)}</bdi></td>'
        + "".join(
            f'<td style="background: rgba(var(--heat), {0.6 * min(1.0, max(0.0, share)):.3f})">{shown}</td>'
            for shown, share in cells
        )
        + "</tr>\n"
        for name, cells in rows
    )
    return (
        f'<h2>Confusion matrix</h2>\n<p>{text}</p>\n<div class="wide"><table class="heat">'
        f"<thead><tr><th></th>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>"
    )
