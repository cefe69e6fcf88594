"""The import contracts of ``pyproject.toml``: no new module can escape them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
STRAY_MODULES = {
    "_stray.py": "",
    "local/_stray.py": "",
    "models/_stray.py": "import rekolabels.projects",
    "manifest/_stray.py": "if __name__ == '': from rekolabels import client",
    "_aws/_stray.py": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from rekolabels.models import ModelVersion"
    ),
    "local/_core/_stray.py": "import rekolabels._aws._retry",
    "local/_engine/_stray.py": "def f(): import boto3",
    "local/_jobs/_stray.py": "def f():\n    from rekolabels import Client",
    "local/_s3/_stray.py": "import rekolabels.local._jobs._recovery",
    "datasets/_stray.py": "import boto3",
}
"""New modules that break a contract, and what they import."""

pytest.importorskip("importlinter", reason="import-linter is not installed")


def lint(tree: Path) -> str:
    """Run import-linter on a copy of the package; return its report."""
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(  # noqa: S603 -- the linter of our own environment
        [command, "--no-cache", "--config", str(tree / "pyproject.toml")],
        capture_output=True,
        check=False,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / "src"), "COLUMNS": "200"},
        text=True,
    )
    return done.stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package and its contracts."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.npz"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_new_modules_cannot_escape_the_contracts(tree: Path) -> None:
    """The package as it is keeps every contract; each stray module breaks one and is named in the report."""
    assert " 0 broken." in lint(tree)
    for name, content in STRAY_MODULES.items():
        (tree / "src" / "rekolabels" / name).write_text(content)
    report = lint(tree)
    assert " 0 broken." not in report
    modules = {"rekolabels." + name.removesuffix(".py").replace("/", ".") for name in STRAY_MODULES}
    assert {found for found in re.findall(r"- +(rekolabels[\w.]+)", report) if "_stray" in found} == modules


def test_layers_are_exhaustive() -> None:
    """Both lists of layers are exhaustive, and type-only imports count as imports."""
    config: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    linter = config["tool"]["importlinter"]
    layers = {
        contract["containers"][0]: contract["exhaustive"]
        for contract in linter["contracts"]
        if contract["type"] == "layers"
    }
    assert layers == {"rekolabels": True, "rekolabels.local": True}
    assert linter["exclude_type_checking_imports"] is False


def test_few_private_modules_at_the_top() -> None:
    """New private modules belong in a package."""
    files = (ROOT / "src" / "rekolabels").glob("_*.py")
    private = [file.name for file in files if file.name not in {"__init__.py", "__main__.py"}]
    assert len(private) <= 6
