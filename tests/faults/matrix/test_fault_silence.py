"""Every public operation without responses; a module of its own, because real time-outs pass here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fault_matrix import FAULTS, JOBS, Job, World, judge
from fault_page import Key, in_words

if TYPE_CHECKING:
    from collections.abc import Callable

SILENCE = next(fault for fault in FAULTS if fault.silent)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.operation)
def test_every_operation_without_responses(
    job: Job, world_of: Callable[[Job], World], documented: dict[Key, tuple[str, str]]
) -> None:
    """It succeeds or fails in time with our error, the next run succeeds, and the page documents both."""
    assert in_words(judge(world_of(job), job, SILENCE)) == documented[job.operation, SILENCE.name]
