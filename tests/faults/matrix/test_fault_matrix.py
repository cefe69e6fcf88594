"""Every public operation under every fault succeeds, or fails in time with our error and then succeeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fault_matrix import FAULTS, JOBS, LOCAL, Job, World, judge, public_operations
from fault_page import Key, in_words, page

if TYPE_CHECKING:
    from collections.abc import Callable

    from faulty_proxy import ProxyFault


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if not fault.silent], ids=lambda fault: fault.name
)
@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.operation)
def test_every_operation_under_every_fault(
    job: Job,
    fault: ProxyFault,
    world_of: Callable[[Job], World],
    documented: dict[Key, tuple[str, str]],
) -> None:
    """It succeeds or fails in time with our error, the next run succeeds, and the page documents both."""
    assert in_words(judge(world_of(job), job, fault)) == documented[job.operation, fault.name]


def test_every_public_operation_has_a_row() -> None:
    """Each public operation is in the matrix."""
    assert public_operations() == {job.operation for job in JOBS} | LOCAL


def test_the_page_is_what_the_tool_writes(documented: dict[Key, tuple[str, str]], faults_page: str) -> None:
    """The page has no manual changes."""
    assert "\n".join(page(documented)) + "\n" == faults_page
