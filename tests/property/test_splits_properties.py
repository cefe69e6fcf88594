"""Properties that hold for every split, checked on generated images."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekolabels.errors import CannotSplit
from rekolabels.images import BoundingBox, LabelledImage
from rekolabels.splits import folds, split
from rekolabels.splits._groups import labels_of
from rekolabels.splits._near_duplicates import near_duplicates

if TYPE_CHECKING:
    from collections.abc import Iterable

SHARES = st.integers(1, 99).map(lambda percent: percent / 100)
SEEDS = st.integers(0, 2**32 - 1)


def _image(number: int, labels: list[str], boxes: list[str]) -> LabelledImage:
    return LabelledImage(f"set/{number}.jpg", labels, [BoundingBox(label, 0, 0, 5, 5) for label in boxes])


@st.composite
def image_sets(draw: st.DrawFn, max_size: int = 30) -> list[LabelledImage]:
    """Images with up to three labels and four boxes each, from five labels so that images share them."""
    label = st.sampled_from("abcde")
    drawn = draw(
        st.lists(
            st.tuples(st.lists(label, max_size=3), st.lists(label, max_size=4)), min_size=2, max_size=max_size
        )
    )
    return [_image(number, labels, boxes) for number, (labels, boxes) in enumerate(drawn)]


@given(image_sets(), SHARES, SEEDS)
def test_a_split_is_a_partition(images: list[LabelledImage], test: float, seed: int) -> None:
    """Each image is on exactly one side, no side is empty, and the balance shows the true counts."""
    parts = split(images, test=test, seed=seed, allow_rare=True)
    assert sorted(i.source for i in images) == sorted(i.source for i in (*parts.train, *parts.test))
    assert (len(parts.train), len(parts.test)) == (parts.balance.train, parts.balance.test)
    assert parts.train
    assert parts.test
    for entry in parts.balance:
        assert entry.test == sum(entry.label in labels_of(image) for image in parts.test)
        assert entry.train == sum(entry.label in labels_of(image) for image in parts.train)


@given(image_sets(), SHARES, SEEDS, st.randoms(use_true_random=False))
def test_the_order_of_the_images_does_not_matter(
    images: list[LabelledImage], test: float, seed: int, shuffle: st.DataObject
) -> None:
    """Images in any order give the same two parts, in the same order."""
    expected = split(images, test=test, seed=seed, allow_rare=True)
    shuffled = images.copy()
    shuffle.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random of hypothesis
    assert expected == split(iter(shuffled), test=test, seed=seed, allow_rare=True)


@given(st.lists(st.integers(2, 40), min_size=1, max_size=8), SHARES, SEEDS)
def test_single_labels_are_exact(counts: list[int], test: float, seed: int) -> None:
    """Each label gets its share rounded down or up, at least one; the total is exact where possible."""
    images = [
        _image(100 * n + m, ["abcdefgh"[n]], []) for n, count in enumerate(counts) for m in range(count)
    ]
    parts = split(images, test=test, seed=seed)
    share = Fraction(str(test))
    bounds = []
    for entry, count in zip(parts.balance, counts, strict=True):
        down = int(share * count)
        low, high = (
            max(1, min(down, count - 1)),
            max(1, min(-(-share.numerator * count // share.denominator), count - 1)),
        )
        assert low <= entry.test <= high
        bounds.append((low, high))
    wanted = int(share * sum(counts) + Fraction(1, 2))
    assert len(parts.test) == min(max(wanted, sum(low for low, _ in bounds)), sum(high for _, high in bounds))


@given(image_sets(max_size=9), SHARES, st.integers(0, 99))
def test_labels_are_on_both_sides_whenever_that_is_possible(
    images: list[LabelledImage], test: float, seed: int
) -> None:
    """The split succeeds exactly when an exhaustive search finds a division."""
    sets_of_labels = [labels_of(image) for image in images]
    labels = frozenset().union(*sets_of_labels)
    possible = any(
        labels == frozenset().union(*itertools.compress(sets_of_labels, sides))
        and labels == frozenset().union(*itertools.compress(sets_of_labels, [not side for side in sides]))
        for sides in itertools.product([True, False], repeat=len(images))
    )
    try:
        parts = split(images, test=test, seed=seed)
    except CannotSplit:
        assert not possible
    else:
        assert possible
        assert parts.balance.one_sided == ()


@given(image_sets(), SHARES, st.integers(0, 99), st.lists(st.integers(0, 8), min_size=30, max_size=30))
def test_groups_are_never_divided(
    images: list[LabelledImage], test: float, seed: int, keys: list[int]
) -> None:
    """No key is on both sides."""
    key_of = {image.source: keys[number] for number, image in enumerate(images)}
    try:
        parts = split(images, test=test, seed=seed, group_by=key_of, allow_rare=True)
    except CannotSplit:
        assert len(set(key_of.values())) == 1
    else:
        assert not {key_of[i.source] for i in parts.train} & {key_of[i.source] for i in parts.test}


@given(image_sets(), st.integers(2, 6), st.integers(0, 99))
def test_folds_test_every_image_once(images: list[LabelledImage], k: int, seed: int) -> None:
    """Together the test parts of all folds are the images, and none is empty."""
    try:
        parts = folds(images, k, seed=seed, allow_rare=True)
    except CannotSplit:
        assert len(images) < k
        return
    assert sorted(i.source for i in images) == sorted(i.source for part in parts for i in part.test)
    sizes = [len(part.test) for part in parts]
    assert min(sizes) >= 1


def _groups(size: int, pairs: Iterable[tuple[int, int]]) -> list[set[int]]:
    """Return the connected components of pairs."""
    groups = [{number} for number in range(size)]
    for one, other in pairs:
        if groups[one] is not groups[other]:
            groups[one] |= groups[other]
            for number in groups[other]:
                groups[number] = groups[one]
    return groups


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 2**64 - 1, 0x0F0F]), st.sets(st.integers(0, 63), max_size=6)),
        max_size=12,
    )
)
def test_near_duplicates_are_those_that_differ_by_four_bits(drawn: list[tuple[int, set[int]]]) -> None:
    """The search by bands of bits finds the same groups as comparing all pairs."""
    hashes = [base ^ sum(1 << bit for bit in bits) for base, bits in drawn]
    expected = [
        (one, other)
        for one, other in itertools.combinations(range(len(hashes)), 2)
        if (hashes[one] ^ hashes[other]).bit_count() <= 4
    ]
    images = [_image(number, [], []) for number in range(len(hashes))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rekolabels.splits._near_duplicates._hash", lambda image: hashes[images.index(image)])
        found = near_duplicates(images)
    assert _groups(len(hashes), expected) == _groups(len(hashes), found)
    assert set(found) <= {pair for one, other in expected for pair in ((one, other), (other, one))}
