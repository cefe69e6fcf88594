"""What the documents show works: every Python block of README and pages runs, on the embedded service."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sdk_backends import COLOURS, png, write_folder

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`]*`")
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who types in what a page shows, in a folder with pictures of puppies, gets no error."""
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    if not blocks:
        pytest.skip("the page has no Python")
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "puppies", images=8)
    (tmp_path / "dog.jpg").write_bytes(png(64, 64, COLOURS["blue"], 5))
    # doctests are run by doctest; here run the blocks that are plain programs
    program = "\n".join(block for block in blocks if ">>>" not in block)
    exec(compile(program, page.name, "exec"), {"__name__": "__main__"})  # noqa: S102 -- our own pages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of the project leads to a file."""
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    targets = [page.parent / target for target in LINK.findall(text)]
    assert [target for target in targets if not target.exists()] == []
