"""The package: exported names and import cost."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest

import rekolabels


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules that a statement loads in a new process."""
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603 -- our own interpreter
    return set(done.stdout.split())


def test_all_lists_exactly_what_is_exported() -> None:
    """``__all__`` is sorted and complete, and its names exist."""
    exported = {name: getattr(rekolabels, name) for name in rekolabels.__all__}
    modules = {name for name, value in vars(rekolabels).items() if type(value) is type(rekolabels)}
    helpers = {"TYPE_CHECKING", "Any"}
    public = {name for name in vars(rekolabels) if not name.startswith("_")} - modules - helpers
    assert sorted(public) == sorted(exported) == rekolabels.__all__
    assert set(rekolabels.__all__) <= set(dir(rekolabels))


def test_unknown_names() -> None:
    """An unknown name is an AttributeError."""
    with pytest.raises(AttributeError, match="no attribute 'Clinet'"):
        rekolabels.Clinet  # noqa: B018 -- the access is what is tested


def test_importing_is_cheap() -> None:
    """boto3, tenacity, the engine and optional packages are not imported."""
    heavy = {"boto3", "botocore", "tenacity", "asyncio", "numpy", "sklearn", "onnxruntime", "PIL", "tqdm"}
    stubs = {"mypy_boto3_rekognition", "mypy_boto3_s3"}
    assert loaded_by("import rekolabels") & (heavy | stubs) == set()


def test_the_pytest_plugin_is_cheap() -> None:
    """The plugin, which pytest always loads, imports no other packages."""
    loaded = loaded_by("import rekolabels.testing._plugin") - loaded_by("import pytest, pathlib")
    assert loaded - {"rekolabels"} <= set(sys.stdlib_module_names)


def test_the_local_service_loads_its_engine_later() -> None:
    """Importing the local service does not import the engine."""
    heavy = {"sklearn", "onnxruntime"}
    assert loaded_by("import rekolabels.local") & heavy == set()


def test_the_page_on_installing_lists_every_extra() -> None:
    """docs/install.md lists each extra."""
    page = (Path(__file__).parents[2] / "docs" / "install.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(listed) == sorted(metadata("rekolabels").get_all("Provides-Extra") or [])
