"""Recorded answers and result files of AWS, in ``tests/recorded``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parent / "recorded"
"""The folder of the recordings; its README says where they come from."""


def recording(name: str) -> Any:
    """Return the response of an operation, or the content of a result file.

    An empty ``NextToken`` is left out: whoever wrote the examples filled it in, the service omits it.
    """
    found = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    if found["operation"] is None:
        return found["content"]
    return {key: value for key, value in found["response"].items() if (key, value) != ("NextToken", "")}
