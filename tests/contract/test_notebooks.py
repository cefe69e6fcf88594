"""The notebooks run, and print what is stored in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from document_pages import NUMBER
from notebooks import NOTEBOOKS, read_notebook, run_notebook

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 300_000
"""Bytes of a notebook; GitHub does not show much larger ones."""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_prints_what_is_stored_in_it(path: Path, tmp_path: Path) -> None:
    """Every cell runs in an empty folder; its outputs are those in the file, except numbers and pixels."""
    assert summarize(read_notebook(path)) == summarize(run_notebook(path, tmp_path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_shows_pictures(path: Path) -> None:
    """Pictures are stored in a notebook, and it is small enough to be shown on GitHub."""
    outputs = [output for outputs in summarize(read_notebook(path)) for output in outputs]
    assert sum("image/png" in output for output in outputs) >= 2
    assert path.stat().st_size < LARGEST


def summarize(notebook: Any) -> list[list[dict[str, str]]]:
    """Return the outputs of each code cell by media type: pictures by their presence, texts without numbers.

    What is shown as HTML or as a picture is not compared as text, too.
    """
    return [
        [
            {
                media: "" if media.startswith("image/") else NUMBER.sub("#", text)
                for media, text in output.get("data", {"text": output.get("text", "")}).items()
                if media != "text/plain" or len(output.data) == 1
            }
            for output in cell.outputs
        ]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
