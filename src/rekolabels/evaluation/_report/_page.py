"""HTML page of a result: one file without network access, which can be opened or attached to an email.

Labels are hostile input. Everything from the result is escaped, each label has its own text direction, and
the content security policy of the page allows only the script that moves the thresholds.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

import attrs

from rekolabels.errors import RekolabelsError
from rekolabels.evaluation._confusion import ConfusionCounts, count_confusion, most_confident
from rekolabels.evaluation._images import EvaluatedImage, Mistake, find_mistakes
from rekolabels.evaluation._label_issues import LabelIssue, find_label_issues
from rekolabels.evaluation._metrics import Counts, ScoredLabel
from rekolabels.evaluation._recompute import Discrepancy, compare_with_summary, tally
from rekolabels.evaluation._report._advice import give_advice
from rekolabels.evaluation._report._sections import (
    disputed_labels,
    label_text,
    script_data,
    threshold_cards,
    worst_mistakes,
)
from rekolabels.evaluation._report._table import HEADER, format_number, scores

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from rekolabels.evaluation._values import ConfusionMatrix, ResultFields

__all__ = ["make_page"]

_MAX_MATRIX_LABELS = 60
"""Maximum number of labels for which the confusion matrix is shown."""
_MAX_DISCREPANCIES = 8
_DIFFERENCE = (
    "The table of labels counts by the assumed thresholds instead: there, an image can have several labels "
    "or none, so the diagonal is not the recall."
)
_ROW_TOLERANCE = 0.01
"""How far the sum of a row may be from 1 before the page explains why."""


@attrs.frozen
class _ImageData:
    """What the page shows of the test images."""

    scores: dict[str, ScoredLabel] = attrs.field(factory=dict[str, ScoredLabel])
    counts: dict[str, Counts] = attrs.field(factory=dict[str, Counts])
    images: int = 0
    confusion: ConfusionCounts | None = None
    """By the most confident labels for a classifier, at the assumed thresholds for a detector."""
    confusion_at_thresholds: ConfusionCounts | None = None
    """At the assumed thresholds."""
    decided_differently: int = 0
    """Number of images whose most confident labels are not those that reach their thresholds."""
    mistakes: list[Mistake] | None = None
    issues: list[LabelIssue] = attrs.field(factory=list[LabelIssue])
    discrepancies: tuple[Discrepancy, ...] = ()
    error: str | None = None
    """Why the test images could not be read."""


def make_page(
    result: ResultFields,
    images: Callable[[], Iterable[EvaluatedImage]] | None,
    read_image: Callable[[str], bytes] | None,
) -> str:
    """Return the page.

    Args:
        result: The metrics.
        images: Function that returns the test images; None if they are unknown.
        read_image: Function that reads an image by its URI; None for a page without pictures.
    """
    data = _read_images(result, images)
    script = files("rekolabels.evaluation._report").joinpath("page.js").read_text(encoding="utf-8")
    style = files("rekolabels.evaluation._report").joinpath("page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    cards = threshold_cards(result, data.scores)
    scripts = ""
    if cards:
        content = script_data(result, data.scores)
        scripts = f'<script type="application/json" id="data">{content}</script>\n<script>{script}</script>'
    headline = "".join(
        f'<div class="score"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
        for name, value in scores(result)
    )
    about = "".join(f"<p>{escape(line)}</p>" for line in _about(result))
    advice = "".join(
        f"<li>{label_text(line)}</li>"
        for line in give_advice(result, data.counts, data.confusion_at_thresholds, data.issues)
    )
    mistakes = "" if data.mistakes is None else worst_mistakes(data.mistakes, read_image)
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
<body class="no-script">
<h1>Model evaluation</h1>
{about}
<div class="scores">{headline}</div>
{_notices(data)}
<h2>What to do next</h2>
<ul class="advice">{advice}</ul>
<h2>Labels</h2>
<p>{_rules(result)}</p>
{_table(result)}
{cards}
{_confusion(result, data)}
{mistakes}
{disputed_labels(data.issues, read_image)}
{scripts}
</body>
</html>
"""


def _read_images(result: ResultFields, read: Callable[[], Iterable[EvaluatedImage]] | None) -> _ImageData:
    """Analyze the test images; without a readable snapshot, the page shows the summary only."""
    if read is None:
        return _ImageData()
    try:
        images: Sequence[EvaluatedImage] = tuple(read())
    except RekolabelsError as error:
        return _ImageData(error=str(error))
    counted = tally(images)
    at_thresholds = count_confusion(images, {}, 0.5, result.labels)
    if all(image.is_detection for image in images):
        most_confident_first = at_thresholds  # boxes know only this rule
    else:
        most_confident_first = count_confusion(images, None, 0.5, result.labels)
    return _ImageData(
        counted.scored(result.assumed_thresholds),
        {label: counted.counts(label) for label in counted.labels},
        counted.images,
        most_confident_first,
        at_thresholds,
        sum(_is_decided_differently(image, result.labels) for image in images),
        find_mistakes(images),
        find_label_issues(images),
        compare_with_summary(images, result),
    )


def _is_decided_differently(image: EvaluatedImage, labels: Collection[str]) -> bool:
    """Whether the most confident labels of a classifier's image are not those that reach their thresholds."""
    if image.is_detection:
        return False
    return set(most_confident(image, labels)) != {verdict.label for verdict in image.predictions}


def _about(result: ResultFields) -> list[str]:
    """Return what is known of the model and of the evaluation, as lines of text."""
    lines: list[str] = []
    if result.project_version_arn is not None:
        lines.append(result.project_version_arn)
    images = [
        f"{count:,} {what} {'image' if count == 1 else 'images'}"
        for count, what in ((result.training_images, "training"), (result.test_images, "test"))
        if count is not None
    ]
    if images:
        lines.append(", ".join(images))
    if result.evaluated_at is not None:
        lines.append(f"Evaluated {result.evaluated_at:%Y-%m-%d %H:%M} UTC")
    return lines


def _notices(data: _ImageData) -> str:
    if data.error is not None:
        text = f"The test images could not be read, so only the summary is shown. {data.error}"
        return f'<div class="notice"><p>{label_text(text)}</p></div>'
    if not data.discrepancies:
        return ""
    items = [f"<li>{label_text(str(one))}</li>" for one in data.discrepancies[:_MAX_DISCREPANCIES]]
    hidden = len(data.discrepancies) - len(items)
    more = f"<li>and {hidden} more</li>" if hidden else ""
    return (
        '<div class="notice"><p>The summary and the test images disagree. The table of labels shows the '
        "summary; thresholds, confusion matrix and mistakes are computed from the test images.</p>"
        f"<ul>{''.join(items)}{more}</ul></div>"
    )


def _rules(result: ResultFields) -> str:
    """Return which predictions the metrics count."""
    text = "F1, precision and recall count the predictions that reach the assumed threshold of their label."
    if result.kind == "detection":
        text += (
            " mAP and mAR count predictions of any confidence: mAR is the recall without thresholds, so it "
            "is at least as high as the overall recall."
        )
    return text


def _table(result: ResultFields) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in HEADER)
    rows = "".join(
        f"<tr><td><bdi>{label_text(label)}</bdi></td>"
        f"{_cells(metrics.f1, metrics.precision, metrics.recall, metrics.threshold)}"
        f"<td>{'n/a' if metrics.test_images is None else metrics.test_images}</td></tr>\n"
        for label, metrics in result.labels.items()
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


def _confusion(result: ResultFields, data: _ImageData) -> str:
    """Return the confusion matrix: counts if the test images are known, else the shares of the summary."""
    labels = result.confusion_matrix.labels if data.confusion is None and result.confusion_matrix else ()
    if data.confusion is not None:
        labels = data.confusion.labels
    if not labels:
        return ""
    if len(labels) > _MAX_MATRIX_LABELS:
        return f"<h2>Confusion matrix</h2>\n<p>Only shown for up to {_MAX_MATRIX_LABELS} labels.</p>"
    if data.confusion is not None:
        return _counts(data, data.confusion, detection=result.kind == "detection")
    return "" if result.confusion_matrix is None else _shares(result.confusion_matrix)


def _counts(data: _ImageData, confusion: ConfusionCounts, *, detection: bool) -> str:
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
    text = "Rows: true label. Columns: predicted label. "
    if detection:
        text += "The cells count boxes at the assumed thresholds, as the table of labels does."
    else:
        text += f"The cells count images by their most confident label. {_DIFFERENCE}"
        if data.decided_differently:
            text += (
                f" Here the two rules decide differently for {data.decided_differently:,} of {data.images:,} "
                "images."
            )
    return _heat_table(text, names, cells)


def _shares(matrix: ConfusionMatrix) -> str:
    text = (
        "Rows: true label. Columns: predicted label. Each cell is a share of the images with the true label, "
        f"by their most confident label. {_DIFFERENCE}"
    )
    if any(abs(sum(share or 0.0 for share in row) - 1) > _ROW_TOLERANCE for row in matrix.rows() if any(row)):
        text += (
            " The rows of this file do not add up to 1: the service divides by the number of images of the "
            "predicted label instead of the true label, so the shares are off where labels have different "
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
    """Return a table whose cells are the darker the larger their share, but always readable."""
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
