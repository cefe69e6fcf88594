"""Write ``docs/service-errors.md``: the errors of the embedded service.

python tools/make_service_errors.py
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "service-errors.md"


def main() -> int:
    """Write the page."""
    sys.path[:0] = [str(ROOT / "tests" / "contract"), str(ROOT / "tests")]
    from error_cases import page

    PAGE.write_text("\n".join(page()) + "\n", encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
