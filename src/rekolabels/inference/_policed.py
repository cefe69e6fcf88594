"""Thresholds of the user's own, instead of the model's assumed ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from rekolabels.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rekolabels.descriptions import Detection
    from rekolabels.evaluation import ThresholdPolicy
    from rekolabels.inference._many import ImageT, Outcome

__all__ = ["asked_with", "keep", "keep_each"]


def asked_with(
    policy: ThresholdPolicy | None, arn: str, min_confidence: float | None, max_results: int | None
) -> tuple[float | None, int | None]:
    """What the service is asked with: everything that the policy may keep, and no limit before it has chosen.

    Raises:
        InvalidInput: The policy is for another model, or a confidence is given as well.
    """
    if policy is None:
        return min_confidence, max_results
    if min_confidence is not None:
        raise InvalidInput("policy and min_confidence were both given: the policy says what counts")
    policy.check_model(arn)
    return policy.min_confidence, None


def keep(
    policy: ThresholdPolicy | None, found: Sequence[Detection], max_results: int | None
) -> list[Detection]:
    """What counts by the policy."""
    return list(found) if policy is None else policy.apply(found)[:max_results]


def keep_each(
    policy: ThresholdPolicy | None, outcomes: Iterable[Outcome[ImageT]], max_results: int | None
) -> Iterator[Outcome[ImageT]]:
    """Outcomes with what counts by the policy."""
    for outcome in outcomes:
        yield attrs.evolve(outcome, detections=tuple(keep(policy, outcome.detections, max_results)))
