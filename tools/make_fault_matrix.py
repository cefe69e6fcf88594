"""Write ``docs/faults.md``: run every operation under every fault, and report the outcomes.

python tools/make_fault_matrix.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "faults.md"


def main() -> int:
    """Run all cells and write the page."""
    sys.path[:0] = [str(ROOT / "tests" / folder) for folder in ("faults", "contract", "")]
    from fault_matrix import FAULTS, JOBS, judge, open_worlds
    from fault_page import in_words, page

    with tempfile.TemporaryDirectory() as folder, open_worlds(Path(folder)) as world_of:
        cells = {
            (job.operation, fault.name): in_words(judge(world_of(job), job, fault))
            for job in JOBS
            for fault in FAULTS
        }
    PAGE.write_text("\n".join(page(cells)) + "\n", encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
