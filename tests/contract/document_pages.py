"""Parser for documentation pages: the code blocks that a reader can run."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shlex
import subprocess
import sys
from codeop import compile_command
from pathlib import Path
from typing import Any, Literal, get_args

import attrs

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TUTORIAL = ROOT / "docs" / "tutorial.md"
CONTINUES = "where the [tutorial](tutorial.md) ends"
"""Words by which a page says that its code needs what the tutorial leaves in its folder."""

NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?")

Mark = Literal["stand-in", "not run", "run", "file", "prints"]

_PIECE = re.compile(
    rf"^<!-- (?P<mark>{'|'.join(get_args(Mark))})(?:: (?P<why>[^\n]*?))?(?: -->|\n(?P<hidden>.*?)^-->)$"
    r"|^(?P<fence>```+)(?P<language>[^\n]*)\n(?P<code>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)


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
    """Why the block is not run, how its output is compared, or the name of the file."""

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def is_typed(self) -> bool:
        """Whether the reader types this block into Python."""
        return self.language == "python" and self.mark not in {"stand-in", "not run", "file"}


def read_blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in order, including those hidden in comments."""
    text = page.read_text(encoding="utf-8")
    blocks: list[Block] = []
    mark: Mark | None = None
    why = ""
    for piece in _PIECE.finditer(text):
        start = piece.start("code") if piece["hidden"] is None else piece.start("hidden")
        line = text.count("\n", 0, max(start, 0)) + 1
        if piece["hidden"] is not None:
            blocks.append(Block(page, line, "python", piece["hidden"], "stand-in", piece["why"] or ""))
        elif piece["mark"] is not None:
            mark, why = piece["mark"], piece["why"] or ""  # type: ignore[assignment]
        else:
            blocks.append(Block(page, line, piece["language"], piece["code"], mark, why))
            mark, why = None, ""
    return blocks


def continues_the_tutorial(page: Path) -> bool:
    """Whether a page says that its code continues in the folder of the tutorial."""
    return CONTINUES in " ".join(page.read_text(encoding="utf-8").split())


def commands(block: Block) -> list[str]:
    """Return the commands of a console block, with continued lines joined."""
    text = block.code.replace("\\\n", " ")
    return [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]


def find_paste_fault(code: str) -> str | None:
    """Return why Python's prompt does not take this code line by line, or None.

    Before Python 3.13, the prompt ends an indented block at an empty line, and at no other line.
    """
    statement: list[str] = []
    for line in [*code.splitlines(), ""]:
        statement.append(line)
        try:
            complete = compile_command("\n".join(statement), symbol="single") is not None
        except SyntaxError as error:
            return f"{line!r}: {error}"
        if complete:
            statement = []
    return f"{statement!r} is incomplete" if statement else None


def run_block(block: Block, folder: Path, names: dict[str, Any]) -> str | None:
    """Do with a block what the reader does, and return what it prints; None if there is nothing to do."""
    if block.mark == "file":
        with (folder / block.why).open("a", encoding="utf-8") as file:
            file.write(block.code)
        importlib.invalidate_caches()
        return ""
    if block.language == "console" and block.mark == "run":
        return "".join(run_command(command) for command in commands(block))
    if not block.is_typed and block.mark != "stand-in":
        return None
    out = io.StringIO()
    code = compile("\n" * (block.line - 1) + block.code, block.page.name, "exec")
    with contextlib.redirect_stdout(out):
        exec(code, names)  # noqa: S102 -- our own pages
    return out.getvalue()


def run_command(command: str) -> str:
    """Run a command that begins with ``python`` or ``rekolabels``, and return its output."""
    words = shlex.split(command)
    if words[0] == "source":
        return ""  # the environment of the caller is active
    assert words[0] in {"python", "rekolabels"}
    module = ["-m", "rekolabels"] if words[0] == "rekolabels" else []
    done = subprocess.run(  # noqa: S603 -- our own pages
        [sys.executable, *module, *words[1:]], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0 or (module and done.returncode == 1), done.stderr  # 1: findings
    return done.stdout
