"""The names that the reference documents."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
DIRECTIVE = re.compile(r"^\.\. auto(\w+):: (\S+)\n((?:   :.*\n)*)", re.MULTILINE)
NOT_LISTED = re.compile(r":exclude-members: (.*)")


def listed() -> list[str]:
    """Return the full names that the reference documents."""
    names: list[str] = []
    pages = "".join(page.read_text(encoding="utf-8") for page in sorted(REFERENCE.glob("*.md")))
    for kind, target, options in DIRECTIVE.findall(pages):
        if kind == "module":
            left_out = NOT_LISTED.search(options)
            excluded = set(left_out[1].split(", ")) if left_out else set[str]()
            exported: list[str] = importlib.import_module(target).__all__
            names += [f"{target}.{name}" for name in exported if name not in excluded]
        else:
            names.append(target)
    return names


def resolve(name: str) -> Any:
    """Return the object with this full name."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)
