"""Runs of the notebooks in ``examples/notebooks``, and their outputs without what differs from run to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


def read_notebook(path: Path) -> Any:
    """Return a notebook as it is stored."""
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # nbformat has no annotations


def run_notebook(path: Path, folder: Path) -> Any:
    """Run a notebook in a folder, and return it with its outputs; progress bars and log lines are left out.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell raises an error.
    """
    notebook = read_notebook(path)
    client = NotebookClient(
        notebook, timeout=600, record_timing=False, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            for output in cell.outputs:
                output.get("data", {}).pop("image/jpeg", None)  # the same picture as PNG is there
            cell.outputs = [
                output for output in cell.outputs if output.output_type != "stream" or output.name == "stdout"
            ]
    return notebook
