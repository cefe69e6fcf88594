"""Run the documentation: each block of Python on the embedded service; each command must exist.

A page runs from top to bottom, as a reader would type it, in an empty folder beside ``examples``; or, if it
says that it continues where the tutorial ends, in the folder of the tutorial. Comments in the page are
directives::

    <!-- not run: why -->              do not run the next block, for this reason
    <!-- run -->                       run the commands of the next block; by default they are only looked up
    <!-- file: steps.py -->            the reader saves the next block as this file, or adds it to this file
    <!-- prints -->                    the next block is the output of the last one; numbers may differ; every
                                       output is shown
    <!-- prints: in any order -->      the lines of the next block are among the output
    <!-- stand-in: an Azure account
    code that takes the place of what the reader has and the tests do not
    -->
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
import pytest
from document_pages import (
    NUMBER,
    PAGES,
    ROOT,
    TUTORIAL,
    Block,
    commands,
    continues_the_tutorial,
    find_paste_fault,
    read_blocks,
    run_block,
)

from rekolabels.local import LocalService

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = ROOT / "examples"
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
PICTURE = re.compile(r"^```\{image\} (\S+)\n(?::alt: (.+)\n)?", re.MULTILINE)
CODE = re.compile(r"`[^`]*`")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
IN_THE_CLONE = {ROOT / "README.md", ROOT / "docs" / "index.md"}
"""Pages whose reader is in the root of the clone, not in a folder beside ``examples``."""
SHELL = {"cd", "cp", "export", "git", "ls", "mkdir", "rm", "source"}
"""Commands of the shell, which are not checked."""
WITH_PYTHON = [page for page in PAGES if any(block.language == "python" for block in read_blocks(page))]
COMMANDS = [
    pytest.param(block, command, id=f"{block}: {command[:40]}")
    for page in PAGES
    for block in read_blocks(page)
    if block.language == "console"
    for command in commands(block)
]


@pytest.fixture(scope="session")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Follow the tutorial, and return its folder."""
    folder = tmp_path_factory.mktemp("tutorial") / "puppy-challenge"
    folder.mkdir()
    shutil.copytree(EXAMPLES, folder.parent / "examples")
    with pytest.MonkeyPatch.context() as monkeypatch:
        run_page(TUTORIAL, folder, monkeypatch)
    return folder


def test_the_tutorial_runs(tutorial: Path) -> None:
    """Every block of the tutorial runs, in order, in an empty folder, and prints what the page shows."""
    assert (tutorial / "workspace").is_dir()


@pytest.mark.parametrize(
    "page", [page for page in WITH_PYTHON if page != TUTORIAL], ids=lambda page: page.name
)
def test_every_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Every block of Python of a page runs, in order, and prints what the page shows."""
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    folder = tmp_path if page in IN_THE_CLONE else tmp_path / "puppy-challenge"
    if continues_the_tutorial(page):
        shutil.copytree(request.getfixturevalue("tutorial"), folder)
    else:
        folder.mkdir(exist_ok=True)
    run_page(page, folder, monkeypatch)


def sleep_briefly(sleep: Callable[[float], None], seconds: float) -> None:
    """Sleep a twentieth of a second at most, also in programs that poll AWS every minute."""
    sleep(min(seconds, 0.05))


def run_page(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the blocks of a page in a folder, in one namespace, and compare their output with the page."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(time, "sleep", partial(sleep_briefly, time.sleep))
    names: dict[str, Any] = {"__name__": "__main__"}
    printed = ""
    try:
        with patch.dict(os.environ):
            for block in read_blocks(page):
                if block.mark == "prints":
                    check_printed(block, printed)
                    printed = ""
                elif (output := run_block(block, folder, names)) is not None:
                    assert printed == "", f"Not shown before {block}:\n{printed}"
                    printed = output
        assert printed == "", f"Not shown at the end:\n{printed}"
    finally:
        for value in names.values():
            if isinstance(value, LocalService):
                value.close()
        for name, module in [*sys.modules.items()]:
            if Path(getattr(module, "__file__", None) or "/").is_relative_to(folder):
                del sys.modules[name]


def check_printed(block: Block, printed: str) -> None:
    """Compare output with a page, except for numbers, which differ between machines."""
    want, got = (NUMBER.sub("#", text) for text in (block.code, printed))
    if block.why == "in any order":
        wanted = {line for line in want.splitlines() if line != "..."}
        assert wanted - set(got.splitlines()) == set(), f"{block}\n{printed}"
    else:
        assert OutputChecker().check_output(want, got, ELLIPSIS | NORMALIZE_WHITESPACE), f"{block}\n{printed}"


@pytest.mark.parametrize(
    "page", [TUTORIAL, *filter(continues_the_tutorial, PAGES)], ids=lambda page: page.name
)
def test_code_can_be_pasted(page: Path) -> None:
    """Python's prompt takes every block of the tutorial and of the pages that continue it.

    Before Python 3.13, an empty line ends a function or loop, and only that.
    """
    faults = {str(block): find_paste_fault(block.code) for block in read_blocks(page) if block.is_typed}
    assert {block: fault for block, fault in faults.items() if fault} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_skipped_blocks_have_a_reason(page: Path) -> None:
    """A block runs or says why not; a hidden one says what it stands for. Doctests do not occur."""
    silent = [
        str(block)
        for block in read_blocks(page)
        if (block.mark in {"not run", "stand-in", "file"} and not block.why)
        or (block.language == "python" and ">>>" in block.code)
    ]
    assert silent == []


@pytest.mark.parametrize(("block", "command"), COMMANDS)
def test_commands_exist(block: Block, command: str) -> None:
    """The targets, scripts, options, extras and operations in commands exist."""
    words = shlex.split(command, comments=True)
    while re.fullmatch(r"\w+=\S*", words[0]):  # variables before a command
        words = words[1:]
    assert find_fault(words) is None, f"{block}: {command}"


def find_fault(words: list[str]) -> str | None:  # noqa: C901 -- one case for each program
    """Return what is wrong with a command, or None."""
    match Path(words[0]).name, words[1:]:
        case "make", [target, *_]:
            found = re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
            return None if found else f"no target {target}"
        case "pip", ["install", *rest]:
            return find_missing_extra(rest)
        case "python", ["-m", "pip", ("install" | "uninstall"), *rest]:
            return find_missing_extra(rest)
        case (("python" | "python3" | "py"), ["-m", ("venv" | "pytest"), *_] | ["-c", *_]):
            return None
        case "rekolabels", [command, *rest]:
            main = ROOT / "src" / "rekolabels" / "__main__.py"
            known = command.startswith("-") or f'add("{command}"' in main.read_text(encoding="utf-8")
            return (
                find_missing_option(main, [command, *rest]) if known else f"no command rekolabels {command}"
            )
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
    """Return a complaint about an extra that ``pyproject.toml`` lacks, or None."""
    known = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    wanted = [
        extra for word in words for found in re.findall(r"\[([\w,]+)\]", word) for extra in found.split(",")
    ]
    return next((f"no extra {extra}" for extra in wanted if extra not in known), None)


def find_missing_option(script: Path, words: list[str]) -> str | None:
    """Return a complaint about a missing script or option, or None."""
    if not script.is_file():
        return f"no script {script}"
    text = script.read_text(encoding="utf-8")
    options = (word.partition("=")[0] for word in words if word.startswith("--"))
    return next((f"no option {option}" for option in options if f'"{option}"' not in text), None)


def find_missing_member(service: str, operation: str, words: list[str]) -> str | None:
    """Return a complaint about a missing AWS operation or parameter, or None."""
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
    """Return a name in the AWS CLI's spelling."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    """Every link to a file of the project, and to a heading in it, points to an existing one."""
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    targets = [(page.parent / name if name else page, anchor) for name, anchor in LINK.findall(text)]
    assert [
        f"{path}#{anchor}"
        for path, anchor in targets
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path))
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pictures_exist(page: Path) -> None:
    """Every picture of a page is in the repository, and has a text for those who do not see it."""
    pictures = PICTURE.findall(page.read_text(encoding="utf-8"))
    assert [name for name, alt in pictures if not (page.parent / name).is_file() or not alt] == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub and MyST make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(text))
    return {heading.strip().replace(" ", "-") for heading in plain}


def test_every_page_is_in_the_index() -> None:
    """Every page is listed once, in the index or in a page that the index lists."""
    listed = [
        (page.parent / name).relative_to(ROOT / "docs")
        for page in PAGES
        for tree in TOCTREE.findall(page.read_text(encoding="utf-8"))
        for name in re.findall(r"^[\w/-]+$", tree, re.MULTILINE)
    ]
    pages = [page.relative_to(ROOT / "docs").with_suffix("") for page in PAGES if page.parent != ROOT]
    assert sorted(listed) == sorted(set(pages) - {Path("index")})


def test_every_example_is_in_the_gallery() -> None:
    """docs/examples.md links each program in examples/, and no other."""
    gallery = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
    examples = {path for path in (ROOT / "examples").iterdir() if path.suffix == ".py"}
    assert {f"[{path.name}](../examples/{path.name})" for path in examples} == set(
        re.findall(r"\[[\w.]+\]\(\.\./examples/\w+\.py\)", gallery)
    )


WRITES = """
from rekolabels.formats import read_folder
from rekolabels.local import LocalService

with LocalService("workspace") as service:
    project = service.client(bucket="puppies").create_project("Puppies")
    project.create_datasets(read_folder("puppies"))
    model = project.train("v1")
    model.wait_until_trained()
    with model.running() as running:
        running.detect("dog.jpg")
with LocalService() as service:
    service.client(bucket="puppies").create_project("Puppies")
"""


OF_THE_MACHINE = ("AWS_", "CI", "ORT_", "XDG_")
"""Beginnings of variables that change what is written where; onnxruntime sends no telemetry if CI is set."""


@pytest.mark.skipif(os.name == "nt", reason="Windows has other variables for these folders")
def test_nothing_is_written_elsewhere(tmp_path: Path) -> None:
    """docs/install.md: a run writes to the workspace only, and leaves no temporary folder."""
    folders = {name: tmp_path / name for name in ("HOME", "TMPDIR", "work")}
    for folder in folders.values():
        folder.mkdir()
    drawing = [sys.executable, str(EXAMPLES / "draw_puppies.py"), "puppies", "--images", "8"]
    subprocess.run(drawing, cwd=folders["work"], check=True)  # noqa: S603 -- our own script
    shutil.copy(folders["work"] / "puppies" / "corgi" / "c000.jpg", folders["work"] / "dog.jpg")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(OF_THE_MACHINE)},
        **{name: str(folders[name]) for name in ("HOME", "TMPDIR")},
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    subprocess.run([sys.executable, "-c", WRITES], cwd=folders["work"], env=environment, check=True)  # noqa: S603 -- ours
    left = [path.relative_to(tmp_path).as_posix() for folder in folders.values() for path in folder.iterdir()]
    assert sorted(left) == ["work/dog.jpg", "work/puppies", "work/workspace"]
