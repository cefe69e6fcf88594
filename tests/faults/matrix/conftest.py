"""What the tests of the fault matrix share."""

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
    """Gives each operation its world."""
    with open_worlds(tmp_path_factory.mktemp("matrix")) as worlds:
        yield worlds


@pytest.fixture(scope="module")
def faults_page() -> str:
    """The page of the documentation."""
    return (Path(__file__).parents[3] / "docs" / "faults.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def documented(faults_page: str) -> dict[Key, tuple[str, str]]:
    """What the page says of each cell."""
    return read_page(faults_page)
