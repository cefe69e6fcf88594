"""The package as a whole: what it exports, and what it costs to import."""

from __future__ import annotations

import subprocess
import sys

import rekolabels


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a statement loads in a fresh process."""
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603 -- our own interpreter
    return set(done.stdout.split())


def test_all_lists_exactly_what_is_exported() -> None:
    """``__all__`` is sorted, and holds every public name of the package that is not a room."""
    rooms = {name for name, value in vars(rekolabels).items() if type(value) is type(rekolabels)}
    public = {name for name in vars(rekolabels) if not name.startswith("_")} - rooms
    assert sorted(public) == rekolabels.__all__


def test_importing_is_cheap() -> None:
    """No AWS, no network, no engine and no optional package is loaded before it is needed."""
    heavy = {"boto3", "botocore", "tenacity", "asyncio", "numpy", "sklearn", "onnxruntime", "PIL", "tqdm"}
    stubs = {"mypy_boto3_rekognition", "mypy_boto3_s3"}
    assert loaded_by("import rekolabels") & (heavy | stubs) == set()


def test_the_embedded_service_waits_with_its_engine() -> None:
    """Importing the embedded service does not load the engine: that comes with the first training."""
    heavy = {"sklearn", "onnxruntime"}
    assert loaded_by("import rekolabels.local") & heavy == set()
