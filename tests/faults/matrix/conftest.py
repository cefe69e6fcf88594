"""Fixtures of the fault matrix."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fault_matrix import Job, World, open_worlds
from fault_page import Key, read_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="module")
def world_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Job], World]]:
    """A function that gives an operation its world."""
    with open_worlds(tmp_path_factory.mktemp("matrix")) as worlds:
        yield worlds


@pytest.fixture(scope="module")
def faults_page() -> str:
    """The text of ``docs/faults.md``."""
    return (Path(__file__).parents[3] / "docs" / "faults.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def documented(faults_page: str) -> dict[Key, tuple[str, str]]:
    """The cells of the page."""
    return read_page(faults_page)
