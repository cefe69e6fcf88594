"""From images to the units that a split deals out: their order, their groups, their labels."""

from __future__ import annotations

import hashlib
import itertools
import operator
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeAlias

import attrs

from rekolabels.errors import InvalidInput
from rekolabels.images import LabelledImage
from rekolabels.splits._near_duplicates import near_duplicates as find_near_duplicates

_source = operator.attrgetter("source")

__all__ = ["GroupBy", "Units", "gather_images", "labels_of", "make_units"]

GroupBy: TypeAlias = Callable[[LabelledImage], Hashable] | Mapping[str, Hashable]
"""What images must share to stay together: a function of the image, or a mapping from sources to keys."""


@attrs.frozen
class Units:
    """What must stay together, in an order that depends on nothing but the sources and the seed."""

    images: Sequence[LabelledImage]
    """All images in the order of their sources."""
    members: Sequence[Sequence[int]] | None
    """The images of each unit, by index into ``images``; None when each image stands alone."""
    order: Sequence[int]
    """The units (or the images, when each stands alone) in the order in which they are dealt out."""

    def __len__(self) -> int:
        return len(self.order)

    def indices(self, place: int) -> Sequence[int]:
        """The images of the unit at a place of ``order``, by index into ``images``."""
        unit = self.order[place]
        return (unit,) if self.members is None else self.members[unit]


def labels_of(image: LabelledImage) -> frozenset[str]:
    """All labels of an image: those of the whole image and those of its boxes."""
    if not image.boxes:
        return frozenset(image.labels)
    return frozenset(image.labels).union([box.label for box in image.boxes])


def gather_images(images: Iterable[LabelledImage]) -> list[LabelledImage]:
    """Hold all images of a stream, in the order of their sources."""
    gathered = list(images)
    kinds: set[type] = set(map(type, gathered))
    if not all(issubclass(kind, LabelledImage) for kind in kinds):
        raise InvalidInput(
            f"a split is made of LabelledImage values, not of {', '.join(kind.__name__ for kind in kinds)}: "
            "read them with rekolabels.formats or rekolabels.manifest"
        )
    gathered.sort(key=_source)
    return gathered


def make_units(
    images: Sequence[LabelledImage], *, seed: int, group_by: GroupBy | None, near_duplicates: bool
) -> Units:
    """Put images that must stay together into units, and the units into the order of the seed.

    Args:
        images: All images in the order of their sources.
        seed: Any integer.
        group_by: What images must share to stay together; None as a key stands for no group.
        near_duplicates: Whether images of the same picture stay together, too.

    Raises:
        InvalidInput: The seed is no integer, or ``group_by`` gives a key that cannot be hashed.
        MissingExtra: ``near_duplicates`` without the extra ``dedupe``.
    """
    sources = list(map(_source, images))
    digests = _digests(sources, seed)
    clusters: list[Sequence[int]] = [*_same_source(sources), *_same_key(images, group_by)]
    if near_duplicates:
        clusters.extend(find_near_duplicates(images))
    if not clusters:
        return Units(images, None, sorted(range(len(images)), key=digests.__getitem__))
    members = _joined(len(images), clusters)
    # The place of a group must not depend on the order of its images.
    first = [min(digests[index] for index in unit) for unit in members]
    return Units(images, members, sorted(range(len(members)), key=first.__getitem__))


def _digests(sources: Sequence[str], seed: int) -> list[bytes]:
    """What the images are shuffled by.

    Only the part of the sources below their common folder counts, with ``/`` as separator, so that the same
    images are split alike in another folder, on another system, and in S3 after the upload.
    """
    if isinstance(seed, bool) or not isinstance(seed, int):  # pyright: ignore[reportUnnecessaryIsInstance] - see above
        raise InvalidInput(f"seed: expected an integer, not {seed!r}")
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
    """The length of the folder that all names begin with."""
    if not names:
        return 0
    low, high = min(names), max(names)
    length = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    return low.rfind("/", 0, length) + 1


def _same_source(sources: Sequence[str]) -> list[list[int]]:
    """Images that occur more than once: one file on both sides would make the test worthless."""
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
                    f"group_by: the key of {image.source} is a {type(key).__name__}, which cannot be hashed; "
                    "use text, a number or a tuple of them"
                ) from error
    return [members for members in groups.values() if len(members) > 1]


def _joined(size: int, clusters: Iterable[Sequence[int]]) -> list[list[int]]:
    """All indices below ``size`` in units, such that no cluster is divided."""
    parent = list(range(size))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for cluster in clusters:
        first = root(cluster[0])
        for index in cluster[1:]:
            # The smaller index leads, so that units come in the order of their first images.
            other = root(index)
            parent[max(first, other)] = first = min(first, other)
    units: dict[int, list[int]] = {}
    for index in range(size):
        units.setdefault(root(index), []).append(index)
    return list(units.values())
