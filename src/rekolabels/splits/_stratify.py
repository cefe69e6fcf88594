"""Divide units of images in two so that every label gets its share on both sides.

A unit is one image, or images that must stay together. It carries features, each with a count: the label's
images, the label's boxes, and the unit's size. Features are numbers here; what they mean is the caller's.

The method, in plain counters: units are taken from the rarest label to the commonest, and each goes to the
side where it leaves the smaller squared deviation from the shares so far. That alone comes close. Then labels
that are missing from a side are given one unit, single moves that lower the deviation are made until none
helps, and at last the test side is brought to its exact size. Everything is a function of the units' order;
no random numbers are drawn.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import attrs

__all__ = ["SIZE", "Features", "Problem", "divide"]

Features: TypeAlias = "tuple[tuple[int, int], ...]"

SIZE = 0  # the feature that counts images
_REPAIR_STEPS = 20  # for each feature, when labels are missing from a side
_ROUNDS = 8
_CANDIDATES = 300
_ROUNDING = 1e-9  # gains below it may be errors of rounding, which a move back would find again


@attrs.frozen
class Problem:
    """What is to be divided."""

    units: Sequence[Features]
    """The (feature, count) pairs of each unit, each feature once; feature 0 is the unit's size."""
    wanted: Sequence[float]
    """How much of each feature the test side should get."""
    totals: Sequence[int]
    """How much of each feature there is."""
    holders: Sequence[int]
    """How many units have each feature."""
    weights: Sequence[float]
    """What a squared deviation of one costs, by feature."""
    guarded: Sequence[bool]
    """Which features must be on both sides; each is in two units at least."""


def divide(problem: Problem) -> list[bool]:
    """Decide for each unit whether it goes to the test side.

    Returns:
        One answer a unit. A guarded feature is missing from a side only where no way was found to have all of
        them on both sides, as with three units of which each two share a label of their own.
    """
    sides = _first_pass(problem)
    state = _State(problem, sides)
    _repair(state)
    _refine(state)
    _settle(state)
    return sides


def _first_pass(problem: Problem) -> list[bool]:
    units, totals = problem.units, problem.totals
    rank = [0] * len(totals)
    for place, feature in enumerate(sorted(range(len(totals)), key=lambda f: (totals[f], f))):
        rank[feature] = place
    by_rank = rank.__getitem__
    buckets: list[list[int]] = [[] for _ in totals]
    rarest: dict[Features, list[int]] = {}
    for unit, features in enumerate(units):
        bucket = rarest.get(features)
        if bucket is None:
            bucket = rarest[features] = buckets[min(by_rank(f) for f, _ in features)]
        bucket.append(unit)

    # With d = test so far - share * seen so far, a unit with count c changes the weighted square of d by
    # weight * c * (2 d + c (1 - 2 share)) more on the test side than on the other. `lean` is
    # weight * (2 d + 1 - 2 share), kept up to date, and `skew` what is missing from it when c is more than 1.
    shares = [w / t if t else 0.0 for w, t in zip(problem.wanted, totals, strict=True)]
    skew = [weight * (1.0 - 2.0 * share) for weight, share in zip(problem.weights, shares, strict=True)]
    lean = skew.copy()
    to_test = [2.0 * w * (1.0 - s) for w, s in zip(problem.weights, shares, strict=True)]
    to_train = [-2.0 * w * s for w, s in zip(problem.weights, shares, strict=True)]
    sides = [False] * len(units)
    for bucket in buckets:
        for unit in bucket:
            features = units[unit]
            # A plain loop: sum() of floats gives other last digits since Python 3.12.
            cost = 0.0
            for feature, count in features:
                if count == 1:
                    cost += lean[feature]
                else:
                    cost += count * (lean[feature] + (count - 1) * skew[feature])
            sides[unit] = test = cost < 0.0
            step = to_test if test else to_train
            for feature, count in features:
                lean[feature] += count * step[feature]
    return sides


class _State:
    """A division that is being improved, with the counts that tell what a move would do."""

    def __init__(self, problem: Problem, sides: list[bool]) -> None:
        self.problem = problem
        self.sides = sides
        self.moves: Counter[int] = Counter()
        # How far the test side is above what it should get, and in how many units of it a feature is.
        self.excess = [-wanted for wanted in problem.wanted]
        self.on_test = [0] * len(problem.totals)
        for unit, test in enumerate(sides):
            if test:
                for feature, count in problem.units[unit]:
                    self.excess[feature] += count
                    self.on_test[feature] += 1
        self.members: dict[int, list[int]] = {}

    def gather(self, features: Iterable[int]) -> None:
        """Look up the units of some features, so that ``members`` has them."""
        missing = [feature for feature in features if feature not in self.members]
        lists: list[list[int] | None] = [None] * len(self.problem.totals)
        for feature in missing:
            lists[feature] = self.members[feature] = []
        if missing:
            for unit, features_of_unit in enumerate(self.problem.units):
                for feature, _ in features_of_unit:
                    members = lists[feature]
                    if members is not None:
                        members.append(unit)

    def move(self, unit: int) -> None:
        """Take a unit to the other side."""
        step = -1 if self.sides[unit] else 1
        self.sides[unit] = not self.sides[unit]
        self.moves[unit] += 1
        for feature, count in self.problem.units[unit]:
            self.excess[feature] += step * count
            self.on_test[feature] += step

    def cost_of_moving(self, unit: int) -> float:
        """How much the weighted squared deviation grows when the unit is moved."""
        step = -2.0 if self.sides[unit] else 2.0
        cost = 0.0
        for feature, count in self.problem.units[unit]:
            cost += self.problem.weights[feature] * count * (step * self.excess[feature] + count)
        return cost

    def broken_by_moving(self, unit: int) -> int:
        """How many guarded features would leave the unit's side altogether."""
        broken = 0
        for feature, _ in self.problem.units[unit]:
            if self.problem.guarded[feature]:
                on_test = self.on_test[feature]
                broken += (on_test if self.sides[unit] else self.problem.holders[feature] - on_test) == 1
        return broken

    def one_sided(self) -> list[int]:
        """The guarded features that are missing from a side, the rarest first."""
        holders = self.problem.holders
        missing = [
            feature
            for feature, guarded in enumerate(self.problem.guarded)
            if guarded and self.on_test[feature] in {0, holders[feature]}
        ]
        return sorted(missing, key=lambda feature: (holders[feature], feature))


def _repair(state: _State) -> None:
    """Give each guarded feature that is on one side only a unit on the other.

    Where every unit of it would take away another feature's last one, the way leads through such moves; units
    that have been moved before are the dearer the more often, so that the search does not go in circles.
    """
    missing = state.one_sided()
    steps = _REPAIR_STEPS * (len(missing) + 1)
    while missing and steps:
        steps -= len(missing)
        state.gather(missing)
        for feature in missing:
            if state.on_test[feature] in {0, state.problem.holders[feature]}:
                state.move(
                    min(
                        state.members[feature],
                        key=lambda unit: (
                            state.broken_by_moving(unit) + state.moves[unit],
                            state.cost_of_moving(unit),
                        ),
                    )
                )
        missing = state.one_sided()
        steps = max(steps, 0)


def _refine(state: _State) -> None:
    """Make single moves that lower the deviation, for the features that are off by half a count or more."""
    problem = state.problem
    for _ in range(_ROUNDS):
        off = [f for f, excess in enumerate(state.excess) if abs(excess) >= 0.5]  # noqa: PLR2004 - see above
        off.sort(key=lambda f: (-problem.weights[f] * state.excess[f] ** 2, f))
        state.gather(off)
        moved = False
        for feature in off:
            moved |= _lower(state, feature)
        if not moved:
            break


def _lower(state: _State, feature: int) -> bool:
    """Move units of a feature from the side that has too much of it, as long as that helps the whole."""
    excess = state.excess[feature]
    from_test = excess > 0
    members = (unit for unit in state.members[feature] if state.sides[unit] is from_test)
    # Sorted once: a move changes the others' costs, so each is looked at again before it is made.
    candidates = sorted((state.cost_of_moving(unit), unit) for unit in itertools.islice(members, _CANDIDATES))
    moved = False
    for cost, unit in candidates:
        if cost >= 0.0 or (state.excess[feature] > 0) is not from_test:
            break
        if state.cost_of_moving(unit) < -_ROUNDING and not state.broken_by_moving(unit):
            state.move(unit)
            moved = True
    return moved


def _settle(state: _State) -> None:
    """Bring the test side to its size with the moves that cost the labels least."""
    over = state.excess[SIZE] > 0
    units = (unit for unit, test in enumerate(state.sides) if test is over)
    heap = [(state.cost_of_moving(unit), unit) for unit in itertools.islice(units, 10 * _CANDIDATES)]
    heapq.heapify(heap)
    while heap and abs(state.excess[SIZE]) >= 0.5:  # noqa: PLR2004 - the nearest whole number
        _, unit = heapq.heappop(heap)
        cost = state.cost_of_moving(unit)
        if heap and cost > heap[0][0]:  # other moves made it dearer: it waits for its turn
            heapq.heappush(heap, (cost, unit))
        elif dict(state.problem.units[unit])[SIZE] <= abs(state.excess[SIZE]) + 0.5 and not (
            state.broken_by_moving(unit)
        ):
            state.move(unit)
