"""Reader of AWS's developer guide: the Python samples and AWS CLI commands of its pages."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from pathlib import Path

Language = Literal["Python", "AWS CLI"]


@attrs.frozen
class Block:
    """A code block of the guide that can be run."""

    page: str
    """Name of the page, without ``.md``."""
    language: Language
    number: int
    """Position among the blocks of this language on the page, from 1."""
    line: int
    """Line of the opening fence, from 1."""
    code: str

    def __str__(self) -> str:
        return f"{self.page}.md:{self.line}"


def read_guide(guide: Path) -> list[Block]:
    """Return the blocks of all pages below a checkout of the guide."""
    pages = sorted(guide.rglob("doc_source/*.md"))
    return [block for page in pages for block in read_page(page.stem, page.read_text(encoding="utf-8"))]


def read_page(page: str, text: str) -> list[Block]:
    """Return the blocks of one page in their order; JSON, Java and plain text are left out."""
    blocks: list[Block] = []
    counts: Counter[Language] = Counter()
    opened: int | None = None
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        # The guide names no languages, and has text after some closing fences.
        if not line.lstrip().startswith("```"):
            continue
        if opened is None:
            opened = number
            continue
        code = textwrap.dedent("\n".join(lines[opened : number - 1])).strip("\n")
        if language := language_of(code):
            counts[language] += 1
            blocks.append(Block(page, language, counts[language], opened, code))
        opened = None
    return blocks


def language_of(code: str) -> Language | None:
    """Return the language of a block; None if it is neither."""
    if re.match(r"\s*aws [a-z]", code):
        return "AWS CLI"
    # An import of Java ends in a semicolon.
    return "Python" if re.search(r"^(import|from) [\w.]+[^;\n]*$", code, re.MULTILINE) else None
