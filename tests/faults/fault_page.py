"""``docs/faults.md``: the matrix as a page, and the page read back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fault_matrix import JOBS, OK, TOLD, TROUBLES, UNSEEN, Cell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Key", "in_words", "page", "read_page"]

Key = tuple[str, str]
"""Operation and trouble."""

NOT_MET = "-"

HEAD = """# Faults

What comes of every operation in every kind of trouble. This page is written by `tools/make_fault_matrix.py`,
from runs against the embedded service behind a proxy that makes the trouble; do not edit it. Each cell is
tested. How calls are repeated is told in [](waiting.md).

Each operation is run in a short trouble, in one that does not end, and once more after that:

* it ends in time: a call within the `budget` of its {py:class}`rekolabels.RetryPolicy` and one time-out of
  botocore, a wait within its `patience` more;
* it succeeds, and what it says is then looked at without trouble; or it fails with an error of ours;
* the second run finishes the job, and nothing is there twice.

| Trouble | What happens |
|---|---|
"""

SHORT = f"""
## A trouble that passes

It strikes the first request, or as often as is said above. `{NOT_MET}`: the operation makes no such request.
*{UNSEEN}*: the answer is that of a world without the resource, as AWS gives it; asked again, it is there.
A wrong clock and expired credentials are not repeated, because that would not mend them; a wait goes on when
credentials have expired, because somebody may renew them.
"""

LASTING = f"""
## A trouble that does not end

The error after the last try; the run after it succeeds. Where *{TOLD}* follows, the first run was carried out
without knowing, and the second run is told by that error that the work is done.
"""


def in_words(cell: Cell | None) -> tuple[str, str]:
    """What the two tables say of a cell."""
    if cell is None:
        return NOT_MET, NOT_MET
    told = cell.again if cell.again != OK else ""
    return _word(cell.brief), ", ".join(filter(None, (_word(cell.lasting), told and _told(told))))


def page(cells: Mapping[Key, tuple[str, str]]) -> Iterator[str]:
    """The lines of the page."""
    yield HEAD.rstrip("\n")
    for trouble in TROUBLES:
        yield f"| {trouble.name} | {trouble.meaning} |"
    for number, text in enumerate((SHORT, LASTING)):
        yield text
        yield f"| Operation | {' | '.join(trouble.name for trouble in TROUBLES)} |"
        yield "|---" * (len(TROUBLES) + 1) + "|"
        for job in JOBS:
            row = [cells[job.operation, trouble.name][number] for trouble in TROUBLES]
            yield f"| `{job.operation}` | {' | '.join(row)} |"


def read_page(text: str) -> dict[Key, tuple[str, str]]:
    """The cells of a page."""
    rows: dict[str, list[list[str]]] = {}
    for operation, row in re.findall(r"^\| `(\w+\.\w+)` \| (.*) \|$", text, re.MULTILINE):
        rows.setdefault(operation, []).append(row.split(" | "))
    return {
        (operation, trouble.name): (short, lasting)
        for operation, tables in rows.items()
        for trouble, short, lasting in zip(TROUBLES, *tables, strict=True)
    }


def _word(outcome: str) -> str:
    return outcome if outcome in {OK, UNSEEN} else f"`{outcome}`"


def _told(outcome: str) -> str:
    return f"*{TOLD}* `{outcome.removeprefix(f'{TOLD}: ')}`"
