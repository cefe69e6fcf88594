"""Divide rows in two so that every label gets its share on both sides.

A row is one image, or images that must stay together. What is balanced are its features: the images of a
label, the boxes of a label, and the size of the row in images.

The method, in plain counters: rows are taken from the rarest label to the commonest, and each goes to the
side where it leaves the smaller squared deviation from the shares so far. That alone comes close. Then labels
that are missing from a side are given one row, single moves that lower the deviation are made until none
helps, and at last the test side is brought to its exact size. Everything is a function of the rows' order; no
random numbers are drawn.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeAlias

import attrs

__all__ = ["Feature", "Problem", "Row", "divide"]

Feature: TypeAlias = str | tuple[str]
"""What is counted: a label stands for its images, a label in a tuple for its boxes."""
Row: TypeAlias = tuple[Feature, ...]
"""The features of one unit, each as often as it is in it."""

_REPAIR_STEPS = 20  # for each label that is missing from a side
_ROUNDS = 8
_CANDIDATES = 300
_ROUNDING = 1e-9  # gains below it may be errors of rounding, which a move back would find again
_HALF = 0.5  # a deviation below it is the nearest that whole numbers come


@attrs.frozen
class Problem:
    """What is to be divided."""

    rows: Sequence[Row]
    """The features of each row."""
    sizes: Sequence[int]
    """The number of images of each row."""
    size: int
    """All images."""
    test_size: int
    """How many images the test side should get."""
    members: Mapping[Feature, Sequence[int]]
    """The rows of each feature, in order."""
    totals: Mapping[Feature, int]
    """How often each feature occurs."""
    wanted: Mapping[Feature, float]
    """How often each feature should occur on the test side."""
    weights: Mapping[Feature, float]
    """What a squared deviation of one costs, by feature."""
    guarded: AbstractSet[Feature]
    """The features that must be on both sides; each is in two rows at least."""
    repeats: bool
    """Whether a row may have a feature, or an image, more than once."""


def divide(problem: Problem) -> list[bool]:
    """Decide for each row whether it goes to the test side.

    Returns:
        One answer a row. A guarded feature is missing from a side only where no way was found to have all of
        them on both sides, as with three rows of which each two share a label of their own.
    """
    sides = _first_pass(problem)
    state = _State(problem, sides)
    _repair(state)
    _refine(state)
    _settle(state)
    return sides


def _first_pass(problem: Problem) -> list[bool]:
    # With d = test so far - share * seen so far, a row that has a feature once changes the weighted square of
    # d by weight * (2 d + 1 - 2 share) more on the test side than on the other: that is `lean`, kept up to
    # date. The images of a row are one more feature, of which every row has some.
    skews = {f: _lean(total, problem.wanted[f], problem.weights[f]) for f, total in problem.totals.items()}
    lean = {feature: first for feature, (first, _, _) in skews.items()}
    to_test = {feature: step for feature, (_, step, _) in skews.items()}
    to_train = {feature: step for feature, (_, _, step) in skews.items()}
    size_lean, size_to_test, size_to_train = size_skews = _lean(
        problem.size, problem.test_size, 1.0 / problem.size
    )
    rows, sizes, repeats = problem.rows, problem.sizes, problem.repeats
    sides = [False] * len(rows)
    done = [False] * len(rows)
    rarest_first = sorted(problem.members, key=lambda f: (problem.totals[f], isinstance(f, tuple), f))
    for number in itertools.chain(*(problem.members[feature] for feature in rarest_first), range(len(rows))):
        if done[number]:
            continue
        done[number] = True
        row = rows[number]
        # A plain loop: sum() of floats gives other last digits since Python 3.12.
        cost = size_lean
        for feature in row:
            cost += lean[feature]
        images = 1
        if repeats:
            # A feature that is there c times changes the square by c * (c - 1) * weight * (1 - 2 share) more.
            images = sizes[number]
            cost += (images - 1) * (size_lean + images * size_skews[0])
            for feature, count in Counter(row).items():
                cost += count * (count - 1) * skews[feature][0]
        if cost < 0.0:
            sides[number] = True
            size_lean += images * size_to_test
            for feature in row:
                lean[feature] += to_test[feature]
        else:
            size_lean += images * size_to_train
            for feature in row:
                lean[feature] += to_train[feature]
    return sides


def _lean(total: int, wanted: float, weight: float) -> tuple[float, float, float]:
    """How a feature leans at the beginning, and how one more on the test side or the other changes that."""
    share = wanted / total
    return weight * (1.0 - 2.0 * share), 2.0 * weight * (1.0 - share), -2.0 * weight * share


class _State:
    """A division that is being improved, with the counts that tell what a move would do."""

    def __init__(self, problem: Problem, sides: list[bool]) -> None:
        self.problem = problem
        self.sides = sides
        self.moves: Counter[int] = Counter()
        test_rows = itertools.compress(problem.rows, sides)
        self.on_test = Counter(itertools.chain.from_iterable(test_rows))
        self.test_size = sum(itertools.compress(problem.sizes, sides))

    def excess(self, feature: Feature) -> float:
        """How much more of a feature the test side has than it should."""
        return self.on_test[feature] - self.problem.wanted[feature]

    def move(self, number: int) -> None:
        """Take a row to the other side."""
        step = -1 if self.sides[number] else 1
        self.sides[number] = not self.sides[number]
        self.moves[number] += 1
        self.test_size += step * self.problem.sizes[number]
        for feature in self.problem.rows[number]:
            self.on_test[feature] += step

    def cost_of_moving(self, number: int) -> float:
        """How much the weighted squared deviation grows when the row is moved."""
        problem, row, images = self.problem, self.problem.rows[number], self.problem.sizes[number]
        step = -2.0 if self.sides[number] else 2.0
        cost = images * (step * (self.test_size - problem.test_size) + images) / problem.size
        for feature, count in Counter(row).items() if problem.repeats else zip(row, itertools.repeat(1)):
            cost += problem.weights[feature] * count * (step * self.excess(feature) + count)
        return cost

    def broken_by_moving(self, number: int) -> int:
        """How many guarded features would leave the row's side altogether."""
        broken = 0
        row = self.problem.rows[number]
        for feature in set(row) & self.problem.guarded:
            on_test = self.on_test[feature]
            on_side = on_test if self.sides[number] else self.problem.totals[feature] - on_test
            broken += on_side == row.count(feature)
        return broken

    def is_one_sided(self, feature: Feature) -> bool:
        """Whether a feature is missing from a side."""
        return self.on_test[feature] in {0, self.problem.totals[feature]}

    def one_sided(self) -> list[Feature]:
        """The guarded features that are missing from a side, the rarest first."""
        missing = filter(self.is_one_sided, self.problem.guarded)
        return sorted(missing, key=lambda feature: (self.problem.totals[feature], feature))


def _repair(state: _State) -> None:
    """Give each guarded feature that is on one side only a row on the other.

    Where every row of it would take away another feature's last one, the way leads through such moves; rows
    that have been moved before are the dearer the more often, so that the search does not go in circles.
    """

    def price(number: int) -> tuple[int, float, int]:
        return state.broken_by_moving(number) + state.moves[number], state.cost_of_moving(number), number

    missing = state.one_sided()
    steps = _REPAIR_STEPS * len(missing)
    while missing and steps > 0:
        steps -= len(missing)
        for feature in missing:
            if state.is_one_sided(feature):
                state.move(min(state.problem.members[feature], key=price))
        missing = state.one_sided()


def _refine(state: _State) -> None:
    """Make single moves that lower the deviation, for the features that are off by half a count or more."""
    weights = state.problem.weights
    for _ in range(_ROUNDS):
        off = [feature for feature in weights if abs(state.excess(feature)) >= _HALF]
        off.sort(key=lambda f: -weights[f] * state.excess(f) * state.excess(f))
        if not sum(_lower(state, feature) for feature in off):
            break


def _lower(state: _State, feature: Feature) -> int:
    """Move rows of a feature from the side that has too much of it, as long as that helps the whole."""
    from_test = state.excess(feature) > 0
    members = (number for number in state.problem.members[feature] if state.sides[number] is from_test)
    # Sorted once: a move changes the others' costs, so each is looked at again before it is made.
    candidates = sorted(
        (state.cost_of_moving(number), number) for number in itertools.islice(members, _CANDIDATES)
    )
    moved = 0
    for cost, number in candidates:
        if cost >= 0.0 or (state.excess(feature) > 0) is not from_test:
            break
        if state.cost_of_moving(number) < -_ROUNDING and not state.broken_by_moving(number):
            state.move(number)
            moved += 1
    return moved


def _settle(state: _State) -> None:
    """Bring the test side to its size with the moves that cost the labels least."""
    problem = state.problem
    over = state.test_size > problem.test_size
    rows = (number for number, test in enumerate(state.sides) if test is over)
    heap = [(state.cost_of_moving(number), number) for number in itertools.islice(rows, 10 * _CANDIDATES)]
    heapq.heapify(heap)
    while heap and state.test_size != problem.test_size:
        _, number = heapq.heappop(heap)
        cost = state.cost_of_moving(number)
        if heap and cost > heap[0][0]:  # other moves made it dearer: it waits for its turn
            heapq.heappush(heap, (cost, number))
        elif problem.sizes[number] <= abs(state.test_size - problem.test_size) and not (
            state.broken_by_moving(number)
        ):
            state.move(number)
