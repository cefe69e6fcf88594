"""Find words that the project does not use, in code, messages and docs (part of `make check`).

    python tools/check_words.py [PATH ...]

Prints ``path:line: word -> replacement`` and exits with 1 when it finds any.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCANNED = (
    "src",
    "docs",
    "examples",
    "tests",
    "benchmarks",
    "tools",
    ".github",
    ".ci",
    "Makefile",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "pyproject.toml",
)
SUFFIXES = {".py", ".md", ".toml", ".yml", ".yaml", ".js", ".mjs", ".css", ".html", ".cff", ""}
LEFT_OUT = {Path(__file__).resolve()}

WORDS = {
    r"mend(?:s|ed|ing|able)?": "fix, repair",
    r"anew": "again, or leave it out",
    r"doors?": "module, entry point, host",
    r"houses?": "project, package",
    r"(?<!head)rooms?(?! temperature)": "module, package, capacity",
    r"(?<!math\.)(?<!np\.)(?<!\w_)floors?(?!\()": "layer, minimum",
    r"lies(?! about)": "is, is stored",
    r"(?<!there )(?<!where )is no (?!longer\b|more\b|less\b)\w+": "is not a valid ...",
    r"(?<!not )so many(?! that)": "N",
    r"taken for": "treated as",
    r"word is (?:no longer )?good": "the lease is valid",
    r"behind (?:our|your|its|their) backs?": "elsewhere",
    r"somebody(?:'s)?": "another process, another user",
    r"nobody(?:'s)?": "no process, no user",
    r"br(?:oken|oke|eaks?|eaking) off": "interrupted",
    r"the other side": "the target format, the server",
    r"in the hands of": "of, held by",
    r"tells": "reports, logs",
    r"surest": "most confident",
    r"dearest": "most expensive",
    r"marks": "tags",
    r"errands?": "worker configuration, task",
    r"interludes?": "delay",
    r"wish(?:es|ed)?": "query, request",
    r"(?:by )?chances?": "probability, at random",
    r"deals?": "assign, amount",
    r"(?:a|one|another|first|second|each|every|this) look": "inspect, check, pass",
}
"""Each word as a regular expression, and what the project says instead."""

PATTERNS = {re.compile(rf"(?i)(?<![\w/-])(?:{word})(?![\w-])"): instead for word, instead in WORDS.items()}


def files(paths: list[Path]) -> list[Path]:
    """List the text files below the paths."""
    found = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    return [
        file
        for file in found
        if file.is_file()
        and file.suffix in SUFFIXES
        and file.resolve() not in LEFT_OUT
        and "_build" not in file.parts
        and "recorded" not in file.parts
    ]


def check(file: Path) -> list[str]:
    """Return a line for each unwanted word of a file."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return []
    return [
        f"{file.relative_to(ROOT)}:{number}: {match[0]!r} -> {instead}"
        for number, line in enumerate(text.splitlines(), start=1)
        for pattern, instead in PATTERNS.items()
        for match in pattern.finditer(line)
    ]


def main() -> int:
    """Check the paths of the command line, or the whole project."""
    paths = [Path(name).resolve() for name in sys.argv[1:]] or [ROOT / name for name in SCANNED]
    found = [line for file in files([path for path in paths if path.exists()]) for line in check(file)]
    print("\n".join(found) if found else "No unwanted words.")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
