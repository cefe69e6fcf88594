"""Export of a result: files, Markdown, CSV, pandas and rich."""

from __future__ import annotations

import csv
import io
import json
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rekolabels._files import replacing, without_formula
from rekolabels.errors import InvalidInput, MissingExtra
from rekolabels.evaluation._jsonl import to_utf8
from rekolabels.evaluation._report._figures import draw_png
from rekolabels.evaluation._report._page import make_page
from rekolabels.evaluation._report._table import HEADER, format_number, plain_label, scores
from rekolabels.evaluation._summary import write_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from rekolabels.evaluation._images import EvaluatedImage
    from rekolabels.evaluation._values import ResultFields

__all__ = ["make_frame", "make_rich_table", "save_result"]

_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$@:])")


def save_result(
    result: ResultFields,
    path: Path,
    *,
    images: Callable[[], Iterable[EvaluatedImage]] | None,
    read_image: Callable[[str], bytes] | None,
) -> Path:
    """Write the result in the format that the extension names; write nothing if that fails."""
    extension = path.suffix.lower()
    if extension == ".json":
        data = to_utf8(json.dumps(write_summary(result), indent=2, ensure_ascii=False))
    elif extension == ".csv":
        data = to_utf8(_format_csv(result))
    elif extension == ".html":
        data = to_utf8(make_page(result, images, read_image))
    elif extension == ".md":
        data = to_utf8(_format_markdown(result))
    elif extension == ".png":
        data = draw_png(result)
    else:
        problem = f"{extension!r} is not a supported extension" if extension else "it has no extension"
        raise InvalidInput(
            f"Cannot save the evaluation to {path}: {problem}. Use .html, .png, .csv, .json or .md."
        )
    with replacing(path) as file:
        file.write(data)
    return path


def _format_csv(result: ResultFields) -> str:
    """Return the table as CSV; undefined values are empty, and the last row has the aggregated metrics."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["label", "f1", "precision", "recall", "threshold", "test_images"])
    for label, metrics in result.labels.items():
        writer.writerow(
            [
                without_formula(label),
                metrics.f1,
                metrics.precision,
                metrics.recall,
                metrics.threshold,
                metrics.test_images,
            ]
        )
    writer.writerow(["(all labels)", result.f1, result.precision, result.recall, None, result.test_images])
    return text.getvalue()


def _format_markdown(result: ResultFields) -> str:
    """Return the headline scores and a table, for a pull request."""
    headline = ", ".join(f"{name} **{value}**" for name, value in scores(result))
    rows = [
        [
            _escape_markdown(label),
            *(
                format_number(value)
                for value in (metrics.f1, metrics.precision, metrics.recall, metrics.threshold)
            ),
            "n/a" if metrics.test_images is None else str(metrics.test_images),
        ]
        for label, metrics in result.labels.items()
    ]
    total = "" if result.test_images is None else str(result.test_images)
    means = [format_number(value) for value in (result.f1, result.precision, result.recall)]
    rows.append(["**All labels**", *means, "", total])
    lines = [headline, "", f"| {' | '.join(HEADER)} |", "|:--|--:|--:|--:|--:|--:|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _escape_markdown(label: str) -> str:
    """Escape a label so that it cannot become a link, markup or a mention of a user."""
    return _MARKUP.sub(lambda found: f"&#{ord(found.group())};", plain_label(label))


def make_frame(result: ResultFields) -> Any:
    """Return a pandas data frame with a row per label; undefined values are NaN.

    Raises:
        MissingExtra: pandas is not installed.
    """
    try:
        pandas: Any = import_module("pandas")
    except ImportError as error:
        raise MissingExtra("report", "Turning an evaluation into a data frame") from error
    names = ("f1", "precision", "recall", "threshold", "test_images")
    index = pandas.Index(list(result.labels), name="label", dtype=object)
    # pandas has no integers of more than 64 bits.
    small = all(abs(metrics.test_images or 0) < 2**63 for metrics in result.labels.values())
    columns = {
        name: pandas.Series(
            [getattr(metrics, name) for metrics in result.labels.values()],
            index=index,
            dtype="float64" if name != "test_images" else "Int64" if small else object,
        )
        for name in names
    }
    return pandas.DataFrame(columns, index=index)


def make_rich_table(result: ResultFields) -> Any:
    """Return a rich table for a terminal."""
    rich: Any = import_module("rich.table")
    text: Any = import_module("rich.text")
    title = "   ".join(f"{name} {value}" for name, value in scores(result))
    table = rich.Table(title=title, title_justify="left")
    first, *others = HEADER
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    for label, metrics in result.labels.items():
        values = (metrics.f1, metrics.precision, metrics.recall, metrics.threshold)
        count = "n/a" if metrics.test_images is None else str(metrics.test_images)
        # Text keeps rich from treating a label such as [red] as markup.
        table.add_row(text.Text(plain_label(label)), *(format_number(value) for value in values), count)
    return table
