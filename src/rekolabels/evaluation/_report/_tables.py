"""A result in the tables of other packages, imported when they are asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rekolabels.errors import MissingExtra
from rekolabels.evaluation._report._table import format_number, headline, plain_label

if TYPE_CHECKING:
    from rekolabels.evaluation._result import EvaluationResult

__all__ = ["make_frame", "make_rich_table"]


def make_frame(result: EvaluationResult) -> Any:
    """A pandas data frame, a row for each label; undefined values are NaN.

    Raises:
        MissingExtra: pandas is not installed.
    """
    try:
        pandas: Any = import_module("pandas")
    except ImportError as error:
        raise MissingExtra("report", "turning an evaluation into a data frame") from error
    figures = ("f1", "precision", "recall", "threshold", "test_images")
    index = pandas.Index(list(result.labels), name="label", dtype=object)
    columns = {
        name: pandas.Series(
            [getattr(found, name) for found in result.labels.values()],
            index=index,
            dtype="Int64" if name == "test_images" else "float64",
        )
        for name in figures
    }
    return pandas.DataFrame(columns, index=index)


def make_rich_table(result: EvaluationResult) -> Any:
    """A table for a terminal, when rich asks for it."""
    rich: Any = import_module("rich.table")
    text: Any = import_module("rich.text")
    title = "   ".join(f"{name} {value}" for name, value in headline(result))
    table = rich.Table(title=title, title_justify="left")
    table.add_column("Label")
    for name in ("F1 score", "Precision", "Recall", "Assumed threshold", "Test images"):
        table.add_column(name, justify="right")
    for label, found in result.labels.items():
        values = (found.f1, found.precision, found.recall, found.threshold)
        count = "n/a" if found.test_images is None else str(found.test_images)
        # Text, so that a label such as [red] is no markup
        table.add_row(text.Text(plain_label(label)), *(format_number(value) for value in values), count)
    return table
