"""Rules for labelled images that are to become datasets, beyond those of the service.

The service accepts a picture under two labels and a mix of labels and boxes, and trains a worse model than
expected. ``create_datasets`` therefore refuses such collections, and ``check_manifest`` reports it.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from rekolabels._files import printable_name

if TYPE_CHECKING:
    from rekolabels.images import BoundingBox, LabelledImage

__all__ = ["Collection", "is_local"]

_MAX_SHOWN: Final = 10
_MAX_NAMES: Final = 10_000
"""Number of different labels that are counted: far beyond every limit, but bounded."""
_SEVERAL: Final = ""
"""In place of the key of the only picture of a label: there are others."""

_Annotations = tuple[frozenset[str], frozenset["BoundingBox"]]


def is_local(image: LabelledImage) -> bool:
    """Return whether the image is a file on this machine, and not in S3."""
    return image.source[:5].lower() != "s3://"


class Collection:
    """Labelled images, compared with each other as they are added.

    Pictures are compared by their content if it is known, otherwise by their path. Images in S3 are not
    compared: manifests have a rule for them.

    Attributes:
        total: Number of images.
        unusable: Number of images whose files the service would reject.
        labelled: Number of images with image-level labels only.
        boxed: Number of images with boxes.
    """

    def __init__(self) -> None:
        self.total = 0
        self.unusable = 0
        self.labelled = 0
        self.boxed = 0
        self._pictures: dict[str, tuple[str, _Annotations]] = {}
        self._copies: dict[tuple[str, str], str] = {}
        self._conflicts: list[str] = []
        self._conflict_count = 0
        self._only_pictures: dict[str, str] = {}

    def add(self, image: LabelledImage, digest: str = "", *, usable: bool = True) -> str | None:
        """Add an image.

        Args:
            image: The image.
            digest: Hash of the file; empty if it is not known.
            usable: Whether the service would accept the file.

        Returns:
            The source of an earlier image with the same content, file name, labels and boxes; None if there
            is none. Such images are used once.
        """
        self.total += 1
        self.unusable += not usable
        self.boxed += bool(image.boxes)
        self.labelled += bool(image.labels) and not image.boxes
        return self._compare(image, digest or image.source) if is_local(image) else None

    def count_labels(self, image: LabelledImage, digest: str = "") -> None:
        """Count the labels of an image that a training can use."""
        key = digest or image.source
        for label in (*image.labels, *(box.label for box in image.boxes)):
            if label not in self._only_pictures and len(self._only_pictures) >= _MAX_NAMES:
                continue
            if self._only_pictures.setdefault(label, key) != key:
                self._only_pictures[label] = _SEVERAL

    def rare_labels(self) -> list[str]:
        """Return the labels that a single picture has, so that they cannot be in two datasets."""
        return [label for label, key in self._only_pictures.items() if key != _SEVERAL]

    def problems(self) -> list[str]:
        """Return why the images cannot become datasets as they are; each is a sentence or two."""
        found: list[str] = []
        if self.boxed and self.labelled:
            found.append(
                f"{self.boxed:,} of {self.total:,} images have bounding boxes and {self.labelled:,} have "
                "image-level labels only. Use one kind per dataset: `[i for i in images if i.boxes]` or "
                "`[i for i in images if not i.boxes]`."
            )
        if self._conflicts:
            more = self._conflict_count - len(self._conflicts)
            found.append(
                "The same picture has different labels or boxes: "
                f"{'; '.join(self._conflicts)}{f'; and {more:,} more' if more else ''}. Keep one of them, or "
                "give one image with all of its labels."
            )
        return found

    def _compare(self, image: LabelledImage, key: str) -> str | None:
        annotations = _annotations(image)
        if key not in self._pictures:
            self._pictures[key] = (image.source, annotations)
            return None
        first, known = self._pictures[key]
        if annotations != known:
            self._conflict_count += 1
            if len(self._conflicts) < _MAX_SHOWN:
                self._conflicts.append(
                    f"{_describe(first, known)} and {_describe(image.source, annotations)}"
                )
            return None
        name = PurePath(image.source).name
        if PurePath(first).name == name:
            return first
        earlier = self._copies.get((key, name))
        if earlier is None:
            self._copies[key, name] = image.source
        return earlier


def _annotations(image: LabelledImage) -> _Annotations:
    try:
        return frozenset(image.labels), frozenset(image.boxes)
    except TypeError:  # labels that are not text, which the rules for lines report
        return frozenset(map(repr, image.labels)), frozenset()


def _describe(source: str, annotations: _Annotations) -> str:
    labels, boxes = annotations
    names = sorted({str(label) for label in (*labels, *(box.label for box in boxes))})
    count = f"; {len(boxes)} boxes" if boxes else ""
    return f"{printable_name(source)} ({', '.join(names) or 'no label'}{count})"
