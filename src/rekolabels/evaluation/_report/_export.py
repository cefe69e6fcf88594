"""Writing a result to a file."""

from __future__ import annotations

import csv
import io
import json
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rekolabels.errors import InvalidInput, MissingExtra
from rekolabels.evaluation._report._figures import draw_png
from rekolabels.evaluation._report._page import make_page
from rekolabels.evaluation._report._table import format_number, plain_label, scores
from rekolabels.evaluation._summary import write_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from rekolabels.evaluation._images import EvaluatedImage
    from rekolabels.evaluation._values import ResultFields

__all__ = ["make_frame", "make_rich_table", "save_result"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula."""


def save_result(
    result: ResultFields,
    path: Path,
    *,
    images: Callable[[], Iterable[EvaluatedImage]] | None,
    read_image: Callable[[str], bytes] | None,
) -> Path:
    """Write the format that the ending of the path names; nothing is written when that fails."""
    ending = path.suffix.lower()
    if ending == ".json":
        data = json.dumps(write_summary(result), indent=2, ensure_ascii=False).encode()
    elif ending == ".csv":
        data = _csv(result).encode()
    elif ending == ".html":
        data = make_page(result, images, read_image).encode()
    elif ending == ".md":
        data = format_markdown(result).encode()
    elif ending == ".png":
        data = draw_png(result)
    else:
        raise InvalidInput(
            f"{path}: cannot save a result as {ending or 'a file without ending'!r}; "
            "use .html, .png, .csv, .json or .md"
        )
    path.write_bytes(data)
    return path


def _csv(result: ResultFields) -> str:
    """The table; undefined values are empty, and the last row is the aggregated one, without a threshold."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["label", "f1", "precision", "recall", "threshold", "test_images"])
    for label, found in result.labels.items():
        # A label such as =cmd() must not become a formula in somebody's spreadsheet.
        safe = f"'{label}" if label.startswith(_FORMULA) else label
        writer.writerow([safe, found.f1, found.precision, found.recall, found.threshold, found.test_images])
    writer.writerow(["(all labels)", result.f1, result.precision, result.recall, None, result.test_images])
    return text.getvalue()


_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$@:])")


def format_markdown(result: ResultFields) -> str:
    """Give the headline scores and a table; labels are text, whatever Markdown might make of them."""
    head = ", ".join(f"{name} **{value}**" for name, value in scores(result))
    rows = [
        [
            _plain(label),
            *(format_number(value) for value in (found.f1, found.precision, found.recall, found.threshold)),
            "n/a" if found.test_images is None else str(found.test_images),
        ]
        for label, found in result.labels.items()
    ]
    total = "" if result.test_images is None else str(result.test_images)
    means = [format_number(value) for value in (result.f1, result.precision, result.recall)]
    rows.append(["**All labels**", *means, "", total])
    columns = "| Label | F1 score | Precision | Recall | Assumed threshold | Test images |"
    lines = [head, "", columns, "|:--|--:|--:|--:|--:|--:|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def _plain(label: str) -> str:
    """A label as nothing but text: no links, no markup, no mention of somebody."""
    return _SPECIAL.sub(lambda found: f"&#{ord(found.group())};", plain_label(label))


def make_frame(result: ResultFields) -> Any:
    """A pandas data frame, a row for each label; undefined values are NaN.

    Raises:
        MissingExtra: pandas is not installed.
    """
    try:
        pandas: Any = import_module("pandas")
    except ImportError as error:
        raise MissingExtra("report", "Turning an evaluation into a data frame") from error
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


def make_rich_table(result: ResultFields) -> Any:
    """A table for a terminal, when rich asks for it."""
    rich: Any = import_module("rich.table")
    text: Any = import_module("rich.text")
    title = "   ".join(f"{name} {value}" for name, value in scores(result))
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
