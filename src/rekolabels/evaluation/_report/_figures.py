"""Picture of a result, drawn with matplotlib (the extra ``report``)."""

from __future__ import annotations

import io
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rekolabels.errors import MissingExtra
from rekolabels.evaluation._report._table import plain_label, scores

if TYPE_CHECKING:
    from rekolabels.evaluation._values import ConfusionMatrix, ResultFields

__all__ = ["draw_png", "rules_note"]

_MAX_BARS = 30
"""Maximum number of labels with a bar; of more, the ones with the lowest F1 are drawn."""
_MAX_MATRIX_LABELS = 25
"""Maximum number of labels for which the confusion matrix is drawn."""
_MAX_NAME = 24
"""Maximum number of characters of a label."""
_DARK_CELL = 0.55
"""Share from which the text of a cell is white."""
_INK, _SOFT, _BAR = "#1a1d21", "#5c6670", "#0b6e99"


def draw_png(result: ResultFields) -> bytes:
    """Draw the headline scores, the F1 of the labels and, for few labels, the confusion matrix.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        figures: Any = import_module("matplotlib.figure")
        canvases: Any = import_module("matplotlib.backends.backend_agg")
    except ImportError as error:
        raise MissingExtra("report", "Drawing an evaluation as a picture") from error
    labels = list(result.labels.items())
    shown = labels[-_MAX_BARS:]
    matrix = result.confusion_matrix
    with_matrix = matrix is not None and 1 < len(matrix.labels) <= _MAX_MATRIX_LABELS
    width = 11 if with_matrix else 8.5
    height = max(5.0 if with_matrix else 3.5, 1.8 + 0.32 * len(shown))
    # Not pyplot: it would keep the figure in memory and change global state of the caller's program.
    figure = figures.Figure(figsize=(width, height), layout="constrained", facecolor="white")
    canvas = canvases.FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2 if with_matrix else 1, squeeze=False)[0]
    figure.suptitle("    ".join(f"{name} {value}" for name, value in scores(result)), fontsize=13, color=_INK)
    _draw_bars(axes[0], [(label, metrics.f1) for label, metrics in shown], hidden=len(labels) - len(shown))
    if matrix is not None and with_matrix:
        _draw_matrix(axes[1], matrix)
    figure.supxlabel(rules_note(result, with_matrix=with_matrix), fontsize=9, color=_SOFT)
    target = io.BytesIO()
    with warnings.catch_warnings():
        # Characters that no installed font has are drawn as boxes; the caller cannot do anything about it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        canvas.print_png(target)
    return target.getvalue()


def rules_note(result: ResultFields, *, with_matrix: bool) -> str:
    """Return which predictions the parts of the picture count."""
    if result.kind == "detection":
        return (
            "F1, precision and recall count predictions that reach the assumed threshold of their label;\n"
            "mAP and mAR count predictions of any confidence."
        )
    text = "F1, precision and recall count predictions that reach the assumed threshold of their label"
    if with_matrix:
        text += (
            ";\nthe matrix counts the most confident label of each image, so its diagonal is not the recall"
        )
    return f"{text}."


def _draw_bars(axis: Any, bars: list[tuple[str, float | None]], *, hidden: int) -> None:
    places = range(len(bars))
    axis.barh(places, [f1 or 0.0 for _, f1 in bars], color=_BAR, height=0.7)
    for place, (_, f1) in zip(places, bars, strict=True):
        text = "n/a" if f1 is None else f"{f1:.3f}"
        axis.text((f1 or 0.0) + 0.01, place, text, va="center", fontsize=9, color=_INK)
    axis.set_yticks(places, [_short(label) for label, _ in bars])
    _disable_math(axis.get_yticklabels())
    axis.set_xlim(0, 1.12)
    axis.invert_yaxis()
    lowest = f" (the {len(bars)} lowest)" if hidden else ""
    title = f"F1 score by label{lowest}, at the assumed thresholds"
    axis.set_title(title, fontsize=11, color=_SOFT)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_matrix(axis: Any, matrix: ConfusionMatrix) -> None:
    rows = [[0.0 if share is None else share for share in row] for row in matrix.rows()]
    axis.imshow(rows, cmap="Blues", vmin=0.0, vmax=1.0)
    names = [_short(label) for label in matrix.labels]
    places = range(len(names))
    axis.set_xticks(places, names, rotation=90)
    axis.set_yticks(places, names)
    _disable_math(axis.get_xticklabels())
    _disable_math(axis.get_yticklabels())
    for y, row in enumerate(rows):
        for x, share in enumerate(row):
            if share:
                text = f"{share:.2f}".lstrip("0")
                colour = "white" if share > _DARK_CELL else _INK
                axis.text(x, y, text, ha="center", va="center", fontsize=8, color=colour)
    axis.set_title("True label (rows), most confident label (columns)", fontsize=11, color=_SOFT)


def _disable_math(texts: Any) -> None:
    """Keep matplotlib from rendering a label such as ``$x$`` as a formula."""
    for text in texts:
        text.set_parse_math(False)


def _short(label: str) -> str:
    plain = plain_label(label)
    return plain if len(plain) <= _MAX_NAME else f"{plain[: _MAX_NAME - 1]}…"
