"""Groups of images that must stay together, and the counts of their labels and boxes."""

from __future__ import annotations

import hashlib
import itertools
import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeAlias

import attrs

from rekolabels._arguments import check_callable, check_flag, check_seed
from rekolabels.errors import InvalidInput
from rekolabels.images import LabelledImage
from rekolabels.manifest._given_images import check_images, is_mapping
from rekolabels.splits._near_duplicates import near_duplicates as find_near_duplicates
from rekolabels.splits._stratify import Feature, Row

__all__ = ["FeatureTable", "GroupBy", "Groups", "gather_images", "labels_of", "make_groups", "make_table"]

_source = operator.attrgetter("source")

GroupBy: TypeAlias = Callable[[LabelledImage], Hashable] | Mapping[str, Hashable]
"""A function that returns the group key of an image, or a mapping from sources to keys."""


@attrs.frozen
class Groups:
    """Groups of images, in an order that depends only on the sources and the seed."""

    images: Sequence[LabelledImage]
    """All images in the order of their sources."""
    members: Sequence[Sequence[int]] | None
    """The images of each group, by index into ``images``; None when each image is a group of its own."""
    order: Sequence[int]
    """The groups (or the images, when each is a group of its own) in the order in which they are assigned."""

    def __len__(self) -> int:
        return len(self.order)

    def indices(self, position: int) -> Sequence[int]:
        """Return the images of the group at a position of ``order``, by index into ``images``."""
        group = self.order[position]
        return (group,) if self.members is None else self.members[group]


def labels_of(image: LabelledImage) -> frozenset[str]:
    """Return all labels of an image: its image-level labels and those of its boxes."""
    if not image.boxes:
        return frozenset(image.labels)
    return frozenset(image.labels).union([box.label for box in image.boxes])


def gather_images(images: Iterable[LabelledImage]) -> list[LabelledImage]:
    """Collect all images of a stream, in the order of their sources.

    Raises:
        InvalidInput: A value is not a ``LabelledImage``.
    """
    gathered = list(check_images(images))
    gathered.sort(key=_source)
    return gathered


def make_groups(
    images: Sequence[LabelledImage], *, seed: int, group_by: GroupBy | None, near_duplicates: bool
) -> Groups:
    """Group images that must stay together, and put the groups into the order of the seed.

    Args:
        images: All images in the order of their sources.
        seed: 0 to 2**32 - 1.
        group_by: Gives the key of an image. Images with the same key stay together; None is not a key.
        near_duplicates: Whether images of the same picture stay together, too.

    Raises:
        InvalidInput: An argument is not valid, or ``group_by`` gives a key that is not hashable.
        MissingExtra: ``near_duplicates`` without the extra ``dedupe``.
    """
    seed = check_seed("seed", seed)
    near_duplicates = check_flag("near_duplicates", near_duplicates)
    if group_by is not None and not is_mapping(group_by):
        expected = "a function that returns the key of an image, or a mapping from sources to keys"
        check_callable("group_by", group_by, expected)
    sources = list(map(_source, images))
    digests = _digests(sources, seed)
    clusters: list[Sequence[int]] = [*_same_source(sources), *_same_key(images, group_by)]
    if near_duplicates:
        clusters.extend(find_near_duplicates(images))
    if not clusters:
        return Groups(images, None, sorted(range(len(images)), key=digests.__getitem__))
    members = _merge(len(images), clusters)
    # The position of a group must not depend on the order of its images.
    first = [min(digests[index] for index in group) for group in members]
    return Groups(images, members, sorted(range(len(members)), key=first.__getitem__))


def _digests(sources: Sequence[str], seed: int) -> list[bytes]:
    """Return the sort keys that shuffle the images.

    They depend only on the part of the sources below their common folder, with ``/`` as separator. So the
    same images are split the same way in another folder, on another system, and in S3 after the upload.
    """
    keyed = hashlib.blake2b(b"%d\0" % seed, digest_size=8)
    names = sources
    if any("\\" in source for source in sources):
        names = [source.replace("\\", "/") for source in sources]
    start = _common_folder(names)
    digests: list[bytes] = []
    for name in names:
        digest = keyed.copy()
        digest.update(name[start:].encode("utf-8", "surrogatepass"))
        digests.append(digest.digest())
    return digests


def _common_folder(names: Sequence[str]) -> int:
    """Return the length of the folder that all names begin with."""
    if not names:
        return 0
    low, high = min(names), max(names)
    length = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    return low.rfind("/", 0, length) + 1


def _same_source(sources: Sequence[str]) -> list[list[int]]:
    """Return pairs of images with the same source: a file on both sides would make the test worthless."""
    same = map(operator.eq, sources, itertools.islice(sources, 1, None))
    return [[index, index + 1] for index in itertools.compress(range(len(sources)), same)]


def _same_key(images: Sequence[LabelledImage], group_by: GroupBy | None) -> list[list[int]]:
    if group_by is None:
        return []
    if isinstance(group_by, Mapping):
        # pyright allows for a function that is a mapping, too
        keys: Mapping[str, Hashable] = group_by  # pyright: ignore[reportUnknownVariableType]
        return _same_key(images, lambda image: keys.get(image.source))
    groups: dict[Hashable, list[int]] = {}
    for index, image in enumerate(images):
        key = group_by(image)
        if key is not None:
            try:
                groups.setdefault(key, []).append(index)
            except TypeError as error:
                raise InvalidInput(
                    f"Invalid group_by key for {image.source}: a {type(key).__name__} is not hashable. Use a "
                    "string, a number or a tuple of them."
                ) from error
    return [members for members in groups.values() if len(members) > 1]


def _merge(size: int, clusters: Iterable[Sequence[int]]) -> list[list[int]]:
    """Merge overlapping clusters into groups (union-find); any other index is a group of its own."""
    parent = list(range(size))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for cluster in clusters:
        first = root(cluster[0])
        for index in cluster[1:]:
            # The smaller index becomes the root, so that groups come in the order of their first images.
            other = root(index)
            parent[max(first, other)] = first = min(first, other)
    groups: dict[int, list[int]] = {}
    for index in range(size):
        groups.setdefault(root(index), []).append(index)
    return list(groups.values())


@attrs.frozen
class FeatureTable:
    """The features of some groups, one row per group, in the order in which they are assigned."""

    rows: Sequence[Row]
    """The features of each group."""
    sizes: Sequence[int]
    """The number of images of each group."""
    members: Mapping[Feature, Sequence[int]]
    """The rows that have each feature, in order."""
    totals: Mapping[Feature, int]
    """How often each feature occurs in all rows."""
    repeats: bool
    """Whether a group may have several images, or a feature more than once."""

    @classmethod
    def of(cls, rows: Sequence[Row], sizes: Sequence[int], *, repeats: bool) -> FeatureTable:
        """Count the features of rows."""
        members: defaultdict[Feature, list[int]] = defaultdict(list)
        for index, row in enumerate(map(set, rows) if repeats else rows):
            for feature in row:
                members[feature].append(index)
        totals: Mapping[Feature, int] = {feature: len(indices) for feature, indices in members.items()}
        if repeats:
            totals = Counter(itertools.chain.from_iterable(rows))
        return cls(rows, sizes, dict(members), totals, repeats)

    def subset(self, indices: Sequence[int]) -> FeatureTable:
        """Return a table of some of the rows."""
        if len(indices) == len(self.rows):
            return self
        rows = [self.rows[index] for index in indices]
        return FeatureTable.of(rows, [self.sizes[index] for index in indices], repeats=self.repeats)


def make_table(groups: Groups) -> FeatureTable:
    """Count the images, labels and boxes of each group."""
    if groups.members is not None or any(map(operator.attrgetter("boxes"), groups.images)):
        rows: list[Row] = []
        for position in range(len(groups)):
            images = [groups.images[index] for index in groups.indices(position)]
            labels = [label for image in images for label in sorted(labels_of(image))]
            rows.append((*labels, *((box.label,) for image in images for box in image.boxes)))
        sizes = [len(groups.indices(position)) for position in range(len(groups))]
        return FeatureTable.of(rows, sizes, repeats=True)
    # The images' own tuples of labels serve as rows, so that no objects are made.
    label_sets: list[tuple[str, ...]] = list(map(operator.attrgetter("labels"), groups.images))
    if sum(map(len, label_sets)) != sum(map(len, map(set, label_sets))):
        label_sets = [tuple(dict.fromkeys(labels)) for labels in label_sets]
    return FeatureTable.of(
        [label_sets[index] for index in groups.order], [1] * len(label_sets), repeats=False
    )
