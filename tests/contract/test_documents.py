"""What the documents show works: each block of Python runs on the embedded service, each command exists.

A page is read from its top to its bottom, as a reader would. Comments in it say what else there is to know::

    <!-- given: the tutorial -->       the page goes on in the folder in which the tutorial ended
    <!-- hidden
    code that runs here, and is not shown
    -->
    <!-- not run: why -->              the next block is not run, for this reason
    <!-- run -->                       the commands of the next block are run, not only looked up
    <!-- prints -->                    the next block is what the last one printed, whatever the numbers are
    <!-- prints: in any order -->      its lines are among those
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from functools import partialmethod
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from document_pages import PAGES, ROOT, Block, commands, is_given_the_tutorial, read_blocks

from rekolabels.formats import read_folder
from rekolabels.local import LocalService

LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")
CODE = re.compile(r"`[^`]*`")
NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
SHELL = {"cd", "cp", "export", "git", "ls", "mkdir", "rm", "source"}
"""Commands that are nobody's business but the shell's."""
COMMANDS = [
    pytest.param(block, command, id=f"{block}: {command[:40]}")
    for page in PAGES
    for block in read_blocks(page)
    if block.language == "console"
    for command in commands(block)
]


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reader: few puppies, so that it is quick, and what the tutorial leaves behind."""
    folder = tmp_path_factory.mktemp("reader")
    draw(folder, "puppies", "--images", "8", "--mislabelled", "0")
    draw(folder, "unseen", "--images", "1", "--mislabelled", "0", "--seed", "8")
    draw(folder, "meadow", "--boxes", "--images", "14")
    shutil.copy(folder / "unseen" / "corgi" / "c000.jpg", folder / "dog.jpg")
    (folder / "workspace").mkdir()
    with LocalService(folder / "workspace", engine="tiny") as service:
        project = service.client(bucket="puppies").create_project("PuppyChallenge")
        project.create_datasets(read_folder(folder / "puppies"), test=0.5, seed=7)
        for version in ("v1", "v2"):
            project.train(version).wait_until_trained()
        project.model("v1").evaluation().save(folder / "evaluation.html")
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_reader_who_types_in_a_page_gets_no_error(
    page: Path, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every block of Python of a page runs, one after the other, in a folder with puppies.

    Whether models are good is not asked here: the tiny engine trains, for the sake of time, except in the
    tutorial, which shows what comes out.
    """
    blocks = [block for block in read_blocks(page) if block.language in {"python", "text", "console"}]
    if not any(block.language == "python" for block in blocks):
        pytest.skip("the page has no Python")
    folder = tmp_path / "puppy-challenge"
    given = is_given_the_tutorial(page)
    names = ["puppies", "unseen", "meadow", "dog.jpg", *["workspace", "evaluation.html"] * given]
    if page.name == "tutorial.md":
        names = []  # it draws them itself
    else:
        tiny = partialmethod(LocalService.__init__, engine="tiny")
        monkeypatch.setattr(LocalService, "__init__", tiny)
    folder.mkdir()
    for name in names:
        copy = shutil.copytree if (drawn / name).is_dir() else shutil.copy
        copy(drawn / name, folder / name)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with patch.dict(os.environ):
        run_page(blocks, {"__name__": "__main__"})


def run_page(blocks: list[Block], names: dict[str, Any]) -> None:
    """Run the blocks of a page in one namespace, and hold what they print to what the page says."""
    printed = ""
    try:
        for block in blocks:
            if block.mark == "prints":
                check_printed(block, printed)
            elif block.language == "console" and block.mark == "run":
                printed = "".join(run_command(command) for command in commands(block))
            elif block.language == "python" and block.mark != "not run":
                out = io.StringIO()
                code = compile("\n" * (block.line - 1) + block.code, block.page.name, "exec")
                with contextlib.redirect_stdout(out):
                    exec(code, names)  # noqa: S102 -- our own pages
                printed = out.getvalue()
    finally:
        for value in names.values():
            if isinstance(value, LocalService):
                value.close()


def check_printed(block: Block, printed: str) -> None:
    """What is printed has the words that the page shows; numbers differ from machine to machine."""
    want, got = (NUMBER.sub("#", text) for text in (block.code, printed))
    if block.why == "in any order":
        wanted = {line for line in want.splitlines() if line != "..."}
        assert wanted - set(got.splitlines()) == set(), f"{block}\n{printed}"
    else:
        assert OutputChecker().check_output(want, got, ELLIPSIS | NORMALIZE_WHITESPACE), f"{block}\n{printed}"


def run_command(command: str) -> str:
    """Run a command of ours as a reader in a folder beside the project's would."""
    words = [word.replace("../examples", str(ROOT / "examples")) for word in shlex.split(command)]
    assert words[0] == "python"
    return subprocess.run(  # noqa: S603 -- our own pages
        [sys.executable, *words[1:]], check=True, capture_output=True, text=True
    ).stdout


def draw(folder: Path, *arguments: str) -> None:
    """Draw puppies into a folder."""
    script = ROOT / "examples" / "draw_puppies.py"
    subprocess.run([sys.executable, script, *arguments], cwd=folder, check=True)  # noqa: S603 -- our own script


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_not_run_says_why(page: Path) -> None:
    """A block of Python is run, or has a reason why not; no page has doctests, which nobody would run."""
    silent = [
        str(block)
        for block in read_blocks(page)
        if block.language == "python" and ((block.mark == "not run" and not block.why) or ">>>" in block.code)
    ]
    assert silent == []


@pytest.mark.parametrize(("block", "command"), COMMANDS)
def test_commands_exist(block: Block, command: str) -> None:
    """A command of a page names targets, scripts, options, extras and operations that there are."""
    words = shlex.split(command, comments=True)
    while re.fullmatch(r"\w+=\S*", words[0]):  # variables before a command
        words = words[1:]
    assert find_fault(words) is None, f"{block}: {command}"


def find_fault(words: list[str]) -> str | None:
    """What is wrong with a command; None when nothing is."""
    match Path(words[0]).name, words[1:]:
        case "make", [target, *_]:
            found = re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
            return None if found else f"no target {target}"
        case "pip", ["install", *rest]:
            return find_missing_extra(rest)
        case "python", ["-m", "pip", "install", *rest]:
            return find_missing_extra(rest)
        case (("python" | "python3"), ["-m", "venv", _]):
            return None
        case "python", ["-m", module, *rest]:
            return find_missing_option(ROOT / "src" / module.replace(".", "/") / "__main__.py", rest)
        case "python", [script, *rest]:
            return find_missing_option(ROOT / "examples" / Path(script).name, rest)
        case "aws", [("rekognition" | "s3api") as service, operation, *rest] if operation != "wait":
            return find_missing_member("s3" if service == "s3api" else service, operation, rest)
        case (("aws" | "pytest" | "npm" | "docker" | "jupyter"), _):
            return None
        case name, _:
            return None if name in SHELL else f"no command {name}"


def find_missing_extra(words: list[str]) -> str | None:
    """The extra that ``pyproject.toml`` does not have."""
    known = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    wanted = [
        extra for word in words for found in re.findall(r"\[([\w,]+)\]", word) for extra in found.split(",")
    ]
    return next((f"no extra {extra}" for extra in wanted if extra not in known), None)


def find_missing_option(script: Path, words: list[str]) -> str | None:
    """The script that there is not, or its option."""
    if not script.is_file():
        return f"no script {script}"
    text = script.read_text(encoding="utf-8")
    options = (word.partition("=")[0] for word in words if word.startswith("--"))
    return next((f"no option {option}" for option in options if f'"{option}"' not in text), None)


def find_missing_member(service: str, operation: str, words: list[str]) -> str | None:
    """The operation of AWS that there is not, or its parameter."""
    client = boto3.Session(region_name="us-east-1").client(service)  # type: ignore[call-overload]
    name = next(
        (name for name in client.meta.service_model.operation_names if dashed(name) == operation), None
    )
    if name is None:
        return f"no operation {operation}"
    members = {
        dashed(member) for member in client.meta.service_model.operation_model(name).input_shape.members
    }
    general = {"endpoint-url", "region", "output", "query", "no-cli-pager"}
    asked = (word.removeprefix("--") for word in words if word.startswith("--"))
    return next((f"no option --{option}" for option in asked if option not in members | general), None)


def dashed(name: str) -> str:
    """A name as the AWS CLI writes it."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of the project leads to a file."""
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    targets = [page.parent / target for target in LINK.findall(text)]
    assert [target for target in targets if not target.exists()] == []


def test_every_page_is_in_the_index() -> None:
    """A page of the documentation can be found from its index."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = {page.stem for page in PAGES if page.parent.name == "docs"} - {"index"}
    assert pages - set(re.findall(r"^[\w-]+$", index, re.MULTILINE)) == set()
