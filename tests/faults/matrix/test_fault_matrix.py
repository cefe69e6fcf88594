"""Every public operation in every trouble: it ends well, or with our error and in time, and then well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fault_matrix import JOBS, LOCAL, TROUBLES, Job, World, judge, public_operations
from fault_page import Key, in_words, page

if TYPE_CHECKING:
    from collections.abc import Callable

    from faulty_proxy import Trouble


@pytest.mark.parametrize(
    "trouble", [trouble for trouble in TROUBLES if not trouble.silent], ids=lambda trouble: trouble.name
)
@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.operation)
def test_every_operation_in_every_trouble(
    job: Job,
    trouble: Trouble,
    world_of: Callable[[Job], World],
    documented: dict[Key, tuple[str, str]],
) -> None:
    """It succeeds, or fails with an error of ours in time; a second run ends well; the page says so."""
    assert in_words(judge(world_of(job), job, trouble)) == documented[job.operation, trouble.name]


def test_every_public_operation_has_a_row() -> None:
    """A verb without a row in the matrix is not ready."""
    assert public_operations() == {job.operation for job in JOBS} | LOCAL


def test_the_page_is_what_the_tool_writes(documented: dict[Key, tuple[str, str]], faults_page: str) -> None:
    """Nothing on the page was written by hand."""
    assert "\n".join(page(documented)) + "\n" == faults_page
