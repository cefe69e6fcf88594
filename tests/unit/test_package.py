"""The package as a whole: what it exports, and what it costs to import."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest

import rekolabels


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a statement loads in a fresh process."""
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603 -- our own interpreter
    return set(done.stdout.split())


def test_all_lists_exactly_what_is_exported() -> None:
    """``__all__`` is sorted, every name in it is there, and no public name is missing from it."""
    exported = {name: getattr(rekolabels, name) for name in rekolabels.__all__}
    rooms = {name for name, value in vars(rekolabels).items() if type(value) is type(rekolabels)}
    helpers = {"TYPE_CHECKING", "Any"}
    public = {name for name in vars(rekolabels) if not name.startswith("_")} - rooms - helpers
    assert sorted(public) == sorted(exported) == rekolabels.__all__
    assert set(rekolabels.__all__) <= set(dir(rekolabels))


def test_unknown_names_are_unknown() -> None:
    """A name that does not exist is an AttributeError, as in every module."""
    with pytest.raises(AttributeError, match="no attribute 'Clinet'"):
        rekolabels.Clinet  # noqa: B018 -- the access is what is tested


def test_importing_is_cheap() -> None:
    """No AWS, no network, no engine and no optional package is loaded before it is needed."""
    heavy = {"boto3", "botocore", "tenacity", "asyncio", "numpy", "sklearn", "onnxruntime", "PIL", "tqdm"}
    stubs = {"mypy_boto3_rekognition", "mypy_boto3_s3"}
    assert loaded_by("import rekolabels") & (heavy | stubs) == set()


def test_the_pytest_plugin_is_cheap() -> None:
    """Pytest loads it at every start, also for those who do not use it: it brings nothing but itself."""
    brought = loaded_by("import rekolabels.testing._plugin") - loaded_by("import pytest, pathlib")
    assert brought - {"rekolabels"} <= set(sys.stdlib_module_names)


def test_the_embedded_service_waits_with_its_engine() -> None:
    """Importing the embedded service does not load the engine: that comes with the first training."""
    heavy = {"sklearn", "onnxruntime"}
    assert loaded_by("import rekolabels.local") & heavy == set()


def test_the_readme_lists_every_extra() -> None:
    """Whoever looks for an extra finds it, and what it brings."""
    page = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", page.partition("## Install what you need")[2], re.MULTILINE)
    assert sorted(listed) == sorted(metadata("rekolabels").get_all("Provides-Extra") or [])
