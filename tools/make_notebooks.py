"""Run the notebooks in ``examples/notebooks`` and store their outputs, for readers of the repository.

python tools/make_notebooks.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "contract"))

import nbformat  # noqa: E402 -- after the path is set
from notebooks import NOTEBOOKS, run_notebook  # noqa: E402 -- the same


def main() -> None:
    """Run the notebooks, and write them back."""
    for path in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(run_notebook(path, Path(folder)), path)
        print(f"{path.stat().st_size / 1000:6.0f} kB  {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
