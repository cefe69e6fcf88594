"""Splits: exact for single labels, every label on both sides, reproducible."""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from rekolabels.errors import CannotSplit, InvalidImage, InvalidInput
from rekolabels.images import BoundingBox, LabelledImage
from rekolabels.splits import folds, split
from rekolabels.splits._groups import _common_folder

if TYPE_CHECKING:
    from collections.abc import Iterable


def images_of(counts: dict[str, int], root: str = "set") -> list[LabelledImage]:
    """Make images with one label each, in one folder per label."""
    return [
        LabelledImage(f"{root}/{label}/{number:03}.jpg", labels=[label])
        for label, count in counts.items()
        for number in range(count)
    ]


def names(images: Iterable[LabelledImage]) -> list[str]:
    """Return the last two parts of each source."""
    return ["/".join(image.source.split("/")[-2:]) for image in images]


def test_single_labels_get_their_exact_share() -> None:
    """Each label's test images are its share, rounded up or down; their sum is the exact share."""
    parts = split(images_of({"a": 100, "b": 33, "c": 12, "d": 7}), test=0.2)
    expected = {"a": 20, "b": 7, "c": 2, "d": 1}
    assert expected == {entry.label: entry.test for entry in parts.balance}
    assert (len(parts.train), len(parts.test)) == (122, 30)


@pytest.mark.parametrize(
    ("count", "test", "expected"), [(100, 0.29, 29), (30, 0.1, 3), (10, 0.7, 7), (5, 0.5, 3)]
)
def test_shares_are_decimal_numbers(count: int, test: float, expected: int) -> None:
    """0.29 of 100 is 29, although the nearest float is slightly less; halves are rounded up."""
    assert expected == len(split(images_of({"a": count}), test=test).test)


def test_the_columns_of_a_balance_are_aligned() -> None:
    """Wide characters take two columns of a terminal."""
    parts = split(
        [LabelledImage(f"{label}/{number}.jpg", [label]) for label in ("hat", "帽子") for number in range(10)]
    )
    assert str(parts.balance).splitlines() == [
        "label       train  test  wanted  share",
        "hat             8     2     2.0  20.0%",
        "帽子            8     2     2.0  20.0%",
        "all images     16     4     4.0  20.0%",
    ]


def test_a_split_unpacks_and_its_balance_is_a_table() -> None:
    """``train, test = split(images)``; labels can be looked up in the balance."""
    parts = split(images_of({"a": 10, "b": 5}))
    train, test = parts
    assert (train, test) == (parts.train, parts.test)
    balance = parts.balance
    assert (len(balance), "a" in balance, "c" in balance) == (2, True, False)
    assert [balance[entry.label] for entry in balance] == list(balance)


def test_every_label_is_on_both_sides_even_if_its_share_is_less() -> None:
    """Two images of a label are put on opposite sides, whatever the share; the balance shows the share."""
    parts = split(images_of({"a": 50, "b": 2, "c": 3}), test=0.05)
    assert {entry.label: entry.test for entry in parts.balance} == {"a": 2, "b": 1, "c": 1}
    assert pytest.approx(0.1) == parts.balance["b"].wanted
    assert parts.balance.one_sided == ()
    parts = split(images_of({"b": 2, "c": 3}), test=0.95)
    assert {entry.label: entry.train for entry in parts.balance} == {"b": 1, "c": 1}


def test_the_split_is_the_same_everywhere() -> None:
    """A recorded split: it must not change with the machine, the Python version or a release."""
    parts = split(images_of({"a": 6, "b": 4}), test=0.3, seed=11)
    assert names(parts.test) == ["a/000.jpg", "a/005.jpg", "b/002.jpg"]
    boxes = [
        LabelledImage(
            f"x/{n}.jpg", boxes=[BoundingBox("ab"[(n + m) % 2], 0, 0, 9, 9) for m in range(n % 4 + 1)]
        )
        for n in range(12)
    ]
    assert names(split(boxes, test=0.25, seed=3).test) == ["x/0.jpg", "x/2.jpg", "x/3.jpg"]


def test_large_splits_are_the_same_everywhere() -> None:
    """A recorded hash of splits by labels, boxes, groups and folds, equal on all Python versions."""
    plain = [LabelledImage(f"x/{n}.jpg", {f"l{n * m % 61}" for m in range(n % 5)}) for n in range(400)]
    plain = [attrs.evolve(image, labels=sorted(image.labels)) for image in plain]
    boxed = [
        LabelledImage(f"x/{n}.jpg", boxes=[BoundingBox("abcde"[n * m % 5], 0, 0, 9, 9) for m in range(n % 7)])
        for n in range(300)
    ]
    found = [
        names(part.test)
        for images in (plain, boxed)
        for group_by in (None, lambda image: image.source[2:4])
        for part in (
            split(images, seed=4, group_by=group_by, allow_rare=True),
            *folds(images, 3, group_by=group_by, allow_rare=True),
        )
    ]
    assert hashlib.sha256(repr(found).encode()).hexdigest()[:16] == "9c88cf8c5889b372"


def test_order_folder_and_separator_do_not_matter() -> None:
    """Images in another order, in another folder, in S3 or with backslashes are split the same way."""
    counts = {"a": 20, "b": 11}
    expected = names(split(images_of(counts), seed=5).test)
    shuffled = images_of(counts, root="/home/user/images")
    random.Random(1).shuffle(shuffled)  # noqa: S311 - a test
    assert expected == names(split(shuffled, seed=5).test)
    assert expected == names(split(images_of(counts, root="s3://bucket/prefix"), seed=5).test)
    windows = [LabelledImage(i.source.replace("/", "\\"), i.labels) for i in images_of(counts, root="C:\\x")]
    assert expected == ["/".join(i.source.split("\\")[-2:]) for i in split(windows, seed=5).test]


def test_another_seed_gives_another_split() -> None:
    """Ten seeds give ten different test parts."""
    images = images_of({"a": 40, "b": 40})
    found = {tuple(names(split(images, seed=seed).test)) for seed in range(10)}
    assert len(found) == 10


def test_images_and_boxes_of_a_label_are_balanced() -> None:
    """A detection dataset is balanced by the images and by the boxes of each label."""
    images = [
        LabelledImage(
            f"x/{n:03}.jpg",
            boxes=[BoundingBox("cell", 0, 0, 5, 5)] * (1 + n % 30)
            + [BoundingBox("rare", 0, 0, 5, 5)] * (n % 25 == 0),
        )
        for n in range(200)
    ]
    parts = split(images, test=0.2)
    cell, rare = parts.balance["cell"], parts.balance["rare"]
    assert (len(parts.train), len(parts.test)) == (160, 40)
    assert pytest.approx(0.2, abs=0.002) == cell.test_boxes / (cell.train_boxes + cell.test_boxes)
    assert (rare.test, rare.test_boxes) in {(1, 1), (2, 2)}


def test_rare_labels_are_on_both_sides() -> None:
    """Of 204 labels with two to four images, none is missing from a side, and the size is exact."""
    draw = random.Random(4)  # noqa: S311 - a test
    labels: list[set[str]] = [{f"common-{draw.randrange(8)}"} for _ in range(1000)]
    for number in range(204):
        for index in draw.sample(range(1000), 2 + number % 3):
            labels[index].add(f"rare-{number}")
    images = [LabelledImage(f"x/{n:04}.jpg", sorted(found)) for n, found in enumerate(labels)]
    parts = split(images, test=0.2)
    assert parts.balance.one_sided == ()
    assert len(parts.test) == 200


def test_conflicting_labels_are_resolved() -> None:
    """A chain of labels with two images each has a single solution (alternating), and it is found."""
    images = [LabelledImage(f"x/{n:02}.jpg", [f"link-{n}", f"link-{n + 1}"]) for n in range(40)]
    images += [LabelledImage("x/a.jpg", ["link-0"]), LabelledImage("x/b.jpg", ["link-40"])]
    for seed in range(5):
        assert split(images, test=0.2, seed=seed).balance.one_sided == ()


def test_unresolvable_labels_are_an_error() -> None:
    """Three images cannot be divided when each pair of them shares a label."""
    images = [LabelledImage(f"x/{a}{b}.jpg", [a, b]) for a, b in itertools.combinations("abc", 2)]
    with pytest.raises(CannotSplit) as caught:
        split(images)
    assert re.fullmatch(
        r"Cannot split: found no division with these labels in both parts: '[abc]'\. Their images share "
        r"other rare labels\. Add images of them or pass allow_rare=True\.",
        str(caught.value),
    )
    assert len(split(images, allow_rare=True).balance.one_sided) == 1


def test_a_label_with_one_image_is_an_error_that_names_the_option() -> None:
    """The message names the labels and the option that keeps their images in training."""
    images = images_of({"a": 5, "b": 1, "c": 1})
    with pytest.raises(CannotSplit) as caught:
        split(images)
    assert str(caught.value) == (
        "Cannot split: these labels cannot be in both the training and the test images: 'b' (one image), "
        "'c' (one image). Add images of them (in another group), remove them, or keep their images in "
        "training with allow_rare=True."
    )
    parts = split(images, test=0.9, allow_rare=True)
    assert parts.balance.one_sided == ("b", "c")
    assert (parts.balance["b"].train, parts.balance["b"].test) == (1, 0)


def test_a_long_list_of_rare_labels_is_shortened() -> None:
    """The message names ten labels and counts the others."""
    with pytest.raises(CannotSplit, match=r": 'l00' \(one.*'l09' \(one image\) and 20 more\. Add"):
        split(images_of({f"l{n:02}": 1 for n in range(30)}))
    with pytest.raises(CannotSplit, match=r"'l09' \(one image\)\. Add"):
        split(images_of({f"l{n:02}": 1 for n in range(10)}))


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "no images were given"), (1, "all images are one image or one group")]
)
def test_too_few_images_are_refused(count: int, expected: str) -> None:
    """No image or a single image raises CannotSplit."""
    with pytest.raises(CannotSplit) as caught:
        split(images_of({"a": count}))
    assert str(caught.value) == f"Cannot split: {expected}. A split needs at least two images or groups."


@pytest.mark.parametrize("test", [0, 1, -0.2, 1.5, float("nan"), float("inf"), "much", None, 20])
def test_shares_outside_of_zero_and_one_are_refused(test: float) -> None:
    """The message shows the value and what was expected."""
    with pytest.raises(InvalidInput) as caught:
        split(images_of({"a": 5}), test=test)
    assert str(caught.value).startswith(f"test is {test!r}; expected a fraction ")


@pytest.mark.parametrize("seed", [1.5, "x", None, True, -1])
def test_seeds_are_integers(seed: int) -> None:
    """A float or a string is a mistake that would otherwise go unnoticed."""
    with pytest.raises(InvalidInput) as caught:
        split(images_of({"a": 5}), seed=seed)
    assert str(caught.value) == f"seed is {seed!r}; expected a whole number from 0 to 4,294,967,295."


def test_only_labelled_images_are_accepted() -> None:
    """For a list of paths, the message names the readers."""
    with pytest.raises(InvalidInput, match=r"images\[0\] is .*; expected a LabelledImage\."):
        split(["a.jpg", "b.jpg"])  # type: ignore[list-item]  # the mistake under test


def test_groups_stay_together() -> None:
    """A function or a mapping keeps groups together; images without a key are not grouped."""
    images = images_of({"a": 40, "b": 40})

    def burst(image: LabelledImage) -> int | None:
        number = int(image.source[-7:-4])
        return None if number >= 30 else number // 5

    for group_by in (burst, {image.source: burst(image) for image in images if burst(image) is not None}):
        parts = split(images, test=0.25, group_by=group_by)
        sides = Counter(
            key for part in (parts.train, parts.test) for key in {burst(i) for i in part} - {None}
        )
        assert set(sides.values()) == {1}
        assert len(parts.test) == 20
        assert pytest.approx(10, abs=1) == parts.balance["a"].test


def test_a_label_in_one_group_is_an_error() -> None:
    """The message says that the images are in one group."""
    images = images_of({"a": 10, "b": 3})
    with pytest.raises(CannotSplit, match=r"'b' \(3 images in one group\)"):
        split(images, group_by=lambda image: image.labels == ("b",) or None)


def test_keys_must_be_hashable() -> None:
    """The message names the image and the type of its key."""
    with pytest.raises(InvalidInput) as caught:
        split(images_of({"a": 4}), group_by=lambda image: list(image.labels))  # type: ignore[arg-type]  # under test
    assert str(caught.value) == (
        "Invalid group_by key for set/a/000.jpg: a list is not hashable. Use a string, a number or a tuple "
        "of them."
    )


def test_an_image_that_occurs_twice_stays_on_one_side() -> None:
    """A file that is listed twice, with two labels, is not in training and test at once."""
    images = [LabelledImage(f"x/{n}.jpg", [label]) for n in range(20) for label in ("a", "b")]
    for seed in range(5):
        parts = split(images, seed=seed)
        assert not {i.source for i in parts.train} & {i.source for i in parts.test}
        assert len(parts.test) == 8


def test_images_without_labels_are_divided_too() -> None:
    """No image is lost: an unlabelled image goes to a side like any other."""
    images = [*images_of({"a": 10}), *(LabelledImage(f"set/none/{n}.jpg") for n in range(10))]
    parts = split(images, test=0.3)
    assert (len(parts.train), len(parts.test)) == (14, 6)
    assert parts.balance["a"].test == 3


def test_the_balance_prints_as_a_table() -> None:
    """Counts of boxes are shown if there are any; control characters are escaped."""
    images = [LabelledImage(f"x/{n}.jpg", boxes=[BoundingBox("a\x1b\n", 0, 0, 9, 9)] * 2) for n in range(10)]
    table = str(split(images).balance)
    assert table.splitlines() == [
        "label       train  test  wanted  share  train boxes  test boxes",
        "a\\x1b\\n         8     2     2.0  20.0%           16           4",
        "all images      8     2     2.0  20.0%           16           4",
    ]
    with pytest.raises(InvalidInput, match="which the images of the split do not have"):
        split(images).balance["absent"]


def test_folds_test_each_image_once() -> None:
    """The test parts are disjoint, cover all images, and are equal in size and balanced."""
    images = images_of({"a": 50, "b": 23, "c": 4})
    parts = folds(images, 5)
    assert sorted(names(images)) == sorted(name for part in parts for name in names(part.test))
    assert {15, 16} == {len(part.test) for part in parts}
    assert {10} == {part.balance["a"].test for part in parts}
    assert {4, 5} == {part.balance["b"].test for part in parts}
    assert all(part.balance["c"].train >= 3 for part in parts)
    assert all(len(part.train) + len(part.test) == 77 for part in parts)


def test_folds_keep_groups_and_seeds() -> None:
    """group_by and seed have the same meaning as for split."""
    images = images_of({"a": 40, "b": 40})
    parts = folds(images, 4, group_by=lambda image: image.source[-6:-4], seed=2)
    for part in parts:
        assert not {i.source[-6:-4] for i in part.train} & {i.source[-6:-4] for i in part.test}
    assert parts == folds(images[::-1], 4, group_by=lambda image: image.source[-6:-4], seed=2)
    assert parts != folds(images, 4, group_by=lambda image: image.source[-6:-4], seed=3)


@pytest.mark.parametrize("k", [1, 0, -1, 2.5, True, "5"])
def test_folds_are_at_least_two(k: int) -> None:
    """A single fold would have no training images."""
    with pytest.raises(InvalidInput) as caught:
        folds(images_of({"a": 9}), k)
    assert str(caught.value).startswith(f"k is {k!r}; expected a whole number, 2 or more.")


def test_more_folds_than_images() -> None:
    """No fold may have an empty test part."""
    with pytest.raises(CannotSplit) as caught:
        folds(images_of({"a": 3}), 5)
    assert str(caught.value) == "Cannot make 5 folds of 3 images or groups. Use fewer folds."


def test_near_duplicates_stay_together(tmp_path: Path) -> None:
    """Copies in other sizes and compressions are found, other images are not."""
    pytest.importorskip("imagehash")
    from PIL import Image

    draw = random.Random(0)  # noqa: S311 - a test
    images = []
    for number in range(12):
        small = Image.frombytes("RGB", (8, 8), draw.randbytes(192))
        for copy, (side, quality) in enumerate([(128, 95), (96, 60), (200, 80)]):
            path = tmp_path / f"{number:02}-{copy}.jpg"
            small.resize((side, side), Image.Resampling.BICUBIC).save(path, quality=quality)
            images.append(LabelledImage(str(path), ["ab"[number % 2]]))
    parts = split(images, test=0.25, near_duplicates=True)
    found = [{Path(i.source).name[:2] for i in part} for part in (parts.train, parts.test)]
    assert not found[0] & found[1]
    assert (len(found[0]), len(found[1])) == (9, 3)


def test_near_duplicates_need_local_images(tmp_path: Path) -> None:
    """S3 URIs, broken files and huge images raise errors that name the image."""
    pytest.importorskip("imagehash")
    with pytest.raises(InvalidInput) as refused:
        split([LabelledImage(f"S3://b/{n}.jpg", ["a"]) for n in range(4)], near_duplicates=True)
    assert str(refused.value) == (
        "S3://b/0.jpg: Near duplicates can be found in local files only. Split before the upload, or pass "
        "group_by."
    )
    broken = tmp_path / "broken.png"
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
    for content, expected in (
        (header + b"\0\0\0\x40\0\0\0\x40\x08\x02\0\0\0", "Cannot be decoded: "),
        (
            header + b"\0\1\0\0\0\1\0\0\x08\x02\0\0\0",
            "65536 x 65536 pixels are more than 89 million. Make it smaller.",
        ),
        (
            header + b"\0\0\x25\0\0\0\x25\0\x08\x02\0\0\0",
            "9472 x 9472 pixels are more than 89 million. Make it smaller.",
        ),
    ):
        broken.write_bytes(content)
        with pytest.raises(InvalidImage) as caught:
            split([LabelledImage(str(broken), ["a"])] * 2, near_duplicates=True)
        assert str(caught.value).startswith(f"{broken}: {expected}")


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([], 0),
        (["a.jpg", "b.jpg"], 0),
        (["set/a.jpg", "set/b.jpg"], 4),
        (["set/a.jpg"], 4),
        (["/a.jpg", "/b.jpg"], 1),
        (["set/ab/1.jpg", "set/ac/1.jpg", "set/ad/1.jpg"], 4),
        (["set", "set/a.jpg"], 0),
    ],
)
def test_common_folder(sources: list[str], expected: int) -> None:
    """The path up to the common folder does not count: moved images are split the same way."""
    assert _common_folder(sources) == expected
