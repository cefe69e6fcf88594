"""Parser for documentation pages: the code blocks that a reader can run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import attrs

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_PIECE = re.compile(
    r"^<!-- (?P<mark>hidden|not run|run|prints|given)(?:: (?P<why>[^\n]*?))?(?: -->|\n(?P<hidden>.*?)^-->)$"
    r"|^(?P<fence>```+)(?P<language>[^\n]*)\n(?P<code>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)

Mark = Literal["hidden", "not run", "run", "prints"]


@attrs.frozen
class Block:
    """A code block of a page."""

    page: Path
    line: int
    """Line number of the first line of code, from 1."""
    language: str
    """Info string of the fence: ``python``, ``console``, ``text``."""
    code: str
    mark: Mark | None = None
    """Directive in the comment before the block."""
    why: str = ""
    """Why the block is not run, or how its output is compared."""

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def read_blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in order, including those hidden in comments."""
    text = page.read_text(encoding="utf-8")
    blocks: list[Block] = []
    mark: Mark | None = None
    why = ""
    for piece in _PIECE.finditer(text):
        start = piece.start("code") if piece["mark"] is None else piece.start("hidden")
        line = text.count("\n", 0, max(start, 0)) + 1
        if piece["mark"] == "hidden":
            blocks.append(Block(page, line, "python", piece["hidden"] or "", "hidden"))
        elif piece["mark"] in {"not run", "run", "prints"}:
            mark, why = piece["mark"], piece["why"] or ""  # type: ignore[assignment]
        elif piece["fence"] is not None:
            blocks.append(Block(page, line, piece["language"], piece["code"], mark, why))
            mark, why = None, ""
    return blocks


def is_given_the_tutorial(page: Path) -> bool:
    """Whether a page continues from the end of the tutorial, with its workspace and trained model."""
    return "<!-- given: the tutorial -->" in page.read_text(encoding="utf-8")


def commands(block: Block) -> list[str]:
    """Return the commands of a console block, with continued lines joined."""
    text = block.code.replace("\\\n", " ")
    return [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
