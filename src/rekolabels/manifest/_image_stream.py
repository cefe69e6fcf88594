"""Labelled images that are checked instead of a manifest: opened once, and compared with each other."""

from __future__ import annotations

from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, Final

import attrs

from rekolabels.images import LabelledImage
from rekolabels.manifest._collection import Collection, is_local
from rekolabels.manifest._sources import RepeatedImage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rekolabels.manifest._image_files import ImageInspector
    from rekolabels.manifest._image_probe import Probe
    from rekolabels.manifest._line_rules import LineCheck

__all__ = ["GivenImages"]

_CHUNK: Final = 256
"""Images that are opened at a time, by several threads."""


class GivenImages:
    """Labelled images on their way to the rules for lines.

    Attributes:
        collection: The images so far.
        probes: The results for local images that were opened, by number.
    """

    def __init__(self, inspector: ImageInspector | None) -> None:
        self.collection = Collection()
        self.probes: dict[int, Probe] = {}
        self._inspector = inspector

    def read(self, images: Iterator[Any]) -> Iterator[Any]:
        """Yield the images, with their true sizes where none are given, and repeated ones as such."""
        number = 0
        while chunk := list(islice(images, _CHUNK)):
            probes = self._open(chunk)
            for image in chunk:
                number += 1
                if not isinstance(image, LabelledImage):
                    yield image  # the rules for lines report it
                    continue
                found = next(probes) if is_local(image) else None
                yield self._add(number, image, found)

    def count(self, check: LineCheck) -> None:
        """Count the labels of a line that a training can use."""
        found = self.probes.pop(check.line, None)
        if check.image is not None:
            self.collection.count_labels(check.image, "" if found is None else found.digest)

    def count_all(self, images: Iterable[LabelledImage]) -> None:
        """Count the labels of usable images that were not opened."""
        for image in images:
            self.collection.count_labels(image)

    def _open(self, chunk: Iterable[Any]) -> Iterator[Probe | None]:
        if self._inspector is None:
            return repeat(None)
        return self._inspector.open(
            image.source for image in chunk if isinstance(image, LabelledImage) and is_local(image)
        )

    def _add(self, number: int, image: LabelledImage, found: Probe | None) -> LabelledImage | RepeatedImage:
        if found is None:
            earlier = self.collection.add(image)
        else:
            earlier = self.collection.add(image, found.digest, usable=found.problem is None)
        if earlier is not None:
            return RepeatedImage(number, image.source, earlier)
        if found is None:
            return image
        self.probes[number] = found
        return image if image.size is not None else attrs.evolve(image, size=found.size)
