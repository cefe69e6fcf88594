"""A result as a picture for a message, drawn with matplotlib (the extra ``report``)."""

from __future__ import annotations

import io
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rekolabels.errors import MissingExtra
from rekolabels.evaluation._report._table import plain_label, scores

if TYPE_CHECKING:
    from rekolabels.evaluation._values import ConfusionMatrix, ResultFields

__all__ = ["draw_png"]

_MOST_BARS = 30
"""Labels that are drawn at most: the worst ones, since they are what one acts on."""
_MOST_CELLS = 25
"""Labels up to which the confusion matrix is drawn."""
_SHORT = 24
_DARK_CELL = 0.55
_INK, _SOFT, _BAR = "#1a1d21", "#5c6670", "#0b6e99"


def draw_png(result: ResultFields) -> bytes:
    """Draw the headline scores, the labels' F1 and, for few labels, the confusion matrix.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        figures: Any = import_module("matplotlib.figure")
        canvases: Any = import_module("matplotlib.backends.backend_agg")
    except ImportError as error:
        raise MissingExtra("report", "Drawing an evaluation as a picture") from error
    labels = list(result.labels.items())
    shown = labels[-_MOST_BARS:]
    matrix = result.confusion_matrix
    small = matrix is not None and 1 < len(matrix.labels) <= _MOST_CELLS
    height = max(5.0 if small else 3.5, 1.8 + 0.32 * len(shown))
    # No pyplot: it would keep the figure, and change the state of a program that draws by itself.
    figure = figures.Figure(figsize=(11 if small else 8.5, height), layout="constrained", facecolor="white")
    canvas = canvases.FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2 if small else 1, squeeze=False)[0]
    figure.suptitle("    ".join(f"{name} {value}" for name, value in scores(result)), fontsize=13, color=_INK)
    _draw_bars(axes[0], [(label, found.f1) for label, found in shown], hidden=len(labels) - len(shown))
    if matrix is not None and small:
        _draw_matrix(axes[1], matrix)
    target = io.BytesIO()
    with warnings.catch_warnings():
        # Letters that no font here has become boxes; that is no news to the caller.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        canvas.print_png(target)
    return target.getvalue()


def _draw_bars(axis: Any, bars: list[tuple[str, float | None]], *, hidden: int) -> None:
    places = range(len(bars))
    axis.barh(places, [f1 or 0.0 for _, f1 in bars], color=_BAR, height=0.7)
    for place, (_, f1) in zip(places, bars, strict=True):
        axis.text(
            (f1 or 0.0) + 0.01,
            place,
            "n/a" if f1 is None else f"{f1:.3f}",
            va="center",
            fontsize=9,
            color=_INK,
        )
    _name(axis.set_yticks(places, [_short(label) for label, _ in bars]), axis.get_yticklabels())
    axis.set_xlim(0, 1.12)
    axis.invert_yaxis()
    axis.set_title(
        "F1 score by label" + (f" (the {len(bars)} lowest)" if hidden else ""), fontsize=11, color=_SOFT
    )
    axis.spines[["top", "right"]].set_visible(False)


def _draw_matrix(axis: Any, matrix: ConfusionMatrix) -> None:
    rows = [[0.0 if share is None else share for share in row] for row in matrix.rows()]
    axis.imshow(rows, cmap="Blues", vmin=0.0, vmax=1.0)
    names = [_short(label) for label in matrix.labels]
    places = range(len(names))
    _name(axis.set_xticks(places, names, rotation=90), axis.get_xticklabels())
    _name(axis.set_yticks(places, names), axis.get_yticklabels())
    for y, row in enumerate(rows):
        for x, share in enumerate(row):
            if share:
                colour = "white" if share > _DARK_CELL else _INK
                axis.text(
                    x, y, f"{share:.2f}".lstrip("0"), ha="center", va="center", fontsize=8, color=colour
                )
    axis.set_title("True label (rows), most confident label", fontsize=11, color=_SOFT)


def _name(_ticks: Any, texts: Any) -> None:
    """Keep matplotlib from reading a label such as ``$x$`` as a formula."""
    for text in texts:
        text.set_parse_math(False)


def _short(label: str) -> str:
    plain = plain_label(label)
    return plain if len(plain) <= _SHORT else f"{plain[: _SHORT - 1]}…"
