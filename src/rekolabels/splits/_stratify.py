"""Iterative stratification: divide rows in two so that every label gets its share on both sides.

A row is one image, or a group of images that stays together. Its features are counted: the images of each
label, the boxes of each label, and the number of images.

Rows are assigned from the rarest label to the most common, each to the side where it leaves the smaller
squared deviation from the shares so far. That alone comes close. Then labels that are missing from a side are
given a row, single moves that lower the deviation are made until none helps, and finally the test side is
brought to its exact size. The result depends only on the order of the rows; no random numbers are used.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeAlias

import attrs

__all__ = ["Feature", "Row", "StratifyInput", "stratify"]

Feature: TypeAlias = str | tuple[str]
"""What is counted: ``label`` stands for the label's images, ``(label,)`` for its boxes."""
Row: TypeAlias = tuple[Feature, ...]
"""The features of one group, each as often as it occurs in it."""

_REPAIR_STEPS = 20
"""Moves for each label that is missing from a side."""
_PASSES = 8
"""Passes over all features that are off their share."""
_CANDIDATES = 300
"""Rows that are considered for one feature."""
_ROUNDING = 1e-9
"""Smaller gains may be rounding errors, which a move back would seem to gain again."""
_HALF = 0.5
"""A smaller deviation is as close as whole numbers come."""


@attrs.frozen
class StratifyInput:
    """Rows to divide, and what each side should get."""

    rows: Sequence[Row]
    """The features of each row."""
    sizes: Sequence[int]
    """The number of images of each row."""
    size: int
    """The number of all images."""
    test_size: int
    """The number of images that the test side should get."""
    members: Mapping[Feature, Sequence[int]]
    """The rows of each feature, in order."""
    totals: Mapping[Feature, int]
    """How often each feature occurs."""
    wanted: Mapping[Feature, float]
    """How often each feature should occur on the test side."""
    weights: Mapping[Feature, float]
    """Cost of a squared deviation of one, by feature."""
    required: AbstractSet[Feature]
    """The features that must be on both sides; each is in two rows at least."""
    repeats: bool
    """Whether a row may have several images, or a feature more than once."""


def stratify(data: StratifyInput) -> list[bool]:
    """Decide for each row whether it goes to the test side.

    Returns:
        One bool per row. A required feature is missing from a side only when no division was found that has
        all of them on both sides, as with three rows of which each two share a label of their own.
    """
    sides = _assign_greedily(data)
    state = _State(data, sides)
    _repair(state)
    _refine(state)
    _match_test_size(state)
    return sides


def _assign_greedily(data: StratifyInput) -> list[bool]:
    # Let d = test so far - share * seen so far. A row that has a feature once changes the weighted square of
    # d by weight * (2 d + 1 - 2 share) more on the test side than on the training side. `bias` keeps that
    # value for each feature. The images of a row are one more feature.
    steps = {f: _bias(total, data.wanted[f], data.weights[f]) for f, total in data.totals.items()}
    bias = {feature: initial for feature, (initial, _, _) in steps.items()}
    to_test = {feature: step for feature, (_, step, _) in steps.items()}
    to_train = {feature: step for feature, (_, _, step) in steps.items()}
    size_bias, size_to_test, size_to_train = size_steps = _bias(data.size, data.test_size, 1.0 / data.size)
    rows, sizes, repeats = data.rows, data.sizes, data.repeats
    sides = [False] * len(rows)
    done = [False] * len(rows)
    rarest_first = sorted(data.members, key=lambda f: (data.totals[f], isinstance(f, tuple), f))
    for index in itertools.chain(*(data.members[feature] for feature in rarest_first), range(len(rows))):
        if done[index]:
            continue
        done[index] = True
        row = rows[index]
        # Not sum(): since Python 3.12 it rounds floats differently, and the split must not change.
        cost = size_bias
        for feature in row:
            cost += bias[feature]
        images = 1
        if repeats:
            # A feature that occurs c times adds c * (c - 1) * weight * (1 - 2 share).
            images = sizes[index]
            cost += (images - 1) * (size_bias + images * size_steps[0])
            for feature, count in Counter(row).items():
                cost += count * (count - 1) * steps[feature][0]
        if cost < 0.0:
            sides[index] = True
            size_bias += images * size_to_test
            for feature in row:
                bias[feature] += to_test[feature]
        else:
            size_bias += images * size_to_train
            for feature in row:
                bias[feature] += to_train[feature]
    return sides


def _bias(total: int, wanted: float, weight: float) -> tuple[float, float, float]:
    """Return a feature's initial bias, and how one more on the test or training side changes it."""
    share = wanted / total
    return weight * (1.0 - 2.0 * share), 2.0 * weight * (1.0 - share), -2.0 * weight * share


class _State:
    """A division that is being improved, with the counts that show what a move would change."""

    def __init__(self, data: StratifyInput, sides: list[bool]) -> None:
        self.data = data
        self.sides = sides
        self.moves: Counter[int] = Counter()
        test_rows = itertools.compress(data.rows, sides)
        self.on_test = Counter(itertools.chain.from_iterable(test_rows))
        self.test_size = sum(itertools.compress(data.sizes, sides))

    def excess(self, feature: Feature) -> float:
        """Return by how much the test side exceeds its share of a feature; negative when it has less."""
        return self.on_test[feature] - self.data.wanted[feature]

    def move(self, index: int) -> None:
        """Move a row from its side to the opposite one."""
        step = -1 if self.sides[index] else 1
        self.sides[index] = not self.sides[index]
        self.moves[index] += 1
        self.test_size += step * self.data.sizes[index]
        for feature in self.data.rows[index]:
            self.on_test[feature] += step

    def cost_of_moving(self, index: int) -> float:
        """Return by how much a move of the row would increase the weighted squared deviation."""
        data, row, images = self.data, self.data.rows[index], self.data.sizes[index]
        step = -2.0 if self.sides[index] else 2.0
        cost = images * (step * (self.test_size - data.test_size) + images) / data.size
        for feature, count in Counter(row).items() if data.repeats else zip(row, itertools.repeat(1)):
            cost += data.weights[feature] * count * (step * self.excess(feature) + count)
        return cost

    def required_lost_by_moving(self, index: int) -> int:
        """Return how many required features a move of the row would remove from its side."""
        lost = 0
        row = self.data.rows[index]
        for feature in set(row) & self.data.required:
            on_test = self.on_test[feature]
            on_side = on_test if self.sides[index] else self.data.totals[feature] - on_test
            lost += on_side == row.count(feature)
        return lost

    def is_one_sided(self, feature: Feature) -> bool:
        """Return whether a feature is missing from a side."""
        return self.on_test[feature] in {0, self.data.totals[feature]}

    def one_sided(self) -> list[Feature]:
        """Return the required features that are missing from a side, the rarest first."""
        missing = filter(self.is_one_sided, self.data.required)
        return sorted(missing, key=lambda feature: (self.data.totals[feature], feature))


def _repair(state: _State) -> None:
    """Give each required feature that is missing from a side a row there.

    Where each of its rows would remove another required feature, such a row is moved nevertheless. A row
    costs more with each move, so that the search does not run in circles.
    """

    def cost(index: int) -> tuple[int, float, int]:
        return state.required_lost_by_moving(index) + state.moves[index], state.cost_of_moving(index), index

    missing = state.one_sided()
    steps = _REPAIR_STEPS * len(missing)
    while missing and steps > 0:
        steps -= len(missing)
        for feature in missing:
            if state.is_one_sided(feature):
                state.move(min(state.data.members[feature], key=cost))
        missing = state.one_sided()


def _refine(state: _State) -> None:
    """Make single moves that lower the deviation of the features that are off by half a count or more."""
    weights = state.data.weights
    for _ in range(_PASSES):
        off = [feature for feature in weights if abs(state.excess(feature)) >= _HALF]
        off.sort(key=lambda f: -weights[f] * state.excess(f) * state.excess(f))
        if not sum(_reduce_deviation(state, feature) for feature in off):
            break


def _reduce_deviation(state: _State, feature: Feature) -> int:
    """Move rows of a feature from the side that has too much of it, as long as the total cost falls."""
    from_test = state.excess(feature) > 0
    members = (index for index in state.data.members[feature] if state.sides[index] is from_test)
    # Sorted once, although a move changes the costs of others: each cost is computed again before the move.
    candidates = sorted(
        (state.cost_of_moving(index), index) for index in itertools.islice(members, _CANDIDATES)
    )
    moved = 0
    for cost, index in candidates:
        if cost >= 0.0 or (state.excess(feature) > 0) is not from_test:
            break
        if state.cost_of_moving(index) < -_ROUNDING and not state.required_lost_by_moving(index):
            state.move(index)
            moved += 1
    return moved


def _match_test_size(state: _State) -> None:
    """Bring the test side to its size with the moves that cost least."""
    data = state.data
    over = state.test_size > data.test_size
    rows = (index for index, test in enumerate(state.sides) if test is over)
    heap = [(state.cost_of_moving(index), index) for index in itertools.islice(rows, 10 * _CANDIDATES)]
    heapq.heapify(heap)
    while heap and state.test_size != data.test_size:
        _, index = heapq.heappop(heap)
        cost = state.cost_of_moving(index)
        if heap and cost > heap[0][0]:  # earlier moves made it more expensive
            heapq.heappush(heap, (cost, index))
        elif data.sizes[index] <= abs(state.test_size - data.test_size) and not (
            state.required_lost_by_moving(index)
        ):
            state.move(index)
