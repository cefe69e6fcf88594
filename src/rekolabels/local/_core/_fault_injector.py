"""Selection of the requests that the faults of a plan strike; repeatable for the same seed."""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rekolabels.local._core._faults import Fault, FaultKind, FaultPlan

__all__ = ["FaultInjector"]

_ENDS_REQUEST: frozenset[FaultKind] = frozenset({"error", "drop", "fail"})


class FaultInjector:
    """Selects the faults of a plan for each request; safe between threads."""

    def __init__(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._lock = threading.Lock()
        # The keys are the positions of the faults in the plan.
        self._matched: Counter[int] = Counter()
        self._struck: Counter[int] = Counter()
        self._matched_by_operation: Counter[tuple[int, str]] = Counter()

    def select(self, operation: str, kinds: Collection[FaultKind]) -> list[Fault]:
        """Return the faults of these kinds that strike this request, in the order of the plan."""
        selected: list[Fault] = []
        with self._lock:
            for index, fault in enumerate(self._plan.faults):
                matches = fault.operation == operation or (fault.operation == "*" and operation != "S3")
                if fault.kind in kinds and matches and self._strikes(index, fault, operation, selected):
                    selected.append(fault)
        return selected

    def credential_lifetime(self) -> float | None:
        """Return how long credentials are valid, in seconds; None when they never expire."""
        lifetimes = [fault.seconds for fault in self._plan.faults if fault.kind == "expire"]
        return min(lifetimes, default=None)

    def _strikes(self, index: int, fault: Fault, operation: str, selected: Sequence[Fault]) -> bool:
        self._matched[index] += 1
        self._matched_by_operation[index, operation] += 1
        if self._matched[index] <= fault.after:
            return False
        # An earlier fault ends the request already: this one strikes a later request.
        if any(earlier.kind in _ENDS_REQUEST for earlier in selected):
            return False
        if fault.times is not None and self._struck[index] >= fault.times:
            return False
        count = self._matched_by_operation[index, operation]
        generator = random.Random(f"{self._plan.seed}/{index}/{operation}/{count}")  # noqa: S311 - no secrets
        struck = generator.random() < fault.probability
        self._struck[index] += struck
        return struck
