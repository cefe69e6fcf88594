"""Which requests a fault strikes: counted and drawn, the same for the same seed."""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rekolabels.local._core._faults import Fault, FaultKind, FaultPlan

__all__ = ["Chance"]

_ENDING: frozenset[FaultKind] = frozenset({"error", "drop", "fail"})


class Chance:
    """Draws from a plan of faults; safe between threads."""

    def __init__(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._guard = threading.Lock()
        self._met: Counter[int] = Counter()
        self._struck: Counter[int] = Counter()
        self._met_by_operation: Counter[tuple[int, str]] = Counter()

    def strike(self, operation: str, kinds: Collection[FaultKind]) -> list[Fault]:
        """The faults of these kinds that strike this request, in the order of the plan."""
        struck: list[Fault] = []
        with self._guard:
            for number, fault in enumerate(self._plan.faults):
                meant = fault.operation == operation or (fault.operation == "*" and operation != "S3")
                if fault.kind in kinds and meant and self._strikes(number, fault, operation, struck):
                    struck.append(fault)
        return struck

    def lifetime(self) -> float | None:
        """How long credentials are good for, in seconds; None for ever."""
        lives = [fault.seconds for fault in self._plan.faults if fault.kind == "expire"]
        return min(lives, default=None)

    def _strikes(self, number: int, fault: Fault, operation: str, before: Sequence[Fault]) -> bool:
        self._met[number] += 1
        self._met_by_operation[number, operation] += 1
        if self._met[number] <= fault.after:
            return False
        # An earlier fault has ended the request: this one has its turn later.
        if any(one.kind in _ENDING for one in before):
            return False
        if fault.times is not None and self._struck[number] >= fault.times:
            return False
        turn = self._met_by_operation[number, operation]
        dice = random.Random(f"{self._plan.seed}/{number}/{operation}/{turn}")  # noqa: S311 - no secrets
        struck = dice.random() < fault.probability
        self._struck[number] += struck
        return struck
