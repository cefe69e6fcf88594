"""A result as Markdown, for a pull request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rekolabels.evaluation._report._table import format_number, headline, plain_label

if TYPE_CHECKING:
    from rekolabels.evaluation._result import EvaluationResult

__all__ = ["format_markdown"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$@:])")


def format_markdown(result: EvaluationResult) -> str:
    """Give the headline scores and a table; labels are text, whatever Markdown might make of them."""
    scores = ", ".join(f"{name} **{value}**" for name, value in headline(result))
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
    head = "| Label | F1 score | Precision | Recall | Assumed threshold | Test images |"
    lines = [scores, "", head, "|:--|--:|--:|--:|--:|--:|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def _plain(label: str) -> str:
    """A label as nothing but text: no links, no markup, no mention of somebody."""
    return _SPECIAL.sub(lambda found: f"&#{ord(found.group())};", plain_label(label))
