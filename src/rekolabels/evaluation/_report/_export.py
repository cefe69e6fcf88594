"""Writing a result to a file."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

from rekolabels.errors import InvalidInput
from rekolabels.evaluation._report._figures import draw_png
from rekolabels.evaluation._report._markdown import format_markdown
from rekolabels.evaluation._report._page import make_page

if TYPE_CHECKING:
    from pathlib import Path

    from rekolabels.evaluation._result import EvaluationResult

__all__ = ["save_result"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula."""


def save_result(result: EvaluationResult, path: Path) -> Path:
    """Write the format that the ending of the path names; nothing is written when that fails."""
    ending = path.suffix.lower()
    if ending == ".json":
        data = json.dumps(result.to_summary(), indent=2, ensure_ascii=False).encode()
    elif ending == ".csv":
        data = _csv(result).encode()
    elif ending == ".html":
        data = make_page(result).encode()
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


def _csv(result: EvaluationResult) -> str:
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
